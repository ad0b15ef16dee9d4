//! `watershed produce`: records from standard input or files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use watershed_client::{Acks, ClientError, Delivery, Producer, ProducerConfig, ProducerRecord};
use watershed_hooks::PluginFactory;
use watershed_model::record::{Compression, NewRecord};
use watershed_model::{SystemClock, Timestamp};

use super::exit::{CliError, Exit};
use super::input::{InputError, InputRecord, Layout, Records, TextLayout};
use super::partitions::{Partitions, RECORDS_PER_BATCH_MAX};
use super::remote::Remote;
use super::text::unescape;
use super::ui::Ui;

/// How many records may wait for their delivery, beside the bound in bytes.
const DELIVERIES_MAX: usize = 100_000;

/// How the input is cut into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// At line feeds
    Lines,
    /// At blank lines
    Paragraphs,
    /// Not at all: each input is one record
    None,
}

/// What a record looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum InputFormat {
    /// Text, by the other options
    Text,
    /// JSON objects, as consume --format json prints them
    Json,
}

/// A codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "the names say it, and they would show in --help")]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Gzip => Self::Gzip,
            Codec::Snappy => Self::Snappy,
            Codec::Lz4 => Self::Lz4,
            Codec::Zstd => Self::Zstd,
        }
    }
}

/// How records are sent; also for `bench produce`.
#[derive(Clone, Debug, clap::Args)]
pub struct Sending {
    /// Compress batches
    #[arg(long, short = 'z', value_enum, default_value = "none")]
    pub compression: Codec,
    /// The codec's level [default: the codec's own]
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    pub compression_level: Option<i32>,
    /// When a record counts as delivered: 0 sent, 1 the leader has it, all the in-sync replicas have it
    #[arg(long, default_value = "all", value_parser = acks)]
    pub acks: Acks,
    /// Allow duplicates and disorder after retries (always so with acks 0 and 1)
    #[arg(long)]
    pub no_idempotence: bool,
    /// Which partition records without one go to
    #[arg(long, value_name = "NAME", default_value = "key-hash")]
    pub partitioner: String,
    /// How long a batch waits for more records, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5)]
    pub linger_ms: u64,
    /// When a batch is full, in bytes before compression
    #[arg(long, value_name = "BYTES", default_value_t = 128 * 1024)]
    pub batch_bytes: usize,
    /// The largest record and request, in bytes before compression
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    pub request_bytes: usize,
}

fn acks(text: &str) -> Result<Acks, String> {
    match text {
        "0" => Ok(Acks::None),
        "1" => Ok(Acks::Leader),
        "all" | "-1" => Ok(Acks::All),
        _ => Err("0, 1 or all is expected".to_owned()),
    }
}

impl Sending {
    /// The producer's settings.
    #[must_use]
    pub fn config(&self, timeout: Duration) -> ProducerConfig {
        ProducerConfig {
            acks: self.acks,
            idempotent: self.acks == Acks::All && !self.no_idempotence,
            compression: self.compression.into(),
            compression_level: self.compression_level,
            linger: Duration::from_millis(self.linger_ms),
            batch_bytes: self.batch_bytes.min(self.request_bytes),
            request_bytes_max: self.request_bytes,
            buffer_bytes_max: (self.request_bytes.saturating_mul(2)).max(64 * 1024 * 1024),
            delivery_timeout: timeout,
            ..ProducerConfig::default()
        }
    }
}

