//! A consumer group's records: what each does when the log has it, and which ones bring a group back.

use std::sync::Arc;

use watershed_model::{Offset, Timestamp};

use super::group::{ConsumerGroup, ConsumerGroupState, Resolved};
use super::heartbeat::{current_record, epoch_record, remove_member};
use super::leave::regex_tombstone;
use super::member::ConsumerMember;
use super::partitions::Partitions;
use super::target::target_record;
use crate::groups::{Group, GroupCoordinator, Output};
use crate::records::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataValue,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataValue, GroupRecord,
};
use crate::runtime::{Now, Position};

impl GroupCoordinator {
    /// The group that a record is about. A group that only holds offsets gives way: no record stands for it.
    fn group_to_apply(&mut self, group_id: &str, create: bool) -> Option<&mut ConsumerGroup> {
        let may_replace = match self.groups.get(group_id) {
            None => true,
            Some(Group::Classic(group)) => group.is_simple(),
            Some(Group::Consumer(_)) => false,
        };
        if may_replace {
            if !create {
                return None;
            }
            let group_id: Arc<str> = Arc::from(group_id);
            self.groups.insert(Arc::clone(&group_id), Group::Consumer(ConsumerGroup::new(group_id)));
        }
        match self.groups.get_mut(group_id)? {
            Group::Consumer(group) => Some(group),
            Group::Classic(_) => {
                tracing::error!(
                    group = group_id,
                    "a record of a consumer group is about a classic one, and is left out"
                );
                None
            }
        }
    }

    pub(in crate::groups) fn apply_consumer_group_metadata(
        &mut self,
        group_id: &str,
        value: Option<ConsumerGroupMetadataValue>,
    ) {
        let Some(value) = value else {
            if matches!(self.groups.get(group_id), Some(Group::Consumer(_))) {
                self.groups.remove(group_id);
            }
            return;
        };
        let note = self.rebalance_note.take().filter(|(of, _)| **of == *group_id);
        if let Some(group) = self.group_to_apply(group_id, true) {
            group.epoch = value.epoch;
            group.metadata_hash = value.metadata_hash;
            if let Some((_, rebalance)) = note {
                group.rebalance = Some(rebalance);
            }
        }
    }

    pub(in crate::groups) fn apply_consumer_member(
        &mut self,
        group_id: &str,
        member_id: &str,
        value: Option<ConsumerGroupMemberMetadataValue>,
    ) {
        let Some(group) = self.group_to_apply(group_id, value.is_some()) else { return };
        let Some(value) = value else {
            return group.put(member_id, None);
        };
        let mut member = group.members.get(member_id).cloned().unwrap_or_else(|| ConsumerMember::new(member_id.into()));
        member.take_about(value);
        group.put(member_id, Some(member));
    }

    pub(in crate::groups) fn apply_consumer_target_epoch(
        &mut self,
        group_id: &str,
        value: Option<ConsumerGroupTargetAssignmentMetadataValue>,
    ) {
        if let Some(group) = self.group_to_apply(group_id, value.is_some()) {
            group.target_epoch = value.map_or(-1, |value| value.assignment_epoch);
        }
    }

    pub(in crate::groups) fn apply_consumer_target(
        &mut self,
        group_id: &str,
        member_id: &str,
        value: Option<ConsumerGroupTargetAssignmentMemberValue>,
    ) {
        let Some(group) = self.group_to_apply(group_id, value.is_some()) else { return };
        match value {
            Some(value) => {
                let known = group.members.get_key_value(member_id).map(|(id, _)| Arc::clone(id));
                let member_id = known.unwrap_or_else(|| Arc::from(member_id));
                group.targets.insert(member_id, Arc::new(Partitions::from(value.topic_partitions)));
            }
            None => drop(group.targets.remove(member_id)),
        }
    }

