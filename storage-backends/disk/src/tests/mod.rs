//! Tests of the whole backend: the conformance suite, power cuts, damage, failures, a naive model.
#![allow(clippy::unwrap_used)]

mod conformance;
mod crash;
mod damage;
mod failure;
mod kill;
mod model;
mod rot;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use watershed_model::SystemClock;

use crate::DiskConfig;

/// Settings for tests: few threads, no ballast.
fn config(dir: &Path) -> DiskConfig {
    DiskConfig {
        sync_threads: 2,
        read_threads: 2,
        work_threads: 2,
        relaxed_sync_interval: Duration::from_millis(20),
        ballast_bytes: 0,
        ..DiskConfig::new(dir, Arc::new(SystemClock::new()))
    }
}
