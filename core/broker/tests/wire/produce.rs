//! When an acknowledgement may go out: the storage's promise, and what is said when there is none.

use std::collections::HashSet;

use watershed_model::record::ProducerSequence;
use watershed_model::{ProducerEpoch, ProducerId};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::fetch::FetchRequest;
use watershed_protocol::messages::init_producer_id::InitProducerIdRequest;
use watershed_storage::StorageError;

use crate::requests::{ALL, FETCH, PRODUCE, batch, fetch, placed, produce, put, sized};
use crate::stage::{CALM, Stage, TOPIC};

#[tokio::test]
async fn an_acknowledgement_waits_for_the_promise() {
    for acks in [1, ALL] {
        let stage = Stage::start().await;
        let mut client = stage.client().await;
        stage.faults.hold_tickets();
        let sent = client.send(&produce(TOPIC, 0, acks, batch(3)), PRODUCE).await;
        stage.appended(1).await;
        stage.silent(&mut [&mut client]).await;
        assert_eq!(stage.faults.release(stage.partition(0), 1), 1);
        let response = client.receive(sent).await;
        assert_eq!((placed(&response).error_code, placed(&response).base_offset), (0, 0), "acks={acks}");
    }
}

#[tokio::test]
async fn without_acks_there_is_no_response_and_no_wait() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    stage.faults.hold_tickets();
    client.send(&produce(TOPIC, 0, 0, batch(3)), PRODUCE).await;
    // `metadata` insists that the first response is its own.
    client.metadata().await;
    assert_eq!(stage.faults.calls(watershed_testkit::Op::Append), 1);
    stage.faults.release_all();
    assert_eq!(put(&mut client, 1).await, 3);
}

#[tokio::test]
async fn without_acks_a_failure_closes_the_connection() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    client.send(&produce("nothing", 0, 0, batch(1)), PRODUCE).await;
    client.closed().await;
}

#[tokio::test]
async fn a_broken_promise_is_a_storage_error() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    stage.faults.hold_tickets();
    let sent = client.send(&produce(TOPIC, 0, ALL, batch(1)), PRODUCE).await;
    stage.appended(1).await;
    let dead = StorageError::Offline { place: "d".into(), reason: "fsync failed".into() };
    assert_eq!(stage.faults.fail_held(stage.partition(0), 1, &dead), 1);
    let response = client.receive(sent).await;
    assert_eq!(placed(&response).error_code, i16::from(ErrorCode::KafkaStorageError));
    assert_eq!(placed(&response).base_offset, -1);
}

#[tokio::test]
async fn a_promise_that_takes_too_long_is_a_timeout() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    stage.faults.hold_tickets();
    let mut request = produce(TOPIC, 0, ALL, batch(2));
    request.timeout_ms = 1;
    let response = client.call(&request, PRODUCE).await;
    assert_eq!(placed(&response).error_code, i16::from(ErrorCode::RequestTimedOut));
    // The records are there all the same, and the connection goes on.
    stage.faults.release_all();
    assert_eq!(put(&mut client, 1).await, 2);
}

/// Pipelined requests wait together: a timeout counts from the append, not from when the request is next to be answered.
#[tokio::test]
async fn timeouts_of_pipelined_requests_do_not_add_up() {
    let stage = Stage::start().await;
    let (mut writer, mut reader) = (stage.client().await, stage.client().await);
    stage.faults.hold_tickets();
    let first = writer.send(&produce(TOPIC, 0, ALL, batch(1)), PRODUCE).await;
    let mut impatient = produce(TOPIC, 1, ALL, batch(1));
    impatient.timeout_ms = 500;
    let second = writer.send(&impatient, PRODUCE).await;
    stage.appended(2).await;
    // A fetch that ends with its wait: by then the second request's time is over.
    let longer = FetchRequest { max_wait_ms: 600, ..fetch(CALM, 0, 0) };
    reader.call(&longer, FETCH).await;
    stage.silent(&mut [&mut writer]).await;
    stage.faults.release(stage.partition(0), 1);
    assert_eq!(placed(&writer.receive(first).await).error_code, 0);
    stage.settle().await;
    writer.assert_answered();
    assert_eq!(placed(&writer.receive(second).await).error_code, i16::from(ErrorCode::RequestTimedOut));
}

