//! Cleaning: closed segments are written anew without the records that somebody needs no longer.
//!
//! Offsets stay, and so does all of a batch that loses records: its place, its producer and sequence, its base timestamp, its
//! epoch, its codec. A batch that changes nothing stays byte for byte. One that loses its last record goes, unless it is the last
//! that its producer wrote: what the producers of a log are is kept in snapshots, but where these are damaged, it is read
//! from the batches, and then a producer that goes on must find its last sequence number (KIP-98). Control batches and
//! transactional ones are never touched.
//!
//! What is written anew has a new checksum, so the old one is checked first: a bit that turned on the medium is not made good.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use watershed_model::Offset;
use watershed_model::limits::REPLAY_READ_BYTES;
use watershed_model::record::{BatchHeader, HEADER_BYTES, RecordBatch, batches};
use watershed_storage::{Frame, SegmentMeta, SegmentRewrite, StorageError};

use super::UnifiedLog;
use super::append::frame;
use super::open::corrupt;
use crate::LogError;

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchFate {
    /// It stays as it is.
    Keep,
    /// Some of its records go, or all: this is what is left of it.
    Rewrite(BatchHeader, Bytes),
}

/// The answer of a [`Judge`].
pub type Judged<'a> = Pin<Box<dyn Future<Output = Option<Vec<BatchFate>>> + Send + 'a>>;

/// Says which records stay.
pub trait Judge: Send {
    /// One fate a batch, in order; `None` to stop, and leave the segment as it is. Batches of transactions are not shown.
    fn judge(&mut self, batches: Vec<RecordBatch>) -> Judged<'_>;
}

/// What cleaning a segment came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// The segment was written anew.
    pub rewritten: bool,
    /// Its records before.
    pub records_before: u64,
    /// Its records now.
    pub records_after: u64,
    /// Its bytes before.
    pub bytes_before: u64,
    /// Its bytes now.
    pub bytes_after: u64,
}

impl UnifiedLog {
    /// The segments that may be cleaned: closed, and as a whole durable, below the high watermark and the last stable offset.
    #[must_use]
    pub fn cleanable_segments(&self) -> Vec<SegmentMeta> {
        let mut segments = self.segments_before(self.log.ends().synced);
        segments.retain(|segment| segment.end > self.start());
        segments
    }

    /// Takes the records out of a segment that the judge does not keep: all of them at once, or none. `None` where the judge
    /// stopped, or the segment is gone.
    ///
    /// # Errors
    /// [`LogError::Storage`]; the segment is as it was.
    pub async fn clean(&self, segment: &SegmentMeta, judge: &mut dyn Judge) -> Result<Option<Cleaned>, LogError> {
        let begin = segment.base.max(self.start());
        let mut cleaned = Cleaned { bytes_before: segment.bytes, ..Cleaned::default() };
        let mut rewrite: Option<Box<dyn SegmentRewrite>> = None;
        let mut at = begin;
        while at < segment.end {
            let Some(read) = self.read_segment(at, segment.end).await? else { return Ok(None) };
            let (Some(first), Some(last)) = (read.first(), read.last()) else { break };
            let (first, next) = (first.header.base_offset, last.header.next_offset());
            let Some(fates) = self.fates(&read, judge).await? else { return Ok(None) };
            let (frames, changed) = self.remains(&read, fates, &mut cleaned)?;
            if changed && rewrite.is_none() {
                let mut begun = self.log.clone().rewrite(segment.base).await?;
                if !self.copy(begin, first, &mut *begun).await? {
                    return Ok(None);
                }
                rewrite = Some(begun);
            }
            if let Some(rewrite) = rewrite.as_mut().filter(|_| !frames.is_empty()) {
                rewrite.write(frames).await?;
            }
            at = next;
        }
        match rewrite {
            Some(rewrite) => {
                rewrite.commit().await?;
                cleaned.rewritten = true;
            }
            None => cleaned.bytes_after = cleaned.bytes_before,
        }
        self.counted(begin, segment.end, cleaned.records_after);
        Ok(Some(cleaned))
    }

