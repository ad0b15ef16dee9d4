//! Fetching the partitions one is assigned; groups are not here.
//!
//! One fetch per broker is in flight, for all of that broker's partitions that have nothing waiting to be taken; the next one
//! leaves before the caller works on what came, as long as what waits stays below a bound.
//!
//! Invariants: a partition's records come in order, each once; positions only move when [`Consumer::poll`] hands something
//! out; retriable errors are retried here and only surface when nothing worked for the operation timeout.

mod fetched;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use watershed_model::{BrokerId, Offset, TopicId};
use watershed_protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use watershed_protocol::messages::{FetchRequest, FetchResponse};
use watershed_protocol::{ErrorCode, StrBytes};

pub use fetched::Fetched;
use fetched::{check_crcs, whole_batches};

use crate::admin::list_offsets;
use crate::{Backoff, Client, ClientError, Lane, OffsetSpec};

/// Which records of transactions are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationLevel {
    /// All.
    #[default]
    ReadUncommitted,
    /// Those of finished transactions that were not aborted.
    ReadCommitted,
}

impl IsolationLevel {
    pub(crate) const fn code(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// What to do when a position is outside the log (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// Give the error to the caller.
    #[default]
    Fail,
    /// Go on at the start of the log.
    Earliest,
    /// Go on at its end.
    Latest,
}

/// A consumer's settings. Defaults are the Java client's.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// Which records of transactions are seen.
    pub isolation: IsolationLevel,
    /// How long a broker may wait for `min_bytes` (`fetch.max.wait.ms`).
    pub wait_max: Duration,
    /// How much there should be before a broker answers, in bytes (`fetch.min.bytes`).
    pub min_bytes: i32,
    /// How much one answer may hold, in bytes (`fetch.max.bytes`); also how much may wait to be taken.
    pub max_bytes: i32,
    /// How much of one partition one answer may hold, in bytes (`max.partition.fetch.bytes`).
    pub partition_max_bytes: i32,
    /// What to do when a position is outside the log.
    pub reset: OffsetReset,
    /// Whether each batch's CRC is checked.
    pub check_crcs: bool,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            isolation: IsolationLevel::ReadUncommitted,
            wait_max: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 * 1024 * 1024,
            partition_max_bytes: 1024 * 1024,
            reset: OffsetReset::Fail,
            check_crcs: true,
        }
    }
}

type Key = (Arc<str>, i32);

#[derive(Debug)]
struct Position {
    /// What the caller has been given ends here.
    taken: Offset,
    /// What was fetched ends here.
    fetched: Offset,
    busy: bool,
    not_before: Option<Instant>,
    out_of_range: bool,
}

/// What a background task brings back.
enum Done {
    Fetched {
        broker: BrokerId,
        partitions: Vec<(Key, Offset)>,
        result: Result<FetchResponse, ClientError>,
        /// The topics' ids, as asked.
        ids: HashMap<TopicId, Arc<str>>,
    },
    Reset {
        key: Key,
        result: Result<Offset, ClientError>,
    },
}

/// A consumer of assigned partitions.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    config: ConsumerConfig,
    positions: BTreeMap<Key, Position>,
    tasks: JoinSet<Done>,
    busy_brokers: HashSet<BrokerId>,
    ready: VecDeque<Fetched>,
    ready_bytes: usize,
    backoff: Backoff,
    /// When fetches began to fail, if the last one did.
    failing_since: Option<Instant>,
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fetched { .. } => "Fetched",
            Self::Reset { .. } => "Reset",
        })
    }
}

impl Consumer {
    /// A consumer of nothing yet.
    #[must_use]
    pub fn new(client: Client, config: ConsumerConfig) -> Self {
        let backoff = client.backoff();
        Self {
            client,
            config,
            positions: BTreeMap::new(),
            tasks: JoinSet::new(),
            busy_brokers: HashSet::new(),
            ready: VecDeque::new(),
            ready_bytes: 0,
            backoff,
            failing_since: None,
        }
    }

