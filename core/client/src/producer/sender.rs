//! The sender: the one task that takes batches out of the queues, sends them, and settles their outcomes.
//!
//! Each broker has a lane of its own (a task with a short queue), so that requests to one broker leave in order and a broker
//! that cannot be reached holds up nobody else. Answers come back over one channel.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use watershed_model::{BrokerId, Offset, ProducerEpoch, ProducerId, Timestamp, TopicId};
use watershed_protocol::messages::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use watershed_protocol::messages::{InitProducerIdRequest, ProduceRequest, ProduceResponse};
use watershed_protocol::{ErrorCode, RecordBytes, StrBytes};

use super::batch::{Batch, Delivered};
use super::queue::{Identity, PartitionQueue, Verdict};
use super::{Acks, ProducerConfig, Shared};
use crate::{Backoff, Client, ClientError, Lane, Metadata};

/// A batch on its way, with the topic it belongs to.
struct Sent {
    topic: Arc<str>,
    topic_id: TopicId,
    batch: Batch,
}

/// One request to one broker.
struct Work {
    request: ProduceRequest,
    batches: Vec<Sent>,
}

/// What came of a request: `None` where no answer was asked for.
struct Done {
    broker: BrokerId,
    batches: Vec<Sent>,
    result: Result<Option<ProduceResponse>, ClientError>,
}

struct BrokerLane {
    work: mpsc::Sender<Work>,
    in_flight: usize,
}

struct Sender {
    shared: Arc<Shared>,
    lanes: HashMap<BrokerId, BrokerLane>,
    lane_tasks: JoinSet<()>,
    done: mpsc::UnboundedSender<Done>,
    identity: Option<Identity>,
    identity_task: JoinSet<Result<Identity, ClientError>>,
    refresh_task: JoinSet<()>,
    refresh_at: Option<Instant>,
    backoff: Backoff,
}

/// What one look at the queues found.
#[derive(Default)]
struct Drained {
    requests: HashMap<BrokerId, Vec<Sent>>,
    failed: Vec<(Batch, ClientError)>,
    next_event: Option<Instant>,
    /// A leader is not known.
    stale: bool,
    wants_identity: bool,
    /// The producer is closing and nothing is left.
    over: bool,
}

/// Runs until the producer is closed and nothing is pending, or is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    // Bounded by what is in flight, which is bounded per broker.
    let (done, mut answers) = mpsc::unbounded_channel();
    let backoff = shared.client.backoff();
    let mut sender = Sender {
        shared: Arc::clone(&shared),
        lanes: HashMap::new(),
        lane_tasks: JoinSet::new(),
        done,
        identity: None,
        identity_task: JoinSet::new(),
        refresh_task: JoinSet::new(),
        refresh_at: None,
        backoff,
    };
    loop {
        let drained = sender.drain(Instant::now());
        if drained.over {
            return;
        }
        let next_event = sender.dispatch(drained).await;
        let wait = async {
            match next_event {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.wake.notified() => {}
            () = wait => {}
            Some(done) = answers.recv() => {
                sender.settle(done);
                while let Ok(done) = answers.try_recv() {
                    sender.settle(done);
                }
            }
            Some(result) = sender.identity_task.join_next() => sender.identity_came(result),
            Some(_) = sender.refresh_task.join_next() => {}
        }
    }
}

impl Sender {
    /// Takes out of the queues what may leave now.
    fn drain(&mut self, now: Instant) -> Drained {
        let shared = Arc::clone(&self.shared);
        let metadata = shared.client.metadata();
        let mut accumulator = shared.accumulator.lock();
        let hurry = accumulator.hurry || accumulator.closing;
        let mut out = Drained { over: accumulator.closing && accumulator.pending == 0, ..Drained::default() };
        for (topic, queues) in &mut accumulator.queues {
            for (partition, queue) in queues.iter_mut().enumerate() {
                let config = &shared.config;
                for batch in queue.expire(config, now) {
                    let error = expired(&batch, topic, config.delivery_timeout);
                    out.failed.push((batch, error));
                }
                for batch in queue.settle() {
                    let error = lost(&batch, topic);
                    out.failed.push((batch, error));
                }
                queue.seal_if_due(config, now, hurry);
                if queue.may_send(config, now) {
                    let place = (topic, partition as i32);
                    take_one(config, (&self.lanes, &mut self.identity), place, queue, (&metadata, &mut out));
                }
                let event = queue.next_event(config, now);
                out.next_event = [out.next_event, event].into_iter().flatten().min();
            }
        }
        drop(accumulator);
        out.requests.retain(|_, batches| !batches.is_empty());
        out
    }

