//! The reference plugin, written in Luau, says what the native one says.
#![allow(missing_docs)]

use watershed_lua::LuaHost;
use watershed_plugin_host::{Limits, PluginSource, conformance};

#[test]
fn the_reference_plugin_in_luau_conforms() {
    let contents = include_bytes!("conformance.luau").to_vec();
    let source = PluginSource::new("reference", "tests/conformance.luau", contents, Limits::default());
    let plugin = LuaHost::new().load(source).unwrap_or_else(|error| panic!("{error}"));
    conformance::run_loaded(&plugin);
}
