//! How many clients there may be, how long they may be silent, and what they get when the broker stops.

use std::time::Duration;

use watershed_broker::Limits;
use watershed_protocol::messages::fetch::FetchRequest;

use crate::requests::{ALL, FETCH, PRODUCE, batch, fetch, fetched, placed, produce};
use crate::stage::{Client, Stage, TOPIC, guarded, limits};

/// Comes again until there is a place.
async fn admitted(stage: &Stage) -> Client {
    loop {
        let mut client = stage.client().await;
        if client.is_admitted().await {
            return client;
        }
    }
}

#[tokio::test]
async fn a_client_that_vanishes_while_parked_frees_its_place() {
    let stage = Stage::with(Limits { connections: 2, ..limits() }).await;
    let (mut reader, mut other) = (stage.client().await, stage.client().await);
    reader.send(&fetch(TOPIC, 0, 0), FETCH).await;
    stage.silent_but_for(&mut [&mut reader], &mut other).await;
    assert!(!stage.client().await.is_admitted().await, "both places are taken");
    drop(reader);
    guarded(admitted(&stage)).await;
}

#[tokio::test]
async fn there_are_only_so_many_places() {
    for bounded in [Limits { connections: 1, ..limits() }, Limits { connections_per_ip: 1, ..limits() }] {
        let stage = Stage::with(bounded).await;
        let mut first = stage.client().await;
        assert!(first.is_admitted().await);
        stage.client().await.closed().await;
        first.metadata().await;
        drop(first);
        guarded(admitted(&stage)).await;
    }
}

#[tokio::test]
async fn a_silent_client_is_let_go_and_a_waiting_one_is_not() {
    let stage = Stage::with(Limits { idle: Duration::from_millis(20), ..limits() }).await;
    let (mut idle, mut parked) = (stage.client().await, stage.client().await);
    let sent = parked.send(&FetchRequest { max_wait_ms: 500, ..fetch(TOPIC, 0, 0) }, FETCH).await;
    idle.closed().await;
    assert_eq!(fetched(&parked.receive(sent).await).error_code, 0);
}

#[tokio::test]
async fn a_frame_that_is_too_large_closes_the_connection() {
    let stage = Stage::with(Limits { frame_bytes: 1000, ..limits() }).await;
    let mut client = stage.client().await;
    client.metadata().await;
    let large = crate::requests::sized(1, 2000, watershed_model::record::ProducerSequence::NONE);
    client.send(&produce(TOPIC, 0, ALL, large), PRODUCE).await;
    client.closed().await;
    stage.client().await.metadata().await;
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight() {
    let stage = Stage::start().await;
    let (mut writer, mut reader) = (stage.client().await, stage.client().await);
    stage.faults.hold_tickets();
    let unpromised = writer.send(&produce(TOPIC, 0, ALL, batch(2)), PRODUCE).await;
    stage.appended(1).await;
    let parked = reader.send(&fetch(TOPIC, 1, 0), FETCH).await;
    stage.silent(&mut [&mut writer, &mut reader]).await;
    let clients = async {
        // The reader is answered at once; the writer when the promise holds, not before and not never.
        assert_eq!(fetched(&reader.receive(parked).await).error_code, 0);
        reader.closed().await;
        stage.faults.release_all();
        let response = writer.receive(unpromised).await;
        assert_eq!((placed(&response).error_code, placed(&response).base_offset), (0, 0));
        writer.closed().await;
    };
    let (stopped, ()) = guarded(async { tokio::join!(stage.broker.stop(), clients) }).await;
    stopped.unwrap();
    assert!(tokio::net::TcpStream::connect(stage.address).await.is_err(), "nobody listens any more");
}
