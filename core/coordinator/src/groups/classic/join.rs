//! JoinGroup: a member asks to be in the next generation, and waits until that begins.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::JoinGroupRequest;

use super::group::ClassicGroup;
use super::member::{ClassicMember, Waiting};
use super::rebalance_info::RebalanceReason;
use super::state::ClassicState;
use super::{Step, replies};
use crate::groups::{Group, GroupCoordinator, GroupTimer, GroupToken, Output};
use crate::runtime::{Call, Now};

/// How long the first JoinGroup of a member may wait, in milliseconds. Its client may be gone for good: a new member sends no
/// heartbeats yet, and one that is still there tries again.
const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60 * 1000;
/// The most ids that a group gives out to members that have not come back yet.
const PENDING_JOIN_MAX: usize = 100_000;
/// The first version of JoinGroup whose dynamic members are given their id before they join (KIP-394).
const MEMBER_ID_REQUIRED: i16 = 4;
/// The longest part of a member id before the random one, in bytes: a text has at most 32,767, a dash and a UUID have 37.
const MEMBER_ID_PREFIX_BYTES_MAX: usize = i16::MAX as usize - 37;

/// A JoinGroup and who sent it.
pub(super) struct Join {
    pub(super) call: Call,
    pub(super) request: JoinGroupRequest,
}

impl Join {
    pub(super) fn waiting(&self) -> Waiting {
        Waiting { id: self.call.id, version: self.call.version }
    }

    /// What the client says why it joins (KIP-800).
    pub(super) fn reason(&self) -> &str {
        self.request.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("not provided")
    }

    fn new_member_id(&self, step: &Step<'_>) -> Arc<str> {
        let prefix = self.request.group_instance_id.as_deref().unwrap_or(&self.call.client_id);
        let prefix = &prefix[..prefix.floor_char_boundary(MEMBER_ID_PREFIX_BYTES_MAX)];
        let id = uuid::Builder::from_random_bytes((step.random)()).into_uuid();
        format!("{prefix}-{id}").into()
    }
}

