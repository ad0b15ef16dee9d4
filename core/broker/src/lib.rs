//! watershed-broker
