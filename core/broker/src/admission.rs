//! What a produced batch passes before it is appended, where its topic has plugins.
//!
//! The order is: duplicate check (a batch that is there already runs no hook), the hooks, the dead letters, the append. A batch
//! that a hook refuses holds back what its producer has sent behind it, so that a retry still comes first.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use watershed_log::{Appended, LogConfig, LogError, Origin, RecordIssue, ValidatedBatch, validate};
use watershed_metadata::MetadataImage;
use watershed_model::record::{BatchBuilder, BatchHeader, Level, NewRecord, RecordError};
use watershed_model::{ProducerEpoch, ProducerId, Timestamp};
use watershed_policy::{Admission, DeadLetter, Entry, Refusal, RewriteError, Spread, TopicBindings, admit};
use watershed_protocol::ErrorCode;

use crate::Broker;
use crate::apis::Client;
use crate::partition::Partition;
use crate::routing::Door;

/// How many producers are held back at most; when there are more, all go on.
const HELD_MAX: usize = 10_000;

/// Producers of whose batches one was refused: what follows it must not overtake it.
#[derive(Debug, Default)]
pub(crate) struct Held {
    any: AtomicBool,
    producers: Mutex<HashMap<ProducerId, Hold>>,
}

/// The batch that has to come first.
#[derive(Clone, Copy, Debug)]
struct Hold {
    epoch: ProducerEpoch,
    base_sequence: i32,
    /// It was refused for the moment, so that it is sent again, and what follows it as well.
    comes_again: bool,
}

impl Held {
    /// Whether any producer is held back.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// # Errors
    /// Where an earlier batch has to come first: what follows one that is sent again is to be sent again as well, so that no client
    /// takes the gap for a loss (librdkafka begins a new epoch then, in which what was stored and not acknowledged is stored a second
    /// time). Behind one that was refused for good, [`LogError::OutOfOrderSequence`].
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<(), Refused> {
        if !self.any() || !header.has_producer_id() {
            return Ok(());
        }
        match self.producers.lock().get(&header.producer_id) {
            Some(hold) if hold.epoch != header.producer_epoch || hold.base_sequence == header.base_sequence => Ok(()),
            None => Ok(()),
            Some(hold) if hold.comes_again => {
                Err(Refused::Later("an earlier batch of the producer has to come first".to_owned()))
            }
            Some(hold) => Err(Refused::Log(LogError::OutOfOrderSequence {
                producer: header.producer_id,
                epoch: header.producer_epoch,
                found: header.base_sequence,
                expected: hold.base_sequence,
            })),
        }
    }

    /// Holds a producer back until this batch comes again, if it is not held back already for one before.
    pub(crate) fn hold(&self, header: &BatchHeader, comes_again: bool) {
        if header.has_producer_id() {
            let mut producers = self.producers.lock();
            if producers.len() >= HELD_MAX {
                producers.clear();
            }
            let new = Hold { epoch: header.producer_epoch, base_sequence: header.base_sequence, comes_again };
            let held = producers.entry(header.producer_id).or_insert(new);
            if (held.epoch, held.base_sequence) == (new.epoch, new.base_sequence) || held.epoch != new.epoch {
                *held = new;
            }
            self.any.store(true, Ordering::Release);
        }
    }

    /// The batch that the producer was held back for has come.
    pub(crate) fn release(&self, header: &BatchHeader) {
        if self.any() && header.has_producer_id() {
            let mut producers = self.producers.lock();
            producers.remove(&header.producer_id);
            self.any.store(!producers.is_empty(), Ordering::Release);
        }
    }
}

/// A batch that may not enter, or not now.
#[derive(Debug)]
pub(crate) enum Refused {
    /// By the log's rules, or because of its records.
    Log(LogError),
    /// Something is not there that is needed, and may be there again later.
    Later(String),
}

