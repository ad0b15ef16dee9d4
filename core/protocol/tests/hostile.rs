//! Bytes from someone who means ill: random ones, cut-off and altered messages, made-up counts.
//!
//! Every decoder must answer with an error or a message, in memory that is in proportion to the bytes. An allocator
//! that counts says so.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{BufMut, Bytes, BytesMut};
use common::{Choices, Random, for_every_message, message};
use watershed_protocol::messages::{self, DeleteTopicsRequest, ProduceRequest, ProduceResponse};
use watershed_protocol::{DecodeErrorKind, Message, RequestHeader, encode_response};

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Counts what each thread allocates; frees are not subtracted.
struct Counting;

// SAFETY: it only passes on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` allocates on this thread: bytes and calls.
fn allocated<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = (ALLOCATED.get(), ALLOCATIONS.get());
    let result = work();
    (result, ALLOCATED.get() - before.0, ALLOCATIONS.get() - before.1)
}

/// The most that reading `length` hostile bytes may allocate: the budget of arrays, texts, and an error.
fn memory_max(length: usize) -> usize {
    4096.max(16 * length) + 2 * length + 1024
}

fn check<M: Message>(bytes: Vec<u8>, version: i16) -> Result<M, watershed_protocol::DecodeError> {
    let length = bytes.len();
    let bytes = Bytes::from(bytes);
    let (result, taken, _) = allocated(|| M::decode(bytes, version));
    assert!(taken <= memory_max(length), "{} v{version}: {taken} bytes allocated for {length}", M::NAME);
    assert!(length > 64 || taken <= 64 * 1024);
    result
}

macro_rules! hostile {
    ($($name:ident)*) => {$(
        #[allow(non_snake_case)]
        mod $name {
            use super::*;

            fn versions() -> std::ops::RangeInclusive<i16> {
                let versions = messages::$name::SCHEMA.versions;
                versions.min()..=versions.max()
            }

            #[test]
            fn random_bytes_do_no_harm() {
                let mut random = Random(1);
                for version in versions() {
                    for _ in 0..300 {
                        let length = random.below(65);
                        let mut bytes = random.bytes(length);
                        // Small numbers get further than random ones.
                        for byte in &mut bytes {
                            if random.below(3) > 0 {
                                *byte %= 4;
                            }
                        }
                        let _ = check::<messages::$name>(bytes, version);
                    }
                }
            }

            #[test]
            fn cut_off_messages_are_errors_and_so_are_longer_ones() {
                let mut random = Random(2);
                for version in versions() {
                    for _ in 0..4 {
                        let choices = random.bytes(120);
                        let whole = message(&messages::$name::SCHEMA, version, &mut Choices(&choices));
                        check::<messages::$name>(whole.clone(), version).unwrap();
                        for end in 0..whole.len() {
                            let error = check::<messages::$name>(whole[..end].to_vec(), version).unwrap_err();
                            assert!(error.offset() <= end, "{error}");
                        }
                        let mut longer = whole;
                        longer.push(0);
                        let error = check::<messages::$name>(longer, version).unwrap_err();
                        assert_eq!(*error.kind(), DecodeErrorKind::TrailingBytes(1));
                    }
                }
            }

            #[test]
            fn altered_messages_do_no_harm() {
                let mut random = Random(3);
                for version in versions() {
                    for _ in 0..60 {
                        let choices = random.bytes(120);
                        let mut bytes = message(&messages::$name::SCHEMA, version, &mut Choices(&choices));
                        for _ in 0..=random.below(4) {
                            if !bytes.is_empty() {
                                let at = random.below(bytes.len());
                                bytes[at] = [0, 0x7f, 0x80, 0xff, random.next() as u8][random.below(5)];
                            }
                        }
                        let _ = check::<messages::$name>(bytes, version);
                    }
                }
            }

            #[test]
            fn versions_that_do_not_exist_are_errors() {
                let versions = messages::$name::SCHEMA.versions;
                for version in [i16::MIN, -1, versions.min() - 1, versions.max() + 1, i16::MAX] {
                    let error = check::<messages::$name>(vec![0; 32], version).unwrap_err();
                    assert_eq!(*error.kind(), DecodeErrorKind::UnsupportedVersion);
                    let message = messages::$name::default();
                    assert!(message.encode_to_bytes(version).is_err());
                }
            }
        }
    )*};
}

