//! The batches that records are copied in. Pure.

use std::collections::BTreeMap;

use watershed_log::ingress::{Entry, EntryError};
use watershed_log::{Origin, ValidatedBatch, routed};
use watershed_model::record::{BatchBuilder, Compression, Level, Record, RecordError, TimestampType};
use watershed_model::{Offset, Timestamp};

/// The largest batch that records of several entries are put into, in bytes before compression.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Batches of at least so many bytes that belong to one partition as a whole are copied as they are; smaller ones are put together.
const WHOLE_BYTES_MIN: usize = 8 * 1024;

/// What one batch has in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    codec: Compression,
    /// The time that the broker gave the records, where it does.
    append_time: Option<Timestamp>,
}

/// A batch that is being put together.
struct Draft {
    kind: Kind,
    builder: BatchBuilder,
    first: Offset,
    last: Offset,
}

/// A batch for one partition.
pub(super) struct Copy {
    /// The offset in the ingress log of its first record.
    pub(super) first: Offset,
    /// The offset in the ingress log of its last record.
    pub(super) last: Offset,
    pub(super) batch: ValidatedBatch,
}

/// Records on their way, by the partition that they belong to.
pub(super) struct Drafts {
    /// The partition that they came in through.
    partition: i32,
    level: Level,
    batch_bytes_max: usize,
    /// How many bytes the first batch of each target is given room for.
    batch_bytes_expected: usize,
    of: BTreeMap<i32, Vec<Part>>,
    bytes: usize,
}

enum Part {
    Draft(Box<Draft>),
    /// A batch as it came in.
    Whole(Copy),
}

impl Drafts {
    /// None yet, of records that came in through `partition`; about `batch_bytes_expected` of them for each target.
    pub(super) fn new(partition: i32, level: Level, max_message_bytes: u32, batch_bytes_expected: usize) -> Self {
        let batch_bytes_max = BATCH_BYTES_MAX.min(max_message_bytes as usize);
        let batch_bytes_expected = batch_bytes_expected.min(batch_bytes_max);
        Self { partition, level, batch_bytes_max, batch_bytes_expected, of: BTreeMap::new(), bytes: 0 }
    }

