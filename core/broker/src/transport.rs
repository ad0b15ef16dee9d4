//! Bytes in and out of one TCP connection.
//!
//! Reading: nothing is allocated while a connection is idle; a large frame gets one buffer of its size and is read into
//! it directly. Writing: runs of memory go out in vectored writes, ranges of files by `sendfile`, so that a record's
//! bytes pass from socket to page cache and back without a copy of ours.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;
use watershed_model::Piece;

/// How much is read at once while the size of the next frame is unknown.
const READ_AHEAD_BYTES: usize = 16 * 1024;

/// How many runs of memory one vectored write takes.
const SLICES_MAX: usize = 64;

/// The most that one `sendfile` call is asked for, so that one connection does not hold a worker.
const SENDFILE_BYTES_MAX: usize = 1024 * 1024;

/// A frame's size field.
const SIZE_BYTES: usize = 4;

/// The sending and receiving ends of a connection.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: TcpStream,
    input: BytesMut,
    ended: bool,
    /// How long the other end may leave what is sent to it unread.
    patience: Duration,
}

impl Transport {
    pub(crate) fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, input: BytesMut::new(), ended: false, patience }
    }

    /// The bytes that have arrived and were not taken.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.input
    }

    /// The size that the next frame announces, once it has arrived.
    pub(crate) fn announced(&self) -> Option<i32> {
        self.input.first_chunk::<SIZE_BYTES>().map(|size| i32::from_be_bytes(*size))
    }

    /// The next frame without its size field, if `size` bytes of it are here.
    pub(crate) fn take_frame(&mut self, size: usize) -> Option<Bytes> {
        if self.input.len() < SIZE_BYTES + size {
            return None;
        }
        self.input.advance(SIZE_BYTES);
        let frame = self.input.split_to(size).freeze();
        if self.input.is_empty() {
            // An idle connection holds no buffer.
            self.input = BytesMut::new();
        }
        Some(frame)
    }

    /// Waits until something has arrived; `false` at the end of the stream. Of the frame that is under way the first
    /// `reach` bytes are read and not much more (0: it is not known yet), into a buffer for `room` of them. Cancel-safe:
    /// what was read stays in the buffer.
    pub(crate) async fn fill(&mut self, reach: usize, room: usize) -> io::Result<bool> {
        loop {
            if self.ended {
                return Ok(false);
            }
            self.stream.readable().await?;
            let missing = |bytes: usize| (SIZE_BYTES + bytes).saturating_sub(self.input.len()).max(READ_AHEAD_BYTES);
            let (want, room) = if reach == 0 { (READ_AHEAD_BYTES, 0) } else { (missing(reach), missing(room)) };
            self.input.reserve(want.max(room));
            match self.stream.try_read_buf(&mut (&mut self.input).limit(want)) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(false);
                }
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.input.is_empty() {
                        self.input = BytesMut::new();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends everything. Not cancel-safe: a dropped call leaves half a response on the wire, so the connection
    /// must be closed then.
    pub(crate) async fn send(&mut self, pieces: Vec<Piece>) -> io::Result<u64> {
        let mut queue: VecDeque<Piece> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let mut sent = 0u64;
        while let Some(front) = queue.front_mut() {
            let written = match front {
                Piece::Bytes(_) => {
                    let written = self.write_memory(&queue).await?;
                    consume_memory(&mut queue, written);
                    written
                }
                Piece::File { file, pos, len, .. } => {
                    let want = (*len as usize).min(SENDFILE_BYTES_MAX);
                    let mut offset = *pos;
                    let written = self
                        .write(|| {
                            rustix::fs::sendfile(&self.stream, &*file, Some(&mut offset), want).map_err(io::Error::from)
                        })
                        .await?;
                    if written == 0 {
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "a log file is shorter than its index says",
                        ));
                    }
                    *pos += written as u64;
                    *len -= u32::try_from(written).expect("no more than asked for is sent");
                    if *len == 0 {
                        queue.pop_front();
                    }
                    written
                }
            };
            sent += written as u64;
        }
        Ok(sent)
    }

    /// One vectored write of the runs of memory at the front; `MSG_MORE` where a file follows, so that its first bytes
    /// share a packet with the header.
    async fn write_memory(&self, queue: &VecDeque<Piece>) -> io::Result<usize> {
        let mut slices = Vec::with_capacity(queue.len().min(SLICES_MAX));
        let mut more = false;
        for piece in queue {
            match piece {
                Piece::Bytes(bytes) if slices.len() < SLICES_MAX => slices.push(IoSlice::new(bytes)),
                _ => {
                    more = true;
                    break;
                }
            }
        }
        let flags = if more { rustix::net::SendFlags::MORE } else { rustix::net::SendFlags::empty() };
        self.write(|| {
            let mut control = rustix::net::SendAncillaryBuffer::default();
            rustix::net::sendmsg(&self.stream, &slices, &mut control, flags | rustix::net::SendFlags::NOSIGNAL)
                .map_err(io::Error::from)
        })
        .await
    }

    /// One write as soon as the socket takes something. A client that reads nothing for too long is an error: what it is
    /// owed holds memory and files.
    async fn write(&self, mut attempt: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match self.stream.try_io(Interest::WRITABLE, &mut attempt) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let Ok(writable) = tokio::time::timeout(self.patience, self.stream.writable()).await else {
                        let text =
                            format!("the client has read nothing for {:?} (connections.max.idle.ms)", self.patience);
                        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                    };
                    writable?;
                }
                done => return done,
            }
        }
    }
}

fn consume_memory(queue: &mut VecDeque<Piece>, mut written: usize) {
    while written > 0 {
        let Some(Piece::Bytes(bytes)) = queue.front_mut() else { return };
        if written < bytes.len() {
            bytes.advance(written);
            return;
        }
        written -= bytes.len();
        queue.pop_front();
    }
}
