//! What the broker counts. Names are constants with a description; handles are made once and kept, so that counting is an
//! atomic addition.
//!
//! Topic metrics exist for topics that were produced to or fetched from by name, so their number is bounded by the number
//! of topics.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use watershed_protocol::api::ADVERTISED;

const REQUESTS: &str = "watershed_requests_total";
const REQUEST_SECONDS: &str = "watershed_request_seconds";
const REQUEST_BYTES: &str = "watershed_request_bytes_total";
const RESPONSE_BYTES: &str = "watershed_response_bytes_total";
const REQUEST_ERRORS: &str = "watershed_request_errors_total";
const CONNECTIONS: &str = "watershed_connections";
const CONNECTIONS_REFUSED: &str = "watershed_connections_refused_total";
const IN_FLIGHT_BYTES: &str = "watershed_in_flight_produce_bytes";
const TOPIC_BYTES_IN: &str = "watershed_topic_bytes_in_total";
const TOPIC_RECORDS_IN: &str = "watershed_topic_records_in_total";
const TOPIC_BYTES_OUT: &str = "watershed_topic_bytes_out_total";
const LOG_BYTES: &str = "watershed_log_bytes";
const LOG_START_OFFSET: &str = "watershed_log_start_offset";
const LOG_END_OFFSET: &str = "watershed_log_end_offset";
const HIGH_WATERMARK: &str = "watershed_high_watermark";
const INGRESS_WAITING: &str = "watershed_ingress_waiting_records";
const CLEANED_SEGMENTS: &str = "watershed_cleaned_segments_total";
const CLEANED_RECORDS: &str = "watershed_cleaned_records_total";
const CLEANED_BYTES: &str = "watershed_cleaned_bytes_total";
const FETCH_SESSIONS: &str = "watershed_fetch_sessions";
const NOT_CLEANED: &str = "watershed_compacted_topics_not_cleaned";
const PLUGINS_MISSING: &str = "watershed_plugin_bindings_missing";
const PLACE_OFFLINE: &str = "watershed_log_directory_offline";
const PLACE_FULL: &str = "watershed_log_directory_full";

/// Registers the descriptions; once per process, after a recorder was installed.
pub fn describe() {
    describe_counter!(REQUESTS, "Requests answered, by API");
    describe_histogram!(
        REQUEST_SECONDS,
        "Seconds from a complete request to its response being handed to the socket, by API"
    );
    describe_counter!(REQUEST_BYTES, "Bytes of request bodies received, by API");
    describe_counter!(RESPONSE_BYTES, "Bytes of responses sent, by API");
    describe_counter!(
        REQUEST_ERRORS,
        "Error codes in responses, by error; per partition where an API answers per partition"
    );
    describe_gauge!(CONNECTIONS, "Open client connections");
    describe_counter!(CONNECTIONS_REFUSED, "Connections closed at once because a limit was reached");
    describe_gauge!(IN_FLIGHT_BYTES, "Bytes of Produce requests that were read and not yet answered");
    describe_counter!(TOPIC_BYTES_IN, "Bytes of record batches appended, by topic");
    describe_counter!(TOPIC_RECORDS_IN, "Records appended, by topic");
    describe_counter!(TOPIC_BYTES_OUT, "Bytes of record batches sent to consumers, by topic");
    describe_gauge!(LOG_BYTES, "Bytes of a partition's log");
    describe_gauge!(LOG_START_OFFSET, "A partition's first offset");
    describe_gauge!(LOG_END_OFFSET, "The offset that a partition's next record gets");
    describe_gauge!(HIGH_WATERMARK, "The offset up to which consumers may read a partition");
    describe_gauge!(
        INGRESS_WAITING,
        "Records that came in through a partition and are not all where they belong (watershed.partitioner.mode = broker)"
    );
    describe_counter!(CLEANED_SEGMENTS, "Segments that were rewritten without some of their records, by topic");
    describe_counter!(CLEANED_RECORDS, "Records that record retention took out of closed segments, by topic");
    describe_counter!(CLEANED_BYTES, "Bytes by which closed segments shrank when they were rewritten, by topic");
    describe_gauge!(FETCH_SESSIONS, "Open fetch sessions");
    describe_gauge!(
        NOT_CLEANED,
        "Topics with cleanup.policy=compact; log compaction is not built yet, so they only grow"
    );
    describe_gauge!(PLUGINS_MISSING, "Bindings of topics to plugins that are not loaded, so that their hooks fail");
    describe_gauge!(PLACE_OFFLINE, "1 while a log directory is offline");
    describe_gauge!(PLACE_FULL, "1 while a log directory has no room");
}