impl From<LogError> for Refused {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// What becomes of a batch.
pub(crate) enum Passed {
    /// It was there already.
    Duplicate(Appended),
    /// It may be appended. What went elsewhere is durable there. With it, where the topic is routed, the partition of each record.
    Batch(ValidatedBatch, Vec<u32>),
}

/// Takes a batch through the plugins of its topic.
pub(crate) async fn pass(
    broker: &Arc<Broker>,
    image: &Arc<MetadataImage>,
    partition: &Arc<Partition>,
    client: &Client,
    door: &Door,
    bindings: Arc<TopicBindings>,
    mut batch: ValidatedBatch,
) -> Result<Passed, Refused> {
    if let Some(appended) = door.find_duplicate(&batch.header, batch.origin)? {
        return Ok(Passed::Duplicate(appended));
    }
    partition.held.check(&batch.header)?;
    let original = batch.header;
    door.admits().map_err(Refused::Later)?;
    let question = Question::new(broker, partition, &bindings, &batch);
    let (client_id, listener, host) = (client.id(), broker.listener_name(client.listener()), client.host());
    let asked = if bindings.is_admission_slow() {
        let (client_id, listener, host) = (client_id.to_owned(), listener.to_owned(), host.to_owned());
        broker.on_plugin_pool(move || question.ask(&bindings, &client_id, &listener, &host)).await
    } else {
        Ok(question.ask(&bindings, client_id, listener, host))
    };
    let outcome = match asked {
        Ok(Ok(admission)) => settle(broker, image, partition, &mut batch, admission).await,
        Ok(Err(refusal)) => Err(refused(refusal)),
        Err(panicked) => Err(Refused::Later(panicked)),
    };
    match outcome {
        Ok(plan) => Ok(Passed::Batch(batch, plan)),
        Err(refused) => {
            partition.held.hold(&original, matches!(refused, Refused::Later(_)));
            Err(refused)
        }
    }
}

/// A batch with everything that the hooks see of it but the client's names; it can be asked about on another thread.
struct Question {
    topic: Arc<str>,
    partition: u32,
    header: BatchHeader,
    body: Bytes,
    level: Level,
    spread: Spread,
}

impl Question {
    fn new(broker: &Broker, partition: &Partition, bindings: &TopicBindings, batch: &ValidatedBatch) -> Self {
        let id = partition.tp.topic;
        let count = broker.image().topic_by_id(&id).map_or(1, |topic| topic.partition_count());
        let number = |count: u32| std::num::NonZeroU32::new(count);
        let growth = broker.replicas().growth(id).filter(|(_, ago)| *ago < bindings.enforce_grace);
        Self {
            topic: Arc::clone(&partition.topic.name),
            partition: partition.tp.partition.unsigned_abs(),
            header: batch.header,
            body: batch.body.clone(),
            level: level(&partition.topic.config()),
            spread: Spread {
                partitions: number(count.unsigned_abs()).unwrap_or(std::num::NonZeroU32::MIN),
                partitions_before: growth.and_then(|(before, _)| number(before)),
            },
        }
    }

