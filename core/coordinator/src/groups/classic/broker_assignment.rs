//! The broker assigns for a classic group, where the operator's rule says so (`assignment = "broker"`).
//!
//! Members go through the same rebalances. What the leader sends in its SyncGroup is ignored: an assignor of the broker decides, and
//! everyone gets its answer in the format of consumers. That is only right for members to whom an assignment means partitions and
//! nothing else, so every protocol that they share must be one of [`KNOWN_PROTOCOLS`]; Kafka Streams, for one, reads its tasks out of
//! what its own leader adds. Otherwise the leader's assignment stands, and [`BrokerAssignment`] counts why.
//!
//! Where the assignor is a plugin, it is asked outside (`groups/question.rs`): until its answer comes, SyncGroups wait as they wait for
//! the leader's. A rebalance that begins in the meantime makes the answer void.
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

use super::group::{AwaitedAssignment, ClassicGroup};
use crate::groups::assignor::{Candidate, Targets};
use crate::groups::consumer::Partitions;
use crate::groups::protocol::{Assignment, Subscription, TopicPartitions};
use crate::groups::question::{Asked, Shown, ShownMember};
use crate::groups::{Answer, BrokerAssignment, Group, GroupCoordinator, GroupTimer, Output};
use crate::runtime::Now;

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

/// What the broker says to an assignment that is due.
pub(super) enum ByBroker {
    /// This is it.
    Assigned(HashMap<Arc<str>, Bytes>),
    /// An assignor outside is asked: SyncGroups wait for its answer as for the leader's.
    Asked(Asked),
}

/// What an assignment is made of.
struct Readers<'a> {
    protocol: &'a str,
    /// The assignor of the rule, or the one like the members' protocol.
    assignor: &'a str,
    members: Vec<Reader<'a>>,
}

impl GroupCoordinator {
    /// What the broker assigns to the members of a generation. `None`: the leader's assignment stands.
    pub(super) fn broker_assignment(&mut self, group_id: &str, now: Now, out: &mut Output) -> Option<ByBroker> {
        let rule = self.rules.rule_for(group_id).filter(|rule| rule.assignment == Decides::Broker)?;
        let Some(Group::Classic(group)) = self.groups.get(group_id) else { return None };
        let readers = self.readers(group, rule.assignor.as_deref());
        let computed = match readers {
            Ok(readers) if self.assignors.is_outside(readers.assignor) => {
                let (shown, assignor) = (readers.shown(&self.image), readers.assignor.to_owned());
                let about = (&Arc::clone(&group.group_id), group.generation);
                return Some(ByBroker::Asked(self.ask_outside(about, &assignor, shown, now, out)));
            }
            Ok(readers) => {
                let target = self.assign(group_id, readers.assignor, &readers.candidates());
                self.encoded(group_id, &readers, target)
            }
            Err(reason) => Err(reason),
        };
        self.decided(group_id, computed).map(ByBroker::Assigned)
    }

    /// An answer has come, or is overdue.
    pub(in crate::groups) fn classic_answered(&mut self, answer: Answer, is_overdue: bool, now: Now, out: &mut Output) {
        let group_id = &answer.group;
        let Some(Group::Classic(group)) = self.groups.get_mut(group_id) else { return };
        let Some(awaited) = group.awaited.take_if(|awaited| awaited.asked.is(answer.number)) else { return };
        let AwaitedAssignment { asked, by_leader } = *awaited;
        let Some(Group::Classic(group)) = self.groups.get(group_id) else { return };
        let rule = self.rules.rule_for(group_id);
        let readers = self.readers(group, rule.and_then(|rule| rule.assignor.as_deref()));
        if let Ok(readers) = &readers
            && !is_overdue
            && let shown = readers.shown(&self.image)
            && !asked.is_about(group.generation, &shown)
        {
            tracing::debug!(group = %group_id, assignor = %asked.assignor, "topics have changed since an assignor was asked");
            let generation = group.generation;
            let asked = self.ask_outside((group_id, generation), &asked.assignor, shown, now, out);
            if let Some(Group::Classic(group)) = self.groups.get_mut(group_id) {
                group.awaited = Some(Box::new(AwaitedAssignment { asked, by_leader }));
            }
            return;
        }
        out.cancel(GroupTimer::Answer(Arc::clone(group_id)));
        let computed = readers.and_then(|readers| {
            let target = answer
                .outcome
                .or_else(|reason| self.assign_instead(group_id, &asked.assignor, &reason, &readers.candidates()));
            self.encoded(group_id, &readers, target)
        });
        let assignment = self.decided(group_id, computed).unwrap_or(by_leader);
        if let Some((group, mut step)) = self.classic(group_id, now, out) {
            group.store_assignment(assignment, &mut step);
        }
    }

