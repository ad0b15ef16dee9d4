//! One client's connection: frames in, responses out, in request order.
//!
//! Only consecutive Produce requests overlap, and consecutive OffsetCommits: the ordered part of such a request (of a
//! Produce: validate, append) runs at once, its response waits in a queue until the storage's promise holds, and
//! meanwhile the next one is taken, so that pipelined requests share one group commit. Any other request starts when
//! every earlier one on the connection has its result. Not reading is the only answer to a client that asks for too
//! much: too many responses waiting, or no room in the byte budget. A frame draws on the budget as it arrives, never on
//! the word of its length.
//!
//! One task owns a connection and everything in it; nothing here is shared.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use watershed_model::Piece;
use watershed_protocol::{ApiKey, DecodeError, EncodeError, RequestHeader};

use crate::Broker;
use crate::answers::Answers;
use crate::apis::{self, Client, Overlapping};
use crate::budget::Share;
use crate::transport::{self, Transport};

/// How many overlapping requests of one connection may wait for their promises.
const QUEUE_MAX: usize = 256;

/// How many bytes of commits of one connection may wait: small ones do not draw on a budget.
const COMMIT_BYTES_MAX: usize = 256 * 1024;

/// Frames of other APIs up to this size are taken without asking: the reserve that keeps heartbeats going. Of any frame
/// so much is read before it draws on the budget.
const SMALL_FRAME_BYTES: usize = 64 * 1024;

/// Frames up to this size get one buffer at once; that of a larger one grows with what arrives. Clients' largest requests
/// are a megabyte of records by default, and some bytes around them.
const WHOLE_BUFFER_BYTES: usize = (1024 + 64) * 1024;

/// How long the next part of a frame may take to arrive, beyond what [`SLOWEST_BYTES_PER_SECOND`] explains.
const FRAME_GRACE: Duration = Duration::from_secs(30);

/// A sender slower than this is cut off in the middle of a frame, since it holds a share of the budget.
const SLOWEST_BYTES_PER_SECOND: u64 = 16 * 1024;

/// How much of the next requests is read while one is being answered; it is also how a vanished client is noticed.
const AHEAD_BYTES_MAX: usize = 64 * 1024;