    /// How many bytes of records are held, before compression.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a record of an entry to what goes to `target`.
    ///
    /// # Errors
    /// [`EntryError`] where the entry has a codec that does not exist.
    pub(super) fn push(&mut self, entry: &Entry, target: i32, record: &Record<'_>) -> Result<(), EntryError> {
        let bits = (entry.header.attributes & 7) as u8;
        let codec = entry.header.compression().ok_or(RecordError::UnknownCodec(bits))?;
        let stamped = entry.header.timestamp_type() == TimestampType::LogAppendTime;
        let kind = Kind { codec, append_time: stamped.then_some(entry.header.max_timestamp) };
        let timestamp = entry.header.timestamp_at(record.timestamp_delta);
        let offset = entry.base.plus(i64::from(record.offset_delta));
        let drafts = self.of.entry(target).or_default();
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        let fits =
            |draft: &Draft| draft.kind == kind && draft.builder.uncompressed_len() + size <= self.batch_bytes_max;
        if !matches!(drafts.last(), Some(Part::Draft(draft)) if fits(draft)) {
            let time = if stamped { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
            // Only a target's first: how many there are is up to the producers, who choose their codecs.
            let room = if drafts.is_empty() { self.batch_bytes_expected } else { 0 };
            let builder = BatchBuilder::with_capacity(room);
            let builder = builder.compression(codec, self.level).timestamp_type(time);
            drafts.push(Part::Draft(Box::new(Draft { kind, builder, first: offset, last: offset })));
        }
        let Some(Part::Draft(draft)) = drafts.last_mut() else { unreachable!("one was just made sure of") };
        let before = draft.builder.uncompressed_len();
        draft.builder.push_copy(timestamp, record);
        draft.last = offset;
        self.bytes += draft.builder.uncompressed_len() - before;
        Ok(())
    }

    /// Adds all of an entry to what goes to `target`, if it can be copied as it is.
    pub(super) fn push_whole(&mut self, entry: &Entry, target: i32) -> bool {
        let Entry { base, header, body, .. } = entry;
        let is_dense = i64::from(header.last_offset_delta) + 1 == i64::from(header.record_count);
        if body.len() < WHOLE_BYTES_MIN || !is_dense {
            return false;
        }
        let last = base.plus(i64::from(header.last_offset_delta));
        let producer = routed::sequence(self.partition, last, header.record_count as usize);
        let mut copied = *header;
        copied.producer_id = producer.id;
        copied.producer_epoch = producer.epoch;
        copied.base_sequence = producer.base_sequence;
        copied.crc = header.crc_after_change(&copied, body.len());
        let stamped = header.timestamp_type() == TimestampType::LogAppendTime;
        let batch = ValidatedBatch {
            header: copied,
            body: body.clone(),
            log_append_time: stamped.then_some(header.max_timestamp),
            origin: Origin::Router,
            uncompressed_bytes: body.len() as u64,
        };
        self.bytes += body.len();
        self.of.entry(target).or_default().push(Part::Whole(Copy { first: *base, last, batch }));
        true
    }

    /// The batches of every partition, in order; nothing is held any more.
    ///
    /// # Errors
    /// [`EntryError`] where a batch would have more than 2 GiB.
    pub(super) fn take(&mut self) -> Result<Vec<(i32, Vec<Copy>)>, EntryError> {
        self.bytes = 0;
        let finish = |part: Part| match part {
            Part::Draft(draft) => draft.finish(self.partition),
            Part::Whole(copy) => Ok(copy),
        };
        let all = std::mem::take(&mut self.of).into_iter().map(|(target, parts)| {
            let copies = parts.into_iter().map(finish).collect::<Result<Vec<_>, _>>()?;
            Ok((target, copies))
        });
        all.collect()
    }
}

impl Draft {
    fn finish(self, partition: i32) -> Result<Copy, EntryError> {
        let Self { kind, builder, first, last } = self;
        let uncompressed_bytes = builder.uncompressed_len() as u64;
        let sequence = routed::sequence(partition, last, builder.len());
        let (header, body) = builder.producer(sequence).build_parts()?;
        let batch = ValidatedBatch {
            header,
            body,
            log_append_time: kind.append_time,
            origin: Origin::Router,
            uncompressed_bytes,
        };
        Ok(Copy { first, last, batch })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use watershed_log::ingress::{unwrap, wrap};
    use watershed_model::record::{BatchHeader, HEADER_BYTES, NewRecord, Records, batches};
    use watershed_model::{LeaderEpoch, ProducerId};

    use super::*;

    fn splitmix(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ (z >> 31)
    }

    /// A batch as it lies in an ingress log, and the targets of its records.
    fn entry(random: &mut u64, base: i64, targets: u64) -> (Entry, Vec<u32>) {
        let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
        let codec = codecs[(splitmix(random) % 5) as usize];
        let stamped = splitmix(random).is_multiple_of(4);
        let time = if stamped { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        let mut builder = BatchBuilder::new().compression(codec, None).timestamp_type(time);
        let uniform = splitmix(random).is_multiple_of(3).then(|| splitmix(random) % targets);
        let mut plan = Vec::new();
        for n in 0..1 + splitmix(random) % 30 {
            let target = uniform.unwrap_or_else(|| splitmix(random) % targets);
            plan.push(u32::try_from(target).unwrap());
            let value = vec![b'v'; (splitmix(random) % 2000) as usize];
            let key = format!("{target} {}", base + n as i64);
            let headers = [(&b"h"[..], Some(key.as_bytes())), (&b"h"[..], None)];
            let record = NewRecord { key: Some(key.as_bytes()), value: Some(&value), headers: &headers };
            builder.push(Timestamp((splitmix(random) % 1_000_000) as i64), record);
        }
        let bytes = builder.build().unwrap();
        let header = BatchHeader::parse(&bytes).unwrap();
        let batch = ValidatedBatch {
            header,
            body: bytes.slice(HEADER_BYTES..),
            log_append_time: None,
            origin: Origin::Client { produce_version: 12 },
            uncompressed_bytes: 0,
        };
        let mut wrapped = wrap(&batch, &plan).unwrap();
        wrapped.header.base_offset = Offset(base);
        wrapped.header.leader_epoch = LeaderEpoch(0);
        let mut stored = wrapped.header.to_bytes().to_vec();
        stored.extend_from_slice(&wrapped.body);
        let stored = batches(stored.into()).next().unwrap().unwrap();
        assert!(stored.crc_is_valid());
        (unwrap(&stored.header, &stored.body()).unwrap(), plan)
    }

    #[test]
    fn every_record_is_copied_to_its_target_once_and_in_order() {
        for seed in 0..60 {
            let mut random = seed;
            let targets = 1 + splitmix(&mut random) % 300;
            let limit = [1, 3000, 100_000, u32::MAX][(seed % 4) as usize];
            let mut drafts = Drafts::new(5, None, limit, 1000);
            let (mut base, mut expect) = (0, BTreeMap::<i32, Vec<(i64, Timestamp, bool)>>::new());
            for _ in 0..20 {
                let (entry, plan) = entry(&mut random, base, targets);
                assert!(plan.iter().enumerate().all(|(n, target)| entry.plan.target(n) == Some(*target as i32)));
                let whole = entry.plan.is_uniform() && drafts.push_whole(&entry, plan[0] as i32);
                let mut records = Records::new(&entry.header, entry.body.clone(), usize::MAX).unwrap();
                let stamped = entry.header.timestamp_type() == TimestampType::LogAppendTime;
                let mut n = 0;
                while let Some(record) = records.next().unwrap() {
                    let at = entry.header.timestamp_at(record.timestamp_delta);
                    expect.entry(plan[n] as i32).or_default().push((base + n as i64, at, stamped));
                    if !whole {
                        drafts.push(&entry, plan[n] as i32, &record).unwrap();
                    }
                    n += 1;
                }
                base += n as i64;
            }
            for (target, copies) in drafts.take().unwrap() {
                let expect = expect.remove(&target).unwrap();
                let mut at = expect.iter();
                let mut before = -1;
                for Copy { first, last, batch } in copies {
                    assert_eq!(batch.header.producer_id, ProducerId::routed(5));
                    assert_eq!(batch.header.crc, batch.header.compute_crc(&batch.body), "seed {seed}");
                    let told = (batch.header.producer_epoch, batch.header.last_sequence());
                    assert_eq!(routed::offset(told, Offset(base)), last);
                    assert!(first.0 > before && last >= first);
                    before = last.0;
                    let mut records = Records::new(&batch.header, batch.body.clone(), usize::MAX).unwrap();
                    while let Some(record) = records.next().unwrap() {
                        let (offset, timestamp, stamped) = at.next().unwrap();
                        let key = format!("{target} {offset}");
                        assert_eq!(record.key.unwrap(), key.as_bytes(), "seed {seed}");
                        assert_eq!(record.headers.iter().next().unwrap().1, Some(key.as_bytes()));
                        assert_eq!(batch.header.timestamp_at(record.timestamp_delta), *timestamp, "seed {seed}");
                        assert_eq!(batch.header.timestamp_type() == TimestampType::LogAppendTime, *stamped);
                    }
                }
                assert_eq!(at.next(), None, "seed {seed}");
            }
            assert!(expect.is_empty());
        }
    }
}
