//! Bytes in and out of one TCP connection.
//!
//! Reading: nothing is allocated while a connection is idle; a large frame is read into one buffer of the pool. Writing:
//! runs of memory go out in vectored writes, ranges of files by `sendfile`, so that a record's bytes pass from socket to
//! page cache and back without a copy of ours.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use watershed_model::Piece;

use crate::frames::{FrameBuffer, FramePool, LARGE_FRAME_BYTES};

/// How much is read at once while the size of the next frame is unknown.
const READ_AHEAD_BYTES: usize = 16 * 1024;

/// How many runs of memory one vectored write takes.
const SLICES_MAX: usize = 64;

/// The most that one `sendfile` call is asked for, so that one connection does not hold a worker.
const SENDFILE_BYTES_MAX: usize = 1024 * 1024;

/// A frame's size field.
const SIZE_BYTES: usize = 4;

/// What paces packets between two ends of one machine: nothing. Where the system's choice is BBR, its pacing arms a
/// high-resolution timer per packet, which on a virtual machine is half of the cost of a fetch; the loopback interface
/// has no queue that pacing could spare.
const SAME_HOST_CONGESTION_CONTROL: &str = "reno";

/// Sets the options of a new connection's socket.
pub(crate) fn prepare(stream: &TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if stream.local_addr()?.ip() == peer.ip() {
        rustix::net::sockopt::set_tcp_congestion(stream, SAME_HOST_CONGESTION_CONTROL)?;
    }
    Ok(())
}

/// The sending and receiving ends of a connection.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: TcpStream,
    frames: Arc<FramePool>,
    input: BytesMut,
    /// The frame that is under way where it is read into a buffer of the pool; `input` is empty then.
    large: Option<FrameBuffer>,
    ended: bool,
    /// How long the other end may leave what is sent to it unread.
    patience: Duration,
}

impl Transport {
    pub(crate) fn new(stream: TcpStream, frames: Arc<FramePool>, patience: Duration) -> Self {
        Self { stream, frames, input: BytesMut::new(), large: None, ended: false, patience }
    }

    /// The bytes that have arrived and were not taken.
    pub(crate) fn buffered(&self) -> &[u8] {
        self.large.as_ref().map_or(&self.input, FrameBuffer::bytes)
    }

    /// The size that the next frame announces, once it has arrived.
    pub(crate) fn announced(&self) -> Option<i32> {
        self.buffered().first_chunk::<SIZE_BYTES>().map(|size| i32::from_be_bytes(*size))
    }

    /// The next frame without its size field, if `size` bytes of it are here.
    pub(crate) fn take_frame(&mut self, size: usize) -> Option<Bytes> {
        if self.buffered().len() < SIZE_BYTES + size {
            return None;
        }
        if let Some(large) = self.large.take() {
            return Some(large.freeze().slice(SIZE_BYTES..SIZE_BYTES + size));
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
            if self.large.as_ref().is_some_and(|large| large.bytes().len() >= SIZE_BYTES + reach) {
                // All that may be read now is here; whoever waits for room asks again with more.
                std::future::pending::<()>().await;
            }
            self.stream.readable().await?;
            match self.read_now(reach, room) {
                Some(Ok(0)) => {
                    self.ended = true;
                    return Ok(false);
                }
                Some(Ok(_)) => return Ok(true),
                None => {
                    if self.input.is_empty() {
                        self.input = BytesMut::new();
                    }
                    // The socket may hold bytes and refuse to be read: the task has used up its turn of the runtime, which
                    // `readable` does not heed. It gets a new one here, and would go round for ever otherwise.
                    tokio::task::coop::consume_budget().await;
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Reads what is there; `None` if that is nothing.
    fn read_now(&mut self, reach: usize, room: usize) -> Option<io::Result<usize>> {
        if self.large.is_none() && self.is_large(room) {
            let mut large = self.frames.lend(SIZE_BYTES + room);
            large.bytes_mut().extend_from_slice(&std::mem::take(&mut self.input));
            self.large = Some(large);
        }
        // Not `try_read`: this read knows that a socket which gave less than there was room for is empty, and spares the
        // next call from asking it.
        if let Some(large) = &mut self.large {
            let want = (SIZE_BYTES + reach).saturating_sub(large.bytes().len());
            return self.stream.read_buf(&mut large.bytes_mut().limit(want)).now_or_never();
        }
        let missing = |bytes: usize| (SIZE_BYTES + bytes).saturating_sub(self.input.len()).max(READ_AHEAD_BYTES);
        let (want, room) = if reach == 0 { (READ_AHEAD_BYTES, 0) } else { (missing(reach), missing(room)) };
        self.input.reserve(want.max(room));
        self.stream.read_buf(&mut (&mut self.input).limit(want)).now_or_never()
    }

    /// Whether the frame that is under way goes into a buffer of the pool: the buffer takes all of it, and most of it is
    /// still to come.
    fn is_large(&self, room: usize) -> bool {
        let is_whole = self.announced().and_then(|size| usize::try_from(size).ok()) == Some(room);
        is_whole && room >= LARGE_FRAME_BYTES && self.input.len() < LARGE_FRAME_BYTES
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;

    use super::*;

    /// Long enough for anything but a loop without end.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_task_that_has_used_up_its_turn_reads_on_its_next_one() {
        let (sender, receiver) = mpsc::channel();
        // A task that never yields cannot be timed out from inside.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (stream, _) = listener.accept().await.unwrap();
                client.write_all(b"abcd").unwrap();
                stream.readable().await.unwrap();
                let mut transport = Transport::new(stream, Arc::new(FramePool::default()), PATIENCE);
                let work = async move {
                    while tokio::task::coop::consume_budget().now_or_never().is_some() {}
                    transport.fill(0, 0).await.unwrap();
                    transport.buffered().to_vec()
                };
                sender.send(tokio::spawn(work).await.unwrap()).unwrap();
            });
        });
        assert_eq!(receiver.recv_timeout(PATIENCE).expect("the task goes round and round"), b"abcd");
    }
}
