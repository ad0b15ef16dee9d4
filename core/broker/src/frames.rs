//! Buffers for large request frames, used again and again.
//!
//! A megabyte of fresh memory costs more in page faults than reading a frame into it, and an allocator that gives pages
//! back between two frames makes every frame pay. The pool keeps what the load of the last few seconds needed, at most
//! [`IDLE_BYTES_MAX`], and [`FramePool::trim`] lets go of the rest.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Frames from this size on (with their length field) are read into a buffer of the pool.
pub(crate) const LARGE_FRAME_BYTES: usize = 64 * 1024;

/// Buffers come in powers of two from [`LARGE_FRAME_BYTES`]; larger than the last of them is made to measure and not kept.
const CLASSES: usize = 7;

/// The most that idle buffers may hold, in bytes.
const IDLE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The broker's idle buffers.
#[derive(Debug, Default)]
pub(crate) struct FramePool {
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    classes: [Class; CLASSES],
    bytes: usize,
}

#[derive(Debug, Default)]
struct Class {
    buffers: Vec<Vec<u8>>,
    /// The fewest that were idle since the last trim: so many nobody needed.
    fewest: usize,
}

/// A buffer that goes back to the pool when it, or the last piece of what it was frozen into, is dropped.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    pool: Arc<FramePool>,
}

impl FramePool {
    /// An empty buffer for a frame of `size` bytes.
    pub(crate) fn lend(self: &Arc<Self>, size: usize) -> FrameBuffer {
        let bytes = class_of(size).and_then(|class| self.take(class));
        let bytes = bytes.unwrap_or_else(|| Vec::with_capacity(class_of(size).map_or(size, class_bytes)));
        FrameBuffer { bytes, pool: Arc::clone(self) }
    }

    fn take(&self, class: usize) -> Option<Vec<u8>> {
        let mut idle = self.idle.lock();
        let of_class = &mut idle.classes[class];
        let bytes = of_class.buffers.pop()?;
        of_class.fewest = of_class.fewest.min(of_class.buffers.len());
        idle.bytes -= class_bytes(class);
        Some(bytes)
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        let Some(class) = class_of(bytes.capacity()).filter(|class| class_bytes(*class) == bytes.capacity()) else {
            return;
        };
        bytes.clear();
        let mut idle = self.idle.lock();
        if idle.bytes + class_bytes(class) <= IDLE_BYTES_MAX {
            idle.bytes += class_bytes(class);
            idle.classes[class].buffers.push(bytes);
        }
    }

    /// Frees the buffers that nobody needed since the last call.
    pub(crate) fn trim(&self) {
        let mut freed = Vec::new();
        let mut idle = self.idle.lock();
        for class in 0..CLASSES {
            let of_class = &mut idle.classes[class];
            let count = of_class.fewest.min(of_class.buffers.len());
            freed.extend(of_class.buffers.drain(..count));
            of_class.fewest = of_class.buffers.len();
            idle.bytes -= count * class_bytes(class);
        }
        drop(idle);
        drop(freed);
    }

    #[cfg(test)]
    fn idle_bytes(&self) -> usize {
        self.idle.lock().bytes
    }
}

impl FrameBuffer {
    /// What was read so far; never grown beyond the size it was lent for.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What was read so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The buffer as shared bytes.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for FrameBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for FrameBuffer {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}

const fn class_bytes(class: usize) -> usize {
    LARGE_FRAME_BYTES << class
}

/// The smallest class that holds `size` bytes.
fn class_of(size: usize) -> Option<usize> {
    (0..CLASSES).find(|class| class_bytes(*class) >= size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_the_last_piece_of_its_frame_is_gone() {
        let pool = Arc::new(FramePool::default());
        let mut buffer = pool.lend(100_000);
        buffer.bytes_mut().extend_from_slice(b"frame");
        let address = buffer.bytes().as_ptr();
        let frame = buffer.freeze();
        let piece = frame.slice(1..3);
        drop(frame);
        assert_eq!(pool.idle_bytes(), 0, "a piece is still in use");
        assert_eq!(&piece[..], b"ra");
        drop(piece);
        assert_eq!(pool.idle_bytes(), 128 * 1024);
        let again = pool.lend(128 * 1024);
        assert_eq!((again.bytes().len(), again.bytes().as_ptr()), (0, address));
        assert_ne!(pool.lend(128 * 1024).bytes().as_ptr(), address, "one frame at a time");
    }

    #[test]
    fn what_is_idle_is_bounded_and_goes_when_it_is_not_needed() {
        let pool = Arc::new(FramePool::default());
        drop(pool.lend(LARGE_FRAME_BYTES << CLASSES));
        assert_eq!(pool.idle_bytes(), 0, "made to measure, not kept");
        let many: Vec<_> = (0..40).map(|_| pool.lend(1 << 20)).collect();
        drop(many);
        assert_eq!(pool.idle_bytes(), IDLE_BYTES_MAX);
        pool.trim();
        assert_eq!(pool.idle_bytes(), IDLE_BYTES_MAX, "they were needed since the last trim");
        drop([pool.lend(1 << 20), pool.lend(1 << 20)]);
        pool.trim();
        assert_eq!(pool.idle_bytes(), 2 << 20, "two were enough");
        pool.trim();
        assert_eq!(pool.idle_bytes(), 0);
    }
}
