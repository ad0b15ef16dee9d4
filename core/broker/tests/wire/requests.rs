//! The requests that several tests send, and what is looked at in the answers.

use bytes::Bytes;
use watershed_model::record::{BatchBuilder, BatchHeader, NewRecord, ProducerSequence};
use watershed_model::{Timestamp, TopicId};
use watershed_protocol::StrBytes;
use watershed_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData};
use watershed_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};

use crate::stage::{Client, NOW, TOPIC};

/// The versions used: the last ones that name topics, so that requests are easy to read.
pub(crate) const PRODUCE: i16 = 12;
pub(crate) const FETCH: i16 = 12;
/// The latest Fetch, which names topics by id.
pub(crate) const FETCH_IDS: i16 = 17;

pub(crate) const ALL: i16 = -1;

/// A wait that no test sits through.
pub(crate) const FOR_EVER_MS: i32 = i32::MAX;

/// A batch of this many records with timestamps one apart, the last one `NOW`.
pub(crate) fn batch(records: i64) -> Bytes {
    sized(records, 10, ProducerSequence::NONE)
}

pub(crate) fn sized(records: i64, bytes: usize, producer: ProducerSequence) -> Bytes {
    let value = vec![b'w'; bytes];
    let mut builder = BatchBuilder::new().producer(producer);
    for n in 0..records {
        let record = NewRecord { key: None, value: Some(&value), headers: &[] };
        builder.push(Timestamp(NOW - records + 1 + n), record);
    }
    builder.build().unwrap()
}

/// A Produce of one batch.
pub(crate) fn produce(topic: &str, partition: i32, acks: i16, batch: Bytes) -> ProduceRequest {
    let records = Some(batch.into());
    let name = StrBytes::from_utf8(Bytes::copy_from_slice(topic.as_bytes())).unwrap();
    let partition_data = vec![PartitionProduceData { index: partition, records }];
    ProduceRequest {
        acks,
        timeout_ms: FOR_EVER_MS,
        topic_data: vec![TopicProduceData { name, partition_data, ..Default::default() }],
        ..Default::default()
    }
}

/// The only partition of an answer.
pub(crate) fn placed(response: &ProduceResponse) -> &PartitionProduceResponse {
    assert_eq!((response.responses.len(), response.responses[0].partition_responses.len()), (1, 1));
    &response.responses[0].partition_responses[0]
}

/// Appends records to partition 0 of the topic and waits for the acknowledgement: the first one's offset.
pub(crate) async fn put(client: &mut Client, records: i64) -> i64 {
    let response = client.call(&produce(TOPIC, 0, ALL, batch(records)), PRODUCE).await;
    assert_eq!(placed(&response).error_code, 0, "{response:?}");
    placed(&response).base_offset
}

/// A Fetch of one partition by name, that waits for one byte for ever.
pub(crate) fn fetch(topic: &str, partition: i32, fetch_offset: i64) -> FetchRequest {
    let name = StrBytes::from_utf8(Bytes::copy_from_slice(topic.as_bytes())).unwrap();
    let wanted = FetchPartition { partition, fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
    FetchRequest {
        max_wait_ms: FOR_EVER_MS,
        min_bytes: 1,
        topics: vec![FetchTopic { topic: name, partitions: vec![wanted], ..Default::default() }],
        ..Default::default()
    }
}

/// The same by id, for the newer versions.
pub(crate) fn fetch_by_id(topic_id: TopicId, partition: i32, fetch_offset: i64) -> FetchRequest {
    let mut request = fetch("", partition, fetch_offset);
    request.topics[0].topic_id = topic_id;
    request
}

/// The only partition of an answer without an error of its own.
pub(crate) fn fetched(response: &FetchResponse) -> &PartitionData {
    assert_eq!(response.error_code, 0);
    assert_eq!((response.responses.len(), response.responses[0].partitions.len()), (1, 1), "{response:?}");
    &response.responses[0].partitions[0]
}

/// The base offsets of the batches of an answer; each must be whole.
pub(crate) fn bases(data: &PartitionData) -> Vec<i64> {
    let mut bytes = data.records.as_bytes().unwrap();
    let mut bases = Vec::new();
    while !bytes.is_empty() {
        let header = BatchHeader::parse(&bytes).unwrap();
        bases.push(header.base_offset.0);
        bytes = bytes.slice(header.total_bytes as usize..);
    }
    bases
}
