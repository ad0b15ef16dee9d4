//! Requests that overlap: the ordered part runs in the order of the requests, the responses wait side by side.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use watershed_model::Piece;
use watershed_protocol::{ApiKey, RequestHeader, api};

use super::offset_commit::{self, PendingCommit};
use super::produce::{self, PendingProduce};
use super::{Call, Client};
use crate::Broker;
use crate::budget::Share;
use crate::connection::Close;

/// The APIs whose requests overlap with others of the same API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlapping {
    Produce,
    OffsetCommit,
}

impl Overlapping {
    /// The API of this number, if it is one of them.
    pub(crate) fn of(api_key: i16) -> Option<Self> {
        match ApiKey::try_from(api_key) {
            Ok(ApiKey::Produce) => Some(Self::Produce),
            Ok(ApiKey::OffsetCommit) => Some(Self::OffsetCommit),
            _ => None,
        }
    }

    pub(crate) const fn api(self) -> ApiKey {
        match self {
            Self::Produce => ApiKey::Produce,
            Self::OffsetCommit => ApiKey::OffsetCommit,
        }
    }

    /// Does the ordered part of a request.
    pub(crate) async fn start(
        self,
        broker: &Arc<Broker>,
        client: &Client,
        header: &RequestHeader,
        body: Bytes,
        share: Option<Share>,
        stop: &CancellationToken,
    ) -> Result<Pending, Close> {
        let version = header.api_version;
        if !api::served(self.api()).is_some_and(|range| range.contains(version)) {
            return Err(Close::Unsupported { api: self.api().to_string(), version });
        }
        match self {
            Self::Produce => produce::start(broker, client, header, body, share).await.map(Pending::Produce),
            Self::OffsetCommit => {
                let client_id = header.client_id.as_deref().unwrap_or_default();
                let (listener, client_host) = (client.listener, &*client.host);
                let call = Call { broker, version, listener, client_id, client_host, stop };
                offset_commit::start(&call, header, body, share).await.map(Pending::OffsetCommit)
            }
        }
    }
}

/// A request whose ordered part is done.
pub(crate) enum Pending {
    Produce(PendingProduce),
    OffsetCommit(PendingCommit),
}

impl Pending {
    /// What it is.
    pub(crate) fn kind(&self) -> Overlapping {
        match self {
            Self::Produce(_) => Overlapping::Produce,
            Self::OffsetCommit(_) => Overlapping::OffsetCommit,
        }
    }

    /// The request's size, for the connection's limit.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Produce(produce) => produce.bytes(),
            Self::OffsetCommit(commit) => commit.bytes(),
        }
    }

    /// When the request was complete, by the broker's clock.
    pub(crate) fn started(&self) -> Duration {
        match self {
            Self::Produce(produce) => produce.started(),
            Self::OffsetCommit(commit) => commit.started(),
        }
    }

    /// The response as bytes, once it may leave. Cancel-safe: it stays where it is.
    pub(crate) fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Piece>, Close>> {
        match self {
            Self::Produce(produce) => produce.poll_response(cx),
            Self::OffsetCommit(commit) => commit.poll_response(cx),
        }
    }
}
