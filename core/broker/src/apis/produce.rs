//! Produce, in two steps: [`start`] does everything ordered (validate, append) and [`PendingProduce`] becomes the response
//! when the storage's promises hold. In between the connection takes the next Produce.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};
use watershed_log::{AppendTicket, Appended, LogError, Origin, ValidatedBatch, validate};
use watershed_metadata::MetadataImage;
use watershed_model::record::BatchHeader;
use watershed_model::{Piece, TopicId};
use watershed_protocol::messages::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceData, PartitionProduceResponse,
    ProduceRequest, ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use watershed_protocol::{ErrorCode, Message, RecordBytes, RequestHeader, StrBytes, encode_response};

use super::{Client, is_internal};
use crate::Broker;
use crate::admission::{LATER, Passed, Refused, pass};
use crate::budget::Share;
use crate::connection::Close;
use crate::errors::{log_code, storage_code};
use crate::metrics::count_error;
use crate::partition::Partition;
use crate::routing::Door;

/// The first version that names topics by id.
const IDS_SINCE: i16 = 13;
/// The first version whose reply names the current leader (KIP-951).
const LEADER_SINCE: i16 = 10;
/// Until this version clients do not know KAFKA_STORAGE_ERROR.
const STORAGE_ERROR_SINCE: i16 = 4;

/// The first version that may carry zstd; before it the request itself is refused.
const ZSTD_SINCE: i16 = 7;

/// acks: wait for nothing, and answer nothing.
const ACKS_NONE: i16 = 0;
const ACKS_LEADER: i16 = 1;
const ACKS_ALL: i16 = -1;

/// A Produce request whose records are in the log and whose response waits for the promise.
pub(crate) struct PendingProduce {
    version: i16,
    correlation_id: i32,
    acks: i16,
    bytes: usize,
    started: Duration,
    /// When the client's patience ends. It counts from the append, so that requests that wait one behind another do not
    /// add up their timeouts.
    expires: Instant,
    deadline: Option<Pin<Box<Sleep>>>,
    response: ProduceResponse,
    /// What is still awaited: the place in the response and the promise.
    waiting: Vec<Waiting>,
    first_error: Option<String>,
    _share: Option<Share>,
}

struct Waiting {
    topic: usize,
    partition: usize,
    ticket: AppendTicket,
}

/// What one partition of a request came to, before the promise.
struct Placed {
    response: PartitionProduceResponse,
    ticket: Option<AppendTicket>,
}

impl PendingProduce {
    /// The request's size, for the connection's limit.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the request was complete, by the broker's clock.
    pub(super) fn started(&self) -> Duration {
        self.started
    }

    /// The response as bytes, once every promise holds, is broken or has taken longer than the client waits; nothing to
    /// send for acks=0.
    pub(super) fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Piece>, Close>> {
        let Self { waiting, response, first_error, .. } = self;
        waiting.retain_mut(|wait| match Pin::new(&mut wait.ticket).poll(cx) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                if let Err(error) = outcome {
                    let place = &mut response.responses[wait.topic].partition_responses[wait.partition];
                    *place = refused(place.index, storage_code(&error), Some(error.to_string()));
                    first_error.get_or_insert_with(|| error.to_string());
                }
                false
            }
        });
        if !self.waiting.is_empty() {
            let expires = self.expires;
            let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(expires)));
            if deadline.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.time_out();
        }
        Poll::Ready(self.finish())
    }

    /// The client waits no longer; the records may still become durable, and a retry of an idempotent producer will find
    /// them.
    fn time_out(&mut self) {
        for wait in self.waiting.drain(..) {
            let place = &mut self.response.responses[wait.topic].partition_responses[wait.partition];
            *place = refused(place.index, ErrorCode::RequestTimedOut, None);
        }
    }

    fn finish(&mut self) -> Result<Vec<Piece>, Close> {
        if self.acks == ACKS_NONE {
            return match self.first_error.take() {
                Some(error) => Err(Close::ProduceWithoutAcks(error)),
                None => Ok(Vec::new()),
            };
        }
        for place in self.response.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
            if self.version < STORAGE_ERROR_SINCE && place.error_code == i16::from(ErrorCode::KafkaStorageError) {
                place.error_code = ErrorCode::NotLeaderOrFollower.into();
            }
            if let Some(code) = ErrorCode::from_code(place.error_code).filter(|code| *code != ErrorCode::None) {
                count_error(code.name());
            }
        }
        Ok(encode_response(&self.response, self.version, self.correlation_id)?)
    }
}

