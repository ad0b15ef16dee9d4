//! watershed-testkit
