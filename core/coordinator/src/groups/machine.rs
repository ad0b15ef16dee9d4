//! The group coordinator as the runtime sees it: which handler takes what.

use std::sync::Arc;

use bytes::Bytes;
use watershed_metadata::MetadataImage;
use watershed_model::{ProducerEpoch, ProducerId};
use watershed_protocol::ErrorCode;

use super::{Group, GroupCoordinator, GroupReply, GroupRequest, GroupTimer, GroupToken, Output, Question};
use crate::records::GroupRecord;
use crate::runtime::{Call, Now, Position, StateMachine};

impl StateMachine for GroupCoordinator {
    type Record = GroupRecord;
    type Request = GroupRequest;
    type Reply = GroupReply;
    type Timer = GroupTimer;
    type Token = GroupToken;
    type Send = Question;

    fn encode(record: &GroupRecord) -> Result<(Bytes, Option<Bytes>), String> {
        record.encode().map_err(|error| error.to_string())
    }

    fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<GroupRecord>, String> {
        GroupRecord::decode(key, value).map_err(|error| error.to_string())
    }

    fn is_heavy(&self, request: &GroupRequest) -> bool {
        match request {
            GroupRequest::JoinGroup(request) => self.is_large(&request.group_id),
            GroupRequest::SyncGroup(request) => self.is_large(&request.group_id),
            GroupRequest::LeaveGroup(request) => self.is_large(&request.group_id),
            GroupRequest::ConsumerGroupHeartbeat(request) => self.is_heavy_heartbeat(request),
            GroupRequest::Assigned(answer) => self.is_large(&answer.group),
            GroupRequest::DeleteGroups(_)
            | GroupRequest::DescribeGroups(_)
            | GroupRequest::ConsumerGroupDescribe(_)
            | GroupRequest::ListGroups { .. }
            | GroupRequest::TopicsDeleted(_)
            | GroupRequest::Heartbeat(_)
            | GroupRequest::OffsetCommit(_)
            | GroupRequest::TxnOffsetCommit(_)
            | GroupRequest::OffsetFetch { .. }
            | GroupRequest::OffsetDelete(_) => false,
        }
    }

    fn request(&mut self, call: Call, request: GroupRequest, now: Now, out: &mut Output) {
        self.now = now;
        match request {
            GroupRequest::JoinGroup(request) => self.join_group(call, request, now, out),
            GroupRequest::SyncGroup(request) => self.sync_group(call, request, now, out),
            GroupRequest::Heartbeat(request) => self.heartbeat(call, request, now, out),
            GroupRequest::LeaveGroup(request) => self.leave_group(call, request, now, out),
            GroupRequest::ConsumerGroupHeartbeat(request) => self.consumer_group_heartbeat(&call, &request, now, out),
            GroupRequest::OffsetCommit(request) => self.commit_offsets(&call, request, now, out),
            GroupRequest::TxnOffsetCommit(request) => self.commit_offsets_in_transaction(&call, request, now, out),
            GroupRequest::OffsetFetch { group, require_stable } => {
                self.fetch_offsets(&call, &group, require_stable, out);
            }
            GroupRequest::OffsetDelete(request) => self.delete_offsets(&call, &request, out),
            GroupRequest::DeleteGroups(groups) => self.delete_groups(&call, groups, out),
            GroupRequest::DescribeGroups(groups) => self.describe_groups(&call, groups, out),
            GroupRequest::ConsumerGroupDescribe(groups) => self.describe_consumer_groups(&call, groups, out),
            GroupRequest::ListGroups { states, types } => self.list_groups(&call, &states, &types, out),
            GroupRequest::TopicsDeleted(topics) => self.topics_deleted(&call, &topics, out),
            GroupRequest::Assigned(answer) => {
                self.assigned(answer, now, out);
                out.reply(call.id, GroupReply::Assigned);
            }
        }
    }

    fn is_repeated(timer: &GroupTimer) -> bool {
        match timer {
            GroupTimer::ConsumerSession(..)
            | GroupTimer::ConsumerRebalance(..)
            | GroupTimer::ConsumerJoin(..)
            | GroupTimer::ConsumerSync(..) => true,
            GroupTimer::ClassicHeartbeat(..)
            | GroupTimer::ClassicJoin(_)
            | GroupTimer::ClassicSync(_)
            | GroupTimer::Answer(_)
            | GroupTimer::Expiry => false,
        }
    }

