//! Consumer groups (KIP-848): the coordinator shares out the partitions, step by step.
//!
//! - `group.rs`, `member.rs`, `partitions.rs`: what there is. `apply.rs`: from records to that, and back.
//! - `heartbeat.rs`: a member joins, stays or changes. `leave.rs`: it goes.
//! - `target.rs`: what each member is to own; `outside.rs`: where a plugin says so. `reconcile.rs`: a member's next step towards it.
//! - `regex.rs`: subscriptions by regular expression.
//! - `classic_members.rs`: members that speak the classic protocol. `migration.rs`: from one kind of group to the other.
//! - `describe.rs`: ConsumerGroupDescribe.
//!
//! Epochs: the group's says that something has changed, the target's for which of these changes the target was computed, a member's
//! which target it has come to or is on its way to.

mod apply;
mod classic_members;
mod describe;
mod group;
mod heartbeat;
mod leave;
mod member;
mod migration;
mod outside;
mod partitions;
mod reconcile;
mod regex;
#[cfg(test)]
#[path = "tests/scripts.rs"]
mod scripts;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use watershed_metadata::MetadataImage;
use watershed_metadata::configs::GroupConfig;
use watershed_model::TopicId;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;

pub use group::{ConsumerGroup, ConsumerGroupState};
pub use member::ConsumerMember;
pub use partitions::Partitions;
pub(in crate::groups) use target::metadata_hash;

use heartbeat::Updated;

use super::classic::{Rebalance, RebalanceReason};
use super::{Group, GroupCoordinator, GroupError, GroupTimer, Output};
use crate::runtime::Now;

/// How long a group goes without looking at the metadata, in milliseconds.
const METADATA_REFRESH_MS: u64 = 10 * 60 * 1000;

/// From so many members or partitions on an assignment may take long.
const LARGE_GROUP: usize = 1_000;

impl GroupCoordinator {
    pub(super) fn consumer_group(&self, group_id: &str) -> Result<&ConsumerGroup, GroupError> {
        match self.group(group_id)? {
            Group::Consumer(group) => Ok(group),
            Group::Classic(_) => {
                let message = format!("Group {group_id} is not a consumer group.");
                Err(GroupError::new(ErrorCode::GroupIdNotFound, message))
            }
        }
    }

    /// Whether a rebalance of the group may hold the calling thread for milliseconds.
    pub(super) fn is_large(&self, group_id: &str) -> bool {
        let Some(group) = self.groups.get(group_id) else { return false };
        if group.member_count() >= LARGE_GROUP {
            return true;
        }
        match group {
            Group::Classic(_) => false,
            Group::Consumer(group) => {
                let topics = self.topics_of(group, None);
                let known = topics.iter().filter_map(|name| self.image.topic_by_name(name));
                known.map(|topic| usize::try_from(topic.partition_count()).unwrap_or(0)).sum::<usize>() >= LARGE_GROUP
            }
        }
    }

    /// The same of a heartbeat: most of them change nothing, or are one member's step towards a target that is there.
    pub(super) fn is_heavy_heartbeat(&self, request: &ConsumerGroupHeartbeatRequest) -> bool {
        let Some(Group::Consumer(group)) = self.groups.get(&*request.group_id) else {
            return self.is_large(&request.group_id);
        };
        let computes_target = match request.member_epoch {
            member::EPOCH_LEAVES | member::EPOCH_AWAY => group.members.len() >= LARGE_GROUP,
            0 => true,
            _ => {
                (group.epoch > group.target_epoch && group.asked.is_none())
                    || request.subscribed_topic_names.is_some()
                    || request.subscribed_topic_regex.is_some()
                    || group.is_refresh_due(self.now)
            }
        };
        computes_target && self.is_large(&request.group_id)
    }

    /// A member id that nobody has: random, as Kafka shows such ids.
    fn new_member_id(&self) -> Arc<str> {
        Arc::from(TopicId::random(|| (self.random)()).to_string())
    }

    fn config_of(&self, group_id: &str) -> GroupConfig {
        GroupConfig::resolve(&self.settings, self.image.group_configs(group_id))
    }

    fn heartbeat_interval_ms(&self, group_id: &str) -> i32 {
        self.config_of(group_id).consumer_heartbeat_interval_ms
    }

    fn session_timeout_ms(&self, group_id: &str) -> i32 {
        self.config_of(group_id).consumer_session_timeout_ms
    }

    /// A rebalance begins with the epoch that is about to be applied.
    fn rebalance_begins(&mut self, group_id: &Arc<str>, reason: RebalanceReason, now: Now) {
        self.counters.consumer_rebalance_began(reason);
        self.rebalance_note = Some((Arc::clone(group_id), Rebalance::begin(reason, String::new(), now)));
    }

    /// What a heartbeat leaves behind beside records.
    fn note_update(&mut self, group_id: &Arc<str>, updated: &Updated, reason: RebalanceReason, now: Now) {
        if updated.is_rebalance {
            self.rebalance_begins(group_id, reason, now);
        }
        if updated.is_refreshed
            && let Some(Group::Consumer(group)) = self.groups.get_mut(group_id)
        {
            let epoch = group.epoch + i32::from(updated.is_rebalance);
            group.refresh = group::RefreshDeadline { at_ms: now.elapsed_ms.saturating_add(METADATA_REFRESH_MS), epoch };
        }
    }

    fn keep_rebalance_timer(&self, group_id: &Arc<str>, member: &ConsumerMember, now: Now, out: &mut Output) {
        if member.is_classic() || !group::is_revoking(member) {
            return;
        }
        if let Ok(timeout_ms) = u64::try_from(member.about.rebalance_timeout_ms) {
            let timer = GroupTimer::ConsumerRebalance(Arc::clone(group_id), Arc::clone(&member.member_id));
            out.schedule(timer, now.elapsed_ms + timeout_ms);
        }
    }

    /// Topics may have come, gone or grown: each group looks at its next heartbeat.
    pub(super) fn consumer_metadata_changed(&mut self, before: &MetadataImage) {
        if !self.image.topics().map(|topic| topic.name()).eq(before.topics().map(|topic| topic.name())) {
            self.topics_version += 1;
        }
        for group in self.groups.values_mut() {
            if let Group::Consumer(group) = group {
                group.refresh.at_ms = 0;
            }
        }
    }
}
