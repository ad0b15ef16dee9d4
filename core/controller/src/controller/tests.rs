//! Tests of the controller: tables of requests and replies, and random histories.

#![allow(clippy::unwrap_used)]

mod configs;
mod history;
mod internal;

use watershed_metadata::{
    ConfigResource, Endpoint, FeatureRange, MetadataImage, MetadataRecord, SecurityProtocol, supported_features,
};
use watershed_model::{BrokerId, ClusterId, LeaderEpoch, Offset, ProducerId, TopicId, TopicIdPartition};

use super::{Controller, Outcome};
use crate::{
    ConfigOp, ConfigTarget, ControllerError, CreatePartitions, CreateTopic, FeatureUpdate, IncrementalAlter,
    RegisterBroker, ReplaceConfigs, TopicRef, UpgradeType,
};

fn broker(id: i32, rack: Option<&str>) -> RegisterBroker {
    let endpoint = Endpoint {
        name: "P".to_owned(),
        host: "h".to_owned(),
        port: 9092,
        security_protocol: SecurityProtocol::Plaintext,
    };
    RegisterBroker {
        broker: BrokerId(id),
        incarnation: [1; 16],
        listeners: vec![endpoint],
        rack: rack.map(str::to_owned),
        features: supported_features(),
    }
}

/// A controller, its image, and a counter of topic ids.
struct World {
    controller: Controller,
    image: MetadataImage,
    next_id: u8,
}

impl World {
    fn new(brokers: i32) -> Self {
        let controller = Controller::new(BrokerId(1), Default::default());
        let image = MetadataImage::default().apply_batch(&controller.bootstrap(ClusterId::ZERO)).unwrap().0;
        let mut world = Self { controller, image, next_id: 0 };
        for id in 1..=brokers {
            world.register(&broker(id, None)).unwrap();
        }
        world
    }

    fn commit<T>(&mut self, outcome: Outcome<T>) -> T {
        self.image = self.image.apply_batch(&outcome.records).unwrap().0;
        outcome.reply
    }

    fn register(&mut self, request: &RegisterBroker) -> Result<i64, ControllerError> {
        self.commit(self.controller.register_broker(&self.image, request))
    }

    fn create(&mut self, topics: &[CreateTopic], validate_only: bool) -> Vec<Result<(i32, i16), ControllerError>> {
        let next = &mut self.next_id;
        let outcome = self.controller.create_topics(&self.image, topics, validate_only, &mut || {
            *next += 1;
            TopicId([*next; 16])
        });
        let replies = self.commit(outcome).into_iter();
        replies.map(|reply| reply.map(|created| (created.partitions, created.replication_factor))).collect()
    }

    fn create_one(&mut self, topic: CreateTopic) -> Result<(i32, i16), ControllerError> {
        self.create(&[topic], false).remove(0)
    }

    fn alter(&mut self, target: ConfigTarget, name: &str, op: ConfigOp) -> Result<(), ControllerError> {
        let request = [IncrementalAlter { target, ops: vec![(name.to_owned(), op)] }];
        self.commit(self.controller.incremental_alter_configs(&self.image, &request, false)).remove(0)
    }

    fn config(&self, topic: &str, name: &str) -> Option<&str> {
        self.image.topic_by_name(topic).unwrap().configs().get(name).map(String::as_str)
    }
}

fn topic(name: &str, partitions: i32, replication_factor: i16) -> CreateTopic {
    CreateTopic { partitions, replication_factor, ..CreateTopic::with_defaults(name) }
}

fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> CreateTopic {
    let assignments = assignments.iter();
    let assignments = assignments.map(|(partition, ids)| (*partition, ids.iter().copied().map(BrokerId).collect()));
    CreateTopic { assignments: assignments.collect(), ..CreateTopic::with_defaults(name) }
}

fn with_config(name: &str, key: &str, value: Option<&str>) -> CreateTopic {
    CreateTopic { configs: vec![(key.to_owned(), value.map(str::to_owned))], ..CreateTopic::with_defaults(name) }
}

/// What a case must give: the reply, or how the error begins.
type Expected<T> = Result<T, &'static str>;

/// The variant's name and the text: what the broker maps, and what a person reads.
fn told(error: &ControllerError) -> String {
    let debug = format!("{error:?}");
    let variant: String = debug.chars().take_while(|c| c.is_alphabetic()).collect();
    format!("{variant}: {error}")
}

