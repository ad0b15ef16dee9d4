//! `watershed plugin replay`: a plugin, or two versions of it, asked about records that a running broker holds. Nothing is
//! changed there: the records are fetched as any consumer fetches them.

mod report;
mod version;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use watershed_client::{Client, Consumer, ConsumerConfig, IsolationLevel};
use watershed_model::limits::{SLICE_BYTES_MAX, SLICE_RECORDS_MAX};
use watershed_model::record::OwnedRecord;
use watershed_model::{Clock, Offset, SystemClock, Timestamp};

use super::file::PluginPath;
use crate::cli::consume::{Place, resolve};
use crate::cli::exit::{CliError, Exit};
use crate::cli::remote::Remote;
use crate::cli::text::parse_time;
use crate::cli::ui::Ui;
use crate::registry::Registry;
use report::Report;
use version::{Slice, Version};

fn last(text: &str) -> Result<Timestamp, String> {
    let time = parse_time(&format!("-{}", text.trim_start_matches('-')), SystemClock::new().now());
    time.map_err(|error| format!("a time such as 10m or 2h is expected: {error}"))
}

/// `watershed plugin replay`
#[derive(Debug, clap::Args)]
pub struct Replay {
    #[command(flatten)]
    file: PluginPath,
    /// Another version of the plugin: shows the records on which the two differ, and ends with 1 if there are any
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The topic whose records are asked about
    #[arg(long, short)]
    topic: String,
    /// Only records that are not older than this, such as 10m
    #[arg(long, value_name = "TIME", value_parser = last, required_unless_present = "from_beginning")]
    last: Option<Timestamp>,
    /// All records that are still there
    #[arg(long, conflicts_with = "last")]
    from_beginning: bool,
    /// At most so many records
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    max: u64,
    /// How many records are shown for each hook, of those that it would change or on which two versions differ
    #[arg(long, value_name = "N", default_value_t = 10)]
    samples: usize,
    #[command(flatten)]
    remote: Remote,
}

/// Asks, and shows what came of it.
///
/// # Errors
/// [`Exit::Failure`] if the plugin failed on some records, or two versions differ; what else went wrong.
pub(super) async fn run(registry: &Registry, args: &Replay, ui: Ui) -> Result<(), CliError> {
    let mut version = Version::open(registry, &args.file)?;
    let mut against = match &args.against {
        None => None,
        Some(other) => Some(Version::open(registry, &args.file.other(other.clone()))?.at_the_time_of(&version)),
    };
    if let Some(against) = &against {
        version.serves_the_same(against)?;
    }
    let client = args.remote.client(|_| {}).await?;
    let partitions = client.topic(&args.topic).await?.partitions.iter().map(|p| p.index).collect::<Vec<_>>();
    let count = u32::try_from(partitions.len()).ok().and_then(NonZeroU32::new);
    let count = count.ok_or_else(|| CliError::new(Exit::NotFound, format!("{} has no partitions", args.topic)))?;
    let ranges = ranges(&client, args, &partitions).await?;
    let mut versions: Vec<&mut Version> = [Some(&mut version), against.as_mut()].into_iter().flatten().collect();
    let mut needs_ranks = false;
    for version in &mut versions {
        needs_ranks |= version.needs_ranks()?;
    }
    if needs_ranks {
        // How many newer ones there are is known when all were seen.
        let mut source = Source::open(client.clone(), &args.topic, &ranges, u64::MAX).await?;
        while let Some((partition, records)) = source.next().await? {
            for records in slices(&records) {
                let slice = slice(args, (partition, count), records);
                versions.iter_mut().try_for_each(|version| version.count(&slice))?;
            }
        }
    }
    let mut report = Report::new(&args.topic, args.samples, against.is_some());
    let mut source = Source::open(client, &args.topic, &ranges, args.max).await?;
    while let Some((partition, records)) = source.next().await? {
        for records in slices(&records) {
            let slice = slice(args, (partition, count), records);
            let answers = version.ask(&slice)?;
            let others = against.as_mut().map(|against| against.ask(&slice)).transpose()?;
            report.add(&slice, &answers, others.as_deref());
        }
    }
    report.print(ui, source.is_cut())?;
    report.verdict()
}

/// Some records of a partition, of so many.
fn slice<'a>(args: &'a Replay, (partition, count): (u32, NonZeroU32), records: &'a [OwnedRecord]) -> Slice<'a> {
    Slice { topic: &args.topic, partition, partitions: count, records }
}

/// Cuts records as the broker does before it asks a plugin.
fn slices(records: &[OwnedRecord]) -> impl Iterator<Item = &[OwnedRecord]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(SLICE_RECORDS_MAX).take_while(|record| {
            bytes += record.key.as_ref().map_or(0, |key| key.len()) + record.value.as_ref().map_or(0, |v| v.len());
            bytes <= SLICE_BYTES_MAX
        });
        let count = fits.count().max(1).min(rest.len());
        let (slice, others) = rest.split_at(count);
        rest = others;
        (!slice.is_empty()).then_some(slice)
    })
}

const ISOLATION: IsolationLevel = IsolationLevel::ReadCommitted;

/// The offsets of a partition that hold the records that are asked about.
struct Range {
    partition: i32,
    start: Offset,
    end: Offset,
}

/// The ranges of the partitions that hold records.
async fn ranges(client: &Client, args: &Replay, partitions: &[i32]) -> Result<Vec<Range>, CliError> {
    let from = args.last.map_or(Place::Earliest, Place::Time);
    let starts = resolve(from, partitions, &args.topic, client, ISOLATION).await?;
    let ends = resolve(Place::Latest, partitions, &args.topic, client, ISOLATION).await?;
    let all = partitions.iter().zip(starts).zip(ends).map(|((p, start), end)| Range { partition: *p, start, end });
    Ok(all.filter(|range| range.start < range.end).collect())
}

/// Fetches records once, in the order of each partition.
struct Source {
    consumer: Consumer,
    /// Where each partition that is not done ends.
    ends: HashMap<i32, Offset>,
    left: u64,
}

impl Source {
    async fn open(client: Client, topic: &str, ranges: &[Range], max: u64) -> Result<Self, CliError> {
        let mut consumer = Consumer::new(client, ConsumerConfig { isolation: ISOLATION, ..ConsumerConfig::default() });
        let mut ends = HashMap::new();
        for Range { partition, start, end } in ranges {
            consumer.assign(topic, *partition, *start).await?;
            ends.insert(*partition, *end);
        }
        Ok(Self { consumer, ends, left: max })
    }

    /// Some records of one partition; `None` at the end of all.
    async fn next(&mut self) -> Result<Option<(u32, Vec<OwnedRecord>)>, CliError> {
        if self.ends.is_empty() || self.left == 0 {
            return Ok(None);
        }
        let fetched = self.consumer.poll().await?;
        let Some(end) = self.ends.get(&fetched.partition).copied() else {
            return Ok(Some((0, Vec::new())));
        };
        let mut records = fetched.records()?;
        records.retain(|record| record.offset < end);
        records.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left = self.left.saturating_sub(records.len() as u64);
        if fetched.next_offset() >= end {
            self.consumer.unassign(&fetched.topic, fetched.partition);
            self.ends.remove(&fetched.partition);
        }
        Ok(Some((u32::try_from(fetched.partition).unwrap_or_default(), records)))
    }

    /// Whether there are records that were not asked about.
    fn is_cut(&self) -> bool {
        !self.ends.is_empty()
    }
}
