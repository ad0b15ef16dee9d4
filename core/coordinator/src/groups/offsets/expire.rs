//! What removes offsets without being asked for them: age, and the end of their topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use watershed_metadata::OFFSETS_TOPIC;
use watershed_model::{Timestamp, TopicId};

use super::store::CommittedOffset;
use super::table::in_order;
use super::tombstone;
use crate::groups::{GroupCoordinator, GroupReply, GroupTimer, Output};
use crate::runtime::{Call, Now};

/// From when on the age of a group's offsets counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpirationBase {
    /// From each offset's commit.
    Commit,
    /// From the moment at which the group lost its last member.
    Since(Timestamp),
}

impl ExpirationBase {
    fn has_expired(self, offset: &CommittedOffset, now: Timestamp, retention_ms: u64) -> bool {
        if let Some(at) = offset.expires_at() {
            return now >= at;
        }
        let from = match self {
            Self::Commit => offset.commit_timestamp,
            Self::Since(since) => since,
        };
        now.0.saturating_sub(from.0) >= i64::try_from(retention_ms).unwrap_or(i64::MAX)
    }
}

impl GroupCoordinator {
    pub(in crate::groups) fn schedule_expiry(&self, now: Now, out: &mut Output) {
        let interval_ms = self.settings.offsets_retention_check_interval_ms;
        out.schedule(GroupTimer::Expiry, now.elapsed_ms.saturating_add(interval_ms));
    }

    /// Removes offsets that have expired, and groups that have nothing left.
    pub(in crate::groups) fn expire(&mut self, now: Now, out: &mut Output) {
        out.may_be_split();
        let mut expired = 0;
        // In the order of their names, so that the records do not depend on how groups are kept.
        for (group_id, group) in self.groups.iter().collect::<BTreeMap<_, _>>() {
            let (old, is_all) = self.expired_offsets(group_id, now);
            expired += old.len() as u64;
            for (topic, partition) in old {
                out.write(tombstone(group_id, &topic, partition));
            }
            if is_all && group.is_empty() {
                group.remove(out);
            }
        }
        self.counters.offset_expirations += expired;
        self.offsets.tidy();
        self.schedule_expiry(now, out);
    }

    /// A group's offsets that have expired, and whether it has no others.
    fn expired_offsets(&self, group_id: &str, now: Now) -> (Vec<(Arc<str>, i32)>, bool) {
        let Some(offsets) = self.offsets.of_group(group_id) else {
            return (Vec::new(), !self.offsets.has_pending(group_id));
        };
        let Some(group) = self.groups.get(group_id) else { return (Vec::new(), false) };
        let Some(base) = group.offset_expiration() else { return (Vec::new(), false) };
        let (mut old, mut is_all) = (Vec::new(), true);
        for (topic, partitions) in offsets {
            let is_subscribed = group.is_subscribed_to(topic);
            for (partition, offset) in in_order(partitions) {
                let is_old = !is_subscribed
                    && base.has_expired(offset, now.wall, self.settings.offsets_retention_ms)
                    && !self.offsets.is_pending(group_id, topic, partition);
                is_all &= is_old;
                if is_old {
                    old.push((Arc::clone(topic), partition));
                }
            }
        }
        (old, is_all && !self.offsets.has_pending(group_id))
    }

    /// Every group forgets the offsets of topics that are gone.
    pub(in crate::groups) fn topics_deleted(&mut self, call: &Call, topics: &[Arc<str>], out: &mut Output) {
        let deleted: BTreeSet<&str> = topics.iter().map(|topic| &**topic).collect();
        self.forget_topics(|topic| (!deleted.contains(topic)).then_some(TopicId::ZERO), out);
        out.reply(call.id, GroupReply::TopicsDeleted);
    }

    /// The same for topics that went while nobody coordinated the groups; some may have been made again.
    pub(in crate::groups) fn forget_missing_topics(&mut self, out: &mut Output) {
        let image = Arc::clone(&self.image);
        // Metadata that does not even know the topic which the offsets come from says nothing of others.
        if image.topic_by_name(OFFSETS_TOPIC).is_some() {
            self.forget_topics(|topic| image.topic_by_name(topic).map(|topic| topic.id()), out);
        }
    }

    fn forget_topics(&mut self, present: impl Fn(&str) -> Option<TopicId>, out: &mut Output) {
        let gone = self.offsets.of_gone_topics(present);
        self.counters.offset_deletions += gone.len() as u64;
        out.may_be_split();
        for (group, topic, partition) in gone {
            out.write(tombstone(&group, &topic, partition));
        }
    }
}