/// The ordered part of a Produce request.
pub(super) async fn start(
    broker: &Arc<Broker>,
    client: &Client,
    header: &RequestHeader,
    body: Bytes,
    share: Option<Share>,
) -> Result<PendingProduce, Close> {
    let version = header.api_version;
    let started = broker.clock().elapsed();
    let bytes = body.len();
    let request = ProduceRequest::decode_leniently(body, version)?;
    let mut pending = PendingProduce {
        version,
        correlation_id: header.correlation_id,
        acks: request.acks,
        bytes,
        started,
        expires: Instant::now(),
        deadline: None,
        response: ProduceResponse { responses: Vec::with_capacity(request.topic_data.len()), ..Default::default() },
        waiting: Vec::new(),
        first_error: None,
        _share: share,
    };
    let refusal = refusal(&request);
    let image = broker.image();
    for topic in request.topic_data {
        let topic_index = pending.response.responses.len();
        let mut answered = Vec::with_capacity(topic.partition_data.len());
        let TopicProduceData { name, topic_id, partition_data } = topic;
        for data in partition_data {
            let index = data.index;
            let placed = match refusal {
                Some(code) => Placed { response: refused(index, code, None), ticket: None },
                None => append(broker, &image, client, version, (&name, topic_id), data).await,
            };
            if placed.response.error_code != 0 {
                let reason = placed.response.error_message.clone();
                pending.first_error.get_or_insert_with(|| reason.unwrap_or_else(|| "refused".to_owned()));
            }
            if let Some(ticket) = placed.ticket.filter(|ticket| request.acks != ACKS_NONE && !ticket.is_ripe()) {
                pending.waiting.push(Waiting { topic: topic_index, partition: answered.len(), ticket });
            }
            answered.push(placed.response);
        }
        // Kafka says nothing about a topic without partitions.
        if !answered.is_empty() {
            // A copy: the request's own name would keep its frame alive until the promise, when all of it is written.
            let name = StrBytes::from(name.as_str());
            pending.response.responses.push(TopicProduceResponse { name, topic_id, partition_responses: answered });
        }
    }
    pending.expires = Instant::now() + Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    if version >= LEADER_SINCE {
        name_leaders(broker, client.listener, version, &image, &mut pending.response);
    }
    Ok(pending)
}

/// What is wrong with the request as a whole; it is the answer for each of its partitions.
fn refusal(request: &ProduceRequest) -> Option<ErrorCode> {
    if ![ACKS_NONE, ACKS_LEADER, ACKS_ALL].contains(&request.acks) {
        return Some(ErrorCode::InvalidRequiredAcks);
    }
    // There is no transaction coordinator that could have let this producer begin.
    let mut batches =
        request.topic_data.iter().flat_map(|topic| &topic.partition_data).filter_map(|data| data.records.as_ref());
    let is_transactional =
        |records: &RecordBytes| BatchHeader::parse(records.bytes()).is_ok_and(|header| header.is_transactional());
    batches.any(is_transactional).then_some(ErrorCode::TransactionalIdAuthorizationFailed)
}

fn refused(index: i32, code: ErrorCode, error_message: Option<String>) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: code.into(),
        base_offset: -1,
        error_message,
        ..PartitionProduceResponse::default()
    }
}

