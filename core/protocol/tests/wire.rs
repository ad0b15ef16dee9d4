//! Tables of single values: primitive types, headers, frames, and a few whole messages as Kafka's own Java classes
//! (4.2.0) write them, among them the versions that the oracle of `oracle.rs` does not know.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs::File;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use watershed_model::TopicId;
use watershed_protocol::frame::{FrameError, frame_length, split_frame};
use watershed_protocol::messages::describe_topic_partitions as dtp;
use watershed_protocol::messages::fetch::{
    FetchPartition, FetchTopic, FetchableTopicResponse, ForgottenTopic, PartitionData, ReplicaState,
};
use watershed_protocol::messages::list_offsets as lo;
use watershed_protocol::messages::*;
use watershed_protocol::messages::{offset_commit as oc, offset_fetch as of};
use watershed_protocol::{
    ApiKey, Context, DecodeErrorKind, EncodeErrorKind, ErrorCode, Message, NullableWire, Piece, Reader, Records,
    RequestHeader, ResponseHeader, Stored, StrBytes, Wire, Writer, encode_request, encode_response,
};

const OLD: Context = Context::new(0, false);
const FLEXIBLE: Context = Context::new(9, true);

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn reader(text: &str) -> Reader {
    Reader::new(hex(text), "Test", 0)
}

#[test]
fn unsigned_varints() {
    for (value, text) in [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (u32::MAX, "ffffffff0f"),
    ] {
        let mut writer = Writer::new();
        writer.put_unsigned_varint(value);
        assert_eq!(writer.into_bytes().unwrap(), hex(text), "{value}");
        assert_eq!(reader(text).unsigned_varint().unwrap(), value);
    }
    for (bad, kind) in [
        ("", DecodeErrorKind::Truncated { needed: 1, remaining: 0 }),
        ("80", DecodeErrorKind::Truncated { needed: 1, remaining: 0 }),
        ("ffffffff10", DecodeErrorKind::BadVarint),
        ("ffffffff8f", DecodeErrorKind::BadVarint),
        ("808080808000", DecodeErrorKind::BadVarint),
    ] {
        assert_eq!(*reader(bad).unsigned_varint().unwrap_err().kind(), kind, "{bad}");
    }
}

/// A value and its bytes, both ways.
fn both_ways<T: Wire + PartialEq + std::fmt::Debug>(value: T, context: Context, text: &str) {
    let mut writer = Writer::new();
    value.write(&mut writer, context).unwrap();
    assert_eq!(writer.into_bytes().unwrap(), hex(text), "{value:?}");
    let mut reader = reader(text);
    assert_eq!(T::read(&mut reader, context).unwrap(), value);
    reader.finish().unwrap();
    assert!(hex(text).len() >= T::min_size(context), "{value:?} is shorter than the shortest");
}

#[test]
fn primitive_types() {
    both_ways(true, OLD, "01");
    both_ways(-2i8, OLD, "fe");
    both_ways(-2i16, OLD, "fffe");
    both_ways(0xfffeu16, OLD, "fffe");
    both_ways(0x0102_0304i32, OLD, "01020304");
    both_ways(u32::MAX, OLD, "ffffffff");
    both_ways(i64::MIN, OLD, "8000000000000000");
    both_ways(1.5f64, OLD, "3ff8000000000000");
    both_ways(TopicId([7; 16]), OLD, &"07".repeat(16));
    both_ways(String::from("äb"), OLD, "0003c3a462");
    both_ways(String::from("äb"), FLEXIBLE, "04c3a462");
    both_ways(StrBytes::from("x"), FLEXIBLE, "0278");
    both_ways(Bytes::from_static(b"xy"), OLD, "000000027879");
    both_ways(Bytes::from_static(b"xy"), FLEXIBLE, "037879");
    both_ways(Bytes::from(vec![0x61; 128]), FLEXIBLE, &format!("8101{}", "61".repeat(128)));
    both_ways(vec![1i16, -1], OLD, "000000020001ffff");
    both_ways(vec![1i16, -1], FLEXIBLE, "030001ffff");
    both_ways(Vec::<String>::new(), FLEXIBLE, "01");
    both_ways(vec![String::new(), "a".into()], OLD, "000000020000000161");
    assert!(reader("02").bool().unwrap(), "any byte but zero is true");
}

