//! The reference plugin, natively.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use watershed_hooks::{
    Assignor, Batch, Choice, Column, Failure, FaultKind, FetchFilter, GroupAssignment, GroupSpec, HeaderReads, Hook,
    HookKind, Interceptor, LogSummary, OrderingKey, Partitioner, Pick, Reads, RecordRetention, Replacement, Retention,
    Stay, TopicChange, TopicPartition, TopicPolicy, TopicVerdict, Verdict, Visibility, murmur2,
};

use crate::helpers;

/// What the setting `field` is.
const FIELD: &str = "tenant";

/// An instance of the reference plugin. It neither counts nor logs.
#[must_use]
pub fn reference(kind: HookKind) -> Hook {
    let headers = HeaderReads::All;
    let reads = Reads { keys: true, values: true, timestamps: true, ordering_keys: true, ranks: true, headers };
    let it = Box::new(Reference { reads });
    match kind {
        HookKind::Interceptor => Hook::Interceptor(it),
        HookKind::OrderingKey => Hook::OrderingKey(it),
        HookKind::Partitioner => Hook::Partitioner(it),
        HookKind::FetchFilter => Hook::FetchFilter(it),
        HookKind::Retention => Hook::Retention(it),
        HookKind::RecordRetention => Hook::RecordRetention(it),
        HookKind::Assignor => Hook::Assignor(it),
        HookKind::TopicPolicy => Hook::TopicPolicy(it),
        _ => unreachable!("the reference plugin serves the hooks that there are: {kind}"),
    }
}

struct Reference {
    reads: Reads,
}

/// Fails where the first record's key says so.
fn first_key(batch: &Batch<'_>) -> Result<(), Failure> {
    match batch.keys()?.get(0) {
        Some(b"retry") => Err(later()),
        Some(b"refuse") => Err(Failure::Permanent("never".to_owned())),
        Some(b"trap") => {
            Err(Failure::Fault { kind: FaultKind::Trap, message: "the key of a record is trap".to_owned() })
        }
        _ => Ok(()),
    }
}

fn later() -> Failure {
    Failure::Retriable("later".to_owned())
}

/// A number, or `-` where there is none.
fn or_dash(number: Option<u32>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Another value, the headers stay.
fn value(value: Option<&[u8]>) -> Replacement {
    Replacement { value: Some(value.map(<[u8]>::to_vec)), headers: None }
}

impl OrderingKey for Reference {
    fn reads(&self) -> &Reads {
        &self.reads
    }

    fn ordering_keys(&mut self, batch: &Batch<'_>, ordering_keys: &mut Column) -> Result<(), Failure> {
        let values = batch.values()?;
        for i in 0..batch.len() {
            let pushed = match (batch.headers()?.get(i, b"order", Pick::Last), values.get(i)) {
                (Some(order), _) => ordering_keys.push(Some(order)),
                (None, Some(value)) => ordering_keys.push(helpers::json(value, FIELD).as_deref()),
                (None, None) => ordering_keys.push(None),
            };
            pushed.map_err(|full| Failure::Permanent(full.to_string()))?;
        }
        Ok(())
    }
}

impl Partitioner for Reference {
    fn deterministic(&self) -> bool {
        true
    }

    fn reads(&self) -> &Reads {
        &self.reads
    }

    fn partition(
        &mut self,
        batch: &Batch<'_>,
        partitions: NonZeroU32,
        choices: &mut Vec<Choice>,
    ) -> Result<(), Failure> {
        choices.extend(batch.order_keys()?.map(|key| match key {
            None => Choice::ClientStands,
            Some(b"beyond") => Choice::Partition(partitions.get()),
            Some(key) => Choice::Partition((murmur2(key) & 0x7fff_ffff) % partitions),
        }));
        Ok(())
    }
}

impl Interceptor for Reference {
    fn reads(&self) -> &Reads {
        &self.reads
    }

    fn intercept(&mut self, batch: &Batch<'_>, verdicts: &mut Vec<Verdict>) -> Result<(), Failure> {
        first_key(batch)?;
        for i in 0..batch.len() {
            verdicts.push(verdict(batch, i)?);
        }
        Ok(())
    }
}

fn verdict(batch: &Batch<'_>, i: usize) -> Result<Verdict, Failure> {
    let Some(given) = batch.values()?.get(i) else { return Ok(Verdict::Drop) };
    if let Some(reason) = given.strip_prefix(b"reject:") {
        return Ok(Verdict::Reject(text(reason)));
    }
    if let Some(reason) = given.strip_prefix(b"dlq:") {
        return Ok(Verdict::DeadLetter(text(reason)));
    }
    if let Some(new) = given.strip_prefix(b"replace:") {
        let headers = batch.headers()?.of(i).map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)));
        let headers = headers.chain([(b"replaced".to_vec(), Some(b"1".to_vec()))]).collect();
        return Ok(Verdict::Replace(Replacement { headers: Some(headers), ..value(Some(new)) }));
    }
    Ok(match given {
        b"null" => Verdict::Replace(value(None)),
        b"bare" => Verdict::Replace(Replacement { value: None, headers: Some(Vec::new()) }),
        b"first" => Verdict::Replace(value(batch.headers()?.get(i, b"order", Pick::First))),
        b"last" => Verdict::Replace(value(batch.headers()?.get(i, b"order", Pick::Last))),
        b"size" => Verdict::Replace(value(Some(batch.record_bytes()[i].to_string().as_bytes()))),
        b"who" => {
            let (partition, sequence) = (or_dash(batch.partition()), or_dash(batch.base_sequence()));
            let (topic, client) = (batch.topic(), batch.client());
            let (principal, id) = (client.principal, client.client_id);
            let (listener, host) = (client.listener, client.host);
            let who = format!("{topic} {partition} {sequence} {principal} {id} {listener} {host}");
            Verdict::Replace(value(Some(who.as_bytes())))
        }
        _ => Verdict::Keep,
    })
}

