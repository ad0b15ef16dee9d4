//! What a group becomes, and which answers of an assignor are refused.
#![allow(clippy::unwrap_used)]

use watershed_model::TopicId;

use super::*;
use crate::{GroupMember, by_topic};

struct Says(Result<GroupAssignment, Failure>);

impl Assignor for Says {
    fn assign(&mut self, _: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        self.0.clone()
    }
}

fn topic(name: &str, partitions: u32) -> GroupTopic<'_> {
    GroupTopic { name, id: TopicId([partitions as u8; 16]), partitions, racks: Vec::new() }
}

fn places(of: &[(u32, u32)]) -> Vec<TopicPartition> {
    of.iter().map(|(topic, partition)| TopicPartition { topic: *topic, partition: *partition }).collect()
}

fn member<'a>(member_id: &'a str, topics: &[u32], owned: &[(u32, u32)]) -> GroupMember<'a> {
    GroupMember { member_id, topics: topics.to_vec(), owned: places(owned), ..GroupMember::default() }
}

/// Topics clicks (1 partition), orders (2) and views (1); a subscribes to the first two, b to orders, nobody to views.
fn group() -> GroupSpec<'static> {
    let topics = vec![topic("clicks", 1), topic("orders", 2), topic("views", 1)];
    GroupSpec::new(topics, vec![member("b", &[1], &[]), member("a", &[0, 1], &[])])
}

#[test]
fn answers_are_checked() {
    type Given<'a> = &'a [&'a [(u32, u32)]];
    let cases: &[(Given<'_>, Result<(), &str>)] = &[
        (&[&[(1, 1), (0, 0)], &[(1, 0)]], Ok(())),
        (&[&[(0, 0), (1, 0), (1, 1)], &[]], Ok(())),
        (&[&[(0, 0), (1, 0), (1, 1)]], Err("the assignor answered for 1 members, the group has 2")),
        (&[&[(3, 0)], &[]], Err("the assignor named topic 3, the group has 3")),
        (&[&[(0, 1)], &[]], Err("the assignor named partition 1 of topic clicks, which has 1")),
        (&[&[], &[(0, 0)]], Err("the assignor gave topic clicks to member b, who does not subscribe to it")),
        (&[&[(2, 0)], &[]], Err("the assignor gave topic views to member a, who does not subscribe to it")),
        (
            &[&[(0, 0), (1, 0)], &[(1, 0)]],
            Err("the assignor gave partition 0 of topic orders twice, to member a and to b"),
        ),
        (&[&[(0, 0), (0, 0)], &[]], Err("the assignor gave partition 0 of topic clicks twice, to member a and to a")),
        (&[&[(0, 0), (1, 0)], &[]], Err("the assignor gave partition 1 of topic orders to nobody")),
    ];
    for (given, want) in cases {
        let answer = GroupAssignment { members: given.iter().map(|of| places(of)).collect() };
        let seen = assign_group(&mut Says(Ok(answer)), &group());
        assert_eq!(seen.as_ref().map(drop).map_err(ToString::to_string), want.map_err(str::to_owned), "{given:?}");
        if let Ok(assignment) = seen {
            assert!(assignment.members.iter().all(|of| of.is_sorted()), "{given:?}");
        }
    }
    let later = Failure::Retriable("not now".into());
    assert_eq!(assign_group(&mut Says(Err(later.clone())), &group()), Err(later));
}

#[test]
fn a_group_is_put_in_order() {
    let topics = || vec![topic("clicks", 2), topic("orders", 2)];
    let members = vec![member("b", &[1, 9, 0, 1], &[(1, 1), (0, 0), (0, 7), (5, 0)]), member("a", &[0, 1], &[(0, 0)])];
    let spec = GroupSpec::new(topics(), members);
    assert_eq!(spec.members(), [member("a", &[0, 1], &[(0, 0)]), member("b", &[0, 1], &[(1, 1)])]);
    assert!(spec.is_homogeneous() && !spec.heterogeneous().is_homogeneous());
    let mixed = GroupSpec::new(topics(), vec![member("a", &[0], &[]), member("b", &[1], &[])]);
    assert!(!mixed.is_homogeneous());
    let list = places(&[(0, 1), (0, 2), (3, 0)]);
    assert_eq!(by_topic(&list).collect::<Vec<_>>(), [(0, &list[..2]), (3, &list[2..])]);
}

#[test]
#[should_panic(expected = "sorted by name")]
fn topics_in_disorder_are_a_mistake_of_the_caller() {
    drop(GroupSpec::new(vec![topic("orders", 1), topic("clicks", 1)], Vec::new()));
}
