//! A producer against a broker that loses connections: a scripted one on a real socket, which keeps the rules of idempotence
//! and says what it has in its log.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use watershed_client::{
    Acks, Client, ClientConfig, ClientError, ConnectionOptions, Producer, ProducerConfig, ProducerRecord,
};
use watershed_model::record::{Compression, NewRecord, RecordBatch};
use watershed_model::{ManualClock, Timestamp, TopicId};
use watershed_protocol::frame::split_frame;
use watershed_protocol::messages::api_versions::ApiVersion;
use watershed_protocol::messages::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use watershed_protocol::messages::produce::{PartitionProduceResponse, TopicProduceResponse};
use watershed_protocol::messages::{
    ApiVersionsResponse, InitProducerIdResponse, MetadataResponse, ProduceRequest, ProduceResponse,
};
use watershed_protocol::{ApiKey, ErrorCode, Message, Piece, RequestHeader, encode_response};

/// What the broker does with one Produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Appends and answers.
    Serve,
    /// Appends and hangs up.
    LoseAnswer,
    /// Hangs up without appending.
    LoseRequest,
    /// Answers with this error.
    Refuse(ErrorCode),
}

#[derive(Default)]
struct Log {
    values: Vec<String>,
    /// The next sequence that is taken, and batches that were: first sequence to offset.
    next: i32,
    epoch: i16,
    seen: Vec<(i16, i32, i64)>,
    script: Vec<Act>,
    produced: usize,
}

struct Broker {
    port: u16,
    log: Arc<Mutex<Log>>,
}

const TOPIC: TopicId = TopicId([9; 16]);

impl Broker {
    async fn start(script: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Mutex::new(Log { script: script.to_vec(), ..Log::default() }));
        let shared = Arc::clone(&log);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, port, Arc::clone(&shared)));
            }
        });
        Self { port, log }
    }

    async fn client(&self) -> Client {
        let config = ClientConfig {
            bootstrap: vec![format!("127.0.0.1:{}", self.port)],
            connection: ConnectionOptions { request_timeout: Duration::from_secs(10), ..ConnectionOptions::default() },
            retry_backoff: Duration::from_millis(5),
            retry_backoff_max: Duration::from_millis(20),
            ..ClientConfig::default()
        };
        Client::connect(config).await.unwrap()
    }
}

async fn serve(mut stream: TcpStream, port: u16, log: Arc<Mutex<Log>>) {
    let mut received = BytesMut::new();
    loop {
        while let Some(frame) = split_frame(&mut received, 1 << 24).unwrap() {
            let (header, body) = RequestHeader::decode(frame).unwrap();
            let Some(answer) = answer(&header, body, port, &log) else { return };
            stream.write_all(&answer).await.unwrap();
        }
        if !matches!(stream.read_buf(&mut received).await, Ok(1..)) {
            return;
        }
    }
}

fn encode<R: watershed_protocol::Response>(header: &RequestHeader, response: &R) -> Option<Vec<u8>> {
    let pieces = encode_response(response, header.api_version, header.correlation_id).unwrap();
    let bytes = pieces.into_iter().map(|p| match p {
        Piece::Bytes(bytes) => bytes,
        Piece::File { .. } => panic!("no file here"),
    });
    Some(bytes.flatten().collect())
}

/// The answer, or `None` to hang up.
fn answer(header: &RequestHeader, body: Bytes, port: u16, log: &Mutex<Log>) -> Option<Vec<u8>> {
    match ApiKey::try_from(header.api_key).unwrap() {
        ApiKey::ApiVersions => {
            let apis =
                [(ApiKey::Metadata, 12), (ApiKey::InitProducerId, 5), (ApiKey::Produce, 13), (ApiKey::ApiVersions, 4)];
            let api_keys = apis.map(|(k, max)| ApiVersion { api_key: k.get(), min_version: 0, max_version: max });
            encode(header, &ApiVersionsResponse { api_keys: api_keys.to_vec(), ..Default::default() })
        }
        ApiKey::Metadata => encode(header, &metadata(port)),
        ApiKey::InitProducerId => {
            encode(header, &InitProducerIdResponse { producer_id: 4, producer_epoch: 0, ..Default::default() })
        }
        ApiKey::Produce => {
            let request = ProduceRequest::decode(body, header.api_version).unwrap();
            let result = produce(&request, &mut log.lock())?;
            encode(header, &result)
        }
        other => panic!("{other} was not expected"),
    }
}

