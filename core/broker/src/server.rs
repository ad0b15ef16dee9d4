//! Listeners: accept connections within the limits, hand each to its task, stop in order.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Broker, connection};

/// How long to wait after the system refused an accept (no file descriptors left, say) before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

/// The accepting side of a broker.
pub(crate) struct Server {
    broker: Arc<Broker>,
    census: Arc<Mutex<Census>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    pub(crate) fn new(broker: Arc<Broker>, stop: CancellationToken) -> Self {
        Self { broker, census: Arc::default(), tasks: TaskTracker::new(), stop }
    }

    /// Accepts on one listener until the broker stops. `index` is the listener's position in the configuration.
    pub(crate) fn listen(&self, listener: TcpListener, index: usize) {
        let (broker, census) = (Arc::clone(&self.broker), Arc::clone(&self.census));
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stop.cancelled() => return,
                };
                match accepted {
                    Ok((stream, peer)) => match admit(&broker, &census, peer) {
                        Ok(counted) => {
                            let (broker, stop) = (Arc::clone(&broker), stop.clone());
                            tasks.spawn(async move {
                                let _counted = counted;
                                connection::serve(broker, stream, peer, index, stop).await;
                            });
                        }
                        Err(reason) => {
                            broker.metrics.connections_refused.increment(1);
                            tracing::warn!(%peer, reason, "refused a connection");
                        }
                    },
                    Err(error) => {
                        // Out of file descriptors or of memory: those who are connected go on, newcomers wait.
                        if !is_peers_fault(&error) {
                            tracing::error!(%error, "cannot accept connections; trying again");
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

fn admit(broker: &Broker, census: &Arc<Mutex<Census>>, peer: SocketAddr) -> Result<Counted, &'static str> {
    let limits = broker.limits();
    let mut open = census.lock();
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

fn is_peers_fault(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}
