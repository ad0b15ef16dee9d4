//! watershed-hooks