/// One module for each message.
mod every {
    use super::*;

    for_every_message!(hostile);
}

#[test]
fn a_made_up_count_costs_nothing() {
    // Twelve bytes that claim two thousand million topics.
    let mut body = BytesMut::new();
    body.put_i16(-1); // transactional_id
    body.put_i16(1); // acks
    body.put_i32(1000); // timeout_ms
    body.put_i32(i32::MAX); // topic_data
    let body = body.freeze();
    let (error, taken, _) = allocated(|| ProduceRequest::decode(body, 3).unwrap_err());
    assert_eq!(*error.kind(), DecodeErrorKind::TooManyElements { count: i32::MAX as usize, remaining: 0 });
    assert_eq!(error.field(), ("ProduceRequest", "topic_data"));
    assert_eq!(
        error.to_string(),
        "ProduceRequest v3, ProduceRequest.topic_data, at byte 12: 2147483647 elements cannot be in 0 bytes"
    );
    assert!(taken < 1024, "{taken}");
}

#[test]
fn memory_is_in_proportion_to_the_frame() {
    // A megabyte of empty names: each takes one byte there and a String in memory.
    let count: usize = 1 << 20;
    let mut body = BytesMut::new();
    for shift in [0, 7] {
        body.put_u8(((count + 1) >> shift) as u8 | 0x80);
    }
    body.put_u8(((count + 1) >> 14) as u8);
    body.put_bytes(1, count);
    body.put_slice(&[0, 0, 0, 0, 0]);
    let error = check::<DeleteTopicsRequest>(body.to_vec(), 4).unwrap_err();
    assert!(matches!(error.kind(), DecodeErrorKind::TooMuchMemory { .. }), "{error}");
}

#[test]
fn random_headers_do_no_harm() {
    let mut random = Random(4);
    for _ in 0..20_000 {
        let length = random.below(40);
        let mut frame = random.bytes(length);
        if frame.len() > 1 && random.below(2) == 0 {
            frame[0] = 0;
            frame[1] %= 80;
        }
        let frame = Bytes::from(frame);
        let (_, taken, _) = allocated(|| RequestHeader::decode(frame));
        assert!(taken < 4096);
    }
}

#[test]
fn a_produce_request_takes_a_handful_of_allocations() {
    for version in [7, 9, 12, 13] {
        let mut request = ProduceRequest { acks: -1, timeout_ms: 1000, ..Default::default() };
        let records = Some(Bytes::from(vec![7; 1000]).into());
        let partition = messages::produce::PartitionProduceData { index: 0, records };
        let mut topic = messages::produce::TopicProduceData { partition_data: vec![partition], ..Default::default() };
        if version < 13 {
            topic.name = "orders".into();
        }
        request.topic_data.push(topic);
        let body = request.encode_to_bytes(version).unwrap();
        let address = body.as_ptr_range();
        let (decoded, _, calls) = allocated(|| ProduceRequest::decode(body, version).unwrap());
        assert!(calls <= 3, "v{version}: {calls} allocations");
        let records = decoded.topic_data[0].partition_data[0].records.as_ref().unwrap().bytes();
        assert!(address.contains(&records.as_ptr()), "records were copied");
        assert_eq!(decoded, request);
    }
}

#[test]
fn a_small_response_takes_one_buffer() {
    let partition = messages::produce::PartitionProduceResponse { base_offset: 42, ..Default::default() };
    let topic = messages::produce::TopicProduceResponse {
        name: "orders".into(),
        partition_responses: vec![partition],
        ..Default::default()
    };
    let response = ProduceResponse { responses: vec![topic], ..Default::default() };
    let (pieces, _, calls) = allocated(|| encode_response(&response, 9, 7).unwrap());
    assert_eq!(pieces.len(), 1);
    assert!(calls <= 3, "{calls} allocations");
}