async fn append(
    broker: &Arc<Broker>,
    image: &Arc<MetadataImage>,
    client: &Client,
    version: i16,
    (name, topic_id): (&StrBytes, TopicId),
    data: PartitionProduceData,
) -> Placed {
    let index = data.index;
    let fail = |code, message| Placed { response: refused(index, code, message), ticket: None };
    let partition = match find(broker, image, version, (name, topic_id), index).await {
        Ok(partition) => partition,
        Err(code) => return fail(code, None),
    };
    // The disk is behind: this request waits, and with it its connection, until it has caught up.
    if let Some(room) = partition.topic.storage.room()
        && let Err(error) = room.await
    {
        return fail(storage_code(&error), Some(error.to_string()));
    }
    let records = data.records.map(RecordBytes::into_bytes);
    match append_to(broker, image, client, &partition, version, records).await {
        Ok(placed) => placed,
        Err(Failure::Code(code)) => fail(code, None),
        Err(Failure::Later(message)) => fail(LATER, Some(message)),
        Err(Failure::Log(error)) => {
            let mut response = refused(index, log_code(&error), Some(error.to_string()));
            if names_log_start(&error, version) {
                response.log_start_offset = partition.log.start().0;
            }
            if let LogError::InvalidRecord { records, .. } | LogError::InvalidTimestamp { records, .. } = error {
                let issue = |issue: watershed_log::RecordIssue| BatchIndexAndErrorMessage {
                    batch_index: issue.index,
                    batch_index_error_message: Some(issue.message),
                };
                response.record_errors = records.into_iter().map(issue).collect();
            }
            Placed { response, ticket: None }
        }
    }
}

/// Whether Kafka tells the log start offset beside this refusal.
fn names_log_start(error: &LogError, version: i16) -> bool {
    match error {
        LogError::NotOneBatch(_)
        | LogError::TooLarge { .. }
        | LogError::LargerThanSegment { .. }
        | LogError::Corrupt(_)
        | LogError::Storage(_) => false,
        LogError::UnsupportedCompression(_) => version >= ZSTD_SINCE,
        _ => true,
    }
}

enum Failure {
    Code(ErrorCode),
    Later(String),
    Log(LogError),
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Log(error) => Self::Log(error),
            Refused::Later(message) => Self::Later(message),
        }
    }
}

async fn find(
    broker: &Arc<Broker>,
    image: &Arc<MetadataImage>,
    version: i16,
    (name, topic_id): (&StrBytes, TopicId),
    index: i32,
) -> Result<Arc<Partition>, ErrorCode> {
    let topic = Broker::find_topic(image, version >= IDS_SINCE, topic_id, name)?;
    if is_internal(topic.name()) {
        return Err(ErrorCode::InvalidTopicException);
    }
    if index < 0 || index >= topic.partition_count() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    broker.partition(image, &topic, index).await
}

async fn append_to(
    broker: &Arc<Broker>,
    image: &Arc<MetadataImage>,
    client: &Client,
    partition: &Arc<Partition>,
    version: i16,
    records: Option<Bytes>,
) -> Result<Placed, Failure> {
    let config = partition.topic.config();
    let origin = Origin::Client { produce_version: version };
    let batch = validate(records.unwrap_or_default(), &config, origin, broker.clock().now())?;
    let header = batch.header;
    let appended = admit(broker, image, client, partition, batch).await;
    match &appended {
        Ok(_) => partition.held.release(&header),
        // It is to come again, and first.
        Err(Failure::Later(_) | Failure::Log(LogError::Diverted)) => partition.held.hold(&header, true),
        Err(_) => {}
    }
    Ok(placed(partition, appended?))
}