#[test]
fn topics_are_created_or_refused_as_in_kafka() {
    let mut world = World::new(2);
    world.create_one(topic("there.is_one", 1, 1)).unwrap();
    let long = "x".repeat(250);
    let at_limit = "x".repeat(249);
    let cases: Vec<(CreateTopic, Expected<(i32, i16)>)> = vec![
        (topic("plain", 3, 2), Ok((3, 2))),
        (CreateTopic::with_defaults("defaults"), Ok((1, 1))),
        (topic(&at_limit, 1, 1), Ok((1, 1))),
        (topic("", 1, 1), Err("InvalidTopic: Topic name is invalid: the empty string is not allowed")),
        (topic(".", 1, 1), Err("InvalidTopic: Topic name is invalid: '.' is not allowed")),
        (topic("..", 1, 1), Err("InvalidTopic: Topic name is invalid: '..' is not allowed")),
        (topic(&long, 1, 1), Err("InvalidTopic: Topic name is invalid: the length of ")),
        (topic("sp ace", 1, 1), Err("InvalidTopic: Topic name is invalid: 'sp ace' contains one or more")),
        (topic("ümlaut", 1, 1), Err("InvalidTopic: ")),
        (topic("a/b", 1, 1), Err("InvalidTopic: ")),
        (topic("__cluster_metadata", 1, 1), Err("InvalidRequest: ")),
        (topic("there.is_one", 1, 1), Err("TopicAlreadyExists: Topic 'there.is_one' already exists.")),
        (
            topic("there_is.one", 1, 1),
            Err("InvalidTopic: Topic 'there_is.one' collides with existing topic: there.is_one"),
        ),
        (topic("p0", 0, 1), Err("InvalidPartitions: Number of partitions was set to an invalid non-positive value.")),
        (topic("p-2", -2, 1), Err("InvalidPartitions: ")),
        (topic("r0", 1, 0), Err("InvalidReplicationFactor: Replication factor must be larger than 0, or -1")),
        (topic("r-2", 1, -2), Err("InvalidReplicationFactor: ")),
        (topic("r3", 1, 3), Err("InvalidReplicationFactor: Unable to replicate the partition 3 time(s): ")),
        (assigned("m", &[(1, &[2]), (0, &[1])]), Ok((2, 1))),
        (assigned("m2", &[(0, &[2, 1])]), Ok((1, 2))),
        (
            assigned("m3", &[(0, &[])]),
            Err("InvalidReplicaAssignment: The manual partition assignment includes an empty"),
        ),
        (
            assigned("m4", &[(0, &[9])]),
            Err("InvalidReplicaAssignment: The manual partition assignment includes broker 9"),
        ),
        (
            assigned("m5", &[(0, &[1, 1])]),
            Err("InvalidReplicaAssignment: The manual partition assignment includes the broker 1"),
        ),
        (
            assigned("m6", &[(0, &[1, 2]), (1, &[1])]),
            Err("InvalidReplicaAssignment: The manual partition assignment includes a partition with 1"),
        ),
        (
            assigned("m7", &[(0, &[1]), (2, &[1])]),
            Err("InvalidReplicaAssignment: partitions should be a consecutive 0-based"),
        ),
        (
            assigned("m8", &[(0, &[1]), (0, &[1])]),
            Err("InvalidReplicaAssignment: Found multiple manual partition assignments"),
        ),
        (CreateTopic { partitions: 1, ..assigned("m9", &[(0, &[1])]) }, Err("InvalidRequest: ")),
        (CreateTopic { replication_factor: 1, ..assigned("m10", &[(0, &[1])]) }, Err("InvalidRequest: ")),
        (with_config("c1", "retention.ms", Some("1000")), Ok((1, 1))),
        (with_config("c2", "retention.ms", Some("many")), Err("InvalidConfig: ")),
        (
            with_config("c3", "retention.ms", None),
            Err("InvalidConfig: Null value not supported for topic configs: retention.ms"),
        ),
        (with_config("c4", "retention.milliseconds", Some("1")), Err("InvalidConfig: Unknown topic config name")),
        (with_config("c5", "retention.ms", Some(&"1".repeat(40_000))), Err("InvalidConfig: ")),
    ];
    for (topic, expected) in cases {
        let before = world.image.clone();
        let tried = world.create(std::slice::from_ref(&topic), true).remove(0);
        assert_eq!(world.image, before, "validating {topic:?} changed something");
        let reply = world.create_one(topic.clone());
        assert_eq!(tried, reply, "validating {topic:?} said something else");
        match (reply, expected) {
            (Ok(created), Ok(expected)) => assert_eq!(created, expected, "{topic:?}"),
            (Err(error), Err(expected)) => {
                assert!(told(&error).starts_with(expected), "{topic:?}: {}", told(&error));
                assert_eq!(world.image, before, "a refused topic left something");
            }
            (reply, _) => panic!("{topic:?}: {reply:?}"),
        }
    }
    assert_eq!(world.config("c1", "retention.ms"), Some("1000"));
}