    /// Sends what was taken; gives the moment at which to look again.
    async fn dispatch(&mut self, drained: Drained) -> Option<Instant> {
        let sent_something = !drained.requests.is_empty();
        for (batch, error) in drained.failed {
            self.finish(batch, Err(error));
        }
        for (broker, batches) in drained.requests {
            self.send(broker, batches).await;
        }
        if drained.wants_identity && self.identity_task.is_empty() {
            let client = self.shared.client.clone();
            self.identity_task.spawn(async move { init_producer_id(&client).await });
        }
        let refresh_at = drained.stale.then(|| self.refresh()).flatten();
        // Another batch of the same partitions may go at once.
        let again = sent_something.then(Instant::now);
        [again, drained.next_event, refresh_at].into_iter().flatten().min()
    }

    /// Asks for metadata in the background, at most once per backoff. Gives the moment of the next chance.
    fn refresh(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if !self.refresh_task.is_empty() || self.refresh_at.is_some_and(|at| at > now) {
            return self.refresh_at.filter(|at| *at > now);
        }
        self.refresh_at = Some(now + self.backoff.next_wait());
        let client = self.shared.client.clone();
        let seen = client.metadata().generation;
        self.refresh_task.spawn(async move {
            if let Err(error) = client.refresh(seen).await {
                tracing::debug!(%error, "metadata could not be refreshed");
            }
        });
        self.refresh_at
    }