    /// Adds a partition, to be read from `offset`; or moves it there.
    ///
    /// # Errors
    /// If the topic or the partition is not there.
    pub async fn assign(&mut self, topic: &str, partition: i32, offset: Offset) -> Result<(), ClientError> {
        let metadata = self.client.topic(topic).await?;
        if metadata.partition(partition).is_none() {
            return Err(ClientError::Invalid(format!(
                "topic {topic:?} has no partition {partition}: it has {}, from 0",
                metadata.partitions.len()
            )));
        }
        let key = (Arc::clone(&metadata.name), partition);
        self.unassign(topic, partition);
        self.positions.insert(
            key,
            Position { taken: offset, fetched: offset, busy: false, not_before: None, out_of_range: false },
        );
        Ok(())
    }

    /// Takes a partition away, with what was fetched of it.
    pub fn unassign(&mut self, topic: &str, partition: i32) {
        self.positions.retain(|(t, p), _| &**t != topic || *p != partition);
        self.ready.retain(|f| &*f.topic != topic || f.partition != partition);
        self.ready_bytes = self.ready.iter().map(|f| f.bytes).sum();
    }

    /// The offset after the last record handed out, or where reading begins.
    #[must_use]
    pub fn position(&self, topic: &str, partition: i32) -> Option<Offset> {
        self.positions.iter().find(|((t, p), _)| &**t == topic && *p == partition).map(|(_, position)| position.taken)
    }

    /// The next records of some partition; waits until there are some. May hand out a [`Fetched`] whose records are all
    /// invisible (markers, aborted transactions): the position moves all the same.
    ///
    /// Cancel-safe: a dropped call loses nothing.
    ///
    /// # Errors
    /// What is not worth another try, for one partition or all; and [`ClientError::Timeout`] when no broker answered for the
    /// operation timeout.
    pub async fn poll(&mut self) -> Result<Fetched, ClientError> {
        if self.positions.is_empty() {
            return Err(ClientError::Invalid("the consumer has no partition assigned".into()));
        }
        loop {
            self.start_fetches();
            if let Some(fetched) = self.ready.pop_front() {
                self.ready_bytes -= fetched.bytes;
                let key = (Arc::clone(&fetched.topic), fetched.partition);
                if let Some(position) = self.positions.get_mut(&key) {
                    position.taken = fetched.next_offset();
                }
                return Ok(fetched);
            }
            let wake = self.positions.values().filter_map(|p| p.not_before).min();
            let wait = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let done = tokio::select! {
                Some(done) = self.tasks.join_next() => done,
                () = wait => {
                    self.wake_up();
                    continue;
                }
            };
            match done {
                Ok(done) => self.settle(done)?,
                // Only an abort can end a task without a value, and nobody aborts them.
                Err(_) => return Err(ClientError::Closed),
            }
        }
    }

    fn wake_up(&mut self) {
        let now = Instant::now();
        for position in self.positions.values_mut() {
            if position.not_before.is_some_and(|at| at <= now) {
                position.not_before = None;
            }
        }
    }

    /// Starts a fetch at every broker that has none and leads partitions that may be fetched.
    fn start_fetches(&mut self) {
        if self.ready_bytes >= self.config.max_bytes.max(1) as usize {
            return;
        }
        let metadata = self.client.metadata();
        let mut by_broker: HashMap<BrokerId, Vec<(Key, Offset, i32, TopicId)>> = HashMap::new();
        let mut without_leader = false;
        for (key, position) in &mut self.positions {
            if position.busy || position.not_before.is_some() {
                continue;
            }
            if position.out_of_range {
                position.busy = true;
                let (client, key) = (self.client.clone(), key.clone());
                let (reset, isolation) = (self.config.reset, self.config.isolation);
                self.tasks.spawn(async move { reset_offset(client, key, reset, isolation).await });
                continue;
            }
            match metadata.leader(&key.0, key.1) {
                Some((broker, epoch, id)) => {
                    by_broker.entry(broker).or_default().push((key.clone(), position.fetched, epoch.0, id))
                }
                None => {
                    without_leader = true;
                    position.not_before = Some(Instant::now() + self.client.config().retry_backoff);
                }
            }
        }
        if without_leader {
            self.refresh_in_background();
        }
        for (broker, partitions) in by_broker {
            if self.busy_brokers.contains(&broker) {
                continue;
            }
            self.start_fetch(broker, partitions);
        }
    }

