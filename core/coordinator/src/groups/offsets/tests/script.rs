//! The commands of scripts. Offsets are written `topic/partition=offset`, several with spaces between them.

use std::fmt::Write as _;
use std::sync::Arc;

use watershed_metadata::{MetadataImage, MetadataRecord, OFFSETS_TOPIC, PartitionRun};
use watershed_model::{BrokerId, LeaderEpoch, TopicId};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use watershed_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use watershed_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use watershed_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
};
use watershed_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use watershed_testkit::golden::Case;

use super::world::{Entry, START_MS, World};
use crate::groups::protocol::Subscription;
use crate::groups::{GroupCoordinator, GroupReply, GroupRequest};
use crate::records::{
    ClassicMemberMetadata, ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue,
    ConsumerGroupMetadataValue, GroupMetadataValue, GroupRecord, MemberMetadata,
};
use crate::runtime::StateMachine;

/// A commit without a group's member.
pub(super) fn commit_request(group: &str, topic: &str, offsets: &[(i32, i64)]) -> OffsetCommitRequest {
    let partition = |(partition_index, committed_offset): &(i32, i64)| OffsetCommitRequestPartition {
        partition_index: *partition_index,
        committed_offset: *committed_offset,
        ..Default::default()
    };
    let partitions = offsets.iter().map(partition).collect();
    let topic = OffsetCommitRequestTopic { name: topic.into(), partitions, ..Default::default() };
    OffsetCommitRequest { group_id: group.into(), topics: vec![topic], ..Default::default() }
}

/// A producer's commit without a group's member.
pub(super) fn txn_request(producer: i64, group: &str, topic: &str, offsets: &[(i32, i64)]) -> TxnOffsetCommitRequest {
    let partition = |(partition_index, committed_offset): &(i32, i64)| TxnOffsetCommitRequestPartition {
        partition_index: *partition_index,
        committed_offset: *committed_offset,
        ..Default::default()
    };
    let topic = TxnOffsetCommitRequestTopic { name: topic.into(), partitions: offsets.iter().map(partition).collect() };
    TxnOffsetCommitRequest { group_id: group.into(), producer_id: producer, topics: vec![topic], ..Default::default() }
}

/// The deletion of some of a topic's offsets.
pub(super) fn delete_request(group: &str, topic: &str, partitions: &[i32]) -> OffsetDeleteRequest {
    let partition = |index: &i32| OffsetDeleteRequestPartition { partition_index: *index };
    let partitions = partitions.iter().map(partition).collect();
    let topic = OffsetDeleteRequestTopic { name: topic.into(), partitions };
    OffsetDeleteRequest { group_id: group.into(), topics: vec![topic] }
}

/// A fetch of these partitions, or of everything.
pub(super) fn fetch_request(group: &str, topics: Option<&[(&str, &[i32])]>) -> OffsetFetchRequestGroup {
    let topic = |(name, partitions): &(&str, &[i32])| OffsetFetchRequestTopics {
        name: (*name).into(),
        partition_indexes: partitions.to_vec(),
        ..Default::default()
    };
    let topics = topics.map(|topics| topics.iter().map(topic).collect());
    OffsetFetchRequestGroup { group_id: group.into(), topics, ..Default::default() }
}

/// Answers a command.
pub(super) fn command(world: &mut World, case: &Case) -> String {
    let settings = || case.args.iter().filter_map(|arg| arg.split_once('=')).collect::<Vec<_>>();
    match case.command.as_str() {
        "world" => *world = World::new(&settings()),
        "group" => found_group(world, case),
        "topics" => make_topics(world, case),
        "join" => return ask(world, case, 3, GroupRequest::JoinGroup(join(case))),
        "commit" => return ask(world, case, 9, GroupRequest::OffsetCommit(commit(case))),
        "txn-commit" => return ask(world, case, 3, GroupRequest::TxnOffsetCommit(txn_commit(case))),
        "end" => world.mark(case.get("producer"), case.args.iter().any(|arg| arg == "commit")),
        "fetch" => return ask(world, case, 9, fetch(case)),
        "delete-offsets" => return ask(world, case, 0, GroupRequest::OffsetDelete(delete_offsets(case))),
        "delete-groups" => return ask(world, case, 2, GroupRequest::DeleteGroups(case.args.clone())),
        "describe" => {
            let groups = case.args.iter().filter(|arg| !arg.contains('=')).cloned().collect();
            return ask(world, case, 6, GroupRequest::DescribeGroups(groups));
        }
        "list" => {
            let texts =
                |name: &str| case.arg(name).map_or_else(Vec::new, |v| v.split(',').map(str::to_owned).collect());
            return ask(world, case, 5, GroupRequest::ListGroups { states: texts("states"), types: texts("types") });
        }
        "topics-deleted" => {
            let topics = case.args.iter().map(|topic| Arc::from(topic.as_str())).collect();
            return ask(world, case, 0, GroupRequest::TopicsDeleted(topics));
        }
        "advance" => world.advance(case.get("ms")),
        "jump" => world.jump(case.get("ms")),
        "refuse" => *world.ground.refuses.lock() = Some(ErrorCode::NotCoordinator),
        "accept" => *world.ground.refuses.lock() = None,
        "save" => world.save(),
        "reload" => world.reload(),
        "counters" => return counters(world),
        "log" => return log(world),
        other => panic!("line {}: no command {other}", case.line),
    }
    String::new()
}

