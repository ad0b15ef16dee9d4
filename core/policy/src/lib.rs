//! What happens around a plugin: who is asked, with which records, and what follows from an answer or from none.
//!
//! - [`PluginSet`] holds every plugin by hook and name; [`Plugin::call`] asks one: an instance from its pool, time and memory
//!   being the host's business, then breaker, metrics and a rate-limited line in the log. Native plugins come the same way.
//! - [`Binding`] is a plugin bound to a topic, `on` or in `shadow`; [`TopicBindings`] are all of a topic.
//! - [`admit`] takes the records of a produced batch through interceptors, ordering key and partitioner, slice by slice;
//!   [`reveal`] those of a fetched batch through the fetch filter; [`RecordKeeper`] asks which records of closed segments stay,
//!   with their [`Ranks`].
//!
//! Absent: no engine, no log, no error code and no I/O.

mod binding;
mod breaker;
mod fetch;
mod log;
mod metrics;
mod plugin;
mod produce;
mod ranks;
mod retain;
mod rewrite;
mod set;
mod slices;

#[cfg(test)]
mod tests;

pub use binding::{Binding, BindingState, TopicBindings, wrong_hook};
pub use breaker::BreakerSettings;
pub use fetch::{Reader, Revealed, reveal};
pub use metrics::describe as describe_metrics;
pub use plugin::{CallError, OnError, Origin, Plugin, PluginParts, PluginStatus};
pub use produce::{Admission, DeadLetter, Entry, Refusal, Spread, admit};
pub use ranks::Ranks;
pub use retain::{Held, RecordKeeper, Rest};
pub use rewrite::RewriteError;
pub use set::{PluginSet, guarded_assignor};
