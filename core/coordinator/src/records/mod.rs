//! The records of `__consumer_offsets`, byte for byte in Kafka's formats, so that tools which read the topic read ours.
//!
//! A key begins with the kind of record, a value with its version (16 bits each); a record without a value is a tombstone. What is
//! written is what Kafka 4.2.0 writes; what is read is what any version before it wrote. Kinds that are not ours (share and streams
//! groups) are skipped, as Kafka skips kinds that it does not know.

mod keys;
#[cfg(test)]
mod tests;
mod values;

use bytes::Bytes;
use watershed_model::TopicId;
use watershed_protocol::{DecodeError, EncodeError, Stored};

pub use keys::{GroupKey, MemberKey, OffsetCommitKey, RegularExpressionKey};
pub use values::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataValue,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataValue, GroupMetadataValue, MemberMetadata, OffsetCommitValue,
    PartitionMetadata, TopicMetadata, TopicPartitions,
};

/// Kinds of records. Persisted, and Kafka's: they never change meaning.
mod kind {
    pub(super) const OFFSET_COMMIT_LEGACY: i16 = 0;
    pub(super) const OFFSET_COMMIT: i16 = 1;
    pub(super) const GROUP_METADATA: i16 = 2;
    pub(super) const CONSUMER_GROUP_METADATA: i16 = 3;
    pub(super) const CONSUMER_GROUP_PARTITION_METADATA: i16 = 4;
    pub(super) const CONSUMER_GROUP_MEMBER_METADATA: i16 = 5;
    pub(super) const CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA: i16 = 6;
    pub(super) const CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER: i16 = 7;
    pub(super) const CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT: i16 = 8;
    pub(super) const CONSUMER_GROUP_REGULAR_EXPRESSION: i16 = 16;
}

/// The version of offsets that expire at a time of their own.
const OFFSET_COMMIT_EXPIRES: i16 = 1;
/// The version of all others.
const OFFSET_COMMIT_VERSION: i16 = 4;
const GROUP_METADATA_VERSION: i16 = 3;
/// The version of everything about consumer groups.
const CONSUMER_GROUP_VERSION: i16 = 0;

/// What an offset's key takes beside its texts, in bytes: kind, two lengths, partition.
const OFFSET_KEY_BYTES: usize = 2 + 2 + 2 + 4;
/// What an offset's value takes beside its text and the text's length, in bytes: version, offset, epoch, time, number of tagged
/// fields.
const OFFSET_VALUE_BYTES: usize = 2 + 8 + 4 + 8 + 1;
/// What its topic id adds: tag, size, id.
const OFFSET_TOPIC_ID_BYTES: usize = 1 + 1 + 16;
/// The same for an offset that expires: version, offset, length, time, time of expiry.
const OFFSET_VALUE_EXPIRES_BYTES: usize = 2 + 8 + 2 + 8 + 8;
/// Room to begin with for everything else.
const CAPACITY: usize = 128;

