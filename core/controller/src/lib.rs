//! watershed-controller
