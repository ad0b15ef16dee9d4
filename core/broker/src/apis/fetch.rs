//! Fetch: with sessions (KIP-227), topic ids (KIP-516) and a long poll that is woken, never polled.
//!
//! A request that finds too little parks: it registers once with every partition it reads, for the mark that bounds its
//! reads, and looks again when one of them moves. `max_wait_ms` only bounds the wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use watershed_log::{Bound, Listener, Reached};
use watershed_metadata::MetadataImage;
use watershed_model::{BrokerId, LeaderEpoch, Offset};
use watershed_protocol::messages::fetch::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use watershed_protocol::{ErrorCode, Records};

use super::{Call, is_isolation_level};
use crate::Broker;
use crate::fetch_session::{FetchKey, Found, Wanted};
use crate::metrics::count_error;
use crate::partition::Partition;
use crate::reading::{self, Wish};

/// The first version that names topics by id.
const IDS_SINCE: i16 = 13;
/// The first version whose reply names the current leader (KIP-951).
const LEADER_SINCE: i16 = 16;
/// Until this version clients do not know KAFKA_STORAGE_ERROR.
const STORAGE_ERROR_SINCE: i16 = 6;

const READ_COMMITTED: i8 = 1;

pub(super) async fn handle(call: &Call<'_>, request: FetchRequest) -> FetchResponse {
    if !is_isolation_level(request.isolation_level) {
        return FetchResponse { error_code: ErrorCode::InvalidRequest.into(), ..FetchResponse::default() };
    }
    let (wanted, forgotten) = keys(&request);
    let sessions = call.broker.sessions();
    let now = call.broker.clock().elapsed();
    let metadata = (request.session_id, request.session_epoch);
    let (context, wanted) = match sessions.begin(call.version, metadata, wanted, &forgotten, now) {
        Ok(begun) => begun,
        Err(code) => return FetchResponse { error_code: code.into(), ..FetchResponse::default() },
    };
    let is_replica = request.replica_id >= 0 || request.replica_state.replica_id >= 0;
    let mut answers = Poll::new(call, &request, wanted, is_replica).run().await;
    if answers.iter().any(Answer::is_unknown) {
        // Kafka tells of what does not exist behind everything else.
        answers.sort_by_key(Answer::is_unknown);
    }
    let facts: Vec<_> = answers.iter().map(|answer| (answer.key.clone(), answer.wanted, found(&answer.data))).collect();
    let now = call.broker.clock().elapsed();
    match sessions.finish(&context, &facts, || call.broker.random_u32(), now) {
        Ok((session_id, keep)) => respond(call, session_id, answers, &keep, is_replica),
        Err((code, session_id)) => FetchResponse { error_code: code.into(), session_id, ..FetchResponse::default() },
    }
}

/// The partitions that a request names, the last word about each winning, and those it forgets.
fn keys(request: &FetchRequest) -> (Vec<(FetchKey, Wanted)>, Vec<FetchKey>) {
    let mut places = HashMap::new();
    let mut wanted: Vec<(FetchKey, Wanted)> = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let key = FetchKey { topic_id: topic.topic_id, topic: topic.topic.clone(), partition: partition.partition };
            let want = Wanted {
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                // Every negative epoch is none here; ListOffsets and OffsetForLeaderEpoch know only -1 as that.
                current_leader_epoch: partition.current_leader_epoch.max(-1),
                last_fetched_epoch: partition.last_fetched_epoch,
            };
            match places.get(&key) {
                Some(place) => {
                    let (_, earlier): &mut (FetchKey, Wanted) = &mut wanted[*place];
                    *earlier = want;
                }
                None => {
                    places.insert(key.clone(), wanted.len());
                    wanted.push((key, want));
                }
            }
        }
    }
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        let key =
            |partition: &i32| FetchKey { topic_id: topic.topic_id, topic: topic.topic.clone(), partition: *partition };
        topic.partitions.iter().map(key)
    });
    let forgotten = forgotten.collect();
    (wanted, forgotten)
}

/// One partition's answer.
struct Answer {
    key: FetchKey,
    wanted: Wanted,
    data: PartitionData,
    partition: Option<Arc<Partition>>,
    /// What the reader may read up to: beyond it there is something new.
    upto: Offset,
    /// There are batches, and none of them holds a record.
    recordless: bool,
}

/// What was read of one partition.
struct Read {
    data: PartitionData,
    partition: Arc<Partition>,
    upto: Offset,
    recordless: bool,
}

impl Answer {
    /// Whether there is no such topic or partition.
    fn is_unknown(&self) -> bool {
        let code = ErrorCode::from_code(self.data.error_code);
        matches!(code, Some(ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition))
    }
}

