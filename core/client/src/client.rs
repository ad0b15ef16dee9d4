//! The cluster behind a few addresses: which broker leads what, a connection to each, and when to try again.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use watershed_model::{BrokerId, TopicId};
use watershed_protocol::messages::metadata::MetadataRequestTopic;
use watershed_protocol::messages::{MetadataRequest, MetadataResponse};
use watershed_protocol::{ErrorCode, Request};

use crate::{Backoff, ClientConfig, ClientError, Connection, Metadata, TopicMetadata};

/// What a connection is used for. A long poll holds up every answer behind it, so kinds that wait have their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Short requests: metadata, administration.
    Control,
    /// Produce.
    Produce,
    /// Fetch, with its long poll.
    Fetch,
}

/// A handle to a cluster; clones share everything.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ClientConfig,
    metadata: Mutex<Arc<Metadata>>,
    /// When the metadata was last refreshed, and the topics that somebody uses.
    interest: Mutex<Interest>,
    /// One refresh at a time.
    refreshing: tokio::sync::Mutex<()>,
    connections: Mutex<HashMap<(String, Lane), Arc<Slot>>>,
}

#[derive(Debug)]
struct Interest {
    topics: BTreeSet<String>,
    refreshed: Instant,
}

/// Where the connection to one address is, or will be; the lock is held while it is being made.
type Slot = tokio::sync::Mutex<Option<Arc<Connection>>>;

