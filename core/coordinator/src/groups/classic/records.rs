//! A classic group in the log: one record per generation that reached its assignment, or that ended empty.
//!
//! The record is written once the memory holds what it says, and a rebalance is in memory only; so the group keeps its last record
//! ([`ClassicGroup::written`]), from which it could be loaded at any moment.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use watershed_model::{Offset, Timestamp};

use super::group::ClassicGroup;
use super::member::ClassicMember;
use super::state::ClassicState;
use crate::groups::{Group, GroupCoordinator, Output};
use crate::records::{GroupMetadataValue, GroupRecord};
use crate::runtime::Position;

/// Stands for a time that is not known.
const NO_TIMESTAMP: i64 = -1;

impl ClassicGroup {
    /// Writes the group down; members get these assignments, or nothing.
    pub(super) fn write(&self, assignment: &HashMap<Arc<str>, Bytes>, out: &mut Output) {
        let of = |member: &ClassicMember| assignment.get(&member.member_id).cloned().unwrap_or_default();
        self.write_with(of, out);
    }

    /// Writes the group down as it is.
    pub(in crate::groups) fn write_present(&self, out: &mut Output) {
        self.write_with(|member| member.assignment.clone(), out);
    }

    fn write_with(&self, assignment: impl Fn(&ClassicMember) -> Bytes, out: &mut Output) {
        let protocol = self.protocol_name.as_deref();
        let to_record = |member| ClassicMember::to_record(member, protocol.unwrap_or_default(), assignment(member));
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.as_deref().unwrap_or_default().to_owned(),
            generation: self.generation,
            protocol: protocol.map(str::to_owned),
            leader: self.leader.as_deref().map(str::to_owned),
            current_state_timestamp: self.state_since.map_or(NO_TIMESTAMP, |since| since.0),
            members: self.members().map(to_record).collect(),
        };
        out.write(GroupRecord::GroupMetadata { group_id: self.group_id.to_string(), value: Some(value) });
    }

    /// Writes the group down without members and protocol, because it is new.
    pub(super) fn write_new(&self, out: &mut Output) {
        let value = GroupMetadataValue {
            current_state_timestamp: self.state_since.map_or(NO_TIMESTAMP, |since| since.0),
            ..GroupMetadataValue::default()
        };
        out.write(GroupRecord::GroupMetadata { group_id: self.group_id.to_string(), value: Some(value) });
    }

    /// The group that a record describes.
    fn from_record(group_id: Arc<str>, value: GroupMetadataValue) -> Self {
        let written = Some(Box::new(value.clone()));
        let state = if value.members.is_empty() { ClassicState::Empty } else { ClassicState::Stable };
        let since = Some(Timestamp(value.current_state_timestamp)).filter(|since| since.0 != NO_TIMESTAMP);
        let mut group = Self::at(group_id, state, since);
        group.generation = value.generation;
        group.protocol_name = value.protocol.map(Into::into);
        group.leader = value.leader.map(Into::into);
        let protocol = group.protocol_name.clone().unwrap_or_default();
        for member in value.members {
            group.add(ClassicMember::from_record(member, &protocol), &value.protocol_type, None);
        }
        group.protocol_type = Some(value.protocol_type).filter(|kind| !kind.is_empty()).map(Into::into);
        // A leader that is not among the members could never be followed by another.
        if group.leader.as_ref().is_some_and(|leader| !group.members.contains_key(leader)) {
            group.leader = group.members.keys().next().cloned();
        }
        group.subscribed_topics = group.compute_subscribed_topics();
        group.written = written;
        group
    }

    /// Gives the record from which the group can be loaded, if there is one.
    pub(in crate::groups) fn snapshot(&self, emit: &mut dyn FnMut(GroupRecord, Position)) {
        if let Some(value) = &self.written {
            let record =
                GroupRecord::GroupMetadata { group_id: self.group_id.to_string(), value: Some((**value).clone()) };
            // Where it stands in the log matters to offsets only.
            emit(record, Position { offset: Offset::ZERO, producer: None });
        }
    }
}

impl GroupCoordinator {
    /// Takes a classic group's record. While the coordinator works, the memory is ahead of the records of groups that it holds.
    pub(in crate::groups) fn apply_group_metadata(&mut self, group_id: &str, value: Option<GroupMetadataValue>) {
        let Some(value) = value else {
            self.groups.remove(group_id);
            return;
        };
        match self.groups.get_mut(group_id) {
            Some(Group::Classic(group)) if self.is_loaded => group.written = Some(Box::new(value)),
            _ => {
                let group_id: Arc<str> = group_id.into();
                let group = ClassicGroup::from_record(group_id.clone(), value);
                self.groups.insert(group_id, Group::Classic(group));
            }
        }
    }
}
