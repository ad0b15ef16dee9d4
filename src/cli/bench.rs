//! `watershed bench`: load on a broker, with a live rate and a table at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use watershed_client::{
    Admin, Client, Consumer, ConsumerConfig, Delivery, IsolationLevel, OffsetSpec, Producer, ProducerRecord,
};
use watershed_hooks::PluginFactory;
use watershed_model::record::NewRecord;
use watershed_model::{Offset, SystemClock};

use super::exit::{CliError, Exit};
use super::partitions::{Partitions, RECORDS_PER_BATCH_MAX};
use super::produce::Sending;
use super::remote::Remote;
use super::ui::{Ui, bytes, millis};

/// How many deliveries one producer may wait for.
const DELIVERIES_MAX: usize = 1 << 20;

/// The longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// How many values are made in advance and sent over and over.
const VALUES: usize = 64;

/// `watershed bench …`
#[derive(Debug, clap::Subcommand)]
pub enum Bench {
    /// Produce as fast as the broker takes it, or at a rate
    Produce(BenchProduce),
    /// Consume a topic from its beginning
    Consume(BenchConsume),
}

/// `watershed bench produce`
#[derive(Clone, Debug, clap::Args)]
pub struct BenchProduce {
    /// The topic
    topic: String,
    /// How many records in all
    #[arg(long, short = 'n', default_value_t = 1_000_000)]
    records: u64,
    /// End after so many seconds, even if not all are sent
    #[arg(long)]
    seconds: Option<u64>,
    /// The size of each value in bytes
    #[arg(long, short, default_value_t = 1024)]
    size: usize,
    /// Records per second in all; 0 is as many as go
    #[arg(long, short, default_value_t = 0)]
    rate: u64,
    /// How many producers, each with its own connections
    #[arg(long, default_value_t = 1)]
    producers: u32,
    /// How many different keys; 0 is none
    #[arg(long, default_value_t = 0)]
    keys: u64,
    /// Seeds the values
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    remote: Remote,
}

