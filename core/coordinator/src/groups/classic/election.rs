//! Who leads a classic group, and which protocol it uses.

use std::collections::HashMap;
use std::sync::Arc;

use super::group::ClassicGroup;
use super::state::ClassicState;
use crate::groups::protocol::Subscription;
use crate::runtime::Now;
use std::collections::BTreeSet;
use watershed_protocol::messages::join_group::JoinGroupRequestProtocol;

/// The smallest table of a Java hash map.
const JAVA_TABLE_MIN: u32 = 16;

impl ClassicGroup {
    /// Whether a member with these protocols can be in the group: with one, at least, that all others can use.
    pub(super) fn supports_protocols(&self, protocol_type: &str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        if self.is_in(ClassicState::Empty) {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let of_all = |name: &str| self.supported_protocols.get(name).copied().unwrap_or(0) == self.members.len();
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.iter().any(|protocol| of_all(&protocol.name))
    }

    /// The protocols that all members can use.
    pub(in crate::groups) fn candidate_protocols(&self) -> impl Iterator<Item = &Arc<str>> {
        let all = self.members.len();
        self.supported_protocols.iter().filter(move |(_, count)| **count == all).map(|(name, _)| name)
    }

    /// The protocol that most members prefer among those that all can use. `None` without members.
    ///
    /// Of equally many votes Kafka takes what comes first in its hash map of names, and so does this.
    pub(in crate::groups) fn select_protocol(&self) -> Option<Arc<str>> {
        let all = self.members.len();
        let is_candidate = |name: &str| self.supported_protocols.get(name).is_some_and(|count| *count == all);
        let mut votes: Vec<(&Arc<str>, usize)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for member in self.members.values() {
            let Some(choice) = member.protocols.iter().map(|own| &own.name).find(|name| is_candidate(name)) else {
                continue;
            };
            let place = *places.entry(choice).or_insert_with(|| {
                votes.push((choice, 0));
                votes.len() - 1
            });
            votes[place].1 += 1;
        }
        most_votes(&votes)
    }

    /// Makes someone who has joined again the leader, if the leader has not. Tells whether anyone has.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |id: &Arc<str>| self.members.get(id).is_some_and(|member| member.is_awaiting_join());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let joined = self.members.values().find(|member| member.is_awaiting_join());
        let Some(member_id) = joined.map(|member| member.member_id.clone()) else { return false };
        if let Some(leader) = self.leader.replace(member_id) {
            tracing::info!(group = %self.group_id, %leader, "the leader did not join again in time: another member leads");
        }
        true
    }

    /// Begins the next generation: with a protocol for its members, or empty.
    pub(super) fn begin_generation(&mut self, now: Now) {
        // Kafka lets the number wrap around. A negative one would look like a commit from outside the group.
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.protocol_name = self.select_protocol();
        self.subscribed_topics = self.compute_subscribed_topics();
        let next = if self.members.is_empty() { ClassicState::Empty } else { ClassicState::CompletingRebalance };
        self.transition_to(next, now);
        self.pending_sync.clear();
        self.storing = None;
    }

    /// The topics that the members subscribe to. `None` if they are no consumers, or what they say cannot be read.
    pub(in crate::groups) fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let metadata = member.metadata(self.protocol_name.as_ref()?)?;
            let Some(of_member) = Subscription::decode_topics(metadata) else {
                tracing::warn!(
                    group = %self.group_id, member = %member.member_id,
                    "a member's subscription cannot be read: which topics the group subscribes to is unknown",
                );
                return None;
            };
            topics.extend(of_member);
        }
        Some(topics)
    }
}

/// The name with most votes; of several, the one that comes first in a Java hash map into which they were put in this order.
fn most_votes(votes: &[(&Arc<str>, usize)]) -> Option<Arc<str>> {
    let table = java_table(votes.len());
    let place = |(at, (name, count)): &(usize, &(&Arc<str>, usize))| {
        (std::cmp::Reverse(*count), java_hash(name) & (table - 1), *at)
    };
    votes.iter().enumerate().min_by_key(place).map(|(_, (name, _))| (*name).clone())
}

/// `String.hashCode`, with its halves mixed as `java.util.HashMap` does.
fn java_hash(text: &str) -> u32 {
    let hash = text.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    hash ^ (hash >> 16)
}

/// The size of a Java hash map's table with this many entries: at most three quarters are used.
fn java_table(entries: usize) -> u32 {
    let entries = u32::try_from(entries).unwrap_or(u32::MAX / 4);
    let mut table = JAVA_TABLE_MIN;
    while entries > table / 4 * 3 {
        table = table.saturating_mul(2);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_are_decided_by_javas_table() {
        // The first keys of java.util.HashMap (OpenJDK 17) with these names.
        let numbered = |count: usize| (0..count).map(|at| format!("p{at}")).collect::<Vec<_>>();
        let check = |names: &[&str], expected: &str| {
            let names: Vec<Arc<str>> = names.iter().map(|name| (*name).into()).collect();
            let votes: Vec<_> = names.iter().map(|name| (name, 1)).collect();
            assert_eq!(most_votes(&votes).as_deref(), Some(expected), "{names:?}");
        };
        check(&["range", "roundrobin"], "range");
        check(&["roundrobin", "range"], "range");
        check(&["range", "sticky"], "sticky");
        check(&["cooperative-sticky", "range"], "range");
        check(&["RoundRobinAssigner", "range"], "range");
        check(&["roundrobin", "sticky", "range", "cooperative-sticky"], "sticky");
        // The same hash: the first one.
        check(&["Aa", "BB", "range"], "Aa");
        check(&["BB", "Aa", "range"], "BB");
        check(&["\u{e9}\u{1f600}", "x"], "\u{e9}\u{1f600}");
        for count in [12, 13, 24, 25] {
            let names = numbered(count);
            check(&names.iter().map(String::as_str).collect::<Vec<_>>(), "p0");
        }
    }
}
