//! `watershed plugin bench`: what a plugin costs per record, on the broker's own host.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use serde_json::json;
use watershed_hooks::{
    Batch, Client, Column, Environment, Failure, Hook, HookKind, Place, Reads, Records, assign, filter, intercept,
    order, retain,
};
use watershed_model::limits::{SLICE_BYTES_MAX, SLICE_RECORDS_MAX};

use super::file::PluginPath;
use crate::cli::exit::{CliError, Exit};
use crate::cli::ui::Ui;
use crate::registry::Registry;

/// The sizes of batches, in records. The broker asks about a large one in slices, and so does this.
const BATCHES: [usize; 4] = [1, 10, 100, 1000];

/// How long each size is measured.
const TIME: Duration = Duration::from_millis(300);

/// How many partitions a partitioner is asked for.
const PARTITIONS: NonZeroU32 = NonZeroU32::new(12).expect("12 is not 0");

/// The time that a record retention is told, in milliseconds since 1970: some day, far from the records' timestamps.
const NOW: i64 = 1_700_000_000_000;

/// `watershed plugin bench`
#[derive(Debug, clap::Args)]
pub struct Bench {
    #[command(flatten)]
    file: PluginPath,
    /// The records' value; without it, JSON of 1 KiB
    #[arg(long)]
    value: Option<String>,
    /// The records' key
    #[arg(long, default_value = "customer-17")]
    key: String,
}

/// Measures every hook on records that the plugin serves.
///
/// # Errors
/// What failed.
pub(super) fn run(registry: &Registry, args: &Bench, ui: Ui) -> Result<(), CliError> {
    let plugin = args.file.open(registry)?;
    let settings = args.file.settings()?;
    let value = args.value.clone().unwrap_or_else(|| {
        let filler = "x".repeat(960);
        format!(r#"{{"tenant":"acme","id":4711,"amount":12.5,"text":"{filler}"}}"#)
    });
    for factory in &plugin.factories {
        let hook = factory.hook();
        if !matches!(
            hook,
            HookKind::Interceptor
                | HookKind::OrderingKey
                | HookKind::Partitioner
                | HookKind::FetchFilter
                | HookKind::RecordRetention
        ) {
            continue;
        }
        let made = factory.create(&settings, &Environment::with_random(|| 0));
        let mut instance = made.map_err(|error| CliError::new(Exit::Config, error.to_string()))?;
        for size in BATCHES {
            let per_record = measure(&mut instance, size, args.key.as_bytes(), value.as_bytes())
                .map_err(|error| CliError::new(Exit::Failure, format!("{hook}: {error}")))?;
            let ns = per_record.as_secs_f64() * 1e9;
            if ui.json {
                ui.json(&json!({ "hook": hook.name(), "batch": size, "ns_per_record": ns }))?;
            } else {
                ui.line(&format!("{:16} batches of {size:4}  {ns:9.0} ns per record", hook.name()))?;
            }
        }
    }
    Ok(())
}

/// The time per record: the median of the rounds.
#[allow(clippy::disallowed_methods, reason = "it measures")]
fn measure(instance: &mut Hook, size: usize, key: &[u8], value: &[u8]) -> Result<Duration, Failure> {
    let reads = instance.reads().cloned().unwrap_or_default();
    let place = Place { topic: "bench", partition: Some(0), base_sequence: None };
    let in_slice = (SLICE_BYTES_MAX / (key.len() + value.len()).max(1)).clamp(1, SLICE_RECORDS_MAX);
    let slices = (0..size).step_by(in_slice).map(|first| columns(&reads, in_slice.min(size - first), key, value));
    let slices = slices.collect::<Result<Vec<_>, _>>()?;
    let batches: Vec<_> = slices.iter().map(|records| Batch::new(place, Client::default(), records, &reads)).collect();
    let begun = Instant::now();
    let mut rounds = Vec::new();
    while begun.elapsed() < TIME {
        let round = Instant::now();
        batches.iter().try_for_each(|batch| ask(instance, batch))?;
        rounds.push(round.elapsed());
    }
    rounds.sort_unstable();
    let median = rounds.get(rounds.len() / 2).copied().unwrap_or_default();
    Ok(median / u32::try_from(size).unwrap_or(1))
}

/// So many records, all alike.
fn columns(reads: &Reads, count: usize, key: &[u8], value: &[u8]) -> Result<Records, Failure> {
    let mut records = Records::new(reads.clone());
    for _ in 0..count {
        let pushed = records.push(Some(key), Some(value), 0, std::iter::empty());
        pushed.map_err(|error| Failure::Permanent(error.to_string()))?;
    }
    records.set_ranks((0..count).rev().map(|rank| u32::try_from(rank).unwrap_or(u32::MAX)).collect());
    Ok(records)
}

fn ask(instance: &mut Hook, batch: &Batch<'_>) -> Result<(), Failure> {
    match instance {
        Hook::Interceptor(plugin) => intercept(&mut **plugin, batch, &mut Vec::with_capacity(batch.len())),
        Hook::OrderingKey(plugin) => order(&mut **plugin, batch, &mut Column::new()),
        Hook::Partitioner(plugin) => assign(&mut **plugin, batch, PARTITIONS, &mut Vec::with_capacity(batch.len())),
        Hook::FetchFilter(plugin) => filter(&mut **plugin, batch, &mut Vec::with_capacity(batch.len())),
        Hook::RecordRetention(plugin) => retain(&mut **plugin, batch, NOW, &mut Vec::with_capacity(batch.len())),
        other => Err(Failure::Permanent(format!("a {} is not asked about records", other.kind()))),
    }
}
