//! One TCP connection to one broker.
//!
//! Requests are pipelined: [`Connection::send`] returns as soon as the request is queued, and its [`Reply`] ripens later. A
//! broker answers in the order of the requests, so an answer belongs to the oldest request that waits; a correlation id
//! that says otherwise means that one side is broken, and the connection is closed.
//!
//! Invariants: two tasks own the socket's halves and end with the connection; everything that waits gets an error when it
//! ends; unanswered requests are bounded in bytes. Whether to try again is the caller's business.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};
use watershed_protocol::frame::split_frame;
use watershed_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use watershed_protocol::{
    ApiKey, ErrorCode, Message, Piece, Request, RequestHeader, ResponseHeader, StrBytes, VersionRange, Writer, api,
};

use crate::{ClientError, ConnectionOptions};

/// How many requests may wait to be written; the bound that matters is in bytes.
const OUTGOING_MAX: usize = 64;

/// How much is read at once, in bytes, while the next frame's length is not known.
const READ_BYTES: usize = 16 * 1024;

/// How much room is made at once for a frame that is announced and not there yet, in bytes.
const RESERVE_BYTES_MAX: usize = 1024 * 1024;

/// A connection, ready for requests.
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
    versions: HashMap<ApiKey, VersionRange>,
    outgoing: mpsc::Sender<Outgoing>,
    budget: Arc<Semaphore>,
    client_id: StrBytes,
    correlation_id: AtomicI32,
    options: ConnectionOptions,
}

#[derive(Debug)]
struct Shared {
    address: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    closed: Option<ClientError>,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug)]
struct Waiting {
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    answer: oneshot::Sender<Result<Bytes, ClientError>>,
    _budget: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Outgoing {
    pieces: Vec<Bytes>,
    /// `None` for a request that has no answer.
    waiting: Option<Waiting>,
    /// Told when the request has left, where nothing waits for an answer.
    written: Option<oneshot::Sender<()>>,
    /// Held until the request is written, where nothing waits for an answer.
    _budget: Option<OwnedSemaphorePermit>,
}

impl Shared {
    /// Ends the connection: whatever waits gets `error`. Only the first call has an effect.
    fn close(&self, error: ClientError) {
        let mut state = self.state.lock();
        if state.closed.is_some() {
            return;
        }
        state.closed = Some(error.clone());
        let waiting = std::mem::take(&mut state.waiting);
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        tracing::debug!(address = self.address, %error, "connection closed");
        for waiting in waiting {
            // The one who asked may have gone.
            let _ = waiting.answer.send(Err(error.clone()));
        }
        for task in tasks {
            task.abort();
        }
    }

    /// Why the connection has ended.
    fn reason(&self) -> ClientError {
        self.state.lock().closed.clone().unwrap_or(ClientError::Closed)
    }

    fn protocol_error(&self, reason: String) -> ClientError {
        ClientError::Protocol { address: self.address.clone(), reason }
    }

    fn disconnected(&self, reason: String) -> ClientError {
        ClientError::Disconnected { address: self.address.clone(), reason }
    }
}

/// An answer to come.
#[derive(Debug)]
pub struct Reply<T> {
    answer: oneshot::Receiver<Result<Bytes, ClientError>>,
    shared: Arc<Shared>,
    version: i16,
    api: ApiKey,
    deadline: Instant,
    timeout: Duration,
    message: PhantomData<fn() -> T>,
}

impl<T: Message> Reply<T> {
    /// Waits for the answer.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] after the request timeout, which closes the connection; [`ClientError::Disconnected`] or
    /// [`ClientError::Protocol`] when the connection ends.
    pub async fn wait(self) -> Result<T, ClientError> {
        let bytes = match timeout_at(self.deadline, self.answer).await {
            Ok(Ok(answer)) => answer?,
            // It ended with the request still in the writer's hands.
            Ok(Err(_)) => return Err(self.shared.reason()),
            Err(_) => {
                let error = ClientError::Timeout {
                    what: format!("{} v{} at {}", self.api, self.version, self.shared.address),
                    after: self.timeout,
                    last: None,
                };
                self.shared.close(error.clone());
                return Err(error);
            }
        };
        T::decode(bytes, self.version).map_err(|e| {
            let error = ClientError::malformed(&self.shared.address, &e);
            self.shared.close(error.clone());
            error
        })
    }

