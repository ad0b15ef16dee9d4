//! Fixtures: what a plugin is asked, and what it has to answer, as YAML. They run on the broker's own hosts.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Deserialize;
use serde_json::{Value, json};
use watershed_hooks::{
    Batch, Choice, Client, Column, Failure, GroupMember, GroupSpec, GroupTopic, Hook, HookKind, LogSummary, Place,
    Reads, Records, Replacement, SegmentSummary, Settings, Stay, TopicAction, TopicChange, TopicPartition,
    TopicVerdict, Verdict, Visibility, assign, assign_group, by_topic, filter, intercept, order, retain,
};
use watershed_model::TopicId;

use crate::config::PluginLimits;

/// A file of fixtures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixtures {
    /// The plugin's settings.
    #[serde(default)]
    pub(super) config: Settings,
    /// What an instance may use, as in `[[plugins]]`.
    #[serde(default)]
    pub(super) limits: PluginLimits,
    /// What is asked, in this order.
    pub(super) cases: Vec<Case>,
}

/// One question and its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What it is about, for people.
    pub(super) name: String,
    /// The hook that is asked.
    pub(super) hook: String,
    #[serde(default = "some_topic")]
    topic: String,
    partition: Option<u32>,
    #[serde(default)]
    client: Asker,
    #[serde(default)]
    records: Vec<Record>,
    partitions: Option<NonZeroU32>,
    /// The time, for the hook `record-retention`.
    now: Option<i64>,
    log: Option<Log>,
    group: Option<Group>,
    change: Option<Change>,
    /// The answer, in the shape of the hook.
    #[serde(default, deserialize_with = "given")]
    expect: Option<Value>,
    /// What the message of a failure has in it.
    expect_error: Option<String>,
}

