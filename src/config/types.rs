//! The settings themselves. The documentation of each field is the documentation the user reads in `docs/config.md`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::schema::{Setting, Shape, Texts, settings};

settings! { table
    /// Everything a broker is told. Kafka's own settings are in [`Config::kafka`], ours everywhere else.
    struct Config {
        /// The directory that holds everything the broker keeps: metadata, and the records of topics on disk.
        data_dir: PathBuf = PathBuf::from("./data"),
        /// Where Kafka clients connect. Each listener has a name of its own.
        listeners: Vec<Listener> = vec![Listener::default()],
        /// The HTTP listener for health, metrics and what Kafka's protocol cannot carry.
        http: Http = Http::default(),
        /// What the broker writes about itself, to standard error.
        log: Log = Log::default(),
        /// Where records live.
        storage: Storage = Storage::default(),
        /// Bounds on what clients may make the broker hold. Kafka's own limits are in `[kafka]`.
        limits: Limits = Limits::default(),
        /// Kafka's broker settings under Kafka's names, in quotes: `"num.partitions" = 4`.
        kafka: KafkaSettings = KafkaSettings::default(),
        /// How groups are balanced, by their id: the first table whose `match` fits holds. Groups that none fits are
        /// balanced as their members ask.
        groups: Vec<GroupTable> = Vec::new(),
        /// Plugins that are loaded at start, each from a file: a Luau script or a WebAssembly component. What binds them
        /// is the configs of topics (`watershed.interceptors` and others), `[[groups]]` and `topic_policy`.
        plugins: Vec<PluginTable> = Vec::new(),
        /// The plugin that is asked before a topic is created, its configs are changed or partitions are added; a state
        /// may stand behind its name (`naming:shadow`).
        topic_policy: Option<String> = None,
        /// What `/metrics` shows.
        metrics: Metrics = Metrics::default(),
        /// Topics that exist whenever the broker runs. They are created at start, grown to the number of
        /// partitions given here, and the configs given here are applied again; whatever else was set on them
        /// stays. A topic with more partitions than given here is an error, and removing a topic from the file
        /// deletes nothing.
        topics: Vec<DeclaredTopic> = Vec::new(),
    }
}

settings! { item
    /// One address clients connect to.
    struct Listener {
        /// The listener's name, unique among the listeners.
        name: String,
        /// The address to bind, as `host:port`.
        address: HostPort,
        /// The address clients are told to connect to, as `host:port`. It has to be given where `address` is a
        /// wildcard such as 0.0.0.0, because a client cannot connect to that.
        advertised: Option<HostPort>,
    }
}

settings! { table
    /// The HTTP listener.
    struct Http {
        /// The address to bind, as `host:port`.
        address: HostPort = HostPort::new("127.0.0.1", 9292),
    }
}

settings! { table
    /// Logging.
    struct Log {
        /// How a line of the log is written.
        format: LogFormat = LogFormat::Text,
        /// What is logged: a level (off, error, warn, info, debug, trace), or levels per module separated by
        /// commas, such as `info,watershed_log=debug`.
        level: String = "info,openraft=warn".to_owned(),
    }
}

settings! { table
    /// Where records live.
    struct Storage {
        /// The storage of topics that do not say: the name of a storage backend (`disk` or `memory`). A topic's
        /// own config `watershed.storage` wins.
        default: String = "disk".to_owned(),
        /// Topics on disk.
        disk: Disk = Disk::default(),
        /// Topics in memory, which are gone with the process.
        memory: Memory = Memory::default(),
    }
}

settings! { table
    /// Topics on disk.
    struct Disk {
        /// When a record counts as written, for topics that do not say: `sync` (it is on the medium: an
        /// acknowledgement survives a power cut) or `relaxed` (the operating system has it: an acknowledgement
        /// survives a crash of the process, not of the machine). A topic's own config `watershed.flush` wins.
        flush: FlushSetting = FlushSetting::Sync,
        /// Threads that run fdatasync.
        sync_threads: Bounded<1, 256> = Bounded(4),
        /// Threads that read records that are not in the page cache.
        read_threads: Bounded<1, 256> = Bounded(4),
        /// How many written bytes may wait for the medium, over all partitions; producers wait beyond it.
        unsynced_bytes_max: Bounded<1_048_576, { u64::MAX }> = Bounded(64 << 20),
        /// How many segment files are kept open at most.
        open_files_max: Bounded<16, 1_048_576> = Bounded(8192),
    }
}

settings! { table
    /// Topics in memory.
    struct Memory {
        /// How many bytes all topics in memory may hold together; producers get an error beyond it.
        bytes_max: Bounded<1_048_576, { u64::MAX }> = Bounded(256 << 20),
    }
}

settings! { table
    /// Bounds on what clients may make the broker hold.
    struct Limits {
        /// How many bytes of produce requests may be in work at once, over all connections. Kafka's
        /// `queued.max.request.bytes` means the same and may be used instead.
        in_flight_bytes: Bounded<1_048_576, { u64::MAX }> = Bounded(256 << 20),
        /// How many bytes of requests one connection may have in work at once.
        in_flight_bytes_per_connection: Bounded<65_536, { u64::MAX }> = Bounded(64 << 20),
        /// After how many faults of a plugin, one behind the other, it is not asked any more for the client that it
        /// happened to.
        plugin_breaker_faults: Bounded<1, 1_000_000> = Bounded(5),
        /// For how long, in milliseconds; then one call is let through to see.
        plugin_breaker_open_ms: Bounded<1, 86_400_000> = Bounded(10_000),
    }
}

settings! { item
    /// A topic that exists whenever the broker runs.
    struct DeclaredTopic {
        /// The topic's name.
        name: String,
        /// The number of partitions it has at least after the start; `num.partitions` where it is created without.
        partitions: Option<Bounded<1, 10_000>>,
        /// Topic configs under Kafka's names, in quotes: `{ "retention.ms" = 86400000 }`.
        config: TopicSettings,
    }
}

