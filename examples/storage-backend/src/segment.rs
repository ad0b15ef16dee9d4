//! One file of frames, and where in it each frame is.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use watershed_model::{Offset, Timestamp};
use watershed_storage::{Damage, Frame, FrameMeta, Framing, SegmentMeta, StorageError};

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) meta: SegmentMeta,
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
    /// Every frame with its position, in order.
    pub(crate) frames: Vec<(FrameMeta, u64)>,
}

impl Segment {
    pub(crate) fn name(base: Offset) -> String {
        format!("{base:020}.log")
    }

    /// The base offset in a segment file's name.
    pub(crate) fn base_of(name: &str) -> Option<Offset> {
        let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 20)?;
        digits.parse().ok().map(Offset)
    }

    /// Opens the file, making it where it is not; the frames are found by [`Segment::walk`].
    pub(crate) fn open(dir: &Path, base: Offset, now: Timestamp) -> io::Result<Self> {
        let path = dir.join(Self::name(base));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let meta = SegmentMeta {
            base,
            end: base,
            bytes: 0,
            records: 0,
            first_timestamp: None,
            max_timestamp: None,
            modified: now,
            sealed: false,
        };
        Ok(Self { meta, file: Arc::new(file), path, frames: Vec::new() })
    }

    /// Finds the frames in the file; with `verify`, each against its checksum. Answers what is wrong with the first
    /// bytes that are not a frame, if there are any.
    pub(crate) fn walk(&mut self, framing: &dyn Framing, verify: bool) -> io::Result<Option<String>> {
        let size = self.file.metadata()?.len();
        let mut head = vec![0; framing.head_bytes()];
        while self.meta.bytes < size {
            let (at, left) = (self.meta.bytes, size - self.meta.bytes);
            if left < head.len() as u64 {
                return Ok(Some(format!("{left} bytes are no frame")));
            }
            self.file.read_exact_at(&mut head, at)?;
            let meta = match framing.parse(&head) {
                Ok(meta) if u64::from(meta.len) > left => {
                    return Ok(Some(format!("a frame of {} bytes is cut at {left}", meta.len)));
                }
                Ok(meta) if meta.base < self.meta.end => {
                    return Ok(Some(format!("offset {} follows {}", meta.base, self.meta.end)));
                }
                Ok(meta) => meta,
                Err(e) => return Ok(Some(e.to_string())),
            };
            if verify {
                let mut frame = vec![0; meta.len as usize];
                self.file.read_exact_at(&mut frame, at)?;
                if let Err(e) = framing.verify(&frame) {
                    return Ok(Some(e.to_string()));
                }
            }
            self.push(meta);
        }
        Ok(None)
    }

    fn push(&mut self, frame: FrameMeta) {
        let meta = &mut self.meta;
        self.frames.push((frame, meta.bytes));
        meta.end = frame.last.plus(1);
        meta.bytes += u64::from(frame.len);
        meta.records += u64::from(frame.records);
        meta.first_timestamp.get_or_insert(frame.max_timestamp);
        meta.max_timestamp = meta.max_timestamp.max(Some(frame.max_timestamp));
    }

    /// Writes frames at the end; nothing of them remains if that fails.
    pub(crate) fn append(&mut self, frames: &[Frame], now: Timestamp) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        for Frame { head, body, .. } in frames {
            bytes.put_slice(head);
            bytes.put_slice(body);
        }
        if let Err(e) = self.file.write_all_at(&bytes, self.meta.bytes) {
            self.file.set_len(self.meta.bytes)?;
            return Err(e);
        }
        for frame in frames {
            self.push(frame.meta);
        }
        self.meta.modified = now;
        Ok(())
    }

    /// Keeps the frames that lie wholly below `end`; durable on return.
    pub(crate) fn cut(&mut self, end: Offset) -> io::Result<()> {
        let keep = self.frames.partition_point(|(frame, _)| frame.last < end);
        let kept: Vec<_> = self.frames.drain(..).take(keep).collect();
        let empty = SegmentMeta {
            end: self.meta.base,
            bytes: 0,
            records: 0,
            first_timestamp: None,
            max_timestamp: None,
            ..self.meta
        };
        self.meta = empty;
        self.meta.sealed = false;
        kept.into_iter().for_each(|(frame, _)| self.push(frame));
        self.file.set_len(self.meta.bytes)?;
        self.file.sync_data()
    }

    /// Removes the file; readers that hold it can still read.
    pub(crate) fn delete(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    /// Cuts what is not a frame off the last segment; in an earlier one, which was synced when it was sealed, it is an error.
    pub(crate) fn mend(&mut self, reason: String) -> Result<Damage, StorageError> {
        let place = self.path.display().to_string();
        if self.meta.sealed {
            return Err(StorageError::Corrupt { place, reason });
        }
        let (end, bytes) = (self.meta.end, self.meta.bytes);
        let size = self.file.metadata().map(|m| m.len());
        let cut = size.and_then(|size| {
            self.file.set_len(bytes)?;
            self.file.sync_all()?;
            Ok(size - bytes)
        });
        let bytes = cut.map_err(|e| StorageError::io(format!("cutting {place}"), e))?;
        Ok(Damage { offsets: end..end, bytes, reason, promised: false })
    }
}
