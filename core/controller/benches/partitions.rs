//! A hundred thousand partitions: what it takes to create them, to start a broker that leads them, and to hold
//! them in memory. Two shapes: ten topics of ten thousand partitions, and a hundred thousand topics of one.
//!
//! The memory figures are counted by the allocator and printed before the timings.

#![allow(missing_docs, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use watershed_controller::{Controller, ControllerHandle, ControllerOptions, CreateTopic, RegisterBroker};
use watershed_metadata::{
    Endpoint, MetadataImage, MetadataRecord, SecurityProtocol, decode_batch, encode_chunks, supported_features,
};
use watershed_model::{BrokerId, SystemClock, TopicId};

/// Counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BROKER: BrokerId = BrokerId(1);

fn registration(incarnation: u8) -> RegisterBroker {
    let endpoint = Endpoint {
        name: "PLAINTEXT".to_owned(),
        host: "localhost".to_owned(),
        port: 9092,
        security_protocol: SecurityProtocol::Plaintext,
    };
    RegisterBroker {
        broker: BROKER,
        incarnation: [incarnation; 16],
        listeners: vec![endpoint],
        rack: None,
        features: supported_features(),
    }
}

/// The requests that create a hundred thousand partitions in topics of `size` partitions, ten thousand a request.
fn requests(size: i32) -> Vec<Vec<CreateTopic>> {
    let topics: Vec<CreateTopic> = (0..100_000 / size)
        .map(|i| CreateTopic { partitions: size, ..CreateTopic::with_defaults(format!("a-topic-of-this-bench-{i}")) })
        .collect();
    topics.chunks(usize::try_from(10_000 / size).unwrap()).map(<[_]>::to_vec).collect()
}

fn counter() -> impl FnMut() -> TopicId {
    let mut next = 0u128;
    move || {
        next += 1;
        TopicId((next.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).to_be_bytes())
    }
}

/// Creates everything, without a disk.
fn created(controller: &Controller, requests: &[Vec<CreateTopic>]) -> MetadataImage {
    let mut image = MetadataImage::default();
    let started = controller.register_broker(&image, &registration(1));
    image = image.apply_batch(&started.records).unwrap().0;
    let mut ids = counter();
    for request in requests {
        let outcome = controller.create_topics(&image, request, false, &mut ids);
        assert!(outcome.reply.iter().all(Result::is_ok));
        image = image.apply_batch(&outcome.records).unwrap().0;
    }
    assert_eq!(image.partition_count(), 100_000);
    image
}

fn options(dir: &Path) -> ControllerOptions {
    let mut ids = counter();
    ControllerOptions {
        dir: dir.to_owned(),
        node: BROKER,
        cluster_id: None,
        voters: BTreeMap::new(),
        config: Default::default(),
        clock: Arc::new(SystemClock::new()),
        random: Box::new(move || ids().0),
    }
}

fn bench(c: &mut Criterion, name: &str, size: i32) {
    let controller = Controller::new(BROKER, Default::default());
    let requests = requests(size);
    let before = IN_USE.load(Ordering::Relaxed);
    let image = created(&controller, &requests);
    println!("{name}: the image takes {} KiB", (IN_USE.load(Ordering::Relaxed) - before) / 1024);
    let chunks: Vec<Vec<u8>> = encode_chunks(image.records(), 256 * 1024).collect();
    println!("{name}: its snapshot takes {} KiB", chunks.iter().map(Vec::len).sum::<usize>() / 1024);

    let mut group = c.benchmark_group(name);
    group.sample_size(10).warm_up_time(std::time::Duration::from_millis(200));
    group.measurement_time(std::time::Duration::from_secs(1));
    group.bench_function("create (no disk)", |b| b.iter(|| created(&controller, black_box(&requests))));
    group.bench_function("raise all epochs", |b| {
        let start = [MetadataRecord::BrokerStarted { broker: BROKER, starts: 2 }];
        b.iter(|| image.apply_batch(black_box(&start)).unwrap());
    });
    group.bench_function("load the image from a snapshot", |b| {
        b.iter(|| {
            let mut image = MetadataImage::default();
            for chunk in &chunks {
                for record in decode_batch(chunk).unwrap() {
                    image.apply(&record).unwrap();
                }
            }
            image
        });
    });

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let handle = ControllerHandle::open(options(dir.path())).await.unwrap();
        handle.register_broker(registration(1)).await.unwrap();
        for request in &requests {
            handle.create_topics(request.clone(), false).await.unwrap();
        }
        assert_eq!(handle.image().partition_count(), 100_000);
        handle.shutdown().await;
    });
    let mut incarnation = 1u8;
    group.bench_function("open, register, close", |b| {
        b.iter(|| {
            incarnation = incarnation.wrapping_add(1);
            runtime.block_on(async {
                let handle = ControllerHandle::open(options(dir.path())).await.unwrap();
                handle.register_broker(registration(incarnation)).await.unwrap();
                handle.shutdown().await;
            });
        });
    });
    group.finish();
}

fn partitions(c: &mut Criterion) {
    bench(c, "10 topics x 10,000", 10_000);
    bench(c, "100,000 topics x 1", 1);
}

criterion_group!(benches, partitions);
criterion_main!(benches);
