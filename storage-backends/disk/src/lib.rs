//! watershed-storage-disk
