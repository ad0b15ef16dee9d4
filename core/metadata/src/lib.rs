//! watershed-metadata