impl GroupCoordinator {
    /// A JoinGroup.
    pub(in crate::groups) fn join_group(
        &mut self,
        call: Call,
        mut request: JoinGroupRequest,
        now: Now,
        out: &mut Output,
    ) {
        let waiting = Waiting { id: call.id, version: call.version };
        if request.group_id.is_empty() {
            return replies::join_error(waiting, &request.member_id, ErrorCode::InvalidGroupId, out);
        }
        if call.version == 0 {
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        let timeouts_ms = self.settings.classic_session_timeout_min_ms..=self.settings.classic_session_timeout_max_ms;
        if !timeouts_ms.contains(&request.session_timeout_ms) {
            return replies::join_error(waiting, &request.member_id, ErrorCode::InvalidSessionTimeout, out);
        }
        match self.groups.get(request.group_id.as_str()) {
            Some(Group::Consumer(group)) if !group.is_empty() => self.join_consumer_group(call, request, now, out),
            _ => self.join_classic_group(Join { call, request }, now, out),
        }
    }

    /// A JoinGroup to a classic group, or to one that does not exist or is an empty consumer group and becomes classic.
    fn join_classic_group(&mut self, join: Join, now: Now, out: &mut Output) {
        let group_id: Arc<str> = match self.groups.get_key_value(join.request.group_id.as_str()) {
            Some((group_id, _)) => group_id.clone(),
            None => join.request.group_id.as_str().into(),
        };
        let is_new = !matches!(self.groups.get(&group_id), Some(Group::Classic(_)));
        if is_new {
            if !join.request.member_id.is_empty() {
                return replies::join_error(join.waiting(), &join.request.member_id, ErrorCode::UnknownMemberId, out);
            }
            self.create_classic_group(&group_id, now, out);
        }
        if let Some((group, mut step)) = self.classic(&group_id, now, out) {
            group.join(join, &mut step);
        }
    }

    fn create_classic_group(&mut self, group_id: &Arc<str>, now: Now, out: &mut Output) {
        let group = ClassicGroup::new(group_id.clone(), now);
        match self.groups.entry(group_id.clone()) {
            Entry::Vacant(place) => {
                group.write_new(out);
                place.insert(Group::Classic(group));
            }
            Entry::Occupied(mut place) => {
                let mut tombstones = Output::default();
                place.get().remove(&mut tombstones);
                // The memory has the new group already, which these must not remove.
                for write in tombstones.writes() {
                    out.write_only(write.record.clone());
                }
                for (timer, _) in tombstones.timers() {
                    out.cancel(timer.clone());
                }
                group.write_new(out);
                let before = place.insert(Group::Classic(group));
                if let Group::Classic(group) = place.get_mut() {
                    group.replaces = Some(Box::new(before));
                }
            }
        }
        out.when_settled(GroupToken::ClassicEmpty { group: group_id.clone(), generation: 0 });
    }

    /// The record that makes a group exist is durable, or was refused: then there is no such group.
    pub(super) fn new_group_settled(
        &mut self,
        group_id: &Arc<str>,
        generation: i32,
        outcome: Result<(), ErrorCode>,
        now: Now,
        out: &mut Output,
    ) {
        let Some((group, step)) = self.classic(group_id, now, out) else { return };
        let replaces = group.replaces.take();
        let Err(error) = outcome else { return };
        if group.generation != generation {
            return;
        }
        tracing::warn!(group = %group_id, error = error.name(), "a new classic group could not be written down");
        group.fail_joins(replies::store_error(error), step.out);
        group.cancel_timers(step.out);
        self.groups.remove(group_id);
        if let Some(before) = replaces {
            self.groups.insert(group_id.clone(), *before);
        }
    }
}

impl ClassicGroup {
    fn join(&mut self, join: Join, step: &mut Step<'_>) {
        let (waiting, request) = (join.waiting(), &join.request);
        let member_id = request.member_id.as_str();
        if !self.accepts(member_id, step.settings.classic_size_max) {
            replies::join_error(waiting, "", ErrorCode::GroupMaxSizeReached, step.out);
            return self.turn_away(member_id, step);
        }
        if !self.supports_protocols(&request.protocol_type, &request.protocols) {
            return replies::join_error(waiting, member_id, ErrorCode::InconsistentGroupProtocol, step.out);
        }
        if member_id.is_empty() {
            self.join_new(join, step);
        } else if self.pending_join.contains(member_id) {
            if request.group_instance_id.is_some() {
                // Ids are given out beforehand to dynamic members only.
                return replies::join_error(waiting, member_id, ErrorCode::UnknownServerError, step.out);
            }
            let member_id = member_id.into();
            self.add_member(join, member_id, step);
        } else {
            match self.check_member(member_id, request.group_instance_id.as_deref()) {
                Ok(()) => self.join_again(join, step),
                Err(refusal) => replies::join_error(waiting, member_id, refusal.code, step.out),
            }
        }
    }

    /// There is no room for a member, or for an id that was given out: it is out. Kafka goes on waiting for it.
    fn turn_away(&mut self, member_id: &str, step: &mut Step<'_>) {
        if !member_id.is_empty() {
            step.out.cancel(GroupTimer::ClassicHeartbeat(self.group_id.clone(), member_id.into()));
            self.remove(member_id, step.out);
            self.maybe_complete_join(step);
        }
    }

    /// Whether there is room for a member.
    ///
    /// While members join, those that have are counted: if fewer are allowed than before, the last ones are out.
    fn accepts(&self, member_id: &str, size_max: usize) -> bool {
        let member = self.member(member_id);
        match self.state {
            ClassicState::Empty => true,
            ClassicState::PreparingRebalance => {
                member.is_some_and(ClassicMember::is_awaiting_join) || self.awaiting_join < size_max
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                member.is_some() || self.members.len() < size_max
            }
        }
    }