    pub(in crate::groups) fn apply_consumer_current(
        &mut self,
        group_id: &str,
        member_id: &str,
        value: Option<ConsumerGroupCurrentMemberAssignmentValue>,
    ) {
        let Some(group) = self.group_to_apply(group_id, value.is_some()) else { return };
        let known = group.members.get(member_id).cloned();
        let mut member = match (known, &value) {
            // The tombstone of a member that is gone already.
            (None, None) => return,
            (None, Some(_)) => ConsumerMember::new(member_id.into()),
            (Some(member), _) => member,
        };
        // Without a value the member stands where a new one does.
        member.take_current(value.unwrap_or_else(|| ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: -1,
            previous_member_epoch: -1,
            state: 1,
            ..Default::default()
        }));
        group.put(member_id, Some(member));
        self.end_rebalance(group_id);
    }

    pub(in crate::groups) fn apply_consumer_regular_expression(
        &mut self,
        group_id: &str,
        regex: &str,
        value: Option<ConsumerGroupRegularExpressionValue>,
    ) {
        let Some(group) = self.group_to_apply(group_id, value.is_some()) else { return };
        match value {
            Some(value) => {
                let topics = Arc::new(value.topics.into_iter().collect());
                let resolved = Resolved { topics, version: value.version, at: Timestamp(value.timestamp) };
                group.resolved.insert(Arc::from(regex), resolved);
            }
            None => drop(group.resolved.remove(regex)),
        }
    }

    /// A rebalance has ended when every member has come to the target.
    fn end_rebalance(&mut self, group_id: &str) {
        let Some(Group::Consumer(group)) = self.groups.get_mut(group_id) else { return };
        if group.rebalance.as_ref().is_none_or(|rebalance| rebalance.duration_ms.is_some())
            || group.state() != ConsumerGroupState::Stable
        {
            return;
        }
        let ended = group.rebalance.as_mut().and_then(|rebalance| rebalance.end(self.now));
        self.counters.consumer_rebalances_completed += u64::from(ended.is_some());
    }

    /// Members have their whole session to be heard of again, and their whole time to give up partitions.
    pub(in crate::groups) fn consumer_loaded(&mut self, group_id: &Arc<str>, now: Now, out: &mut Output) {
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return };
        for member in group.members() {
            self.keep_consumer_session(group_id, member, now, out);
            self.keep_rebalance_timer(group_id, member, now, out);
        }
        self.ask_for_target(group_id, now, out);
    }
}

impl ConsumerGroup {
    pub(in crate::groups) fn write_tombstones(&self, out: &mut Output) {
        let group_id = &*self.group_id;
        for member_id in self.members.keys() {
            remove_member(group_id, member_id, out);
        }
        for regex in self.resolved.keys() {
            out.write(regex_tombstone(group_id, regex));
        }
        let group_id = group_id.to_owned();
        out.write(GroupRecord::ConsumerGroupTargetAssignmentMetadata { group_id: group_id.clone(), value: None });
        // Brokers before Kafka 4.1 kept one in the log, which nothing else would ever remove.
        out.write(GroupRecord::ConsumerGroupPartitionMetadata { group_id: group_id.clone(), value: None });
        out.write(GroupRecord::ConsumerGroupMetadata { group_id, value: None });
    }

    /// Everything of the group, in an order in which each record finds what it builds on.
    pub(in crate::groups) fn write_all(&self, emit: &mut dyn FnMut(GroupRecord)) {
        let group_id = &*self.group_id;
        for member in self.members() {
            emit(GroupRecord::ConsumerGroupMemberMetadata {
                group_id: group_id.to_owned(),
                member_id: member.member_id.to_string(),
                value: Some(member.about_record()),
            });
        }
        for (regex, resolved) in &self.resolved {
            emit(GroupRecord::ConsumerGroupRegularExpression {
                group_id: group_id.to_owned(),
                regular_expression: regex.to_string(),
                value: Some(ConsumerGroupRegularExpressionValue {
                    topics: resolved.topics.iter().cloned().collect(),
                    version: resolved.version,
                    timestamp: resolved.at.0,
                }),
            });
        }
        emit(epoch_record(group_id, self.epoch, self.metadata_hash));
        for (member_id, target) in &self.targets {
            emit(target_record(group_id, member_id, target));
        }
        emit(GroupRecord::ConsumerGroupTargetAssignmentMetadata {
            group_id: group_id.to_owned(),
            value: Some(ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch: self.target_epoch }),
        });
        for member in self.members() {
            emit(current_record(group_id, member));
        }
    }

    pub(in crate::groups) fn snapshot(&self, emit: &mut dyn FnMut(GroupRecord, Position)) {
        let position = Position { offset: Offset::ZERO, producer: None };
        self.write_all(&mut |record| emit(record, position));
    }
}
