//! watershed-protocol