    fn ask(&self, bindings: &TopicBindings, client_id: &str, listener: &str, host: &str) -> Result<Admission, Refusal> {
        let entry = Entry {
            topic: &self.topic,
            partition: self.partition,
            client: watershed_hooks::Client { principal: crate::ANONYMOUS, client_id, listener, host },
            header: &self.header,
            body: &self.body,
            level: self.level,
            spread: self.spread,
        };
        admit(bindings, &entry)
    }
}

/// The level to compress with, where a batch is compressed anew.
pub(crate) fn level(config: &LogConfig) -> Level {
    match config.compression {
        watershed_log::CompressionPolicy::Codec(_, level) => level,
        watershed_log::CompressionPolicy::Producer => None,
    }
}

/// Does what the hooks said, but for the append itself. Dead letters come first and wait for their promise: were they only
/// under way, a crash could lose them while a retry finds the batch itself stored.
async fn settle(
    broker: &Arc<Broker>,
    image: &Arc<MetadataImage>,
    partition: &Partition,
    batch: &mut ValidatedBatch,
    admission: Admission,
) -> Result<Vec<u32>, Refused> {
    if let Some((header, body)) = admission.rewritten {
        let max = partition.topic.config().max_message_bytes;
        if header.total_bytes > max && header.total_bytes > batch.header.total_bytes {
            return Err(LogError::TooLarge { bytes: header.total_bytes.into(), max }.into());
        }
        (batch.header, batch.body) = (header, body);
    }
    let mut letters = admission.dead_letters;
    while let Some(first) = letters.first() {
        let topic = first.topic.clone();
        let (of_topic, others): (Vec<_>, Vec<_>) = letters.into_iter().partition(|letter| letter.topic == topic);
        letters = others;
        let number = partition.tp.partition;
        let written = write_letters(broker, image, &topic, number, &of_topic).await;
        written.map_err(|why| Refused::Later(format!("the dead-letter topic {topic}: {why}")))?;
    }
    Ok(admission.plan)
}

/// Appends dead letters to their topic; they pass no hooks there.
async fn write_letters(
    broker: &Arc<Broker>,
    image: &Arc<MetadataImage>,
    topic: &str,
    number: i32,
    letters: &[DeadLetter],
) -> Result<(), String> {
    let mut image = Arc::clone(image);
    if image.topic_by_name(topic).is_none() {
        if !broker.config().settings().auto_create_topics_enable {
            return Err("it does not exist, and topics are not created by themselves".to_owned());
        }
        broker.auto_create(topic).await.map_err(|code| format!("it cannot be created: {}", code.name()))?;
        image = broker.image();
    }
    let found = image.topic_by_name(topic).cloned().ok_or("it does not exist")?;
    let number = number % found.partition_count().max(1);
    let partition = broker.partition(&image, &found, number).await.map_err(|code| code.name().to_owned())?;
    let mut builder = BatchBuilder::new();
    for letter in letters {
        let headers: Vec<_> = letter.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())).collect();
        let record = NewRecord { key: letter.key.as_deref(), value: letter.value.as_deref(), headers: &headers };
        builder.push(Timestamp(letter.timestamp), record);
    }
    let bytes = builder.build().map_err(|error: RecordError| error.to_string())?;
    let config = partition.topic.config();
    let batch = validate(bytes, &config, Origin::Coordinator, broker.clock().now()).map_err(|e| e.to_string())?;
    let (bytes, count) = (u64::from(batch.header.total_bytes), letters.len() as u64);
    partition.reserve(broker, i64::from(batch.header.record_count)).await.map_err(|code| code.name().to_owned())?;
    let appended = partition.log.append_as_leader(batch, partition.leader_epoch()).map_err(|e| e.to_string())?;
    partition.topic.metrics.bytes_in.increment(bytes);
    partition.topic.metrics.records_in.increment(count);
    appended.ticket.await.map_err(|error| error.to_string())
}

/// A plugin's own words become what the client is told.
fn refused(refusal: Refusal) -> Refused {
    let message = refusal.to_string();
    match refusal {
        Refusal::Records { records, .. } => {
            let records = records.into_iter().map(|(index, message)| RecordIssue { index, message }).collect();
            Refused::Log(LogError::InvalidRecord { message, records })
        }
        Refusal::Call(error) if error.permanent => {
            Refused::Log(LogError::InvalidRecord { message, records: Vec::new() })
        }
        Refusal::Call(_) => Refused::Later(message),
        Refusal::Rewrite(RewriteError::Record(_) | RewriteError::TooLong) => {
            Refused::Log(LogError::InvalidRecord { message, records: Vec::new() })
        }
    }
}

/// The code for [`Refused::Later`]: the one that every client sends again.
pub(crate) const LATER: ErrorCode = ErrorCode::NotEnoughReplicas;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use watershed_model::record::ProducerSequence;

    use super::*;

    #[test]
    fn a_producer_is_held_back_for_its_oldest_batch() {
        let header = |epoch, base_sequence| {
            let producer = ProducerSequence { id: ProducerId(1), epoch: ProducerEpoch(epoch), base_sequence };
            BatchHeader::parse(&BatchBuilder::new().producer(producer).build().unwrap()).unwrap()
        };
        let held = Held::default();
        held.hold(&header(0, 5), true);
        held.hold(&header(0, 9), true);
        assert!(held.check(&header(0, 5)).is_ok());
        let second = held.check(&header(0, 9));
        assert!(matches!(second, Err(Refused::Later(_))), "the second does not take the first one's place");
        held.hold(&header(0, 5), false);
        let second = held.check(&header(0, 9));
        assert!(matches!(second, Err(Refused::Log(LogError::OutOfOrderSequence { expected: 5, .. }))));
        held.hold(&header(1, 0), true);
        assert!(held.check(&header(1, 0)).is_ok() && held.check(&header(1, 3)).is_err(), "a new epoch begins anew");
        held.release(&header(1, 0));
        assert!(!held.any() && held.check(&header(1, 3)).is_ok());
    }
}
