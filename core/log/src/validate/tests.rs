//! One table of what is refused and why, and what is changed on the way in.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;
use watershed_model::record::{
    BatchBuilder, BatchHeader, Compression, HEADER_BYTES, NewRecord, OwnedRecord, ProducerSequence, RecordBatch,
    TimestampType, batches,
};
use watershed_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

use super::*;
use crate::CleanupPolicy;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const CLIENT: Origin = Origin::Client { produce_version: 12 };
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn builder(records: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for n in 0..records {
        let value = [n as u8; 100];
        builder.push(NOW, NewRecord { key: Some(b"k"), value: Some(&value), headers: &[] });
    }
    builder
}

fn bytes(records: usize) -> Bytes {
    builder(records).build().unwrap()
}

/// Changes a header and makes its CRC right again.
fn with_header(batch: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = BatchHeader::parse(batch).unwrap();
    change(&mut header);
    header.crc = header.compute_crc(&batch[HEADER_BYTES..]);
    [&header.to_bytes()[..], &batch[HEADER_BYTES..]].concat().into()
}

fn check(input: Bytes, config: &LogConfig, origin: Origin) -> Result<ValidatedBatch, LogError> {
    validate(input, config, origin, NOW)
}

/// The name of the variant, so that the table reads as the error codes do.
fn name(error: &LogError) -> &'static str {
    match error {
        LogError::Corrupt(_) => "corrupt",
        LogError::NotOneBatch(_) | LogError::InvalidRecord { .. } => "invalid record",
        LogError::InvalidTimestamp { .. } => "invalid timestamp",
        LogError::TooLarge { .. } => "too large",
        LogError::LargerThanSegment { .. } => "larger than segment",
        LogError::UnsupportedCompression(_) => "unsupported compression",
        _ => "something else",
    }
}

fn stored(batch: &ValidatedBatch) -> RecordBatch {
    let all: Bytes = [&batch.header.to_bytes()[..], &batch.body[..]].concat().into();
    let mut found: Vec<_> = batches(all).collect::<Result<_, _>>().unwrap();
    assert_eq!(found.len(), 1);
    let batch = found.pop().unwrap();
    assert!(batch.crc_is_valid(), "the stored CRC is that of the stored bytes");
    batch
}

#[test]
fn what_is_refused() {
    let config = LogConfig::default();
    let one = bytes(1);
    let two = bytes(2);
    let edit = |f: fn(&mut BatchHeader)| with_header(&two, f);
    let mut bad_crc = two.to_vec();
    *bad_crc.last_mut().unwrap() ^= 1;
    let mut bad_crc_and_count = bad_crc.clone();
    bad_crc_and_count[60] = 77;
    let mut magic_one = two.to_vec();
    magic_one[16] = 1;
    let mut short_length = two.to_vec();
    short_length[8..12].copy_from_slice(&5i32.to_be_bytes());
    let mut negative_length = two.to_vec();
    negative_length[8..12].copy_from_slice(&(-1i32).to_be_bytes());
    let idempotent = |sequence| {
        let producer = ProducerSequence { id: ProducerId(1), epoch: ProducerEpoch(0), base_sequence: sequence };
        builder(1).producer(producer).build().unwrap()
    };
    let cases: Vec<(&str, Bytes, &str)> = vec![
        ("no batch at all", Bytes::new(), "invalid record"),
        ("fewer bytes than a header", two.slice(..60), "invalid record"),
        ("two batches", [one.clone(), two.clone()].concat().into(), "invalid record"),
        ("bytes after the batch", [&two[..], &[0]].concat().into(), "invalid record"),
        ("cut off", two.slice(..two.len() - 1), "invalid record"),
        ("length below a header", short_length.into(), "corrupt"),
        ("negative length", negative_length.into(), "corrupt"),
        ("magic 1", magic_one.into(), "invalid record"),
        ("wrong CRC", bad_crc.into(), "corrupt"),
        ("wrong CRC and count: the CRC comes first", bad_crc_and_count.into(), "corrupt"),
        ("base offset", edit(|h| h.base_offset = Offset(7)), "invalid record"),
        ("count 0", edit(|h| h.record_count = 0), "invalid record"),
        ("count negative", edit(|h| h.record_count = -1), "invalid record"),
        ("count above the delta", edit(|h| h.record_count = 3), "invalid record"),
        (
            "count and delta above the records",
            edit(|h| (h.record_count, h.last_offset_delta) = (3, 2)),
            "invalid record",
        ),
        (
            "count and delta below the records",
            edit(|h| (h.record_count, h.last_offset_delta) = (1, 0)),
            "invalid record",
        ),
        (
            "count and delta absurd",
            edit(|h| (h.record_count, h.last_offset_delta) = (i32::MAX, i32::MAX - 1)),
            "invalid record",
        ),
        ("control batch", builder(1).control().build().unwrap(), "invalid record"),
        ("producer id without a sequence", idempotent(-1), "invalid record"),
        ("codec 5", edit(|h| h.attributes |= 5), "unsupported compression"),
        ("codec 7", edit(|h| h.attributes |= 7), "unsupported compression"),
        ("says gzip and is not", edit(|h| h.set_compression(Compression::Gzip)), "invalid record"),
        (
            "LogAppendTime from a producer",
            edit(|h| h.set_timestamp_type(TimestampType::LogAppendTime)),
            "invalid timestamp",
        ),
    ];
    for (what, input, expect) in cases {
        match check(input, &config, CLIENT) {
            Ok(_) => panic!("{what} was accepted"),
            Err(error) => assert_eq!(name(&error), expect, "{what}: {error}"),
        }
    }
    assert!(check(idempotent(0), &config, CLIENT).is_ok());
    assert!(check(idempotent(-1), &config, Origin::Coordinator).is_ok(), "a coordinator writes without sequences");
}

