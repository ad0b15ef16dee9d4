//! Walking over a segment's frames, one header after the other.

use std::io;

use watershed_model::LeaderEpoch;
use watershed_model::Offset;
use watershed_storage::{FrameMeta, Framing};

use crate::fs::{FsFile, read_full};

/// Bytes read at a time to see one frame.
const PEEK_BYTES: usize = 16 << 10;

/// Why a walk ended before its end.
#[derive(Debug)]
pub(crate) enum WalkError {
    /// The medium failed.
    Io(io::Error),
    /// The bytes at the walker's position are not the next frame.
    Bad(String),
}

impl From<io::Error> for WalkError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// Reads frame after frame of `[pos, end)` of a file.
pub(crate) struct Walker<'a> {
    file: &'a dyn FsFile,
    framing: &'a dyn Framing,
    pos: u64,
    end: u64,
    buf: Vec<u8>,
    /// `buf[..filled]` is the file's content from here.
    buf_pos: u64,
    filled: usize,
    ahead: usize,
    next: Offset,
    epoch: LeaderEpoch,
    /// A frame is known to end here.
    end_known: Option<Offset>,
    /// The frame behind the last one: the first of the next segment.
    behind: Option<FrameMeta>,
    /// Bytes read from the file.
    pub(crate) read_bytes: u64,
}

impl<'a> Walker<'a> {
    /// Begins at `pos`, where a frame begins; reads `ahead` bytes at a time.
    pub(crate) fn new(file: &'a dyn FsFile, framing: &'a dyn Framing, pos: u64, end: u64, ahead: usize) -> Self {
        Self {
            file,
            framing,
            pos,
            end,
            buf: Vec::new(),
            buf_pos: 0,
            filled: 0,
            ahead,
            next: Offset(0),
            epoch: LeaderEpoch(i32::MIN),
            end_known: None,
            behind: None,
            read_bytes: 0,
        }
    }

    /// Frames below this offset, or of an earlier epoch, are refused.
    pub(crate) fn expect(&mut self, next: Offset, epoch: LeaderEpoch) {
        (self.next, self.epoch) = (next, epoch);
    }

    /// A frame is known to end at `end`: none that leaps over it is believed.
    pub(crate) fn expect_end(&mut self, end: Offset) {
        self.end_known = Some(end);
    }

    /// What follows the end is known: the last frame must not contradict it.
    pub(crate) fn expect_behind(&mut self, behind: Option<FrameMeta>) {
        self.behind = behind;
    }

    /// The first frame of a segment, if it is intact.
    pub(crate) fn first_in(file: &'a dyn FsFile, framing: &'a dyn Framing) -> io::Result<Option<FrameMeta>> {
        Ok(Self::new(file, framing, 0, file.size()?, PEEK_BYTES).peek())
    }

    /// The frame at the position, if it is intact; the walker stays.
    pub(crate) fn peek(&mut self) -> Option<FrameMeta> {
        self.intact().ok().flatten()
    }

    /// What the next frame must not be below.
    pub(crate) fn expected(&self) -> Offset {
        self.next
    }

    /// The epoch of the last frame.
    pub(crate) fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Where the next frame begins.
    pub(crate) fn pos(&self) -> u64 {
        self.pos
    }

    /// Goes on elsewhere.
    pub(crate) fn jump(&mut self, pos: u64) {
        self.pos = pos;
    }

    /// The file's bytes `[pos, pos + len)`, fewer at its end.
    fn bytes(&mut self, pos: u64, len: usize) -> io::Result<&[u8]> {
        let len = len.min(usize::try_from(self.end.saturating_sub(pos)).unwrap_or(usize::MAX));
        let has = self.buf_pos <= pos && pos + len as u64 <= self.buf_pos + self.filled as u64;
        if !has {
            let left = usize::try_from(self.end - pos).unwrap_or(usize::MAX);
            let want = len.max(self.ahead).min(left);
            if self.buf.len() < want {
                self.buf.resize(want, 0);
            }
            self.buf_pos = pos;
            self.filled = 0;
            self.filled = read_full(self.file, pos, &mut self.buf[..want])?;
            self.read_bytes += self.filled as u64;
        }
        let begin = (pos - self.buf_pos) as usize;
        let stop = self.filled.min(begin + len);
        Ok(&self.buf[begin.min(stop)..stop])
    }

