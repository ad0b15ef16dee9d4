//! The built-in assignors, through the same door as everyone: factories, groups, checked answers.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use watershed_hooks::{
    Assignor, Environment, GroupAssignment, GroupMember, GroupSpec, GroupTopic, Hook, Settings, TopicPartition,
    assign_group,
};
use watershed_model::TopicId;

use super::factories;

const NAMES: [&str; 4] = ["range", "uniform", "round-robin", "sticky"];

fn assignor(name: &str) -> Box<dyn Assignor> {
    let factory = factories().into_iter().find(|factory| factory.name() == name).unwrap();
    let environment = Environment::with_random(|| 0);
    match factory.create(&Settings::new(), &environment).unwrap() {
        Hook::Assignor(assignor) => assignor,
        other => panic!("{name} is a {}", other.kind()),
    }
}

/// A group that owns its texts.
#[derive(Clone, Debug, Default)]
struct World {
    /// Name, number of partitions, and racks: one letter for each replica, one word for each partition.
    topics: Vec<(String, u32, String)>,
    members: Vec<Someone>,
}

#[derive(Clone, Debug, Default)]
struct Someone {
    id: String,
    instance: Option<String>,
    rack: Option<String>,
    topics: Vec<u32>,
    owned: Vec<TopicPartition>,
}

impl World {
    fn spec(&self) -> GroupSpec<'_> {
        let topics = (0..).zip(&self.topics).map(|(at, (name, partitions, racks))| {
            let racks = racks.split_whitespace();
            let racks = racks.map(|word| word.split("").filter(|rack| !rack.is_empty() && *rack != "-").collect());
            let id = TopicId([(at as u8).wrapping_mul(151).wrapping_add(name.len() as u8); 16]);
            GroupTopic { name, id, partitions: *partitions, racks: racks.collect() }
        });
        let members = self.members.iter().map(|someone| GroupMember {
            member_id: &someone.id,
            instance_id: someone.instance.as_deref(),
            rack: someone.rack.as_deref(),
            topics: someone.topics.clone(),
            owned: someone.owned.clone(),
            user_data: &[],
        });
        GroupSpec::new(topics.collect(), members.collect())
    }

    fn assign(&self, name: &str) -> GroupAssignment {
        let spec = self.spec();
        assign_group(&mut *assignor(name), &spec).unwrap_or_else(|failure| panic!("{name}: {failure}: {self:?}"))
    }

    /// The same group, in which everybody owns what was assigned.
    fn after(&self, assignment: &GroupAssignment) -> Self {
        let mut next = self.clone();
        next.members.sort_by(|a, b| a.id.cmp(&b.id));
        for (member, owned) in next.members.iter_mut().zip(&assignment.members) {
            member.owned.clone_from(owned);
        }
        next
    }
}

/// A group written as text. Topics: `name:partitions` or `name:partitions:ab,c` with racks by partition. Members:
/// `id[/instance][@rack]: topic... [= topic-partition...]`.
fn world(topics: &str, members: &[&str]) -> World {
    let topics: Vec<(String, u32, String)> = topics
        .split_whitespace()
        .map(|text| {
            let parts: Vec<&str> = text.split(':').collect();
            let racks = parts.get(2).unwrap_or(&"").replace(',', " ");
            (parts[0].to_owned(), parts[1].parse().unwrap(), racks)
        })
        .collect();
    let number = |name: &str| topics.iter().position(|topic| topic.0 == name).unwrap() as u32;
    let member = |text: &&str| {
        let (who, what) = text.split_once(':').unwrap();
        let (who, rack) = who.split_once('@').map_or((who, None), |(who, rack)| (who, Some(rack.to_owned())));
        let (id, instance) = who.split_once('/').map_or((who, None), |(id, name)| (id, Some(name.to_owned())));
        let (subscribed, owned) = what.split_once('=').unwrap_or((what, ""));
        let place = |text: &str| {
            let (topic, partition) = text.rsplit_once('-').unwrap();
            TopicPartition { topic: number(topic), partition: partition.parse().unwrap() }
        };
        Someone {
            id: id.to_owned(),
            instance,
            rack,
            topics: subscribed.split_whitespace().map(number).collect(),
            owned: owned.split_whitespace().map(place).collect(),
        }
    };
    let members = members.iter().map(member).collect();
    World { topics, members }
}

/// What each member got, as text: `id: topic-partition...`.
fn shown(world: &World, assignment: &GroupAssignment) -> Vec<String> {
    let spec = world.spec();
    let place = |place: &TopicPartition| format!("{}-{}", spec.topics()[place.topic as usize].name, place.partition);
    let line = |(member, places): (&GroupMember<'_>, &Vec<TopicPartition>)| {
        let places: Vec<String> = places.iter().map(place).collect();
        format!("{}: {}", member.member_id, places.join(" "))
    };
    spec.members().iter().zip(&assignment.members).map(line).collect()
}

