//! What overlaps on a connection, what does not, and how much may be under way.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use watershed_protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use watershed_protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use watershed_protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use watershed_protocol::messages::produce::ProduceResponse;
use watershed_protocol::messages::{
    FindCoordinatorRequest, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use watershed_testkit::Op;

use crate::requests::{ALL, FETCH, PRODUCE, bases, batch, fetch, fetched, placed, produce, put, sized};
use crate::stage::{Client, Stage, TOPIC, guarded, limits};

const FIND: i16 = 4;
const COMMIT: i16 = 8;
const FETCH_OFFSETS: i16 = 8;

/// How many overlapping requests of one connection the broker takes.
const QUEUE_MAX: usize = 256;

pub(crate) const GROUP: &str = "readers";

fn base(response: &ProduceResponse) -> i64 {
    assert_eq!(placed(response).error_code, 0);
    placed(response).base_offset
}

#[tokio::test]
async fn requests_are_appended_before_the_first_is_acknowledged() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    stage.faults.hold_tickets();
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(client.send(&produce(TOPIC, 0, ALL, batch(2)), PRODUCE).await);
    }
    let behind = client.send(&MetadataRequest { topics: None, ..Default::default() }, 12).await;
    stage.appended(3).await;
    stage.silent(&mut [&mut client]).await;
    stage.faults.release(stage.partition(0), 2);
    for (sent, offset) in sent.iter().zip([0, 2]) {
        assert_eq!(base(&client.receive(*sent).await), offset);
    }
    stage.silent(&mut [&mut client]).await;
    stage.faults.release(stage.partition(0), 1);
    assert_eq!(base(&client.receive(sent[2]).await), 4);
    let _: MetadataResponse = client.receive(behind).await;
}

#[tokio::test]
async fn a_promise_that_comes_early_waits_for_its_turn() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    stage.faults.hold_tickets();
    let first = client.send(&produce(TOPIC, 0, ALL, batch(1)), PRODUCE).await;
    let second = client.send(&produce(TOPIC, 1, ALL, batch(1)), PRODUCE).await;
    stage.appended(2).await;
    assert_eq!(stage.faults.release(stage.partition(1), 1), 1);
    stage.silent(&mut [&mut client]).await;
    assert_eq!(stage.faults.release(stage.partition(0), 1), 1);
    base(&client.receive(first).await);
    base(&client.receive(second).await);
}

#[tokio::test]
async fn a_parked_fetch_holds_up_its_own_connection_only() {
    let stage = Stage::start().await;
    let (mut reader, mut writer) = (stage.client().await, stage.client().await);
    let parked = reader.send(&fetch(TOPIC, 0, 0), FETCH).await;
    let behind = reader.send(&produce(TOPIC, 1, ALL, batch(1)), PRODUCE).await;
    stage.silent(&mut [&mut reader]).await;
    assert_eq!(stage.faults.calls(Op::Append), 0, "what is behind a fetch waits for it");
    assert_eq!(put(&mut writer, 1).await, 0);
    assert_eq!(bases(fetched(&reader.receive(parked).await)), [0]);
    base(&reader.receive(behind).await);
}

#[tokio::test]
async fn a_full_budget_stops_nobody_but_producers() {
    let stage = Stage::with(watershed_broker::Limits { in_flight_bytes: 8192, ..limits() }).await;
    let (mut first, mut second, mut other) = (stage.client().await, stage.client().await, stage.client().await);
    assert_eq!(put(&mut other, 1).await, 0);
    stage.faults.hold_tickets();
    let large = produce(TOPIC, 0, ALL, sized(1, 7000, watershed_model::record::ProducerSequence::NONE));
    let taken = first.send(&large, PRODUCE).await;
    stage.appended(2).await;
    let waiting = second.send(&large, PRODUCE).await;
    stage.settle().await;
    // Metadata, Fetch and ListOffsets go on, for others and for those who have nothing under way.
    other.metadata().await;
    assert_eq!(bases(fetched(&other.call(&fetch(TOPIC, 0, 0), FETCH).await)), [0]);
    let partition = ListOffsetsPartition { partition_index: 0, current_leader_epoch: -1, timestamp: -1 };
    let topics = vec![ListOffsetsTopic { name: TOPIC.to_owned(), partitions: vec![partition] }];
    let asked = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
    assert_eq!(other.call(&asked, 7).await.topics[0].partitions[0].offset, 1, "latest is what is promised");
    stage.silent(&mut [&mut first, &mut second]).await;
    assert_eq!(stage.faults.calls(Op::Append), 2, "there is no room for the other producer");
    stage.faults.release_all();
    assert_eq!(base(&first.receive(taken).await), 1);
    assert_eq!(base(&second.receive(waiting).await), 2);
}

