//! Coordinators: state machines whose state lives in a partition of an internal topic.
//!
//! - [`runtime`]: what every coordinator needs and none has to write again: the order of events, appends, replies that wait
//!   for durability, timers, loading. It knows nothing of groups.
//! - [`groups`]: the group coordinator (`__consumer_offsets`): classic groups, consumer groups (KIP-848), offsets.
//! - [`records`]: the records of `__consumer_offsets`, in Kafka's formats.
//!
//! Invariants: no I/O, no clock, no randomness but what is passed in. A machine's durable state changes only by records that
//! its log accepted; a failed write therefore leaves it as it was. Whatever a reply tells rests on records that are durable when
//! the reply leaves.

pub mod groups;
pub mod records;
pub mod runtime;