    /// The frame at the position, checked for its place in the log but not against its checksum.
    fn head(&mut self) -> Result<Option<FrameMeta>, WalkError> {
        if self.pos >= self.end {
            return Ok(None);
        }
        let (pos, need, framing) = (self.pos, self.framing.head_bytes(), self.framing);
        let head = self.bytes(pos, need)?;
        if head.len() < need {
            let text = format!("{} bytes are left, a header has {need}", head.len());
            return Err(WalkError::Bad(text));
        }
        let meta = framing.parse(head).map_err(|e| WalkError::Bad(e.to_string()))?;
        if u64::from(meta.len) > self.end - pos {
            let left = self.end - pos;
            let text = format!("{left} bytes are left of a frame of {}", meta.len);
            return Err(WalkError::Bad(text));
        }
        if meta.base < self.next || meta.last < meta.base || meta.last.0 == i64::MAX {
            let text = format!("offsets {} to {} follow {}", meta.base, meta.last, self.next);
            return Err(WalkError::Bad(text));
        }
        if meta.epoch < self.epoch {
            let text = format!("leader epoch {} follows {}", meta.epoch, self.epoch);
            return Err(WalkError::Bad(text));
        }
        if (meta.len as usize) < need {
            let text = format!("a frame of {} bytes is shorter than a header", meta.len);
            return Err(WalkError::Bad(text));
        }
        Ok(Some(meta))
    }

    fn pass(&mut self, meta: FrameMeta) -> (FrameMeta, u64) {
        let pos = self.pos;
        self.pos += u64::from(meta.len);
        self.next = meta.last.plus(1);
        self.epoch = meta.epoch;
        (meta, pos)
    }

    /// The next frame and its position, by its header alone; `None` at the end.
    pub(crate) fn next_head(&mut self) -> Result<Option<(FrameMeta, u64)>, WalkError> {
        Ok(self.head()?.map(|meta| self.pass(meta)))
    }

    /// The next frame, read whole and checked against its checksum, and, as that covers neither offset nor epoch, against
    /// its neighbours.
    pub(crate) fn next_verified(&mut self) -> Result<Option<(FrameMeta, u64)>, WalkError> {
        let Some(meta) = self.intact()? else {
            return Ok(None);
        };
        if let Some(end) = self.end_known.filter(|end| self.next < *end && meta.base >= *end) {
            let text =
                format!("offsets {} to {} follow {}, and a frame ended at {end}", meta.base, meta.last, self.next);
            return Err(WalkError::Bad(text));
        }
        // Legal, but also what a flipped bit of the offset or the epoch looks like; then the next frame tells.
        if (meta.base > self.next || meta.epoch > self.epoch) && self.is_contradicted(&meta)? {
            let (base, epoch, next) = (meta.base, meta.epoch, self.next);
            let text =
                format!("offset {base} of epoch {epoch} follows {next}, and is contradicted by the frame behind it");
            return Err(WalkError::Bad(text));
        }
        Ok(Some(self.pass(meta)))
    }

    /// The frame at the position, if it is intact in itself.
    fn intact(&mut self) -> Result<Option<FrameMeta>, WalkError> {
        let Some(meta) = self.head()? else {
            return Ok(None);
        };
        let (pos, framing) = (self.pos, self.framing);
        let frame = self.bytes(pos, meta.len as usize)?;
        let verified = framing.verify(frame).map_err(|e| WalkError::Bad(e.to_string()))?;
        if verified != meta {
            return Err(WalkError::Bad("header and frame disagree".into()));
        }
        Ok(Some(meta))
    }

    /// Whether the frame behind an intact one continues what came before it, but not it.
    fn is_contradicted(&mut self, meta: &FrameMeta) -> Result<bool, WalkError> {
        let pos = self.pos;
        self.pos += u64::from(meta.len);
        let behind = self.intact().map(|found| found.or(self.behind));
        self.pos = pos;
        match behind {
            // Only what leaps can be in the wrong: of two frames that contradict each other the other one may be it.
            Ok(behind) => Ok(behind.is_some_and(|b| {
                (meta.base > self.next && b.base <= meta.last) || (meta.epoch > self.epoch && b.epoch < meta.epoch)
            })),
            Err(WalkError::Bad(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// After a bad place: the first position behind it where an intact frame begins. The walker goes on there.
    pub(crate) fn find_intact(&mut self) -> Result<Option<u64>, io::Error> {
        let bad = self.pos;
        // The frame that ended there may be the bad one.
        self.end_known = None;
        let mut pos = bad + 1;
        let head_bytes = self.framing.head_bytes();
        while pos < self.end {
            // The file may be far shorter than it should be.
            if self.bytes(pos, head_bytes)?.len() < head_bytes {
                break;
            }
            self.pos = pos;
            let saved = (self.next, self.epoch);
            match self.next_verified() {
                Ok(Some(_)) => {
                    (self.next, self.epoch) = saved;
                    self.pos = pos;
                    return Ok(Some(pos));
                }
                Ok(None) => break,
                Err(WalkError::Bad(_)) => pos += 1,
                Err(WalkError::Io(e)) => return Err(e),
            }
        }
        self.pos = bad;
        Ok(None)
    }
}