    fn timer(&mut self, timer: GroupTimer, now: Now, out: &mut Output) {
        self.now = now;
        match timer {
            GroupTimer::ClassicHeartbeat(group, member) => self.classic_heartbeat_expired(&group, &member, now, out),
            GroupTimer::ClassicJoin(group) => self.classic_join_timer(&group, now, out),
            GroupTimer::ClassicSync(group) => self.classic_sync_timer(&group, now, out),
            GroupTimer::ConsumerSession(group, member)
            | GroupTimer::ConsumerJoin(group, member)
            | GroupTimer::ConsumerSync(group, member) => self.consumer_member_expired(&group, &member, now, out),
            GroupTimer::ConsumerRebalance(group, member) => self.consumer_rebalance_expired(&group, &member, now, out),
            GroupTimer::Answer(group) => self.answer_is_overdue(&group, now, out),
            GroupTimer::Expiry => self.expire(now, out),
        }
    }

    fn settled(&mut self, token: GroupToken, outcome: Result<(), ErrorCode>, now: Now, out: &mut Output) {
        match token {
            GroupToken::ConsumerEpoch { group } => {
                // What was refused has raised nothing.
                if outcome.is_ok() {
                    self.ask_for_target(&group, now, out);
                }
            }
            token => self.classic_settled(token, outcome, now, out),
        }
    }

    fn metadata(&mut self, image: &Arc<MetadataImage>, _now: Now, _out: &mut Output) {
        let before = std::mem::replace(&mut self.image, Arc::clone(image));
        self.consumer_metadata_changed(&before);
    }

    fn apply(&mut self, record: GroupRecord, position: Position) {
        match record {
            GroupRecord::OffsetCommit { key, value } => self.apply_offset_commit(&key, value, position),
            GroupRecord::GroupMetadata { group_id, value } => self.apply_group_metadata(&group_id, value),
            GroupRecord::ConsumerGroupMetadata { group_id, value } => {
                self.apply_consumer_group_metadata(&group_id, value);
            }
            // Nothing is kept of it: what it said follows from the metadata.
            GroupRecord::ConsumerGroupPartitionMetadata { .. } => {}
            GroupRecord::ConsumerGroupMemberMetadata { group_id, member_id, value } => {
                self.apply_consumer_member(&group_id, &member_id, value);
            }
            GroupRecord::ConsumerGroupTargetAssignmentMetadata { group_id, value } => {
                self.apply_consumer_target_epoch(&group_id, value);
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember { group_id, member_id, value } => {
                self.apply_consumer_target(&group_id, &member_id, value);
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment { group_id, member_id, value } => {
                self.apply_consumer_current(&group_id, &member_id, value);
            }
            GroupRecord::ConsumerGroupRegularExpression { group_id, regular_expression, value } => {
                self.apply_consumer_regular_expression(&group_id, &regular_expression, value);
            }
        }
    }

    fn end_transaction(&mut self, producer: ProducerId, _epoch: ProducerEpoch, committed: bool) {
        self.offsets.end_transaction(producer, committed);
    }

    fn loaded(&mut self, now: Now, out: &mut Output) {
        self.is_loaded = true;
        let groups: Vec<_> = self.groups.keys().cloned().collect();
        for group_id in groups {
            match self.groups.get(&group_id) {
                Some(Group::Classic(_)) => self.classic_loaded(&group_id, now, out),
                Some(Group::Consumer(_)) => self.consumer_loaded(&group_id, now, out),
                None => {}
            }
        }
        self.forget_missing_topics(out);
        self.schedule_expiry(now, out);
    }

    fn snapshot(&self, emit: &mut dyn FnMut(GroupRecord, Position)) {
        for group in self.groups.values() {
            match group {
                Group::Classic(group) => group.snapshot(emit),
                Group::Consumer(group) => group.snapshot(emit),
            }
        }
        self.snapshot_offsets(emit);
    }
}
