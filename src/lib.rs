//! Watershed.

pub mod config;
