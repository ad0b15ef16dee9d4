//! The hooks on logs and topics: `retention` and `topic-policy`.

use wasmtime::component::{ComponentType, Lift, Lower};
use watershed_hooks::{Failure, LogSummary, Retention, SegmentSummary, TopicChange, TopicPolicy, TopicVerdict};

use super::{Guest, Signature};

/// `retention.segment`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Segment {
    #[component(name = "base-offset")]
    base_offset: i64,
    #[component(name = "end-offset")]
    end_offset: i64,
    bytes: u64,
    records: u64,
    #[component(name = "first-timestamp")]
    first_timestamp: i64,
    #[component(name = "max-timestamp")]
    max_timestamp: i64,
    sealed: bool,
}

impl From<&SegmentSummary> for Segment {
    fn from(segment: &SegmentSummary) -> Self {
        let SegmentSummary { base_offset, end_offset, bytes, records, first_timestamp, max_timestamp, sealed } =
            *segment;
        Self { base_offset, end_offset, bytes, records, first_timestamp, max_timestamp, sealed }
    }
}

/// `retention.log-summary`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Log {
    topic: String,
    partition: u32,
    now: i64,
    #[component(name = "start-offset")]
    start_offset: i64,
    #[component(name = "high-watermark")]
    high_watermark: i64,
    segments: Vec<Segment>,
}

/// `retention.delete-before`.
pub(crate) enum RetentionFn {}

impl Signature for RetentionFn {
    type Params = (Log,);
    type Answer = Option<i64>;
}

impl Retention for Guest<RetentionFn> {
    fn delete_before(&mut self, log: &LogSummary<'_>) -> Result<Option<i64>, Failure> {
        let LogSummary { topic, partition, now, start_offset, high_watermark, segments } = log;
        let log = Log {
            topic: (*topic).to_owned(),
            partition: *partition,
            now: *now,
            start_offset: *start_offset,
            high_watermark: *high_watermark,
            segments: segments.iter().map(Segment::from).collect(),
        };
        self.ask(None, |_| (log,), Ok)
    }
}

/// `types.client`, for a hook without a batch.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Client {
    principal: String,
    #[component(name = "client-id")]
    client_id: String,
    listener: String,
    host: String,
}

/// `topic-policy.topic-change`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Change {
    action: String,
    topic: String,
    partitions: u32,
    #[component(name = "replication-factor")]
    replication_factor: u32,
    configs: Vec<(String, String)>,
    client: Client,
}

/// `topic-policy.verdict`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitVerdict {
    #[component(name = "accept")]
    Accept,
    #[component(name = "accept-with")]
    AcceptWith(Vec<(String, String)>),
    #[component(name = "refuse")]
    Refuse(String),
}

/// `topic-policy.judge`.
pub(crate) enum TopicPolicyFn {}

impl Signature for TopicPolicyFn {
    type Params = (Change,);
    type Answer = WitVerdict;
}

impl TopicPolicy for Guest<TopicPolicyFn> {
    fn judge(&mut self, change: &TopicChange<'_>) -> Result<TopicVerdict, Failure> {
        let watershed_hooks::Client { principal, client_id, listener, host } = change.client;
        let change = Change {
            action: change.action.name().to_owned(),
            topic: change.topic.to_owned(),
            partitions: change.partitions,
            replication_factor: change.replication_factor,
            configs: change.configs.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            client: Client {
                principal: principal.to_owned(),
                client_id: client_id.to_owned(),
                listener: listener.to_owned(),
                host: host.to_owned(),
            },
        };
        self.ask(
            None,
            |_| (change,),
            |verdict| {
                Ok(match verdict {
                    WitVerdict::Accept => TopicVerdict::Accept,
                    WitVerdict::AcceptWith(configs) => TopicVerdict::AcceptWith(configs.into_iter().collect()),
                    WitVerdict::Refuse(reason) => TopicVerdict::Refuse(reason),
                })
            },
        )
    }
}