#[test]
fn one_request_is_judged_as_a_whole() {
    let mut world = World::new(1);
    let names = |replies: Vec<Result<(i32, i16), ControllerError>>| -> Vec<String> {
        replies.iter().map(|reply| reply.as_ref().map_or_else(told, |_| "created".to_owned())).collect()
    };
    // Twice the same name: both are refused; the others are not affected.
    let replies = world.create(&[topic("a", 1, 1), topic("b", 1, 1), topic("a", 2, 1)], false);
    let duplicate = "InvalidRequest: Duplicate topic name.".to_owned();
    assert_eq!(names(replies), [duplicate.clone(), "created".to_owned(), duplicate]);
    // Two new topics collide with each other.
    let replies = names(world.create(&[topic("x.y", 1, 1), topic("x_y", 1, 1)], false));
    assert_eq!(replies, ["created", "InvalidTopic: Topic 'x_y' collides with existing topic: x.y"]);
    // Ten thousand partitions are allowed, one more is too much for all.
    let replies = names(world.create(&[topic("big", 10_000, 1), topic("small", 1, 1)], false));
    assert!(replies.iter().all(|reply| reply.starts_with("PolicyViolation: Excessively large")), "{replies:?}");
    assert_eq!(
        names(world.create(&[topic("max", 10_000_000, 1)], false))[0].split(':').next(),
        Some("PolicyViolation")
    );
    assert_eq!(names(world.create(&[topic("big", 10_000, 1)], false)), ["created"]);
    // Other changes have a limit too.
    let many = vec![TopicRef::Name("big".to_owned()); 10_001];
    let outcome = world.controller.delete_topics(&world.image, &many);
    assert!(outcome.records.is_empty());
    assert!(outcome.reply.iter().all(|reply| matches!(reply, Err(ControllerError::PolicyViolation(_)))));
}

#[test]
fn partitions_are_added_or_refused_as_in_kafka() {
    let mut world = World::new(2);
    world.create_one(topic("t", 3, 1)).unwrap();
    let more = |count, assignments: Option<&[&[i32]]>| CreatePartitions {
        name: "t".to_owned(),
        count,
        assignments: assignments
            .map(|list| list.iter().map(|ids| ids.iter().copied().map(BrokerId).collect()).collect()),
    };
    let cases: [(CreatePartitions, Result<i32, &str>); 10] = [
        (more(3, None), Err("InvalidPartitions: Topic already has 3 partition(s).")),
        (
            more(2, None),
            Err("InvalidPartitions: The topic t currently has 3 partition(s); 2 would not be an increase."),
        ),
        (more(-1, None), Err("InvalidPartitions: The topic t currently has 3 partition(s); -1 would not")),
        (
            more(5, Some(&[&[1]])),
            Err("InvalidReplicaAssignment: Attempted to add 2 additional partition(s), but only 1"),
        ),
        (more(4, Some(&[&[1, 2]])), Err("InvalidReplicaAssignment: ")),
        (more(4, Some(&[&[7]])), Err("InvalidReplicaAssignment: ")),
        (more(i32::MAX, None), Err("PolicyViolation: ")),
        (CreatePartitions { name: "u".to_owned(), ..more(4, None) }, Err("UnknownTopic: ")),
        (more(4, Some(&[&[2]])), Ok(4)),
        (more(10, None), Ok(10)),
    ];
    for (request, expected) in cases {
        let before = world.image.clone();
        let tried = world.controller.create_partitions(&before, std::slice::from_ref(&request), true);
        assert!(tried.records.is_empty());
        let outcome = world.controller.create_partitions(&before, std::slice::from_ref(&request), false);
        assert_eq!(tried.reply, outcome.reply);
        match (world.commit(outcome).remove(0), expected) {
            (Ok(()), Ok(count)) => assert_eq!(world.image.topic_by_name("t").unwrap().partition_count(), count),
            (Err(error), Err(expected)) => assert!(told(&error).starts_with(expected), "{request:?}: {}", told(&error)),
            (reply, _) => panic!("{request:?}: {reply:?}"),
        }
    }
    let t = world.image.topic_by_name("t").unwrap();
    assert_eq!(world.image.partition(&t.id(), 3).unwrap().leader, BrokerId(2));
    let twice = world.controller.create_partitions(&world.image, &[more(11, None), more(12, None)], false).reply;
    assert!(twice.iter().all(|reply| matches!(reply, Err(ControllerError::InvalidRequest(_)))));
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let mut world = World::new(1);
    for name in ["a", "b", "c", "d"] {
        world.create_one(topic(name, 1, 1)).unwrap();
    }
    let id = |name: &str| world.image.topic_by_name(name).unwrap().id();
    let (name, missing) = (|name: &str| TopicRef::Name(name.to_owned()), TopicId([0xee; 16]));
    let request =
        [name("a"), TopicRef::Id(id("b")), name("zzz"), TopicRef::Id(missing), name("c"), TopicRef::Id(id("c"))];
    let outcome = world.controller.delete_topics(&world.image, &request);
    let replies: Vec<String> = world
        .commit(outcome)
        .iter()
        .map(|reply| reply.as_ref().map_or_else(told, |deleted| deleted.name.clone()))
        .collect();
    let missing = format!("UnknownTopicId: No topic has the id {missing}.");
    let expected = [
        "a",
        "b",
        "UnknownTopic: The topic 'zzz' does not exist.",
        &missing,
        "InvalidRequest: Duplicate topic name.",
        "InvalidRequest: Duplicate topic id.",
    ];
    assert_eq!(replies, expected);
    assert_eq!(world.image.topics().map(|topic| &**topic.name()).collect::<Vec<_>>(), ["c", "d"]);
}

