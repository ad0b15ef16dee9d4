//! What a script costs per batch: a partitioner that reads keys, an ordering key out of JSON, an interceptor that keeps all.
//!
//! Measured is time on a processor, as budgets are, so that a busy machine does not show.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use watershed_hooks::{
    Batch, Client, Column, Environment, Hook, HookKind, Place, Records, Settings, assign, intercept, order,
};
use watershed_lua::LuaHost;
use watershed_plugin_host::{Limits, LoadedPlugin, PluginSource};

const SCRIPT: &str = r#"
local P = { name = "bench", version = "1", api = 1, reads = { "keys", "values" } }

function P.partition(b, partitions)
	local out = table.create(#b)
	for i = 1, #b do
		out[i] = bit32.band(kafka.murmur2(b:key(i)), 0x7fffffff) % partitions
	end
	return out
end

function P.ordering_key(b)
	local out = table.create(#b)
	for i = 1, #b do
		out[i] = b:value_field(i, "tenant")
	end
	return out
end

function P.intercept(b)
	return {}
end

return P
"#;

/// The time that this thread has been on a processor.
struct ProcessorTime;

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn end(&self, begin: Duration) -> Duration {
        self.start().saturating_sub(begin)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A document of 1 KiB whose field `tenant` stands in its middle.
fn document(i: usize) -> Vec<u8> {
    let half = "x".repeat(490);
    format!(r#"{{"before":"{half}","tenant":"t{i:04}","behind":"{half}"}}"#).into_bytes()
}

fn load() -> LoadedPlugin {
    let contents = SCRIPT.as_bytes().to_vec();
    let source = PluginSource::new("bench", "bench.luau", contents, Limits::default());
    LuaHost::new().load(source).unwrap_or_else(|error| panic!("{error}"))
}

fn make(plugin: &LoadedPlugin, kind: HookKind) -> Hook {
    let factory = plugin.factories.iter().find(|factory| factory.hook() == kind);
    let factory = factory.unwrap_or_else(|| panic!("the script serves {kind}"));
    let made = factory.create(&Settings::new(), &Environment::with_random(|| 0));
    made.unwrap_or_else(|error| panic!("{error}"))
}

fn hooks(criterion: &mut Criterion<ProcessorTime>) {
    let plugin = load();
    let reads = &plugin.manifest.reads;
    let kinds = [HookKind::Partitioner, HookKind::OrderingKey, HookKind::Interceptor];
    for kind in kinds {
        let mut group = criterion.benchmark_group(format!("luau/{kind}"));
        for n in [1, 10, 100, 256] {
            let mut records = Records::new(reads.clone());
            for i in 0..n {
                let key = format!("customer-{i:08}");
                let pushed = records.push(Some(key.as_bytes()), Some(&document(i)), 0, std::iter::empty());
                pushed.unwrap_or_else(|full| panic!("{full}"));
            }
            let batch = Batch::new(Place::default(), Client::default(), &records, reads);
            let mut hook = make(&plugin, kind);
            group.throughput(Throughput::Elements(n as u64));
            group.bench_function(BenchmarkId::from_parameter(n), |bencher| match &mut hook {
                Hook::Partitioner(it) => {
                    let (mut choices, twelve) = (Vec::new(), 12.try_into().unwrap_or(std::num::NonZeroU32::MIN));
                    bencher.iter(|| {
                        assign(it.as_mut(), &batch, twelve, &mut choices).unwrap_or_else(|error| panic!("{error}"));
                        black_box(&choices);
                    });
                }
                Hook::OrderingKey(it) => {
                    let mut keys = Column::new();
                    bencher.iter(|| {
                        order(it.as_mut(), &batch, &mut keys).unwrap_or_else(|error| panic!("{error}"));
                        black_box(&keys);
                    });
                }
                Hook::Interceptor(it) => {
                    let mut verdicts = Vec::new();
                    bencher.iter(|| {
                        intercept(it.as_mut(), &batch, &mut verdicts).unwrap_or_else(|error| panic!("{error}"));
                        black_box(&verdicts);
                    });
                }
                other => panic!("{other:?} is not measured"),
            });
        }
        group.finish();
    }
    criterion.bench_function("luau/create", |bencher| bencher.iter(|| make(&plugin, HookKind::Partitioner)));
}

criterion_group!(name = benches; config = Criterion::default().with_measurement(ProcessorTime); targets = hooks);
criterion_main!(benches);