    fn refresh_in_background(&self) {
        let client = self.client.clone();
        let seen = client.metadata().generation;
        // Detached: it ends by itself within a request timeout, and its result is in the client's metadata.
        tokio::spawn(async move {
            if let Err(error) = client.refresh(seen).await {
                tracing::debug!(%error, "metadata could not be refreshed");
            }
        });
    }

    fn start_fetch(&mut self, broker: BrokerId, partitions: Vec<(Key, Offset, i32, TopicId)>) {
        let (mut topics, mut ids) = (Vec::<FetchTopic>::new(), HashMap::new());
        let mut asked = Vec::with_capacity(partitions.len());
        for (key, offset, epoch, id) in partitions {
            let entry = FetchPartition {
                partition: key.1,
                current_leader_epoch: epoch,
                fetch_offset: offset.0,
                partition_max_bytes: self.config.partition_max_bytes,
                ..FetchPartition::default()
            };
            match topics.last_mut().filter(|t| t.topic == *key.0) {
                Some(topic) => topic.partitions.push(entry),
                None => {
                    topics.push(FetchTopic { topic: StrBytes::from(&*key.0), topic_id: id, partitions: vec![entry] })
                }
            }
            ids.insert(id, Arc::clone(&key.0));
            if let Some(position) = self.positions.get_mut(&key) {
                position.busy = true;
            }
            asked.push((key, offset));
        }
        self.busy_brokers.insert(broker);
        let request = FetchRequest {
            max_wait_ms: i32::try_from(self.config.wait_max.as_millis()).unwrap_or(i32::MAX),
            min_bytes: self.config.min_bytes,
            max_bytes: self.config.max_bytes,
            isolation_level: self.config.isolation.code(),
            topics,
            ..FetchRequest::default()
        };
        let client = self.client.clone();
        self.tasks.spawn(async move {
            let result = async {
                let connection = client.broker(broker, Lane::Fetch).await?;
                connection.call(&request).await
            };
            Done::Fetched { broker, partitions: asked, result: result.await, ids }
        });
    }