    /// Counts who decides.
    fn decided(
        &mut self,
        group_id: &str,
        computed: Result<HashMap<Arc<str>, Bytes>, BrokerAssignment>,
    ) -> Option<HashMap<Arc<str>, Bytes>> {
        let outcome = computed.as_ref().err().copied().unwrap_or(BrokerAssignment::Computed);
        if outcome != BrokerAssignment::Computed {
            tracing::warn!(group = group_id, why = outcome.name(), "the leader assigns, although the broker is to");
        }
        self.counters.broker_assignment(outcome);
        computed.ok()
    }

    /// The members as assignors are to see them; by that assignor, or one like their protocol.
    fn readers<'a>(
        &'a self,
        group: &'a ClassicGroup,
        assignor: Option<&'a str>,
    ) -> Result<Readers<'a>, BrokerAssignment> {
        if !group.uses_consumer_protocol() {
            return Err(BrokerAssignment::NotConsumers);
        }
        let protocol = group.protocol_name.as_deref().unwrap_or_default();
        if !group.candidate_protocols().all(|name| assignor_like(name).is_some()) {
            return Err(BrokerAssignment::UnknownProtocol);
        }
        let like = assignor_like(protocol).ok_or(BrokerAssignment::UnknownProtocol)?;
        let members = read_members(group, protocol, &self.image)?;
        Ok(Readers { protocol, assignor: assignor.unwrap_or(like), members })
    }

    /// An assignment in the members' terms.
    fn encoded(
        &self,
        group_id: &str,
        readers: &Readers<'_>,
        target: Result<Targets, String>,
    ) -> Result<HashMap<Arc<str>, Bytes>, BrokerAssignment> {
        let target = target.map_err(|reason| {
            tracing::error!(group = group_id, reason, "no assignor of the broker could assign");
            BrokerAssignment::NoAssignor
        })?;
        let members = &readers.members;
        let given = if readers.protocol == COOPERATIVE { without_held(&target, members) } else { target };
        let encode = |member: &Reader<'_>| {
            let partitions = given.get(member.member_id).map(|given| by_name(given, &self.image)).unwrap_or_default();
            let assignment = Assignment { partitions, user_data: None };
            (member.member_id.clone(), assignment.encode(member.subscription.version))
        };
        Ok(members.iter().map(encode).collect())
    }
}

impl ClassicGroup {
    /// The question to an assignor outside that is under way.
    pub(in crate::groups) fn asked(&self) -> Option<&Asked> {
        self.awaited.as_ref().map(|awaited| &awaited.asked)
    }

    /// No answer is waited for any more.
    pub(in crate::groups) fn forget_question(&mut self, out: &mut Output) {
        if self.awaited.take().is_some() {
            out.cancel(GroupTimer::Answer(Arc::clone(&self.group_id)));
        }
    }
}

impl Readers<'_> {
    fn candidates(&self) -> Vec<Candidate<'_>> {
        self.members.iter().map(Reader::candidate).collect()
    }

    fn shown(&self, image: &Arc<MetadataImage>) -> Shown {
        let member = |member: &Reader<'_>| ShownMember {
            member_id: Arc::clone(member.member_id),
            instance_id: member.instance_id.map(Arc::from),
            rack: member.subscription.rack_id.as_deref().map(Arc::from),
            topics: Arc::new(member.subscription.topics.iter().cloned().collect()),
            matched: None,
            owned: Arc::new(member.owned.clone()),
            user_data: member.subscription.user_data.clone().unwrap_or_default(),
        };
        Shown::new(image, self.members.iter().map(member).collect())
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
