//! watershed-log