/// `watershed bench consume`
#[derive(Clone, Debug, clap::Args)]
pub struct BenchConsume {
    /// The topic
    topic: String,
    /// End after so many records [default: what is there now]
    #[arg(long, short = 'n')]
    records: Option<u64>,
    /// How much a fetch may bring of one partition, in bytes
    #[arg(long, default_value_t = 1024 * 1024)]
    fetch_bytes: i32,
    /// Take every record apart, not only the batches
    #[arg(long)]
    decode: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
///
/// # Errors
/// The first record that is not delivered, or that cannot be fetched.
pub async fn run(command: Bench, ui: Ui, factories: &[Arc<dyn PluginFactory>]) -> Result<(), CliError> {
    match command {
        Bench::Produce(args) => produce(args, ui, factories).await,
        Bench::Consume(args) => consume(args, ui).await,
    }
}

/// What happens while the load runs, for the live line.
#[derive(Debug, Default)]
struct Counters {
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    fn add(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn get(&self) -> (u64, u64) {
        (self.records.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are constants that are in range")
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(LATENCY_US_MAX).clamp(1, LATENCY_US_MAX)
}

/// Prints the rate every second until it is aborted.
fn live(ui: Ui, counters: Arc<Counters>, verb: &'static str) -> JoinHandle<()> {
    tokio::spawn(async move {
        if !ui.is_live() {
            return;
        }
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        let (mut last, mut then) = (counters.get(), Instant::now());
        loop {
            tick.tick().await;
            let (now, at) = (counters.get(), Instant::now());
            let seconds = (at - then).as_secs_f64();
            let rate = (now.0 - last.0) as f64 / seconds;
            let byte_rate = ((now.1 - last.1) as f64 / seconds) as u64;
            ui.note(&format!("{} {verb}  {rate:.0} records/s  {}/s", now.0, bytes(byte_rate)));
            (last, then) = (now, at);
        }
    })
}

/// The table at the end.
struct Summary<'a> {
    what: &'a str,
    records: u64,
    bytes: u64,
    elapsed: Duration,
    latency: &'a Histogram<u64>,
    latency_of: &'a str,
}

impl Summary<'_> {
    fn print(&self, ui: Ui) -> Result<(), CliError> {
        let seconds = self.elapsed.as_secs_f64().max(1e-9);
        let at = |q: f64| Duration::from_micros(self.latency.value_at_quantile(q));
        let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
        let rate = self.records as f64 / seconds;
        if ui.json {
            let latency: serde_json::Map<_, _> =
                quantiles.iter().map(|(name, q)| ((*name).to_owned(), json!(at(*q).as_micros() as u64))).collect();
            ui.json(&json!({
                "bench": self.what, "records": self.records, "bytes": self.bytes, "seconds": seconds,
                "records_per_second": rate, "bytes_per_second": self.bytes as f64 / seconds,
                "latency_of": self.latency_of, "latency_us": latency,
            }))?;
            return Ok(());
        }
        let mut rows = vec![
            vec!["records".to_owned(), self.records.to_string()],
            vec!["bytes".to_owned(), bytes(self.bytes)],
            vec!["time".to_owned(), format!("{seconds:.2} s")],
            vec!["rate".to_owned(), format!("{rate:.0} records/s, {}/s", bytes((self.bytes as f64 / seconds) as u64))],
        ];
        for (name, q) in quantiles {
            rows.push(vec![format!("{} {name}", self.latency_of), millis(at(q))]);
        }
        Ok(ui.table(&[self.what, ""], &rows)?)
    }
}

async fn produce(args: BenchProduce, ui: Ui, factories: &[Arc<dyn PluginFactory>]) -> Result<(), CliError> {
    if args.producers == 0 {
        return Err(CliError::new(Exit::Usage, "--producers must be at least 1"));
    }
    let counters = Arc::new(Counters::default());
    let values = Arc::new(values(args.size, args.seed));
    let mut partitions = Vec::new();
    for _ in 0..args.producers {
        partitions.push(Partitions::new(&args.sending.partitioner, factories)?);
    }
    let live = live(ui, Arc::clone(&counters), "acknowledged");
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (i, partitions) in (0u64..).zip(partitions) {
        let (args, counters, values) = (args.clone(), Arc::clone(&counters), Arc::clone(&values));
        tasks.spawn(async move { one_producer(&args, i, partitions, &values, start, counters).await });
    }
    let mut latency = histogram();
    while let Some(done) = tasks.join_next().await {
        let one = done.map_err(|e| CliError::new(Exit::Failure, format!("a producer failed: {e}")))??;
        latency.add(&one).expect("both have the same bounds");
    }
    live.abort();
    let (records, bytes) = counters.get();
    let elapsed = start.elapsed();
    Summary { what: "PRODUCE", records, bytes, elapsed, latency: &latency, latency_of: "latency" }.print(ui)
}

/// Values that do not compress to nothing: half of each is random, half repeats.
fn values(size: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..VALUES).map(|_| (0..size).map(|i| if i % 2 == 0 { random() } else { b'.' }).collect()).collect()
}

async fn one_producer(
    args: &BenchProduce,
    index: u64,
    mut partitions: Partitions,
    values: &[Vec<u8>],
    start: Instant,
    counters: Arc<Counters>,
) -> Result<Histogram<u64>, CliError> {
    let client = args
        .remote
        .client(|config| {
            config.allow_auto_topic_creation = true;
            config.unknown_topic_timeout = Duration::from_secs(5);
        })
        .await?;
    let config = args.sending.config(args.remote.timeout());
    let producer = Producer::new(client, config, Arc::new(SystemClock::new()))?;
    let count = producer.partitions(&args.topic).await?;
    let (deliveries, collector) = collect(args.size as u64, counters);
    let producers = u64::from(args.producers);
    let mine = args.records / producers + u64::from(index < args.records % producers);
    let end = args.seconds.map(|s| start + Duration::from_secs(s));
    let mut sent = 0;
    while sent < mine && end.is_none_or(|end| Instant::now() < end) && !collector.is_finished() {
        let chunk = (mine - sent).min(RECORDS_PER_BATCH_MAX as u64).min(chunk_of(args.rate / producers));
        let keys: Vec<_> = (sent..sent + chunk)
            .map(|n| (args.keys > 0).then(|| format!("key-{}", (n * producers + index) % args.keys)))
            .collect();
        let keys = || keys.iter().map(|k| k.as_deref().map(str::as_bytes));
        let chosen = partitions.choose(&args.topic, count, keys().map(|k| (k, args.size)))?;
        for ((n, key), partition) in (sent..).zip(keys()).zip(chosen) {
            let value = &values[n as usize % values.len()];
            let record = NewRecord { key, value: Some(value), headers: &[] };
            let at = Instant::now();
            let new = ProducerRecord { topic: &args.topic, partition, timestamp: None, record };
            let delivery = producer.send(new).await?;
            if deliveries.send((at, delivery)).await.is_err() {
                break;
            }
        }
        sent += chunk;
        if args.rate > 0 {
            let due = sent as f64 * producers as f64 / args.rate as f64;
            sleep_until(start + Duration::from_secs_f64(due)).await;
        }
    }
    drop(deliveries);
    producer.flush().await;
    let result = collector.await.map_err(|e| CliError::new(Exit::Failure, e.to_string()))?;
    producer.close().await;
    result
}

/// How many records to send at once for a rate: a hundredth of a second's, so that the load is even.
fn chunk_of(rate: u64) -> u64 {
    if rate == 0 { u64::MAX } else { (rate / 100).max(1) }
}

type Collector = JoinHandle<Result<Histogram<u64>, CliError>>;

fn collect(size: u64, counters: Arc<Counters>) -> (mpsc::Sender<(Instant, Delivery)>, Collector) {
    let (deliveries, mut queue) = mpsc::channel::<(Instant, Delivery)>(DELIVERIES_MAX);
    let collector = tokio::spawn(async move {
        let mut latency = histogram();
        while let Some((at, delivery)) = queue.recv().await {
            let delivered = delivery.wait().await?;
            latency.saturating_record(micros(delivered.acked.saturating_duration_since(at)));
            counters.add(1, size);
        }
        Ok(latency)
    });
    (deliveries, collector)
}

async fn consume(args: BenchConsume, ui: Ui) -> Result<(), CliError> {
    let client = args.remote.client(|_| {}).await?;
    let (mut consumer, there) = assigned(&args, client).await?;
    let wanted = args.records.unwrap_or(there);
    let counters = Arc::new(Counters::default());
    let live = live(ui, Arc::clone(&counters), "consumed");
    let (start, limit) = (Instant::now(), args.remote.timeout());
    let mut latency = histogram();
    while counters.get().0 < wanted {
        let asked = Instant::now();
        let fetched = timeout(limit, consumer.poll()).await;
        let fetched = fetched.map_err(|_| {
            let message = format!("{} of {wanted} records came, then none for {limit:?}", counters.get().0);
            CliError::new(Exit::Timeout, message)
        })??;
        latency.saturating_record(micros(asked.elapsed()));
        let mut records = 0;
        if args.decode {
            fetched.for_each(|_, _, _| {
                records += 1;
                true
            })?;
        } else {
            records = fetched.batches.iter().map(|b| u64::from(b.header.record_count.unsigned_abs())).sum();
        }
        counters.add(records, fetched.bytes as u64);
    }
    live.abort();
    let (records, bytes) = counters.get();
    let elapsed = start.elapsed();
    Summary { what: "CONSUME", records, bytes, elapsed, latency: &latency, latency_of: "fetch wait" }.print(ui)
}

/// A consumer of the whole topic from its beginning, and how many offsets there are.
async fn assigned(args: &BenchConsume, client: Client) -> Result<(Consumer, u64), CliError> {
    let topic = client.topic(&args.topic).await?;
    let admin = Admin::new(client.clone());
    let ask = |spec| topic.partitions.iter().map(|p| (args.topic.clone(), p.index, spec)).collect::<Vec<_>>();
    let isolation = IsolationLevel::ReadUncommitted;
    let starts = admin.list_offsets(&ask(OffsetSpec::Earliest), isolation).await?;
    let ends = admin.list_offsets(&ask(OffsetSpec::Latest), isolation).await?;
    let config = ConsumerConfig { partition_max_bytes: args.fetch_bytes, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(client, config);
    let mut there = 0;
    for (start, end) in starts.iter().zip(&ends) {
        let from = start.offset.unwrap_or(Offset::ZERO);
        consumer.assign(&args.topic, start.partition, from).await?;
        there += end.offset.map_or(0, |end| u64::try_from(end.0 - from.0).unwrap_or(0));
    }
    Ok((consumer, there))
}