    async fn send(&mut self, broker: BrokerId, batches: Vec<Sent>) {
        let (mut topics, mut sent) = (Vec::<TopicProduceData>::new(), Vec::new());
        for mut one in batches {
            let bytes = match one.batch.build() {
                Ok(bytes) => bytes,
                Err(source) => {
                    let what = format!("a batch for {}-{}", one.topic, one.batch.partition);
                    self.settle_one(one, Err(ClientError::Records { what, source }));
                    continue;
                }
            };
            let data = PartitionProduceData { index: one.batch.partition, records: Some(RecordBytes::from(bytes)) };
            match topics.last_mut().filter(|t| t.name == *one.topic) {
                Some(topic) => topic.partition_data.push(data),
                None => topics.push(TopicProduceData {
                    name: StrBytes::from(&*one.topic),
                    topic_id: one.topic_id,
                    partition_data: vec![data],
                }),
            }
            sent.push(one);
        }
        if sent.is_empty() {
            return;
        }
        let config = &self.shared.config;
        let request = ProduceRequest {
            acks: config.acks.code(),
            timeout_ms: i32::try_from(config.ack_timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data: topics,
            ..ProduceRequest::default()
        };
        let lane = self.lanes.entry(broker).or_insert_with(|| {
            let (work, queue) = mpsc::channel(config.in_flight_max);
            let (client, done) = (self.shared.client.clone(), self.done.clone());
            let acks = config.acks;
            self.lane_tasks.spawn(broker_lane(client, broker, acks, queue, done));
            BrokerLane { work, in_flight: 0 }
        });
        lane.in_flight += 1;
        let work = Work { request, batches: sent };
        if let Err(mpsc::error::SendError(work)) = lane.work.send(work).await {
            // A lane ends only with the sender; but nothing may be lost if it does.
            self.settle(Done { broker, batches: work.batches, result: Err(ClientError::Closed) });
        }
    }

    /// Gives every batch of an answered request its outcome, or puts it back.
    fn settle(&mut self, done: Done) {
        if let Some(lane) = self.lanes.get_mut(&done.broker) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
        match done.result {
            Err(error) => {
                if error.is_stale_metadata() {
                    self.refresh();
                }
                for one in done.batches {
                    self.settle_one(one, Err(error.clone()));
                }
            }
            Ok(None) => {
                for one in done.batches {
                    self.settle_one(one, Ok((None, None)));
                }
            }
            Ok(Some(response)) => {
                for one in done.batches {
                    let result = answer_for(&response, &one);
                    if result.as_ref().is_err_and(ClientError::is_stale_metadata) {
                        self.refresh();
                    }
                    self.settle_one(one, result);
                }
            }
        }
    }

    fn settle_one(&mut self, one: Sent, result: Result<(Option<Offset>, Option<Timestamp>), ClientError>) {
        let Sent { topic, batch, .. } = one;
        let now = Instant::now();
        let shared = Arc::clone(&self.shared);
        let mut accumulator = shared.accumulator.lock();
        let queue = accumulator
            .queues
            .get_mut(&topic)
            .and_then(|queues| queues.get_mut(batch.partition as usize))
            .expect("a batch was taken from a queue, and queues stay");
        let error = match result {
            Ok((offset, append_time)) => {
                queue.acked(&batch);
                drop(accumulator);
                self.backoff.reset();
                let partition = batch.partition;
                self.finish(batch, Ok(Delivered { partition, offset, append_time, acked: now }));
                return;
            }
            Err(error) => error,
        };
        tracing::debug!(topic = &*topic, partition = batch.partition, %error, "a batch came back");
        let retry_at = now + self.backoff.next_wait();
        match queue.failed(&shared.config, batch, error, (now, retry_at)) {
            Verdict::Retry => {}
            Verdict::Fail(batch, error) => {
                drop(accumulator);
                self.finish(batch, Err(error));
            }
            Verdict::Split(batch) => match batch.split(&shared.config) {
                Ok(halves) => {
                    queue.put_back_halves(halves);
                    accumulator.pending += 1;
                }
                Err(batch) => {
                    let error = queue.give_up_split(&batch, &topic);
                    drop(accumulator);
                    self.finish(*batch, Err(error));
                }
            },
        }
    }

    fn finish(&mut self, batch: Batch, result: Result<Delivered, ClientError>) {
        match result {
            Ok(delivered) => batch.finish(delivered),
            Err(error) => batch.fail(error),
        }
        let mut accumulator = self.shared.accumulator.lock();
        accumulator.pending -= 1;
        if accumulator.pending == 0 {
            self.shared.idle.notify_waiters();
        }
    }

    fn identity_came(&mut self, result: Result<Result<Identity, ClientError>, tokio::task::JoinError>) {
        match result {
            Ok(Ok(identity)) => self.identity = Some(identity),
            Ok(Err(error)) if error.is_retriable() => {
                tracing::debug!(%error, "no producer id yet");
            }
            Ok(Err(error)) => self.fail_all(&error),
            Err(_) => self.fail_all(&ClientError::Closed),
        }
    }

    /// Nothing can be sent: every batch that waits fails.
    fn fail_all(&mut self, error: &ClientError) {
        let batches: Vec<_> = {
            let mut accumulator = self.shared.accumulator.lock();
            let queues = accumulator.queues.values_mut().flatten();
            queues.flat_map(|q| q.abandon()).collect()
        };
        for batch in batches {
            self.finish(batch, Err(error.clone()));
        }
    }
}

/// Takes a queue's next batch for the request to its leader, unless something is in the way.
fn take_one(
    config: &ProducerConfig,
    (lanes, identity): (&HashMap<BrokerId, BrokerLane>, &mut Option<Identity>),
    (topic, partition): (&Arc<str>, i32),
    queue: &mut PartitionQueue,
    (metadata, out): (&Metadata, &mut Drained),
) {
    let Some((broker, _, topic_id)) = metadata.leader(topic, partition) else {
        out.stale = true;
        return;
    };
    if queue.spent().is_some() && queue.spent() == identity.map(|(id, _)| id) {
        *identity = None;
    }
    if config.idempotent && queue.wants_identity() {
        let Some(identity) = *identity else {
            out.wants_identity = true;
            return;
        };
        queue.set_identity(identity);
    }
    let taken = out.requests.entry(broker).or_default();
    let size: usize = taken.iter().map(|s| s.batch.bytes()).sum();
    let lane_full = lanes.get(&broker).is_some_and(|l| l.in_flight >= config.in_flight_max);
    let too_large = size > 0 && size + queue.next_bytes() > config.request_bytes_max;
    if lane_full || too_large {
        return;
    }
    if let Some(batch) = queue.take() {
        taken.push(Sent { topic: Arc::clone(topic), topic_id, batch });
    }
}

/// Sends requests to one broker in order; each answer is waited for by a task of its own.
async fn broker_lane(
    client: Client,
    broker: BrokerId,
    acks: Acks,
    mut queue: mpsc::Receiver<Work>,
    done: mpsc::UnboundedSender<Done>,
) {
    let mut answers = JoinSet::new();
    while let Some(Work { request, batches }) = queue.recv().await {
        while answers.try_join_next().is_some() {}
        let connection = match client.broker(broker, Lane::Produce).await {
            Ok(connection) => connection,
            Err(error) => {
                // The sender may have ended; its batches then ended with it.
                let _ = done.send(Done { broker, batches, result: Err(error) });
                continue;
            }
        };
        if acks == Acks::None {
            let result = connection.send_unanswered(&request).await.map(|()| None);
            let _ = done.send(Done { broker, batches, result });
            continue;
        }
        match connection.send(&request).await {
            Ok(reply) => {
                let done = done.clone();
                answers.spawn(async move {
                    let result = reply.wait().await.map(Some);
                    let _ = done.send(Done { broker, batches, result });
                });
            }
            Err(error) => {
                let _ = done.send(Done { broker, batches, result: Err(error) });
            }
        }
    }
}

async fn init_producer_id(client: &Client) -> Result<Identity, ClientError> {
    let request = InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..InitProducerIdRequest::default() };
    client
        .retry("asking for a producer id", || async {
            let response = client.call_any(&request).await?;
            ClientError::check(response.error_code, None, || "asking for a producer id".into())?;
            Ok((ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)))
        })
        .await
}