/// A null that is given is an answer, too.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn some_topic() -> String {
    "topic".to_owned()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asker {
    principal: String,
    client_id: String,
    listener: String,
    host: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Record {
    key: Option<String>,
    value: Option<String>,
    timestamp: i64,
    headers: Vec<(String, Option<String>)>,
    ordering_key: Option<String>,
    rank: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    now: i64,
    #[serde(default)]
    start_offset: i64,
    high_watermark: i64,
    segments: Vec<Segment>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Segment {
    base_offset: i64,
    end_offset: i64,
    bytes: u64,
    #[serde(default)]
    records: u64,
    #[serde(default = "none")]
    first_timestamp: i64,
    max_timestamp: i64,
    sealed: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    topics: BTreeMap<String, u32>,
    members: BTreeMap<String, Member>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Member {
    topics: Vec<String>,
    instance_id: Option<String>,
    rack: Option<String>,
    owned: BTreeMap<String, Vec<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    action: String,
    partitions: u32,
    #[serde(default = "one")]
    replication_factor: u32,
    #[serde(default)]
    configs: BTreeMap<String, String>,
}

fn none() -> i64 {
    -1
}

fn one() -> u32 {
    1
}

impl Fixtures {
    /// Reads a file of fixtures.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // As YAML 1.2 has it: `y` and `no` are texts.
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
    }
}

impl Case {
    /// The hook that is asked.
    ///
    /// # Errors
    /// There is no such hook.
    pub(super) fn hook(&self) -> Result<HookKind, String> {
        let names = || HookKind::ALL.map(HookKind::name).join(", ");
        let found = HookKind::ALL.into_iter().find(|hook| hook.name() == self.hook);
        found.ok_or_else(|| format!("there is no hook {:?}; there are: {}", self.hook, names()))
    }

    /// Asks an instance.
    ///
    /// # Errors
    /// The plugin's failure, for people.
    pub(super) fn ask(&self, hook: &mut Hook) -> Result<Value, String> {
        let answer = match hook {
            Hook::Retention(plugin) => {
                let log = self.log.as_ref().ok_or("`log` is missing")?;
                plugin.delete_before(&log.summary(&self.topic, self.partition.unwrap_or(0))).map(|before| json!(before))
            }
            Hook::Assignor(plugin) => {
                let group = self.group.as_ref().ok_or("`group` is missing")?;
                let spec = group.spec()?;
                assign_group(&mut **plugin, &spec).map(|answer| assignment(&spec, &answer.members))
            }
            Hook::TopicPolicy(plugin) => {
                let change = self.change.as_ref().ok_or("`change` is missing")?;
                plugin.judge(&change.change(&self.topic, self.asker())?).map(|verdict| match verdict {
                    TopicVerdict::Accept => json!("accept"),
                    TopicVerdict::AcceptWith(configs) => json!({ "accept": configs }),
                    TopicVerdict::Refuse(reason) => json!({ "refuse": reason }),
                })
            }
            on_records => self.ask_about_records(on_records)?,
        };
        answer.map_err(|failure| failure.to_string())
    }

    fn ask_about_records(&self, hook: &mut Hook) -> Result<Result<Value, Failure>, String> {
        let reads = hook.reads().cloned().ok_or_else(|| format!("fixtures cannot ask a {}", hook.kind()))?;
        let records = self.columns(&reads)?;
        let place = Place { topic: &self.topic, partition: self.partition, base_sequence: None };
        let batch = Batch::new(place, self.asker(), &records, &reads);
        Ok(match hook {
            Hook::Interceptor(plugin) => {
                let mut verdicts = Vec::new();
                intercept(&mut **plugin, &batch, &mut verdicts).map(|()| verdicts.iter().map(verdict).collect())
            }
            Hook::OrderingKey(plugin) => {
                let mut keys = Column::new();
                order(&mut **plugin, &batch, &mut keys).map(|()| keys.iter().map(|key| key.map(text)).collect())
            }
            Hook::Partitioner(plugin) => {
                let partitions = self.partitions.ok_or("`partitions` is missing")?;
                let mut choices = Vec::new();
                assign(&mut **plugin, &batch, partitions, &mut choices).map(|()| choices.iter().map(choice).collect())
            }
            Hook::FetchFilter(plugin) => {
                let mut seen = Vec::new();
                filter(&mut **plugin, &batch, &mut seen).map(|()| seen.iter().map(visibility).collect())
            }
            Hook::RecordRetention(plugin) => {
                let now = self.now.ok_or("`now` is missing")?;
                let mut stays = Vec::new();
                retain(&mut **plugin, &batch, now, &mut stays).map(|()| stays.iter().map(stay).collect())
            }
            other => return Err(format!("fixtures cannot ask a {}", other.kind())),
        })
    }

    fn asker(&self) -> Client<'_> {
        let Asker { principal, client_id, listener, host } = &self.client;
        Client { principal, client_id, listener, host }
    }

    fn columns(&self, reads: &Reads) -> Result<Records, String> {
        let (mut records, mut ordering_keys) = (Records::new(reads.clone()), Column::new());
        for record in &self.records {
            let bytes = |text: &'_ Option<String>| text.clone().map(String::into_bytes);
            let headers: Vec<_> = record
                .headers
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_deref().map(str::as_bytes)))
                .collect();
            let (key, value) = (bytes(&record.key), bytes(&record.value));
            let pushed = records.push(key.as_deref(), value.as_deref(), record.timestamp, headers.into_iter());
            pushed.map_err(|error| error.to_string())?;
            let pushed = ordering_keys.push(record.ordering_key.as_deref().map(str::as_bytes));
            pushed.map_err(|error| error.to_string())?;
        }
        records.set_ordering_keys(ordering_keys);
        records.set_ranks(self.records.iter().map(|record| record.rank).collect());
        Ok(records)
    }

    /// Whether an answer is the expected one; what is wrong otherwise.
    ///
    /// # Errors
    /// The difference, for people.
    pub(super) fn judge(&self, answer: &Result<Value, String>) -> Result<(), String> {
        match (answer, &self.expect, &self.expect_error) {
            (Ok(answer), Some(expected), None) if answer == expected => Ok(()),
            (Ok(answer), Some(expected), None) => Err(format!("it answered {answer}, expected was {expected}")),
            (Ok(answer), _, Some(error)) => Err(format!("it answered {answer}, a failure with {error:?} was expected")),
            (Err(failure), None, Some(error)) if failure.contains(error) => Ok(()),
            (Err(failure), _, _) => Err(format!("it failed: {failure}")),
            (Ok(answer), None, None) => {
                Err(format!("it answered {answer}; the case has neither expect nor expect_error"))
            }
        }
    }
}

