//! The keys. The version that a key begins with is the kind of record; none is flexible.

use watershed_protocol_derive::Message;

/// Whose offset it is. Kinds 0 and 1 are read, 1 is written.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "0-1", flexible = "none")]
pub struct OffsetCommitKey {
    /// The group.
    #[field(versions = "0+")]
    pub group: String,
    /// The topic's name.
    #[field(versions = "0+")]
    pub topic: String,
    /// The partition.
    #[field(versions = "0+")]
    pub partition: i32,
}

/// A group: its metadata, epochs, and what else there is once per group.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "2-6", flexible = "none")]
pub struct GroupKey {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: String,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "5-8", flexible = "none")]
pub struct MemberKey {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: String,
    /// The member.
    #[field(versions = "0+")]
    pub member_id: String,
}

/// A regular expression that a group's members subscribe to.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "16", flexible = "none")]
pub struct RegularExpressionKey {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: String,
    /// The regular expression, as the members wrote it.
    #[field(versions = "0+")]
    pub regular_expression: String,
}