/// What the answer says of one batch.
fn answer_for(response: &ProduceResponse, one: &Sent) -> Result<(Option<Offset>, Option<Timestamp>), ClientError> {
    let partition = one.batch.partition;
    let what = || format!("producing to {}-{partition}", one.topic);
    let found: Option<&PartitionProduceResponse> = response
        .responses
        .iter()
        .filter(|t| t.name == *one.topic || (!t.topic_id.is_zero() && t.topic_id == one.topic_id))
        .flat_map(|t| &t.partition_responses)
        .find(|p| p.index == partition);
    let Some(found) = found else {
        return Err(ClientError::Broker {
            what: what(),
            code: ErrorCode::UnknownServerError,
            message: Some("the broker's answer leaves this partition out".into()),
        });
    };
    if found.error_code != ErrorCode::DuplicateSequenceNumber.code() {
        let first = found.record_errors.first();
        let record_error = first.and_then(|e| e.batch_index_error_message.as_deref());
        let message = match (found.error_message.as_deref(), record_error) {
            (Some(text), Some(record)) if text != record => Some(format!("{text}: {record}")),
            (text, record) => text.or(record).map(str::to_owned),
        };
        ClientError::check(found.error_code, message.as_deref(), what)?;
    }
    let offset = (found.base_offset >= 0).then_some(Offset(found.base_offset));
    let time = (found.log_append_time_ms >= 0).then_some(Timestamp(found.log_append_time_ms));
    Ok((offset, time))
}

fn expired(batch: &Batch, topic: &str, after: std::time::Duration) -> ClientError {
    ClientError::Timeout {
        what: format!("delivering to {topic}-{}", batch.partition),
        after,
        last: batch.last_error.clone().map(Box::new),
    }
}

/// The error of a batch that may be in the log already and can no longer be sent under its number.
fn lost(batch: &Batch, topic: &str) -> ClientError {
    batch.last_error.clone().unwrap_or(ClientError::Disconnected {
        address: format!("the leader of {topic}-{}", batch.partition),
        reason: "a batch before this one failed, and whether this one arrived is unknown".into(),
    })
}
