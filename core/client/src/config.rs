//! The client's settings. Defaults are the Java client's where it has the setting.

use std::time::Duration;

use watershed_model::limits::FRAME_BYTES_MAX;

/// What one connection needs to know.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// What we call ourselves (`client.id`).
    pub client_id: String,
    /// How long a connection may take to be made, name lookup included.
    pub connect_timeout: Duration,
    /// How long an answer may take (`request.timeout.ms`); then the connection is closed, since later answers wait
    /// behind it.
    pub request_timeout: Duration,
    /// The largest answer taken, in bytes.
    pub frame_bytes_max: usize,
    /// How many bytes of requests may be unanswered on one connection. One request may always be.
    pub in_flight_bytes_max: usize,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            client_id: "watershed".into(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            frame_bytes_max: FRAME_BYTES_MAX,
            in_flight_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// What a [`crate::Client`] needs to know.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Addresses (`host:port`) to learn the cluster from; tried in order.
    pub bootstrap: Vec<String>,
    /// For every connection.
    pub connection: ConnectionOptions,
    /// The first wait before a retry (`retry.backoff.ms`).
    pub retry_backoff: Duration,
    /// The longest wait before a retry (`retry.backoff.max.ms`).
    pub retry_backoff_max: Duration,
    /// How long an operation is tried in all (`default.api.timeout.ms`).
    pub operation_timeout: Duration,
    /// How long the first contact with the cluster is tried. Zero: each address once.
    pub bootstrap_timeout: Duration,
    /// How long a topic that the cluster does not know is waited for. A topic that is being created is unknown at first.
    pub unknown_topic_timeout: Duration,
    /// When cached metadata is refreshed though nothing went wrong (`metadata.max.age.ms`).
    pub metadata_age_max: Duration,
    /// Whether asking for a topic may create it, where the broker does that.
    pub allow_auto_topic_creation: bool,
    /// Spreads the waits of many clients; any number will do.
    pub jitter_seed: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            bootstrap: vec!["127.0.0.1:9092".into()],
            connection: ConnectionOptions::default(),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            operation_timeout: Duration::from_secs(60),
            bootstrap_timeout: Duration::ZERO,
            unknown_topic_timeout: Duration::ZERO,
            metadata_age_max: Duration::from_secs(300),
            allow_auto_topic_creation: false,
            jitter_seed: 0,
        }
    }
}
