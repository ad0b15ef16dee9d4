//! `watershed group reset-offsets`: where a group is to go on. Nothing is changed without `--execute`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use watershed_client::{Admin, IsolationLevel, OffsetSpec};
use watershed_model::{Clock, Offset, SystemClock, Timestamp};

use super::plan::{self, NewOffset, TopicPartitions};
use super::{UNKNOWN, not_empty};
use crate::cli::exit::{CliError, Exit};
use crate::cli::remote::Remote;
use crate::cli::text::parse_time;
use crate::cli::ui::Ui;

/// How many partitions are set in one request.
const COMMIT_AT_ONCE: usize = 1_000;

/// `watershed group reset-offsets`
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("where").required(true))]
pub struct ResetOffsets {
    /// The group; may be repeated
    #[arg(long, short, required = true)]
    group: Vec<String>,
    /// A topic, all its partitions or some: orders or orders:0,3; may be repeated
    #[arg(long, short, value_name = "TOPIC[:PARTITIONS]", conflicts_with_all = ["all_topics", "from_file"])]
    topic: Vec<String>,
    /// Every topic that the group has committed an offset of
    #[arg(long, conflicts_with = "from_file")]
    all_topics: bool,
    /// To the first record that is there
    #[arg(long, group = "where")]
    to_earliest: bool,
    /// To the end
    #[arg(long, group = "where")]
    to_latest: bool,
    /// To where the group is: shows it, and commits it again
    #[arg(long, group = "where")]
    to_current: bool,
    /// To this offset
    #[arg(long, group = "where", value_name = "OFFSET")]
    to_offset: Option<i64>,
    /// By so many records forward, or back with a minus
    #[arg(long, group = "where", value_name = "RECORDS", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// To the first record that is not older, such as 2026-11-27T12:00:00Z
    #[arg(long, group = "where", value_name = "TIME")]
    to_datetime: Option<String>,
    /// To the first record of the last so many seconds
    #[arg(long, group = "where", value_name = "SECONDS")]
    by_duration: Option<f64>,
    /// To what a file says: [group,]topic,partition,offset
    #[arg(long, group = "where", value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Do it
    #[arg(long)]
    execute: bool,
    /// Write the new offsets to this file, as --from-file reads them
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// A partition of a reset.
struct Row {
    to: NewOffset,
    from: Option<i64>,
    /// The offset that was asked for lay outside of the log.
    was_clamped: bool,
}

/// Runs the command.
///
/// # Errors
/// A group with members, a topic that does not exist, or what the broker refuses.
pub(super) async fn run(args: ResetOffsets, ui: Ui) -> Result<(), CliError> {
    let admin = args.remote.admin().await?;
    for group in &args.group {
        match admin.describe_group(group).await {
            Ok(group) if !group.members.is_empty() => return Err(not_empty(&group)),
            Ok(_) => {}
            // Offsets of a group that does not exist yet may be set: that makes it.
            Err(error) if error.code() == Some(watershed_protocol::ErrorCode::GroupIdNotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let rows = plan(&admin, &args).await?;
    let offsets: Vec<NewOffset> = rows.iter().map(|row| row.to.clone()).collect();
    if let Some(path) = &args.export {
        let text = plan::to_file(&offsets, args.group.len() > 1);
        std::fs::write(path, text).map_err(|e| CliError::new(Exit::Failure, format!("{}: {e}", path.display())))?;
    }
    for row in rows.iter().filter(|row| row.was_clamped) {
        let NewOffset { topic, partition, offset, .. } = &row.to;
        ui.note(&format!("{topic}-{partition}: the offset lies outside of the log; {offset} is the nearest"));
    }
    if args.execute {
        execute(&admin, &args.group, &offsets).await?;
    }
    show(&rows, args.execute, ui)
}

async fn execute(admin: &Admin, groups: &[String], offsets: &[NewOffset]) -> Result<(), CliError> {
    for group in groups {
        let of_group: Vec<_> = offsets.iter().filter(|at| at.group == *group).collect();
        for some in of_group.chunks(COMMIT_AT_ONCE) {
            let commits: Vec<_> = some.iter().map(|at| (at.topic.clone(), at.partition, Offset(at.offset))).collect();
            admin.commit_group_offsets(group, &commits).await?;
        }
    }
    Ok(())
}

fn show(rows: &[Row], done: bool, ui: Ui) -> Result<(), CliError> {
    if ui.json {
        let offsets = rows.iter().map(|row| {
            json!({
                "group": row.to.group, "topic": row.to.topic, "partition": row.to.partition,
                "from": row.from, "to": row.to.offset,
            })
        });
        return Ok(ui.json(&json!({ "executed": done, "offsets": offsets.collect::<Vec<_>>() }))?);
    }
    let cells = |row: &Row| {
        let from = row.from.map_or_else(|| UNKNOWN.to_owned(), |from| from.to_string());
        let NewOffset { group, topic, partition, offset } = &row.to;
        vec![group.clone(), topic.clone(), partition.to_string(), from, offset.to_string()]
    };
    ui.table(&["GROUP", "TOPIC", "PARTITION", "FROM", "TO"], &rows.iter().map(cells).collect::<Vec<_>>())?;
    if !done {
        ui.note("nothing was changed: add --execute to do it");
    }
    Ok(())
}

async fn plan(admin: &Admin, args: &ResetOffsets) -> Result<Vec<Row>, CliError> {
    let mut rows = Vec::new();
    let from_file = match &args.from_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|e| CliError::new(Exit::Usage, format!("{}: {e}", path.display())))?;
            Some(plan::parse_file(&text, &args.group)?)
        }
    };
    for group in &args.group {
        let committed: BTreeMap<_, _> =
            admin.group_offsets(group).await?.into_iter().map(|at| ((at.topic, at.partition), at.offset.0)).collect();
        let wanted: Vec<(String, i32)> = match &from_file {
            Some(offsets) => {
                offsets.iter().filter(|at| at.group == *group).map(|at| (at.topic.clone(), at.partition)).collect()
            }
            None if args.all_topics => committed.keys().cloned().collect(),
            None if args.topic.is_empty() => {
                return Err(CliError::new(Exit::Usage, "say which topics: --topic or --all-topics"));
            }
            None => {
                let topics = args.topic.iter().map(|text| TopicPartitions::parse(text));
                plan::expand(admin, &topics.collect::<Result<Vec<_>, _>>()?).await?
            }
        };
        let ends = ends(admin, &wanted).await?;
        let asked = asked_for(admin, args, from_file.as_deref(), group, &wanted, &committed).await?;
        for (key, asked) in wanted.into_iter().zip(asked) {
            let from = committed.get(&key).copied();
            let Some((start, end)) = ends.get(&key).copied() else { continue };
            let Some(asked) = asked.or(Some(end)) else { continue };
            let offset = asked.clamp(start, end);
            let (topic, partition) = key;
            let to = NewOffset { group: group.clone(), topic, partition, offset };
            rows.push(Row { to, from, was_clamped: offset != asked });
        }
    }
    Ok(rows)
}

/// Where each partition begins and ends.
async fn ends(admin: &Admin, wanted: &[(String, i32)]) -> Result<BTreeMap<(String, i32), (i64, i64)>, CliError> {
    let ask = |spec: OffsetSpec| -> Vec<_> { wanted.iter().map(|(topic, p)| (topic.clone(), *p, spec)).collect() };
    let starts = admin.list_offsets(&ask(OffsetSpec::Earliest), IsolationLevel::ReadUncommitted).await?;
    let ends = admin.list_offsets(&ask(OffsetSpec::Latest), IsolationLevel::ReadUncommitted).await?;
    let number = |offset: Option<Offset>| offset.map_or(0, |offset| offset.0);
    let pairs = starts.into_iter().zip(ends);
    Ok(pairs.map(|(start, end)| ((start.topic, start.partition), (number(start.offset), number(end.offset)))).collect())
}

/// The offset that was asked for, for each partition; `None` for the end.
async fn asked_for(
    admin: &Admin,
    args: &ResetOffsets,
    from_file: Option<&[NewOffset]>,
    group: &str,
    wanted: &[(String, i32)],
    committed: &BTreeMap<(String, i32), i64>,
) -> Result<Vec<Option<i64>>, CliError> {
    if let Some(offsets) = from_file {
        return Ok(offsets.iter().filter(|at| at.group == group).map(|at| Some(at.offset)).collect());
    }
    let time = match (&args.to_datetime, args.by_duration) {
        (Some(text), _) => {
            Some(parse_time(text, SystemClock::new().now()).map_err(|reason| CliError::new(Exit::Usage, reason))?)
        }
        (None, Some(seconds)) => {
            let ago = Duration::try_from_secs_f64(seconds);
            let ago = ago.map_err(|_| CliError::new(Exit::Usage, "--by-duration: a number of seconds is expected"))?;
            let ago_ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            Some(Timestamp(SystemClock::new().now().0.saturating_sub(ago_ms)))
        }
        (None, None) => None,
    };
    if let Some(time) = time {
        let ask: Vec<_> = wanted.iter().map(|(topic, p)| (topic.clone(), *p, OffsetSpec::At(time))).collect();
        let found = admin.list_offsets(&ask, IsolationLevel::ReadUncommitted).await?;
        return Ok(found.into_iter().map(|at| at.offset.map(|offset| offset.0)).collect());
    }
    let one = |key: &(String, i32)| {
        let current = committed.get(key).copied();
        match (args.to_offset, args.shift_by) {
            (Some(offset), _) => Ok(Some(offset)),
            (None, Some(by)) => match current {
                Some(current) => Ok(Some(current.saturating_add(by))),
                None => {
                    let message = format!("{}-{} has no committed offset to shift", key.0, key.1);
                    Err(CliError::new(Exit::Failure, message))
                }
            },
            (None, None) if args.to_earliest => Ok(Some(i64::MIN)),
            (None, None) if args.to_current => Ok(current),
            (None, None) => Ok(None),
        }
    };
    wanted.iter().map(one).collect()
}