#[test]
fn null_and_lengths() {
    for (context, text) in [(OLD, "ffff"), (FLEXIBLE, "00")] {
        assert_eq!(String::read_nullable(&mut reader(text), context).unwrap(), None);
        let error = String::read(&mut reader(text), context).unwrap_err();
        assert_eq!(*error.kind(), DecodeErrorKind::UnexpectedNull);
    }
    for (context, text) in [(OLD, "ffffffff"), (FLEXIBLE, "00")] {
        assert_eq!(Bytes::read_nullable(&mut reader(text), context).unwrap(), None);
        assert_eq!(Vec::<i32>::read_nullable(&mut reader(text), context).unwrap(), None);
        assert!(Records::read(&mut reader(text), context).unwrap().is_empty());
    }
    let kind = |text, context| String::read(&mut reader(text), context).unwrap_err().kind().clone();
    assert_eq!(kind("fffe", OLD), DecodeErrorKind::NegativeLength(-2));
    assert_eq!(kind("000361", OLD), DecodeErrorKind::Truncated { needed: 3, remaining: 1 });
    assert_eq!(kind("0001ff", OLD), DecodeErrorKind::BadText);
    let error = Vec::<i64>::read(&mut reader("000000020000"), OLD).unwrap_err();
    assert_eq!(*error.kind(), DecodeErrorKind::TooManyElements { count: 2, remaining: 2 });

    let long = "x".repeat(i16::MAX as usize + 1);
    for context in [OLD, FLEXIBLE] {
        let error = long.write(&mut Writer::new(), context).unwrap_err();
        assert_eq!(*error.kind(), EncodeErrorKind::TooLong { length: 32768, max: 32767 });
    }
}

#[test]
fn a_value_without_a_place_is_an_error_unless_that_is_harmless() {
    // timeout_ms of DeleteTopics is everywhere; names only up to version 5, ids only from 6 on.
    let by_id = DeleteTopicsRequest {
        topics: vec![delete_topics::DeleteTopicState { name: None, topic_id: TopicId([1; 16]) }],
        ..Default::default()
    };
    assert!(by_id.encode_to_bytes(6).is_ok());
    let error = by_id.encode_to_bytes(5).unwrap_err();
    assert_eq!(*error.kind(), EncodeErrorKind::FieldNotInVersion);
    assert_eq!(error.field(), ("DeleteTopicsRequest", "topics"));
    // Ignorable: the names are lost silently.
    let by_name = DeleteTopicsRequest { topic_names: vec!["a".into()], ..Default::default() };
    let read = DeleteTopicsRequest::decode(by_name.encode_to_bytes(6).unwrap(), 6).unwrap();
    assert_eq!(read, DeleteTopicsRequest::default());
    // Null where the version has none.
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert!(all.encode_to_bytes(1).is_ok());
    assert_eq!(*all.encode_to_bytes(0).unwrap_err().kind(), EncodeErrorKind::UnexpectedNull);
}

