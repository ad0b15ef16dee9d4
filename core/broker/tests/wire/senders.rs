//! Frames that come in parts, slowly, or not at all; answers that are not read.

use std::time::Duration;

use bytes::Bytes;
use watershed_broker::Limits;
use watershed_model::record::ProducerSequence;
use watershed_protocol::messages::produce::ProduceResponse;
use watershed_protocol::{StrBytes, encode_request};

use crate::requests::{ALL, FETCH, PRODUCE, fetch, placed, produce, put, sized};
use crate::stage::{Client, Sent, Stage, TOPIC, limits};

/// A Produce frame a little larger than this.
fn large(bytes: usize) -> Bytes {
    let request = produce(TOPIC, 0, ALL, sized(1, bytes, ProducerSequence::NONE));
    encode_request(&request, PRODUCE, 1, Some(&StrBytes::from_static("wire-test"))).unwrap()
}

async fn placed_at(client: &mut Client) -> i64 {
    let response: ProduceResponse = client.receive(Sent::first(PRODUCE)).await;
    assert_eq!(placed(&response).error_code, 0);
    placed(&response).base_offset
}

#[tokio::test]
async fn a_frame_that_was_only_announced_takes_nothing_from_the_budget() {
    let stage = Stage::with(Limits { in_flight_bytes: 256 << 10, ..limits() }).await;
    let (mut slow, mut other) = (stage.client().await, stage.client().await);
    let frame = large(900_000);
    slow.raw(&frame[..100]).await;
    stage.settle().await;
    assert_eq!(put(&mut other, 1).await, 0);
    // More than others may read without asking, still in proportion.
    slow.raw(&frame[100..70_000]).await;
    stage.settle().await;
    assert_eq!(put(&mut other, 1).await, 1);
    slow.raw(&frame[70_000..]).await;
    assert_eq!(placed_at(&mut slow).await, 2);
}

#[tokio::test]
async fn frames_that_hold_parts_of_the_budget_do_not_wait_for_each_other_for_ever() {
    let stage = Stage::with(Limits { in_flight_bytes: 256 << 10, ..limits() }).await;
    let mut clients = Vec::new();
    let frame = large(300_000);
    for _ in 0..4 {
        let mut client = stage.client().await;
        client.raw(&frame[..100_000]).await;
        stage.settle().await;
        clients.push(client);
    }
    let mut offsets = Vec::new();
    for client in &mut clients {
        client.raw(&frame[100_000..]).await;
    }
    for client in &mut clients {
        offsets.push(placed_at(client).await);
    }
    offsets.sort_unstable();
    assert_eq!(offsets, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_let_go() {
    let stage = Stage::with(Limits { idle: Duration::from_millis(200), connections: 2, ..limits() }).await;
    let mut writer = stage.client().await;
    for _ in 0..40 {
        let sent = writer.send(&produce(TOPIC, 0, ALL, sized(1, 900_000, ProducerSequence::NONE)), PRODUCE).await;
        let response: ProduceResponse = writer.receive(sent).await;
        assert_eq!(placed(&response).error_code, 0);
    }
    let mut deaf = stage.client().await;
    let mut request = fetch(TOPIC, 0, 0);
    request.topics[0].partitions[0].partition_max_bytes = i32::MAX;
    // More than the buffers of both ends hold.
    for _ in 0..4 {
        deaf.send(&request, FETCH).await;
    }
    // Only when it is gone is there a place for another.
    drop(writer);
    crate::stage::guarded(async {
        let mut others = Vec::new();
        while others.len() < 2 {
            let mut client = stage.client().await;
            if client.is_admitted().await {
                others.push(client);
            }
        }
    })
    .await;
}
