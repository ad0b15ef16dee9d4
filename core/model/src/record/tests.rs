//! Vectors that Kafka's own Java classes wrote, properties, and hostile bytes.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

// Written by MemoryRecordsBuilder of the Java client, version 4.2.0: the same three records with each codec.
const NONE: &str = "00000000000000000000009bffffffff02974818cd0000000000020000018bcfe568000000018bcfe5680500000000000012\
     67000300000011000000032e000000066b65790a76616c7565040268060001ff0268010c000a020101009201001304046b32\
     8001616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161\
     6161616161616161616161616161616100";
const GZIP: &str = "000000000000000000000072ffffffff026ee41b460001000000020000018bcfe568000000018bcfe5680500000000000012\
     67000300000011000000031f8b08000000000000ffd363606060cb4eade42a4bcc294d6561ca606360fccf94c1c8c3c0c5c4\
     c8c830899141988525dba881319142c00000fa65746b6a000000";
const SNAPPY: &str = "000000000000000000000077ffffffff02859c77c20002000000020000018bcfe568000000018bcfe5680500000000000012\
     670003000000110000000382534e41505059000000000100000001000000326aa82e000000066b65790a76616c7565040268\
     060001ff0268010c000a020101009201001304046b3280016161f602000000";
const LZ4: &str = "000000000000000000000075ffffffff0262ed975a0003000000020000018bcfe568000000018bcfe5680500000000000012\
     670003000000110000000304224d1860408235000000ff1b2e000000066b65790a76616c7565040268060001ff0268010c00\
     0a020101009201001304046b3280016101002850616161610000000000";
const ZSTD: &str = "00000000000000000000006fffffffff020e83a0bf0004000000020000018bcfe568000000018bcfe5680500000000000012\
     670003000000110000000328b52ffd0058940100b4022e000000066b65790a76616c7565040268060001ff0268010c000a02\
     0101009201001304046b32800161000100a204ca010000";
const APPEND_TIME: &str = "000000000000002a0000004000000007023d076cca0008000000000000018bcfe568000000018bcfe5687bffffffffffffff\
     ffffffffffffff000000011c000000066b65790a76616c756500";
const MARKER: &str = "00000000000000090000004200000007027b4425550030000000000000018bcfe568000000018bcfe5680000000000000012\
     670003ffffffff000000012000000008000000010c00000000000500";