#[test]
fn tables() {
    type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        ("range", "a:3 b:3", &["x: a b", "y: a b"], &["x: a-0 a-1 b-0 b-1", "y: a-2 b-2"]),
        // A static member goes first, a topic that nobody subscribes to is nobody's.
        ("range", "a:3 b:3", &["x: a", "y/one: a"], &["x: a-2", "y: a-0 a-1"]),
        ("range", "a:1 b:4", &["x: a b", "y: b", "z: a"], &["x: a-0 b-0 b-1", "y: b-2 b-3", "z: "]),
        // Each in the rack of its partitions, the two topics alike.
        ("range", "a:2:B,A b:2:B,A", &["x@A: a b", "y@B: a b"], &["x: a-1 b-1", "y: a-0 b-0"]),
        // Racks that nobody shares, and racks that have everything, change nothing.
        ("range", "a:2:C,D", &["x@A: a", "y@B: a"], &["x: a-0", "y: a-1"]),
        ("range", "a:2:BA,AB", &["x@B: a", "y@A: a"], &["x: a-0", "y: a-1"]),
        ("round-robin", "a:2 b:3", &["x: a b", "y: a b"], &["x: a-0 b-0 b-2", "y: a-1 b-1"]),
        ("round-robin", "a:1 b:2 c:3", &["x: a", "y: a b", "z: a b c"], &["x: a-0", "y: b-0", "z: b-1 c-0 c-1 c-2"]),
        ("uniform", "a:4", &["x: a = a-1 a-3", "y: a"], &["x: a-1 a-3", "y: a-0 a-2"]),
        ("uniform", "a:4", &["x: a = a-0 a-1 a-2", "y: a"], &["x: a-0 a-1", "y: a-2 a-3"]),
        ("uniform", "a:2 b:2", &["x: a", "y: a b"], &["x: a-0 a-1", "y: b-0 b-1"]),
        ("sticky", "a:4", &["x: a = a-0 a-1 a-2 a-3", "y: a"], &["x: a-0 a-1", "y: a-2 a-3"]),
        // The one more stays with who has it.
        ("sticky", "a:5", &["x: a = a-0 a-1", "y: a = a-2 a-3 a-4"], &["x: a-0 a-1", "y: a-2 a-3 a-4"]),
        // Along a chain: x gives of a to y, who gives of b to z.
        (
            "sticky",
            "a:3 b:3",
            &["x: a = a-0 a-1 a-2", "y: a b = b-0 b-1", "z: b = b-2"],
            &["x: a-0 a-1", "y: a-2 b-0", "z: b-1 b-2"],
        ),
        // It goes where its rack is, unless that would be unfair.
        ("sticky", "a:2:A,B", &["x@B: a = a-0", "y@A: a = a-1"], &["x: a-1", "y: a-0"]),
        ("sticky", "a:4:A,A,A,B", &["x@A: a", "y@B: a"], &["x: a-0 a-1", "y: a-2 a-3"]),
        ("sticky", "a:2:A,B b:1:B", &["x@B: a", "y@A: a b"], &["x: a-1", "y: a-0 b-0"]),
    ];
    for (name, topics, members, want) in cases {
        let world = world(topics, members);
        assert_eq!(shown(&world, &world.assign(name)), *want, "{name} {topics} {members:?}");
    }
}

#[test]
fn nobody_and_nothing() {
    for name in NAMES {
        for (topics, members) in [("", &[][..]), ("a:3", &[][..]), ("a:3", &["x:", "y:"][..]), ("", &["x:"][..])] {
            let assignment = world(topics, members).assign(name);
            assert!(assignment.members.iter().all(Vec::is_empty), "{name} {topics} {members:?}");
            assert_eq!(assignment.members.len(), members.len(), "{name} {topics} {members:?}");
        }
    }
}

fn sizes(assignment: &GroupAssignment) -> Vec<usize> {
    assignment.members.iter().map(Vec::len).collect()
}

/// How many partitions have another owner than before; those whose owner left do not count.
fn moved(before: &World, after: &World) -> usize {
    let owners = |world: &World| -> BTreeMap<TopicPartition, String> {
        let of =
            |member: &Someone| -> Vec<_> { member.owned.iter().map(|place| (*place, member.id.clone())).collect() };
        world.members.iter().flat_map(of).collect()
    };
    let now = owners(after);
    let stayed = |id: &String| after.members.iter().any(|member| member.id == *id);
    owners(before).iter().filter(|(place, owner)| stayed(owner) && now.get(place) != Some(owner)).count()
}

fn topics() -> impl Strategy<Value = Vec<(String, u32, String)>> {
    let racks = proptest::collection::vec("[A-D]{0,3}|-", 0..20).prop_map(|words| words.join(" "));
    let racks = prop_oneof![Just(String::new()), racks];
    proptest::collection::btree_map("[a-z]{1,6}", (1u32..20, racks), 1..8)
        .prop_map(|topics| topics.into_iter().map(|(name, (partitions, racks))| (name, partitions, racks)).collect())
}

