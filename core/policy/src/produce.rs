//! The records of a produced batch on their way in: interceptors, then the ordering key, then the partitioner.
//!
//! The batch is walked once, slice by slice; a slice passes all hooks before the next begins. As long as every verdict is "keep",
//! nothing is copied but the columns that the plugins read, and the batch stays the bytes that it was.

use std::num::NonZeroU32;

use bytes::Bytes;
use watershed_hooks::{
    Batch, Choice, Client, Column, Hook, Place, Records as Columns, Replacement, Verdict, assign, intercept, order,
};
use watershed_model::limits::{DECOMPRESSED_BATCH_BYTES_MAX, RECORD_ISSUES_MAX};
use watershed_model::record::{BatchHeader, Level, Record, RecordError};
use watershed_model::{ProducerEpoch, ProducerId};

use crate::binding::{Binding, TopicBindings, wrong_hook};
use crate::plugin::{CallError, OnError};
use crate::rewrite::{Fate, RewriteError, rewrite};
use crate::slices::slices;

/// The headers that a dead letter carries in addition to its own.
const DEAD_TOPIC: &[u8] = b"watershed.dead.topic";
const DEAD_PARTITION: &[u8] = b"watershed.dead.partition";
const DEAD_PLUGIN: &[u8] = b"watershed.dead.plugin";
const DEAD_REASON: &[u8] = b"watershed.dead.reason";

/// A batch that wants to enter.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition that the client chose.
    pub partition: u32,
    /// Who sent it.
    pub client: Client<'a>,
    /// The batch's header.
    pub header: &'a BatchHeader,
    /// What follows it.
    pub body: &'a Bytes,
    /// The level to compress with, where it has to be compressed anew.
    pub level: Level,
    /// The topic's partitions, for a partitioner that holds.
    pub spread: Spread,
}

/// The partitions that a partitioner chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// How many partitions the topic has.
    pub partitions: NonZeroU32,
    /// How many it had a short while ago, which clients may still go by.
    pub partitions_before: Option<NonZeroU32>,
}

/// A record for a dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic that it goes to.
    pub topic: String,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, and behind them where it comes from and why.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A batch that may enter.
#[derive(Debug, Default)]
pub struct Admission {
    /// The batch as it enters, where it is not what came.
    pub rewritten: Option<(BatchHeader, Bytes)>,
    /// What goes elsewhere, to be stored before the batch is acknowledged.
    pub dead_letters: Vec<DeadLetter>,
    /// Where the topic is routed: the partition of each record that enters, in order.
    pub plan: Vec<u32>,
}

/// A batch that may not enter.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Some of its records may not: their index and why, at most `RECORD_ISSUES_MAX` of them, and how many there are.
    #[error("{total} of its records are refused, the first because: {}", records.first().map_or("", |(_, why)| why))]
    Records {
        /// The first of them.
        records: Vec<(i32, String)>,
        /// All of them.
        total: usize,
    },
    /// A plugin has no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It cannot be read or written anew.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
}

impl From<RecordError> for Refusal {
    fn from(error: RecordError) -> Self {
        Self::Rewrite(error.into())
    }
}

/// Takes a batch through the hooks of its topic.
///
/// # Errors
/// [`Refusal`]: why nothing of it may enter.
pub fn admit(bindings: &TopicBindings, entry: &Entry<'_>) -> Result<Admission, Refusal> {
    let (fates, rejected, plan) = (Vec::new(), Vec::new(), Vec::new());
    let mut walk = Walk { bindings, entry, fates, rejected, rejected_total: 0, plan };
    slices(entry.header, entry.body, bindings.admission_reads(), |first, columns| walk.slice(first, columns))?;
    walk.finish()
}

struct Walk<'a> {
    bindings: &'a TopicBindings,
    entry: &'a Entry<'a>,
    /// What becomes of the records that do not stay as they are, by index.
    fates: Vec<(i32, Fate)>,
    rejected: Vec<(i32, String)>,
    rejected_total: usize,
    /// The partitions of the records that enter, where the broker takes them there.
    plan: Vec<u32>,
}

/// The records of a slice that are still on their way.
struct Slice {
    /// Their index in the batch.
    indexes: Vec<i32>,
    /// What interceptors put in their place.
    changed: Vec<Option<Replacement>>,
    /// Their columns, where they are not those of the whole slice any more.
    picked: Option<Columns>,
}