/// `watershed produce`
#[derive(Debug, clap::Args)]
pub struct Produce {
    /// The topic
    topic: String,
    /// Files to read [default: standard input]
    files: Vec<PathBuf>,
    /// Where the input is cut into records
    #[arg(long, value_enum, default_value = "lines")]
    split: Split,
    /// Cut here instead (\n \t \0 \xNN are understood)
    #[arg(long, value_name = "TEXT", conflicts_with = "split", allow_hyphen_values = true)]
    delimiter: Option<String>,
    /// Keep the delimiter at the end of each value
    #[arg(long)]
    keep_delimiter: bool,
    /// What a record looks like
    #[arg(long, value_enum, default_value = "text")]
    format: InputFormat,
    /// The key is what stands before this
    #[arg(long, short = 'K', value_name = "TEXT", allow_hyphen_values = true)]
    key_separator: Option<String>,
    /// The key is the rest of the record's first line that begins so, such as 'Package: '
    #[arg(long, value_name = "PREFIX", conflicts_with = "key_separator", allow_hyphen_values = true)]
    key_from: Option<String>,
    /// The key of every record
    #[arg(long, short, value_name = "TEXT", conflicts_with_all = ["key_separator", "key_from"], allow_hyphen_values = true)]
    key: Option<String>,
    /// A header of every record; may be repeated
    #[arg(long, short = 'H', value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// Keys and values that are exactly this are null
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    null_marker: Option<String>,
    /// The partition of every record
    #[arg(long, short)]
    partition: Option<i32>,
    /// The timestamp of every record, in milliseconds since 1970 [default: now]
    #[arg(long, value_name = "MS")]
    timestamp: Option<i64>,
    /// Do not let the broker create the topic
    #[arg(long)]
    no_create: bool,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    remote: Remote,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Produce {
    fn delimiter(&self) -> Result<Vec<u8>, CliError> {
        match (&self.delimiter, self.split) {
            (Some(text), _) => unescape(text).map_err(|e| CliError::new(Exit::Usage, format!("--delimiter: {e}"))),
            (None, Split::Lines) => Ok(b"\n".to_vec()),
            (None, Split::Paragraphs) => Ok(b"\n\n".to_vec()),
            (None, Split::None) => Ok(Vec::new()),
        }
    }

    fn layout(&self) -> Result<Layout, CliError> {
        if self.format == InputFormat::Json {
            return Ok(Layout::Json);
        }
        let bytes = |name: &str, text: &Option<String>| match text.as_deref().map(unescape) {
            None => Ok(None),
            Some(Ok(bytes)) if bytes.is_empty() && name == "--key-separator" => {
                Err(CliError::new(Exit::Usage, "--key-separator is empty"))
            }
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(e)) => Err(CliError::new(Exit::Usage, format!("{name}: {e}"))),
        };
        let headers = self.header.iter().map(|(k, v)| (k.clone().into_bytes(), Some(v.clone().into_bytes())));
        Ok(Layout::Text(TextLayout {
            key_separator: bytes("--key-separator", &self.key_separator)?,
            key_from: bytes("--key-from", &self.key_from)?,
            key: self.key.clone().map(String::into_bytes),
            headers: headers.collect(),
            null_marker: bytes("--null-marker", &self.null_marker)?,
            keep_delimiter: self.keep_delimiter,
        }))
    }
}

/// Runs the command.
///
/// # Errors
/// What of the input, or of its delivery, failed; [`Exit::Partial`] if some of it was delivered.
pub async fn run(args: Produce, ui: Ui, factories: &[Arc<dyn PluginFactory>]) -> Result<(), CliError> {
    let (delimiter, layout) = (args.delimiter()?, args.layout()?);
    let mut partitions = match args.partition {
        None => Some(Partitions::new(&args.sending.partitioner, factories)?),
        Some(_) => None,
    };
    let inputs = open(&args.files)?;
    let total = inputs.iter().map(|(_, size)| *size).sum::<Option<u64>>();
    let client = args
        .remote
        .client(|config| {
            config.allow_auto_topic_creation = !args.no_create;
            if !args.no_create {
                config.unknown_topic_timeout = Duration::from_secs(5).min(config.operation_timeout);
            }
        })
        .await?;
    let config = args.sending.config(args.remote.timeout());
    let bytes_max = config.request_bytes_max;
    let producer = Producer::new(client, config, Arc::new(SystemClock::new()))?;
    let count = producer.partitions(&args.topic).await?;

    let (records, mut queue) = mpsc::channel(4 * RECORDS_PER_BATCH_MAX);
    let reader = tokio::task::spawn_blocking(move || read_all(inputs, &delimiter, &layout, bytes_max, &records));
    let (deliveries, tally) = collect();
    let bar = ui.bar(total.filter(|_| !args.files.is_empty()));
    let mut failed = None;
    let mut chunk = Vec::new();
    while queue.recv_many(&mut chunk, RECORDS_PER_BATCH_MAX).await > 0 {
        let sent = send_chunk(&args, &producer, partitions.as_mut(), count, &chunk, (&deliveries, &bar)).await;
        if let Err(error) = sent {
            failed = Some(error);
            break;
        }
        if tally.is_finished() {
            break;
        }
        chunk.clear();
    }
    drop(queue);
    drop(deliveries);
    producer.flush().await;
    let tally = tally.await.unwrap_or_default();
    producer.close().await;
    bar.finish_and_clear();
    let read = match failed {
        // The reader may be waiting for input that nobody needs any more.
        Some(error) => Err(error),
        None if tally.error.is_some() => Ok(()),
        None => match reader.await {
            Ok(Err(error)) => Err(CliError::new(input_exit(&error), error.to_string())),
            _ => Ok(()),
        },
    };
    report(&args, &tally, read, ui)
}

/// The inputs with their sizes, where they have one. Opened before anything is sent.
type Input = (Box<dyn Read + Send>, Option<u64>);

