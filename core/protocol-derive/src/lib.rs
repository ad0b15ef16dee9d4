//! watershed-protocol-derive