#[test]
fn tagged_fields() {
    // ApiVersions v3: error 0, no APIs, throttle 0, then the tagged fields.
    let decode = |tags: &str| ApiVersionsResponse::decode(hex(&format!("0000 01 00000000 {tags}")), 3);
    let known = decode("01 01 08 0000000000000005").unwrap();
    assert_eq!(known.finalized_features_epoch, 5);
    // An unknown tag is skipped, before and after known ones.
    let both = decode("02 01 08 0000000000000005 63 02 abcd").unwrap();
    assert_eq!(both, known);
    assert_eq!(both.encode_to_bytes(3).unwrap(), hex("0000 01 00000000 01 01 08 0000000000000005"));
    let kind = |tags: &str| decode(tags).unwrap_err().kind().clone();
    // Nor does their order matter.
    assert_eq!(decode("02 63 02 abcd 01 08 0000000000000005").unwrap(), known);
    assert_eq!(kind("01 01 09 0000000000000005 00"), DecodeErrorKind::TaggedFieldTooLong(1));
    assert_eq!(kind("01 01 04 00000005"), DecodeErrorKind::Truncated { needed: 8, remaining: 4 });
    assert_eq!(kind("01 63 7f"), DecodeErrorKind::Truncated { needed: 127, remaining: 0 });
    // A tagged field longer than 127 bytes: its size takes two bytes and the content moves.
    let feature = api_versions::SupportedFeatureKey { name: "n".repeat(200), min_version: 1, max_version: 2 };
    let response = ApiVersionsResponse { supported_features: vec![feature], ..Default::default() };
    assert_eq!(ApiVersionsResponse::decode(response.encode_to_bytes(3).unwrap(), 3).unwrap(), response);
}

#[test]
fn request_headers() {
    for (version, text) in [(5, "000200050000006300026d65"), (11, "0002000b0000006300026d6500")] {
        let header =
            RequestHeader { api_key: 2, api_version: version, correlation_id: 99, client_id: Some("me".into()) };
        let mut writer = Writer::new();
        header.encode(&mut writer).unwrap();
        assert_eq!(writer.into_bytes().unwrap(), hex(text));
        let (read, body) = RequestHeader::decode(hex(&format!("{text} abcd"))).unwrap();
        assert_eq!((read, body), (header, hex("abcd")));
    }
    // An API nobody knows: the broker decides, so the header reads as the old one.
    let (header, body) = RequestHeader::decode(hex("7fff 0000 00000001 ffff 01")).unwrap();
    assert_eq!((header.api_key, header.client_id, body), (0x7fff, None, hex("01")));
    for short in ["", "00", "0012000300000001", "0012000300000001000561"] {
        let error = RequestHeader::decode(hex(short)).unwrap_err();
        assert!(matches!(error.kind(), DecodeErrorKind::Truncated { .. }), "{error}");
    }
    // A flexible header whose tagged fields are cut off.
    assert!(RequestHeader::decode(hex("0012 0003 00000001 ffff")).is_err());
}

#[test]
fn header_versions() {
    for (api, version, request, response) in [
        (ApiKey::Produce, 8, 1, 0),
        (ApiKey::Produce, 9, 2, 1),
        (ApiKey::ApiVersions, 2, 1, 0),
        (ApiKey::ApiVersions, 3, 2, 0),
        (ApiKey::ApiVersions, 99, 2, 0),
        (ApiKey::SaslHandshake, 1, 1, 0),
        (ApiKey::OffsetDelete, 0, 1, 0),
        (ApiKey::SaslHandshake, i16::MAX, 1, 0),
        (ApiKey::DescribeCluster, 0, 2, 1),
    ] {
        assert_eq!(api.request_header_version(version), request, "{api} v{version}");
        assert_eq!(api.response_header_version(version), response, "{api} v{version}");
    }
    for api in ApiKey::ALL {
        assert_eq!(ApiKey::try_from(api.get()), Ok(*api));
    }
    assert!(ApiKey::try_from(-1).is_err() && ApiKey::try_from(93).is_err());
}

#[test]
fn frames() {
    assert_eq!(frame_length([0, 0, 0, 8], 8), Ok(8));
    assert_eq!(frame_length([0, 0, 0, 9], 8), Err(FrameError::TooLong { length: 9, max: 8 }));
    assert_eq!(frame_length([0xff; 4], 8), Err(FrameError::Negative(-1)));
    let mut received = BytesMut::from(&hex("00000002 abcd 00000001")[..]);
    assert_eq!(split_frame(&mut received, 10).unwrap(), Some(hex("abcd")));
    assert_eq!(split_frame(&mut received, 10).unwrap(), None);
    received.extend_from_slice(&[7]);
    assert_eq!(split_frame(&mut received, 10).unwrap(), Some(hex("07")));
    assert_eq!(split_frame(&mut BytesMut::from(&[0u8, 0, 0][..]), 10).unwrap(), None);
    assert!(split_frame(&mut BytesMut::from(&[0u8, 0, 1, 0][..]), 10).is_err());
}