fn metadata(port: u16) -> MetadataResponse {
    let partition = MetadataResponsePartition { leader_id: 1, leader_epoch: 0, ..Default::default() };
    let topic = MetadataResponseTopic {
        name: Some("t".into()),
        topic_id: TOPIC,
        partitions: vec![partition],
        ..Default::default()
    };
    let broker = MetadataResponseBroker { node_id: 1, host: "127.0.0.1".into(), port: i32::from(port), rack: None };
    MetadataResponse { brokers: vec![broker], topics: vec![topic], ..Default::default() }
}

/// Kafka's rules: a known batch is answered again, the next sequence is appended, everything else is out of order.
fn produce(request: &ProduceRequest, log: &mut Log) -> Option<ProduceResponse> {
    let act = log.script.get(log.produced).copied().unwrap_or(Act::Serve);
    log.produced += 1;
    let data = &request.topic_data[0].partition_data[0];
    let mut bytes = data.records.clone().unwrap().into_bytes();
    let batch = RecordBatch::split_from(&mut bytes).unwrap();
    assert!(bytes.is_empty() && batch.crc_is_valid());
    let (epoch, sequence) = (batch.header.producer_epoch.0, batch.header.base_sequence);
    let known = log.seen.iter().find(|(e, s, _)| (*e, *s) == (epoch, sequence)).map(|(.., offset)| *offset);
    if epoch > log.epoch && sequence == 0 {
        (log.epoch, log.next) = (epoch, 0);
    }
    let (error, offset) = match (act, known) {
        (Act::LoseRequest, _) => return None,
        (Act::Refuse(code), _) => (code, -1),
        (Act::Serve | Act::LoseAnswer, Some(offset)) => (ErrorCode::None, offset),
        (Act::Serve | Act::LoseAnswer, None) if (epoch, sequence) != (log.epoch, log.next) => {
            (ErrorCode::OutOfOrderSequenceNumber, -1)
        }
        (Act::Serve | Act::LoseAnswer, None) => {
            let offset = log.values.len() as i64;
            log.seen.push((epoch, sequence, offset));
            log.next += batch.header.record_count;
            for record in batch.owned_records().unwrap() {
                log.values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            }
            (ErrorCode::None, offset)
        }
    };
    if act == Act::LoseAnswer {
        return None;
    }
    let partition =
        PartitionProduceResponse { index: 0, error_code: error.code(), base_offset: offset, ..Default::default() };
    let topic = TopicProduceResponse { name: "t".into(), topic_id: TOPIC, partition_responses: vec![partition] };
    Some(ProduceResponse { responses: vec![topic], ..Default::default() })
}

fn config() -> ProducerConfig {
    // Small batches, so that many are in flight.
    ProducerConfig {
        batch_bytes: 200,
        linger: Duration::ZERO,
        compression: Compression::Lz4,
        ..ProducerConfig::default()
    }
}

/// Sends the numbers below `count`; what each delivery came to.
async fn send_all(broker: &Broker, config: ProducerConfig, count: u32) -> Vec<Result<Option<i64>, ClientError>> {
    let clock = Arc::new(ManualClock::at(Timestamp(1)));
    let producer = Producer::new(broker.client().await, config, clock).unwrap();
    let mut deliveries = Vec::new();
    for i in 0..count {
        let value = i.to_string();
        let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
        let record = ProducerRecord { topic: "t", partition: 0, timestamp: None, record };
        deliveries.push(producer.send(record).await.unwrap());
    }
    producer.flush().await;
    let mut out = Vec::new();
    for delivery in deliveries {
        out.push(delivery.wait().await.map(|d| d.offset.map(|o| o.0)));
    }
    assert_eq!(producer.buffered_bytes(), 0, "everything delivered is let go of");
    producer.close().await;
    out
}

fn numbers(count: u32) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