/// Takes a batch through the topic's plugins and appends it where it enters.
async fn admit(
    broker: &Arc<Broker>,
    image: &Arc<MetadataImage>,
    client: &Client,
    partition: &Arc<Partition>,
    batch: ValidatedBatch,
) -> Result<Appended, Failure> {
    let bindings = partition.topic.bindings();
    let door = match Door::find(broker, partition, bindings.as_deref()).await {
        Ok(door) => door,
        Err(why) => {
            partition.held.check(&batch.header)?;
            return Err(Failure::Later(why));
        }
    };
    match bindings.filter(|bindings| bindings.has_admission()) {
        Some(bindings) => match pass(broker, image, partition, client, &door, bindings, batch).await? {
            Passed::Batch(passed, plan) => enter(broker, partition, &door, passed, &plan).await,
            Passed::Duplicate(appended) => Ok(appended),
        },
        None => match look_before(partition, &door, &batch.header, batch.origin)? {
            Some(appended) => Ok(appended),
            None => enter(broker, partition, &door, batch, &[]).await,
        },
    }
}

/// What has to be asked before a batch that passes no plugin is appended: where producers are held back or the partition has two
/// logs, which is rare, whether it is there already.
fn look_before(
    partition: &Partition,
    door: &Door,
    header: &BatchHeader,
    origin: Origin,
) -> Result<Option<Appended>, Refused> {
    if !door.has_two_logs() && !partition.held.any() {
        return Ok(None);
    }
    let found = door.find_duplicate(header, origin)?;
    if found.is_none() {
        partition.held.check(header)?;
    }
    Ok(found)
}

async fn enter(
    broker: &Broker,
    partition: &Partition,
    door: &Door,
    batch: ValidatedBatch,
    plan: &[u32],
) -> Result<Appended, Failure> {
    let (bytes, count) = (u64::from(batch.header.total_bytes), batch.header.record_count);
    if !door.is_ingress() {
        let offsets = i64::from(batch.header.last_offset_delta) + 1;
        partition.reserve(broker, offsets).await.map_err(Failure::Code)?;
    }
    let appended = door.append(batch, plan)?;
    if !appended.duplicate {
        partition.topic.metrics.bytes_in.increment(bytes);
        partition.topic.metrics.records_in.increment(u64::try_from(count).unwrap_or(0));
    }
    Ok(appended)
}

fn placed(partition: &Partition, appended: Appended) -> Placed {
    let response = PartitionProduceResponse {
        index: partition.tp.partition,
        error_code: ErrorCode::None.into(),
        base_offset: appended.base_offset.0,
        log_append_time_ms: appended.log_append_time.map_or(-1, |time| time.0),
        log_start_offset: appended.log_start_offset.0,
        ..PartitionProduceResponse::default()
    };
    Placed { response, ticket: Some(appended.ticket) }
}

/// Tells a client that asked the wrong broker who leads.
fn name_leaders(broker: &Broker, listener: usize, version: i16, image: &MetadataImage, response: &mut ProduceResponse) {
    let mut named = Vec::new();
    for topic in &mut response.responses {
        for place in topic.partition_responses.iter_mut() {
            if place.error_code != i16::from(ErrorCode::NotLeaderOrFollower) {
                continue;
            }
            let known = Broker::find_topic(image, version >= IDS_SINCE, topic.topic_id, &topic.name).ok();
            let Some(found) = known.as_ref().and_then(|topic| image.partition(&topic.id(), place.index)) else {
                continue;
            };
            place.current_leader = LeaderIdAndEpoch { leader_id: found.leader.0, leader_epoch: found.leader_epoch.0 };
            if !named.contains(&found.leader) {
                named.push(found.leader);
            }
        }
    }
    let endpoint = |id: watershed_model::BrokerId| {
        let (host, port) = broker.endpoint(listener, id)?;
        let rack = image.broker(id).and_then(|broker| broker.rack.clone());
        Some(NodeEndpoint { node_id: id.0, host, port, rack })
    };
    response.node_endpoints = named.into_iter().filter_map(endpoint).collect();
}