#[test]
fn features_move_within_what_every_node_supports() {
    let range = |min, max| vec![FeatureRange { name: "f".to_owned(), min, max }];
    let mut world = World::new(0);
    world.controller = world.controller.clone().with_features(range(0, 5));
    world.image = MetadataImage::default();
    world.register(&RegisterBroker { features: range(0, 3), ..broker(1, None) }).unwrap();
    let update = |level, upgrade_type| FeatureUpdate { feature: "f".to_owned(), level, upgrade_type };
    use UpgradeType::{SafeDowngrade, Unknown, UnsafeDowngrade, Upgrade};
    let cases: [(FeatureUpdate, Result<i16, &str>); 11] = [
        (update(6, Upgrade), Err("Controller 1 only supports versions 0-5")),
        (update(4, Upgrade), Err("Broker 1 only supports versions 0-3")),
        (update(-1, Upgrade), Err("A feature version cannot be less than 0.")),
        (update(2, Unknown), Err("The controller does not support the given upgrade type.")),
        (update(2, SafeDowngrade), Err("Can't downgrade to a newer version.")),
        (update(2, Upgrade), Ok(2)),
        (update(2, Upgrade), Ok(2)),
        (update(1, Upgrade), Err("Can't downgrade the version of this feature without setting")),
        (update(1, SafeDowngrade), Ok(1)),
        (update(0, UnsafeDowngrade), Ok(0)),
        (
            FeatureUpdate { feature: "g".to_owned(), ..update(0, Upgrade) },
            Err("Controller 1 does not support this feature."),
        ),
    ];
    for (request, expected) in cases {
        let tried = world.controller.update_features(&world.image, std::slice::from_ref(&request), true);
        assert!(tried.records.is_empty());
        let outcome = world.controller.update_features(&world.image, std::slice::from_ref(&request), false);
        assert_eq!(tried.reply, outcome.reply);
        match (world.commit(outcome), expected) {
            (Ok(()), Ok(level)) => assert_eq!(world.image.feature_level("f"), level),
            (Err(error), Err(expected)) => {
                let text = told(&error);
                assert!(
                    text.starts_with("InvalidUpdateVersion: Invalid update version") && text.contains(expected),
                    "{text}"
                );
            }
            (reply, _) => panic!("{request:?}: {reply:?}"),
        }
    }
    // All or none.
    let outcome = world.controller.update_features(
        &world.image,
        &[update(1, Upgrade), FeatureUpdate { feature: "g".to_owned(), ..update(1, Upgrade) }],
        false,
    );
    assert!(outcome.reply.is_err() && outcome.records.is_empty());
    // A new cluster runs what cannot be off, and a broker that cannot run it stays out.
    let mut world = World::new(1);
    assert_eq!(world.image.features().collect::<Vec<_>>(), [("metadata.version", 29)]);
    let old = RegisterBroker { features: vec![], ..broker(2, None) };
    assert!(matches!(world.register(&old), Err(ControllerError::InvalidRequest(_))));
}