fn unhex(text: &str) -> Bytes {
    text.as_bytes().chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

const A_ROW: &[u8] = &[b'a'; 64];

fn golden_builder() -> BatchBuilder {
    let sequence = ProducerSequence { id: ProducerId(4711), epoch: ProducerEpoch(3), base_sequence: 17 };
    let mut builder = BatchBuilder::new().producer(sequence);
    let headers: [(&[u8], Option<&[u8]>); 2] = [(b"h", Some(&[0, 1, 255])), (b"h", None)];
    builder
        .push(Timestamp(1_700_000_000_000), NewRecord { key: Some(b"key"), value: Some(b"value"), headers: &headers });
    builder.push(Timestamp(1_700_000_000_005), NewRecord::default());
    builder.push(Timestamp(1_699_999_999_990), NewRecord { key: Some(b"k2"), value: Some(A_ROW), headers: &[] });
    builder
}

fn only_batch(bytes: Bytes) -> RecordBatch {
    let mut all = batches(bytes).collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(all.len(), 1);
    all.pop().unwrap()
}

#[test]
fn what_the_java_client_writes_is_read() {
    let expect = only_batch(golden_builder().build().unwrap()).owned_records().unwrap();
    assert_eq!(expect[0].headers.len(), 2);
    assert_eq!(expect[1].key, None);
    let codecs = [
        (NONE, Compression::None),
        (GZIP, Compression::Gzip),
        (SNAPPY, Compression::Snappy),
        (LZ4, Compression::Lz4),
        (ZSTD, Compression::Zstd),
    ];
    for (vector, codec) in codecs {
        let batch = only_batch(unhex(vector));
        assert!(batch.crc_is_valid(), "{codec:?}");
        assert_eq!(batch.header.compression(), Some(codec));
        assert_eq!(batch.header.last_sequence(), 19);
        assert_eq!(batch.owned_records().unwrap(), expect, "{codec:?}");
    }
}

#[test]
fn an_uncompressed_batch_has_the_bytes_that_the_java_client_gives_it() {
    assert_eq!(golden_builder().build().unwrap(), unhex(NONE));
}

#[test]
fn log_append_time_and_control_batches_read_as_kafka_writes_them() {
    let batch = only_batch(unhex(APPEND_TIME));
    assert!(batch.crc_is_valid());
    assert_eq!(batch.header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!((batch.header.base_offset, batch.header.leader_epoch), (Offset(42), LeaderEpoch(7)));
    let records = batch.owned_records().unwrap();
    assert_eq!((records[0].offset, records[0].timestamp), (Offset(42), Timestamp(1_700_000_000_123)));

    let marker = only_batch(unhex(MARKER));
    assert!(marker.header.is_control() && marker.header.is_transactional() && marker.crc_is_valid());
    assert_eq!(marker.owned_records().unwrap()[0].key.as_deref(), Some(&[0, 0, 0, 1][..]));
}

#[test]
fn raw_snappy_as_librdkafka_writes_it_is_read() {
    let mut batch = only_batch(golden_builder().build().unwrap());
    let expect = batch.owned_records().unwrap();
    let raw = snap::raw::Encoder::new().compress_vec(&batch.body()).unwrap();
    batch.header.set_compression(Compression::Snappy);
    let mut records = Records::new(&batch.header, raw.into(), 1 << 20).unwrap();
    let mut n = 0;
    while let Some(record) = records.next().unwrap() {
        assert_eq!(record.key, expect[n].key.as_deref());
        assert_eq!(record.value, expect[n].value.as_deref());
        n += 1;
    }
    assert_eq!(n, expect.len());
}

#[test]
fn lz4_frames_with_checksums_and_linked_blocks_are_read() {
    use std::io::Write;
    let body: Vec<u8> = (0..300_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    for mode in [lz4_flex::frame::BlockMode::Independent, lz4_flex::frame::BlockMode::Linked] {
        let info = lz4_flex::frame::FrameInfo::new()
            .block_mode(mode)
            .block_checksums(true)
            .content_checksum(true)
            .content_size(Some(body.len() as u64));
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&body).unwrap();
        let frame = encoder.finish().unwrap();
        assert_eq!(decompress(Compression::Lz4, frame.into(), 1 << 24).unwrap(), body);
    }
}

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

#[test]
fn a_bomb_costs_an_error_in_every_codec() {
    let zeros = vec![0u8; 8 << 20];
    for codec in &CODECS[1..] {
        let mut bomb = Vec::new();
        compress(*codec, None, &zeros, &mut bomb).unwrap();
        let exact = decompress(*codec, bomb.clone().into(), zeros.len()).unwrap();
        assert_eq!(exact.len(), zeros.len(), "{codec:?}: exactly the bound is still legal");
        let error = decompress(*codec, bomb.into(), zeros.len() - 1).unwrap_err();
        assert_eq!(error, RecordError::DecompressedSize { limit: zeros.len() - 1 }, "{codec:?}");
    }
    // A raw block whose preamble claims 4 GiB.
    let lie = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
    assert!(matches!(decompress(Compression::Snappy, lie, 1 << 30), Err(RecordError::Codec { .. })));
}

#[test]
fn zstd_contexts_are_used_again_also_after_errors_and_for_several_frames() {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    compress(Compression::Zstd, None, b"one", &mut one).unwrap();
    compress(Compression::Zstd, Some(19), &[b'2'; 100_000], &mut two).unwrap();
    let expect = [&b"one"[..], &[b'2'; 100_000], b"one"].concat();
    let frames: Bytes = [&one[..], &two, &one].concat().into();
    for round in 0..3 {
        assert_eq!(decompress(Compression::Zstd, frames.clone(), 1 << 20).unwrap(), expect, "{round}");
        let cut = frames.slice(..frames.len() - 1);
        assert!(decompress(Compression::Zstd, cut, 1 << 20).is_err());
        let mut half =
            Records::new(&only_batch(unhex(ZSTD)).header, unhex(ZSTD).slice(HEADER_BYTES..), 1 << 20).unwrap();
        assert!(half.next().unwrap().is_some(), "and dropped in the middle");
        assert!(decompress(Compression::Zstd, Bytes::from_static(b"garbage"), 1 << 20).is_err());
    }
    assert_eq!(decompress(Compression::Zstd, Bytes::new(), 10).unwrap(), Bytes::new());
}

#[test]
fn levels_out_of_range_are_refused() {
    for level in [0, 10, -2] {
        assert!(matches!(
            compress(Compression::Gzip, Some(level), b"x", &mut Vec::new()),
            Err(RecordError::Codec { codec: Compression::Gzip, .. })
        ));
    }
}

/// Walks to the end and gives the first error.
fn walk(batch: &RecordBatch) -> Result<usize, RecordError> {
    let mut records = batch.records()?;
    let mut n = 0;
    while records.next()?.is_some() {
        n += 1;
    }
    Ok(n)
}

#[test]
fn counts_and_sizes_that_lie_are_errors() {
    let good = only_batch(golden_builder().build().unwrap());
    for codec in CODECS {
        let mut batch = only_batch(golden_builder().compression(codec, None).build().unwrap());
        assert_eq!(walk(&batch), Ok(3));
        batch.header.record_count = 2;
        assert_eq!(walk(&batch), Err(RecordError::MoreThanCounted(2)), "{codec:?}");
        batch.header.record_count = 4;
        assert!(walk(&batch).is_err(), "{codec:?}");
        batch.header.record_count = i32::MAX;
        assert!(walk(&batch).is_err(), "{codec:?}");
        batch.header.record_count = -1;
        assert_eq!(walk(&batch), Err(RecordError::RecordCount(-1)));
    }
    let mut header = good.header;
    header.record_count = 1;
    // A size of 2^31-1 where three bytes are; the same compressed; a negative one.
    let claims: [&[u8]; 2] = [&[0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0], &[0x01, 0, 0]];
    for claim in claims {
        for codec in CODECS {
            let mut body = Vec::new();
            compress(codec, None, claim, &mut body).unwrap();
            header.set_compression(codec);
            assert!(Records::new(&header, body.into(), 1 << 20).unwrap().next().is_err());
        }
    }
}

#[test]
fn batch_lengths_are_checked() {
    let good = golden_builder().build().unwrap();
    let cut = good.slice(..good.len() - 1);
    let found: Vec<_> = batches(cut.clone()).collect();
    assert_eq!(found, [Err(RecordError::BatchLength { claimed: good.len() as u32, remain: cut.len() })]);
    assert!(batches(good.slice(..60)).next().unwrap().is_err());
    assert!(batches(Bytes::new()).next().is_none());
    let two: Bytes = [good.clone(), good].concat().into();
    assert_eq!(batches(two).filter(Result::is_ok).count(), 2);
}

type Parts = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>, i64);

fn any_record() -> impl Strategy<Value = Parts> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    let headers = prop::collection::vec((bytes(), prop::option::of(bytes())), 0..4);
    (prop::option::of(bytes()), prop::option::of(bytes()), headers, any::<i64>())
}

