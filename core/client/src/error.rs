//! What can go wrong between us and a broker.
//!
//! One variant per fact on which callers act differently. Errors are cheap to clone, because one broken connection or batch
//! fails everything that waits for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use watershed_model::record::RecordError;
use watershed_protocol::{ApiKey, DecodeError, EncodeError, ErrorCode, VersionRange};

/// An error of the client.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection could not be made.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The broker's address.
        address: String,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// No bootstrap address could be reached.
    #[error("no broker could be reached ({last}); is one running there? Check --bootstrap and the broker's listeners")]
    NoBroker {
        /// The last attempt's error.
        last: Box<ClientError>,
    },
    /// The connection ended before the answer came. Whether the broker did what was asked is unknown.
    #[error("the connection to {address} ended before the answer came: {reason}")]
    Disconnected {
        /// The broker's address.
        address: String,
        /// Why.
        reason: String,
    },
    /// Something took longer than it may.
    #[error("{what} was not done within {after:?}{}", last_error(.last))]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// The last error seen while trying, if there was one.
        last: Option<Box<ClientError>>,
    },
    /// The broker and we have no version of an API in common.
    #[error("the broker at {address} and this client share no version of {api}: it serves {}, this client speaks {ours}", served(.theirs))]
    Unsupported {
        /// The API.
        api: ApiKey,
        /// The broker's address.
        address: String,
        /// The versions we speak.
        ours: VersionRange,
        /// The versions it serves; `None` if it does not list the API.
        theirs: Option<VersionRange>,
    },
    /// The broker's bytes are not the answer they should be. The connection was closed.
    #[error("the broker at {address} sent what is no answer: {reason}")]
    Protocol {
        /// The broker's address.
        address: String,
        /// What was wrong.
        reason: String,
    },
    /// The request cannot be written in the version the broker speaks.
    #[error("the request cannot be sent to this broker: {0}")]
    Encode(#[from] EncodeError),
    /// The broker answered with an error code.
    #[error("{what}: {}", broker_error(*.code, .message))]
    Broker {
        /// What was asked, of what.
        what: String,
        /// The code.
        code: ErrorCode,
        /// The broker's own words, if it sent some.
        message: Option<String>,
    },
    /// Fetched records cannot be read.
    #[error("{what}: {source}")]
    Records {
        /// Where they lie.
        what: String,
        /// What is wrong with them.
        source: RecordError,
    },
    /// A fetched batch whose CRC is not the one of its bytes.
    #[error("{what}: the CRC is wrong: the batch was damaged on its way or in storage")]
    Crc {
        /// Where it lies.
        what: String,
    },
    /// A record larger than a request may be.
    #[error("the record has {bytes} bytes, requests may have {max}; raise the request size or split the record")]
    RecordTooLarge {
        /// The record's size in a batch, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The caller asked for something that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The client, producer or consumer was closed.
    #[error("the client was closed")]
    Closed,
}

fn last_error(last: &Option<Box<ClientError>>) -> String {
    last.as_ref().map(|e| format!("; the last attempt: {e}")).unwrap_or_default()
}

fn served(theirs: &Option<VersionRange>) -> String {
    theirs.map_or_else(|| "none".into(), |range| range.to_string())
}

fn broker_error(code: ErrorCode, message: &Option<String>) -> String {
    match message {
        Some(text) if !text.is_empty() => format!("{text} [{} ({})]", code.name(), code.code()),
        _ => code.to_string(),
    }
}

impl ClientError {
    /// An error code of a broker, as an error: `Ok` if it is none.
    ///
    /// # Errors
    /// [`ClientError::Broker`] for every code but 0; codes we do not know count as `UNKNOWN_SERVER_ERROR`.
    pub fn check(code: i16, message: Option<&str>, what: impl FnOnce() -> String) -> Result<(), Self> {
        let (code, message) = match ErrorCode::from_code(code) {
            Some(ErrorCode::None) => return Ok(()),
            Some(code) => (code, message.map(str::to_owned)),
            None => (
                ErrorCode::UnknownServerError,
                Some(format!(
                    "error code {code}, which this client does not know{}",
                    message.map(|m| format!(": {m}")).unwrap_or_default()
                )),
            ),
        };
        Err(Self::Broker { what: what(), code, message })
    }

    /// The broker's error code, if a broker answered with one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(*code),
            Self::Timeout { last: Some(last), .. } => last.code(),
            _ => None,
        }
    }

    /// Whether the broker holds damaged records there: a consumer goes on behind them only if somebody says so.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Broker { code: ErrorCode::CorruptMessage, .. })
    }

    /// Whether another try may succeed without anybody changing anything.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::NoBroker { .. } | Self::Disconnected { .. } | Self::Timeout { .. } => true,
            Self::Broker { code, .. } => code.is_retriable(),
            Self::Unsupported { .. }
            | Self::Protocol { .. }
            | Self::Encode(_)
            | Self::Records { .. }
            | Self::Crc { .. }
            | Self::RecordTooLarge { .. }
            | Self::Invalid(_)
            | Self::Closed => false,
        }
    }

    /// Whether it says that what we believe of the cluster is out of date.
    #[must_use]
    pub fn is_stale_metadata(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::NoBroker { .. } | Self::Disconnected { .. } | Self::Timeout { .. } => true,
            Self::Broker { code, .. } => matches!(
                code,
                ErrorCode::NotLeaderOrFollower
                    | ErrorCode::LeaderNotAvailable
                    | ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::UnknownTopicId
                    | ErrorCode::InconsistentTopicId
                    | ErrorCode::FencedLeaderEpoch
                    | ErrorCode::UnknownLeaderEpoch
                    | ErrorCode::ReplicaNotAvailable
                    | ErrorCode::KafkaStorageError
                    | ErrorCode::NotController
            ),
            _ => false,
        }
    }

    /// Whether the broker may have done what was asked although this error came instead of its answer.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Disconnected { .. } | Self::Timeout { .. } | Self::Protocol { .. } => true,
            Self::Broker { code, .. } => matches!(
                code,
                ErrorCode::RequestTimedOut
                    | ErrorCode::NotEnoughReplicasAfterAppend
                    | ErrorCode::NetworkException
                    | ErrorCode::KafkaStorageError
                    | ErrorCode::UnknownServerError
            ),
            _ => false,
        }
    }

    /// A malformed answer.
    pub(crate) fn malformed(address: &str, error: &DecodeError) -> Self {
        Self::Protocol { address: address.to_owned(), reason: error.to_string() }
    }
}
