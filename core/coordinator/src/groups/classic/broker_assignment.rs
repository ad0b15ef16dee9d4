//! The broker assigns for a classic group, where the operator's rule says so (`assignment = "broker"`).
//!
//! Members go through the same rebalances. What the leader sends in its SyncGroup is ignored: an assignor of the broker decides, and
//! everyone gets its answer in the format of consumers. That is only right for members to whom an assignment means partitions and
//! nothing else, so every protocol that they share must be one of [`KNOWN_PROTOCOLS`]; Kafka Streams, for one, reads its tasks out of
//! what its own leader adds. Otherwise the leader's assignment stands, and [`BrokerAssignment`] counts why.
//!
//! Members that give up partitions only when told to (KIP-429) get the answer in two steps, as Java's `CooperativeStickyAssignor`
//! gives it: a partition that another member still holds is left out. Its owner gives it up and joins again, and the next
//! generation assigns it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use watershed_metadata::MetadataImage;
use watershed_metadata::configs::Assignment as Decides;
use watershed_model::TopicId;

use super::group::ClassicGroup;
use crate::groups::assignor::Candidate;
use crate::groups::consumer::Partitions;
use crate::groups::protocol::{Assignment, Subscription, TopicPartitions};
use crate::groups::{BrokerAssignment, Group, GroupCoordinator};

/// The protocol whose members give up partitions when told to.
const COOPERATIVE: &str = "cooperative-sticky";

/// Protocols whose assignments say which partitions a member gets and nothing else, and the broker's assignor that does the same.
///
/// The first four are the Java client's, and those of librdkafka, kafka-python, aiokafka, franz-go, sarama and kafka-go. Then
/// kafkajs' and brod's own names.
const KNOWN_PROTOCOLS: [(&str, &str); 6] = [
    ("range", "range"),
    ("roundrobin", "round-robin"),
    ("sticky", "sticky"),
    (COOPERATIVE, "sticky"),
    ("RoundRobinAssigner", "round-robin"),
    ("roundrobin_v2", "round-robin"),
];

fn assignor_like(protocol: &str) -> Option<&'static str> {
    KNOWN_PROTOCOLS.iter().find(|(name, _)| *name == protocol).map(|(_, assignor)| *assignor)
}

/// A member that can be read.
struct Reader<'a> {
    member_id: &'a Arc<str>,
    instance_id: Option<&'a str>,
    subscription: Subscription,
    /// What it says it holds.
    claimed: Partitions,
    /// What it counts as owning when partitions are to stay where they are.
    owned: Partitions,
}

impl GroupCoordinator {
    /// What the broker assigns to the members of a generation. `None`: the leader's assignment stands.
    pub(super) fn broker_assignment(&mut self, group_id: &str) -> Option<HashMap<Arc<str>, Bytes>> {
        let rule = self.rules.rule_for(group_id).filter(|rule| rule.assignment == Decides::Broker)?;
        let Some(Group::Classic(group)) = self.groups.get(group_id) else { return None };
        let computed = self.compute_assignment(group, rule.assignor.as_deref());
        let outcome = computed.as_ref().err().copied().unwrap_or(BrokerAssignment::Computed);
        if outcome != BrokerAssignment::Computed {
            tracing::warn!(group = group_id, why = outcome.name(), "the leader assigns, although the broker is to");
        }
        self.counters.broker_assignment(outcome);
        computed.ok()
    }

    fn compute_assignment(
        &self,
        group: &ClassicGroup,
        assignor: Option<&str>,
    ) -> Result<HashMap<Arc<str>, Bytes>, BrokerAssignment> {
        if !group.uses_consumer_protocol() {
            return Err(BrokerAssignment::NotConsumers);
        }
        let protocol = group.protocol_name.as_deref().unwrap_or_default();
        if !group.candidate_protocols().all(|name| assignor_like(name).is_some()) {
            return Err(BrokerAssignment::UnknownProtocol);
        }
        let like = assignor_like(protocol).ok_or(BrokerAssignment::UnknownProtocol)?;
        let members = read_members(group, protocol, &self.image)?;
        let candidates: Vec<_> = members.iter().map(Reader::candidate).collect();
        let target = self.assign(&group.group_id, assignor.unwrap_or(like), &candidates).map_err(|reason| {
            tracing::error!(group = %group.group_id, reason, "no assignor of the broker could assign");
            BrokerAssignment::NoAssignor
        })?;
        let given = if protocol == COOPERATIVE { without_held(&target, &members) } else { target };
        let encode = |member: &Reader<'_>| {
            let partitions = given.get(member.member_id).map(|given| by_name(given, &self.image)).unwrap_or_default();
            let assignment = Assignment { partitions, user_data: None };
            (member.member_id.clone(), assignment.encode(member.subscription.version))
        };
        Ok(members.iter().map(encode).collect())
    }
}