    /// The version of the request and its answer.
    #[must_use]
    pub const fn version(&self) -> i16 {
        self.version
    }
}

impl Connection {
    /// Connects and asks the broker for its versions.
    ///
    /// # Errors
    /// [`ClientError::Connect`], [`ClientError::Timeout`], or [`ClientError::Protocol`] when what listens there is no Kafka
    /// broker.
    pub async fn connect(address: &str, options: &ConnectionOptions) -> Result<Self, ClientError> {
        let connect_error =
            |source: io::Error| ClientError::Connect { address: address.to_owned(), source: Arc::new(source) };
        let stream = timeout(options.connect_timeout, TcpStream::connect(address))
            .await
            .map_err(|_| ClientError::Timeout {
                what: format!("connecting to {address}"),
                after: options.connect_timeout,
                last: None,
            })?
            .map_err(connect_error)?;
        stream.set_nodelay(true).map_err(connect_error)?;
        let mut connection = Self::start(stream, address, options);
        connection.versions = connection.ask_versions().await?;
        Ok(connection)
    }

    fn start(stream: TcpStream, address: &str, options: &ConnectionOptions) -> Self {
        let (read, write) = stream.into_split();
        let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
        let shared = Arc::new(Shared { address: address.to_owned(), state: Mutex::default() });
        let reader = tokio::spawn(read_loop(read, Arc::clone(&shared), options.frame_bytes_max));
        let writer = tokio::spawn(write_loop(write, queue, Arc::clone(&shared)));
        shared.state.lock().tasks = vec![reader.abort_handle(), writer.abort_handle()];
        let budget = options.in_flight_bytes_max.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self {
            shared,
            versions: HashMap::new(),
            outgoing,
            budget: Arc::new(Semaphore::new(budget)),
            client_id: StrBytes::from(options.client_id.as_str()),
            correlation_id: AtomicI32::new(0),
            options: ConnectionOptions { in_flight_bytes_max: budget, ..options.clone() },
        }
    }

    /// The broker's versions (KIP-35). A broker that does not know our version answers in version 0 and lists what it
    /// knows (KIP-511).
    async fn ask_versions(&self) -> Result<HashMap<ApiKey, VersionRange>, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "watershed".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut version = api::served(ApiKey::ApiVersions).map_or(0, VersionRange::max);
        let mut reply = self.send_version(&request, version).await?;
        let mut bytes = self.raw(&mut reply).await?;
        let unsupported = ErrorCode::UnsupportedVersion.code().to_be_bytes();
        if version > 0 && bytes.starts_with(&unsupported) {
            let listed =
                ApiVersionsResponse::decode(bytes, 0).map_err(|e| ClientError::malformed(self.address(), &e))?;
            let theirs =
                listed.api_keys.iter().find(|v| v.api_key == ApiKey::ApiVersions.get()).map_or(0, |v| v.max_version);
            version = theirs.clamp(0, version - 1);
            reply = self.send_version(&request, version).await?;
            bytes = self.raw(&mut reply).await?;
        }
        let response =
            ApiVersionsResponse::decode(bytes, version).map_err(|e| ClientError::malformed(self.address(), &e))?;
        ClientError::check(response.error_code, None, || format!("asking {} for its versions", self.address()))?;
        // Later APIs that we have no name for are of no use to us.
        Ok(response
            .api_keys
            .iter()
            .filter_map(|v| {
                let key = ApiKey::try_from(v.api_key).ok()?;
                Some((key, VersionRange::new(v.min_version, v.max_version)))
            })
            .collect())
    }

    async fn raw<T>(&self, reply: &mut Reply<T>) -> Result<Bytes, ClientError> {
        match timeout_at(reply.deadline, &mut reply.answer).await {
            Ok(answer) => answer.map_err(|_| self.shared.reason())?,
            Err(_) => Err(ClientError::Timeout {
                what: format!("asking {} for its versions", self.address()),
                after: reply.timeout,
                last: None,
            }),
        }
    }