fn found(data: &PartitionData) -> Found {
    Found {
        error: data.error_code != 0,
        diverging: data.diverging_epoch.epoch >= 0,
        high_watermark: data.high_watermark,
        log_start_offset: data.log_start_offset,
        record_bytes: data.records.len(),
    }
}

/// A fetch at work.
struct Poll<'a> {
    call: &'a Call<'a>,
    wanted: Vec<(FetchKey, Wanted)>,
    bound: Bound,
    is_replica: bool,
    max_bytes: u32,
    min_bytes: usize,
    max_wait: Duration,
}

struct Wake(Notify);

impl Listener for Wake {
    fn reached(&self, _tag: u64, _what: Reached) {
        self.0.notify_one();
    }
}

impl<'a> Poll<'a> {
    fn new(call: &'a Call<'a>, request: &FetchRequest, wanted: Vec<(FetchKey, Wanted)>, is_replica: bool) -> Self {
        let max_bytes =
            u32::try_from(request.max_bytes).unwrap_or(0).min(call.broker.config().settings().fetch_max_bytes);
        let committed = request.isolation_level == READ_COMMITTED;
        Self {
            call,
            wanted,
            bound: if committed { Bound::LastStable } else { Bound::HighWatermark },
            is_replica,
            max_bytes,
            min_bytes: usize::try_from(request.min_bytes).unwrap_or(0).min(max_bytes as usize),
            max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        }
    }

    async fn run(self) -> Vec<Answer> {
        let deadline = Instant::now() + self.max_wait;
        loop {
            let answers = self.read_all().await;
            // Batches without records are not what a reader waits for; they are sent when it waits no longer.
            let with_records = answers.iter().filter(|answer| !answer.recordless);
            let bytes: usize = with_records.map(|answer| answer.data.records.len()).sum();
            let enough = bytes >= self.min_bytes || self.max_wait.is_zero() || answers.is_empty();
            let eventful =
                answers.iter().any(|answer| answer.data.error_code != 0 || answer.data.diverging_epoch.epoch >= 0);
            if enough || eventful {
                return answers;
            }
            let wake = Arc::new(Wake(Notify::new()));
            let mut registrations = Vec::with_capacity(answers.len());
            for answer in &answers {
                let Some(partition) = &answer.partition else { continue };
                let listener: Arc<dyn Listener> = wake.clone();
                match partition.log.marks().register(self.bound.mark(), Offset(answer.upto.0), listener, 0) {
                    Ok(registration) => registrations.push(registration),
                    // It moved between the read and now.
                    Err(_) => wake.0.notify_one(),
                }
            }
            tokio::select! {
                () = wake.0.notified() => {}
                () = sleep_until(deadline) => return answers,
                () = self.call.stop.cancelled() => return answers,
            }
        }
    }

    async fn read_all(&self) -> Vec<Answer> {
        let image = self.call.broker.image();
        let mut room = self.max_bytes;
        let mut min_one = true;
        let mut answers = Vec::with_capacity(self.wanted.len());
        for (key, wanted) in &self.wanted {
            let answer = match self.read(&image, key, wanted, room, min_one).await {
                Ok(Read { data, partition, upto, recordless }) => {
                    let bytes = data.records.len();
                    min_one &= bytes == 0;
                    room = room.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
                    Answer { key: key.clone(), wanted: *wanted, data, partition: Some(partition), upto, recordless }
                }
                Err(code) => {
                    let data = self.refused(key.partition, code);
                    Answer {
                        key: key.clone(),
                        wanted: *wanted,
                        data,
                        partition: None,
                        upto: Offset(0),
                        recordless: false,
                    }
                }
            };
            answers.push(answer);
        }
        answers
    }

    fn refused(&self, partition_index: i32, code: ErrorCode) -> PartitionData {
        let code = match code {
            ErrorCode::KafkaStorageError if self.call.version < STORAGE_ERROR_SINCE => ErrorCode::NotLeaderOrFollower,
            code => code,
        };
        count_error(code.name());
        // What Kafka's own handler refuses has an empty list here, what its logs refuse has none.
        let unknown = matches!(code, ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition);
        PartitionData {
            partition_index,
            error_code: code.into(),
            high_watermark: -1,
            aborted_transactions: unknown.then(Vec::new),
            ..PartitionData::default()
        }
    }

