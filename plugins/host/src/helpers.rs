//! The pure functions that plugins may call.

pub use watershed_hooks::murmur2;

pub use crate::json::{JSON_PATH_DEPTH_MAX, json};
