//! From a file to a component that is known to be a plugin: what it imports and exports, and what it says of itself.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};
use watershed_hooks::{Failure, FaultKind, HookKind};
use watershed_plugin_host::{Limits, Manifest};

use crate::cache::{Cache, Key};
use crate::engine::Runtime;
use crate::hooks::check;
use crate::imports::{IMPORTS, PACKAGE_VERSION};
use crate::instance::{Code, Live};
use crate::state::State;

/// How large a file may be, in bytes.
const FILE_BYTES_MAX: usize = 64 << 20;

/// How many names of imports a message lists.
const NAMES_LISTED_MAX: usize = 5;

const CORE_MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// A component's binary form. A core module and compiled code are refused.
pub(crate) fn binary<'c>(file: &Path, contents: &'c [u8]) -> Result<Cow<'c, [u8]>, String> {
    if contents.len() > FILE_BYTES_MAX {
        return Err(format!("it has {} bytes, and a plugin may have {FILE_BYTES_MAX}", contents.len()));
    }
    if contents.is_empty() {
        return Err("the file is empty".to_owned());
    }
    if Engine::detect_precompiled(contents).is_some() || contents.starts_with(b"\x7fELF") {
        return Err("it is compiled code, which cannot be checked: give the component itself".to_owned());
    }
    if contents.starts_with(b"\0asm") {
        is_component(contents)?;
        return Ok(Cow::Borrowed(contents));
    }
    let Ok(text) = std::str::from_utf8(contents) else {
        return Err("it is neither a WebAssembly component nor the text of one".to_owned());
    };
    let parsed = wat::Parser::new().parse_str(Some(file), text);
    let binary = parsed.map_err(|error| format!("it is not the text of a WebAssembly component: {error}"))?;
    is_component(&binary)?;
    Ok(Cow::Owned(binary))
}

fn is_component(binary: &[u8]) -> Result<(), String> {
    match binary.first_chunk::<8>() {
        None => Err("it is cut short".to_owned()),
        Some(&COMPONENT) => Ok(()),
        Some(&CORE_MODULE) => {
            Err("it is a core module, not a component: make it one with `wasm-tools component new`".to_owned())
        }
        Some(_) => Err("it is WebAssembly, but not a component of a version that this broker knows".to_owned()),
    }
}

/// Compiles a component, or takes what was compiled before. `sha256` is that of the file which `binary` is, or was made of.
pub(crate) fn compile(
    engine: &Engine,
    cache: Option<&Cache>,
    binary: &[u8],
    sha256: [u8; 32],
) -> Result<Component, String> {
    let cache = cache.map(|cache| (cache, Key::new(sha256, engine)));
    if let Some(component) = cache.and_then(|(cache, key)| kept(engine, cache, key)) {
        return Ok(component);
    }
    // An engine that panics on a component (once it did where it had to adapt several memories) may not end the process.
    let compiled = std::panic::catch_unwind(AssertUnwindSafe(|| Component::from_binary(engine, binary)));
    let compiled = compiled.map_err(|_| "it is a component that the engine cannot compile".to_owned())?;
    let component = compiled.map_err(|error| format!("it is not a component that this broker can run: {error:#}"))?;
    if let Some((cache, key)) = cache {
        let stored = component.serialize().map_err(|error| error.to_string());
        let stored = stored.and_then(|code| cache.store(key, &code).map_err(|error| error.to_string()));
        if let Err(error) = stored {
            tracing::warn!(error, "compiled code of a plugin could not be kept: the next start compiles it again");
        }
    }
    Ok(component)
}

/// What was compiled before, if it can be used.
fn kept(engine: &Engine, cache: &Cache, key: Key) -> Option<Component> {
    let unused = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "compiled code of a plugin that was kept cannot be used: it is compiled again");
    };
    let kept = cache.load(key).inspect_err(|error| unused(error)).ok()??;
    // SAFETY: `deserialize_file` trusts its input to be what `serialize` gave. The cache returns only bytes with a seal over key
    // and content, from a file that nobody but this user can write, in a directory that nobody else can enter; whoever
    // could forge them already runs code as this user. They are in memory of this process that is sealed against writing, so
    // they cannot change after the check.
    unsafe { Component::deserialize_file(engine, kept.path()) }.inspect_err(|error| unused(error)).ok()
}

/// What a plugin is made of, as far as it can be known before it runs.
pub(crate) struct Exports {
    /// What its lifecycle is exported as.
    pub(crate) lifecycle: String,
    /// The hooks that it serves, and what they are exported as.
    pub(crate) hooks: Vec<(HookKind, String)>,
    /// What it imports, by the names of the interfaces.
    pub(crate) imports: Vec<String>,
}