struct Api {
    key: i16,
    requests: Counter,
    seconds: Histogram,
    bytes_in: Counter,
    bytes_out: Counter,
}

/// The broker's handles.
pub(crate) struct Metrics {
    apis: Vec<Api>,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    in_flight_bytes: Gauge,
    fetch_sessions: Gauge,
    not_cleaned: Gauge,
    plugins_missing: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let api = |(key, ..): &(watershed_protocol::ApiKey, i16, i16)| Api {
            key: key.get(),
            requests: counter!(REQUESTS, "api" => key.name()),
            seconds: histogram!(REQUEST_SECONDS, "api" => key.name()),
            bytes_in: counter!(REQUEST_BYTES, "api" => key.name()),
            bytes_out: counter!(RESPONSE_BYTES, "api" => key.name()),
        };
        Self {
            apis: ADVERTISED.iter().map(api).collect(),
            connections: gauge!(CONNECTIONS),
            connections_refused: counter!(CONNECTIONS_REFUSED),
            in_flight_bytes: gauge!(IN_FLIGHT_BYTES),
            fetch_sessions: gauge!(FETCH_SESSIONS),
            not_cleaned: gauge!(NOT_CLEANED),
            plugins_missing: gauge!(PLUGINS_MISSING),
        }
    }

    /// Counts an answered request: how long it took, and the bytes of its body and of its response.
    pub(crate) fn request(&self, key: i16, took: Duration, bytes_in: u64, bytes_out: u64) {
        if let Some(api) = self.apis.iter().find(|api| api.key == key) {
            api.requests.increment(1);
            api.seconds.record(took.as_secs_f64());
            api.bytes_in.increment(bytes_in);
            api.bytes_out.increment(bytes_out);
        }
    }

    /// Sets the gauges that are cheaper to read now and then than to keep up to date.
    pub(crate) fn sample(&self, in_flight_bytes: usize, fetch_sessions: usize, not_cleaned: usize) {
        self.in_flight_bytes.set(in_flight_bytes as f64);
        self.fetch_sessions.set(fetch_sessions as f64);
        self.not_cleaned.set(not_cleaned as f64);
    }

    /// Sets how many bindings of topics have no plugin.
    pub(crate) fn sample_plugins(&self, missing: usize) {
        self.plugins_missing.set(missing as f64);
    }
}

/// Counts an error code in a response.
pub(crate) fn count_error(name: &'static str) {
    counter!(REQUEST_ERRORS, "error" => name).increment(1);
}

/// Counts a rewritten segment: how many records and bytes it lost.
pub(crate) fn count_cleaned(topic: &str, records: u64, bytes: u64) {
    let label = [("topic", topic.to_owned())];
    counter!(CLEANED_SEGMENTS, &label).increment(1);
    counter!(CLEANED_RECORDS, &label).increment(records);
    counter!(CLEANED_BYTES, &label).increment(bytes);
}

/// Sets the gauges of a log directory.
pub(crate) fn sample_place(path: &str, offline: bool, full: bool) {
    gauge!(PLACE_OFFLINE, "directory" => path.to_owned()).set(f64::from(u8::from(offline)));
    gauge!(PLACE_FULL, "directory" => path.to_owned()).set(f64::from(u8::from(full)));
}

/// A topic's handles.
pub(crate) struct TopicMetrics {
    pub(crate) bytes_in: Counter,
    pub(crate) records_in: Counter,
    pub(crate) bytes_out: Counter,
}

impl TopicMetrics {
    pub(crate) fn new(topic: &str) -> Self {
        Self {
            bytes_in: counter!(TOPIC_BYTES_IN, "topic" => topic.to_owned()),
            records_in: counter!(TOPIC_RECORDS_IN, "topic" => topic.to_owned()),
            bytes_out: counter!(TOPIC_BYTES_OUT, "topic" => topic.to_owned()),
        }
    }
}

/// A partition's gauges, set when the metrics are sampled.
pub(crate) fn sample_partition(topic: &str, partition: i32, bytes: u64, start: i64, end: i64, high_watermark: i64) {
    let labels = [("topic", topic.to_owned()), ("partition", partition.to_string())];
    gauge!(LOG_BYTES, &labels).set(bytes as f64);
    gauge!(LOG_START_OFFSET, &labels).set(start as f64);
    gauge!(LOG_END_OFFSET, &labels).set(end as f64);
    gauge!(HIGH_WATERMARK, &labels).set(high_watermark as f64);
}

/// How many records wait in a partition's ingress log.
pub(crate) fn sample_ingress(topic: &str, partition: i32, waiting: i64) {
    let labels = [("topic", topic.to_owned()), ("partition", partition.to_string())];
    gauge!(INGRESS_WAITING, &labels).set(waiting as f64);
}
