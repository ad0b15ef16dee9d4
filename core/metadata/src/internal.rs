//! The names of topics in which brokers keep state of their own. They are Kafka's.

/// Committed offsets and the state of groups.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The state of transactions.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// The state of share groups (KIP-932).
pub const SHARE_STATE_TOPIC: &str = "__share_group_state";

/// Whether this is the name of a topic that only brokers write.
#[must_use]
pub fn is_internal_topic(name: &str) -> bool {
    matches!(name, OFFSETS_TOPIC | TRANSACTIONS_TOPIC | SHARE_STATE_TOPIC)
}
