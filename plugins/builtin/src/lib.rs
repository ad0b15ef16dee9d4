//! watershed-builtin
