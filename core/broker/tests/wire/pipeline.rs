//! What overlaps on a connection, what does not, and how much may be under way.

use watershed_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use watershed_protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use watershed_protocol::messages::produce::ProduceResponse;
use watershed_testkit::Op;

use crate::requests::{ALL, FETCH, PRODUCE, bases, batch, fetch, fetched, placed, produce, put, sized};
use crate::stage::{Stage, TOPIC, limits};

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
