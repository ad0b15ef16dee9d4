//! Fetch: the long poll, its limits, and the offsets and epochs it refuses.

use watershed_protocol::ErrorCode;

use crate::requests::{FETCH, FETCH_IDS, FOR_EVER_MS, bases, batch, fetch, fetch_by_id, fetched, put, sized};
use crate::stage::{Stage, TOPIC};

#[tokio::test]
async fn a_parked_fetch_is_woken_by_an_append() {
    let stage = Stage::start().await;
    let (mut reader, mut writer) = (stage.client().await, stage.client().await);
    let parked = reader.send(&fetch(TOPIC, 0, 0), FETCH).await;
    stage.silent(&mut [&mut reader]).await;
    put(&mut writer, 3).await;
    let response = reader.receive(parked).await;
    let data = fetched(&response);
    assert_eq!((bases(data), data.error_code, data.high_watermark, data.last_stable_offset), (vec![0], 0, 3, 3));
}

/// What is not promised cannot be read: the promise is what wakes.
#[tokio::test]
async fn a_parked_fetch_is_not_woken_before_the_promise() {
    let stage = Stage::start().await;
    let (mut reader, mut writer) = (stage.client().await, stage.client().await);
    let parked = reader.send(&fetch(TOPIC, 0, 0), FETCH).await;
    stage.faults.hold_tickets();
    writer.send(&crate::requests::produce(TOPIC, 0, 1, batch(1)), crate::requests::PRODUCE).await;
    stage.appended(1).await;
    stage.silent(&mut [&mut reader]).await;
    stage.faults.release_all();
    assert_eq!(bases(fetched(&reader.receive(parked).await)), [0]);
}

#[tokio::test]
async fn a_parked_fetch_is_woken_by_the_deletion_of_its_topic() {
    let stage = Stage::start().await;
    let (mut by_name, mut by_id) = (stage.client().await, stage.client().await);
    let named = by_name.send(&fetch(TOPIC, 0, 0), FETCH).await;
    let with_id = by_id.send(&fetch_by_id(stage.topic_id(TOPIC), 0, 0), FETCH_IDS).await;
    stage.silent(&mut [&mut by_name, &mut by_id]).await;
    stage.delete(TOPIC).await;
    let codes = [fetched(&by_name.receive(named).await).error_code, fetched(&by_id.receive(with_id).await).error_code];
    assert_eq!(codes, [i16::from(ErrorCode::UnknownTopicOrPartition), ErrorCode::UnknownTopicId.into()]);
}

#[tokio::test]
async fn a_fetch_without_data_ends_with_its_wait() {
    let stage = Stage::start().await;
    let mut reader = stage.client().await;
    for max_wait_ms in [0, 1, 20] {
        let response = reader
            .call(&watershed_protocol::messages::fetch::FetchRequest { max_wait_ms, ..fetch(TOPIC, 0, 0) }, FETCH)
            .await;
        let data = fetched(&response);
        assert_eq!((data.error_code, data.records.len(), data.high_watermark), (0, 0, 0));
    }
}

#[tokio::test]
async fn min_bytes_are_waited_for() {
    let stage = Stage::start().await;
    let (mut reader, mut writer) = (stage.client().await, stage.client().await);
    let one = batch(1).len();
    let mut request = fetch(TOPIC, 0, 0);
    request.min_bytes = i32::try_from(2 * one).unwrap();
    let parked = reader.send(&request, FETCH).await;
    put(&mut writer, 1).await;
    stage.silent(&mut [&mut reader]).await;
    put(&mut writer, 1).await;
    assert_eq!(bases(fetched(&reader.receive(parked).await)), [0, 1]);
}

/// Records on any of the partitions count and wake.
#[tokio::test]
async fn a_fetch_waits_for_all_its_partitions() {
    let stage = Stage::start().await;
    let (mut reader, mut writer) = (stage.client().await, stage.client().await);
    let mut request = fetch(TOPIC, 1, 0);
    request.topics[0].partitions.extend(fetch(TOPIC, 0, 0).topics.remove(0).partitions);
    let parked = reader.send(&request, FETCH).await;
    stage.silent(&mut [&mut reader]).await;
    put(&mut writer, 1).await;
    let response: watershed_protocol::messages::fetch::FetchResponse = reader.receive(parked).await;
    let found: Vec<_> = response.responses[0].partitions.iter().map(|p| (p.partition_index, bases(p))).collect();
    assert_eq!(found, [(1, vec![]), (0, vec![0])]);
}

