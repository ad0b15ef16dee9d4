//! A topic's partitions, small.
//!
//! Consecutive partitions that are alike share one entry, and equal replica lists share one allocation, so ten
//! thousand partitions on one broker are one entry of 24 bytes.
//!
//! The epoch trick: when a broker starts, every partition it leads needs a higher leader epoch. Instead of
//! rewriting them, the image counts each broker's starts and an entry stores its epoch *minus* that count
//! (`epoch_base`); the epoch is their sum. A start raises the count by one and with it every epoch, in one step.
//! The sum never falls while the leader stays, because counts only rise; a record that moves a leadership names
//! the new epoch itself.

use std::sync::Arc;

use watershed_model::{BrokerId, LeaderEpoch};

use super::Partition;

/// The replicas of a partition and which of them are in sync.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReplicaSet {
    pub(super) replicas: Box<[BrokerId]>,
    /// `None`: all of them.
    pub(super) isr: Option<Box<[BrokerId]>>,
}

/// Partitions that are alike, up to `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The number after the last partition of the run.
    pub(super) end: i32,
    pub(super) leader: BrokerId,
    /// The leader epoch less the number of the leader's starts.
    pub(super) epoch_base: i32,
    pub(super) set: Arc<ReplicaSet>,
}

impl Run {
    /// The partitions of this run, when their leader started `starts` times.
    pub(super) fn view(&self, starts: i32) -> Partition<'_> {
        Partition {
            replicas: &self.set.replicas,
            isr: self.set.isr.as_deref().unwrap_or(&self.set.replicas),
            leader: self.leader,
            leader_epoch: LeaderEpoch(self.epoch_base.saturating_add(starts)),
        }
    }

    /// Whether the partitions of both are alike.
    fn alike(&self, other: &Self) -> bool {
        self.leader == other.leader && self.epoch_base == other.epoch_base && self.set == other.set
    }
}

/// All partitions of a topic, numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartitionTable {
    runs: Arc<[Run]>,
}

impl PartitionTable {
    /// The partitions of `runs`, whose ends rise.
    pub(super) fn new(runs: Vec<Run>) -> Self {
        let mut merged: Vec<Run> = Vec::with_capacity(runs.len());
        for run in runs {
            match merged.last_mut() {
                Some(last) if last.alike(&run) => last.end = run.end,
                _ => merged.push(run),
            }
        }
        Self { runs: merged.into() }
    }

    /// These partitions and `more`, whose ends rise from this table's.
    pub(super) fn extended(&self, more: Vec<Run>) -> Self {
        Self::new(self.runs.iter().cloned().chain(more).collect())
    }

    /// How many partitions there are.
    pub(super) fn len(&self) -> i32 {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// The run that holds a partition.
    pub(super) fn get(&self, partition: i32) -> Option<&Run> {
        if partition < 0 {
            return None;
        }
        self.runs.get(self.runs.partition_point(|run| run.end <= partition))
    }

    /// The runs, in order.
    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }
}