proptest! {
    #[test]
    fn what_is_built_is_parsed(records in prop::collection::vec(any_record(), 1..30), codec in 0..5usize) {
        let mut builder = BatchBuilder::new().compression(CODECS[codec], None);
        for (key, value, headers, timestamp) in &records {
            let headers: Vec<_> = headers.iter().map(|(k, v)| (&k[..], v.as_deref())).collect();
            let record = NewRecord { key: key.as_deref(), value: value.as_deref(), headers: &headers };
            builder.push(Timestamp(*timestamp), record);
        }
        let batch = only_batch(builder.build().unwrap());
        prop_assert!(batch.crc_is_valid());
        let back = batch.owned_records().unwrap();
        prop_assert_eq!(back.len(), records.len());
        for (n, (got, (key, value, headers, timestamp))) in back.iter().zip(&records).enumerate() {
            prop_assert_eq!(got.offset, Offset(n as i64));
            prop_assert_eq!(got.timestamp, Timestamp(*timestamp));
            prop_assert_eq!(got.key.as_deref(), key.as_deref());
            prop_assert_eq!(got.value.as_deref(), value.as_deref());
            let same = got.headers.iter().map(|(k, v)| (k.to_vec(), v.as_ref().map(|v| v.to_vec()))).collect::<Vec<_>>();
            prop_assert_eq!(&same, headers);
        }
    }

    #[test]
    fn a_flipped_byte_never_panics_and_the_crc_sees_it(at in 21usize..160, flip in 1u8..) {
        for vector in [NONE, GZIP, SNAPPY, LZ4, ZSTD] {
            let mut bytes = unhex(vector).to_vec();
            let at = 21 + (at - 21) % (bytes.len() - 21);
            bytes[at] ^= flip;
            let batch = only_batch(bytes.into());
            prop_assert!(!batch.crc_is_valid());
            let _ = walk(&batch);
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), codec in 0u8..8) {
        let _ = batches(bytes.clone().into()).count();
        if bytes.len() >= HEADER_BYTES {
            bytes[16] = 2;
            let len = (bytes.len() - 12) as u32;
            bytes[8..12].copy_from_slice(&len.to_be_bytes());
            bytes[22] = codec;
            bytes[57..59].fill(0);
            let _ = walk(&only_batch(bytes.into()));
        }
    }
}