#[test]
fn a_new_process_of_a_broker_raises_its_epochs_once() {
    let mut world = World::new(2);
    world.create_one(assigned("t", &[(0, &[1]), (1, &[2])])).unwrap();
    let epochs = |world: &World| {
        let t = world.image.topic_by_name("t").unwrap();
        world.image.partitions(t).map(|(_, partition)| partition.leader_epoch).collect::<Vec<_>>()
    };
    assert_eq!(world.register(&broker(1, None)), Ok(1));
    assert_eq!(epochs(&world), [LeaderEpoch(0), LeaderEpoch(0)]);
    let again = RegisterBroker { incarnation: [2; 16], ..broker(1, None) };
    let outcome = world.controller.register_broker(&world.image, &again);
    assert_eq!(outcome.records.len(), 2, "one record for the epochs of any number of partitions");
    assert_eq!(world.commit(outcome), Ok(2));
    assert_eq!(world.register(&again), Ok(2));
    assert_eq!(epochs(&world), [LeaderEpoch(1), LeaderEpoch(0)]);
    let silent = RegisterBroker { listeners: vec![], ..broker(1, None) };
    assert!(matches!(world.register(&silent), Err(ControllerError::InvalidRequest(_))));
    let negative = broker(-1, None);
    assert!(matches!(world.register(&negative), Err(ControllerError::InvalidRequest(_))));
}

#[test]
fn producer_ids_and_offsets_are_given_out_once() {
    let mut world = World::new(1);
    world.create_one(topic("t", 1, 1)).unwrap();
    for expected in [0, 1000, 2000] {
        let outcome = world.controller.allocate_producer_ids(&world.image, BrokerId(1), 1);
        let block = world.commit(outcome).unwrap();
        assert_eq!((block.first, block.len), (ProducerId(expected), 1000));
    }
    let stale = world.controller.allocate_producer_ids(&world.image, BrokerId(1), 0).reply.unwrap_err();
    assert_eq!(told(&stale), "StaleBrokerEpoch: Broker 1 asks with epoch 0, its registration has epoch 1.");
    let unknown = world.controller.allocate_producer_ids(&world.image, BrokerId(2), 1).reply;
    assert_eq!(unknown, Err(ControllerError::UnknownBroker(BrokerId(2))));
    let last =
        MetadataRecord::ProducerIdsAllocated { broker: BrokerId(1), next: ProducerId(ProducerId::ROUTED.0 - 999) };
    let full = world.image.apply_batch(&[last]).unwrap().0;
    assert_eq!(
        world.controller.allocate_producer_ids(&full, BrokerId(1), 1).reply,
        Err(ControllerError::Exhausted("Producer ids"))
    );

    let tp = |partition| TopicIdPartition { topic: TopicId([1; 16]), partition };
    let reserve = [(tp(0), Offset(10)), (tp(0), Offset(20)), (tp(0), Offset(15)), (tp(7), Offset(10))];
    let outcome = world.controller.reserve_offsets(&world.image, &reserve);
    assert_eq!(outcome.records.len(), 2, "what is reserved already or is gone needs no record");
    world.commit(outcome);
    assert_eq!(world.image.reserved_offset(&tp(0)), Some(Offset(20)));
}

#[test]
fn replicas_spread_over_brokers_and_racks() {
    let mut world = World::new(0);
    for id in 0..6 {
        world.register(&broker(id, Some(["a", "b", "c"][id as usize % 3]))).unwrap();
    }
    world.create_one(topic("t", 60, 3)).unwrap();
    let t = world.image.topic_by_name("t").unwrap();
    let (mut leads, mut holds) = ([0; 6], [0; 6]);
    for (number, partition) in world.image.partitions(t) {
        let mut racks: Vec<i32> = partition.replicas.iter().map(|broker| broker.0 % 3).collect();
        racks.sort_unstable();
        racks.dedup();
        let mut brokers = partition.replicas.to_vec();
        brokers.sort_unstable();
        brokers.dedup();
        assert_eq!(brokers.len(), 3, "partition {number} has a broker twice");
        assert!(racks.len() >= 2, "partition {number} lies in one rack: {:?}", partition.replicas);
        assert_eq!(partition.leader, partition.replicas[0]);
        assert_eq!(partition.isr, partition.replicas);
        leads[partition.leader.0 as usize] += 1;
        partition.replicas.iter().for_each(|broker| holds[broker.0 as usize] += 1);
    }
    assert_eq!((leads, holds), ([10; 6], [30; 6]));
}
