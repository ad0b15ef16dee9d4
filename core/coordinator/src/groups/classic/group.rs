//! A classic group: its members and what they wait for.
//!
//! The fields and methods are those of Kafka's `ClassicGroup`. Where Kafka goes through a hash map of member ids (the next leader,
//! lists of members), the order here is that of the ids, so that it is the same after a restart.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use watershed_model::Timestamp;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::join_group::JoinGroupRequestProtocol;

use super::member::{ClassicMember, ClassicProtocol, Waiting};
use super::rebalance_info::Rebalance;
use super::replies;
use super::state::ClassicState;
use super::static_member::Replaced;
use crate::groups::question::Asked;
use crate::groups::{Group, GroupTimer, Output};
use crate::records::GroupMetadataValue;
use crate::runtime::Now;

/// How long the first join phase of a group still waits for further members, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// Of the timer that runs.
    pub(super) delay_ms: u64,
    /// By how much it may still be extended.
    pub(super) remaining_ms: u64,
}

/// An assignment on its way to the log.
#[derive(Clone, Debug)]
pub(super) struct StoringAssignment {
    pub(super) generation: i32,
    pub(super) assignment: HashMap<Arc<str>, Bytes>,
}

/// An assignment that an assignor outside was asked for.
#[derive(Clone, Debug)]
pub(super) struct AwaitedAssignment {
    pub(super) asked: Asked,
    /// What the leader sent, which stands if no assignor can assign.
    pub(super) by_leader: HashMap<Arc<str>, Bytes>,
}

/// A classic group.
#[derive(Debug)]
pub struct ClassicGroup {
    pub(in crate::groups) group_id: Arc<str>,
    pub(super) state: ClassicState,
    /// Tells whether a join phase is the group's first.
    pub(super) previous_state: ClassicState,
    /// Since when it is in its state; unknown if it was loaded from an old record.
    pub(in crate::groups) state_since: Option<Timestamp>,
    /// `consumer` for consumers. None until there was a member.
    pub(in crate::groups) protocol_type: Option<Arc<str>>,
    /// The protocol that this generation uses.
    pub(in crate::groups) protocol_name: Option<Arc<str>>,
    pub(in crate::groups) generation: i32,
    pub(super) leader: Option<Arc<str>>,
    pub(super) members: BTreeMap<Arc<str>, ClassicMember>,
    /// Member ids by instance id.
    pub(super) static_members: HashMap<Arc<str>, Arc<str>>,
    /// Member ids that were given out and have not come back yet (KIP-394).
    pub(super) pending_join: BTreeSet<Arc<str>>,
    /// How many members' JoinGroups wait.
    pub(super) awaiting_join: usize,
    /// How many members can use each protocol; never zero.
    pub(super) supported_protocols: HashMap<Arc<str>, usize>,
    /// Members that owe a SyncGroup.
    pub(super) pending_sync: BTreeSet<Arc<str>>,
    /// The topics that the members subscribe to, if that can be known.
    pub(in crate::groups) subscribed_topics: Option<BTreeSet<String>>,
    /// Someone joined while the first join phase waits: it may wait longer.
    pub(super) new_member_added: bool,
    pub(super) initial_delay: Option<InitialDelay>,
    pub(super) storing: Option<Box<StoringAssignment>>,
    /// The question to an assignor outside that is under way; only in CompletingRebalance.
    pub(super) awaited: Option<Box<AwaitedAssignment>>,
    /// Static members whose new ids are on their way to the log, by these.
    pub(super) replaced: HashMap<Arc<str>, Replaced>,
    /// The group's last record: what a restart would find.
    pub(in crate::groups) written: Option<Box<GroupMetadataValue>>,
    /// An empty consumer group that this one takes the place of, until that is written down.
    pub(super) replaces: Option<Box<Group>>,
    /// The last rebalance.
    pub(in crate::groups) rebalance: Option<Rebalance>,
}

impl ClassicGroup {
    /// An empty group.
    pub(in crate::groups) fn new(group_id: Arc<str>, now: Now) -> Self {
        Self::at(group_id, ClassicState::Empty, Some(now.wall))
    }

    /// A group that only holds offsets.
    pub(in crate::groups) fn simple(group_id: Arc<str>) -> Self {
        Self::at(group_id, ClassicState::Empty, None)
    }