settings! { item
    /// How groups are balanced whose id fits.
    struct GroupTable {
        /// The ids of the groups: `*` stands for any text, the empty one too, `?` for one character, and everything
        /// else for itself. `orders-*` fits `orders-eu`, not `my-orders-eu`.
        r#match: String,
        /// The assignor that balances these groups, by its name, whichever their members ask for; without it,
        /// theirs does.
        assignor: Option<String>,
        /// Who assigns in groups of the classic protocol: `client` (the group's leader, as always) or `broker` (the
        /// broker computes the assignment with the assignor, and what the leader sends is ignored, if all members
        /// offer one of the protocols range, roundrobin, sticky and cooperative-sticky and nothing of their own);
        /// `client` where it is left out.
        assignment: Option<AssignmentSetting>,
    }
}

settings! { item
    /// A plugin.
    struct PluginTable {
        /// The name by which it is bound. Names of what is built in are taken, for the hook that they serve.
        name: String,
        /// Its file: `.luau`, `.wasm` or `.wat`, from the directory of the configuration file. Without a file the entry
        /// is about a native plugin of this name and gives its settings.
        file: Option<PathBuf>,
        /// The SHA-256 of the file, in hexadecimal. If it is another, the broker does not start.
        sha256: Option<String>,
        /// The plugin's own settings. A value may stand somewhere else: `{ env = "NAME" }` takes it from the
        /// environment, `{ file = "path" }` from a file; neither is ever printed.
        config: PluginSettings,
        /// What an instance of it may use.
        limits: Option<PluginLimits>,
        /// What follows when it fails: `closed` (what it was asked about is refused, as if left out), `open` (things go
        /// on as if it were not there) or, for interceptors, `dlq:TOPIC` (the records go to that topic).
        on_error: Option<String>,
        /// The topic for records that an interceptor sends to the dead-letter topic; without it, that of `on_error`.
        dead_letter_topic: Option<String>,
    }
}

settings! { table
    /// What an instance of a plugin may use.
    struct PluginLimits {
        /// Its memory, such as `32MiB`: from `1MiB` to `1GiB`, `16MiB` where it is left out.
        memory: Option<String> = None,
        /// The time on a processor that one call may take, such as `5ms`: from `1ms` to `10s`. Where it is left out:
        /// 5 ms for at most 256 records and 1 MiB, 500 ms for assignors, 50 ms for retention and topic policies.
        budget: Option<String> = None,
    }
}

settings! { table
    /// What `/metrics` shows.
    struct Metrics {
        /// How many partitions of groups get a series of their own (the lag of a group on a partition); further ones
        /// have none, and a metric counts them.
        group_partitions_max: Bounded<0, 10_000_000> = Bounded(10_000),
    }
}

impl Default for Listener {
    fn default() -> Self {
        Self { name: "PLAINTEXT".to_owned(), address: HostPort::new("127.0.0.1", 9092), advertised: None }
    }
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Setting for LogFormat {
    const SHAPE: Shape = Shape::OneOf(&["text", "json"]);
}

/// When a record on disk counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FlushSetting {
    /// When it is on the medium.
    Sync,
    /// When the operating system has it.
    Relaxed,
}

impl Setting for FlushSetting {
    const SHAPE: Shape = Shape::OneOf(&["sync", "relaxed"]);
}

impl FlushSetting {
    /// The text of it in the file and in `watershed.flush`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Relaxed => "relaxed",
        }
    }
}

/// Who assigns in groups of the classic protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AssignmentSetting {
    /// The group's leader.
    Client,
    /// The broker.
    Broker,
}

impl Setting for AssignmentSetting {
    const SHAPE: Shape = Shape::OneOf(&["client", "broker"]);
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Bounded<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64, const MAX: u64> Setting for Bounded<MIN, MAX> {
    const SHAPE: Shape = Shape::Count(MIN, MAX);
}

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number as a size in memory.
    #[must_use]
    pub fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Kafka's broker settings: each text is in the table of [`watershed_metadata::configs`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct KafkaSettings(pub Texts);

impl Setting for KafkaSettings {
    const SHAPE: Shape = Shape::KafkaBroker;
}

/// A topic's settings: each text is in the table of [`watershed_metadata::configs`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct TopicSettings(pub Texts);

impl Setting for TopicSettings {
    const SHAPE: Shape = Shape::KafkaTopic;
    const REQUIRED: bool = false;
}

/// A plugin's own settings, as they stand in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct PluginSettings(pub serde_json::Map<String, serde_json::Value>);

impl Setting for PluginSettings {
    const SHAPE: Shape = Shape::Free;
    const REQUIRED: bool = false;
}

/// A host, by name or number, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    /// A name or a number; IPv6 without brackets.
    pub host: String,
    /// The port; 0 lets the system choose one.
    pub port: u16,
}

impl Setting for HostPort {
    const SHAPE: Shape = Shape::Address;
}

impl HostPort {
    /// An address.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Whether it stands for every address of the machine.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }
}

/// A text that is not `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address: \"host:port\" is expected, an IPv6 host in brackets")]
pub struct ParseHostPortError(String);

impl FromStr for HostPort {
    type Err = ParseHostPortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseHostPortError(text.chars().take(128).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let port = port.parse().map_err(|_| error())?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(error()),
            None => host,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_v6 = host.contains(':') && text.starts_with('[');
        if host.is_empty() || !(is_v6 || host.chars().all(plain)) {
            return Err(error());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl TryFrom<String> for HostPort {
    type Error = ParseHostPortError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(address: HostPort) -> Self {
        address.to_string()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