/// One partition's promise is broken, another's holds: each has its own answer.
#[tokio::test]
async fn partitions_of_a_request_are_answered_separately() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    stage.faults.hold_tickets();
    let mut request = produce(TOPIC, 0, ALL, batch(1));
    request.topic_data[0].partition_data.extend(produce(TOPIC, 1, ALL, batch(1)).topic_data.remove(0).partition_data);
    let sent = client.send(&request, PRODUCE).await;
    stage.appended(2).await;
    let dead = StorageError::Offline { place: "d".into(), reason: "fsync failed".into() };
    assert_eq!(stage.faults.fail_held(stage.partition(1), 1, &dead), 1);
    stage.silent(&mut [&mut client]).await;
    assert_eq!(stage.faults.release(stage.partition(0), 1), 1);
    let response: watershed_protocol::messages::produce::ProduceResponse = client.receive(sent).await;
    let codes: Vec<_> = response.responses[0].partition_responses.iter().map(|p| (p.index, p.error_code)).collect();
    assert_eq!(codes, [(0, 0), (1, i16::from(ErrorCode::KafkaStorageError))]);
}

#[tokio::test]
async fn a_duplicate_waits_for_the_promise_of_the_original() {
    let stage = Stage::start().await;
    let (mut first, mut second) = (stage.client().await, stage.client().await);
    let given = first.call(&InitProducerIdRequest::default(), 4).await;
    let producer = ProducerSequence {
        id: ProducerId(given.producer_id),
        epoch: ProducerEpoch(given.producer_epoch),
        base_sequence: 0,
    };
    let request = produce(TOPIC, 0, ALL, sized(2, 10, producer));
    stage.faults.hold_tickets();
    let original = first.send(&request, PRODUCE).await;
    stage.appended(1).await;
    let duplicate = second.send(&request, PRODUCE).await;
    stage.silent(&mut [&mut first, &mut second]).await;
    assert_eq!(stage.faults.calls(watershed_testkit::Op::Append), 1, "a duplicate is not appended");
    stage.faults.release_all();
    for (client, sent) in [(&mut first, original), (&mut second, duplicate)] {
        let response = client.receive(sent).await;
        assert_eq!((placed(&response).error_code, placed(&response).base_offset), (0, 0));
    }
    assert_eq!(put(&mut first, 1).await, 2, "the duplicate left nothing in the log");
}

#[tokio::test]
async fn a_full_storage_is_retriable_and_heals_by_itself() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    assert_eq!(put(&mut client, 1).await, 0);
    stage.faults.set_full(true);
    let refused = client.call(&produce(TOPIC, 0, ALL, batch(1)), PRODUCE).await;
    assert_eq!(placed(&refused).error_code, i16::from(ErrorCode::NotEnoughReplicas));
    let elsewhere = client.call(&produce(CALM, 0, ALL, batch(1)), PRODUCE).await;
    assert_eq!((placed(&elsewhere).error_code, placed(&elsewhere).base_offset), (0, 0));
    assert!(stage.broker.is_healthy(), "full is not broken");
    stage.faults.set_full(false);
    assert_eq!(put(&mut client, 1).await, 1, "nothing of the refused batch was kept");
}

#[tokio::test]
async fn an_offline_storage_is_an_error_and_others_go_on() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    assert_eq!(put(&mut client, 1).await, 0);
    stage.faults.set_offline("pulled out");
    let refused = client.call(&produce(TOPIC, 0, ALL, batch(1)), PRODUCE).await;
    assert_eq!(placed(&refused).error_code, i16::from(ErrorCode::KafkaStorageError));
    // Clients from before KAFKA_STORAGE_ERROR get the error that makes them look for another leader.
    let refused = client.call(&produce(TOPIC, 0, ALL, batch(1)), 3).await;
    assert_eq!(placed(&refused).error_code, i16::from(ErrorCode::NotLeaderOrFollower));
    let elsewhere = client.call(&produce(CALM, 0, ALL, batch(1)), PRODUCE).await;
    assert_eq!((placed(&elsewhere).error_code, placed(&elsewhere).base_offset), (0, 0));
}

#[tokio::test]
async fn producer_ids_are_given_once() {
    let stage = Stage::start().await;
    let (mut one, mut other) = (stage.client().await, stage.client().await);
    let mut ids = HashSet::new();
    // More than one block, and on two connections at a time.
    for _ in 0..700 {
        let sent = (
            one.send(&InitProducerIdRequest::default(), 4).await,
            other.send(&InitProducerIdRequest::default(), 4).await,
        );
        let given: [watershed_protocol::messages::init_producer_id::InitProducerIdResponse; 2] =
            [one.receive(sent.0).await, other.receive(sent.1).await];
        for given in given {
            assert_eq!((given.error_code, given.producer_epoch), (0, 0));
            assert!(given.producer_id >= 0);
            assert!(ids.insert(given.producer_id), "{} was given twice", given.producer_id);
        }
    }
}