/// A record; without a value it removes what is under its key.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    /// A committed offset.
    OffsetCommit {
        /// Whose.
        key: OffsetCommitKey,
        /// The offset.
        value: Option<OffsetCommitValue>,
    },
    /// A classic group.
    GroupMetadata {
        /// The group.
        group_id: String,
        /// Its members and their assignments.
        value: Option<GroupMetadataValue>,
    },
    /// A consumer group's epoch.
    ConsumerGroupMetadata {
        /// The group.
        group_id: String,
        /// The epoch.
        value: Option<ConsumerGroupMetadataValue>,
    },
    /// The partitions a consumer group knew of; Kafka before 4.1 kept them.
    ConsumerGroupPartitionMetadata {
        /// The group.
        group_id: String,
        /// The topics' partitions.
        value: Option<ConsumerGroupPartitionMetadataValue>,
    },
    /// A member of a consumer group.
    ConsumerGroupMemberMetadata {
        /// The group.
        group_id: String,
        /// The member.
        member_id: String,
        /// What it said of itself.
        value: Option<ConsumerGroupMemberMetadataValue>,
    },
    /// The epoch of a target assignment.
    ConsumerGroupTargetAssignmentMetadata {
        /// The group.
        group_id: String,
        /// The epoch.
        value: Option<ConsumerGroupTargetAssignmentMetadataValue>,
    },
    /// A member's target assignment.
    ConsumerGroupTargetAssignmentMember {
        /// The group.
        group_id: String,
        /// The member.
        member_id: String,
        /// What it is to own.
        value: Option<ConsumerGroupTargetAssignmentMemberValue>,
    },
    /// Where a member stands.
    ConsumerGroupCurrentMemberAssignment {
        /// The group.
        group_id: String,
        /// The member.
        member_id: String,
        /// Its epochs and partitions.
        value: Option<ConsumerGroupCurrentMemberAssignmentValue>,
    },
    /// A regular expression, looked up.
    ConsumerGroupRegularExpression {
        /// The group.
        group_id: String,
        /// The regular expression.
        regular_expression: String,
        /// What it matched.
        value: Option<ConsumerGroupRegularExpressionValue>,
    },
}

impl GroupRecord {
    /// The record's key and value.
    ///
    /// # Errors
    /// If a text is longer than 32767 bytes. No text of a request is, but what is made of several (a member's id begins with the
    /// client's) may be.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        Ok(match self {
            Self::OffsetCommit { key, value } => {
                let capacity = OFFSET_KEY_BYTES + key.group.len() + key.topic.len();
                let key = key.encode_stored(kind::OFFSET_COMMIT, capacity)?;
                (key, value.as_ref().map(offset_value).transpose()?)
            }
            Self::GroupMetadata { group_id, value } => {
                (group_key(kind::GROUP_METADATA, group_id)?, at(GROUP_METADATA_VERSION, value)?)
            }
            Self::ConsumerGroupMetadata { group_id, value } => {
                (group_key(kind::CONSUMER_GROUP_METADATA, group_id)?, at(CONSUMER_GROUP_VERSION, value)?)
            }
            Self::ConsumerGroupPartitionMetadata { group_id, value } => {
                (group_key(kind::CONSUMER_GROUP_PARTITION_METADATA, group_id)?, at(CONSUMER_GROUP_VERSION, value)?)
            }
            Self::ConsumerGroupMemberMetadata { group_id, member_id, value } => {
                let key = member_key(kind::CONSUMER_GROUP_MEMBER_METADATA, group_id, member_id)?;
                (key, at(CONSUMER_GROUP_VERSION, value)?)
            }
            Self::ConsumerGroupTargetAssignmentMetadata { group_id, value } => {
                let key = group_key(kind::CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA, group_id)?;
                (key, at(CONSUMER_GROUP_VERSION, value)?)
            }
            Self::ConsumerGroupTargetAssignmentMember { group_id, member_id, value } => {
                let key = member_key(kind::CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER, group_id, member_id)?;
                (key, at(CONSUMER_GROUP_VERSION, value)?)
            }
            Self::ConsumerGroupCurrentMemberAssignment { group_id, member_id, value } => {
                let key = member_key(kind::CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT, group_id, member_id)?;
                (key, at(CONSUMER_GROUP_VERSION, value)?)
            }
            Self::ConsumerGroupRegularExpression { group_id, regular_expression, value } => {
                let (group_id, regular_expression) = (group_id.clone(), regular_expression.clone());
                let key = RegularExpressionKey { group_id, regular_expression };
                let key = key.encode_stored(kind::CONSUMER_GROUP_REGULAR_EXPRESSION, CAPACITY)?;
                (key, at(CONSUMER_GROUP_VERSION, value)?)
            }
        })
    }

    /// A stored record; `None` for a kind that is not ours. What follows a key or value is ignored, as Kafka does.
    ///
    /// # Errors
    /// If a record of a kind that is ours cannot be read, or its value has a version that does not exist.
    pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Self>, DecodeError> {
        let Some(kind) = key.first_chunk::<2>().map(|kind| i16::from_be_bytes(*kind)) else {
            // Its decoder says what is missing.
            return GroupKey::decode_stored(key.clone()).map(|_| None);
        };
        let group = || GroupKey::decode_stored(key.clone()).map(|key| key.group_id);
        let member = || MemberKey::decode_stored(key.clone()).map(|key| (key.group_id, key.member_id));
        Ok(Some(match kind {
            kind::OFFSET_COMMIT_LEGACY | kind::OFFSET_COMMIT => {
                Self::OffsetCommit { key: OffsetCommitKey::decode_stored(key.clone())?, value: read(value)? }
            }
            kind::GROUP_METADATA => Self::GroupMetadata { group_id: group()?, value: read(value)? },
            kind::CONSUMER_GROUP_METADATA => Self::ConsumerGroupMetadata { group_id: group()?, value: read(value)? },
            kind::CONSUMER_GROUP_PARTITION_METADATA => {
                Self::ConsumerGroupPartitionMetadata { group_id: group()?, value: read(value)? }
            }
            kind::CONSUMER_GROUP_MEMBER_METADATA => {
                let (group_id, member_id) = member()?;
                Self::ConsumerGroupMemberMetadata { group_id, member_id, value: read(value)? }
            }
            kind::CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA => {
                Self::ConsumerGroupTargetAssignmentMetadata { group_id: group()?, value: read(value)? }
            }
            kind::CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER => {
                let (group_id, member_id) = member()?;
                Self::ConsumerGroupTargetAssignmentMember { group_id, member_id, value: read(value)? }
            }
            kind::CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT => {
                let (group_id, member_id) = member()?;
                Self::ConsumerGroupCurrentMemberAssignment { group_id, member_id, value: read(value)? }
            }
            kind::CONSUMER_GROUP_REGULAR_EXPRESSION => {
                let RegularExpressionKey { group_id, regular_expression } =
                    RegularExpressionKey::decode_stored(key.clone())?;
                Self::ConsumerGroupRegularExpression { group_id, regular_expression, value: read(value)? }
            }
            _ => return Ok(None),
        }))
    }
}

