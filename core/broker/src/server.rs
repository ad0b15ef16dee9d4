//! Listeners: accept connections within the limits, hand each to its task, stop in order.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::network::NetworkThreads;
use crate::{Broker, connection};

/// How long to wait after the system refused an accept (no file descriptors left, say) before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often it is said at most that connections are refused: who is refused comes again at once.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Of the files that the process may have open, storage may use half, but no more than this.
const STORAGE_FILES_MAX: u64 = 8192;

/// What the process needs beside storage and connections: listeners, the metadata store, HTTP, files on their way.
const OTHER_FILES: u64 = 64;

/// The connections that are open, counted per address.
#[derive(Debug, Default)]
struct Census {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// Counts a connection for as long as it lives.
struct Counted {
    census: Arc<Mutex<Census>>,
    ip: IpAddr,
    gauge: metrics::Gauge,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut census = self.census.lock();
        census.total -= 1;
        self.gauge.set(census.total as f64);
        if let Some(count) = census.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                census.by_ip.remove(&self.ip);
            }
        }
    }
}

/// How many connections leave enough files for everything else under a limit of `files`.
fn connections_for(files: u64) -> usize {
    let left = files - STORAGE_FILES_MAX.min(files / 2);
    usize::try_from(left.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX)
}

/// Something that happens often and is said now and then.
#[derive(Debug, Default)]
struct Complaint {
    said: Option<Instant>,
    unsaid: u64,
}

impl Complaint {
    /// Whether it is to be said now, and how often it was not since the last time.
    fn due(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now.duration_since(said) < COMPLAINT_INTERVAL) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// The accepting side of a broker.
pub(crate) struct Server {
    broker: Arc<Broker>,
    /// How many connections the limit of open files allows.
    connections: usize,
    census: Arc<Mutex<Census>>,
    threads: Arc<NetworkThreads>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    /// A server with its threads.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub(crate) fn new(broker: Arc<Broker>, stop: CancellationToken) -> io::Result<Self> {
        let connections = connections_for(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));
        let threads = Arc::new(NetworkThreads::start(broker.limits().network_threads)?);
        Ok(Self { broker, connections, census: Arc::default(), threads, tasks: TaskTracker::new(), stop })
    }

    /// Accepts on one listener until the broker stops. `index` is the listener's position in the configuration.
    pub(crate) fn listen(&self, listener: TcpListener, index: usize) {
        let (broker, census) = (Arc::clone(&self.broker), Arc::clone(&self.census));
        let (tasks, stop, by_files) = (self.tasks.clone(), self.stop.clone(), self.connections);
        let threads = Arc::clone(&self.threads);
        self.tasks.spawn(async move {
            let mut complaint = Complaint::default();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stop.cancelled() => return,
                };
                match accepted {
                    Ok((stream, peer)) => match admit(&broker, by_files, &census, peer) {
                        Ok(counted) => {
                            let (broker, stop) = (Arc::clone(&broker), stop.clone());
                            threads.spawn(&tasks, |place| async move {
                                let _counted = (counted, place);
                                match move_here(stream) {
                                    Ok(stream) => connection::serve(broker, stream, peer, index, stop).await,
                                    Err(error) => tracing::warn!(%peer, %error, "cannot serve a connection"),
                                }
                            });
                        }
                        Err(reason) => {
                            broker.metrics.connections_refused.increment(1);
                            if let Some(unsaid) = complaint.due(Instant::now()) {
                                tracing::warn!(%peer, reason, unsaid, "refused a connection");
                            }
                        }
                    },
                    Err(error) => {
                        // Out of file descriptors or of memory: those who are connected go on, newcomers wait.
                        if !is_peers_fault(&error) {
                            if let Some(unsaid) = complaint.due(Instant::now()) {
                                tracing::error!(%error, unsaid, "cannot accept connections; trying again");
                            }
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        });
    }

    /// Waits until every connection has sent what it owes, at most `patience`; then drops the rest.
    pub(crate) async fn finish(&self, patience: Duration) {
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!(open = self.census.lock().total, "some connections did not end in time and are cut");
        }
    }
}

fn admit(
    broker: &Broker,
    by_files: usize,
    census: &Arc<Mutex<Census>>,
    peer: SocketAddr,
) -> Result<Counted, &'static str> {
    let limits = broker.limits();
    let mut open = census.lock();
    if open.total >= by_files {
        return Err("the process may not open more files (raise ulimit -n); segments need the rest");
    }
    if open.total >= limits.connections {
        return Err("the broker has max.connections open");
    }
    let ip = peer.ip();
    let from_ip = open.by_ip.entry(ip).or_insert(0);
    if *from_ip >= limits.connections_per_ip {
        return Err("its address has max.connections.per.ip open");
    }
    *from_ip += 1;
    open.total += 1;
    let gauge = broker.metrics.connections.clone();
    gauge.set(open.total as f64);
    Ok(Counted { census: Arc::clone(census), ip, gauge })
}

/// Registers a socket with the runtime of the thread that this runs on.
fn move_here(stream: TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(stream.into_std()?)
}

fn is_peers_fault(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_segments() {
        for (files, connections) in [(0, 0), (100, 0), (256, 64), (1024, 448), (20_000, 11_744), (1 << 20, 1_040_320)] {
            assert_eq!(connections_for(files), connections, "{files} files");
        }
        assert_eq!(connections_for(u64::MAX), usize::MAX - 8192 - 64);
    }

    #[test]
    fn what_happens_often_is_said_now_and_then() {
        let (mut complaint, now) = (Complaint::default(), Instant::now());
        assert_eq!(complaint.due(now), Some(0));
        for _ in 0..5 {
            assert_eq!(complaint.due(now), None);
        }
        assert_eq!(complaint.due(now + COMPLAINT_INTERVAL), Some(5));
    }
}
