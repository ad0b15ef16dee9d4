//! Groups as the HTTP API and `/metrics` show them.
//!
//! Series of groups are written when they are asked for, not kept: a group or partition that is gone is gone from the next scrape, and
//! their number is bounded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tokio::sync::oneshot;
use watershed_coordinator::groups::{CommittedAt, GroupCounters, GroupStatus as Seen, Rebalance};
use watershed_model::{Offset, TopicIdPartition};

use super::Groups;
use crate::Broker;

/// A group.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    /// Its id.
    pub group_id: String,
    /// `classic` or `consumer`.
    pub kind: &'static str,
    /// Kafka's name of its state.
    pub state: &'static str,
    /// How many members it has.
    pub members: usize,
    /// Its last rebalance since the broker took it over.
    pub rebalance: Option<Rebalance>,
    /// How far it has come.
    pub partitions: Vec<GroupPartition>,
}

/// How far a group has come in one partition.
#[derive(Clone, Debug)]
pub struct GroupPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record to consume.
    pub committed: i64,
    /// When it was committed, in milliseconds since the epoch.
    pub committed_at_ms: i64,
    /// The end of what consumers may read; `None` if the topic is gone.
    pub end: Option<i64>,
    /// How many records it is behind; offsets that are known to hold none do not count.
    pub lag: Option<i64>,
    /// How old the first record is that it has not consumed, in seconds; 0 where there is none.
    pub lag_seconds: Option<f64>,
    /// In how many seconds it will have caught up, if it goes on so.
    pub drain_seconds: Option<f64>,
}

/// What the coordinators say, put together.
struct Collected {
    groups: Vec<Seen>,
    left_out: usize,
    counters: Vec<GroupCounters>,
    loading: usize,
}

impl Groups {
    async fn collect(&self, offsets_max: usize) -> Collected {
        let mut all = Collected { groups: Vec::new(), left_out: 0, counters: Vec::new(), loading: self.loading() };
        let mut left = offsets_max;
        for shard in self.active() {
            let (told, hears) = oneshot::channel();
            shard.coordinator().with(move |machine| {
                let counters = machine.counters().clone();
                // The one who asked may have gone.
                let _ = told.send((machine.statuses(left), counters));
            });
            let Ok(((groups, left_out), counters)) = hears.await else { continue };
            left -= groups.iter().map(|group| group.committed.len()).sum::<usize>();
            all.groups.extend(groups);
            all.left_out += left_out;
            all.counters.push(counters);
        }
        all.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        all
    }

    /// Every group, with a bounded number of partitions in all.
    pub(crate) async fn statuses(&self, broker: &Broker) -> Vec<GroupStatus> {
        let collected = self.collect(self.partitions_max).await;
        collected.groups.iter().map(|group| self.status(broker, group)).collect()
    }

    fn status(&self, broker: &Broker, group: &Seen) -> GroupStatus {
        GroupStatus {
            group_id: group.group_id.to_string(),
            kind: group.kind,
            state: group.state,
            members: group.members,
            rebalance: group.rebalance.clone(),
            partitions: group.committed.iter().map(|at| self.partition_status(broker, &group.group_id, at)).collect(),
        }
    }

    fn partition_status(&self, broker: &Broker, group: &str, at: &CommittedAt) -> GroupPartition {
        let mut status = GroupPartition {
            topic: at.topic.to_string(),
            partition: at.partition,
            committed: at.offset,
            committed_at_ms: at.at.0,
            end: None,
            lag: None,
            lag_seconds: None,
            drain_seconds: None,
        };
        let image = broker.image();
        let Some(topic) = image.topic_by_name(&at.topic).filter(|topic| at.partition < topic.partition_count()) else {
            return status;
        };
        let tp = TopicIdPartition { topic: topic.id(), partition: at.partition };
        // A partition that nobody has used yet is not open, and empty.
        let open = broker.replicas().open_partition(tp.topic, tp.partition);
        let end = open.as_ref().map_or(0, |open| open.log.high_watermark().0);
        let lag = open.as_ref().map_or(0, |open| open.log.records_between(Offset(at.offset), Offset(end)));
        let next = open.map_or(Offset(at.offset), |open| open.log.occupied_from(Offset(at.offset)));
        let now_ms = broker.elapsed_ms();
        let seconds = |ms: u64| ms as f64 / 1000.0;
        status.end = Some(end);
        status.lag = Some(lag);
        let age = self.lags.age_ms(&tp, next, now_ms);
        status.lag_seconds = if lag == 0 { Some(0.0) } else { age.map(seconds) };
        let drain = self.lags.drain_ms(group, tp, at.offset, end, now_ms);
        status.drain_seconds = if lag == 0 { Some(0.0) } else { drain.map(seconds) };
        status
    }

