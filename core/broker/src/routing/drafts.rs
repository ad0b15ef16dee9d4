//! The batches that records are copied in. Pure.

use std::collections::BTreeMap;

use watershed_log::ingress::{Entry, EntryError};
use watershed_log::{Origin, ValidatedBatch, routed};
use watershed_model::record::{
    BatchBuilder, BatchHeader, Compression, HEADER_BYTES, Level, Record, RecordError, TimestampType,
};
use watershed_model::{Offset, Timestamp};

/// The largest batch that records of several entries are put into, in bytes before compression.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

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
    of: BTreeMap<i32, Vec<Draft>>,
    bytes: usize,
}

impl Drafts {
    pub(super) fn new(partition: i32, level: Level, max_message_bytes: u32) -> Self {
        let batch_bytes_max = BATCH_BYTES_MAX.min(max_message_bytes as usize);
        Self { partition, level, batch_bytes_max, of: BTreeMap::new(), bytes: 0 }
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
            |draft: &&mut Draft| draft.kind == kind && draft.builder.uncompressed_len() + size <= self.batch_bytes_max;
        let draft = match drafts.last_mut().filter(fits) {
            Some(draft) => draft,
            None => {
                let time = if stamped { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
                let builder = BatchBuilder::new().compression(codec, self.level).timestamp_type(time);
                drafts.push(Draft { kind, builder, first: offset, last: offset });
                drafts.last_mut().expect("one was just added")
            }
        };
        let before = draft.builder.uncompressed_len();
        draft.builder.push_copy(timestamp, record);
        draft.last = offset;
        self.bytes += draft.builder.uncompressed_len() - before;
        Ok(())
    }

    /// The batches of every partition, in order; nothing is held any more.
    ///
    /// # Errors
    /// [`EntryError`] where a batch would have more than 2 GiB.
    pub(super) fn take(&mut self) -> Result<Vec<(i32, Vec<Copy>)>, EntryError> {
        self.bytes = 0;
        let all = std::mem::take(&mut self.of).into_iter().map(|(target, drafts)| {
            let copies = drafts.into_iter().map(|draft| draft.finish(self.partition)).collect::<Result<Vec<_>, _>>()?;
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
        let bytes = builder.producer(sequence).build()?;
        let header = BatchHeader::parse(&bytes).map_err(RecordError::from)?;
        let batch = ValidatedBatch {
            header,
            body: bytes.slice(HEADER_BYTES..),
            log_append_time: kind.append_time,
            origin: Origin::Router,
            uncompressed_bytes,
        };
        Ok(Copy { first, last, batch })
    }
}
