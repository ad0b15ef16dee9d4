//! What a replay shows: how often each verdict, and some of the records that it would change.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use watershed_hooks::HookKind;
use watershed_model::record::OwnedRecord;

use super::version::{Answer, FAILED, Slice};
use crate::cli::exit::{CliError, Exit};
use crate::cli::plugin::fixture::text;
use crate::cli::ui::Ui;

/// How much of a key or a verdict is shown to people, in characters.
const SHOWN_MAX: usize = 160;

/// What was seen of one hook.
#[derive(Default)]
struct OfHook {
    /// How many records by verdict; of two versions, of the first.
    counts: BTreeMap<&'static str, u64>,
    /// The same of the other version.
    others: BTreeMap<&'static str, u64>,
    /// How many records the two differ on.
    differ: u64,
    samples: Vec<Sample>,
}

struct Sample {
    partition: u32,
    offset: i64,
    key: Option<String>,
    verdict: Value,
    other: Option<Value>,
}

/// What was seen of all.
pub(super) struct Report<'a> {
    topic: &'a str,
    samples_max: usize,
    compares: bool,
    records: u64,
    hooks: BTreeMap<&'static str, OfHook>,
}

impl<'a> Report<'a> {
    pub(super) fn new(topic: &'a str, samples_max: usize, compares: bool) -> Self {
        Self { topic, samples_max, compares, records: 0, hooks: BTreeMap::new() }
    }

    /// Adds what was said of some records, by one version or by two.
    pub(super) fn add(
        &mut self,
        slice: &Slice<'_>,
        answers: &[(HookKind, Vec<Answer>)],
        others: Option<&[(HookKind, Vec<Answer>)]>,
    ) {
        self.records += slice.records.len() as u64;
        for (h, (hook, said)) in answers.iter().enumerate() {
            let of_hook = self.hooks.entry(hook.name()).or_default();
            for (i, (record, answer)) in slice.records.iter().zip(said).enumerate() {
                *of_hook.counts.entry(answer.label).or_default() += 1;
                let other = others.map(|others| &others[h].1[i]);
                if let Some(other) = other {
                    *of_hook.others.entry(other.label).or_default() += 1;
                    of_hook.differ += u64::from(other != answer);
                }
                let is_shown = other.map_or(answer.changes, |other| other != answer);
                if is_shown && of_hook.samples.len() < self.samples_max {
                    of_hook.samples.push(sample(slice.partition, record, answer, other));
                }
            }
        }
    }

    /// Prints it.
    pub(super) fn print(&self, ui: Ui, is_cut: bool) -> Result<(), CliError> {
        if ui.json {
            return self.print_json(ui, is_cut);
        }
        let rest = if is_cut { "; there are more (--max)" } else { "" };
        ui.line(&format!("{}: {} records{rest}", self.topic, self.records))?;
        for (hook, of) in &self.hooks {
            ui.line(hook)?;
            for label in labels(of) {
                let count = |counts: &BTreeMap<_, u64>| counts.get(label).copied().unwrap_or(0);
                let other = if self.compares { format!(" {:>10}", count(&of.others)) } else { String::new() };
                ui.line(&format!("  {label:20} {:>10}{other}", count(&of.counts)))?;
            }
            if self.compares {
                ui.line(&format!("  {:20} {:>10}", "differ", of.differ))?;
            }
            for sample in &of.samples {
                let Sample { partition, offset, key, verdict, other } = sample;
                let key = key.as_deref().map_or_else(String::new, |key| format!(" key {}", cut(key)));
                let other = other.as_ref().map_or_else(String::new, |other| format!(" -> {}", cut(&other.to_string())));
                let verdict = cut(&verdict.to_string());
                ui.line(&format!("  {}-{partition} at {offset}{key}: {verdict}{other}", self.topic))?;
            }
        }
        Ok(())
    }

    fn print_json(&self, ui: Ui, is_cut: bool) -> Result<(), CliError> {
        for (hook, of) in &self.hooks {
            let samples = of.samples.iter().map(|sample| {
                let Sample { partition, offset, key, verdict, other } = sample;
                let mut shown = json!({ "partition": partition, "offset": offset, "key": key, "verdict": verdict });
                if let Some(other) = other {
                    shown["against"] = other.clone();
                }
                shown
            });
            let mut line = json!({
                "topic": self.topic, "hook": hook, "records": self.records, "more": is_cut, "verdicts": of.counts,
                "samples": samples.collect::<Vec<_>>(),
            });
            if self.compares {
                line["against"] = json!(of.others);
                line["differ"] = json!(of.differ);
            }
            ui.json(&line)?;
        }
        Ok(())
    }

    /// Whether all is well: no failure, no difference.
    ///
    /// # Errors
    /// [`Exit::Failure`] otherwise.
    pub(super) fn verdict(&self) -> Result<(), CliError> {
        let failed = |counts: &BTreeMap<_, u64>| counts.get(FAILED).copied().unwrap_or(0);
        let failures: u64 = self.hooks.values().map(|of| failed(&of.counts) + failed(&of.others)).sum();
        let differ: u64 = self.hooks.values().map(|of| of.differ).sum();
        let message = match (failures, differ) {
            (0, 0) => return Ok(()),
            (0, _) => format!("the two differ on {differ} answers"),
            (_, _) => format!("the plugin failed on {failures} records"),
        };
        Err(CliError::new(Exit::Failure, message))
    }
}

/// The verdicts that there were, of either version.
fn labels(of: &OfHook) -> impl Iterator<Item = &'static str> {
    let mut labels: Vec<_> = of.counts.keys().chain(of.others.keys()).copied().collect();
    labels.sort_unstable();
    labels.dedup();
    labels.into_iter()
}

fn sample(partition: u32, record: &OwnedRecord, answer: &Answer, other: Option<&Answer>) -> Sample {
    Sample {
        partition,
        offset: record.offset.0,
        key: record.key.as_deref().map(text),
        verdict: answer.detail.clone(),
        other: other.map(|other| other.detail.clone()),
    }
}

fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
