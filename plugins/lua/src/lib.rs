//! The host of plugins written in Luau.
