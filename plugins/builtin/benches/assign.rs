//! The built-in assignors on a group of 1,000 members and 10,000 partitions: at first, when a member
//! left, when one joined, when the half left, and when it came back.
//!
//! Two shapes: everybody subscribes to the same 10 topics of 1,000 partitions, and each to its own third of 100 topics of 100.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use watershed_hooks::{
    Assignor, Environment, GroupAssignment, GroupMember, GroupSpec, GroupTopic, Hook, HookKind, Settings, assign_group,
};
use watershed_model::TopicId;

const MEMBERS: usize = 1000;
const PARTITIONS: u32 = 10_000;

/// Scatters numbers: SplitMix64.
fn scatter(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The names of a group's topics and members, and who subscribes to what.
struct Shape {
    topics: Vec<String>,
    /// One more than [`MEMBERS`]: the last joins.
    members: Vec<String>,
    subscriptions: Vec<Vec<u32>>,
}

impl Shape {
    fn new(topics: u32, subscribes: impl Fn(u64, u32) -> bool) -> Self {
        let of = |member: u64| (0..topics).filter(|topic| subscribes(member, *topic)).collect();
        Self {
            topics: (0..topics).map(|topic| format!("orders-{topic:03}")).collect(),
            members: (0..=MEMBERS as u64)
                .map(|n| format!("{:016x}-{:016x}", scatter(2 * n), scatter(2 * n + 1)))
                .collect(),
            subscriptions: (0..=MEMBERS as u64).map(of).collect(),
        }
    }

    /// The group of some of the members, which own what `before` says.
    fn spec(
        &self,
        members: impl Iterator<Item = usize>,
        before: Option<&(GroupSpec<'_>, GroupAssignment)>,
    ) -> GroupSpec<'_> {
        let partitions = PARTITIONS / self.topics.len() as u32;
        let topics = (0u64..).zip(&self.topics).map(|(n, name)| {
            let id = TopicId((u128::from(scatter(n)) << 64 | u128::from(scatter(n + 7))).to_be_bytes());
            GroupTopic { name, id, partitions, racks: Vec::new() }
        });
        let owned = |id: &str| {
            let (spec, assignment) = before?;
            let at = spec.members().binary_search_by_key(&id, |member| member.member_id).ok()?;
            Some(assignment.members[at].clone())
        };
        let members = members.map(|n| GroupMember {
            member_id: &self.members[n],
            topics: self.subscriptions[n].clone(),
            owned: owned(&self.members[n]).unwrap_or_default(),
            ..GroupMember::default()
        });
        GroupSpec::new(topics.collect(), members.collect())
    }
}

fn assignor(name: &str) -> Box<dyn Assignor> {
    let factories = watershed_builtin::factories();
    let factory =
        factories.iter().find(|factory| factory.hook() == HookKind::Assignor && factory.name() == name).unwrap();
    match factory.create(&Settings::new(), &Environment::with_random(|| 0)).unwrap() {
        Hook::Assignor(assignor) => assignor,
        other => panic!("{name} is a {}", other.kind()),
    }
}

fn assign(criterion: &mut Criterion) {
    let shapes = [
        ("equal", Shape::new(10, |_, _| true)),
        ("differing", Shape::new(100, |member, topic| scatter(member * 100 + u64::from(topic)).is_multiple_of(3))),
    ];
    for (shape_name, shape) in &shapes {
        for name in ["range", "uniform", "round-robin", "sticky"] {
            let mut assignor = assignor(name);
            let fresh = shape.spec(0..MEMBERS, None);
            let assignment = assign_group(&mut *assignor, &fresh).unwrap();
            let before = (fresh.clone(), assignment);
            let left = shape.spec(1..MEMBERS, Some(&before));
            let joined = shape.spec(0..=MEMBERS, Some(&before));
            let halved = shape.spec(MEMBERS / 2..MEMBERS, Some(&before));
            let assignment = assign_group(&mut *assignor, &halved).unwrap();
            let doubled = shape.spec(0..MEMBERS, Some(&(halved.clone(), assignment)));
            let events =
                [("fresh", &fresh), ("left", &left), ("joined", &joined), ("halved", &halved), ("doubled", &doubled)];
            for (event, spec) in events {
                criterion.bench_function(&format!("{name}/{shape_name}/{event}"), |bencher| {
                    bencher.iter(|| assign_group(&mut *assignor, black_box(spec)).unwrap());
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = assign
}
criterion_main!(benches);
