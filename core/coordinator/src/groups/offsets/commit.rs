//! Commits, and the deletion of offsets on request.

use watershed_model::{ProducerEpoch, ProducerId, TopicId};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use watershed_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use watershed_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

use super::store::NO_EXPIRY;
use super::tombstone;
use crate::groups::{Committer, GroupCoordinator, GroupError, GroupReply, Output};
use crate::records::{GroupRecord, OffsetCommitKey, OffsetCommitValue};
use crate::runtime::{Call, Now};

/// From this version on an unknown group is told as such; older clients expect another code.
const GROUP_NOT_FOUND_SINCE: i16 = 9;

/// A request's retention time where the broker's is to hold.
const DEFAULT_RETENTION: i64 = -1;

impl GroupCoordinator {
    pub(in crate::groups) fn commit_offsets(
        &mut self,
        call: &Call,
        request: OffsetCommitRequest,
        now: Now,
        out: &mut Output,
    ) {
        let committer = Committer {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
            is_transactional: false,
            version: call.version,
        };
        let not_found = if call.version >= GROUP_NOT_FOUND_SINCE {
            ErrorCode::GroupIdNotFound
        } else {
            ErrorCode::IllegalGeneration
        };
        if let Err(error) = self.check_commit(&request.group_id, &committer, not_found, now) {
            return out.reply(call.id, GroupReply::OffsetCommit(refused(&request, error.code)));
        }
        self.keep_classic_session(&request.group_id, &request.member_id, now, out);
        // Kafka's sum may overflow, so that a client which wants its offsets forever loses them at once.
        let expire_timestamp = match request.retention_time_ms {
            DEFAULT_RETENTION => NO_EXPIRY,
            retention => now.wall.0.saturating_add(retention).max(0),
        };
        let mut topics = Vec::with_capacity(request.topics.len());
        let mut records = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
                let value = OffsetCommitValue {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: metadata.to_owned(),
                    commit_timestamp: now.wall.0,
                    expire_timestamp,
                    topic_id: topic.topic_id,
                };
                let partition = partition.partition_index;
                let error_code = self.accept(&request.group_id, &topic.name, partition, value, &mut records).into();
                partitions.push(OffsetCommitResponsePartition { partition_index: partition, error_code });
            }
            topics.push(OffsetCommitResponseTopic { name: topic.name.clone(), topic_id: topic.topic_id, partitions });
        }
        self.write_commits(records, out);
        out.reply(call.id, GroupReply::OffsetCommit(OffsetCommitResponse { topics, ..Default::default() }));
    }

    pub(in crate::groups) fn commit_offsets_in_transaction(
        &mut self,
        call: &Call,
        request: TxnOffsetCommitRequest,
        now: Now,
        out: &mut Output,
    ) {
        let committer = Committer {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation_id,
            is_transactional: true,
            version: call.version,
        };
        // Producers know no epochs of members.
        let for_producers = |error: GroupError| match error.code {
            ErrorCode::StaleMemberEpoch => ErrorCode::IllegalGeneration,
            code => code,
        };
        if let Err(error) = self.check_commit(&request.group_id, &committer, ErrorCode::IllegalGeneration, now) {
            let response = refused_in_transaction(&request, for_producers(error));
            return out.reply(call.id, GroupReply::TxnOffsetCommit(response));
        }
        let mut topics = Vec::with_capacity(request.topics.len());
        let mut records = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let value = OffsetCommitValue {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_deref().unwrap_or_default().to_owned(),
                    commit_timestamp: now.wall.0,
                    expire_timestamp: NO_EXPIRY,
                    topic_id: TopicId::ZERO,
                };
                let partition = partition.partition_index;
                let error_code = self.accept(&request.group_id, &topic.name, partition, value, &mut records).into();
                partitions.push(TxnOffsetCommitResponsePartition { partition_index: partition, error_code });
            }
            topics.push(TxnOffsetCommitResponseTopic { name: topic.name.clone(), partitions });
        }
        self.write_commits(records, out);
        out.in_transaction(ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch));
        out.reply(call.id, GroupReply::TxnOffsetCommit(TxnOffsetCommitResponse { topics, ..Default::default() }));
    }

    /// Whether the group takes commits of this client.
    fn check_commit(
        &self,
        group_id: &str,
        committer: &Committer<'_>,
        not_found: ErrorCode,
        now: Now,
    ) -> Result<(), GroupError> {
        match self.groups.get(group_id) {
            Some(group) => group.check_commit(committer),
            // An admin client, or a consumer without a group: its first commit makes a group that only holds offsets.
            None if committer.generation < 0 => self.simple_group(group_id, now).check_commit(committer),
            None => Err(GroupError::new(not_found, format!("Group {group_id} not found."))),
        }
    }

    /// Adds the record of one partition's offset, unless it is refused.
    fn accept(
        &self,
        group_id: &str,
        topic: &str,
        partition: i32,
        value: OffsetCommitValue,
        records: &mut Vec<GroupRecord>,
    ) -> ErrorCode {
        if self.is_too_long(&value.metadata) {
            return ErrorCode::OffsetMetadataTooLarge;
        }
        let key = OffsetCommitKey { group: group_id.to_owned(), topic: topic.to_owned(), partition };
        records.push(GroupRecord::OffsetCommit { key, value: Some(value) });
        ErrorCode::None
    }

    /// Kafka counts Java's characters.
    fn is_too_long(&self, metadata: &str) -> bool {
        let max = self.settings.offset_metadata_bytes_max;
        metadata.len() > max && metadata.encode_utf16().count() > max
    }

    fn write_commits(&mut self, records: Vec<GroupRecord>, out: &mut Output) {
        self.counters.offset_commits += records.len() as u64;
        for record in records {
            out.write(record);
        }
    }

    pub(in crate::groups) fn delete_offsets(&mut self, call: &Call, request: &OffsetDeleteRequest, out: &mut Output) {
        let response = match self.deletable_offsets(request) {
            Ok((topics, records)) => {
                self.counters.offset_deletions += records.len() as u64;
                for record in records {
                    out.write(record);
                }
                OffsetDeleteResponse { topics, ..Default::default() }
            }
            Err(error) => OffsetDeleteResponse { error_code: error.code.into(), ..Default::default() },
        };
        out.reply(call.id, GroupReply::OffsetDelete(response));
    }

    fn deletable_offsets(
        &self,
        request: &OffsetDeleteRequest,
    ) -> Result<(Vec<OffsetDeleteResponseTopic>, Vec<GroupRecord>), GroupError> {
        let group_id = &*request.group_id;
        let group = self.group(group_id)?;
        group.check_offset_delete()?;
        let mut records = Vec::new();
        let topics = request.topics.iter().map(|topic| {
            let is_subscribed = group.is_subscribed_to(&topic.name);
            let code = if is_subscribed { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let is_there = self.offsets.get(group_id, &topic.name, index).is_some()
                    || self.offsets.is_pending(group_id, &topic.name, index);
                if !is_subscribed && is_there {
                    records.push(tombstone(group_id, &topic.name, index));
                }
                OffsetDeleteResponsePartition { partition_index: index, error_code: code.into() }
            });
            OffsetDeleteResponseTopic { name: topic.name.clone(), partitions: partitions.collect() }
        });
        let topics = topics.collect();
        Ok((topics, records))
    }
}

fn refused(request: &OffsetCommitRequest, code: ErrorCode) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partition = |index| OffsetCommitResponsePartition { partition_index: index, error_code: code.into() };
        let partitions = topic.partitions.iter().map(|p| partition(p.partition_index)).collect();
        OffsetCommitResponseTopic { name: topic.name.clone(), topic_id: topic.topic_id, partitions }
    });
    OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

fn refused_in_transaction(request: &TxnOffsetCommitRequest, code: ErrorCode) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partition = |index| TxnOffsetCommitResponsePartition { partition_index: index, error_code: code.into() };
        let partitions = topic.partitions.iter().map(|p| partition(p.partition_index)).collect();
        TxnOffsetCommitResponseTopic { name: topic.name.clone(), partitions }
    });
    TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}