    /// Some batches of a segment; `None` when it was deleted meanwhile.
    async fn read_segment(&self, at: Offset, end: Offset) -> Result<Option<Vec<RecordBatch>>, LogError> {
        let bytes = match self.log.load(at, end, REPLAY_READ_BYTES, true).await {
            Err(StorageError::OutOfRange { .. }) => return Ok(None),
            loaded => loaded?,
        };
        let mut read = Vec::new();
        for batch in batches(bytes) {
            let batch = batch.map_err(|e| corrupt(self.tp, at, &e))?;
            if !batch.crc_is_valid() {
                let reason = "the batch does not fit its checksum";
                return Err(corrupt(self.tp, batch.header.base_offset, &reason).into());
            }
            read.push(batch);
        }
        Ok(Some(read))
    }

    /// Asks about what may be asked about.
    async fn fates(&self, read: &[RecordBatch], judge: &mut dyn Judge) -> Result<Option<Vec<BatchFate>>, LogError> {
        let data = |batch: &&RecordBatch| may_change(&batch.header) && batch.header.record_count > 0;
        let asked: Vec<RecordBatch> = read.iter().filter(data).cloned().collect();
        let number = asked.len();
        let answer = if asked.is_empty() { Some(Vec::new()) } else { judge.judge(asked).await };
        let Some(answer) = answer else { return Ok(None) };
        if answer.len() != number {
            let text = format!("{} fates for {number} batches", answer.len());
            return Err(StorageError::Invalid(text).into());
        }
        let mut answer = answer.into_iter();
        let fate = |batch: &RecordBatch| {
            if data(&batch) { answer.next().unwrap_or(BatchFate::Keep) } else { BatchFate::Keep }
        };
        Ok(Some(read.iter().map(fate).collect()))
    }

    /// The frames that stay, and whether they are others than before.
    fn remains(
        &self,
        read: &[RecordBatch],
        fates: Vec<BatchFate>,
        cleaned: &mut Cleaned,
    ) -> Result<(Vec<Frame>, bool), LogError> {
        let mut changed = false;
        let mut frames = Vec::with_capacity(read.len());
        for (batch, fate) in read.iter().zip(fates) {
            let before = &batch.header;
            cleaned.records_before += u64::from(before.record_count.unsigned_abs());
            let (header, body) = match fate {
                BatchFate::Keep => (*before, batch.body()),
                BatchFate::Rewrite(header, body) => {
                    check_place(before, &header, &body)?;
                    changed = true;
                    (header, body)
                }
            };
            if header.record_count == 0 && may_change(&header) && !self.is_needed(&header) {
                changed = true;
                continue;
            }
            cleaned.records_after += u64::from(header.record_count.unsigned_abs());
            cleaned.bytes_after += u64::from(header.total_bytes);
            frames.push(frame(&header, body)?);
        }
        Ok((frames, changed))
    }

    /// Whether a batch without records must stay: its producer's last sequence number is in no other one.
    fn is_needed(&self, header: &BatchHeader) -> bool {
        header.has_producer_id() && self.state.lock().producers.is_last_of_its_producer(header)
    }

    /// Copies the batches of a segment below `upto`; whether all were there.
    async fn copy(&self, mut at: Offset, upto: Offset, rewrite: &mut dyn SegmentRewrite) -> Result<bool, LogError> {
        while at < upto {
            let Some(read) = self.read_segment(at, upto).await? else { return Ok(false) };
            let Some(last) = read.last() else { break };
            at = last.header.next_offset();
            // Those that no records are left of were judged already, and nothing was changed.
            let frames = read.iter().map(|batch| frame(&batch.header, batch.body()));
            rewrite.write(frames.collect::<Result<_, _>>()?).await?;
        }
        Ok(true)
    }
}

/// Whether records may be taken out of such a batch.
fn may_change(header: &BatchHeader) -> bool {
    !header.is_control() && !header.is_transactional()
}

/// What is left of a batch must stand where it stood, and say the same of its producer.
fn check_place(before: &BatchHeader, after: &BatchHeader, body: &Bytes) -> Result<(), StorageError> {
    let place = |h: &BatchHeader| (h.base_offset, h.last_offset_delta, h.leader_epoch, h.base_timestamp);
    let producer = |h: &BatchHeader| (h.producer_id, h.producer_epoch, h.base_sequence, h.is_transactional());
    let right = place(before) == place(after)
        && producer(before) == producer(after)
        && (0..=before.record_count).contains(&after.record_count)
        && after.total_bytes as usize == HEADER_BYTES + body.len()
        && after.crc == after.compute_crc(body);
    if right {
        return Ok(());
    }
    Err(StorageError::Invalid(format!("the batch at {} was rewritten into another one", before.base_offset)))
}
