//! watershed-storage-memory