fn someone() -> impl Strategy<Value = Someone> {
    let place = (0u32..8, 0u32..20).prop_map(|(topic, partition)| TopicPartition { topic, partition });
    let subscribed = proptest::collection::vec(0u32..8, 0..8);
    let owned = proptest::collection::vec(place, 0..20);
    (proptest::option::of("[i-k]{8}"), proptest::option::of("[A-D]"), subscribed, owned)
        .prop_map(|(instance, rack, topics, owned)| Someone { id: String::new(), instance, rack, topics, owned })
}

/// Any group: claims that cannot be, racks, static members, differing subscriptions.
fn any_world() -> impl Strategy<Value = World> {
    (topics(), proptest::collection::btree_map("[a-z]{1,8}", someone(), 1..20), any::<bool>()).prop_map(
        |(topics, members, alike)| {
            let mut members: Vec<Someone> =
                members.into_iter().map(|(id, someone)| Someone { id, ..someone }).collect();
            if alike {
                let same = members[0].topics.clone();
                members.iter_mut().for_each(|member| member.topics.clone_from(&same));
            }
            World { topics, members }
        },
    )
}

/// A group without racks in which everybody subscribes to everything and owns nothing.
fn plain_world() -> impl Strategy<Value = World> {
    any_world().prop_map(|mut world| {
        let all: Vec<u32> = (0..world.topics.len() as u32).collect();
        for member in &mut world.members {
            *member = Someone { id: member.id.clone(), topics: all.clone(), ..Someone::default() };
        }
        world
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_answer_passes_the_check(world in any_world()) {
        for name in NAMES {
            let first = world.assign(name);
            world.after(&first).assign(name);
        }
    }

    #[test]
    fn equal_subscriptions_get_equal_numbers(mut world in any_world()) {
        let same = world.members[0].topics.clone();
        world.members.iter_mut().for_each(|member| member.topics.clone_from(&same));
        for name in ["uniform", "round-robin", "sticky"] {
            let sizes = sizes(&world.assign(name));
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{name}: {sizes:?}");
        }
    }

    #[test]
    fn range_gives_equally_large_topics_alike(world in plain_world()) {
        let assignment = world.assign("range");
        for (a, topic) in world.topics.iter().enumerate() {
            for b in (0..world.topics.len()).filter(|b| world.topics[*b].1 == topic.1) {
                let of = |topic: usize, places: &[TopicPartition]| -> Vec<u32> {
                    places.iter().filter(|place| place.topic == topic as u32).map(|place| place.partition).collect()
                };
                prop_assert!(assignment.members.iter().all(|places| of(a, places) == of(b, places)));
            }
        }
    }

    #[test]
    fn asking_again_changes_nothing(mut world in any_world()) {
        world.members.iter_mut().for_each(|member| member.rack = None);
        for name in NAMES {
            let first = world.assign(name);
            prop_assert_eq!(&world.after(&first).assign(name), &first, "{}", name);
        }
    }

    /// No one has two partitions more than a subscriber of one of them.
    #[test]
    fn sticky_leaves_no_better_move(mut world in any_world()) {
        world.members.sort_by(|a, b| a.id.cmp(&b.id));
        let assignment = world.assign("sticky");
        let (spec, sizes) = (world.spec(), sizes(&assignment));
        for (giver, places) in assignment.members.iter().enumerate() {
            for place in places {
                for (taker, member) in spec.members().iter().enumerate() {
                    let could = member.topics.contains(&place.topic);
                    prop_assert!(!could || sizes[taker] + 2 > sizes[giver], "{:?} {:?}", place, sizes);
                }
            }
        }
    }

    /// The sum of squares is smallest where no chain of moves makes anything more even, so nobody is more even.
    #[test]
    fn sticky_is_the_most_even(world in any_world()) {
        let uneven = |name| sizes(&world.assign(name)).iter().map(|size| size * size).sum::<usize>();
        for name in NAMES {
            prop_assert!(uneven("sticky") <= uneven(name), "{name}");
        }
    }

    #[test]
    fn a_member_that_leaves_moves_only_its_own(world in plain_world(), leaver in any::<prop::sample::Index>()) {
        for name in ["uniform", "sticky"] {
            let before = world.after(&world.assign(name));
            let mut after = before.clone();
            after.members.remove(leaver.index(after.members.len()));
            prop_assume!(!after.members.is_empty());
            let after = after.after(&after.assign(name));
            prop_assert_eq!(moved(&before, &after), 0, "{}", name);
        }
    }

    #[test]
    fn a_member_that_joins_gets_its_share_and_nothing_else_moves(world in plain_world()) {
        let before = world.after(&world.assign("sticky"));
        let mut after = before.clone();
        let newcomer = Someone { id: "newcomer-id".into(), topics: after.members[0].topics.clone(), ..Someone::default() };
        after.members.push(newcomer);
        let after = after.after(&after.assign("sticky"));
        let total: usize = before.members.iter().map(|member| member.owned.len()).sum();
        prop_assert_eq!(moved(&before, &after), total / after.members.len());
    }
}
