//! Appends with group commit: how many promised appends a second, by partitions and appends in flight.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use watershed_model::{Clock, Offset, SystemClock};
use watershed_storage::conformance::harness::{config, frame, partition};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{FlushMode, Frame, LogStorage, PartitionLog, SegmentConfig};
use watershed_storage_disk::{DiskConfig, DiskStorage};

const BODY_BYTES: usize = 16 << 10;

/// The same frame elsewhere: the checksum does not cover the base offset.
fn moved(template: &Frame, base: i64) -> Frame {
    let mut frame = template.clone();
    frame.head[..8].copy_from_slice(&base.to_be_bytes());
    frame.meta.last = Offset(base + frame.meta.last.0 - frame.meta.base.0);
    frame.meta.base = Offset(base);
    frame
}

/// Appends `each` frames to every log, one in flight per log, and waits for the promises.
async fn append_all(logs: &[Arc<dyn PartitionLog>], template: &Frame, each: u64) {
    for _ in 0..each {
        let mut tickets = Vec::with_capacity(logs.len());
        for log in logs {
            let end = log.ends().end.0;
            tickets.push(log.append(vec![moved(template, end)]).unwrap());
        }
        for ticket in tickets {
            ticket.await.unwrap();
        }
    }
}

fn append_and_sync(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let template = frame(0, 10, 0, 0, BODY_BYTES);
    let mut group = c.benchmark_group("append");
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(200));
    for (flush, partitions) in [(FlushMode::Sync, 1), (FlushMode::Sync, 32), (FlushMode::Relaxed, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let settings = DiskConfig { ballast_bytes: 0, ..DiskConfig::new(dir.path(), clock.clone()) };
        let storage = DiskStorage::open(settings).unwrap();
        let logs: Vec<_> = (0..partitions)
            .map(|n| {
                let config = SegmentConfig { flush, index_interval_bytes: 4096, ..config() };
                runtime.block_on(storage.open(partition(n), config, Arc::new(BatchFraming))).unwrap().0
            })
            .collect();
        group.throughput(Throughput::Bytes((BODY_BYTES * logs.len()) as u64));
        let name = BenchmarkId::new(format!("{flush:?}"), partitions);
        group.bench_function(name, |b| {
            b.iter_custom(|times| {
                let began = clock.elapsed();
                runtime.block_on(append_all(&logs, &template, times));
                clock.elapsed() - began
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append_and_sync);
criterion_main!(benches);
