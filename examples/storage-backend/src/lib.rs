//! watershed-example-storage