#[tokio::test]
async fn every_record_is_there_once_and_in_order_through_every_loss() {
    use Act::{LoseAnswer, LoseRequest, Refuse, Serve};
    let later = Refuse(ErrorCode::NotLeaderOrFollower);
    let scripts: &[&[Act]] = &[
        &[],
        &[LoseAnswer],
        &[LoseRequest],
        &[Serve, LoseAnswer, LoseAnswer, LoseRequest, LoseAnswer],
        &[Serve, Serve, LoseRequest, Serve, Serve, LoseAnswer],
        &[later, Serve, later, Serve, LoseAnswer, later],
        &[Serve, Serve, Serve, later, LoseRequest, later, Serve, LoseAnswer],
    ];
    for script in scripts {
        let broker = Broker::start(script).await;
        let delivered = send_all(&broker, config(), 200).await;
        for (i, offset) in (0..).zip(delivered) {
            assert_eq!(offset.unwrap(), Some(i), "{script:?}");
        }
        assert_eq!(broker.log.lock().values, numbers(200), "{script:?}");
    }
}

#[tokio::test]
async fn a_refused_batch_fails_alone() {
    let script = [Act::Serve, Act::Serve, Act::Refuse(ErrorCode::InvalidRecord)];
    let broker = Broker::start(&script).await;
    let delivered = send_all(&broker, config(), 200).await;
    let failed: Vec<_> = delivered.iter().filter_map(|d| d.as_ref().err()).collect();
    assert!(!failed.is_empty() && failed.len() < 100);
    assert!(failed.iter().all(|e| e.code() == Some(ErrorCode::InvalidRecord)), "{:?}", failed[0]);
    // What was acknowledged is there, once, in order, under the offset that was said.
    let log = broker.log.lock();
    let acknowledged: Vec<_> = (0..).zip(&delivered).filter(|(_, d)| d.is_ok()).collect();
    assert_eq!(log.values.len(), acknowledged.len());
    for (i, offset) in acknowledged {
        let offset = offset.as_ref().unwrap().unwrap();
        assert_eq!(log.values[offset as usize], i.to_string());
    }
}

#[tokio::test]
async fn too_large_batches_are_cut() {
    let script = [Act::Serve, Act::Refuse(ErrorCode::MessageTooLarge), Act::Serve];
    let broker = Broker::start(&script).await;
    let delivered = send_all(&broker, config(), 100).await;
    for (i, offset) in (0..).zip(delivered) {
        assert_eq!(offset.unwrap(), Some(i));
    }
    assert_eq!(broker.log.lock().values, numbers(100));
}

#[tokio::test]
async fn deliveries_fail_when_their_time_is_over() {
    let script = [Act::Refuse(ErrorCode::NotLeaderOrFollower); 10_000];
    let broker = Broker::start(&script).await;
    let config = ProducerConfig { delivery_timeout: Duration::from_millis(300), ..config() };
    for delivery in send_all(&broker, config, 10).await {
        let error = delivery.unwrap_err();
        // A batch that was never sent in that time has no refusal to name.
        let expected =
            matches!(error, ClientError::Timeout { .. }) || error.code() == Some(ErrorCode::NotLeaderOrFollower);
        assert!(expected, "{error}");
    }
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused() {
    let broker = Broker::start(&[]).await;
    let clock = || Arc::new(ManualClock::at(Timestamp(1)));
    for bad in [
        ProducerConfig { acks: Acks::Leader, ..ProducerConfig::default() },
        ProducerConfig { in_flight_max: 6, ..ProducerConfig::default() },
        ProducerConfig { in_flight_max: 0, ..ProducerConfig::default() },
        ProducerConfig { batch_bytes: 2 << 20, ..ProducerConfig::default() },
        ProducerConfig { buffer_bytes_max: 10, ..ProducerConfig::default() },
    ] {
        assert!(Producer::new(broker.client().await, bad, clock()).is_err());
    }
    let producer = Producer::new(broker.client().await, ProducerConfig::default(), clock()).unwrap();
    let huge = vec![0; 2 << 20];
    let record = NewRecord { value: Some(&huge), ..NewRecord::default() };
    let new = |partition, record| ProducerRecord { topic: "t", partition, timestamp: None, record };
    assert!(matches!(producer.send(new(0, record)).await, Err(ClientError::RecordTooLarge { .. })));
    assert!(matches!(producer.send(new(7, NewRecord::default())).await, Err(ClientError::Invalid(_))));
}
