//! What a call of a guest costs: an interceptor in C that keeps everything (it reads one column), and the reference
//! partitioner, which reads two and hashes. Beside them: making an instance, and loading a small component without a cache.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use watershed_hooks::{Batch, Client, Environment, Hook, HookKind, Place, Records, assign, intercept};
use watershed_plugin_host::{Limits, LoadedPlugin, PluginSource, conformance};
use watershed_wasm::{WasmHost, WasmOptions};

const BATCHES: [usize; 4] = [1, 10, 100, 256];

fn load(host: &WasmHost, file: &str) -> LoadedPlugin {
    let contents = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(file)).unwrap();
    let limits = Limits::new(None, Some(Duration::from_secs(1))).unwrap();
    host.load(PluginSource::new(file, file, contents, limits)).unwrap()
}

fn create(plugin: &LoadedPlugin, kind: HookKind, settings: &watershed_hooks::Settings) -> Hook {
    let factory = plugin.factories.iter().find(|factory| factory.hook() == kind).unwrap();
    factory.create(settings, &Environment::with_random(|| 0)).unwrap()
}

fn calls(c: &mut Criterion) {
    let host = WasmHost::new(WasmOptions::default()).unwrap();
    let (keyed, reference) = (load(&host, "keyed.wasm"), load(&host, "reference.wasm"));
    let partitions = NonZeroU32::new(12).unwrap();
    let mut group = c.benchmark_group("wasm");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(20);
    for records in BATCHES {
        group.throughput(Throughput::Elements(records as u64));
        let Hook::Interceptor(mut interceptor) = create(&keyed, HookKind::Interceptor, &Default::default()) else {
            panic!("another hook")
        };
        let Hook::Partitioner(mut partitioner) = create(&reference, HookKind::Partitioner, &conformance::settings())
        else {
            panic!("another hook")
        };
        let reads = partitioner.reads().clone();
        let mut columns = Records::new(reads.clone());
        for i in 0..records {
            let (key, value) = (format!("customer-{i:07}"), [b'v'; 100]);
            columns.push(Some(key.as_bytes()), Some(&value), 0, std::iter::empty()).unwrap();
        }
        let place = Place { topic: "orders", ..Place::default() };
        let batch = Batch::new(place, Client::default(), &columns, &reads);
        group.bench_function(BenchmarkId::new("interceptor-keeps-all", records), |b| {
            let mut verdicts = Vec::new();
            b.iter(|| intercept(interceptor.as_mut(), black_box(&batch), &mut verdicts).unwrap());
        });
        group.bench_function(BenchmarkId::new("partitioner-hashes-keys", records), |b| {
            let mut choices = Vec::new();
            b.iter(|| assign(partitioner.as_mut(), black_box(&batch), partitions, &mut choices).unwrap());
        });
    }
    group.bench_function("create", |b| b.iter(|| create(&keyed, HookKind::Interceptor, &Default::default())));
    group.bench_function("load", |b| b.iter(|| load(&host, "keyed.wasm")));
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