    async fn read(
        &self,
        image: &Arc<MetadataImage>,
        key: &FetchKey,
        wanted: &Wanted,
        room: u32,
        min_one: bool,
    ) -> Result<Read, ErrorCode> {
        let topic = Broker::find_topic(image, self.call.version >= IDS_SINCE, key.topic_id, &key.topic)?;
        if key.partition < 0 || key.partition >= topic.partition_count() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let partition = self.call.broker.partition(image, &topic, key.partition).await?;
        partition.check_leader_epoch(wanted.current_leader_epoch)?;
        if self.is_replica {
            // No broker follows this one: nobody may read as a replica does.
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if let Some(diverging) = diverging(&partition, wanted)? {
            let data = PartitionData { diverging_epoch: diverging, ..self.marks(&partition) };
            let upto = partition.log.high_watermark();
            return Ok(Read { data, partition, upto, recordless: false });
        }
        let max = u32::try_from(wanted.max_bytes).unwrap_or(0).min(room);
        let wish = Wish { from: Offset(wanted.fetch_offset), bound: self.bound, bytes_max: max, min_one };
        let found = reading::read(self.call.broker, &self.call.hook_client(), &partition, wish).await?;
        let (upto, recordless) = (found.upto, found.recordless);
        let records = Records::from(found.pieces);
        partition.topic.metrics.bytes_out.increment(records.len() as u64);
        let data = PartitionData {
            partition_index: key.partition,
            high_watermark: found.high_watermark.0,
            last_stable_offset: found.last_stable.0,
            log_start_offset: found.log_start.0,
            // No transaction was ever aborted here; read_committed clients want the list, others none.
            aborted_transactions: (self.bound == Bound::LastStable).then(Vec::new),
            records,
            ..PartitionData::default()
        };
        Ok(Read { data, partition, upto, recordless })
    }

    fn marks(&self, partition: &Partition) -> PartitionData {
        PartitionData {
            partition_index: partition.tp.partition,
            high_watermark: partition.log.high_watermark().0,
            last_stable_offset: partition.log.last_stable_offset().0,
            log_start_offset: partition.log.start().0,
            ..PartitionData::default()
        }
    }
}

/// Where the client's log and ours part ways, if the client says what it last fetched (KIP-595).
fn diverging(partition: &Partition, wanted: &Wanted) -> Result<Option<EpochEndOffset>, ErrorCode> {
    if wanted.last_fetched_epoch < 0 {
        return Ok(None);
    }
    let ended = partition.log.end_offset_for_epoch(LeaderEpoch(wanted.last_fetched_epoch));
    // Of an epoch that this log has not reached nobody can say where it ended.
    let (epoch, end) = ended.ok_or(ErrorCode::OffsetOutOfRange)?;
    let parted = epoch.0 < wanted.last_fetched_epoch || end.0 < wanted.fetch_offset;
    Ok(parted.then_some(EpochEndOffset { epoch: epoch.0, end_offset: end.0 }))
}

/// Puts the answers of each topic together, in the order in which topics first appear.
fn respond(call: &Call<'_>, session_id: i32, answers: Vec<Answer>, keep: &[bool], is_replica: bool) -> FetchResponse {
    let mut response = FetchResponse { session_id, ..FetchResponse::default() };
    let mut places = HashMap::new();
    let mut leaders = Vec::new();
    for (mut answer, _) in answers.into_iter().zip(keep).filter(|(_, keep)| **keep) {
        if call.version >= LEADER_SINCE {
            leaders.extend(name_leader(call, &answer.key, &mut answer.data));
        }
        let FetchKey { topic_id, topic, .. } = answer.key;
        let place = *places.entry((topic_id, topic.clone())).or_insert_with(|| {
            response.responses.push(FetchableTopicResponse { topic, topic_id, partitions: Vec::new() });
            response.responses.len() - 1
        });
        response.responses[place].partitions.push(answer.data);
    }
    leaders.sort_unstable();
    leaders.dedup();
    let endpoint = |id: BrokerId| {
        let (host, port) = call.endpoint(id)?;
        let rack = call.broker.image().broker(id).and_then(|broker| broker.rack.clone());
        Some(NodeEndpoint { node_id: id.0, host, port, rack })
    };
    // A broker that follows knows the addresses of the others.
    leaders.retain(|_| !is_replica);
    response.node_endpoints = leaders.into_iter().filter_map(endpoint).collect();
    response
}

/// Tells a client that asked the wrong broker, or with an old epoch, who leads.
fn name_leader(call: &Call<'_>, key: &FetchKey, data: &mut PartitionData) -> Option<BrokerId> {
    let code = ErrorCode::from_code(data.error_code)?;
    if !matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch) {
        return None;
    }
    let image = call.broker.image();
    let topic = Broker::find_topic(&image, call.version >= IDS_SINCE, key.topic_id, &key.topic).ok()?;
    let partition = image.partition(&topic.id(), key.partition)?;
    data.current_leader = LeaderIdAndEpoch { leader_id: partition.leader.0, leader_epoch: partition.leader_epoch.0 };
    Some(partition.leader)
}