impl Client {
    /// Makes the first contact: asks one of the bootstrap addresses for the cluster's brokers.
    ///
    /// # Errors
    /// [`ClientError::NoBroker`] if none answers within `bootstrap_timeout`, [`ClientError::Invalid`] if there are no
    /// addresses, and whatever the first broker that listens answers wrongly.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        if config.bootstrap.is_empty() {
            return Err(ClientError::Invalid(
                "no bootstrap address was given: name at least one broker as host:port".into(),
            ));
        }
        let timeout = config.bootstrap_timeout;
        let client = Self(Arc::new(Inner {
            config,
            metadata: Mutex::default(),
            interest: Mutex::new(Interest { topics: BTreeSet::new(), refreshed: Instant::now() }),
            refreshing: tokio::sync::Mutex::default(),
            connections: Mutex::default(),
        }));
        let deadline = Instant::now() + timeout;
        let mut backoff = client.backoff();
        loop {
            match client.refresh(0).await {
                Ok(_) => return Ok(client),
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    tracing::debug!(%error, "first contact failed, trying again");
                    sleep(backoff.next_wait()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// A fresh backoff with the configured waits.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        let config = &self.0.config;
        Backoff::new(config.retry_backoff, config.retry_backoff_max, config.jitter_seed)
    }

    /// What we believe of the cluster now; no request is sent.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.0.metadata.lock())
    }

    /// Asks for brokers and all topics in use, unless somebody did so since generation `seen`.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn refresh(&self, seen: u64) -> Result<Arc<Metadata>, ClientError> {
        let _one_at_a_time = self.0.refreshing.lock().await;
        let now = self.metadata();
        if now.generation > seen {
            return Ok(now);
        }
        let topics: Vec<_> = self.0.interest.lock().topics.iter().cloned().collect();
        self.ask_metadata(Some(&topics)).await
    }

    /// Asks for some topics, or for all of the cluster's.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn ask_metadata(&self, topics: Option<&[String]>) -> Result<Arc<Metadata>, ClientError> {
        let request = MetadataRequest {
            topics: topics.map(|names| {
                let topic =
                    |name: &String| MetadataRequestTopic { topic_id: TopicId::ZERO, name: Some(name.as_str().into()) };
                names.iter().map(topic).collect()
            }),
            allow_auto_topic_creation: self.0.config.allow_auto_topic_creation,
            ..MetadataRequest::default()
        };
        let response: MetadataResponse = self.call_any(&request).await?;
        ClientError::check(response.error_code, None, || "asking for metadata".into())?;
        let mut slot = self.0.metadata.lock();
        let merged = Arc::new(slot.merge(response));
        *slot = Arc::clone(&merged);
        drop(slot);
        self.0.interest.lock().refreshed = Instant::now();
        self.forget_connections(&merged);
        Ok(merged)
    }

    /// Drops connections to addresses that are no broker's any more, and closed ones.
    fn forget_connections(&self, metadata: &Metadata) {
        let known: BTreeSet<&str> = metadata
            .brokers
            .values()
            .map(|n| n.address.as_str())
            .chain(self.0.config.bootstrap.iter().map(String::as_str))
            .collect();
        self.0.connections.lock().retain(|(address, _), _| known.contains(address.as_str()));
    }

    /// Whether the metadata is old; true once for each `metadata_age_max`, so that one caller pays for it.
    fn is_refresh_due(&self) -> bool {
        let mut interest = self.0.interest.lock();
        let due = interest.refreshed.elapsed() > self.0.config.metadata_age_max;
        if due {
            interest.refreshed = Instant::now();
        }
        due
    }

    /// A topic's partitions and leaders, from memory if they are known and young enough.
    ///
    /// # Errors
    /// [`ClientError::Broker`] with `UNKNOWN_TOPIC_OR_PARTITION` when the cluster does not know the topic for
    /// `unknown_topic_timeout`, or with what else is wrong with it.
    pub async fn topic(&self, name: &str) -> Result<Arc<TopicMetadata>, ClientError> {
        let start = Instant::now();
        let mut backoff = self.backoff();
        let mut metadata = self.metadata();
        if self.is_refresh_due() {
            match self.refresh(metadata.generation).await {
                Ok(fresh) => metadata = fresh,
                // What is known is still the best there is; what went wrong will show where it is used.
                Err(error) => tracing::debug!(%error, "metadata could not be refreshed"),
            }
        }
        if let Some(topic) = metadata.topics.get(name).filter(|t| t.error.is_none()) {
            return Ok(Arc::clone(topic));
        }
        self.0.interest.lock().topics.insert(name.to_owned());
        loop {
            let error = match self.ask_metadata(Some(&[name.to_owned()])).await {
                Ok(metadata) => match metadata.topics.get(name) {
                    Some(topic) if topic.error.is_none() => return Ok(Arc::clone(topic)),
                    found => {
                        let code = found.map_or(ErrorCode::UnknownTopicOrPartition, |t| t.error);
                        topic_error(name, code)
                    }
                },
                Err(error) => error,
            };
            let patience = match error.code() {
                Some(ErrorCode::UnknownTopicOrPartition) => self.0.config.unknown_topic_timeout,
                _ => self.0.config.operation_timeout,
            };
            if !error.is_retriable() || start.elapsed() >= patience {
                self.0.interest.lock().topics.remove(name);
                return Err(error);
            }
            sleep(backoff.next_wait()).await;
        }
    }

    /// The connection to a broker; made if there is none.
    ///
    /// # Errors
    /// If the broker is not in the metadata or the connection cannot be made.
    pub async fn broker(&self, id: BrokerId, lane: Lane) -> Result<Arc<Connection>, ClientError> {
        let metadata = self.metadata();
        let Some(node) = metadata.brokers.get(&id) else {
            return Err(ClientError::Broker {
                what: format!("broker {id} is not in the cluster's metadata"),
                code: ErrorCode::LeaderNotAvailable,
                message: None,
            });
        };
        self.address(&node.address, lane).await
    }

    async fn address(&self, address: &str, lane: Lane) -> Result<Arc<Connection>, ClientError> {
        let slot = Arc::clone(self.0.connections.lock().entry((address.to_owned(), lane)).or_default());
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|c| !c.is_closed()) {
            return Ok(Arc::clone(connection));
        }
        let connection = Connection::connect(address, &self.0.config.connection).await?;
        let connection = Arc::new(connection);
        *slot = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// A connection to some broker: a known one, else a bootstrap address.
    ///
    /// # Errors
    /// [`ClientError::NoBroker`] if none can be reached.
    pub async fn any_broker(&self) -> Result<Arc<Connection>, ClientError> {
        let metadata = self.metadata();
        let mut addresses: Vec<_> = metadata.brokers.values().map(|n| &n.address).collect();
        addresses.sort();
        addresses.extend(&self.0.config.bootstrap);
        addresses.dedup();
        let mut last = None;
        for address in addresses {
            match self.address(address, Lane::Control).await {
                Ok(connection) => return Ok(connection),
                Err(error) if error.is_retriable() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(ClientError::NoBroker { last: Box::new(last.unwrap_or(ClientError::Closed)) })
    }

    /// Sends a request to some broker, once.
    ///
    /// # Errors
    /// As [`Client::any_broker`] and [`Connection::call`].
    pub async fn call_any<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.any_broker().await?.call(request).await
    }

    /// Does something until it succeeds, fails for good, or the operation's time is over. Refreshes the metadata before a
    /// new try where the error says that it is stale.
    ///
    /// # Errors
    /// The first error that is not retriable, or [`ClientError::Timeout`] with the last one.
    pub async fn retry<T, F>(&self, what: &str, mut attempt: impl FnMut() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let start = Instant::now();
        let limit = self.0.config.operation_timeout;
        let mut backoff = self.backoff();
        loop {
            let seen = self.metadata().generation;
            let error = match tokio::time::timeout_at(start + limit, attempt()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) if !error.is_retriable() => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => return Err(timed_out(what, limit, None)),
            };
            let wait = backoff.next_wait();
            if start.elapsed() + wait >= limit {
                return Err(timed_out(what, limit, Some(error)));
            }
            tracing::debug!(what, %error, ?wait, "trying again");
            sleep(wait).await;
            if error.is_stale_metadata() {
                // A failure here shows itself again in the attempt.
                let _ = self.refresh(seen).await;
            }
        }
    }
}

fn timed_out(what: &str, after: Duration, last: Option<ClientError>) -> ClientError {
    ClientError::Timeout { what: what.to_owned(), after, last: last.map(Box::new) }
}

pub(crate) fn topic_error(topic: &str, code: ErrorCode) -> ClientError {
    ClientError::Broker { what: format!("topic {topic:?}"), code, message: None }
}