fn read<T: Stored>(value: Option<&Bytes>) -> Result<Option<T>, DecodeError> {
    value.map(|bytes| T::decode_stored(bytes.clone())).transpose()
}

fn at<T: Stored>(version: i16, value: &Option<T>) -> Result<Option<Bytes>, EncodeError> {
    value.as_ref().map(|value| value.encode_stored(version, CAPACITY)).transpose()
}

/// Commits are frequent: the room is exact, so that each takes one allocation.
fn offset_value(value: &OffsetCommitValue) -> Result<Bytes, EncodeError> {
    let text_bytes = value.metadata.len();
    if value.expire_timestamp >= 0 {
        return value.encode_stored(OFFSET_COMMIT_EXPIRES, OFFSET_VALUE_EXPIRES_BYTES + text_bytes);
    }
    // A length is written plus one, in groups of seven bits.
    let length_bytes = match text_bytes + 1 {
        ..0x80 => 1,
        0x80..0x4000 => 2,
        _ => 3,
    };
    let topic_id_bytes = if value.topic_id == TopicId::ZERO { 0 } else { OFFSET_TOPIC_ID_BYTES };
    value.encode_stored(OFFSET_COMMIT_VERSION, OFFSET_VALUE_BYTES + length_bytes + text_bytes + topic_id_bytes)
}

fn group_key(kind: i16, group_id: &str) -> Result<Bytes, EncodeError> {
    GroupKey { group_id: group_id.to_owned() }.encode_stored(kind, 2 + 2 + group_id.len())
}

fn member_key(kind: i16, group_id: &str, member_id: &str) -> Result<Bytes, EncodeError> {
    let key = MemberKey { group_id: group_id.to_owned(), member_id: member_id.to_owned() };
    key.encode_stored(kind, 2 + 2 + 2 + group_id.len() + member_id.len())
}
