//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsTopic,
};
use watershed_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use watershed_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use crate::requests::{FETCH, bases, fetch, fetched, put};
use crate::stage::{Client, NOW, Stage, TOPIC};

async fn list(client: &mut Client, version: i16, epoch: i32, timestamp: i64) -> ListOffsetsPartitionResponse {
    let partitions = vec![ListOffsetsPartition { partition_index: 0, current_leader_epoch: epoch, timestamp }];
    let topics = vec![ListOffsetsTopic { name: TOPIC.to_owned(), partitions }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
    client.call(&request, version).await.topics.remove(0).partitions.remove(0)
}

async fn delete(client: &mut Client, partition_index: i32, offset: i64) -> DeleteRecordsPartitionResult {
    let partitions = vec![DeleteRecordsPartition { partition_index, offset }];
    let topics = vec![DeleteRecordsTopic { name: TOPIC.to_owned(), partitions }];
    client.call(&DeleteRecordsRequest { topics, timeout_ms: 1000 }, 2).await.topics.remove(0).partitions.remove(0)
}

async fn epoch_end(client: &mut Client, current: i32, epoch: i32) -> EpochEndOffset {
    let partitions =
        vec![OffsetForLeaderPartition { partition: 0, current_leader_epoch: current, leader_epoch: epoch }];
    let topics = vec![OffsetForLeaderTopic { topic: TOPIC.to_owned(), partitions }];
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics };
    client.call(&request, 4).await.topics.remove(0).partitions.remove(0)
}

#[tokio::test]
async fn offsets_by_time_and_by_name() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    // Timestamps NOW-2, NOW-1, NOW and again NOW.
    assert_eq!((put(&mut client, 3).await, put(&mut client, 1).await), (0, 3));
    assert_eq!(delete(&mut client, 0, 1).await.error_code, 0);
    for (timestamp, want) in [
        (-1, (-1, 4, 1)),     // latest
        (-2, (-1, 1, 1)),     // earliest
        (-3, (NOW, 2, 1)),    // the first with the largest timestamp
        (-4, (-1, 1, 1)),     // the earliest that is here
        (-5, (-1, -1, -1)),   // the latest in tiered storage: there is none
        (0, (NOW - 1, 1, 1)), // the first that was not deleted
        (NOW, (NOW, 2, 1)),
        (NOW + 1, (-1, -1, -1)),
    ] {
        let found = list(&mut client, 11, 1, timestamp).await;
        assert_eq!(found.error_code, 0, "{timestamp}: {found:?}");
        assert_eq!((found.timestamp, found.offset, found.leader_epoch), want, "for {timestamp}");
    }
}

#[tokio::test]
async fn special_timestamps_need_their_version() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    for (timestamp, since) in [(-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
        for (version, want) in [(since - 1, ErrorCode::UnsupportedVersion), (since, ErrorCode::None)] {
            let found = list(&mut client, version, -1, timestamp).await;
            assert_eq!(found.error_code, i16::from(want), "{timestamp} in version {version}");
        }
    }
}

#[tokio::test]
async fn latest_is_what_is_promised() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    put(&mut client, 2).await;
    stage.faults.hold_tickets();
    stage.client().await.send(&crate::requests::produce(TOPIC, 0, 0, crate::requests::batch(1)), 12).await;
    stage.appended(2).await;
    assert_eq!(list(&mut client, 7, -1, -1).await.offset, 2);
    stage.faults.release_all();
    // A reader that waits for it sees the promise arrive.
    assert_eq!(bases(fetched(&client.call(&fetch(TOPIC, 0, 2), FETCH).await)), [2]);
    assert_eq!(list(&mut client, 7, -1, -1).await.offset, 3);
}

#[tokio::test]
async fn epochs_are_compared_and_their_ends_known() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    put(&mut client, 3).await;
    for (epoch, code) in [(-1, 0), (1, 0), (0, 74), (2, 75)] {
        assert_eq!(list(&mut client, 7, epoch, -1).await.error_code, code, "ListOffsets in epoch {epoch}");
        assert_eq!(epoch_end(&mut client, epoch, 1).await.error_code, code, "OffsetForLeaderEpoch in epoch {epoch}");
    }
    let own = epoch_end(&mut client, 1, 1).await;
    assert_eq!((own.leader_epoch, own.end_offset), (1, 3));
    let future = epoch_end(&mut client, 1, 7).await;
    assert_eq!((future.error_code, future.leader_epoch, future.end_offset), (0, -1, -1));
}

#[tokio::test]
async fn deleted_records_cannot_be_read() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    assert_eq!((put(&mut client, 2).await, put(&mut client, 2).await), (0, 2));
    let deleted = delete(&mut client, 0, 3).await;
    assert_eq!((deleted.error_code, deleted.low_watermark), (0, 3));
    let below = client.call(&fetch(TOPIC, 0, 2), FETCH).await;
    assert_eq!(fetched(&below).error_code, i16::from(ErrorCode::OffsetOutOfRange));
    let response = client.call(&fetch(TOPIC, 0, 3), FETCH).await;
    assert_eq!((bases(fetched(&response)), fetched(&response).log_start_offset), (vec![2], 3), "batches stay whole");
    // Going back changes nothing, past the end is refused, and -1 is everything.
    let again = delete(&mut client, 0, 1).await;
    assert_eq!((again.error_code, again.low_watermark), (0, 3));
    let past = delete(&mut client, 0, 5).await;
    assert_eq!((past.error_code, past.low_watermark), (i16::from(ErrorCode::OffsetOutOfRange), -1));
    let all = delete(&mut client, 0, -1).await;
    assert_eq!((all.error_code, all.low_watermark), (0, 4));
    assert_eq!(list(&mut client, 7, -1, -2).await.offset, 4);
    let unknown = delete(&mut client, 9, 0).await;
    assert_eq!(unknown.error_code, i16::from(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(put(&mut client, 1).await, 4, "offsets go on");
}