    /// The broker's address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.state.lock().closed.is_some()
    }

    /// The versions of an API that the broker serves, if it lists it.
    #[must_use]
    pub fn served(&self, api: ApiKey) -> Option<VersionRange> {
        self.versions.get(&api).copied()
    }

    /// The version in which a request goes to this broker: the highest both sides have.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] if there is none.
    pub fn version_of<R: Request>(&self) -> Result<i16, ClientError> {
        let api = watershed_protocol::frame::api_of::<R>();
        let ours = api::served(api).unwrap_or(R::SCHEMA.versions);
        let theirs = self.served(api);
        theirs
            .map(|t| (ours.min().max(t.min()), ours.max().min(t.max())))
            .filter(|(min, max)| min <= max)
            .map(|(_, max)| max)
            .ok_or_else(|| ClientError::Unsupported { api, address: self.address().to_owned(), ours, theirs })
    }

    /// Sends a request in the highest version both sides have and waits for the answer.
    ///
    /// # Errors
    /// As [`Connection::version_of`], [`Connection::send`] and [`Reply::wait`].
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.send(request).await?.wait().await
    }

    /// Queues a request, in the highest version both sides have. Requests leave in the order of the calls.
    ///
    /// # Errors
    /// As [`Connection::version_of`] and [`Connection::send_version`].
    pub async fn send<R: Request>(&self, request: &R) -> Result<Reply<R::Response>, ClientError> {
        self.send_version(request, self.version_of::<R>()?).await
    }

    /// Queues a request in a given version; waits while too many bytes are unanswered.
    ///
    /// # Errors
    /// [`ClientError::Encode`] if the version cannot carry the request, or what ended the connection.
    pub async fn send_version<R: Request>(&self, request: &R, version: i16) -> Result<Reply<R::Response>, ClientError> {
        let api = watershed_protocol::frame::api_of::<R>();
        let correlation_id = self.correlation_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let pieces = self.encode(request, version, correlation_id)?;
        let permit = self.reserve(&pieces).await?;
        let (answer, receiver) = oneshot::channel();
        let waiting = Waiting { correlation_id, api, version, answer, _budget: permit };
        self.queue(Outgoing { pieces, waiting: Some(waiting), written: None, _budget: None }).await?;
        Ok(Reply {
            answer: receiver,
            shared: Arc::clone(&self.shared),
            version,
            api,
            deadline: Instant::now() + self.options.request_timeout,
            timeout: self.options.request_timeout,
            message: PhantomData,
        })
    }

    /// Sends a request that gets no answer: Produce with acks=0. Returns when the system has it, so that it leaves even
    /// if the process ends then.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn send_unanswered<R: Request>(&self, request: &R) -> Result<(), ClientError> {
        let version = self.version_of::<R>()?;
        let correlation_id = self.correlation_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let pieces = self.encode(request, version, correlation_id)?;
        let permit = self.reserve(&pieces).await?;
        let (written, receiver) = oneshot::channel();
        self.queue(Outgoing { pieces, waiting: None, written: Some(written), _budget: Some(permit) }).await?;
        receiver.await.map_err(|_| self.shared.reason())
    }

    /// The frame in pieces, so that records are not copied.
    fn encode<R: Request>(&self, request: &R, version: i16, correlation_id: i32) -> Result<Vec<Bytes>, ClientError> {
        let mut writer = Writer::new();
        RequestHeader {
            api_key: R::SCHEMA.api,
            api_version: version,
            correlation_id,
            client_id: Some(self.client_id.clone()),
        }
        .encode(&mut writer)?;
        request.encode(&mut writer, version)?;
        let length = i32::try_from(writer.len())
            .ok()
            .filter(|n| *n as usize <= self.options.frame_bytes_max)
            .ok_or(ClientError::RecordTooLarge { bytes: writer.len(), max: self.options.frame_bytes_max })?;
        let mut pieces = vec![Bytes::copy_from_slice(&length.to_be_bytes())];
        for piece in writer.finish() {
            match piece {
                Piece::Bytes(bytes) => pieces.push(bytes),
                Piece::File { .. } => {
                    return Err(ClientError::Invalid("a request cannot hold a range of a file".into()));
                }
            }
        }
        Ok(pieces)
    }

    async fn reserve(&self, pieces: &[Bytes]) -> Result<OwnedSemaphorePermit, ClientError> {
        // A request larger than the whole budget takes all of it: it goes alone.
        let bytes = pieces.iter().map(Bytes::len).sum::<usize>();
        let permits = u32::try_from(bytes.min(self.options.in_flight_bytes_max))
            .expect("the budget was clamped to what a u32 holds");
        Arc::clone(&self.budget).acquire_many_owned(permits).await.map_err(|_| ClientError::Closed)
    }

    async fn queue(&self, outgoing: Outgoing) -> Result<(), ClientError> {
        let closed = self.shared.state.lock().closed.clone();
        closed.map_or(Ok(()), Err)?;
        self.outgoing.send(outgoing).await.map_err(|_| self.shared.reason())
    }

    /// Ends the connection; whatever waits gets [`ClientError::Closed`].
    pub fn close(&self) {
        self.shared.close(ClientError::Closed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Whoever still waits for an answer did not close anything, and may try again elsewhere.
        self.shared.close(self.shared.disconnected("it was given up".into()));
    }
}