#[tokio::test]
async fn one_connection_has_a_budget_of_its_own() {
    let stage = Stage::with(watershed_broker::Limits { connection_bytes: 8192, ..limits() }).await;
    let (mut greedy, mut modest) = (stage.client().await, stage.client().await);
    stage.faults.hold_tickets();
    let large = produce(TOPIC, 0, ALL, sized(1, 7000, watershed_model::record::ProducerSequence::NONE));
    let sent = [greedy.send(&large, PRODUCE).await, greedy.send(&large, PRODUCE).await];
    stage.appended(1).await;
    stage.silent(&mut [&mut greedy]).await;
    assert_eq!(stage.faults.calls(Op::Append), 1, "the second waits for the first");
    let other = modest.send(&large, PRODUCE).await;
    stage.appended(2).await;
    stage.faults.release_all();
    assert_eq!(base(&modest.receive(other).await), 1);
    assert_eq!(base(&greedy.receive(sent[0]).await), 0);
    assert_eq!(base(&greedy.receive(sent[1]).await), 2);
}

fn commit(offset: usize) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: i64::try_from(offset).unwrap(),
        committed_leader_epoch: -1,
        committed_metadata: None,
    };
    let topic = OffsetCommitRequestTopic { name: TOPIC.into(), partitions: vec![partition], ..Default::default() };
    OffsetCommitRequest { group_id: GROUP.into(), topics: vec![topic], ..Default::default() }
}

fn fetch_offsets() -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopics { name: TOPIC.into(), partition_indexes: vec![0], ..Default::default() };
    let group = OffsetFetchRequestGroup { group_id: GROUP.into(), topics: Some(vec![topic]), ..Default::default() };
    OffsetFetchRequest { groups: vec![group], ..Default::default() }
}

fn committed(response: &OffsetFetchResponse) -> i64 {
    assert_eq!(response.groups[0].error_code, 0);
    response.groups[0].topics[0].partitions[0].committed_offset
}

fn assert_taken(response: &OffsetCommitResponse) {
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
}

fn assert_timed_out(response: &OffsetCommitResponse) {
    let code = response.topics[0].partitions[0].error_code;
    assert_eq!(code, i16::from(ErrorCode::CoordinatorNotAvailable));
}

/// Commits an offset of the first partition for the group.
pub(crate) async fn commit_at(client: &mut Client, offset: usize) {
    assert_taken(&client.call(&commit(offset), COMMIT).await);
}

/// Waits until the group's coordinator takes commits; how many appends that took.
pub(crate) async fn coordinated(stage: &Stage, client: &mut Client) -> usize {
    let find = FindCoordinatorRequest { coordinator_keys: vec![GROUP.to_owned()], ..Default::default() };
    guarded(async {
        while client.call(&find, FIND).await.coordinators[0].error_code != 0 {}
        while client.call(&commit(0), COMMIT).await.topics[0].partitions[0].error_code != 0 {}
    })
    .await;
    stage.faults.calls(Op::Append)
}

#[tokio::test]
async fn commits_are_appended_before_the_first_is_acknowledged() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let before = coordinated(&stage, &mut client).await;
    stage.faults.hold_tickets();
    let mut sent = Vec::new();
    for offset in 1..=3 {
        sent.push(client.send(&commit(offset), COMMIT).await);
    }
    let behind = client.send(&fetch_offsets(), FETCH_OFFSETS).await;
    stage.appended(before + 3).await;
    stage.silent(&mut [&mut client]).await;
    stage.faults.release_all();
    for sent in sent {
        assert_taken(&client.receive(sent).await);
    }
    assert_eq!(committed(&client.receive(behind).await), 3);
}

#[tokio::test]
async fn commits_and_records_do_not_overlap() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let before = coordinated(&stage, &mut client).await;
    stage.faults.hold_tickets();
    let first = client.send(&commit(1), COMMIT).await;
    let second = client.send(&produce(TOPIC, 0, ALL, batch(1)), PRODUCE).await;
    let third = client.send(&commit(2), COMMIT).await;
    stage.appended(before + 1).await;
    stage.silent(&mut [&mut client]).await;
    assert_eq!(stage.faults.calls(Op::Append), before + 1, "the records wait for the commit");
    stage.faults.release_all();
    assert_taken(&client.receive(first).await);
    base(&client.receive(second).await);
    assert_taken(&client.receive(third).await);
}

#[tokio::test]
async fn commits_without_end_wait_for_their_answers() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let before = coordinated(&stage, &mut client).await;
    stage.faults.hold_tickets();
    let mut sent = Vec::new();
    for offset in 1..=QUEUE_MAX + 44 {
        sent.push(client.send(&commit(offset), COMMIT).await);
    }
    stage.appended(before + QUEUE_MAX).await;
    stage.silent(&mut [&mut client]).await;
    assert_eq!(stage.faults.calls(Op::Append), before + QUEUE_MAX);
    stage.faults.release_all();
    for sent in sent {
        assert_taken(&client.receive(sent).await);
    }
    assert_eq!(committed(&client.call(&fetch_offsets(), FETCH_OFFSETS).await), 300);
}

/// A wait for the disk counts from the append, not from when the commit is next to be answered.
#[tokio::test]
async fn timeouts_of_pipelined_commits_do_not_add_up() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    coordinated(&stage, &mut client).await;
    stage.faults.hold_tickets();
    let first = client.send(&commit(1), COMMIT).await;
    let second = client.send(&commit(2), COMMIT).await;
    // After `offsets.commit.timeout.ms`.
    assert_timed_out(&client.receive(first).await);
    stage.settle().await;
    client.assert_answered();
    assert_timed_out(&client.receive(second).await);
}
