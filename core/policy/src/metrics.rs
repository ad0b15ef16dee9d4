//! What is counted of plugins. The number of series is bounded by the number of plugins and their hooks.

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};
use watershed_hooks::{FaultKind, HookKind};

const CALLS: &str = "watershed_plugin_calls_total";
const RECORDS: &str = "watershed_plugin_records_total";
const SECONDS: &str = "watershed_plugin_seconds";
const FAULTS: &str = "watershed_plugin_faults_total";
const REFUSALS: &str = "watershed_plugin_refusals_total";
const VERDICTS: &str = "watershed_plugin_verdicts_total";
const OPENED: &str = "watershed_plugin_breaker_opened_total";
const SKIPPED: &str = "watershed_plugin_breaker_skipped_total";
const FAILED_OPEN: &str = "watershed_plugin_failed_open_total";
const COUNTER: &str = "watershed_plugin_counter_total";

/// Registers the descriptions; once per process, after a recorder was installed.
pub fn describe() {
    describe_counter!(CALLS, "Calls of a plugin, by hook");
    describe_counter!(RECORDS, "Records that a plugin was asked about");
    describe_histogram!(SECONDS, "Seconds that a call of a plugin took");
    describe_counter!(FAULTS, "Calls that failed through the plugin's fault, by kind");
    describe_counter!(REFUSALS, "Calls in which a plugin refused to answer");
    describe_counter!(
        VERDICTS,
        "What a plugin said of records (retention: of segments, topic-policy: of changes), by verdict; of a binding in \
         shadow: what it would have said"
    );
    describe_counter!(OPENED, "Times that the breaker of a client opened");
    describe_counter!(SKIPPED, "Calls that were not made because the client's breaker was open");
    describe_counter!(
        FAILED_OPEN,
        "Failed calls after which things went on as if the plugin were not there (on_error = open)"
    );
    describe_counter!(COUNTER, "What plugins count themselves, by the counter's name");
}

/// The handles of one plugin.
pub(crate) struct Metrics {
    name: String,
    hook: HookKind,
    pub(crate) calls: Counter,
    pub(crate) records: Counter,
    pub(crate) seconds: Histogram,
    pub(crate) refusals: Counter,
    pub(crate) opened: Counter,
    pub(crate) skipped: Counter,
    pub(crate) failed_open: Counter,
}

impl Metrics {
    pub(crate) fn new(name: &str, hook: HookKind) -> Self {
        let labels = [("plugin", name.to_owned()), ("hook", hook.name().to_owned())];
        Self {
            name: name.to_owned(),
            hook,
            calls: counter!(CALLS, &labels),
            records: counter!(RECORDS, &labels),
            seconds: histogram!(SECONDS, &labels),
            refusals: counter!(REFUSALS, &labels),
            opened: counter!(OPENED, &labels),
            skipped: counter!(SKIPPED, &labels),
            failed_open: counter!(FAILED_OPEN, &labels),
        }
    }

    pub(crate) fn fault(&self, kind: FaultKind) {
        counter!(FAULTS, "plugin" => self.name.clone(), "hook" => self.hook.name(), "kind" => kind.name()).increment(1);
    }

    /// Records of which a plugin said something else than that they stay as they are.
    pub(crate) fn verdict(&self, verdict: &'static str, shadow: bool, records: u64) {
        if records > 0 {
            let shadow = if shadow { "shadow" } else { "on" };
            let labels = [
                ("plugin", self.name.clone()),
                ("hook", self.hook.name().to_owned()),
                ("verdict", verdict.to_owned()),
                ("state", shadow.to_owned()),
            ];
            counter!(VERDICTS, &labels).increment(records);
        }
    }
}

/// Adds to a plugin's own counter.
pub(crate) fn count(plugin: &str, name: &str, n: u64) {
    counter!(COUNTER, "plugin" => plugin.to_owned(), "counter" => name.to_owned()).increment(n);
}
