//! How far a group has come.

use std::sync::Arc;

use watershed_model::TopicId;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
};

use super::store::{CommittedOffset, GroupOffsets, TopicOffsets};
use super::table::in_order;
use crate::groups::{GroupCoordinator, GroupReply, Output};
use crate::runtime::Call;

impl GroupCoordinator {
    pub(in crate::groups) fn fetch_offsets(
        &self,
        call: &Call,
        request: &OffsetFetchRequestGroup,
        require_stable: bool,
        out: &mut Output,
    ) {
        let mut response = OffsetFetchResponseGroup { group_id: request.group_id.clone(), ..Default::default() };
        let group_id = &*request.group_id;
        // A group that nobody knows has no offsets, which is no error.
        let known = match self.groups.get(group_id) {
            None => None,
            Some(group) => match group.check_offset_fetch(request.member_id.as_deref(), request.member_epoch) {
                Ok(()) => self.offsets.of_group(group_id),
                Err(error) => {
                    response.error_code = error.code.into();
                    return out.reply(call.id, GroupReply::OffsetFetch(response));
                }
            },
        };
        let look = Look { coordinator: self, group_id, known, require_stable };
        response.topics = match &request.topics {
            Some(topics) => topics.iter().map(|topic| look.topic(topic)).collect(),
            None => look.all(),
        };
        out.reply(call.id, GroupReply::OffsetFetch(response));
    }
}

struct Look<'a> {
    coordinator: &'a GroupCoordinator,
    group_id: &'a str,
    known: Option<&'a GroupOffsets>,
    require_stable: bool,
}

impl Look<'_> {
    fn topic(&self, topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
        let offsets = self.known.and_then(|known| known.get(&*topic.name));
        let partition = |index: &i32| {
            let offset = offsets.and_then(|offsets| offsets.get(index));
            // An offset of an earlier topic of the same name says nothing of this one.
            let offset = offset.filter(|offset| !offset.is_of_another(topic.topic_id));
            self.partition(&topic.name, *index, offset)
        };
        OffsetFetchResponseTopics {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partition_indexes.iter().map(partition).collect(),
        }
    }

    fn all(&self) -> Vec<OffsetFetchResponseTopics> {
        let topic = |(name, offsets): (&Arc<str>, &TopicOffsets)| {
            let partitions = in_order(offsets).into_iter();
            OffsetFetchResponseTopics {
                name: (&**name).into(),
                // Kafka does not give the id that an offset was committed with either.
                topic_id: TopicId::ZERO,
                partitions: partitions.map(|(index, offset)| self.partition(name, index, Some(offset))).collect(),
            }
        };
        self.known.into_iter().flatten().map(topic).collect()
    }

    fn partition(&self, topic: &str, index: i32, offset: Option<&CommittedOffset>) -> OffsetFetchResponsePartitions {
        let none = OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(Default::default()),
            error_code: 0,
        };
        if self.require_stable && self.coordinator.offsets.is_pending(self.group_id, topic, index) {
            return OffsetFetchResponsePartitions { error_code: ErrorCode::UnstableOffsetCommit.into(), ..none };
        }
        let Some(offset) = offset else { return none };
        OffsetFetchResponsePartitions {
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch,
            metadata: Some((&*offset.metadata).into()),
            ..none
        }
    }
}
