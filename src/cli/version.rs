//! Which build this is.

/// The version, and the commit it was built from where that is known; the build script makes it.
pub const TEXT: &str = env!("WATERSHED_VERSION");