    /// A group without members in some state. What goes with that state is the caller's to fill in.
    pub(in crate::groups) fn at(group_id: Arc<str>, state: ClassicState, since: Option<Timestamp>) -> Self {
        Self {
            group_id,
            state,
            previous_state: state,
            state_since: since,
            protocol_type: None,
            protocol_name: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending_join: BTreeSet::new(),
            awaiting_join: 0,
            supported_protocols: HashMap::new(),
            pending_sync: BTreeSet::new(),
            subscribed_topics: None,
            new_member_added: false,
            initial_delay: None,
            storing: None,
            awaited: None,
            replaced: HashMap::new(),
            written: None,
            replaces: None,
            rebalance: None,
        }
    }

    /// Takes the place of another group, which is back if this one cannot be written down.
    pub(in crate::groups) fn stands_for(&mut self, before: Group) {
        self.replaces = Some(Box::new(before));
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> ClassicState {
        self.state
    }

    pub(in crate::groups) fn is_in(&self, state: ClassicState) -> bool {
        self.state == state
    }

    /// Whether it has no members, and waits for none.
    pub(in crate::groups) fn is_empty(&self) -> bool {
        self.is_in(ClassicState::Empty)
    }

    /// The member with this id.
    pub(in crate::groups) fn member(&self, member_id: &str) -> Option<&ClassicMember> {
        self.members.get(member_id)
    }

    /// All members, in the order of their ids.
    pub(in crate::groups) fn members(&self) -> impl ExactSizeIterator<Item = &ClassicMember> {
        self.members.values()
    }

    /// The member id behind an instance id.
    pub(in crate::groups) fn static_member_id(&self, instance_id: &str) -> Option<&Arc<str>> {
        self.static_members.get(instance_id)
    }

    pub(in crate::groups) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// Whether its members are consumers, whose subscriptions and assignments can be read.
    pub(in crate::groups) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(crate::groups::protocol::PROTOCOL_TYPE)
    }

    /// Only holds offsets: nobody ever joined.
    pub(in crate::groups) fn is_simple(&self) -> bool {
        self.protocol_type.is_none() && self.is_in(ClassicState::Empty) && self.pending_join.is_empty()
    }

