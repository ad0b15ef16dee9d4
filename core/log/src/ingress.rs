//! What an ingress log holds: batches as clients sent them, each with a plan that says which partition every record belongs to.
//!
//! An entry is one batch, so that Kafka's own idempotence and one append cover batch and plan alike. It has the producer,
//! sequence, offsets and timestamps of the batch that came in, and one record: the key is the plan, the value the batch.
//!
//! The plan: a version (1), a width, and the numbers of the partitions, big-endian and that many bytes wide, one a record in
//! order; with width 0 there is one number of four bytes, for all records.

use bytes::Bytes;
use watershed_model::Offset;
use watershed_model::record::{
    BatchHeader, Compression, HEADER_BYTES, RecordBatch, RecordError, Records, TimestampType, put_record,
};

use crate::{LogError, ValidatedBatch};

const VERSION: u8 = 1;

/// An entry that cannot be read. It was written by this broker, so it is damage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It is no batch with one record.
    #[error("an entry of an ingress log cannot be read: {0}")]
    Record(#[from] RecordError),
    /// It has no plan, or one that does not fit.
    #[error("an entry of an ingress log has no plan for its records")]
    Plan,
}

/// Which partition each record of a batch belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    width: usize,
    numbers: Bytes,
}

impl Plan {
    /// The partition of the record at `index`, counted from 0 among those that are there.
    #[must_use]
    pub fn target(&self, index: usize) -> Option<i32> {
        let (width, at) = if self.width == 0 { (4, 0) } else { (self.width, index * self.width) };
        let number = self.numbers.get(at..at + width)?.iter().fold(0, |sum: u32, byte| (sum << 8) | u32::from(*byte));
        i32::try_from(number).ok()
    }

    /// Whether all records belong to one partition.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        self.width == 0
    }

    fn decode(bytes: &Bytes) -> Option<Self> {
        let (&[version, width], numbers) = bytes.split_first_chunk::<2>()?;
        let width = usize::from(width);
        let fits = if width == 0 { numbers.len() == 4 } else { matches!(width, 1 | 2 | 4) };
        (version == VERSION && fits).then(|| Self { width, numbers: bytes.slice(2..) })
    }
}

fn encode_plan(targets: &[u32]) -> Vec<u8> {
    let first = targets.first().copied().unwrap_or(0);
    let largest = targets.iter().copied().max().unwrap_or(0);
    let width = match largest {
        _ if targets.iter().all(|target| *target == first) => 0,
        ..0x100 => 1,
        0x100..0x1_0000 => 2,
        _ => 4,
    };
    let mut out = vec![VERSION, width];
    if width == 0 {
        out.extend_from_slice(&first.to_be_bytes());
    } else {
        for target in targets {
            out.extend_from_slice(&target.to_be_bytes()[4 - usize::from(width)..]);
        }
    }
    out
}

/// Makes an entry of a batch: `targets` has the partition of every record that is in it, in order.
///
/// # Errors
/// [`LogError::TooLarge`] when the entry would be beyond 2 GiB.
pub fn wrap(batch: &ValidatedBatch, targets: &[u32]) -> Result<ValidatedBatch, LogError> {
    let inner = &batch.header;
    let mut body = Vec::with_capacity(2 * HEADER_BYTES + targets.len() + batch.body.len());
    put_record(&mut body, &encode_plan(targets), [&inner.to_bytes(), &batch.body]);
    let mut header = *inner;
    header.record_count = 1;
    header.set_compression(Compression::None);
    header.set_timestamp_type(TimestampType::CreateTime);
    let bytes = HEADER_BYTES + body.len();
    let too_large = LogError::TooLarge { bytes: bytes as u64, max: i32::MAX.unsigned_abs() };
    header.total_bytes = i32::try_from(bytes).map_err(|_| too_large)?.unsigned_abs();
    header.base_timestamp = inner.max_timestamp;
    // The batch was checked when it came in: its CRC stands for its bytes.
    let (before, behind) = (body.len() - 1 - batch.body.len(), body.len() - 1);
    let known = (inner.body_crc(batch.body.len()), batch.body.len());
    header.crc = header.compute_crc_around(&body[..before], known, &body[behind..]);
    Ok(ValidatedBatch { header, body: body.into(), ..*batch })
}

/// An entry, taken apart.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the batch's offsets begin in the ingress log.
    pub base: Offset,
    /// The batch that came in.
    pub header: BatchHeader,
    /// Its records.
    pub body: Bytes,
    /// Where they belong.
    pub plan: Plan,
}

/// Takes an entry apart, which is given by its header and what follows it; no byte is copied.
///
/// # Errors
/// [`EntryError`].
pub fn unwrap(entry: &BatchHeader, body: &Bytes) -> Result<Entry, EntryError> {
    let mut records = Records::new(entry, body.clone(), body.len())?;
    let record = records.next()?.ok_or(EntryError::Plan)?;
    let plan = Plan::decode(&body.slice_ref(record.key.ok_or(EntryError::Plan)?)).ok_or(EntryError::Plan)?;
    let mut inner = body.slice_ref(record.value.ok_or(EntryError::Plan)?);
    let inner = RecordBatch::split_from(&mut inner)?;
    let count = usize::try_from(inner.header.record_count).map_err(|_| EntryError::Plan)?;
    if !plan.is_uniform() && plan.numbers.len() != count * plan.width {
        return Err(EntryError::Plan);
    }
    Ok(Entry { base: entry.base_offset, header: inner.header, body: inner.body(), plan })
}
