//! The host of plugins that are WebAssembly components.