impl Reader<'_> {
    fn candidate(&self) -> Candidate<'_> {
        Candidate {
            member_id: self.member_id,
            instance_id: self.instance_id,
            rack: self.subscription.rack_id.as_deref(),
            topics: self.subscription.topics.iter().map(String::as_str).collect(),
            owned: &self.owned,
            user_data: self.subscription.user_data.as_deref().unwrap_or_default(),
        }
    }

    /// The generation in which it got what it holds. Before version 2, Java's assignor kept it in the user data.
    fn generation(&self) -> i32 {
        let in_user_data = || <[u8; 4]>::try_from(self.subscription.user_data.as_deref()?).ok().map(i32::from_be_bytes);
        match self.subscription.generation_id {
            generation if generation >= 0 => generation,
            unknown => in_user_data().unwrap_or(unknown),
        }
    }
}

fn read_members<'a>(
    group: &'a ClassicGroup,
    protocol: &str,
    image: &MetadataImage,
) -> Result<Vec<Reader<'a>>, BrokerAssignment> {
    let read = |member: &'a super::ClassicMember| {
        let subscription = Subscription::decode(member.metadata(protocol)?)?;
        let claimed = by_id(&subscription.owned_partitions, image);
        let instance_id = member.instance_id.as_deref();
        Some(Reader { member_id: &member.member_id, instance_id, subscription, claimed, owned: Partitions::NONE })
    };
    let members: Option<Vec<_>> = group.members().map(read).collect();
    let mut members = members.ok_or(BrokerAssignment::UnreadableSubscription)?;
    if protocol == COOPERATIVE {
        let owners = owners(&members);
        for (index, member) in members.iter_mut().enumerate() {
            let is_owner = |topic, partition| owners.get(&(topic, partition)) == Some(&Some(index));
            member.owned = member.claimed.filter(is_owner);
        }
    } else {
        // They gave up everything before they joined. What they had is in the group's last record.
        let last: BTreeMap<&str, &Bytes> = match &group.written {
            Some(value) => value.members.iter().map(|member| (&*member.member_id, &member.assignment)).collect(),
            None => BTreeMap::new(),
        };
        for member in &mut members {
            let assignment = last.get(&**member.member_id).and_then(|bytes| Assignment::decode(bytes));
            member.owned = by_id(&assignment.unwrap_or_default().partitions, image);
        }
    }
    Ok(members)
}

/// Who owns what is claimed: of several, who got it in the latest generation. Nobody, if that is unclear.
fn owners(members: &[Reader<'_>]) -> HashMap<(TopicId, i32), Option<usize>> {
    let mut owners: HashMap<(TopicId, i32), (i32, Option<usize>)> = HashMap::new();
    for (index, member) in members.iter().enumerate() {
        let generation = member.generation();
        for claim in member.claimed.iter() {
            let (latest, owner) = owners.entry(claim).or_insert((generation, Some(index)));
            if *latest < generation {
                (*latest, *owner) = (generation, Some(index));
            } else if *latest == generation && *owner != Some(index) {
                *owner = None;
            }
        }
    }
    owners.into_iter().map(|(claim, (_, owner))| (claim, owner)).collect()
}

/// Leaves out what goes to a member that does not hold it while another one does.
fn without_held(target: &BTreeMap<Arc<str>, Partitions>, members: &[Reader<'_>]) -> BTreeMap<Arc<str>, Partitions> {
    let held: BTreeSet<(TopicId, i32)> = members.iter().flat_map(|member| member.claimed.iter()).collect();
    let given = members.iter().filter_map(|member| {
        let may_have =
            |topic, partition| member.claimed.contains(topic, partition) || !held.contains(&(topic, partition));
        Some((member.member_id.clone(), target.get(member.member_id)?.filter(may_have)))
    });
    given.collect()
}

/// Partitions of topics that exist, by topic id.
fn by_id(partitions: &[TopicPartitions], image: &MetadataImage) -> Partitions {
    let known = partitions.iter().filter_map(|of_topic| {
        let topic = image.topic_by_name(&of_topic.topic)?;
        let exists = |partition: &i32| (0..topic.partition_count()).contains(partition);
        Some((topic.id(), of_topic.partitions.iter().copied().filter(exists).collect()))
    });
    known.collect()
}

/// Partitions as consumers are told of them, in the order of the topics' names.
fn by_name(partitions: &Partitions, image: &MetadataImage) -> Vec<TopicPartitions> {
    let named = partitions.topics().filter_map(|(id, of_topic)| {
        Some(TopicPartitions { topic: image.topic_by_id(&id)?.name().to_string(), partitions: of_topic.to_vec() })
    });
    let mut named: Vec<_> = named.collect();
    named.sort_by(|a, b| a.topic.cmp(&b.topic));
    named
}