fn ask(world: &World, case: &Case, version: i16, request: GroupRequest) -> String {
    let version = case.arg("v").map_or(version, |v| v.parse().unwrap());
    match world.ask(version, request) {
        None => "no reply yet".to_owned(),
        Some(Err(code)) => format!("refused: {}", code.name()),
        Some(Ok(reply)) => shown(&reply),
    }
}

fn code(code: i16) -> &'static str {
    ErrorCode::from_code(code).unwrap().name()
}

fn shown(reply: &GroupReply) -> String {
    let mut out = String::new();
    match reply {
        GroupReply::JoinGroup(reply) => {
            let _ = writeln!(out, "{} generation={}", code(reply.error_code), reply.generation_id);
        }
        GroupReply::OffsetCommit(reply) => {
            for topic in &reply.topics {
                for partition in &topic.partitions {
                    let _ =
                        writeln!(out, "{}/{} {}", topic.name, partition.partition_index, code(partition.error_code));
                }
            }
        }
        GroupReply::TxnOffsetCommit(reply) => {
            for topic in &reply.topics {
                for partition in &topic.partitions {
                    let _ =
                        writeln!(out, "{}/{} {}", topic.name, partition.partition_index, code(partition.error_code));
                }
            }
        }
        GroupReply::OffsetFetch(reply) => show_fetched(reply, &mut out),
        GroupReply::OffsetDelete(reply) => {
            let _ = writeln!(out, "{}", code(reply.error_code));
            for topic in &reply.topics {
                for partition in &topic.partitions {
                    let _ =
                        writeln!(out, "{}/{} {}", topic.name, partition.partition_index, code(partition.error_code));
                }
            }
        }
        GroupReply::DeleteGroups(results) => {
            for result in results {
                let _ = writeln!(out, "{} {}", result.group_id, code(result.error_code));
            }
        }
        GroupReply::DescribeGroups(groups) => {
            for group in groups {
                let (name, state, message) = (&group.group_id, &group.group_state, &group.error_message);
                let _ = writeln!(out, "{name} {state} {} {message:?}", code(group.error_code));
                let members: Vec<_> = group.members.iter().map(|member| &member.member_id).collect();
                let _ =
                    writeln!(out, "  type={:?} protocol={:?} {members:?}", group.protocol_type, group.protocol_data);
            }
        }
        GroupReply::ListGroups(groups) => {
            for group in groups {
                let (name, kind, state) = (&group.group_id, &group.protocol_type, &group.group_state);
                let _ = writeln!(out, "{name} {kind:?} {state} {}", group.group_type);
            }
        }
        GroupReply::TopicsDeleted => out.push_str("done"),
        other => panic!("{other:?}"),
    }
    out
}

fn show_fetched(reply: &OffsetFetchResponseGroup, out: &mut String) {
    if reply.error_code != 0 || reply.topics.is_empty() {
        let _ = writeln!(out, "{} {}", reply.group_id, code(reply.error_code));
    }
    for topic in &reply.topics {
        for partition in &topic.partitions {
            let _ = write!(out, "{}/{} {}", topic.name, partition.partition_index, partition.committed_offset);
            if partition.error_code != 0 {
                let _ = write!(out, " {}", code(partition.error_code));
            }
            if partition.committed_leader_epoch != -1 {
                let _ = write!(out, " epoch={}", partition.committed_leader_epoch);
            }
            match partition.metadata.as_deref() {
                Some("") => {}
                metadata => {
                    let _ = write!(out, " {metadata:?}");
                }
            }
            out.push('\n');
        }
    }
}

fn number<T: std::str::FromStr>(case: &Case, name: &str, default: T) -> T {
    case.arg(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("line {}: {name}", case.line)))
}

fn group_id(case: &Case) -> &str {
    case.arg("group").unwrap_or("g")
}