fn open(files: &[PathBuf]) -> Result<Vec<Input>, CliError> {
    if files.is_empty() {
        return Ok(vec![(Box::new(io::stdin()), None)]);
    }
    let open = |path: &PathBuf| -> Result<Input, CliError> {
        if path.as_os_str() == "-" {
            return Ok((Box::new(io::stdin()), None));
        }
        let fail = |error: io::Error| {
            let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failure };
            CliError::new(exit, format!("cannot read {}: {error}", path.display()))
        };
        let file = File::open(path).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        if meta.is_dir() {
            return Err(CliError::new(Exit::Failure, format!("{} is a directory", path.display())));
        }
        Ok((Box::new(file), meta.is_file().then_some(meta.len())))
    };
    files.iter().map(open).collect()
}

fn input_exit(error: &InputError) -> Exit {
    match error {
        InputError::Read(_) => Exit::Failure,
        InputError::TooLong { .. } | InputError::Malformed { .. } => Exit::Refused,
    }
}

/// Reads every input to its end, or until nobody takes the records.
fn read_all(
    inputs: Vec<Input>,
    delimiter: &[u8],
    layout: &Layout,
    bytes_max: usize,
    out: &mpsc::Sender<InputRecord>,
) -> Result<(), InputError> {
    for (input, _) in inputs {
        let reader = BufReader::with_capacity(256 * 1024, input);
        let mut records = Records::new(reader, delimiter.to_vec(), layout.clone(), bytes_max);
        while let Some(record) = records.next_record()? {
            if out.blocking_send(record).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn send_chunk(
    args: &Produce,
    producer: &Producer,
    partitions: Option<&mut Partitions>,
    count: u32,
    chunk: &[InputRecord],
    (deliveries, bar): (&mpsc::Sender<Delivery>, &ProgressBar),
) -> Result<(), CliError> {
    let size = |r: &InputRecord| r.key.as_ref().map_or(0, Vec::len) + r.value.as_ref().map_or(0, Vec::len);
    let chosen = match partitions {
        None => Vec::new(),
        Some(p) => p.choose(&args.topic, count, chunk.iter().map(|r| (r.key.as_deref(), size(r))))?,
    };
    for (i, record) in chunk.iter().enumerate() {
        let headers: Vec<_> = record.headers.iter().map(|(k, v)| (&k[..], v.as_deref())).collect();
        let by_hook = chosen.get(i).copied();
        let new = ProducerRecord {
            topic: &args.topic,
            partition: args.partition.or(record.partition).or(by_hook).unwrap_or_default(),
            timestamp: args.timestamp.or(record.timestamp).map(Timestamp),
            record: NewRecord { key: record.key.as_deref(), value: record.value.as_deref(), headers: &headers },
        };
        let delivery = producer.send(new).await?;
        // Refused only when a delivery has failed, and then the caller stops.
        if deliveries.send(delivery).await.is_err() {
            return Ok(());
        }
        bar.inc(record.consumed as u64);
    }
    Ok(())
}

/// What became of the records.
#[derive(Debug, Default)]
struct Tally {
    delivered: u64,
    failed: u64,
    error: Option<(u64, ClientError)>,
    partitions: std::collections::BTreeSet<i32>,
}

/// Counts deliveries in the order of the records. Ends at the first failure for the sender, and goes on counting.
fn collect() -> (mpsc::Sender<Delivery>, JoinHandle<Tally>) {
    let (deliveries, mut queue) = mpsc::channel::<Delivery>(DELIVERIES_MAX);
    let tally = tokio::spawn(async move {
        let mut tally = Tally::default();
        let mut number = 0;
        while let Some(delivery) = queue.recv().await {
            number += 1;
            match delivery.wait().await {
                Ok(delivered) => {
                    tally.delivered += 1;
                    tally.partitions.insert(delivered.partition);
                }
                Err(error) => {
                    tally.failed += 1;
                    // What was handed over already is still counted; nothing new is taken.
                    queue.close();
                    tally.error.get_or_insert((number, error));
                }
            }
        }
        tally
    });
    (deliveries, tally)
}

fn report(args: &Produce, tally: &Tally, read: Result<(), CliError>, ui: Ui) -> Result<(), CliError> {
    if ui.json {
        let error = tally.error.as_ref().map(|(_, e)| e.to_string());
        ui.json(&json!({
            "topic": args.topic, "delivered": tally.delivered, "failed": tally.failed,
            "partitions": tally.partitions, "error": error.or(read.as_ref().err().map(|e| e.message.clone())),
        }))?;
    } else {
        let parts = tally.partitions.len();
        ui.note(&format!("{} records delivered to {} ({parts} partitions)", tally.delivered, args.topic));
    }
    let error = match (&tally.error, read) {
        (Some((number, error)), _) => {
            let message = format!("{} records not delivered; the first is record {number}: {error}", tally.failed);
            CliError::new(Exit::of(error), message)
        }
        (None, Err(error)) => error,
        (None, Ok(())) => return Ok(()),
    };
    if tally.delivered > 0 && error.exit != Exit::Ok {
        return Err(CliError { exit: Exit::Partial, ..error });
    }
    Err(error)
}
