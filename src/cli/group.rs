//! `watershed group`: list, describe, members, reset-offsets, delete-offsets, delete.
//!
//! Everything is asked in Kafka's protocol, so it works with any broker; lag in time and the last rebalance come from our HTTP API.
//! `group/reset.rs` computes new offsets, `group/plan.rs` reads and writes them as files.

mod plan;
mod reset;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use watershed_client::{Admin, ClientError, GroupDescription, GroupMember, IsolationLevel, OffsetSpec};

use super::exit::{CliError, Exit};
use super::http_api::{self, GroupPartition, GroupStatus};
use super::remote::Remote;
use super::ui::Ui;

/// What is shown where nobody can say.
const UNKNOWN: &str = "—";

/// How long the broker's HTTP API may take; it is an extra, so not long.
const HTTP_TIMEOUT: Duration = Duration::from_secs(2);

/// `watershed group …`
#[derive(Debug, clap::Subcommand)]
pub enum GroupCommand {
    /// List the groups
    List(List),
    /// Show how far a group has come, who owns what, and its last rebalance
    Describe(Describe),
    /// Show a group's members and what they own
    Members(Members),
    /// Set the offsets of a group without members; only shown, unless --execute is given
    ResetOffsets(Box<reset::ResetOffsets>),
    /// Forget what a group committed for topics that it does not consume
    DeleteOffsets(DeleteOffsets),
    /// Delete groups without members, with their offsets
    Delete(Delete),
}

/// `watershed group list`
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only groups in this state, such as Stable or Empty; may be repeated
    #[arg(long)]
    state: Vec<String>,
    /// Only groups of this type: classic or consumer; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    kind: Vec<String>,
    #[command(flatten)]
    remote: Remote,
}

/// `watershed group describe`
#[derive(Debug, clap::Args)]
pub struct Describe {
    /// The group
    group: String,
    /// The HTTP API of a Watershed broker, for what Kafka's protocol cannot carry
    #[arg(long, value_name = "URL", default_value = http_api::DEFAULT_URL, env = "WATERSHED_HTTP")]
    http: String,
    #[command(flatten)]
    remote: Remote,
}

/// `watershed group members`
#[derive(Debug, clap::Args)]
pub struct Members {
    /// The group
    group: String,
    #[command(flatten)]
    remote: Remote,
}

/// `watershed group delete-offsets`
#[derive(Debug, clap::Args)]
pub struct DeleteOffsets {
    /// The group
    group: String,
    /// A topic, all its partitions or some: orders or orders:0,3; may be repeated
    #[arg(long, short, required = true, value_name = "TOPIC[:PARTITIONS]")]
    topic: Vec<String>,
    #[command(flatten)]
    remote: Remote,
}

/// `watershed group delete`
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// The groups
    #[arg(required = true)]
    groups: Vec<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
///
/// # Errors
/// What the broker refuses, or that it cannot be reached.
pub async fn run(command: GroupCommand, ui: Ui) -> Result<(), CliError> {
    match command {
        GroupCommand::List(args) => list(args, ui).await,
        GroupCommand::Describe(args) => describe(args, ui).await,
        GroupCommand::Members(args) => members(args, ui).await,
        GroupCommand::ResetOffsets(args) => reset::run(*args, ui).await,
        GroupCommand::DeleteOffsets(args) => delete_offsets(args, ui).await,
        GroupCommand::Delete(args) => delete(args, ui).await,
    }
}

async fn list(args: List, ui: Ui) -> Result<(), CliError> {
    let groups = args.remote.admin().await?.list_groups(&args.state, &args.kind).await?;
    if ui.json {
        let rows =
            groups.iter().map(|group| json!({ "group": group.group_id, "type": group.kind, "state": group.state }));
        return Ok(ui.json(&rows.collect())?);
    }
    let rows: Vec<_> = groups.iter().map(|g| vec![g.group_id.clone(), g.kind.clone(), g.state.clone()]).collect();
    Ok(ui.table(&["GROUP", "TYPE", "STATE"], &rows)?)
}

/// One partition of a description.
struct Row {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: Option<i64>,
    extra: Option<GroupPartition>,
    owner: Option<GroupMember>,
}

impl Row {
    /// How many records the group is behind; the offsets where our broker knows that there is no record do not count.
    fn lag(&self) -> Option<i64> {
        let (committed, end) = (self.committed?, self.end?);
        let vacant = self.extra.as_ref().and_then(|seen| {
            let (its_end, lag) = (seen.end?, seen.lag?);
            // Otherwise the group or the log was changed between the two questions.
            (seen.committed == committed && its_end <= end).then(|| its_end - committed - lag)
        });
        Some((end - committed - vacant.unwrap_or(0).max(0)).max(0))
    }
}