    /// Whether everyone who is expected waits for the next generation.
    pub(super) fn has_all_members_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_join.is_empty()
    }

    /// The longest rebalance timeout of a member, in milliseconds.
    pub(super) fn rebalance_timeout_ms(&self) -> u64 {
        let longest = self.members.values().map(|member| member.rebalance_timeout_ms).max();
        longest.and_then(|timeout_ms| u64::try_from(timeout_ms).ok()).unwrap_or(0)
    }

    /// Goes over to another state.
    pub(super) fn transition_to(&mut self, state: ClassicState, now: Now) {
        debug_assert!(self.state.may_become(state), "{:?} does not become {state:?}", self.state);
        self.previous_state = self.state;
        self.state = state;
        self.state_since = Some(now.wall);
    }

    /// A request's protocols as a member keeps them: copied out of the request's frame, names shared within the group.
    pub(super) fn keep_protocols(&self, protocols: &[JoinGroupRequestProtocol]) -> Box<[ClassicProtocol]> {
        let keep = |protocol: &JoinGroupRequestProtocol| ClassicProtocol {
            name: self.shared_name(&protocol.name),
            metadata: Bytes::copy_from_slice(&protocol.metadata),
        };
        protocols.iter().map(keep).collect()
    }

    fn shared_name(&self, name: &str) -> Arc<str> {
        self.supported_protocols.get_key_value(name).map_or_else(|| name.into(), |(shared, _)| shared.clone())
    }

    /// Takes a member in, with the JoinGroup that waits for the next generation. Its instance id, if it has one, must be free.
    pub(in crate::groups) fn add(&mut self, mut member: ClassicMember, protocol_type: &str, join: Option<Waiting>) {
        let id = member.member_id.clone();
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.into());
        }
        self.leader.get_or_insert_with(|| id.clone());
        count_protocols(&mut self.supported_protocols, &member.protocols);
        self.pending_join.remove(&id);
        member.awaiting_join = join;
        self.awaiting_join += usize::from(join.is_some());
        if let Some(double) = self.members.insert(id, member) {
            uncount_protocols(&mut self.supported_protocols, &double.protocols);
        }
    }

    /// Removes a member, or an id that was given out. Requests of it that still wait are answered: it is unknown now.
    pub(super) fn remove(&mut self, member_id: &str, out: &mut Output) {
        if let Some(member) = self.members.remove(member_id) {
            uncount_protocols(&mut self.supported_protocols, &member.protocols);
            if let Some(waiting) = member.awaiting_join {
                self.awaiting_join -= 1;
                replies::join_error(waiting, "", ErrorCode::UnknownMemberId, out);
            }
            if let Some(waiting) = member.awaiting_sync {
                replies::sync_error(waiting, ErrorCode::UnknownMemberId, out);
            }
            if let Some(instance_id) = &member.instance_id {
                self.static_members.remove(instance_id);
            }
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_join.remove(member_id);
        self.pending_sync.remove(member_id);
    }

    /// Changes which protocols a member can use.
    pub(super) fn set_protocols(&mut self, member_id: &str, protocols: Box<[ClassicProtocol]>) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        uncount_protocols(&mut self.supported_protocols, &member.protocols);
        count_protocols(&mut self.supported_protocols, &protocols);
        member.protocols = protocols;
    }

    /// Leaves a JoinGroup of a member waiting for the next generation. One that waited before is told to try again.
    pub(super) fn await_join(&mut self, member_id: &str, join: Waiting, out: &mut Output) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        match member.awaiting_join.replace(join) {
            Some(before) => replies::join_error(before, member_id, ErrorCode::RebalanceInProgress, out),
            None => self.awaiting_join += 1,
        }
    }

    /// Leaves a SyncGroup of a member waiting for the assignment. One that waited before is told to try again.
    pub(super) fn await_sync(&mut self, member_id: &str, sync: Waiting, out: &mut Output) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        if let Some(before) = member.awaiting_sync.replace(sync) {
            replies::sync_error(before, ErrorCode::RebalanceInProgress, out);
        }
    }

    /// Takes the JoinGroup of a member that waits, to answer it.
    pub(super) fn take_join(&mut self, member_id: &str) -> Option<Waiting> {
        let taken = self.members.get_mut(member_id)?.awaiting_join.take();
        self.awaiting_join -= usize::from(taken.is_some());
        taken
    }

    /// Answers all JoinGroups that wait with an error.
    pub(in crate::groups) fn fail_joins(&mut self, error: ErrorCode, out: &mut Output) {
        for (id, member) in &mut self.members {
            if let Some(waiting) = member.awaiting_join.take() {
                replies::join_error(waiting, id, error, out);
            }
        }
        self.awaiting_join = 0;
    }

    /// Answers all SyncGroups that wait with an error.
    pub(in crate::groups) fn fail_syncs(&mut self, error: ErrorCode, out: &mut Output) {
        for member in self.members.values_mut() {
            if let Some(waiting) = member.awaiting_sync.take() {
                replies::sync_error(waiting, error, out);
            }
        }
    }

    /// Gives a static member another id; everything else stays. Requests under the old id that wait are fenced (KIP-345).
    pub(super) fn replace_static_member(&mut self, old_id: &str, new_id: &Arc<str>, out: &mut Output) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        if let Some(waiting) = member.awaiting_join.take() {
            self.awaiting_join -= 1;
            replies::join_error(waiting, old_id, ErrorCode::FencedInstanceId, out);
        }
        if let Some(waiting) = member.awaiting_sync.take() {
            replies::sync_error(waiting, ErrorCode::FencedInstanceId, out);
        }
        member.member_id = new_id.clone();
        member.is_new = false;
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), new_id.clone());
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        // Kafka goes on waiting for a SyncGroup under the old id, and rebalances once more when it does not come.
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(new_id.clone());
        }
        self.members.insert(new_id.clone(), member);
    }

    /// Takes back every timer of the group: it is removed or becomes a consumer group.
    pub(in crate::groups) fn cancel_timers(&self, out: &mut Output) {
        for member_id in self.members.keys().chain(&self.pending_join) {
            out.cancel(GroupTimer::ClassicHeartbeat(self.group_id.clone(), member_id.clone()));
        }
        out.cancel(GroupTimer::ClassicJoin(self.group_id.clone()));
        out.cancel(GroupTimer::ClassicSync(self.group_id.clone()));
        out.cancel(GroupTimer::Answer(self.group_id.clone()));
    }
}

fn count_protocols(counts: &mut HashMap<Arc<str>, usize>, protocols: &[ClassicProtocol]) {
    for name in names(protocols) {
        *counts.entry(name.clone()).or_default() += 1;
    }
}

fn uncount_protocols(counts: &mut HashMap<Arc<str>, usize>, protocols: &[ClassicProtocol]) {
    for name in names(protocols) {
        if let Some(count) = counts.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(name);
            }
        }
    }
}

/// A member that lists a name twice can use that protocol no more than once.
fn names(protocols: &[ClassicProtocol]) -> HashSet<&Arc<str>> {
    protocols.iter().map(|protocol| &protocol.name).collect()
}
