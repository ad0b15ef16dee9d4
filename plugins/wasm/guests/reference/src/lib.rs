//! The reference plugin: every hook, as the module `conformance` of the crate `watershed-plugin-host` describes it.
//!
//! It shows how a plugin is written in Rust: `wit-bindgen` makes a trait of each interface, and what comes from the broker is
//! packed in columns, which [`columns`] reads and writes. No standard library is needed, so it is small.

#![no_std]

extern crate alloc;

mod columns;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use columns::{Builder, HeaderBuilder, get, header, headers_of};
use exports::watershed::plugin::{
    assignor, fetch_filter, interceptor, lifecycle, ordering_key, partitioner, record_retention, retention, topic_policy,
};
use watershed::plugin::types::{Batch, Column, Failure, HeaderColumns, Pick};
use watershed::plugin::{helpers, host};

wit_bindgen::generate!({ world: "every-hook-plugin", path: "../../wit" });

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

const MANIFEST: &str = r#"{
    "name": "reference",
    "version": "1.0.0",
    "api": 1,
    "reads": ["keys", "values", "timestamps", "ordering_keys", "ranks", "headers"],
    "deterministic": true,
    "counters": ["records"],
    "config_schema": {
        "type": "object",
        "properties": {"field": {"type": "string"}},
        "required": ["field"],
        "additionalProperties": false
    }
}"#;

/// What a partitioner says where the client's choice stands.
const CLIENT_STANDS: u32 = u32::MAX;

/// The setting `field`. An instance runs one call at a time.
static mut FIELD: String = String::new();

fn field() -> &'static str {
    // SAFETY: it is set by `init` only, before any hook is called, and there are no threads.
    unsafe { &*&raw const FIELD }
}

struct Reference;

impl lifecycle::Guest for Reference {
    fn describe() -> String {
        MANIFEST.to_owned()
    }

    fn init(config_json: String) -> Result<(), String> {
        let field = helpers::json(config_json.as_bytes(), "field").ok_or("there is no field")?;
        let field = String::from_utf8(field).map_err(|_| "the field is no text")?;
        // SAFETY: as in `field`.
        unsafe { FIELD = field };
        Ok(())
    }
}

impl ordering_key::Guest for Reference {
    fn ordering_keys(b: &Batch) -> Result<Column, Failure> {
        let (orders, fields) = (b.header("order", Pick::Last), b.value_fields(field()));
        let mut keys = Builder::default();
        for i in 0..b.len() as usize {
            keys.push(get(&orders, i).or_else(|| get(&fields, i)));
        }
        Ok(keys.finish())
    }
}

impl partitioner::Guest for Reference {
    fn partition(b: &Batch, partitions: u32) -> Result<Vec<u32>, Failure> {
        let (ordering_keys, keys) = (b.ordering_keys(), b.keys());
        let choose = |i| match get(&ordering_keys, i).or_else(|| get(&keys, i)) {
            None => CLIENT_STANDS,
            Some(b"beyond") => partitions,
            Some(key) => (columns::murmur2(key) & 0x7fff_ffff) % partitions,
        };
        Ok((0..keys.ends.len()).map(choose).collect())
    }
}

/// What an interceptor says, made record by record.
#[derive(Default)]
struct Verdicts {
    codes: Vec<u8>,
    reasons: Builder,
    values: Builder,
    headers: HeaderBuilder,
}

impl Verdicts {
    fn reason(&mut self, code: u8, reason: &[u8]) {
        self.codes.push(code);
        self.reasons.push(Some(String::from_utf8_lossy(reason).as_bytes()));
    }

    fn value(&mut self, value: Option<&[u8]>) {
        self.codes.push(4);
        self.values.push(value);
    }
}

impl interceptor::Guest for Reference {
    fn intercept(b: &Batch) -> Result<interceptor::Answer, Failure> {
        let (keys, values, headers) = (b.keys(), b.values(), b.headers());
        let records = values.ends.len();
        host::count("records", records as u64);
        if records > 0 {
            host::log(host::Level::Debug, &format!("records: {records}"));
        }
        match get(&keys, 0) {
            Some(b"retry") => return Err(Failure::Retriable("later".to_owned())),
            Some(b"refuse") => return Err(Failure::Permanent("never".to_owned())),
            Some(b"trap") => panic!("the key of a record is trap"),
            _ => {}
        }
        let mut verdicts = Verdicts::default();
        for i in 0..records {
            verdict(b, i, get(&values, i), &headers, &mut verdicts);
        }
        if verdicts.codes.iter().all(|code| *code == 0) {
            return Ok(interceptor::Answer::KeepAll);
        }
        let Verdicts { codes, reasons, values, headers } = verdicts;
        let (reasons, values, headers) = (reasons.finish(), values.finish(), headers.finish());
        Ok(interceptor::Answer::Each(interceptor::Verdicts { codes, reasons, values, headers }))
    }
}