/// How often an otherwise idle connection looks at its deadlines.
const WATCH_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Why a connection ended. Every one but `Ended` and `Shutdown` is logged once, with the client's name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Close {
    /// The client closed it.
    #[error("the client closed the connection")]
    Ended,
    /// The broker is stopping.
    #[error("the broker is shutting down")]
    Shutdown,
    /// Nothing came for `connections.max.idle.ms`.
    #[error("nothing arrived for {0:?} (connections.max.idle.ms)")]
    Idle(Duration),
    /// A frame began and did not end.
    #[error("a frame of {0} bytes did not arrive in time")]
    Slow(u32),
    /// Not a frame.
    #[error(transparent)]
    Frame(#[from] watershed_protocol::frame::FrameError),
    /// Not a request.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An API or version that is not served.
    #[error("{api} version {version} is not served")]
    Unsupported {
        /// The API, by name or number.
        api: String,
        /// What was asked for.
        version: i16,
    },
    /// An acks=0 request failed; closing is the only way to say so.
    #[error("a Produce request with acks=0 failed: {0}")]
    ProduceWithoutAcks(String),
    /// A response that its version cannot carry: a bug of ours.
    #[error("the response cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What arrived and is complete.
struct Request {
    header: RequestHeader,
    body: Bytes,
    share: Option<Share>,
}

struct Connection {
    broker: Arc<Broker>,
    client: Client,
    transport: Transport,
    answers: Answers,
    /// The share for the frame that is under way, once it was given.
    share: Option<Share>,
    /// Waiting for one.
    share_wait: Option<BoxFuture<'static, Share>>,
    /// The next frame would exceed the connection's own limit: it waits for a response to go out.
    over_limit: bool,
    /// How much of the frame that is under way may be read now; 0 while none is.
    reach: usize,
    frame_deadline: Option<Instant>,
    last_active: Instant,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(
    broker: Arc<Broker>,
    stream: TcpStream,
    peer: SocketAddr,
    listener: usize,
    stop: CancellationToken,
) {
    if let Err(error) = transport::prepare(&stream, peer) {
        tracing::debug!(%peer, %error, "cannot set the socket's options");
    }
    let client = Client::new(listener, peer.ip());
    let mut connection = Connection {
        transport: Transport::new(stream, Arc::clone(&broker.frames), broker.limits().idle),
        broker,
        client,
        answers: Answers::default(),
        share: None,
        share_wait: None,
        over_limit: false,
        reach: 0,
        frame_deadline: None,
        last_active: Instant::now(),
    };
    let Err(close) = connection.run(&stop).await;
    let client = &connection.client;
    match close {
        Close::Ended | Close::Shutdown => tracing::debug!(%peer, reason = %close, "connection closed"),
        Close::Idle(_) | Close::Io(_) => {
            tracing::debug!(%peer, client_id = client.id(), reason = %close, "connection closed");
        }
        _ => tracing::warn!(
            %peer,
            client_id = client.id(),
            software = client.software(),
            reason = %close,
            "closed a connection"
        ),
    }
}

impl Connection {
    async fn run(&mut self, stop: &CancellationToken) -> Result<std::convert::Infallible, Close> {
        let watch_interval = self.broker.limits().idle.min(WATCH_INTERVAL_MAX);
        let mut watch = pin!(tokio::time::sleep(watch_interval));
        loop {
            while !stop.is_cancelled()
                && let Some(request) = self.next_request()?
            {
                self.last_active = Instant::now();
                self.handle(request, stop).await?;
            }
            if stop.is_cancelled() {
                self.drain().await?;
                return Err(Close::Shutdown);
            }
            let reading = self.wants_bytes();
            let (reach, room) = (self.reach, self.room());
            tokio::select! {
                biased;
                pieces = self.answers.first(), if !self.answers.is_empty() => {
                    self.answer(pieces?).await?;
                }
                share = wait_share(&mut self.share_wait), if self.share_wait.is_some() => {
                    self.share = Some(share);
                    self.share_wait = None;
                    // The time that it waited is not the client's.
                    self.frame_deadline = None;
                }
                more = self.transport.fill(reach, room), if reading => {
                    if !more? {
                        self.drain().await?;
                        return Err(Close::Ended);
                    }
                }
                () = stop.cancelled() => {}
                () = &mut watch => {
                    self.check_deadlines()?;
                    watch.as_mut().reset(Instant::now() + watch_interval);
                }
            }
        }
    }

    /// The size of the buffer for the frame that is under way.
    fn room(&self) -> usize {
        let size = self.transport.announced().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        size.min(self.reach.max(WHOLE_BUFFER_BYTES))
    }

    fn wants_bytes(&self) -> bool {
        self.share_wait.is_none() && !self.over_limit && self.answers.len() < QUEUE_MAX
    }

    fn check_deadlines(&self) -> Result<(), Close> {
        let now = Instant::now();
        if self.share_wait.is_none() && self.frame_deadline.is_some_and(|deadline| now > deadline) {
            return Err(Close::Slow(self.transport.announced().map_or(0, i32::unsigned_abs)));
        }
        let idle = self.broker.limits().idle;
        if self.answers.is_empty() && self.share_wait.is_none() && now.duration_since(self.last_active) > idle {
            return Err(Close::Idle(idle));
        }
        Ok(())
    }

    /// The next complete request, if the limits allow to take it.
    fn next_request(&mut self) -> Result<Option<Request>, Close> {
        if self.answers.len() >= QUEUE_MAX || self.share_wait.is_some() {
            return Ok(None);
        }
        self.over_limit = false;
        let Some(prefix) = self.transport.buffered().first_chunk::<4>() else { return Ok(None) };
        let size = watershed_protocol::frame::frame_length(*prefix, self.broker.limits().frame_bytes)?;
        let buffered = self.transport.buffered();
        let arrived = buffered.len() - prefix.len();
        let is_produce = buffered.get(4..6) == Some(&(ApiKey::Produce as i16).to_be_bytes());
        // At most twice what has come: few steps for a large frame, and a frame that does not come on holds little.
        let reach = size.min((arrived + 1).next_power_of_two().max(SMALL_FRAME_BYTES));
        let is_begun = arrived < size && arrived < SMALL_FRAME_BYTES;
        if (is_produce || size > SMALL_FRAME_BYTES) && !is_begun && !self.pay(reach, size, is_produce) {
            return Ok(None);
        }
        let Some(frame) = self.transport.take_frame(size) else {
            if reach != self.reach || self.frame_deadline.is_none() {
                self.reach = reach;
                let seconds = (reach - arrived) as u64 / SLOWEST_BYTES_PER_SECOND;
                self.frame_deadline = Some(Instant::now() + FRAME_GRACE + Duration::from_secs(seconds));
            }
            return Ok(None);
        };
        self.frame_deadline = None;
        self.reach = 0;
        let (header, body) = RequestHeader::decode(frame)?;
        Ok(Some(Request { header, body, share: self.share.take() }))
    }

    /// Whether the budget has room for the first `reach` bytes of the frame that is under way; asks for it where not.
    fn pay(&mut self, reach: usize, size: usize, is_produce: bool) -> bool {
        let budget = if is_produce { &self.broker.produce_budget } else { &self.broker.request_budget };
        let Some(mut share) = self.share.take() else {
            if !self.answers.is_empty() && self.answers.bytes() + size > self.broker.limits().connection_bytes {
                self.over_limit = true;
                return false;
            }
            self.share = budget.try_take(reach);
            if self.share.is_none() {
                self.share_wait = Some(budget.clone().take(reach).boxed());
            }
            return self.share.is_some();
        };
        if share.covers(reach) || budget.try_grow(&mut share, reach) {
            self.share = Some(share);
            return true;
        }
        self.share_wait = Some(budget.clone().grow(share, reach).boxed());
        false
    }

    async fn handle(&mut self, request: Request, stop: &CancellationToken) -> Result<(), Close> {
        let Request { header, body, share } = request;
        self.client.note(&header);
        let Some(kind) = Overlapping::of(header.api_key) else {
            self.drain().await?;
            return self.handle_alone(header, body, stop).await;
        };
        let is_full = kind == Overlapping::OffsetCommit && self.answers.bytes() + body.len() > COMMIT_BYTES_MAX;
        if is_full || self.answers.kind().is_some_and(|waiting| waiting != kind) {
            self.drain().await?;
        }
        let broker = Arc::clone(&self.broker);
        let started = {
            let mut start = pin!(kind.start(&broker, &self.client, &header, body, share, stop));
            // Earlier responses go out while this one waits for room.
            loop {
                tokio::select! {
                    biased;
                    started = &mut start => break started?,
                    pieces = self.answers.first(), if !self.answers.is_empty() => {
                        self.answers.send(&broker, &mut self.transport, pieces?).await?;
                    }
                }
            }
        };
        self.answers.push(started);
        Ok(())
    }

    /// A request that nothing on this connection overlaps with.
    async fn handle_alone(
        &mut self,
        header: RequestHeader,
        body: Bytes,
        stop: &CancellationToken,
    ) -> Result<(), Close> {
        let broker = Arc::clone(&self.broker);
        let started = broker.clock().elapsed();
        let (api, bytes_in) = (header.api_key, body.len() as u64);
        let mut work = apis::dispatch(&broker, &mut self.client, header, body, stop.clone());
        let pieces = loop {
            let ahead = self.transport.buffered().len() < AHEAD_BYTES_MAX;
            tokio::select! {
                biased;
                pieces = &mut work => break pieces?,
                more = self.transport.fill(0, 0), if ahead => {
                    if !more? {
                        return Err(Close::Ended);
                    }
                }
            }
        };
        drop(work);
        let sent = self.transport.send(pieces).await?;
        self.last_active = Instant::now();
        let took = broker.clock().elapsed().saturating_sub(started);
        broker.metrics.request(api, took, bytes_in, sent);
        Ok(())
    }

    /// Sends the first response that is owed, and those behind it that are there too.
    async fn answer(&mut self, first: Vec<Piece>) -> Result<(), Close> {
        self.last_active = Instant::now();
        self.answers.send(&self.broker, &mut self.transport, first).await
    }

    /// Sends every response that is owed.
    async fn drain(&mut self) -> Result<(), Close> {
        while !self.answers.is_empty() {
            let pieces = self.answers.first().await?;
            self.answer(pieces).await?;
        }
        Ok(())
    }
}

/// Waits for the share that was asked for; pending for ever without one.
async fn wait_share(wait: &mut Option<BoxFuture<'static, Share>>) -> Share {
    match wait {
        Some(wait) => wait.await,
        None => std::future::pending().await,
    }
}