    /// Looks at the partitions that groups consume, for their lag in time.
    pub(super) async fn look(&self, broker: &Broker) {
        let collected = self.collect(self.partitions_max).await;
        let image = broker.image();
        let mut seen: BTreeMap<_, (_, _, Offset)> = BTreeMap::new();
        let mut there = std::collections::HashSet::new();
        for group in &collected.groups {
            for at in &group.committed {
                let Some(topic) = image.topic_by_name(&at.topic) else { continue };
                let tp = TopicIdPartition { topic: topic.id(), partition: at.partition };
                if let Some(open) = broker.replicas().open_partition(tp.topic, tp.partition) {
                    let at = Offset(at.offset);
                    let new = (tp, open.log.high_watermark(), at);
                    let (.., least) = seen.entry((tp.topic, tp.partition)).or_insert(new);
                    *least = at.min(*least);
                }
                there.insert((group.group_id.to_string(), tp));
            }
        }
        self.lags.look(seen.into_values(), broker.elapsed_ms());
        self.lags.keep_rates(|group, tp| there.contains(&(group.to_owned(), *tp)));
    }

    /// The series of groups, in Prometheus' text format.
    pub(crate) async fn metrics(&self, broker: &Broker) -> String {
        let collected = self.collect(self.partitions_max).await;
        let mut text = Text::default();
        text.groups(&collected);
        let statuses: Vec<_> = collected.groups.iter().map(|group| self.status(broker, group)).collect();
        text.lags(&statuses, collected.left_out);
        text.counters(&collected.counters);
        text.0
    }
}

/// Series being written.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn series(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.0, "{name}");
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn groups(&mut self, collected: &Collected) {
        let mut states: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for group in &collected.groups {
            *states.entry((group.kind, group.state)).or_default() += 1;
        }
        self.family("watershed_groups", "gauge", "Groups, by type and state");
        for ((kind, state), count) in states {
            self.series("watershed_groups", &[("type", kind), ("state", state)], count);
        }
        self.family("watershed_group_members", "gauge", "Members of a group");
        for group in &collected.groups {
            self.series("watershed_group_members", &[("group", &group.group_id)], group.members);
        }
        self.family(
            "watershed_group_coordinators",
            "gauge",
            "Partitions of __consumer_offsets that are coordinated here",
        );
        self.series("watershed_group_coordinators", &[("state", "active")], collected.counters.len());
        self.series("watershed_group_coordinators", &[("state", "loading")], collected.loading);
    }

    fn lags(&mut self, groups: &[GroupStatus], left_out: usize) {
        let families = [
            ("watershed_group_lag_records", "Records that a group has not consumed yet"),
            (
                "watershed_group_lag_seconds",
                "Age of the first record that a group has not consumed; absent until known",
            ),
        ];
        for (index, (name, help)) in families.into_iter().enumerate() {
            self.family(name, "gauge", help);
            for group in groups {
                for at in &group.partitions {
                    let value = if index == 0 { at.lag.map(|lag| lag as f64) } else { at.lag_seconds };
                    let Some(value) = value else { continue };
                    let partition = at.partition.to_string();
                    let labels = [("group", &*group.group_id), ("topic", &*at.topic), ("partition", &*partition)];
                    self.series(name, &labels, value);
                }
            }
        }
        let name = "watershed_group_lag_left_out";
        self.family(name, "gauge", "Committed offsets without a series of their own (metrics.group_partitions_max)");
        self.series(name, &[], left_out);
    }

    fn counters(&mut self, all: &[GroupCounters]) {
        let sum = |pick: fn(&GroupCounters) -> u64| all.iter().map(pick).sum::<u64>();
        for (name, help, value) in [
            ("watershed_group_offset_commits_total", "Offsets committed", sum(|c| c.offset_commits)),
            ("watershed_group_offset_deletions_total", "Offsets deleted", sum(|c| c.offset_deletions)),
            ("watershed_group_offset_expirations_total", "Offsets expired", sum(|c| c.offset_expirations)),
            (
                "watershed_group_failed_assignments_total",
                "Assignments that the built-in assignor had to make because another one failed",
                sum(|c| c.failed_assignments),
            ),
        ] {
            self.family(name, "counter", help);
            self.series(name, &[], value);
        }
        let mut rebalances: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let mut assignments: BTreeMap<&str, u64> = BTreeMap::new();
        for counters in all {
            let kinds = [("classic", &counters.classic_rebalances), ("consumer", &counters.consumer_rebalances)];
            for (kind, by_reason) in kinds {
                for (reason, count) in by_reason {
                    *rebalances.entry((kind, reason.name())).or_default() += count;
                }
            }
            for (outcome, count) in &counters.broker_assignments {
                *assignments.entry(outcome.name()).or_default() += count;
            }
        }
        let name = "watershed_group_rebalances_total";
        self.family(name, "counter", "Rebalances that began, by type of group and reason");
        for ((kind, reason), count) in rebalances {
            self.series(name, &[("type", kind), ("reason", reason)], count);
        }
        let name = "watershed_group_broker_assignments_total";
        self.family(name, "counter", "Assignments of classic groups under assignment = \"broker\", by who made them");
        for (outcome, count) in assignments {
            self.series(name, &[("outcome", outcome)], count);
        }
    }
}

/// Looks at lags until the broker stops.
pub(crate) async fn run_lags(broker: Arc<Broker>, stop: tokio_util::sync::CancellationToken) {
    let interval = std::time::Duration::from_millis(super::lag::LOOK_INTERVAL_MS);
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => return,
        }
        broker.groups().look(&broker).await;
    }
}