/// An interface of `watershed:plugin` in a name like `watershed:plugin/types@1.0.0`; `None` for other names.
fn interface(name: &str) -> Option<Result<&str, String>> {
    let rest = name.strip_prefix("watershed:plugin/")?;
    let Some((interface, version)) = rest.split_once('@') else {
        return Some(Err(format!("it names {name} without a version: build it against watershed:plugin@1.0.0")));
    };
    if version.split('.').next() != Some("1") || version.contains('-') {
        return Some(Err(format!("it was built for watershed:plugin@{version}, this broker serves 1.x")));
    }
    Some(Ok(interface))
}

/// Checks the names of what a component imports and exports.
pub(crate) fn inspect(engine: &Engine, component: &Component) -> Result<Exports, String> {
    let ty = component.component_type();
    let mut unknown = Vec::new();
    for (name, import) in ty.imports(engine) {
        let known = interface(name).transpose()?;
        let known = known.and_then(|interface| IMPORTS.iter().find(|(known, _)| *known == interface));
        match (known, import.ty) {
            (Some((_, functions)), ComponentItem::ComponentInstance(instance)) => {
                let missing = instance.exports(engine).filter(|(function, item)| {
                    matches!(item.ty, ComponentItem::ComponentFunc(_)) && !functions.contains(function)
                });
                unknown.extend(missing.map(|(function, _)| format!("{function} of {name}")));
            }
            _ => unknown.push(name.to_owned()),
        }
    }
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(NAMES_LISTED_MAX);
        unknown.truncate(NAMES_LISTED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return Err(format!(
            "it imports {}{more}; a plugin may import types, host and helpers of watershed:plugin@{PACKAGE_VERSION} \
             and nothing else (no WASI: build it without)",
            unknown.join(", ")
        ));
    }
    let (mut lifecycle, mut hooks) = (None, Vec::new());
    for (name, _) in ty.exports(engine) {
        let Some(interface) = interface(name).transpose()? else { continue };
        let hook = HookKind::ALL.into_iter().find(|hook| hook.name() == interface);
        match hook {
            Some(hook) if hooks.iter().any(|(known, _)| *known == hook) => {
                return Err(format!("it exports the hook {hook} twice"));
            }
            Some(hook) => hooks.push((hook, name.to_owned())),
            None if interface == "lifecycle" => lifecycle = Some(name.to_owned()),
            None => return Err(format!("it exports {name}, which this broker does not know")),
        }
    }
    let Some(lifecycle) = lifecycle else {
        return Err(format!("it does not export watershed:plugin/lifecycle@{PACKAGE_VERSION}, as every plugin must"));
    };
    if hooks.is_empty() {
        let names = HookKind::ALL.map(HookKind::name).join(", ");
        return Err(format!("it exports no hook; a plugin exports at least one interface of {names}"));
    }
    let imports = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
    Ok(Exports { lifecycle, hooks, imports })
}

/// Resolves a component's imports.
pub(crate) fn link(
    runtime: &Arc<Runtime>,
    linker: &Linker<State>,
    component: &Component,
    limits: Limits,
) -> Result<Code, String> {
    let pre = linker.instantiate_pre(component).map_err(|error| {
        format!(
            "its imports are not of the types that the WIT package watershed:plugin says: {error:#}; \
             build it against version 1 of that package"
        )
    })?;
    Ok(Code { runtime: Arc::clone(runtime), pre, limits })
}

/// Asks a plugin what it is, and checks the types of all its exports.
pub(crate) fn describe(code: &Code, exports: &Exports) -> Result<Manifest, String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |failure: Failure| match failure.fault() {
            Some(FaultKind::OutOfMemory) => format!("{what} failed: {failure}: raise `limits.memory` if it needs more"),
            _ => format!("{what} failed: {failure}"),
        }
    };
    let mut live = Live::new(code, None, Arc::default()).map_err(failed("its start"))?;
    let lifecycle = &exports.lifecycle;
    let describe = live.func::<(), (String,)>(lifecycle, "describe")?;
    live.func::<(String,), (Result<(), String>,)>(lifecycle, "init")?;
    exports.hooks.iter().try_for_each(|(hook, interface)| check(&mut live, *hook, interface))?;
    let budget = code.limits.init_budget();
    let (manifest,) = live.call(&describe, budget, None, |_| ()).map_err(failed("describe"))?;
    let manifest = serde_json::from_str(&manifest)
        .map_err(|error| format!("describe answered with something that is no JSON: {error}"))?;
    Manifest::parse(manifest).map_err(|error| error.to_string())
}