impl FetchFilter for Reference {
    fn reads(&self) -> &Reads {
        &self.reads
    }

    fn filter(&mut self, batch: &Batch<'_>, visibilities: &mut Vec<Visibility>) -> Result<(), Failure> {
        let (values, timestamps) = (batch.values()?, batch.timestamps()?);
        for (i, timestamp) in timestamps.iter().enumerate() {
            let given = values.get(i).unwrap_or_default();
            visibilities.push(if batch.headers()?.get(i, b"secret", Pick::Last).is_some() {
                Visibility::Hide
            } else if given == b"when" {
                Visibility::Redact(value(Some(timestamp.to_string().as_bytes())))
            } else if given.windows(8).any(|window| window == b"password") {
                Visibility::Redact(value(Some(b"***")))
            } else {
                Visibility::Show
            });
        }
        Ok(())
    }
}

impl Retention for Reference {
    fn delete_before(&mut self, log: &LogSummary<'_>) -> Result<Option<i64>, Failure> {
        if log.topic == "retry" {
            return Err(later());
        }
        let old = log.segments.iter().rev().find(|segment| segment.sealed && segment.max_timestamp < log.now - 1000);
        Ok(old.map(|segment| segment.end_offset))
    }
}

impl RecordRetention for Reference {
    fn reads(&self) -> &Reads {
        &self.reads
    }

    fn retain(&mut self, batch: &Batch<'_>, now: i64, stays: &mut Vec<Stay>) -> Result<(), Failure> {
        first_key(batch)?;
        let (ranks, timestamps, ttls) = (batch.ranks()?, batch.timestamps()?, batch.header("ttl", Pick::Last)?);
        stays.extend(ttls.zip(ranks).zip(timestamps).map(|((ttl, rank), timestamp)| {
            let is_over = ttl.and_then(number).is_some_and(|ttl| timestamp + ttl < now);
            if *rank >= 3 || is_over { Stay::Drop } else { Stay::Keep }
        }));
        Ok(())
    }
}

/// One to nine digits.
fn number(text: &[u8]) -> Option<i64> {
    let is_number = (1..=9).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

impl Assignor for Reference {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        let members = group.members();
        let mut assignment = GroupAssignment::empty(members.len());
        for (topic, of) in (0..).zip(group.topics()) {
            let subscribers: Vec<_> = (0..members.len()).filter(|m| members[*m].topics.contains(&topic)).collect();
            for (partition, member) in (0..of.partitions).zip(subscribers.iter().cycle()) {
                assignment.members[*member].push(TopicPartition { topic, partition });
            }
        }
        Ok(assignment)
    }
}

impl TopicPolicy for Reference {
    fn judge(&mut self, change: &TopicChange<'_>) -> Result<TopicVerdict, Failure> {
        let topic = change.topic;
        if topic.starts_with("tmp.") {
            return Ok(TopicVerdict::Refuse("temporary topics are not allowed".to_owned()));
        }
        if topic.starts_with("audit.") {
            let configs = [("cleanup.policy", "delete"), ("retention.ms", "604800000")];
            let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned()));
            return Ok(TopicVerdict::AcceptWith(BTreeMap::from(configs)));
        }
        if topic.starts_with("tell.") {
            let TopicChange { action, partitions, replication_factor, client, .. } = change;
            let cleanup = change.configs.get("cleanup.policy").map_or("-", String::as_str);
            let (action, principal) = (action.name(), client.principal);
            let told = format!("{action} {partitions} {replication_factor} {principal} {cleanup}");
            return Ok(TopicVerdict::Refuse(told));
        }
        Ok(TopicVerdict::Accept)
    }
}