async fn describe(args: Describe, ui: Ui) -> Result<(), CliError> {
    let admin = args.remote.admin().await?;
    let group = admin.describe_group(&args.group).await?;
    let status = http_api::group_status(&args.http, &args.group, HTTP_TIMEOUT).await;
    let rows = rows(&admin, &group, status.as_ref()).await?;
    if ui.json {
        return Ok(ui.json(&describe_json(&group, status.as_ref(), &rows))?);
    }
    ui.line(&format!(
        "group {}: {}, {}, {} members, assignor {}, coordinator {}",
        ui.strong(&group.group_id),
        group.kind,
        group.state,
        group.members.len(),
        if group.assignor.is_empty() { UNKNOWN } else { &group.assignor },
        group.coordinator
    ))?;
    ui.line(&last_rebalance(status.as_ref()))?;
    let table: Vec<_> = rows.iter().map(cells).collect();
    let head = ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "LAG TIME", "DRAINED IN", "MEMBER", "CLIENT", "HOST"];
    Ok(ui.table(&head, &table)?)
}

fn last_rebalance(status: Option<&GroupStatus>) -> String {
    let Some(rebalance) = status.and_then(|status| status.last_rebalance.as_ref()) else {
        return format!("last rebalance: {UNKNOWN}");
    };
    let took = match rebalance.duration_ms {
        Some(ms) => format!("took {}", duration(ms as f64 / 1000.0)),
        None => "under way".to_owned(),
    };
    let text = if rebalance.text.is_empty() { String::new() } else { format!(" ({})", rebalance.text) };
    format!("last rebalance: {}{text}, {took}", rebalance.reason)
}

/// Every partition that the group has committed, or that a member owns.
async fn rows(admin: &Admin, group: &GroupDescription, status: Option<&GroupStatus>) -> Result<Vec<Row>, CliError> {
    let mut rows: BTreeMap<(String, i32), Row> = BTreeMap::new();
    let new = |topic: &str, partition: i32| Row {
        topic: topic.to_owned(),
        partition,
        committed: None,
        end: None,
        extra: None,
        owner: None,
    };
    for at in admin.group_offsets(&group.group_id).await? {
        let row = rows.entry((at.topic.clone(), at.partition)).or_insert_with(|| new(&at.topic, at.partition));
        row.committed = Some(at.offset.0);
    }
    for member in &group.members {
        for (topic, partitions) in member.owned.iter().flatten() {
            for partition in partitions {
                let row = rows.entry((topic.clone(), *partition)).or_insert_with(|| new(topic, *partition));
                row.owner = Some(member.clone());
            }
        }
    }
    for at in status.into_iter().flat_map(|status| &status.partitions) {
        if let Some(row) = rows.get_mut(&(at.topic.clone(), at.partition)) {
            row.extra = Some(at.clone());
        }
    }
    let topics = admin.list_topics().await?;
    let exists = |(topic, partition): &(String, i32)| {
        topics.topics.get(topic.as_str()).is_some_and(|t| t.partitions.iter().any(|p| p.index == *partition))
    };
    let ask: Vec<_> =
        rows.keys().filter(|key| exists(key)).map(|(topic, p)| (topic.clone(), *p, OffsetSpec::Latest)).collect();
    for end in admin.list_offsets(&ask, IsolationLevel::ReadUncommitted).await? {
        if let Some(row) = rows.get_mut(&(end.topic, end.partition)) {
            row.end = end.offset.map(|offset| offset.0);
        }
    }
    Ok(rows.into_values().collect())
}

fn cells(row: &Row) -> Vec<String> {
    let number = |value: Option<i64>| value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string());
    let time = |value: Option<f64>| value.map_or_else(|| UNKNOWN.to_owned(), duration);
    let owner = |text: fn(&GroupMember) -> &str| row.owner.as_ref().map_or(UNKNOWN, text).to_owned();
    vec![
        row.topic.clone(),
        row.partition.to_string(),
        number(row.committed),
        number(row.end),
        number(row.lag()),
        time(row.extra.as_ref().and_then(|at| at.lag_seconds)),
        time(row.extra.as_ref().and_then(|at| at.drain_seconds)),
        owner(|member| &member.member_id),
        owner(|member| &member.client_id),
        owner(|member| &member.host),
    ]
}

