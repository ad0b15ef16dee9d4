//! `watershed consume`: records of a topic, from a place to a place.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};

use watershed_client::{Client, Consumer, ConsumerConfig, Fetched, IsolationLevel, OffsetSpec, TopicMetadata};
use watershed_model::{Clock, Offset, SystemClock};

use super::exit::{CliError, Exit};
use super::format::{Consumed, Format};
use super::remote::Remote;
use super::text::{parse_time, unescape};
use super::ui::Ui;

/// A place in a log, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Earliest,
    Latest,
    Offset(i64),
    /// So many records before the end.
    BeforeEnd(i64),
    /// The first record that is not older.
    Time(watershed_model::Timestamp),
}

fn place(text: &str) -> Result<Place, String> {
    match text {
        "earliest" | "beginning" | "start" => return Ok(Place::Earliest),
        "latest" | "end" => return Ok(Place::Latest),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(if number < 0 { Place::BeforeEnd(number.saturating_neg()) } else { Place::Offset(number) });
    }
    let time = parse_time(text, SystemClock::new().now());
    time.map(Place::Time).map_err(|e| format!("earliest, latest, an offset, -N for the last N, or a time: {e}"))
}

/// `watershed consume`
#[derive(Debug, clap::Args)]
pub struct Consume {
    /// The topic
    topic: String,
    /// Where to begin: earliest, latest, an offset, -N (the last N of each partition), @MILLISECONDS, 2026-01-31T12:00:00Z, -10m
    #[arg(long, short, value_name = "PLACE", default_value = "earliest", value_parser = place, allow_hyphen_values = true)]
    from: Place,
    /// Where to end, not included: the same [default: the end as it is now, or never with --follow]
    #[arg(long, value_name = "PLACE", value_parser = place, allow_hyphen_values = true)]
    to: Option<Place>,
    /// End after so many records
    #[arg(long, short)]
    count: Option<u64>,
    /// Only these partitions
    #[arg(long, short, value_delimiter = ',')]
    partitions: Vec<i32>,
    /// How records are printed: json, raw, or a pattern of %t topic %p partition %o offset %T timestamp %k key %K its size
    /// %s value %S its size %h headers
    #[arg(long, value_name = "FORMAT", default_value = r"%s\n", allow_hyphen_values = true)]
    format: String,
    /// What stands for null in a pattern
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    null_marker: String,
    /// Wait for more at the end
    #[arg(long)]
    follow: bool,
    /// Only records of committed transactions
    #[arg(long)]
    committed: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
///
/// # Errors
/// If the topic is not there, a place is outside the log, or records are damaged.
pub async fn run(args: Consume, ui: Ui) -> Result<(), CliError> {
    let format = if ui.json { "json" } else { &args.format };
    let format = Format::parse(format).map_err(|e| CliError::new(Exit::Usage, format!("--format: {e}")))?;
    let null = unescape(&args.null_marker).map_err(|e| CliError::new(Exit::Usage, format!("--null-marker: {e}")))?;
    let client = args.remote.client(|_| {}).await?;
    let topic = client.topic(&args.topic).await?;
    let isolation = if args.committed { IsolationLevel::ReadCommitted } else { IsolationLevel::ReadUncommitted };
    let plan = plan(&args, &client, &topic, isolation).await?;
    let config = ConsumerConfig { isolation, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(client, config);
    let mut ends = HashMap::new();
    for (partition, start, end) in plan {
        if end.is_none_or(|end| start < end) {
            consumer.assign(&args.topic, partition, start).await?;
            ends.insert(partition, end);
        }
    }
    let mut printer = Printer { format, null, left: args.count.unwrap_or(u64::MAX), printed: 0 };
    let result = print_all(&args.topic, &mut consumer, &mut ends, &mut printer).await;
    if ui.is_live() {
        ui.note(&format!("{} records", printer.printed));
    }
    result
}

/// Each partition with the offset to begin at and the one to end before.
async fn plan(
    args: &Consume,
    client: &Client,
    topic: &TopicMetadata,
    isolation: IsolationLevel,
) -> Result<Vec<(i32, Offset, Option<Offset>)>, CliError> {
    let all: Vec<_> = topic.partitions.iter().map(|p| p.index).collect();
    let chosen = if args.partitions.is_empty() { all.clone() } else { args.partitions.clone() };
    if let Some(missing) = chosen.iter().find(|p| !all.contains(p)) {
        let message = format!("topic {:?} has no partition {missing}: it has {}, from 0", args.topic, all.len());
        return Err(CliError::new(Exit::NotFound, message));
    }
    let starts = resolve(args.from, &chosen, &args.topic, client, isolation).await?;
    let ends = match (args.to, args.follow) {
        (Some(place), _) => Some(resolve(place, &chosen, &args.topic, client, isolation).await?),
        (None, false) => Some(resolve(Place::Latest, &chosen, &args.topic, client, isolation).await?),
        (None, true) => None,
    };
    let end = |i: usize| ends.as_ref().map(|ends| ends[i]);
    Ok(chosen.iter().enumerate().map(|(i, p)| (*p, starts[i], end(i))).collect())
}

/// A place's offset in each of the partitions.
pub(super) async fn resolve(
    place: Place,
    partitions: &[i32],
    topic: &str,
    client: &Client,
    isolation: IsolationLevel,
) -> Result<Vec<Offset>, CliError> {
    let admin = watershed_client::Admin::new(client.clone());
    let ask = |spec: OffsetSpec| {
        let ask: Vec<_> = partitions.iter().map(|p| (topic.to_owned(), *p, spec)).collect();
        let admin = &admin;
        async move { admin.list_offsets(&ask, isolation).await }
    };
    let found = match place {
        Place::Offset(offset) => return Ok(vec![Offset(offset); partitions.len()]),
        Place::Earliest => ask(OffsetSpec::Earliest).await?,
        Place::Latest | Place::BeforeEnd(_) => ask(OffsetSpec::Latest).await?,
        Place::Time(timestamp) => ask(OffsetSpec::At(timestamp)).await?,
    };
    let needs_start = matches!(place, Place::BeforeEnd(_));
    let starts = if needs_start { ask(OffsetSpec::Earliest).await? } else { Vec::new() };
    // Nothing at or after a time: the end.
    let ends = if found.iter().any(|at| at.offset.is_none()) { ask(OffsetSpec::Latest).await? } else { Vec::new() };
    let mut out = Vec::with_capacity(found.len());
    for (i, at) in found.iter().enumerate() {
        let offset = at.offset.or_else(|| ends.get(i)?.offset).unwrap_or(Offset::ZERO);
        out.push(match place {
            Place::BeforeEnd(n) => offset.plus(-n).max(starts[i].offset.unwrap_or(Offset::ZERO)),
            _ => offset,
        });
    }
    Ok(out)
}

struct Printer {
    format: Format,
    null: Vec<u8>,
    left: u64,
    printed: u64,
}

async fn print_all(
    topic: &str,
    consumer: &mut Consumer,
    ends: &mut HashMap<i32, Option<Offset>>,
    printer: &mut Printer,
) -> Result<(), CliError> {
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    while !ends.is_empty() && printer.left > 0 {
        let fetched = consumer.poll().await?;
        let end = ends.get(&fetched.partition).copied().flatten();
        print_some(&mut out, &fetched, end, printer)?;
        if end.is_some_and(|end| fetched.next_offset() >= end) {
            consumer.unassign(topic, fetched.partition);
            ends.remove(&fetched.partition);
        }
        // Whoever watches sees each fetch as it comes.
        out.flush()?;
    }
    Ok(())
}

fn print_some(
    out: &mut dyn Write,
    fetched: &Fetched,
    end: Option<Offset>,
    printer: &mut Printer,
) -> Result<(), CliError> {
    let mut failure = None;
    fetched.for_each(|offset, timestamp, record| {
        if printer.left == 0 || end.is_some_and(|end| offset >= end) {
            return false;
        }
        let consumed = Consumed { topic: &fetched.topic, partition: fetched.partition, offset, timestamp, record };
        if let Err(error) = printer.format.write(out, &consumed, &printer.null) {
            failure = Some(error);
            return false;
        }
        printer.left -= 1;
        printer.printed += 1;
        true
    })?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(place("earliest"), Ok(Place::Earliest));
        assert_eq!(place("end"), Ok(Place::Latest));
        assert_eq!(place("17"), Ok(Place::Offset(17)));
        assert_eq!(place("-5"), Ok(Place::BeforeEnd(5)));
        assert_eq!(place("@5"), Ok(Place::Time(watershed_model::Timestamp(5))));
        assert!(matches!(place("-5m"), Ok(Place::Time(_))));
        assert!(place("yesterday").is_err());
    }
}