    /// Someone without a member id.
    fn join_new(&mut self, join: Join, step: &mut Step<'_>) {
        let new_id = join.new_member_id(step);
        if let Some(instance_id) = &join.request.group_instance_id {
            match self.static_member_id(instance_id).cloned() {
                Some(old_id) => self.replace_and_join(join, &old_id, &new_id, step),
                None => self.add_member(join, new_id, step),
            }
        } else if join.call.version < MEMBER_ID_REQUIRED {
            self.add_member(join, new_id, step);
        } else if self.pending_join.len() < PENDING_JOIN_MAX {
            let timer = GroupTimer::ClassicHeartbeat(self.group_id.clone(), new_id.clone());
            step.schedule(timer, super::rebalance::milliseconds(join.request.session_timeout_ms));
            replies::join_error(join.waiting(), &new_id, ErrorCode::MemberIdRequired, step.out);
            self.pending_join.insert(new_id);
        } else {
            replies::join_error(join.waiting(), "", ErrorCode::GroupMaxSizeReached, step.out);
        }
    }

    /// A new member, under this id.
    fn add_member(&mut self, join: Join, member_id: Arc<str>, step: &mut Step<'_>) {
        let waiting = join.waiting();
        let request = &join.request;
        let mut member = ClassicMember::new(
            member_id.clone(),
            request.group_instance_id.as_deref().map(Into::into),
            (&join.call.client_id, &join.call.client_host),
            (request.rebalance_timeout_ms, request.session_timeout_ms),
            self.keep_protocols(&request.protocols),
        );
        member.is_new = true;
        if self.is_in(ClassicState::PreparingRebalance) && self.previous_state == ClassicState::Empty {
            self.new_member_added = true;
        }
        self.add(member, &request.protocol_type, Some(waiting));
        let timer = GroupTimer::ClassicHeartbeat(self.group_id.clone(), member_id.clone());
        step.schedule(timer, NEW_MEMBER_JOIN_TIMEOUT_MS);
        let text = format!("member {member_id} joined; client reason: {}", join.reason());
        self.prepare_or_complete(RebalanceReason::MemberJoined, text, step);
    }

    /// A member that the group knows.
    fn join_again(&mut self, join: Join, step: &mut Step<'_>) {
        let member_id = join.request.member_id.as_str();
        let Some(member) = self.member(member_id) else { return };
        let (is_leader, is_same) = (self.is_leader(member_id), member.matches(&join.request.protocols));
        match self.state {
            ClassicState::PreparingRebalance => {
                self.rejoin(&join, step);
                self.maybe_complete_join(step);
            }
            // It has not got the reply to its last JoinGroup, perhaps: it gets the generation again.
            ClassicState::CompletingRebalance if is_same => {
                self.reply_generation(join.waiting(), member_id, is_leader, false, step.out);
            }
            ClassicState::Stable if is_same && !is_leader => {
                self.reply_generation(join.waiting(), member_id, false, false, step.out);
            }
            ClassicState::Stable if is_leader => {
                // A leader may have noticed what no metadata shows, such as new partitions.
                let text = format!("leader {member_id} joined again; client reason: {}", join.reason());
                self.rejoin(&join, step);
                self.prepare_rebalance(RebalanceReason::LeaderRejoined, text, step);
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                let text = format!("member {member_id} changed its metadata; client reason: {}", join.reason());
                self.rejoin(&join, step);
                self.prepare_rebalance(RebalanceReason::MetadataChanged, text, step);
            }
            ClassicState::Empty => replies::join_error(join.waiting(), member_id, ErrorCode::UnknownMemberId, step.out),
        }
    }

    /// A member waits for the next generation, with what its request says.
    pub(super) fn rejoin(&mut self, join: &Join, step: &mut Step<'_>) {
        self.rejoin_as(&join.request.member_id, join, step);
    }

    /// Takes over what the request says for a member, and leaves it waiting.
    pub(super) fn rejoin_as(&mut self, member_id: &str, join: &Join, step: &mut Step<'_>) {
        let request = &join.request;
        if self.member(member_id).is_some_and(|member| !member.matches(&request.protocols)) {
            let protocols = self.keep_protocols(&request.protocols);
            self.set_protocols(member_id, protocols);
        }
        if let Some(member) = self.members.get_mut(member_id) {
            member.rebalance_timeout_ms = request.rebalance_timeout_ms;
            member.session_timeout_ms = request.session_timeout_ms;
        }
        self.await_join(member_id, join.waiting(), step.out);
    }
}