impl Walk<'_> {
    /// Asks every hook about a slice that begins at `first`.
    fn slice(&mut self, first: i32, columns: &mut Columns) -> Result<(), Refusal> {
        let behind = first + i32::try_from(columns.len()).expect("a slice is short");
        let indexes: Vec<i32> = (first..behind).collect();
        let mut slice = Slice { changed: vec![None; indexes.len()], indexes, picked: None };
        for interceptor in &self.bindings.interceptors {
            if slice.indexes.is_empty() {
                break;
            }
            self.intercept(interceptor, &mut slice, columns)?;
        }
        if let Some(partitioner) = self.bindings.partitioner()
            && !slice.indexes.is_empty()
        {
            let current = slice.picked.as_mut().unwrap_or(columns);
            self.order_by(&slice.indexes, current)?;
            if self.bindings.routed.is_some() {
                self.route(partitioner, &slice.indexes, current)?;
            } else {
                self.enforce(partitioner, &slice.indexes, current)?;
            }
        }
        let changed = slice.indexes.iter().zip(slice.changed);
        self.fates.extend(changed.filter_map(|(index, new)| new.map(|new| (*index, Fate::Changed(new)))));
        Ok(())
    }

    fn intercept(&mut self, binding: &Binding, slice: &mut Slice, columns: &Columns) -> Result<(), Refusal> {
        let current = slice.picked.as_ref().unwrap_or(columns);
        let batch = batch(self.entry, slice.indexes.first().copied(), current, binding);
        let asked = binding.ask(&self.entry.client, batch.len(), |hook| match hook {
            Hook::Interceptor(interceptor) => {
                let mut verdicts = Vec::with_capacity(batch.len());
                intercept(&mut **interceptor, &batch, &mut verdicts).map(|()| verdicts)
            }
            other => Err(wrong_hook(other)),
        });
        let verdicts = match asked {
            Ok(Some(verdicts)) => verdicts,
            Ok(None) => return Ok(()),
            Err(error) => {
                let fates = self.without_answer(binding, error, slice)?;
                self.fates.extend(fates);
                (slice.indexes, slice.changed) = (Vec::new(), Vec::new());
                return Ok(());
            }
        };
        count(binding, &verdicts);
        if binding.is_shadow() || verdicts.iter().all(|verdict| *verdict == Verdict::Keep) {
            return Ok(());
        }
        let mut stay = Vec::with_capacity(verdicts.len());
        let mut changes = slice.changed.drain(..).collect::<Vec<_>>();
        for (i, verdict) in verdicts.into_iter().enumerate() {
            if let Some(new) = self.judge(binding, slice.indexes[i], verdict, changes[i].take())? {
                stay.push((i, new));
            }
        }
        let picked = current.pick(stay.iter().map(|(i, new)| (*i, new.as_ref())));
        slice.picked = Some(picked.map_err(|_| RewriteError::TooLong)?);
        slice.indexes = stay.iter().map(|(i, _)| slice.indexes[*i]).collect();
        slice.changed = stay.into_iter().map(|(_, new)| new).collect();
        Ok(())
    }

    /// An interceptor has no answer: the records are dead letters, or the batch is refused.
    fn without_answer(&self, binding: &Binding, error: CallError, slice: &Slice) -> Result<Vec<(i32, Fate)>, Refusal> {
        let on_error = binding.plugin().map(|plugin| plugin.on_error());
        let (Some(OnError::DeadLetter(topic)), Some(_)) = (on_error, error.fault) else {
            return Err(self.poisoned(binding, error).into());
        };
        binding.count_verdicts("dead_letter", slice.indexes.len());
        let dead = |(index, changed): (&i32, &Option<Replacement>)| {
            let (plugin, reason) = (binding.name().to_owned(), error.reason.clone());
            (*index, Fate::Dead { topic: topic.clone(), plugin, reason, changed: changed.clone() })
        };
        Ok(slice.indexes.iter().zip(&slice.changed).map(dead).collect())
    }

    /// The same batch of an idempotent producer that breaks a plugin a second time will do so for ever.
    fn poisoned(&self, binding: &Binding, mut error: CallError) -> CallError {
        let header = self.entry.header;
        let may_be = error.fault.is_some() && error.asked && header.has_producer_id();
        if let Some(plugin) = binding.plugin().filter(|_| may_be) {
            let producer = (header.producer_id, header.producer_epoch, header.base_sequence);
            error.permanent |= plugin.is_poison(self.entry.topic, self.entry.partition, producer);
        }
        error
    }

    /// Whether a record goes on, and with what in its place.
    fn judge(
        &mut self,
        binding: &Binding,
        index: i32,
        verdict: Verdict,
        before: Option<Replacement>,
    ) -> Result<Option<Option<Replacement>>, Refusal> {
        match verdict {
            Verdict::Keep => return Ok(Some(before)),
            Verdict::Replace(new) => return Ok(Some(Some(over(before, new)))),
            Verdict::Drop => self.fates.push((index, Fate::Gone)),
            Verdict::Reject(reason) => self.reject(index, reason),
            Verdict::DeadLetter(reason) => {
                let topic = binding.plugin().and_then(|plugin| plugin.dead_letter_topic());
                let no_topic = || CallError {
                    plugin: binding.name().to_owned(),
                    hook: watershed_hooks::HookKind::Interceptor,
                    permanent: false,
                    fault: None,
                    asked: true,
                    reason: "it wants a record in the dead-letter topic and has none; set `dead_letter_topic` at its \
                             [[plugins]] entry"
                        .to_owned(),
                };
                let topic = topic.ok_or_else(no_topic)?.to_owned();
                let plugin = binding.name().to_owned();
                self.fates.push((index, Fate::Dead { topic, plugin, reason, changed: before }));
            }
        }
        Ok(None)
    }

    fn reject(&mut self, index: i32, reason: String) {
        self.rejected_total += 1;
        if self.rejected.len() < RECORD_ISSUES_MAX {
            self.rejected.push((index, reason));
        }
    }

    /// Fills the ordering keys, if the topic has some.
    fn order_by(&self, indexes: &[i32], columns: &mut Columns) -> Result<(), Refusal> {
        let mut ordering_keys: Column = columns.take_ordering_keys();
        ordering_keys.clear();
        if let Some(binding) = &self.bindings.ordering_key {
            let batch = batch(self.entry, indexes.first().copied(), columns, binding);
            let asked = binding.ask(&self.entry.client, batch.len(), |hook| match hook {
                Hook::OrderingKey(plugin) => order(&mut **plugin, &batch, &mut ordering_keys),
                other => Err(wrong_hook(other)),
            });
            let answered = asked.map_err(|error| self.poisoned(binding, error))?.is_some();
            if !answered || binding.is_shadow() {
                ordering_keys.clear();
            }
        }
        columns.set_ordering_keys(ordering_keys);
        Ok(())
    }

    /// Plans where records are taken to.
    fn route(&mut self, binding: &Binding, indexes: &[i32], columns: &Columns) -> Result<(), Refusal> {
        let chosen = self.entry.partition;
        let choices = self.choices(binding, indexes, columns, self.entry.spread.partitions)?;
        let planned = self.plan.len();
        self.plan.extend(choices.into_iter().map(|choice| match choice {
            Choice::Partition(belongs) => belongs,
            Choice::ClientStands => chosen,
        }));
        // A partitioner without an answer, whose `on_error` is open, leaves the client's choice.
        self.plan.resize(planned + indexes.len(), chosen);
        let moved = self.plan[planned..].iter().filter(|belongs| **belongs != chosen).count();
        binding.count_verdicts("moved", moved);
        Ok(())
    }

    /// Compares where records are with where they belong.
    fn enforce(&mut self, binding: &Binding, indexes: &[i32], columns: &Columns) -> Result<(), Refusal> {
        let entry = self.entry;
        let mut wrong = self.misplaced(binding, indexes, columns, entry.spread.partitions)?;
        if let (false, Some(before)) = (wrong.is_empty(), entry.spread.partitions_before) {
            let by_old_count = self.misplaced(binding, indexes, columns, before)?;
            wrong.retain(|(i, _)| by_old_count.iter().any(|(old, _)| old == i));
        }
        binding.count_verdicts("misplaced", wrong.len());
        if binding.is_shadow() {
            return Ok(());
        }
        for (i, belongs) in wrong {
            let found = entry.partition;
            let reason =
                format!("it belongs to partition {belongs} by the partitioner {}, not to {found}", binding.name());
            self.reject(indexes[i], reason);
        }
        Ok(())
    }

    /// The records of a slice that belong to another partition, and to which.
    fn misplaced(
        &self,
        binding: &Binding,
        indexes: &[i32],
        columns: &Columns,
        partitions: NonZeroU32,
    ) -> Result<Vec<(usize, u32)>, Refusal> {
        let choices = self.choices(binding, indexes, columns, partitions)?;
        let wrong = choices.into_iter().enumerate().filter_map(|(i, choice)| match choice {
            Choice::Partition(belongs) if belongs != self.entry.partition => Some((i, belongs)),
            Choice::Partition(_) | Choice::ClientStands => None,
        });
        Ok(wrong.collect())
    }

    /// What the partitioner says of a slice; nothing where it has no answer and none is needed.
    fn choices(
        &self,
        binding: &Binding,
        indexes: &[i32],
        columns: &Columns,
        partitions: NonZeroU32,
    ) -> Result<Vec<Choice>, Refusal> {
        let batch = batch(self.entry, indexes.first().copied(), columns, binding);
        let asked = binding.ask(&self.entry.client, batch.len(), |hook| match hook {
            Hook::Partitioner(partitioner) => {
                let mut choices = Vec::with_capacity(batch.len());
                assign(&mut **partitioner, &batch, partitions, &mut choices).map(|()| choices)
            }
            other => Err(wrong_hook(other)),
        });
        Ok(asked.map_err(|error| self.poisoned(binding, error))?.unwrap_or_default())
    }

    fn finish(mut self) -> Result<Admission, Refusal> {
        if self.rejected_total > 0 {
            self.rejected.sort_unstable_by_key(|(index, _)| *index);
            return Err(Refusal::Records { records: self.rejected, total: self.rejected_total });
        }
        if self.fates.is_empty() {
            return Ok(Admission { plan: self.plan, ..Admission::default() });
        }
        self.fates.sort_unstable_by_key(|(index, _)| *index);
        let Entry { header, body, level, .. } = *self.entry;
        let mut dead_letters = Vec::new();
        let rewritten = rewrite(header, body, level, DECOMPRESSED_BATCH_BYTES_MAX, &self.fates, |record, fate| {
            dead_letters.extend(dead_letter(self.entry, record, fate));
        })?;
        Ok(Admission { rewritten: Some(rewritten), dead_letters, plan: self.plan })
    }
}

