//! Fetch sessions (KIP-227) over the wire.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::fetch::{FetchRequest, FetchResponse, ForgottenTopic};

use crate::requests::{FETCH, FETCH_IDS, bases, fetch, fetch_by_id, fetched, put};
use crate::stage::{Client, Stage, TOPIC};

/// A request without partitions in a session, that does not wait.
fn next(session_id: i32, session_epoch: i32) -> FetchRequest {
    FetchRequest { max_wait_ms: 0, min_bytes: 1, session_id, session_epoch, ..Default::default() }
}

/// Opens a session on both partitions from offset 0; its id.
async fn open(stage: &Stage, client: &mut Client) -> i32 {
    let mut request = fetch_by_id(stage.topic_id(TOPIC), 0, 0);
    request.topics[0].partitions.extend(fetch(TOPIC, 1, 0).topics.remove(0).partitions);
    (request.max_wait_ms, request.session_epoch) = (0, 0);
    let response = client.call(&request, FETCH_IDS).await;
    assert_eq!(response.error_code, 0);
    assert_eq!(response.responses[0].partitions.len(), 2, "the answer to a full request is full");
    assert!(response.session_id > 0);
    response.session_id
}

#[tokio::test]
async fn a_session_answers_with_what_changed() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let id = open(&stage, &mut client).await;
    let nothing = client.call(&next(id, 1), FETCH_IDS).await;
    assert_eq!((nothing.error_code, nothing.session_id, nothing.responses.len()), (0, id, 0));
    put(&mut client, 2).await;
    let news = client.call(&next(id, 2), FETCH_IDS).await;
    assert_eq!((fetched(&news).partition_index, bases(fetched(&news))), (0, vec![0]));
    // The client has read it and says so; partition 1 stays as it was.
    let mut moved = next(id, 3);
    moved.topics = fetch_by_id(stage.topic_id(TOPIC), 0, 2).topics;
    assert_eq!(client.call(&moved, FETCH_IDS).await.responses, []);
    // A session waits like any fetch.
    let parked = client.send(&FetchRequest { max_wait_ms: i32::MAX, ..next(id, 4) }, FETCH_IDS).await;
    stage.silent(&mut [&mut client]).await;
    put(&mut stage.client().await, 1).await;
    assert_eq!(bases(fetched(&client.receive(parked).await)), [2]);
}

#[tokio::test]
async fn what_is_forgotten_is_not_mentioned_again() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let id = open(&stage, &mut client).await;
    put(&mut client, 1).await;
    let topic_id = stage.topic_id(TOPIC);
    let mut request = next(id, 1);
    request.forgotten_topics_data = vec![ForgottenTopic { topic_id, partitions: vec![0], ..Default::default() }];
    let response = client.call(&request, FETCH_IDS).await;
    assert_eq!((response.error_code, response.session_id, response.responses.len()), (0, id, 0));
    assert_eq!(client.call(&next(id, 2), FETCH_IDS).await.responses, []);
}

#[tokio::test]
async fn sessions_are_refused_with_their_codes() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let id = open(&stage, &mut client).await;
    let other = id.wrapping_add(1).max(1);
    for (request, version, want) in [
        (next(other, 1), FETCH_IDS, ErrorCode::FetchSessionIdNotFound),
        (next(id, 2), FETCH_IDS, ErrorCode::InvalidFetchSessionEpoch),
        (next(id, 1), FETCH, ErrorCode::FetchSessionTopicIdError),
    ] {
        let response: FetchResponse = client.call(&request, version).await;
        assert_eq!(response.error_code, i16::from(want));
        assert!(response.responses.is_empty());
    }
    // None of that has harmed the session.
    assert_eq!(client.call(&next(id, 1), FETCH_IDS).await.error_code, 0);
    // A full request ends it.
    let mut last = fetch_by_id(stage.topic_id(TOPIC), 0, 0);
    (last.max_wait_ms, last.session_id, last.session_epoch) = (0, id, -1);
    assert_eq!(client.call(&last, FETCH_IDS).await.session_id, 0);
    let gone = client.call(&next(id, 2), FETCH_IDS).await.error_code;
    assert_eq!(gone, i16::from(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn the_codes_are_kafkas() {
    let codes = [
        ErrorCode::FetchSessionIdNotFound,
        ErrorCode::InvalidFetchSessionEpoch,
        ErrorCode::FetchSessionTopicIdError,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::UnknownLeaderEpoch,
    ];
    assert_eq!(codes.map(i16::from), [70, 71, 106, 74, 75]);
}