impl Log {
    fn summary<'a>(&self, topic: &'a str, partition: u32) -> LogSummary<'a> {
        let segment = |segment: &Segment| SegmentSummary {
            base_offset: segment.base_offset,
            end_offset: segment.end_offset,
            bytes: segment.bytes,
            records: segment.records,
            first_timestamp: segment.first_timestamp,
            max_timestamp: segment.max_timestamp,
            sealed: segment.sealed,
        };
        LogSummary {
            topic,
            partition,
            now: self.now,
            start_offset: self.start_offset,
            high_watermark: self.high_watermark,
            segments: self.segments.iter().map(segment).collect(),
        }
    }
}

impl Group {
    fn spec(&self) -> Result<GroupSpec<'_>, String> {
        let names: Vec<&str> = self.topics.keys().map(String::as_str).collect();
        let index = |name: &str| {
            let found = names.iter().position(|known| *known == name);
            found
                .and_then(|at| u32::try_from(at).ok())
                .ok_or_else(|| format!("there is no topic {name:?} in the group"))
        };
        let topics = self.topics.iter().map(|(name, partitions)| GroupTopic {
            name,
            id: TopicId([0; 16]),
            partitions: *partitions,
            racks: Vec::new(),
        });
        let mut members = Vec::new();
        for (id, member) in &self.members {
            let topics = member.topics.iter().map(|name| index(name)).collect::<Result<_, _>>()?;
            let mut owned = Vec::new();
            for (name, partitions) in &member.owned {
                let topic = index(name)?;
                owned.extend(partitions.iter().map(|partition| TopicPartition { topic, partition: *partition }));
            }
            members.push(GroupMember {
                member_id: id,
                instance_id: member.instance_id.as_deref(),
                rack: member.rack.as_deref(),
                topics,
                owned,
                user_data: &[],
            });
        }
        Ok(GroupSpec::new(topics.collect(), members))
    }
}

fn assignment(spec: &GroupSpec<'_>, members: &[Vec<TopicPartition>]) -> Value {
    let of = |partitions: &Vec<TopicPartition>| {
        let topics = by_topic(partitions).map(|(topic, partitions)| {
            let numbers: Vec<u32> = partitions.iter().map(|partition| partition.partition).collect();
            (spec.topics()[topic as usize].name.to_owned(), json!(numbers))
        });
        Value::Object(topics.collect())
    };
    Value::Object(spec.members().iter().zip(members).map(|(m, given)| (m.member_id.to_owned(), of(given))).collect())
}

impl Change {
    fn change<'a>(&'a self, topic: &'a str, client: Client<'a>) -> Result<TopicChange<'a>, String> {
        let action = match self.action.as_str() {
            "create" => TopicAction::Create,
            "alter" => TopicAction::Alter,
            "grow" => TopicAction::Grow,
            other => return Err(format!("there is no action {other:?}; there are: create, alter, grow")),
        };
        let Self { partitions, replication_factor, configs, .. } = self;
        Ok(TopicChange {
            action,
            topic,
            partitions: *partitions,
            replication_factor: *replication_factor,
            configs,
            client,
        })
    }
}

/// Bytes as text; what is no text is written out.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| format!("{}", bytes.escape_ascii()))
}

pub(super) fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Keep => json!("keep"),
        Verdict::Drop => json!("drop"),
        Verdict::Reject(reason) => json!({ "reject": reason }),
        Verdict::DeadLetter(reason) => json!({ "dlq": reason }),
        Verdict::Replace(new) => json!({ "replace": replacement(new) }),
    }
}

pub(super) fn visibility(visibility: &Visibility) -> Value {
    match visibility {
        Visibility::Show => json!("show"),
        Visibility::Hide => json!("hide"),
        Visibility::Redact(new) => json!({ "redact": replacement(new) }),
    }
}

pub(super) fn stay(stay: &Stay) -> Value {
    match stay {
        Stay::Keep => json!("keep"),
        Stay::Drop => json!("drop"),
    }
}

fn replacement(new: &Replacement) -> Value {
    let mut parts = serde_json::Map::new();
    if let Some(value) = &new.value {
        parts.insert("value".to_owned(), json!(value.as_deref().map(text)));
    }
    if let Some(headers) = &new.headers {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| json!([text(name), value.as_deref().map(text)])).collect();
        parts.insert("headers".to_owned(), json!(headers));
    }
    Value::Object(parts)
}

pub(super) fn choice(choice: &Choice) -> Value {
    match choice {
        Choice::Partition(partition) => json!(partition),
        Choice::ClientStands => Value::Null,
    }
}
