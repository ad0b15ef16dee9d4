//! watershed-storage