fn describe_json(group: &GroupDescription, status: Option<&GroupStatus>, rows: &[Row]) -> serde_json::Value {
    let partitions = rows.iter().map(|row| {
        json!({
            "topic": row.topic,
            "partition": row.partition,
            "committed": row.committed,
            "end": row.end,
            "lag": row.lag(),
            "lag_seconds": row.extra.as_ref().and_then(|at| at.lag_seconds),
            "drain_seconds": row.extra.as_ref().and_then(|at| at.drain_seconds),
            "member": row.owner.as_ref().map(|member| &member.member_id),
            "client_id": row.owner.as_ref().map(|member| &member.client_id),
            "host": row.owner.as_ref().map(|member| &member.host),
        })
    });
    json!({
        "group": group.group_id,
        "type": group.kind,
        "state": group.state,
        "assignor": group.assignor,
        "epoch": group.epoch,
        "members": group.members.len(),
        "last_rebalance": status.and_then(|status| status.last_rebalance.as_ref()),
        "partitions": partitions.collect::<Vec<_>>(),
    })
}

async fn members(args: Members, ui: Ui) -> Result<(), CliError> {
    let group = args.remote.admin().await?.describe_group(&args.group).await?;
    if ui.json {
        let rows = group.members.iter().map(|member| {
            json!({
                "member": member.member_id,
                "instance_id": member.instance_id,
                "client_id": member.client_id,
                "host": member.host,
                "epoch": member.epoch,
                "owned": member.owned,
            })
        });
        return Ok(ui.json(&rows.collect())?);
    }
    let rows: Vec<_> = group.members.iter().map(member_cells).collect();
    Ok(ui.table(&["MEMBER", "INSTANCE", "CLIENT", "HOST", "EPOCH", "PARTITIONS", "OWNS"], &rows)?)
}

fn member_cells(member: &GroupMember) -> Vec<String> {
    let unknown = || UNKNOWN.to_owned();
    let count = member.owned.as_ref().map(|owned| owned.iter().map(|(_, partitions)| partitions.len()).sum::<usize>());
    let numbers = |partitions: &[i32]| partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let owns = member.owned.as_ref().map(|owned| {
        owned.iter().map(|(topic, partitions)| format!("{topic}:{}", numbers(partitions))).collect::<Vec<_>>().join(" ")
    });
    vec![
        member.member_id.clone(),
        member.instance_id.clone().unwrap_or_else(unknown),
        member.client_id.clone(),
        member.host.clone(),
        member.epoch.map_or_else(unknown, |epoch| epoch.to_string()),
        count.map_or_else(unknown, |count| count.to_string()),
        owns.unwrap_or_else(unknown),
    ]
}

async fn delete_offsets(args: DeleteOffsets, ui: Ui) -> Result<(), CliError> {
    let admin = args.remote.admin().await?;
    let wanted = args.topic.iter().map(|text| plan::TopicPartitions::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let partitions = plan::expand(&admin, &wanted).await?;
    let fates = admin.delete_group_offsets(&args.group, &partitions).await?;
    let failed = fates.iter().find_map(|(.., fate)| fate.as_ref().err());
    if ui.json {
        let rows = fates.iter().map(|(topic, partition, fate)| {
            json!({ "topic": topic, "partition": partition, "error": fate.as_ref().err().map(ToString::to_string) })
        });
        ui.json(&rows.collect())?;
    } else {
        for (topic, partition, fate) in &fates {
            match fate {
                Ok(()) => ui.line(&format!("{topic}-{partition}: deleted"))?,
                Err(error) => ui.line(&format!("{topic}-{partition}: {error}"))?,
            }
        }
    }
    failed.map_or(Ok(()), |error| Err(error.clone().into()))
}

async fn delete(args: Delete, ui: Ui) -> Result<(), CliError> {
    let admin = args.remote.admin().await?;
    let mut failed: Option<ClientError> = None;
    let mut rows = Vec::new();
    for group in &args.groups {
        let fate = admin.delete_group(group).await;
        rows.push(json!({ "group": group, "error": fate.as_ref().err().map(ToString::to_string) }));
        if !ui.json {
            match &fate {
                Ok(()) => ui.line(&format!("deleted group {}", ui.strong(group)))?,
                Err(error) => ui.line(&format!("{group}: {error}"))?,
            }
        }
        failed = failed.or(fate.err());
    }
    if ui.json {
        ui.json(&rows.into())?;
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// A time for people: the two largest units.
fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// Why a group's offsets cannot be set.
fn not_empty(group: &GroupDescription) -> CliError {
    let message = format!(
        "group {} is {}: offsets can only be set while it has no members; stop its {} members first",
        group.group_id,
        group.state,
        group.members.len()
    );
    CliError::new(Exit::Refused, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people() {
        for (seconds, text) in
            [(0.0, "0.0 s"), (1.25, "1.2 s"), (61.0, "1 min 1 s"), (7_260.0, "2 h 1 min"), (90_000.0, "1 d 1 h")]
        {
            assert_eq!(duration(seconds), text);
        }
    }
}
