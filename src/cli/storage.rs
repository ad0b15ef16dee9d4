//! `watershed storage verify`: checks a data directory that no broker has open.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;
use watershed_storage::framing::BatchFraming;

use super::exit::{CliError, Exit};
use super::ui::{Ui, bytes};
use crate::registry::disk_verify;
use crate::registry::disk_verify::{Finding, Severity, Summary};

/// How many findings are printed one by one; a broken disk can have millions.
const FINDINGS_PRINTED_MAX: usize = 1_000;

/// `watershed storage …`
#[derive(Debug, clap::Subcommand)]
pub enum StorageCommand {
    /// Check every checksum, offset, epoch and index of a data directory that no broker uses; changes nothing
    Verify(Verify),
}

/// `watershed storage verify`
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The broker's data_dir
    dir: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// [`Exit::Corrupt`] if something is damaged, [`Exit::NotFound`] if there is no such directory, [`Exit::Failure`] if it
/// cannot be read or a broker has it open.
pub fn run(command: &StorageCommand, ui: Ui) -> Result<(), CliError> {
    let StorageCommand::Verify(args) = command;
    if !args.dir.is_dir() {
        return Err(CliError::new(Exit::NotFound, format!("there is no directory {}", args.dir.display())));
    }
    let bar = ui.bar(Some(0));
    let summary = disk_verify(&args.dir, &BatchFraming, &mut |progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    });
    bar.finish_and_clear();
    let summary = summary.map_err(|e| CliError::new(Exit::Failure, e.to_string()))?;
    if ui.json {
        ui.json(&to_json(&summary))?;
    } else {
        print(&summary, ui)?;
    }
    if summary.is_damaged() {
        let message = format!("{} is damaged; what to do is said above", args.dir.display());
        return Err(CliError::new(Exit::Corrupt, message));
    }
    Ok(())
}

const fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Note => "note",
        Severity::Damage => "damage",
    }
}

fn to_json(summary: &Summary) -> serde_json::Value {
    let findings = summary.findings.iter().map(|f| {
        json!({
            "severity": severity(f), "partition": f.partition.map(|partition| partition.to_string()), "file": f.file, "position": f.position,
            "what": f.what, "advice": f.advice,
        })
    });
    json!({
        "partitions": summary.partitions, "segments": summary.segments, "batches": summary.frames,
        "bytes": summary.bytes, "damaged": summary.is_damaged(), "findings": findings.collect::<Vec<_>>(),
    })
}

fn print(summary: &Summary, ui: Ui) -> Result<(), CliError> {
    for finding in summary.findings.iter().take(FINDINGS_PRINTED_MAX) {
        let at = finding.position.map_or_else(String::new, |p| format!(", at byte {p}"));
        let kind = severity(finding);
        let kind = if finding.severity == Severity::Damage { ui.warning(kind) } else { ui.faint(kind) };
        ui.line(&format!("{kind}  {}{at}: {}; {}", finding.file.display(), finding.what, finding.advice))?;
    }
    let more = summary.findings.len().saturating_sub(FINDINGS_PRINTED_MAX);
    if more > 0 {
        ui.line(&format!("… and {more} more; --json has them all"))?;
    }
    let mut counts = BTreeMap::new();
    for finding in &summary.findings {
        *counts.entry(severity(finding)).or_insert(0u64) += 1;
    }
    let count = |kind: &str| counts.get(kind).copied().unwrap_or(0).to_string();
    let rows = [
        ("partitions", summary.partitions.to_string()),
        ("segments", summary.segments.to_string()),
        ("batches", summary.frames.to_string()),
        ("bytes", bytes(summary.bytes)),
        ("notes", count("note")),
        ("damage", count("damage")),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    Ok(ui.table(&["CHECKED", ""], &rows)?)
}
