//! Frames in and out of a blocking socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use watershed_model::Timestamp;
use watershed_model::record::{BatchBuilder, NewRecord};
use watershed_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use watershed_protocol::{Message, RecordBytes, Request, StrBytes, encode_request};

use crate::Failure;

/// The last version that names topics by name, which every broker of today serves.
const PRODUCE_VERSION: i16 = 9;

/// The largest response that is believed, in bytes.
const RESPONSE_BYTES_MAX: usize = 256 << 20;

/// Whom the load is for.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The broker
    #[arg(long)]
    pub(crate) bootstrap: String,
    /// The topic; empty for `end-to-end`
    #[arg(long)]
    pub(crate) topic: String,
    /// How many of its partitions take turns
    #[arg(long, default_value_t = 1)]
    pub(crate) partitions: i32,
    /// The size of each record's value in bytes; 12 at least for `end-to-end`
    #[arg(long, default_value_t = 1024)]
    pub(crate) bytes: usize,
}

pub(crate) fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One record of `value` as a batch.
pub(crate) fn batch(value: &[u8], timestamp: Timestamp) -> Result<Bytes, Failure> {
    let mut builder = BatchBuilder::new();
    builder.push(timestamp, NewRecord { value: Some(value), ..NewRecord::default() });
    Ok(builder.build()?)
}

/// A whole Produce frame of one batch for one partition.
pub(crate) fn produce_frame(topic: &str, partition: i32, acks: i16, records: Bytes) -> Result<Bytes, Failure> {
    let data = PartitionProduceData { index: partition, records: Some(RecordBytes::from(records)) };
    let name = StrBytes::from(topic);
    let topic_data = vec![TopicProduceData { name, partition_data: vec![data], ..TopicProduceData::default() }];
    let request = ProduceRequest { acks, timeout_ms: 30_000, topic_data, ..ProduceRequest::default() };
    Ok(encode_request(&request, PRODUCE_VERSION, 0, Some(&StrBytes::from("load")))?)
}

/// Fails if a Produce response names an error.
pub(crate) fn check_produced(frame: Bytes) -> Result<(), Failure> {
    let response = decode::<ProduceRequest>(frame, PRODUCE_VERSION)?;
    for place in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
        if place.error_code != 0 {
            return Err(format!("partition {}: error {}", place.index, place.error_code).into());
        }
    }
    Ok(())
}

/// A response's body, without its header.
pub(crate) fn decode<R: Request>(frame: Bytes, version: i16) -> Result<R::Response, Failure> {
    let (_, body) =
        watershed_protocol::ResponseHeader::decode(frame, watershed_protocol::frame::api_of::<R>(), version)?;
    Ok(R::Response::decode(body, version)?)
}

/// Reads one frame without its length.
pub(crate) fn read_frame(stream: &mut impl Read) -> Result<Bytes, Failure> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > RESPONSE_BYTES_MAX {
        return Err(format!("a response of {length} bytes").into());
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(frame.into())
}

/// Sends a request and reads its answer.
pub(crate) fn call<R: Request>(stream: &mut TcpStream, request: &R, version: i16) -> Result<R::Response, Failure> {
    stream.write_all(&encode_request(request, version, 0, Some(&StrBytes::from("load")))?)?;
    decode::<R>(read_frame(stream)?, version)
}
