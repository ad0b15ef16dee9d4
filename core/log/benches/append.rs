//! What a batch costs between the socket and the backend: validation, and validation with the append to memory.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use watershed_log::{LogConfig, LogContext, Origin, UnifiedLog, validate};
use watershed_model::record::{BatchBuilder, Compression, NewRecord, TimestampType};
use watershed_model::{LeaderEpoch, ManualClock, Timestamp, TopicId, TopicIdPartition};
use watershed_storage_memory::MemoryStorage;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const CLIENT: Origin = Origin::Client { produce_version: 12 };

fn batch(records: usize, value_bytes: usize, codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new().compression(codec, None);
    let mut noise = 1u64;
    for _ in 0..records {
        let value: Vec<u8> = (0..value_bytes)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (noise >> 60) as u8
            })
            .collect();
        builder.push(NOW, NewRecord { key: Some(b"some key"), value: Some(&value), headers: &[] });
    }
    builder.build().unwrap()
}

fn validation(c: &mut Criterion) {
    let mut group = c.benchmark_group("validate");
    let kept = LogConfig { max_message_bytes: u32::MAX, ..LogConfig::default() };
    let stamped = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..kept.clone() };
    let cases = [
        ("16 x 1 KiB", batch(16, 1024, Compression::None), &kept),
        ("1000 x 1 KiB", batch(1000, 1024, Compression::None), &kept),
        ("1000 x 100 B", batch(1000, 100, Compression::None), &kept),
        ("16 x 1 KiB LogAppendTime", batch(16, 1024, Compression::None), &stamped),
        ("1000 x 100 B lz4", batch(1000, 100, Compression::Lz4), &kept),
        ("1000 x 100 B zstd", batch(1000, 100, Compression::Zstd), &kept),
        ("1000 x 100 B snappy", batch(1000, 100, Compression::Snappy), &kept),
        ("1000 x 100 B gzip", batch(1000, 100, Compression::Gzip), &kept),
    ];
    for (name, input, config) in cases {
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |b| b.iter(|| validate(black_box(input.clone()), config, CLIENT, NOW).unwrap()));
    }
    group.finish();
}

fn appending(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let storage = MemoryStorage::new(Arc::new(ManualClock::at(NOW)), None);
    let context = LogContext { clock: Arc::new(ManualClock::at(NOW)) };
    let tp = TopicIdPartition { topic: TopicId([1; 16]), partition: 0 };
    let config = LogConfig { segment_bytes: 64 << 20, retention_bytes: Some(64 << 20), ..LogConfig::default() };
    let log = runtime.block_on(UnifiedLog::open(&storage, tp, config.clone(), context)).unwrap().log;
    let input = batch(1, 100, Compression::None);
    let mut since = 0;
    c.bench_function("validate and append 1 x 100 B", |b| {
        b.iter_batched(
            || {
                since += 1;
                if since % 100_000 == 0 {
                    runtime.block_on(log.apply_retention(NOW)).unwrap();
                }
            },
            |()| {
                let valid = validate(black_box(input.clone()), &config, CLIENT, NOW).unwrap();
                log.append_as_leader(valid, LeaderEpoch(0)).unwrap()
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = validation, appending
}
criterion_main!(benches);
