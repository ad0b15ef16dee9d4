//! One connection, in raw frames.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use watershed_model::Timestamp;
use watershed_model::record::{BatchBuilder, NewRecord};
use watershed_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use watershed_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use watershed_protocol::messages::{CreateTopicsRequest, MetadataRequest, create_topics::CreatableTopic};
use watershed_protocol::{ApiKey, Message, Request, ResponseHeader, StrBytes, encode_request};

use crate::common::{Broker, PATIENCE};

/// The last versions that name topics.
pub(crate) const PRODUCE: i16 = 12;
pub(crate) const FETCH: i16 = 12;
pub(crate) const METADATA: i16 = 12;

/// What every request of a peer is numbered.
const CORRELATION: i32 = 7;

pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) fn connect(broker: &Broker) -> Self {
        Self::to(&broker.address)
    }

    pub(crate) fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // The broker may have closed already, which is what is tested.
        let _ = self.0.write_all(bytes);
    }

    /// Sends as much as goes without waiting; how much that was.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> usize {
        self.0.set_nonblocking(true).unwrap();
        let mut done = 0;
        while done < bytes.len() {
            match self.0.write(&bytes[done..]) {
                Ok(written) => done += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the broker closed the connection: {error}"),
            }
        }
        self.0.set_nonblocking(false).unwrap();
        done
    }

    pub(crate) fn frame(&mut self) -> Option<Bytes> {
        let mut size = [0; 4];
        self.0.read_exact(&mut size).ok()?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        self.0.read_exact(&mut frame).ok()?;
        Some(frame.into())
    }

    /// The answer to a request that was sent.
    pub(crate) fn answer<R: Request>(&mut self, version: i16) -> R::Response {
        let api = ApiKey::try_from(R::SCHEMA.api).unwrap();
        let frame = self.frame().expect("the broker answers in time");
        let (header, body) = ResponseHeader::decode(frame, api, version).unwrap();
        assert_eq!(header.correlation_id, CORRELATION);
        R::Response::decode(body, version).unwrap()
    }

    pub(crate) fn ask<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.send(&encoded(request, version));
        self.answer::<R>(version)
    }

    /// Whether the broker closes the connection without a word.
    pub(crate) fn is_cut(&mut self) -> bool {
        let mut rest = Vec::new();
        matches!(self.0.read_to_end(&mut rest), Ok(0)) || rest.is_empty()
    }

    pub(crate) fn create(&mut self, topic: &str, partitions: i32) {
        let topic = CreatableTopic {
            name: topic.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, validate_only: false };
        assert_eq!(self.ask(&request, 7).topics[0].error_code, 0);
    }
}

pub(crate) fn encoded<R: Request>(request: &R, version: i16) -> Bytes {
    encode_request(request, version, CORRELATION, None).unwrap()
}

/// A frame from its parts, right or wrong.
pub(crate) fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(9i32.to_be_bytes());
    frame.extend((-1i16).to_be_bytes());
    frame.extend(body);
    let mut out = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    out.extend(frame);
    out
}

pub(crate) fn metadata() -> Bytes {
    encoded(&MetadataRequest { topics: None, ..Default::default() }, METADATA)
}

/// A batch of one record.
pub(crate) fn batch(value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(Timestamp(1_700_000_000_000), NewRecord { key: None, value: Some(value), headers: &[] });
    builder.build().unwrap()
}

/// A Produce of one record to one partition, acks=all.
pub(crate) fn produce(topic: &str, partition: i32, value: &[u8]) -> ProduceRequest {
    let partition_data = vec![PartitionProduceData { index: partition, records: Some(batch(value).into()) }];
    let name = StrBytes::from_utf8(Bytes::copy_from_slice(topic.as_bytes())).unwrap();
    ProduceRequest {
        acks: -1,
        timeout_ms: 60_000,
        topic_data: vec![TopicProduceData { name, partition_data, ..Default::default() }],
        ..Default::default()
    }
}

/// A Fetch of one partition that takes whatever there is, at once.
pub(crate) fn fetch(topic: &str, partition: i32, fetch_offset: i64, partition_max_bytes: i32) -> FetchRequest {
    let name = StrBytes::from_utf8(Bytes::copy_from_slice(topic.as_bytes())).unwrap();
    let wanted = FetchPartition { partition, fetch_offset, partition_max_bytes, ..Default::default() };
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 0,
        topics: vec![FetchTopic { topic: name, partitions: vec![wanted], ..Default::default() }],
        ..Default::default()
    }
}