/// The arguments `topic/partition=offset`, by topic.
fn offsets(case: &Case) -> Vec<(&str, Vec<(i32, i64)>)> {
    let mut topics: Vec<(&str, Vec<(i32, i64)>)> = Vec::new();
    for (topic, rest) in case.args.iter().filter_map(|arg| arg.split_once('/')) {
        let (partition, offset) = rest.split_once('=').unwrap_or((rest, "-1"));
        let entry = (partition.parse().unwrap(), offset.parse().unwrap());
        match topics.last_mut() {
            Some((last, entries)) if *last == topic => entries.push(entry),
            _ => topics.push((topic, vec![entry])),
        }
    }
    topics
}

/// `x*3` is `xxx`.
fn text(case: &Case, name: &str) -> Option<String> {
    let value = case.arg(name)?;
    Some(match value.split_once('*') {
        Some((unit, times)) => unit.repeat(times.parse().unwrap()),
        None => value.to_owned(),
    })
}

fn topic_id(case: &Case) -> TopicId {
    TopicId([number(case, "id", 0); 16])
}

fn commit(case: &Case) -> OffsetCommitRequest {
    let topics = offsets(case).into_iter().map(|(topic, offsets)| {
        let mut topic = commit_request("", topic, &offsets).topics.remove(0);
        topic.topic_id = topic_id(case);
        for partition in &mut topic.partitions {
            partition.committed_leader_epoch = number(case, "epoch", -1);
            partition.committed_metadata = text(case, "metadata").map(Into::into);
        }
        topic
    });
    OffsetCommitRequest {
        group_id: group_id(case).into(),
        generation_id_or_member_epoch: number(case, "gen", -1),
        member_id: case.arg("member").unwrap_or_default().into(),
        group_instance_id: case.arg("instance").map(Into::into),
        retention_time_ms: number(case, "retention", -1),
        topics: topics.collect(),
    }
}

fn txn_commit(case: &Case) -> TxnOffsetCommitRequest {
    let producer = number(case, "producer", 7);
    let topics = offsets(case).into_iter().map(|(topic, offsets)| {
        let mut topic = txn_request(producer, "", topic, &offsets).topics.remove(0);
        for partition in &mut topic.partitions {
            partition.committed_metadata = text(case, "metadata").map(Into::into);
        }
        topic
    });
    TxnOffsetCommitRequest {
        group_id: group_id(case).into(),
        producer_id: producer,
        generation_id: number(case, "gen", -1),
        member_id: case.arg("member").unwrap_or_default().into(),
        group_instance_id: case.arg("instance").map(Into::into),
        topics: topics.collect(),
        ..Default::default()
    }
}

fn fetch(case: &Case) -> GroupRequest {
    let is_set = |name: &str| case.args.iter().any(|arg| arg == name);
    let asked = offsets(case);
    let asked: Vec<_> =
        asked.iter().map(|(topic, of)| (*topic, of.iter().map(|(p, _)| *p).collect::<Vec<_>>())).collect();
    let topics: Vec<_> = asked.iter().map(|(topic, partitions)| (*topic, &partitions[..])).collect();
    let mut group = fetch_request(group_id(case), (!is_set("all")).then_some(&topics));
    for topic in group.topics.iter_mut().flatten() {
        topic.topic_id = topic_id(case);
    }
    group.member_id = case.arg("member").map(Into::into);
    group.member_epoch = number(case, "gen", -1);
    GroupRequest::OffsetFetch { group, require_stable: is_set("stable") }
}

fn delete_offsets(case: &Case) -> OffsetDeleteRequest {
    let topics = offsets(case).into_iter().map(|(topic, offsets)| {
        let partitions: Vec<_> = offsets.into_iter().map(|(partition, _)| partition).collect();
        delete_request("", topic, &partitions).topics.remove(0)
    });
    OffsetDeleteRequest { group_id: group_id(case).into(), topics: topics.collect() }
}

/// A member that a classic group waits for: from then on the group rebalances.
fn join(case: &Case) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group_id(case).to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: case.arg("type").unwrap_or("consumer").to_owned(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: subscription(case) }],
        ..Default::default()
    }
}

fn topics_of(case: &Case) -> Vec<String> {
    case.arg("topics").unwrap_or_default().split(',').filter(|topic| !topic.is_empty()).map(str::to_owned).collect()
}

fn subscription(case: &Case) -> bytes::Bytes {
    if case.arg("topics") == Some("?") {
        return bytes::Bytes::from_static(b"unreadable");
    }
    Subscription { topics: topics_of(case), ..Subscription::decode(&bytes::Bytes::from_static(&[0; 10])).unwrap() }
        .encode()
}

