//! What a coordinator needs from outside: a log to append to, and someone who drives it.

use bytes::Bytes;
use watershed_model::{Offset, ProducerEpoch, ProducerId};
use watershed_protocol::ErrorCode;

/// Records to append as one batch.
#[derive(Clone, Copy, Debug)]
pub struct NewBatch<'a> {
    /// Keys and values; never empty.
    pub records: &'a [(Bytes, Option<Bytes>)],
    /// The producer whose transaction the records belong to.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
}

/// The partition that holds a coordinator's state. All methods may be called from any thread and never block.
pub trait CoordinatorLog: Send + Sync {
    /// Appends a batch and gives the offset of its first record. On return it is ordered; it is durable once the high watermark
    /// has passed it.
    ///
    /// # Errors
    /// The code of a refusal; nothing was appended then.
    fn append(&self, batch: NewBatch<'_>) -> Result<Offset, ErrorCode>;

    /// The largest batch it takes, in bytes.
    fn batch_bytes_max(&self) -> usize;

    /// Whether everything below is durable.
    fn is_durable(&self, below: Offset) -> bool;
}

/// Who drives a coordinator, whose machine sends requests of type `S` to others
/// ([`StateMachine::Send`](super::StateMachine::Send)).
pub trait Host<S>: Send + Sync {
    /// The earliest timer is now due at this time, in [`Now::elapsed_ms`](super::Now::elapsed_ms): have
    /// [`Coordinator::tick`](super::Coordinator::tick) called then.
    fn wake_at(&self, at_ms: u64);

    /// Events wait that would hold the calling thread for long: have [`Coordinator::work`](super::Coordinator::work) called where
    /// that does no harm.
    fn hand_over(&self);

    /// Have [`Coordinator::settled`](super::Coordinator::settled) called once everything below is durable, or will never be.
    fn watch(&self, below: Offset);

    /// Carries a request to others. It is called between two steps of the coordinator: whatever takes time happens elsewhere, and
    /// comes back as an event.
    fn send(&self, request: S);
}
