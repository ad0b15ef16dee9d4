//! Watershed: a message broker that any Apache Kafka client can use unchanged, and whose policy is yours.
//!
//! [`run`] is the broker: the binary, the tests and programs that embed it all call it. [`config`] is everything that can
//! be set, [`registry`] everything it is built from, [`cli`] the command line, [`http`] the listener for health and metrics.

pub mod cli;
pub mod config;
pub mod http;
pub mod registry;
mod run;
mod stamp;

pub use registry::Registry;
pub use run::{Addresses, RunError, Sockets, run};
