//! `watershed topic`: create, list, describe, alter, delete.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use watershed_client::{
    Admin, AlterOp, ClientError, ConfigEntry, ConfigResource, ConfigSource, IsolationLevel, NewTopic, OffsetSpec,
    PartitionMetadata, TopicMetadata,
};
use watershed_protocol::ErrorCode;

use super::exit::{CliError, Exit};
use super::http_api::{self, TopicStatus};
use super::remote::Remote;
use super::ui::{Ui, bytes};

/// What is shown where nobody can say.
const UNKNOWN: &str = "—";

/// How long the broker's HTTP API may take; it is an extra, so not long.
const HTTP_TIMEOUT: Duration = Duration::from_secs(2);

/// `watershed topic …`
#[derive(Debug, clap::Subcommand)]
pub enum TopicCommand {
    /// Create a topic
    Create(Create),
    /// List the topics
    List(List),
    /// Show a topic's partitions, configs and state
    Describe(Describe),
    /// Change a topic's configs or grow it
    Alter(Alter),
    /// Delete a topic and everything in it
    Delete(Delete),
}

/// `watershed topic create`
#[derive(Debug, clap::Args)]
pub struct Create {
    /// The topic's name
    name: String,
    /// How many partitions [default: the broker's num.partitions]
    #[arg(long, short)]
    partitions: Option<i32>,
    /// How many replicas of each partition [default: the broker's default.replication.factor]
    #[arg(long, short)]
    replication_factor: Option<i16>,
    /// A config of the topic, such as retention.ms=60000; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// Succeed if the topic is there already
    #[arg(long)]
    if_not_exists: bool,
    /// Only say whether it could be created
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

/// `watershed topic list`
#[derive(Debug, clap::Args)]
pub struct List {
    /// Internal topics too
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    remote: Remote,
}

/// `watershed topic describe`
#[derive(Debug, clap::Args)]
pub struct Describe {
    /// The topic's name
    name: String,
    /// Every config, not only those that differ from the defaults
    #[arg(long)]
    all_configs: bool,
    /// The HTTP API of a Watershed broker, for what Kafka's protocol cannot carry
    #[arg(long, value_name = "URL", default_value = http_api::DEFAULT_URL, env = "WATERSHED_HTTP")]
    http: String,
    #[command(flatten)]
    remote: Remote,
}

/// `watershed topic alter`
#[derive(Debug, clap::Args)]
pub struct Alter {
    /// The topic's name
    name: String,
    /// Grow to so many partitions
    #[arg(long, short)]
    partitions: Option<i32>,
    /// Set a config; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// Go back to a config's default; may be repeated
    #[arg(long, value_name = "NAME")]
    delete_config: Vec<String>,
    /// Only say whether it could be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

/// `watershed topic delete`
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// The topics' names
    #[arg(required = true)]
    names: Vec<String>,
    /// Succeed if a topic is not there
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    remote: Remote,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the command.
///
/// # Errors
/// What the broker refuses, or that it cannot be reached.
pub async fn run(command: TopicCommand, ui: Ui) -> Result<(), CliError> {
    match command {
        TopicCommand::Create(args) => create(args, ui).await,
        TopicCommand::List(args) => list(args, ui).await,
        TopicCommand::Describe(args) => describe(args, ui).await,
        TopicCommand::Alter(args) => alter(args, ui).await,
        TopicCommand::Delete(args) => delete(args, ui).await,
    }
}

async fn create(args: Create, ui: Ui) -> Result<(), CliError> {
    let admin = args.remote.admin().await?;
    let topic = NewTopic {
        name: args.name,
        partitions: args.partitions,
        replication_factor: args.replication_factor,
        configs: args.config,
    };
    let (created, id) = match admin.create_topic(&topic, args.dry_run).await {
        Ok(id) => (!args.dry_run, Some(id).filter(|id| !id.is_zero())),
        Err(e) if args.if_not_exists && e.code() == Some(ErrorCode::TopicAlreadyExists) => (false, None),
        Err(error) => return Err(error.into()),
    };
    if ui.json {
        let id = id.map(|id| id.to_string());
        ui.json(&json!({ "topic": topic.name, "id": id, "created": created, "dry_run": args.dry_run }))?;
    } else if args.dry_run {
        ui.line(&format!("topic {} could be created", topic.name))?;
    } else if created {
        ui.line(&format!("created topic {}", ui.strong(&topic.name)))?;
    } else {
        ui.line(&format!("topic {} is there already", topic.name))?;
    }
    Ok(())
}

async fn list(args: List, ui: Ui) -> Result<(), CliError> {
    let admin = args.remote.admin().await?;
    let metadata = admin.list_topics().await?;
    let mut topics: Vec<_> = metadata.topics.values().filter(|t| args.internal || !t.internal).collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let replicas = |t: &TopicMetadata| t.partitions.first().map_or(0, |p| p.replicas.len());
    if ui.json {
        let rows = topics.iter().map(|t| {
            json!({
                "topic": &*t.name, "id": t.id.to_string(), "partitions": t.partitions.len(),
                "replication_factor": replicas(t), "internal": t.internal,
            })
        });
        return Ok(ui.json(&rows.collect())?);
    }
    let rows: Vec<_> = topics
        .iter()
        .map(|t| vec![t.name.to_string(), t.partitions.len().to_string(), replicas(t).to_string(), t.id.to_string()])
        .collect();
    Ok(ui.table(&["TOPIC", "PARTITIONS", "REPLICAS", "ID"], &rows)?)
}

/// What is known of a partition beside its metadata.
#[derive(Clone, Copy, Default)]
struct Extent {
    start: Option<i64>,
    end: Option<i64>,
    bytes: Option<i64>,
}

async fn describe(args: Describe, ui: Ui) -> Result<(), CliError> {
    let admin = args.remote.admin().await?;
    let topic = admin.client().topic(&args.name).await?;
    let configs = admin.describe_configs(&ConfigResource::Topic(args.name.clone()), None).await?;
    let configs: Vec<_> = configs.into_iter().filter(|c| args.all_configs || c.source == ConfigSource::Topic).collect();
    let extents = extents(&admin, &topic).await?;
    let status = http_api::topic_status(&args.http, &topic.id.to_string(), HTTP_TIMEOUT).await;
    if ui.json {
        return describe_json(&topic, &configs, &extents, status.as_ref(), ui);
    }
    ui.line(&format!("{}  {}", ui.strong(&topic.name), ui.faint(&topic.id.to_string())))?;
    let storage = status.as_ref().map_or(UNKNOWN, |s| &s.storage);
    ui.line(&format!("storage   {storage}"))?;
    let cleaned = match &status {
        Some(s) if s.not_cleaned_yet => ui.warning("not cleaned yet: compaction is not built, so the topic only grows"),
        Some(_) => "by retention".to_owned(),
        None => UNKNOWN.to_owned(),
    };
    ui.line(&format!("cleaning  {cleaned}"))?;
    if configs.is_empty() {
        ui.line("configs   all default")?;
    }
    for config in &configs {
        let source = match config.source {
            ConfigSource::Topic => String::new(),
            source => ui.faint(&format!("  ({})", source.name())),
        };
        ui.line(&format!("config    {}={}{source}", config.name, shown(config)))?;
    }
    let number = |n: Option<i64>| n.map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string());
    let rows: Vec<_> = topic
        .partitions
        .iter()
        .map(|p| {
            let extent = extents.get(&p.index).copied().unwrap_or_default();
            let size = extent.bytes.and_then(|n| u64::try_from(n).ok());
            vec![
                p.index.to_string(),
                leader(p),
                p.leader_epoch.to_string(),
                ids(&p.replicas),
                ids(&p.isr),
                number(extent.start),
                number(extent.end),
                size.map_or_else(|| UNKNOWN.to_owned(), bytes),
            ]
        })
        .collect();
    let head = ["PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "START", "END", "SIZE"];
    Ok(ui.table(&head, &rows)?)
}

fn describe_json(
    topic: &TopicMetadata,
    configs: &[ConfigEntry],
    extents: &HashMap<i32, Extent>,
    status: Option<&TopicStatus>,
    ui: Ui,
) -> Result<(), CliError> {
    let partitions = topic.partitions.iter().map(|p| {
        let extent = extents.get(&p.index).copied().unwrap_or_default();
        json!({
            "partition": p.index, "leader": p.leader.map(|l| l.0), "leader_epoch": p.leader_epoch.0,
            "replicas": p.replicas, "isr": p.isr, "offline": p.offline,
            "start_offset": extent.start, "end_offset": extent.end, "bytes": extent.bytes,
        })
    });
    let configs = configs
        .iter()
        .map(|c| json!({ "name": c.name, "value": c.value, "source": c.source.name(), "read_only": c.read_only }));
    ui.json(&json!({
        "topic": &*topic.name, "id": topic.id.to_string(), "internal": topic.internal,
        "storage": status.map(|s| s.storage.as_str()), "not_cleaned_yet": status.map(|s| s.not_cleaned_yet),
        "configs": configs.collect::<Vec<_>>(), "partitions": partitions.collect::<Vec<_>>(),
    }))?;
    Ok(())
}

fn shown(config: &ConfigEntry) -> &str {
    match &config.value {
        Some(value) => value,
        None if config.sensitive => "(secret)",
        None => "(null)",
    }
}

fn leader(partition: &PartitionMetadata) -> String {
    partition.leader.map_or_else(|| "none".to_owned(), |l| l.to_string())
}

fn ids(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// First and end offsets and sizes; sizes stay unknown where the broker does not say.
async fn extents(admin: &Admin, topic: &TopicMetadata) -> Result<HashMap<i32, Extent>, CliError> {
    let ask = |spec| {
        let with_leader = topic.partitions.iter().filter(|p| p.leader.is_some());
        with_leader.map(|p| (topic.name.to_string(), p.index, spec)).collect::<Vec<_>>()
    };
    let isolation = IsolationLevel::ReadUncommitted;
    let mut extents: HashMap<i32, Extent> = HashMap::new();
    for at in admin.list_offsets(&ask(OffsetSpec::Earliest), isolation).await? {
        extents.entry(at.partition).or_default().start = at.offset.map(|o| o.0);
    }
    for at in admin.list_offsets(&ask(OffsetSpec::Latest), isolation).await? {
        extents.entry(at.partition).or_default().end = at.offset.map(|o| o.0);
    }
    let dirs = match admin.describe_log_dirs().await {
        Ok(dirs) => dirs,
        Err(ClientError::Unsupported { .. } | ClientError::Broker { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    for replica in dirs.iter().flat_map(|d| &d.replicas).filter(|r| r.topic == *topic.name) {
        let bytes = &mut extents.entry(replica.partition).or_default().bytes;
        *bytes = (*bytes).max(Some(replica.bytes));
    }
    Ok(extents)
}

async fn alter(args: Alter, ui: Ui) -> Result<(), CliError> {
    if args.partitions.is_none() && args.config.is_empty() && args.delete_config.is_empty() {
        return Err(CliError::new(Exit::Usage, "nothing to change: give --partitions, --config or --delete-config"));
    }
    let admin = args.remote.admin().await?;
    let sets = args.config.into_iter().map(|(name, value)| (name, AlterOp::Set(value)));
    let deletes = args.delete_config.into_iter().map(|name| (name, AlterOp::Delete));
    let changes: Vec<_> = sets.chain(deletes).collect();
    if !changes.is_empty() {
        admin.alter_configs(&ConfigResource::Topic(args.name.clone()), &changes, args.dry_run).await?;
    }
    if let Some(count) = args.partitions {
        admin.create_partitions(&args.name, count, args.dry_run).await?;
    }
    if ui.json {
        ui.json(&json!({ "topic": args.name, "altered": !args.dry_run, "dry_run": args.dry_run }))?;
    } else if args.dry_run {
        ui.line(&format!("topic {} could be altered", args.name))?;
    } else {
        ui.line(&format!("altered topic {}", ui.strong(&args.name)))?;
    }
    Ok(())
}

async fn delete(args: Delete, ui: Ui) -> Result<(), CliError> {
    let admin = args.remote.admin().await?;
    let mut rows = Vec::new();
    for name in args.names {
        let deleted = match admin.delete_topic(&name).await {
            Ok(()) => true,
            Err(e) if args.if_exists && e.code() == Some(ErrorCode::UnknownTopicOrPartition) => false,
            Err(error) => return Err(error.into()),
        };
        if !ui.json {
            let verb = if deleted { "deleted" } else { "there is no" };
            ui.line(&format!("{verb} topic {}", ui.strong(&name)))?;
        }
        rows.push(json!({ "topic": name, "deleted": deleted }));
    }
    if ui.json {
        ui.json(&rows.into())?;
    }
    Ok(())
}
