//! The vocabulary of the house: identifiers, offsets, the record batch, limits and the clock.
//!
//! Every other crate may depend on this one and it depends on none of them. It does no I/O and reads no
//! clock; [`Clock`] is the only way in for time.

mod clock;
mod ids;
pub mod limits;
mod piece;
pub mod record;

pub use clock::{Clock, ManualClock, SystemClock};
pub use ids::{
    BrokerId, ClusterId, LeaderEpoch, Offset, ParseTopicIdError, ProducerEpoch, ProducerId, Timestamp, TopicId,
    TopicIdPartition,
};
pub use piece::Piece;