fn verdict(b: &Batch, i: usize, value: Option<&[u8]>, headers: &HeaderColumns, verdicts: &mut Verdicts) {
    let Some(value) = value else { return verdicts.codes.push(1) };
    if let Some(reason) = value.strip_prefix(b"reject:") {
        return verdicts.reason(2, reason);
    }
    if let Some(reason) = value.strip_prefix(b"dlq:") {
        return verdicts.reason(3, reason);
    }
    if let Some(new) = value.strip_prefix(b"replace:") {
        verdicts.codes.push(6);
        verdicts.values.push(Some(new));
        let new = headers_of(headers, i).chain([(&b"replaced"[..], Some(&b"1"[..]))]);
        return verdicts.headers.push(new);
    }
    match value {
        b"null" => verdicts.value(None),
        b"bare" => {
            verdicts.codes.push(5);
            verdicts.headers.push(core::iter::empty());
        }
        b"first" => verdicts.value(header(headers, i, b"order", Pick::First)),
        b"last" => verdicts.value(header(headers, i, b"order", Pick::Last)),
        b"size" => verdicts.value(Some(b.sizes()[i].to_string().as_bytes())),
        b"who" => {
            let or_dash = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
            let (topic, partition, sequence) = (b.topic(), or_dash(b.partition()), or_dash(b.base_sequence()));
            let client = b.client();
            let (principal, id, listener, host) = (client.principal, client.client_id, client.listener, client.host);
            let who = format!("{topic} {partition} {sequence} {principal} {id} {listener} {host}");
            verdicts.value(Some(who.as_bytes()));
        }
        _ => verdicts.codes.push(0),
    }
}

impl fetch_filter::Guest for Reference {
    fn filter(b: &Batch) -> Result<fetch_filter::Answer, Failure> {
        let (values, secrets, timestamps) = (b.values(), b.header("secret", Pick::Last), b.timestamps());
        let (mut codes, mut redacted) = (Vec::new(), Builder::default());
        for i in 0..values.ends.len() {
            let value = get(&values, i).unwrap_or_default();
            let new = if get(&secrets, i).is_some() {
                codes.push(1);
                continue;
            } else if value == b"when" {
                timestamps[i].to_string()
            } else if value.windows(8).any(|window| window == b"password") {
                "***".to_owned()
            } else {
                codes.push(0);
                continue;
            };
            codes.push(2);
            redacted.push(Some(new.as_bytes()));
        }
        if codes.iter().all(|code| *code == 0) {
            return Ok(fetch_filter::Answer::ShowAll);
        }
        let (values, headers) = (redacted.finish(), HeaderBuilder::default().finish());
        Ok(fetch_filter::Answer::Each(fetch_filter::Visibilities { codes, values, headers }))
    }
}

impl retention::Guest for Reference {
    fn delete_before(log: retention::LogSummary) -> Result<Option<i64>, Failure> {
        if log.topic == "retry" {
            return Err(Failure::Retriable("later".to_owned()));
        }
        let old = |segment: &&retention::Segment| segment.sealed && segment.max_timestamp < log.now - 1000;
        Ok(log.segments.iter().rev().find(old).map(|segment| segment.end_offset))
    }
}

impl record_retention::Guest for Reference {
    fn retain(b: &Batch, now: i64) -> Result<record_retention::Answer, Failure> {
        match get(&b.keys(), 0) {
            Some(b"retry") => return Err(Failure::Retriable("later".to_owned())),
            Some(b"refuse") => return Err(Failure::Permanent("never".to_owned())),
            Some(b"trap") => panic!("the key of a record is trap"),
            _ => {}
        }
        let (ranks, timestamps, ttls) = (b.ranks(), b.timestamps(), b.header("ttl", Pick::Last));
        let is_over = |i: usize| get(&ttls, i).and_then(number).is_some_and(|ttl| timestamps[i] + ttl < now);
        let codes: Vec<u8> = (0..ranks.len()).map(|i| u8::from(ranks[i] >= 3 || is_over(i))).collect();
        if codes.iter().all(|code| *code == 0) {
            return Ok(record_retention::Answer::KeepAll);
        }
        Ok(record_retention::Answer::Each(codes))
    }
}

/// One to nine digits.
fn number(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 9 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

impl assignor::Guest for Reference {
    fn assign(g: assignor::Group) -> Result<assignor::Assignment, Failure> {
        let mut given: Vec<Vec<assignor::TopicPartition>> = g.members.iter().map(|_| Vec::new()).collect();
        for (topic, of) in (0..).zip(&g.topics) {
            let subscribers: Vec<_> = (0..given.len()).filter(|m| g.members[*m].topics.contains(&topic)).collect();
            for (partition, member) in (0..of.partitions).zip(subscribers.iter().cycle()) {
                given[*member].push(assignor::TopicPartition { topic, partition });
            }
        }
        let mut assignment = assignor::Assignment { ends: Vec::new(), partitions: Vec::new() };
        for of_member in given {
            assignment.partitions.extend(of_member);
            assignment.ends.push(assignment.partitions.len() as u32);
        }
        Ok(assignment)
    }
}

impl topic_policy::Guest for Reference {
    fn judge(change: topic_policy::TopicChange) -> Result<topic_policy::Verdict, Failure> {
        let topic = &change.topic;
        if topic.starts_with("tmp.") {
            return Ok(topic_policy::Verdict::Refuse("temporary topics are not allowed".to_owned()));
        }
        if topic.starts_with("audit.") {
            let configs = [("cleanup.policy", "delete"), ("retention.ms", "604800000")];
            let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned()));
            return Ok(topic_policy::Verdict::AcceptWith(Vec::from(configs)));
        }
        if topic.starts_with("tell.") {
            let cleanup = change.configs.iter().find(|(name, _)| name == "cleanup.policy");
            let cleanup = cleanup.map_or("-", |(_, value)| value.as_str());
            let (action, principal) = (&change.action, &change.client.principal);
            let (partitions, replicas) = (change.partitions, change.replication_factor);
            let told = format!("{action} {partitions} {replicas} {principal} {cleanup}");
            return Ok(topic_policy::Verdict::Refuse(told));
        }
        Ok(topic_policy::Verdict::Accept)
    }
}

export!(Reference);