async fn write_loop(write: OwnedWriteHalf, mut queue: mpsc::Receiver<Outgoing>, shared: Arc<Shared>) {
    let mut write = BufWriter::new(write);
    let failure = loop {
        let next = match queue.try_recv() {
            Ok(next) => next,
            Err(_) => {
                if let Err(error) = write.flush().await {
                    break error;
                }
                match queue.recv().await {
                    Some(next) => next,
                    // The connection was dropped.
                    None => return,
                }
            }
        };
        if let Err(error) = write_one(&mut write, next, &shared).await {
            break error;
        }
    };
    shared.close(shared.disconnected(failure.to_string()));
    queue.close();
    while let Some(outgoing) = queue.recv().await {
        // The one who asked may have gone.
        let _ = outgoing.waiting.map(|waiting| waiting.answer.send(Err(shared.reason())));
    }
}

async fn write_one(write: &mut BufWriter<OwnedWriteHalf>, outgoing: Outgoing, shared: &Shared) -> io::Result<()> {
    let Outgoing { pieces, waiting, written, _budget } = outgoing;
    if let Some(waiting) = waiting {
        // Before the first byte leaves: the answer may be faster than this task.
        shared.state.lock().waiting.push_back(waiting);
    }
    for piece in &pieces {
        write.write_all(piece).await?;
    }
    if let Some(written) = written {
        write.flush().await?;
        // The one who sent it may have gone.
        let _ = written.send(());
    }
    Ok(())
}

async fn read_loop(mut read: OwnedReadHalf, shared: Arc<Shared>, frame_bytes_max: usize) {
    let mut received = BytesMut::with_capacity(READ_BYTES);
    let error = loop {
        match split_frame(&mut received, frame_bytes_max) {
            Ok(Some(frame)) => match deliver(&shared, frame) {
                Ok(()) => continue,
                Err(error) => break error,
            },
            Ok(None) => {}
            Err(error) => break shared.protocol_error(error.to_string()),
        }
        received.reserve(room_for(&received));
        match read.read_buf(&mut received).await {
            Ok(0) => break shared.disconnected("the broker closed it".into()),
            Ok(_) => {}
            Err(error) => break shared.disconnected(error.to_string()),
        }
    };
    shared.close(error);
}

/// How much room to make for what is received next: the rest of the announced frame, but never much on its word alone.
fn room_for(received: &BytesMut) -> usize {
    received.first_chunk().map_or(READ_BYTES, |prefix| {
        let announced = usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or(0);
        (announced + 4).saturating_sub(received.len()).clamp(READ_BYTES, RESERVE_BYTES_MAX)
    })
}

/// Gives an answer to the request it belongs to: the oldest.
fn deliver(shared: &Shared, frame: Bytes) -> Result<(), ClientError> {
    let waiting = shared.state.lock().waiting.pop_front();
    let Some(waiting) = waiting else {
        return Err(shared.protocol_error("an answer that nobody asked for".into()));
    };
    let fail = |error: ClientError, waiting: Waiting| {
        let _ = waiting.answer.send(Err(error.clone()));
        Err(error)
    };
    match ResponseHeader::decode(frame, waiting.api, waiting.version) {
        Ok((header, body)) if header.correlation_id == waiting.correlation_id => {
            // The one who asked may have gone.
            let _ = waiting.answer.send(Ok(body));
            Ok(())
        }
        Ok((header, _)) => {
            let reason = format!(
                "the answer to {} v{} has correlation id {}, {} was expected",
                waiting.api, waiting.version, header.correlation_id, waiting.correlation_id
            );
            fail(shared.protocol_error(reason), waiting)
        }
        Err(error) => fail(ClientError::malformed(&shared.address, &error), waiting),
    }
}

#[cfg(test)]
mod tests;