#[test]
fn zstd_needs_produce_7() {
    let batch = builder(1).compression(Compression::Zstd, None).build().unwrap();
    let refused = check(batch.clone(), &LogConfig::default(), Origin::Client { produce_version: 6 }).unwrap_err();
    assert_eq!(name(&refused), "unsupported compression");
    assert!(check(batch, &LogConfig::default(), Origin::Client { produce_version: 7 }).is_ok());
}

#[test]
fn max_message_bytes_counts_the_whole_batch() {
    let batch = bytes(3);
    let len = u32::try_from(batch.len()).unwrap();
    let with =
        |max_message_bytes, segment_bytes| LogConfig { max_message_bytes, segment_bytes, ..LogConfig::default() };
    assert!(check(batch.clone(), &with(len, len), CLIENT).is_ok());
    assert_eq!(name(&check(batch.clone(), &with(len - 1, len), CLIENT).unwrap_err()), "too large");
    assert_eq!(name(&check(batch, &with(len, len - 1), CLIENT).unwrap_err()), "larger than segment");
}

#[test]
fn an_untouched_batch_keeps_its_bytes_without_a_copy() {
    for codec in CODECS {
        let input = builder(50).compression(codec, None).build().unwrap();
        let out = check(input.clone(), &LogConfig::default(), CLIENT).unwrap();
        assert_eq!(out.header.to_bytes(), input[..HEADER_BYTES]);
        assert_eq!(out.body, input[HEADER_BYTES..]);
        assert_eq!(out.body.as_ptr(), input[HEADER_BYTES..].as_ptr(), "{codec:?} was copied");
        assert_eq!(out.log_append_time, None);
        let plain = bytes(50);
        assert_eq!(out.uncompressed_bytes, (plain.len() - HEADER_BYTES) as u64, "{codec:?}");
    }
}

#[test]
fn a_compacted_topic_wants_keys() {
    let compacted = LogConfig { cleanup: CleanupPolicy { delete: false, compact: true }, ..LogConfig::default() };
    for codec in CODECS {
        let mut builder = builder(2).compression(codec, None);
        builder.push(NOW, NewRecord { key: None, value: Some(b"v"), headers: &[] });
        builder.push(NOW, NewRecord { key: Some(b""), value: None, headers: &[] });
        builder.push(NOW, NewRecord::default());
        let batch = builder.build().unwrap();
        match check(batch.clone(), &compacted, CLIENT).unwrap_err() {
            LogError::InvalidRecord { records, .. } => {
                assert_eq!(records.iter().map(|r| r.index).collect::<Vec<_>>(), [2, 4]);
            }
            other => panic!("{other}"),
        }
        assert!(check(batch, &LogConfig::default(), CLIENT).is_ok());
    }
}