fn batch<'a>(entry: &Entry<'a>, first: Option<i32>, columns: &'a Columns, binding: &'a Binding) -> Batch<'a> {
    let header = entry.header;
    let sequence = header.has_producer_id().then(|| header.base_sequence.wrapping_add(first.unwrap_or(0)));
    let place = Place {
        topic: entry.topic,
        partition: Some(entry.partition),
        base_sequence: sequence.and_then(|sequence| u32::try_from(sequence).ok()),
    };
    Batch::new(place, entry.client, columns, binding.reads())
}

fn count(binding: &Binding, verdicts: &[Verdict]) {
    let (mut dropped, mut rejected, mut dead, mut replaced) = (0, 0, 0, 0);
    for verdict in verdicts {
        match verdict {
            Verdict::Keep => {}
            Verdict::Drop => dropped += 1,
            Verdict::Reject(_) => rejected += 1,
            Verdict::DeadLetter(_) => dead += 1,
            Verdict::Replace(_) => replaced += 1,
        }
    }
    for (verdict, records) in [("drop", dropped), ("reject", rejected), ("dead_letter", dead), ("replace", replaced)] {
        binding.count_verdicts(verdict, records);
    }
}

/// A second replacement over a first.
fn over(before: Option<Replacement>, new: Replacement) -> Replacement {
    let before = before.unwrap_or_default();
    Replacement { value: new.value.or(before.value), headers: new.headers.or(before.headers) }
}

fn dead_letter(entry: &Entry<'_>, record: &Record<'_>, fate: &Fate) -> Option<DeadLetter> {
    let Fate::Dead { topic, plugin, reason, changed } = fate else { return None };
    let changed = changed.clone().unwrap_or_default();
    let own = || record.headers.iter().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect();
    let mut headers: Vec<_> = changed.headers.unwrap_or_else(own);
    for (name, value) in [
        (DEAD_TOPIC, entry.topic.as_bytes()),
        (DEAD_PARTITION, entry.partition.to_string().as_bytes()),
        (DEAD_PLUGIN, plugin.as_bytes()),
        (DEAD_REASON, reason.as_bytes()),
    ] {
        headers.push((name.to_vec(), Some(value.to_vec())));
    }
    Some(DeadLetter {
        topic: topic.clone(),
        timestamp: entry.header.base_timestamp.0.wrapping_add(record.timestamp_delta),
        key: record.key.map(<[u8]>::to_vec),
        value: changed.value.unwrap_or_else(|| record.value.map(<[u8]>::to_vec)),
        headers,
    })
}

/// One batch of an idempotent producer.
pub(crate) type Sequence = (ProducerId, ProducerEpoch, i32);