#[test]
fn a_request_goes_through_its_frame() {
    let request = ListOffsetsRequest { replica_id: -1, ..Default::default() };
    let frame = encode_request(&request, 11, 5, Some(&"me".into())).unwrap();
    let mut received = BytesMut::from(&frame[..]);
    let frame = split_frame(&mut received, 1000).unwrap().unwrap();
    assert!(received.is_empty());
    let (header, body) = RequestHeader::decode(frame).unwrap();
    assert_eq!((header.api_key, header.api_version, header.correlation_id), (2, 11, 5));
    assert_eq!(ListOffsetsRequest::decode(body, 11).unwrap(), request);
}

/// A fetch response with one partition for each run of records.
fn fetched(records: Vec<Records>) -> FetchResponse {
    let partition = |(index, records)| PartitionData { partition_index: index, records, ..Default::default() };
    let partitions = (0..).zip(records).map(partition).collect();
    let topic = FetchableTopicResponse { topic_id: TopicId([1; 16]), partitions, ..Default::default() };
    FetchResponse { responses: vec![topic], ..Default::default() }
}

#[test]
fn records_are_sent_as_they_are() {
    let file = Arc::new(File::open(env!("CARGO_MANIFEST_PATH")).unwrap());
    let range = Piece::File { file: Arc::clone(&file), pos: 3, len: 700, hot: true };
    let memory = Bytes::from(vec![9; 500]);
    let response = fetched(vec![
        Records::from(vec![range, Piece::Bytes(memory.clone())]),
        Records::default(),
        memory.clone().into(),
    ]);
    let pieces = encode_response(&response, 18, 77).unwrap();
    let kinds: Vec<_> = pieces.iter().map(|p| matches!(p, Piece::File { .. })).collect();
    assert_eq!(kinds, [false, true, false, false, false, false], "head, file, records, head, records, tail");
    assert!(matches!(&pieces[1], Piece::File { file: f, pos: 3, len: 700, hot: true } if Arc::ptr_eq(f, &file)));
    for n in [2, 4] {
        assert!(matches!(&pieces[n], Piece::Bytes(b) if b.as_ptr() == memory.as_ptr()), "piece {n} was copied");
    }
    let Piece::Bytes(head) = &pieces[0] else { panic!("the head is in memory") };
    let announced = frame_length(*head.first_chunk().unwrap(), usize::MAX).unwrap();
    assert_eq!(announced + 4, pieces.iter().map(Piece::len).sum::<usize>());
    assert_eq!(*response.encode_to_bytes(18).unwrap_err().kind(), EncodeErrorKind::FileRange);
}

#[test]
fn a_client_reads_what_was_sent() {
    let response = fetched(vec![Bytes::from(vec![9; 5000]).into(), Bytes::from(vec![8; 10]).into()]);
    let mut wire = BytesMut::new();
    for piece in encode_response(&response, 18, 77).unwrap() {
        let Piece::Bytes(bytes) = piece else { panic!("no files here") };
        wire.extend_from_slice(&bytes);
    }
    let frame = split_frame(&mut wire, 10_000).unwrap().unwrap();
    let (header, body) = ResponseHeader::decode(frame, ApiKey::Fetch, 18).unwrap();
    assert_eq!(header.correlation_id, 77);
    assert_eq!(FetchResponse::decode(body, 18).unwrap(), response);
}

/// A message and its bytes from Kafka's Java classes, both ways.
fn java<M: Message + PartialEq + std::fmt::Debug>(message: &M, version: i16, text: &str) {
    assert_eq!(M::decode(hex(text), version).unwrap(), *message);
    assert_eq!(message.encode_to_bytes(version).unwrap(), hex(text));
}