#[test]
fn timestamps_stay_in_range() {
    let config = LogConfig { timestamp_before_max_ms: 1000, timestamp_after_max_ms: 500, ..LogConfig::default() };
    let of = |timestamps: &[i64]| {
        let mut builder = BatchBuilder::new();
        for t in timestamps {
            builder.push(Timestamp(*t), NewRecord { key: Some(b"k"), value: None, headers: &[] });
        }
        builder.build().unwrap()
    };
    let now = NOW.0;
    assert!(check(of(&[now, now - 1000, now + 500, -1]), &config, CLIENT).is_ok(), "the bounds belong to the range");
    match check(of(&[now, now - 1001, now + 501, now, i64::MAX, i64::MIN]), &config, CLIENT).unwrap_err() {
        LogError::InvalidTimestamp { records, .. } => {
            assert_eq!(records.iter().map(|r| r.index).collect::<Vec<_>>(), [1, 2, 4, 5]);
        }
        other => panic!("{other}"),
    }
    let append_time = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..config };
    assert!(check(of(&[0]), &append_time, CLIENT).is_ok(), "the broker's time replaces it");
}

#[test]
fn a_refused_batch_names_a_bounded_number_of_records() {
    let config = LogConfig { timestamp_after_max_ms: 0, ..LogConfig::default() };
    let mut builder = BatchBuilder::new();
    for _ in 0..1000 {
        builder.push(NOW.0.saturating_add(1).into(), NewRecord::default());
    }
    match check(builder.build().unwrap(), &config, CLIENT).unwrap_err() {
        LogError::InvalidTimestamp { records, message } => {
            assert_eq!(records.len(), RECORD_ISSUES_MAX);
            assert!(message.contains("1000"), "{message}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn offset_deltas_count_from_zero() {
    // Three records, then the middle one's delta (1 -> zigzag 2) becomes 2 (zigzag 4).
    let mut batch = BatchBuilder::new();
    for _ in 0..3 {
        batch.push(NOW, NewRecord::default());
    }
    let batch = batch.build().unwrap();
    let record = (batch.len() - HEADER_BYTES) / 3;
    let mut bytes = batch.to_vec();
    bytes[HEADER_BYTES + record + 3] = 4;
    let wrong = with_header(&bytes.into(), |_| ());
    match check(wrong, &LogConfig::default(), CLIENT).unwrap_err() {
        LogError::InvalidRecord { records, .. } => assert_eq!(records[0].index, 1),
        other => panic!("{other}"),
    }
}

#[test]
fn a_wrong_largest_timestamp_is_put_right() {
    for codec in CODECS {
        let good = builder(3).compression(codec, None).build().unwrap();
        let wrong = with_header(&good, |h| h.max_timestamp = Timestamp(5));
        let out = check(wrong, &LogConfig::default(), CLIENT).unwrap();
        assert_eq!(stored(&out).bytes(), &good, "{codec:?}: the header and CRC of an honest producer");
    }
}

#[test]
fn log_append_time_is_the_brokers() {
    let config = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..LogConfig::default() };
    for codec in CODECS {
        let mut builder = BatchBuilder::new().compression(codec, None);
        builder.push(Timestamp(77), NewRecord::default());
        let out = check(builder.build().unwrap(), &config, CLIENT).unwrap();
        assert_eq!(out.log_append_time, Some(NOW));
        let batch = stored(&out);
        assert_eq!(batch.header.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(batch.header.max_timestamp, NOW);
        assert_eq!(batch.owned_records().unwrap()[0].timestamp, NOW);
    }
}

fn contents(bytes: &Bytes) -> Vec<OwnedRecord> {
    batches(bytes.clone()).next().unwrap().unwrap().owned_records().unwrap()
}

#[test]
fn a_topic_with_its_own_codec_compresses_again() {
    for source in CODECS {
        for target in CODECS {
            let config = LogConfig { compression: CompressionPolicy::Codec(target, None), ..LogConfig::default() };
            let producer = ProducerSequence { id: ProducerId(9), epoch: ProducerEpoch(2), base_sequence: 40 };
            let input = builder(20).producer(producer).compression(source, None).build().unwrap();
            let out = check(input.clone(), &config, CLIENT).unwrap();
            let batch = stored(&out);
            assert_eq!(batch.header.compression(), Some(target));
            assert_eq!(batch.owned_records().unwrap(), contents(&input), "{source:?} -> {target:?}");
            let (new, old) = (batch.header, BatchHeader::parse(&input).unwrap());
            assert_eq!((new.producer_id, new.base_sequence), (old.producer_id, old.base_sequence));
            assert_eq!((new.base_timestamp, new.max_timestamp), (old.base_timestamp, old.max_timestamp));
            if source == target {
                assert_eq!(batch.bytes(), &input);
            }
        }
    }
    // What grows by it is measured again.
    let input = builder(1000).compression(Compression::Zstd, None).build().unwrap();
    let max_message_bytes = u32::try_from(input.len()).unwrap();
    let compression = CompressionPolicy::Codec(Compression::None, None);
    let config = LogConfig { max_message_bytes, compression, ..LogConfig::default() };
    assert_eq!(name(&check(input, &config, CLIENT).unwrap_err()), "too large");
}

#[test]
fn a_bomb_costs_an_error() {
    let zeros = vec![0; watershed_model::limits::DECOMPRESSED_BATCH_BYTES_MAX + 1];
    let mut body = Vec::new();
    compress(Compression::Zstd, None, &zeros, &mut body).unwrap();
    let small = builder(1).compression(Compression::Zstd, None).build().unwrap();
    let mut header = BatchHeader::parse(&small).unwrap();
    header.total_bytes = u32::try_from(HEADER_BYTES + body.len()).unwrap();
    header.crc = header.compute_crc(&body);
    let bomb: Bytes = [&header.to_bytes()[..], &body].concat().into();
    for compression in [CompressionPolicy::Producer, CompressionPolicy::Codec(Compression::None, None)] {
        let config = LogConfig { compression, ..LogConfig::default() };
        assert_eq!(name(&check(bomb.clone(), &config, CLIENT).unwrap_err()), "invalid record");
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(
        at in any::<prop::sample::Index>(), value: u8, codec in 0..5usize, cut in any::<prop::sample::Index>()
    ) {
        let good = builder(5).compression(CODECS[codec], None).build().unwrap();
        let mut bad = good.to_vec();
        let at = at.index(bad.len());
        bad[at] = value;
        let config = LogConfig { compression: CompressionPolicy::Codec(Compression::Lz4, None), ..LogConfig::default() };
        let _ = check(bad.clone().into(), &config, CLIENT);
        bad.truncate(cut.index(bad.len()));
        prop_assert!(check(bad.clone().into(), &config, CLIENT).is_err());
        // With a CRC that is right, so that the walk sees it.
        let mut bad = good.to_vec();
        bad[at.max(HEADER_BYTES)] = value;
        let _ = check(with_header(&bad.into(), |_| ()), &LogConfig::default(), CLIENT);
    }

    #[test]
    fn the_shortcut_crc_is_the_real_one(max in any::<i64>(), epoch: i16, records in 1..40usize) {
        let batch = bytes(records);
        let old = BatchHeader::parse(&batch).unwrap();
        let mut new = old;
        new.max_timestamp = Timestamp(max);
        new.producer_epoch = ProducerEpoch(epoch);
        new.base_offset = Offset(99);
        new.leader_epoch = LeaderEpoch(3);
        let body = &batch[HEADER_BYTES..];
        prop_assert_eq!(old.crc_after_change(&new, body.len()), new.compute_crc(body));
    }
}
