//! What a producer sends for one partition, through the log's validation: every codec, every setting that changes it.
//!
//! The input chooses settings and how much of the batch is honest: arbitrary bytes, a header with its checksum made right,
//! or an honest header over records that were compressed here. What is accepted is one batch whose header tells the truth
//! about its records; it is accepted again unchanged, and it holds the records that came in.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use watershed_fuzz::{Input, correct_batches, meter, seeds};
use watershed_log::{CleanupPolicy, CompressionPolicy, LogConfig, Origin, ValidatedBatch, validate};
use watershed_model::record::{
    BatchBuilder, BatchHeader, Compression, HEADER_BYTES, NewRecord, RecordBatch, TimestampType, compress,
};
use watershed_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// The newest version of Produce.
const PRODUCE_VERSION_MAX: i16 = 13;

/// What a walk over compressed records may hold at once: the largest blocks of the codecs, and a record.
const WALK_BYTES_MAX: usize = 32 << 20;

fn config(choice: u8, codec: u8) -> LogConfig {
    LogConfig {
        max_message_bytes: 1 << 20,
        cleanup: CleanupPolicy { delete: true, compact: choice & 1 != 0 },
        timestamp_type: if choice & 2 != 0 { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        timestamp_before_max_ms: if choice & 4 != 0 { 1000 } else { i64::MAX },
        compression: match choice & 8 {
            0 => CompressionPolicy::Producer,
            _ => CompressionPolicy::Codec(CODECS[usize::from(codec) % CODECS.len()], None),
        },
        ..LogConfig::default()
    }
}

/// A batch whose header says what it should about a body of so many records.
fn wrapped(codec: Compression, count: i32, records: &[u8]) -> Bytes {
    let mut out = vec![0; HEADER_BYTES];
    compress(codec, None, records, &mut out).expect("the codecs take any bytes");
    let mut header = BatchHeader {
        base_offset: Offset::ZERO,
        total_bytes: u32::try_from(out.len()).expect("inputs are short"),
        leader_epoch: LeaderEpoch::NONE,
        crc: 0,
        attributes: 0,
        last_offset_delta: count.wrapping_sub(1),
        base_timestamp: NOW,
        max_timestamp: NOW,
        producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch::NONE,
        base_sequence: -1,
        record_count: count,
    };
    header.set_compression(codec);
    header.crc = header.compute_crc(&out[HEADER_BYTES..]);
    out[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    out.into()
}

fn batch_of(input: Input<'_>, mode: u8) -> Bytes {
    match mode % 3 {
        0 => Bytes::copy_from_slice(input.rest()),
        1 => {
            let mut bytes = input.rest().to_vec();
            correct_batches(&mut bytes);
            bytes.into()
        }
        _ => {
            let mut input = input;
            let codec = CODECS[usize::from(input.byte()) % CODECS.len()];
            let count = i32::from(input.byte());
            wrapped(codec, count, input.rest())
        }
    }
}

fn stored(batch: &ValidatedBatch) -> Bytes {
    [&batch.header.to_bytes()[..], &batch.body].concat().into()
}

fn check_accepted(before: Bytes, after: &ValidatedBatch, config: &LogConfig, origin: Origin) {
    let bytes = stored(after);
    assert_eq!(after.header.total_bytes as usize, bytes.len());
    let batch = RecordBatch::split_from(&mut bytes.clone()).expect("what was accepted is a batch");
    assert!(batch.crc_is_valid(), "an accepted batch has a wrong checksum");
    let records = batch.owned_records().expect("its records can be read");
    assert_eq!(i32::try_from(records.len()), Ok(batch.header.record_count));
    let sent = RecordBatch::split_from(&mut before.clone()).and_then(|b| b.owned_records()).expect("it was accepted");
    let same = |(a, b): (&watershed_model::record::OwnedRecord, &watershed_model::record::OwnedRecord)| {
        a.offset == b.offset && a.key == b.key && a.value == b.value && a.headers == b.headers
    };
    assert!(records.len() == sent.len() && records.iter().zip(&sent).all(same), "records changed");
    // Times before 1970 do not count, as in Kafka.
    let largest = records.iter().map(|record| record.timestamp).max().unwrap_or(Timestamp::NONE);
    assert_eq!(batch.header.max_timestamp, largest.max(Timestamp::NONE));
    if config.timestamp_type == TimestampType::CreateTime {
        // The topic's codec may be one that the request's version could not have sent.
        let origin = match origin {
            Origin::Client { .. } => Origin::Client { produce_version: PRODUCE_VERSION_MAX },
            Origin::Coordinator | Origin::Router => origin,
        };
        let again = validate(bytes.clone(), config, origin, NOW).expect("what was accepted is accepted again");
        assert_eq!(stored(&again), bytes, "a batch that needs no change was changed");
    }
}

fn honest() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (number, codec) in (0u8..).zip(CODECS) {
        let mut builder = BatchBuilder::new().compression(codec, None);
        let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"v")), (b"h", None)];
        builder.push(NOW, NewRecord { key: Some(b"key"), value: Some(b"value"), headers });
        builder.push(Timestamp(NOW.0 + 1), NewRecord { key: Some(b"key"), value: None, headers: &[] });
        let batch = builder.build().expect("it is an honest batch");
        for choice in [0, 1, 2, 8, 10] {
            for mode in [0, 1] {
                found.push([&[choice, number + 1, 9, mode], &batch[..]].concat());
            }
        }
        let plain = RecordBatch::split_from(&mut batch.clone()).map(|batch| batch.body()).expect("it is a batch");
        if codec == Compression::None {
            for codec in 0..5 {
                found.push([&[0, 0, 9, 2, codec, 2], &plain[..]].concat());
            }
        }
    }
    found
}

fuzz_target!(init: seeds::write_if_asked(honest()), |data: &[u8]| {
    let mut input = Input::new(data);
    let config = config(input.byte(), input.byte());
    let origin = match input.byte() % 16 {
        15 => Origin::Coordinator,
        version => Origin::Client { produce_version: i16::from(version) },
    };
    let mode = input.byte();
    let batch = batch_of(input, mode);
    let (result, peak) = meter::peak(|| validate(batch.clone(), &config, origin, NOW));
    if config.compression == CompressionPolicy::Producer {
        assert!(peak <= WALK_BYTES_MAX, "{peak} bytes taken for {}", batch.len());
    }
    match result {
        Ok(accepted) => check_accepted(batch, &accepted, &config, origin),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
