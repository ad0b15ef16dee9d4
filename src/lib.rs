//! Watershed.
