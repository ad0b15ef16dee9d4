//! OffsetCommit: keeps how far a group, or a consumer without one, has come.
//!
//! What does not exist is answered here; the coordinator gets the rest. From version 10 on topics are named by their ids.
//! In two steps, as Produce: the commits that a client sends one behind the other share a group commit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use watershed_coordinator::groups::GroupRequest;
use watershed_metadata::MetadataImage;
use watershed_model::{Piece, TopicId};
use watershed_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use watershed_protocol::{ErrorCode, Message, RequestHeader, StrBytes, encode_response};

use super::Call;
use crate::budget::Share;
use crate::connection::Close;
use crate::groups::{Groups, reply};

/// From this version on topics are named by their ids.
const BY_ID_SINCE: i16 = 10;

/// A commit that its coordinator has, or that needs none; the response waits for the disk.
pub(crate) struct PendingCommit {
    bytes: usize,
    started: Duration,
    response: BoxFuture<'static, Result<Vec<Piece>, Close>>,
    _share: Option<Share>,
}

impl PendingCommit {
    /// The request's size.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the request was complete, by the broker's clock.
    pub(super) fn started(&self) -> Duration {
        self.started
    }

    /// The response as bytes, once the offsets are durable or refused.
    pub(super) fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Piece>, Close>> {
        self.response.poll_unpin(cx)
    }
}

/// The ordered part of a commit: on return it has its place among the requests of its coordinator.
pub(super) async fn start(
    call: &Call<'_>,
    header: &RequestHeader,
    body: Bytes,
    share: Option<Share>,
) -> Result<PendingCommit, Close> {
    let started = call.broker.clock().elapsed();
    let bytes = body.len();
    let mut request = OffsetCommitRequest::decode_leniently(body, call.version)?;
    let image = call.broker.image();
    let by_id = call.version >= BY_ID_SINCE;
    let mut refused = Vec::new();
    let mut known = Vec::with_capacity(request.topics.len());
    for topic in std::mem::take(&mut request.topics) {
        let (accepted, missing) = divide(&image, by_id, topic);
        known.extend(accepted);
        refused.extend(missing);
    }
    request.topics = known;
    // In case of an error every partition is answered with it.
    let asked_for: Vec<_> = request.topics.iter().map(|topic| answer(topic, None)).collect();
    let asked = if asked_for.is_empty() {
        None
    } else {
        let group = request.group_id.clone();
        Some(call.broker.groups().begin(call, &group, GroupRequest::OffsetCommit(request)).await)
    };
    let (version, correlation_id) = (call.version, header.correlation_id);
    let (broker, stop) = (Arc::clone(call.broker), call.stop.clone());
    // It counts from here: commits that wait one behind the other do not add up their waits.
    let expires = Groups::expires(&broker);
    let response = async move {
        let answered = match asked {
            None => Vec::new(),
            Some(asked) => {
                let replied = match asked {
                    Ok(asked) => broker.groups().finish(&broker, asked, Some(expires), &stop).await,
                    Err(code) => Err(code),
                };
                match reply!(replied, OffsetCommit) {
                    Ok(response) => response.topics,
                    Err(code) => with_code(asked_for, code),
                }
            }
        };
        let response = OffsetCommitResponse { topics: merge(refused, answered, by_id), ..Default::default() };
        Ok(encode_response(&response, version, correlation_id)?)
    };
    Ok(PendingCommit { bytes, started, response: response.boxed(), _share: share })
}

/// What of a topic exists, with its name and id, and the answer to the rest.
fn divide(
    image: &MetadataImage,
    by_id: bool,
    mut topic: OffsetCommitRequestTopic,
) -> (Option<OffsetCommitRequestTopic>, Option<OffsetCommitResponseTopic>) {
    let found = if by_id { image.topic_by_id(&topic.topic_id) } else { image.topic_by_name(&topic.name) };
    let Some(found) = found else {
        let code = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        return (None, Some(answer(&topic, Some(code))));
    };
    if by_id {
        topic.name = (&**found.name()).into();
    }
    let count = found.partition_count();
    let all = std::mem::take(&mut topic.partitions);
    let (exist, missing): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|partition| (0..count).contains(&partition.partition_index));
    let missing = (!missing.is_empty()).then(|| {
        let rest = OffsetCommitRequestTopic { partitions: missing, ..topic.clone() };
        answer(&rest, Some(ErrorCode::UnknownTopicOrPartition))
    });
    topic.partitions = exist;
    (Some(topic).filter(|topic| !topic.partitions.is_empty()), missing)
}

fn answer(topic: &OffsetCommitRequestTopic, code: Option<ErrorCode>) -> OffsetCommitResponseTopic {
    let error_code = code.map_or(0, i16::from);
    let partitions = topic
        .partitions
        .iter()
        .map(|partition| OffsetCommitResponsePartition { partition_index: partition.partition_index, error_code });
    OffsetCommitResponseTopic { name: topic.name.clone(), topic_id: topic.topic_id, partitions: partitions.collect() }
}

fn with_code(mut topics: Vec<OffsetCommitResponseTopic>, code: ErrorCode) -> Vec<OffsetCommitResponseTopic> {
    for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.error_code = code.into();
    }
    topics
}

/// One entry per topic: the refused partitions first, as Kafka does.
fn merge(
    refused: Vec<OffsetCommitResponseTopic>,
    answered: Vec<OffsetCommitResponseTopic>,
    by_id: bool,
) -> Vec<OffsetCommitResponseTopic> {
    if refused.is_empty() {
        return answered;
    }
    let mut topics: Vec<OffsetCommitResponseTopic> = Vec::with_capacity(refused.len() + answered.len());
    let mut places = HashMap::new();
    for topic in refused.into_iter().chain(answered) {
        // The name is empty where the id counts, and the other way round.
        let key = if by_id { (StrBytes::default(), topic.topic_id) } else { (topic.name.clone(), TopicId::ZERO) };
        match places.entry(key) {
            Entry::Occupied(place) => {
                let entry: &mut OffsetCommitResponseTopic = &mut topics[*place.get()];
                entry.partitions.extend(topic.partitions);
            }
            Entry::Vacant(place) => {
                place.insert(topics.len());
                topics.push(topic);
            }
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(topics: &[(u8, i32)]) -> Vec<OffsetCommitResponseTopic> {
        let topic = |&(id, partition_index)| OffsetCommitResponseTopic {
            topic_id: TopicId([id; 16]),
            partitions: vec![OffsetCommitResponsePartition { partition_index, error_code: 0 }],
            ..Default::default()
        };
        topics.iter().map(topic).collect()
    }

    #[test]
    fn a_topic_has_one_entry() {
        let merged = merge(answers(&[(1, 0), (2, 5), (1, 0)]), answers(&[(3, 1), (2, 6)]), true);
        let shown: Vec<(u8, Vec<i32>)> = merged
            .iter()
            .map(|topic| (topic.topic_id.0[0], topic.partitions.iter().map(|p| p.partition_index).collect()))
            .collect();
        assert_eq!(shown, [(1, vec![0, 0]), (2, vec![5, 6]), (3, vec![1])]);
    }
}