#[test]
fn list_offsets_11_as_java_writes_it() {
    let partition = lo::ListOffsetsPartition { partition_index: 3, current_leader_epoch: 7, timestamp: -6 };
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: 1,
        topics: vec![lo::ListOffsetsTopic { name: "orders".into(), partitions: vec![partition] }],
        timeout_ms: 1500,
    };
    java(&request, 11, "ffffffff0102076f7264657273020000000300000007fffffffffffffffa0000000005dc00");
    let partition = lo::ListOffsetsPartitionResponse {
        partition_index: 3,
        timestamp: 1_700_000_000_000,
        offset: 42,
        leader_epoch: 7,
        ..Default::default()
    };
    let response = ListOffsetsResponse {
        throttle_time_ms: 5,
        topics: vec![lo::ListOffsetsTopicResponse { name: "orders".into(), partitions: vec![partition] }],
    };
    java(&response, 11, "0000000502076f7264657273020000000300000000018bcfe56800000000000000002a00000007000000");
}

/// Kafka's `Uuid(most, least)`.
fn uuid(most: u64, least: u64) -> TopicId {
    TopicId((u128::from(most) << 64 | u128::from(least)).to_be_bytes())
}

#[test]
fn a_followers_fetch_as_java_writes_it() {
    let partition = FetchPartition {
        partition: 1,
        current_leader_epoch: 3,
        fetch_offset: 100,
        last_fetched_epoch: 2,
        log_start_offset: 10,
        partition_max_bytes: 2000,
        replica_directory_id: uuid(3, 4),
        high_watermark: 77,
    };
    let topic = FetchTopic { topic_id: uuid(1, 2), partitions: vec![partition], ..Default::default() };
    let forgotten = ForgottenTopic { topic_id: uuid(5, 6), partitions: vec![8, 9], ..Default::default() };
    let request = FetchRequest {
        cluster_id: Some("c1".into()),
        replica_state: ReplicaState { replica_id: 2, replica_epoch: 9 },
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 1000,
        session_id: 4,
        session_epoch: 5,
        topics: vec![topic],
        forgotten_topics_data: vec![forgotten],
        rack_id: "r".into(),
        ..Default::default()
    };
    java(
        &request,
        18,
        "000001f400000001000003e80000000004000000050200000000000000010000000000000002020000000100000003
         000000000000006400000002000000000000000a000007d00200100000000000000003000000000000000401080000
         00000000004d0002000000000000000500000000000000060300000008000000090002720200030363
         31010d00000002000000000000000900",
    );
}

#[test]
fn a_page_of_topics_as_java_writes_it() {
    let partition = dtp::DescribeTopicPartitionsResponsePartition {
        leader_id: 1,
        leader_epoch: 2,
        replica_nodes: vec![1],
        isr_nodes: vec![1],
        last_known_elr: Some(vec![]),
        ..Default::default()
    };
    let topic = dtp::DescribeTopicPartitionsResponseTopic {
        name: Some("t".into()),
        topic_id: uuid(1, 2),
        partitions: vec![partition],
        ..Default::default()
    };
    let response = DescribeTopicPartitionsResponse {
        throttle_time_ms: 1,
        topics: vec![topic],
        next_cursor: Some(dtp::Cursor { topic_name: "t2".into(), partition_index: 4 }),
    };
    java(
        &response,
        0,
        "000000010200000274000000000000000100000000000000020002000000000000000000010000000202000000010
         20000000100010100800000000001037432000000040000",
    );
}

