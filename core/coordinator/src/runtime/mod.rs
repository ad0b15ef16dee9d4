//! The runtime of a coordinator: everything about a state machine in a log that is not about what it coordinates.
//!
//! - `machine.rs`: [`StateMachine`], what a coordinator is, and [`Output`], what an event makes it say.
//! - `coordinator.rs`: [`Coordinator`], which orders events, appends, applies and answers.
//! - `timers.rs`: the timers of one machine. `load.rs`: from the log's batches to state; `snapshot.rs`: shortens that.
//! - `ports.rs`: what it needs from outside.

mod coordinator;
mod load;
mod machine;
mod ports;
mod snapshot;
#[cfg(test)]
mod tests;
mod timers;

pub use coordinator::{Coordinator, Replied, Replies};
pub use load::{LoadError, Loader};
pub use machine::{Call, Now, Output, Position, RequestId, StateMachine, TimerChange, Write};
pub use ports::{CoordinatorLog, Host, NewBatch};
