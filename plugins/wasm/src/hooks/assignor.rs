//! The hook `assignor`.

use wasmtime::component::{ComponentType, Lift, Lower};
use watershed_hooks::{Assignor, Failure, GroupAssignment, GroupMember, GroupSpec, GroupTopic, TopicPartition};

use super::{Guest, Signature};
use crate::abi::OwnColumn;

/// `assignor.group-topic`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Topic {
    name: String,
    id: Vec<u8>,
    partitions: u32,
    #[component(name = "rack-ends")]
    rack_ends: Vec<u32>,
    racks: OwnColumn,
}

/// `assignor.topic-partition`.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Place {
    topic: u32,
    partition: u32,
}

/// `assignor.group-member`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Member {
    #[component(name = "member-id")]
    member_id: String,
    #[component(name = "instance-id")]
    instance_id: Option<String>,
    rack: Option<String>,
    topics: Vec<u32>,
    owned: Vec<Place>,
    #[component(name = "user-data")]
    user_data: Vec<u8>,
}

/// `assignor.group`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Group {
    topics: Vec<Topic>,
    members: Vec<Member>,
    homogeneous: bool,
}

/// `assignor.assignment`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Assignment {
    ends: Vec<u32>,
    partitions: Vec<Place>,
}

/// `assignor.assign`.
pub(crate) enum AssignorFn {}

impl Signature for AssignorFn {
    type Params = (Group,);
    type Answer = Assignment;
}

impl Assignor for Guest<AssignorFn> {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        let members = group.members().len();
        let group = Group {
            topics: group.topics().iter().map(topic).collect::<Result<_, _>>()?,
            members: group.members().iter().map(member).collect(),
            homogeneous: group.is_homogeneous(),
        };
        self.ask(None, |_| (group,), |answer| read(&answer, members))
    }
}

fn topic(topic: &GroupTopic<'_>) -> Result<Topic, Failure> {
    let too_large = |_| Failure::Permanent(format!("the racks of topic {} are too many", topic.name));
    let (mut rack_ends, mut racks) = (Vec::new(), OwnColumn::default());
    if topic.racks.iter().any(|of_partition| !of_partition.is_empty()) {
        for partition in 0..topic.partitions {
            for rack in topic.partition_racks(partition) {
                racks.data.extend_from_slice(rack.as_bytes());
                racks.ends.push(u32::try_from(racks.data.len()).map_err(too_large)?);
            }
            rack_ends.push(u32::try_from(racks.ends.len()).map_err(too_large)?);
        }
    }
    let GroupTopic { name, id, partitions, .. } = topic;
    Ok(Topic { name: (*name).to_owned(), id: id.0.to_vec(), partitions: *partitions, rack_ends, racks })
}

fn member(member: &GroupMember<'_>) -> Member {
    let GroupMember { member_id, instance_id, rack, topics, owned, user_data } = member;
    let place = |TopicPartition { topic, partition }: &TopicPartition| Place { topic: *topic, partition: *partition };
    Member {
        member_id: (*member_id).to_owned(),
        instance_id: instance_id.map(str::to_owned),
        rack: rack.map(str::to_owned),
        topics: topics.clone(),
        owned: owned.iter().map(place).collect(),
        user_data: user_data.to_vec(),
    }
}

fn read(answer: &Assignment, members: usize) -> Result<GroupAssignment, Failure> {
    let Assignment { ends, partitions } = answer;
    let wrong = |what: String| Err(Failure::wrong_answer(format!("the assignment: {what}")));
    if ends.len() != members {
        return wrong(format!("it is for {} members, the group has {members}", ends.len()));
    }
    if !ends.is_sorted() {
        return wrong("the ends must not fall".to_owned());
    }
    let end = ends.last().map_or(0, |end| *end as usize);
    if end != partitions.len() {
        return wrong(format!("there are {} partitions, and the last end is {end}", partitions.len()));
    }
    let mut begin = 0;
    let given = ends.iter().map(|end| {
        let of_member = &partitions[begin..*end as usize];
        begin = *end as usize;
        of_member
            .iter()
            .map(|Place { topic, partition }| TopicPartition { topic: *topic, partition: *partition })
            .collect()
    });
    Ok(GroupAssignment { members: given.collect() })
}
