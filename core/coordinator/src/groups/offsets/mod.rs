//! Offsets: committing, fetching, deleting and expiring them.
//!
//! `store.rs` and `table.rs` hold them; `commit.rs` takes commits; `fetch.rs` answers how far groups have come; `expire.rs` removes what is old or
//! whose topic is gone. Semantics are those of Kafka 4.2.0's `OffsetMetadataManager`.

mod commit;
mod expire;
mod fetch;
mod store;
mod table;
#[cfg(test)]
mod tests;

use watershed_model::{ProducerEpoch, ProducerId};

use super::GroupCoordinator;
use crate::records::{GroupRecord, OffsetCommitKey, OffsetCommitValue};
use crate::runtime::Position;

pub use expire::ExpirationBase;
pub use store::{CommittedOffset, GroupOffsets, OffsetOf, Offsets, TopicOffsets};

/// The record that removes an offset.
pub(super) fn tombstone(group: &str, topic: &str, partition: i32) -> GroupRecord {
    let key = OffsetCommitKey { group: group.to_owned(), topic: topic.to_owned(), partition };
    GroupRecord::OffsetCommit { key, value: None }
}

impl GroupCoordinator {
    /// All committed offsets.
    #[must_use]
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    pub(super) fn apply_offset_commit(
        &mut self,
        key: &OffsetCommitKey,
        value: Option<OffsetCommitValue>,
        position: Position,
    ) {
        let OffsetCommitKey { group, topic, partition } = key;
        match value {
            Some(value) => {
                self.ensure_simple_group(group);
                self.offsets.insert(group, topic, *partition, value, position);
            }
            None => self.offsets.remove(group, topic, *partition),
        }
    }

    pub(super) fn snapshot_offsets(&self, emit: &mut dyn FnMut(GroupRecord, Position)) {
        self.offsets.each(&mut |OffsetOf { group, topic, partition, offset }, producer| {
            let key = OffsetCommitKey { group: group.to_string(), topic: topic.to_string(), partition };
            let record = GroupRecord::OffsetCommit { key, value: Some(offset.to_value()) };
            // The epoch is not needed to decide a transaction.
            let producer: Option<(ProducerId, ProducerEpoch)> = producer.map(|id| (id, ProducerEpoch::NONE));
            emit(record, Position { offset: offset.record, producer });
        });
    }
}