/// A group with members, as its records tell of it after a restart: `classic`, `consumer`, or `mixed` for a consumer group with a
/// classic member.
fn found_group(world: &mut World, case: &Case) {
    let group_id = group_id(case).to_owned();
    let member = case.arg("member").map(str::to_owned);
    let kind = case.args[0].as_str();
    if kind == "classic" {
        let member = member.map(|member_id| MemberMetadata {
            member_id,
            group_instance_id: case.arg("instance").map(str::to_owned),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout: 60_000,
            session_timeout: 10_000,
            subscription: subscription(case),
            ..Default::default()
        });
        let value = GroupMetadataValue {
            protocol_type: case.arg("type").unwrap_or("consumer").to_owned(),
            generation: number(case, "gen", 1),
            protocol: member.is_some().then(|| "range".to_owned()),
            leader: member.as_ref().map(|member| member.member_id.clone()),
            current_state_timestamp: case.arg("since").map_or(-1, |since| START_MS + since.parse::<i64>().unwrap()),
            members: member.into_iter().collect(),
        };
        world.find(&GroupRecord::GroupMetadata { group_id, value: Some(value) });
        return world.reload();
    }
    let epoch = number(case, "gen", 1);
    let value = Some(ConsumerGroupMetadataValue { epoch, ..Default::default() });
    world.find(&GroupRecord::ConsumerGroupMetadata { group_id: group_id.clone(), value });
    if let Some(member_id) = member {
        let value = ConsumerGroupMemberMetadataValue {
            subscribed_topic_names: topics_of(case),
            rebalance_timeout_ms: 60_000,
            classic_member_metadata: (kind == "mixed")
                .then(|| ClassicMemberMetadata { session_timeout_ms: 10_000, supported_protocols: Vec::new() }),
            ..Default::default()
        };
        let (of, member) = (group_id.clone(), member_id.clone());
        world.find(&GroupRecord::ConsumerGroupMemberMetadata { group_id: of, member_id: member, value: Some(value) });
        let value = Some(ConsumerGroupCurrentMemberAssignmentValue { member_epoch: epoch, ..Default::default() });
        world.find(&GroupRecord::ConsumerGroupCurrentMemberAssignment { group_id, member_id, value });
    }
    world.reload();
}

/// From the next restart on these topics exist: `name:id`.
fn make_topics(world: &mut World, case: &Case) {
    let broker = BrokerId(1);
    let run =
        PartitionRun { count: 4, replicas: vec![broker], isr: None, leader: broker, leader_epoch: LeaderEpoch(0) };
    let created = |name: &str, id: u8| MetadataRecord::TopicCreated {
        topic: TopicId([id; 16]),
        name: name.to_owned(),
        partitions: vec![run.clone()],
    };
    let named = case.args.iter().map(|arg| arg.split_once(':').unwrap());
    let mut records: Vec<_> = named.map(|(name, id)| created(name, id.parse().unwrap())).collect();
    records.push(MetadataRecord::BrokerStarted { broker, starts: 1 });
    records.push(created(OFFSETS_TOPIC, 99));
    world.image = Arc::new(MetadataImage::default().apply_batch(&records).unwrap().0);
}

fn counters(world: &World) -> String {
    world.look(|machine| {
        let offsets = machine.offsets().len();
        let counters = machine.counters();
        format!(
            "offsets={offsets} commits={} deletions={} expirations={}",
            counters.offset_commits, counters.offset_deletions, counters.offset_expirations
        )
    })
}

/// What was written since the last look.
fn log(world: &World) -> String {
    let mut out = format!("in {} batches\n", world.take_batches());
    let from = world.take_seen();
    for entry in &world.ground.entries.lock()[from..] {
        let (key, value, producer) = match entry {
            Entry::Marker { producer, committed } => {
                let _ = writeln!(out, "end of {} {committed}", producer.0);
                continue;
            }
            Entry::Record { key, value, producer } => (key, value, producer),
        };
        let by = producer.map(|(id, _)| format!(" by {}", id.0)).unwrap_or_default();
        match GroupCoordinator::decode(key, value.as_ref()).unwrap().unwrap() {
            GroupRecord::OffsetCommit { key, value } => {
                let _ = write!(out, "{} {}/{}", key.group, key.topic, key.partition);
                match value {
                    None => out.push_str(" gone"),
                    Some(value) => {
                        let _ = write!(out, " {} at +{}", value.offset, value.commit_timestamp - START_MS);
                        if value.expire_timestamp != -1 {
                            let _ = write!(out, " until +{}", value.expire_timestamp - START_MS);
                        }
                    }
                }
                let _ = writeln!(out, "{by}");
            }
            GroupRecord::GroupMetadata { group_id, value } => {
                let _ = writeln!(out, "classic group {group_id} {}", if value.is_some() { "written" } else { "gone" });
            }
            GroupRecord::ConsumerGroupMetadata { group_id, value } => {
                let _ = writeln!(out, "consumer group {group_id} {}", if value.is_some() { "written" } else { "gone" });
            }
            other => {
                let _ = writeln!(out, "{}", format!("{other:?}").split(' ').next().unwrap());
            }
        }
    }
    out
}