#[test]
fn commits_and_fetches_of_offsets_by_topic_id_as_java_writes_them() {
    let partition = oc::OffsetCommitRequestPartition {
        partition_index: 3,
        committed_offset: 42,
        committed_leader_epoch: 7,
        committed_metadata: Some("note".into()),
    };
    let plain = oc::OffsetCommitRequestPartition { partition_index: 4, committed_offset: 43, ..Default::default() };
    let topic =
        oc::OffsetCommitRequestTopic { topic_id: uuid(1, 2), partitions: vec![partition, plain], ..Default::default() };
    let commit = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: 5,
        member_id: "m".into(),
        group_instance_id: Some("i".into()),
        topics: vec![topic],
        ..Default::default()
    };
    java(
        &commit,
        10,
        "026700000005026d026902000000000000000100000000000000020300000003000000000000002a0000000705
         6e6f74650000000004000000000000002bffffffff00000000",
    );
    let topics =
        of::OffsetFetchRequestTopics { topic_id: uuid(1, 2), partition_indexes: vec![0, 3], ..Default::default() };
    let of_member = of::OffsetFetchRequestGroup {
        group_id: "g".into(),
        member_id: Some("m".into()),
        member_epoch: 5,
        topics: Some(vec![topics]),
    };
    let all = of::OffsetFetchRequestGroup { group_id: "h".into(), ..Default::default() };
    let fetch = OffsetFetchRequest { groups: vec![of_member, all], require_stable: true, ..Default::default() };
    java(
        &fetch,
        10,
        "030267026d000000050200000000000000010000000000000002030000000000000003000002680
         0ffffffff00000100",
    );
}

/// Something that is stored; from version 2 on flexible.
#[derive(Clone, Debug, PartialEq, watershed_protocol_derive::Message)]
#[message(kind = "data", versions = "1-2", flexible = "2+")]
struct Note {
    #[field(versions = "0+")]
    text: String,
    #[field(versions = "2+", tag = 0, tagged = "2+", ignorable)]
    number: i32,
}

#[test]
fn what_is_stored_begins_with_its_version() {
    let note = Note { text: "a".to_owned(), number: 5 };
    let old = Note { number: 0, ..note.clone() };
    for (version, text, decoded) in
        [(1, "0001 0001 61", &old), (2, "0002 02 61 01 00 04 00000005", &note), (2, "0002 02 61 00", &old)]
    {
        assert_eq!(Note::decode_stored(hex(text)).unwrap(), *decoded);
        assert_eq!(decoded.encode_stored(version, 0).unwrap(), hex(text));
        assert_eq!(Note::decode_stored(hex(&format!("{text} ff"))).unwrap(), *decoded, "what follows is ignored");
    }
    assert_eq!(note.encode_stored(1, 0).unwrap(), hex("0001 0001 61"));
    for version in [0, 3] {
        assert_eq!(*note.encode_stored(version, 0).unwrap_err().kind(), EncodeErrorKind::UnsupportedVersion);
        let error = Note::decode_stored(hex(&format!("000{version} 0001 61"))).unwrap_err();
        assert_eq!(*error.kind(), DecodeErrorKind::UnsupportedVersion);
    }
    for text in ["", "00", "0001", "0001 0002 61", "0001 7fff 61", "0002 ffffffff0f 61", "0001 ffff"] {
        assert!(Note::decode_stored(hex(text)).is_err(), "{text}");
    }
    let error = Note::decode_stored(hex("0002 05 61")).unwrap_err();
    assert_eq!(error.to_string(), "Note v2, Note.text, at byte 3: 4 bytes are needed, 1 remain");
}

#[test]
fn error_codes() {
    let mut last = -2;
    for error in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_code(error.code()), Some(*error));
        assert_eq!(error.code(), last + 1, "{error}: a number is missing before it");
        last = error.code();
    }
    assert_eq!(last, 133);
    assert_eq!(ErrorCode::from_code(134), None);
    assert!(ErrorCode::default().is_none());
    assert_eq!(
        ErrorCode::NotLeaderOrFollower.to_string(),
        "NOT_LEADER_OR_FOLLOWER (6): this broker does not lead the partition, or holds no replica of it"
    );
    assert!(ErrorCode::NotLeaderOrFollower.is_retriable() && !ErrorCode::InvalidRecord.is_retriable());
}