    fn settle(&mut self, done: Done) -> Result<(), ClientError> {
        match done {
            Done::Reset { key, result } => {
                let retry_at = Instant::now() + self.client.config().retry_backoff;
                let Some(position) = self.positions.get_mut(&key) else {
                    return Ok(());
                };
                position.busy = false;
                match result {
                    Ok(offset) => {
                        position.out_of_range = false;
                        (position.taken, position.fetched) = (offset, offset);
                        Ok(())
                    }
                    Err(error) if error.is_retriable() => {
                        position.not_before = Some(retry_at);
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
            Done::Fetched { broker, partitions, result, ids } => {
                self.busy_brokers.remove(&broker);
                for (key, _) in &partitions {
                    if let Some(position) = self.positions.get_mut(key) {
                        position.busy = false;
                    }
                }
                match result.and_then(whole_response) {
                    Ok(response) => self.take_response(response, &partitions, &ids),
                    Err(error) => self.back_off(partitions.into_iter().map(|(k, _)| k), error),
                }
            }
        }
    }

    /// Waits before these partitions are fetched again; gives the error up if nothing worked for too long.
    fn back_off(&mut self, keys: impl Iterator<Item = Key>, error: ClientError) -> Result<(), ClientError> {
        if error.is_damage() || !error.is_retriable() {
            return Err(error);
        }
        let limit = self.client.config().operation_timeout;
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= limit {
            return Err(ClientError::Timeout { what: "fetching".into(), after: limit, last: Some(Box::new(error)) });
        }
        tracing::debug!(%error, "a fetch failed, trying again");
        let at = Instant::now() + self.backoff.next_wait();
        for key in keys {
            if let Some(position) = self.positions.get_mut(&key) {
                position.not_before = Some(at);
            }
        }
        if error.is_stale_metadata() {
            self.refresh_in_background();
        }
        Ok(())
    }

    fn take_response(
        &mut self,
        response: FetchResponse,
        asked: &[(Key, Offset)],
        ids: &HashMap<TopicId, Arc<str>>,
    ) -> Result<(), ClientError> {
        for topic in response.responses {
            let by_id = ids.get(&topic.topic_id).filter(|_| topic.topic.is_empty());
            let name = by_id.map_or(topic.topic.as_str(), |n| n);
            for data in topic.partitions {
                let found = asked.iter().find(|((t, p), _)| &**t == name && *p == data.partition_index);
                let Some((key, from)) = found else {
                    return Err(ClientError::Protocol {
                        address: "the leader".into(),
                        reason: format!("a fetch answer for {name}-{}, which was not asked for", data.partition_index),
                    });
                };
                self.take_partition(key, *from, data)?;
            }
        }
        Ok(())
    }

    fn take_partition(&mut self, key: &Key, from: Offset, data: PartitionData) -> Result<(), ClientError> {
        let Some(position) = self.positions.get_mut(key) else {
            return Ok(());
        };
        if position.fetched != from {
            // It was assigned anew while the fetch was on its way.
            return Ok(());
        }
        let what = || format!("fetching {}-{} from offset {from}", key.0, key.1);
        if data.error_code == ErrorCode::OffsetOutOfRange.code() && self.config.reset != OffsetReset::Fail {
            position.out_of_range = true;
            return Ok(());
        }
        if let Err(error) = ClientError::check(data.error_code, None, what) {
            return self.back_off(std::iter::once(key.clone()), error);
        }
        self.failing_since = None;
        self.backoff.reset();
        let records = data.records.as_bytes().unwrap_or_default();
        if records.is_empty() {
            return Ok(());
        }
        let bytes = records.len();
        let batches = whole_batches(records).map_err(|source| ClientError::Records { what: what(), source })?;
        if self.config.check_crcs {
            check_crcs(&batches, &what)?;
        }
        let fetched = Fetched {
            topic: Arc::clone(&key.0),
            partition: key.1,
            from,
            high_watermark: Offset(data.high_watermark),
            log_start: Offset(data.log_start_offset),
            batches,
            bytes,
            aborted: match self.config.isolation {
                IsolationLevel::ReadCommitted => data.aborted_transactions.unwrap_or_default(),
                IsolationLevel::ReadUncommitted => Vec::new(),
            },
            isolation: self.config.isolation,
        };
        if let Some(position) = self.positions.get_mut(key) {
            position.fetched = fetched.next_offset();
        }
        self.ready_bytes += bytes;
        self.ready.push_back(fetched);
        Ok(())
    }
}

/// The answer, if it has no error for the whole of it.
fn whole_response(response: FetchResponse) -> Result<FetchResponse, ClientError> {
    ClientError::check(response.error_code, None, || "fetching".into())?;
    Ok(response)
}

async fn reset_offset(client: Client, key: Key, reset: OffsetReset, isolation: IsolationLevel) -> Done {
    let spec = match reset {
        OffsetReset::Latest => OffsetSpec::Latest,
        OffsetReset::Earliest | OffsetReset::Fail => OffsetSpec::Earliest,
    };
    let ask = [(key.0.to_string(), key.1, spec)];
    let result = list_offsets(&client, &ask, isolation).await;
    let result = result.and_then(|found| {
        found.first().and_then(|at| at.offset).ok_or(ClientError::Broker {
            what: format!("the offsets of {}-{}", key.0, key.1),
            code: ErrorCode::OffsetNotAvailable,
            message: None,
        })
    });
    Done::Reset { key, result }
}

#[cfg(test)]
mod tests;