#[tokio::test]
async fn an_offset_inside_a_batch_gets_the_whole_batch() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    assert_eq!((put(&mut client, 3).await, put(&mut client, 3).await, put(&mut client, 1).await), (0, 3, 6));
    for (offset, want) in [(0, vec![0, 3, 6]), (2, vec![0, 3, 6]), (3, vec![3, 6]), (5, vec![3, 6]), (6, vec![6])] {
        let response = client.call(&fetch(TOPIC, 0, offset), FETCH).await;
        assert_eq!(bases(fetched(&response)), want, "from {offset}");
    }
}

#[tokio::test]
async fn the_first_batch_ignores_the_limits_and_no_other_does() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    for _ in 0..2 {
        let large = sized(1, 1000, watershed_model::record::ProducerSequence::NONE);
        client.call(&crate::requests::produce(TOPIC, 0, 1, large), crate::requests::PRODUCE).await;
    }
    let both = i32::try_from(2 * sized(1, 1000, watershed_model::record::ProducerSequence::NONE).len()).unwrap();
    for (max_bytes, partition_max_bytes, want) in [
        (10, both, vec![0]),
        (both, 10, vec![0]),
        (both - 1, both, vec![0]),
        (both, both - 1, vec![0]),
        (both, both, vec![0, 1]),
    ] {
        let mut request = fetch(TOPIC, 0, 0);
        request.max_bytes = max_bytes;
        request.topics[0].partitions[0].partition_max_bytes = partition_max_bytes;
        let response = client.call(&request, FETCH).await;
        assert_eq!(bases(fetched(&response)), want, "max {max_bytes}, of a partition {partition_max_bytes}");
    }
}

#[tokio::test]
async fn offsets_outside_the_log_are_refused_at_once() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    put(&mut client, 2).await;
    for (offset, want) in
        [(-1, ErrorCode::OffsetOutOfRange), (3, ErrorCode::OffsetOutOfRange), (i64::MAX, ErrorCode::OffsetOutOfRange)]
    {
        let response = client.call(&fetch(TOPIC, 0, offset), FETCH).await;
        let data = fetched(&response);
        assert_eq!((data.error_code, data.records.len()), (want.into(), 0), "at {offset}");
    }
    // The end itself is a place to wait at.
    let parked = client.send(&fetch(TOPIC, 0, 2), FETCH).await;
    stage.silent(&mut [&mut client]).await;
    put(&mut stage.client().await, 1).await;
    assert_eq!(bases(fetched(&client.receive(parked).await)), [2]);
}

#[tokio::test]
async fn partitions_that_are_not_there_are_refused_at_once() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    for (topic, partition) in [("nothing", 0), (TOPIC, 2), (TOPIC, -1)] {
        let response = client.call(&fetch(topic, partition, 0), FETCH).await;
        assert_eq!(fetched(&response).error_code, i16::from(ErrorCode::UnknownTopicOrPartition), "{topic}-{partition}");
    }
    let unknown = watershed_model::TopicId([9; 16]);
    let response = client.call(&fetch_by_id(unknown, 0, 0), FETCH_IDS).await;
    assert_eq!(fetched(&response).error_code, i16::from(ErrorCode::UnknownTopicId));
}

#[tokio::test]
async fn leader_epochs_are_compared() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    put(&mut client, 1).await;
    for (epoch, want) in [
        (-1, ErrorCode::None),
        (1, ErrorCode::None),
        (0, ErrorCode::FencedLeaderEpoch),
        (2, ErrorCode::UnknownLeaderEpoch),
    ] {
        let mut request = fetch(TOPIC, 0, 0);
        assert_eq!(request.max_wait_ms, FOR_EVER_MS, "an error is answered without waiting");
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response = client.call(&request, FETCH).await;
        assert_eq!(fetched(&response).error_code, i16::from(want), "epoch {epoch}");
    }
}

#[tokio::test]
async fn a_reader_that_has_other_records_learns_where_they_part() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    put(&mut client, 2).await;
    // It has a record of epoch 1 at offset 4, but epoch 1 ends at 2 here.
    let mut request = fetch(TOPIC, 0, 5);
    request.topics[0].partitions[0].last_fetched_epoch = 1;
    let response = client.call(&request, FETCH).await;
    let data = fetched(&response);
    assert_eq!((data.error_code, data.records.len()), (0, 0));
    assert_eq!((data.diverging_epoch.epoch, data.diverging_epoch.end_offset), (1, 2));
}
