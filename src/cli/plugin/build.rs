//! `watershed plugin build`: from a project to a plugin, with the ordinary tools of its language.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::file::PluginPath;
use super::new::Language;
use super::tools::{
    CARGO, CLANG, COMPONENTIZE_JS, COMPONENTIZE_PY, RUSTC, WASM_LD, WASM_TOOLS, answer, run as run_tool,
};
use crate::cli::exit::{CliError, Exit};
use crate::cli::ui::Ui;
use crate::registry::Registry;

/// The file that makes a directory a project.
pub(super) const PROJECT: &str = "plugin.toml";

const RUST_TARGET: &str = "wasm32-unknown-unknown";

/// Where Debian's packages put a compiler that has the sources of its library.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

const NO_ENVIRONMENT: [(&str, &OsStr); 0] = [];

/// `watershed plugin build`
#[derive(Debug, clap::Args)]
pub struct Build {
    /// The project's directory
    #[arg(default_value = ".")]
    dir: PathBuf,
}

/// What `plugin.toml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Project {
    /// The plugin's file is called so.
    name: String,
    language: Language,
    /// Where the plugin API is described.
    #[serde(default = "wit")]
    wit: String,
    /// The world there that it is built for.
    world: String,
}

fn wit() -> String {
    "wit".to_owned()
}

/// Builds the project and inspects what came of it.
///
/// # Errors
/// A tool that is missing ([`Exit::NotFound`]) or fails ([`Exit::Failure`]), or a plugin that the broker would not load.
pub(super) fn run(registry: &Registry, args: &Build, ui: Ui) -> Result<(), CliError> {
    let path = args.dir.join(PROJECT);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!("{}: {error}; `watershed plugin new` makes a project", path.display());
        CliError::new(Exit::NotFound, message)
    })?;
    let project: Project =
        toml::from_str(&text).map_err(|error| CliError::new(Exit::Usage, format!("{}: {error}", path.display())))?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if project.name.is_empty() || !project.name.chars().all(is_name) {
        return Err(CliError::new(Exit::Usage, format!("{}: {:?} is no name", path.display(), project.name)));
    }
    let file = match project.language {
        Language::Luau => format!("{}.luau", project.name),
        Language::Rust | Language::C | Language::Js | Language::Python => format!("{}.wasm", project.name),
    };
    let made = args.dir.join(&file);
    match project.language {
        Language::Luau => {}
        Language::Rust => rust(&args.dir, &file)?,
        Language::C => c(&args.dir, &project, &file)?,
        Language::Js => javascript(&args.dir, &project, &file)?,
        Language::Python => python(&args.dir, &project, &file)?,
    }
    if !ui.json {
        ui.line(&made.display().to_string())?;
    }
    super::inspect(&PluginPath::new(made).open(registry)?, ui)
}

/// Rust: a core module first, with the library built along where none is ready for the target.
fn rust(dir: &Path, file: &str) -> Result<(), CliError> {
    let (cargo, rustc, wasm_tools) = (CARGO.find(dir)?, RUSTC.find(dir)?, WASM_TOOLS.find(dir)?);
    let mut arguments = vec!["build", "--release", "--target", RUST_TARGET, "--target-dir", "target"];
    if has_target(&rustc, dir) {
        run_tool(&cargo, dir, arguments, [("RUSTC", rustc.as_os_str())])?;
    } else {
        let candidates = [rustc, PathBuf::from(DEBIAN_RUSTC)];
        let with_sources = candidates.iter().find(|rustc| has_sources(rustc, dir)).ok_or_else(|| {
            let message = format!(
                "rustc has no target {RUST_TARGET}: rustup target add {RUST_TARGET}; without one, a compiler with its \
                 sources does (Debian: apt install rustc-web rust-web-src lld)"
            );
            CliError::new(Exit::NotFound, message)
        })?;
        let linker = format!("-Clinker={}", WASM_LD.find(dir)?.display());
        arguments.push("-Zbuild-std=core,alloc");
        let environment = [
            ("RUSTC", with_sources.as_os_str()),
            ("RUSTC_BOOTSTRAP", OsStr::new("1")),
            ("RUSTFLAGS", OsStr::new(&linker)),
        ];
        run_tool(&cargo, dir, arguments, environment)?;
    }
    component(dir, &wasm_tools, &format!("target/{RUST_TARGET}/release/plugin.wasm"), file)
}

/// Whether a compiler's library is there for the target.
fn has_target(rustc: &Path, dir: &Path) -> bool {
    let libraries = answer(rustc, dir, &["--print", "target-libdir", "--target", RUST_TARGET]);
    let files = libraries.and_then(|libraries| std::fs::read_dir(libraries).ok());
    let is_core = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with("libcore-"));
    files.is_some_and(|mut files| files.any(|file| file.is_ok_and(|file| is_core(&file.file_name()))))
}

/// Whether the sources of a compiler's library are there.
fn has_sources(rustc: &Path, dir: &Path) -> bool {
    let sysroot = answer(rustc, dir, &["--print", "sysroot"]);
    sysroot.is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/core").is_dir())
}

/// C: a core module without any library, then the world that it was written for.
fn c(dir: &Path, project: &Project, file: &str) -> Result<(), CliError> {
    let (clang, wasm_tools) = (CLANG.find(dir)?, WASM_TOOLS.find(dir)?);
    WASM_LD.find(dir)?;
    let target = dir.join("target");
    std::fs::create_dir_all(&target)
        .map_err(|error| CliError::new(Exit::Failure, format!("{} cannot be made: {error}", target.display())))?;
    let arguments = [
        "--target=wasm32-unknown-unknown",
        "-Oz",
        "-Wall",
        "-Wextra",
        "-ffreestanding",
        "-fno-builtin",
        "-nostdlib",
        "-Wl,--no-entry",
        "-Wl,--strip-all",
        "-o",
        "target/core.wasm",
        "plugin.c",
    ];
    run_tool(&clang, dir, arguments, NO_ENVIRONMENT)?;
    let embed = [
        "component",
        "embed",
        &project.wit,
        "--world",
        &project.world,
        "target/core.wasm",
        "-o",
        "target/embedded.wasm",
    ];
    run_tool(&wasm_tools, dir, embed, NO_ENVIRONMENT)?;
    component(dir, &wasm_tools, "target/embedded.wasm", file)
}

/// From a core module that says its world to a component without names.
fn component(dir: &Path, wasm_tools: &Path, module: &str, file: &str) -> Result<(), CliError> {
    run_tool(wasm_tools, dir, ["component", "new", module, "-o", "target/component.wasm"], NO_ENVIRONMENT)?;
    run_tool(wasm_tools, dir, ["strip", "target/component.wasm", "-o", file], NO_ENVIRONMENT)
}

/// Python: the interpreter, its library and the module, without WASI.
fn python(dir: &Path, project: &Project, file: &str) -> Result<(), CliError> {
    let tool = COMPONENTIZE_PY.find(dir)?;
    let arguments = [
        "-q",
        "-d",
        &project.wit,
        "-w",
        &project.world,
        "componentize",
        "--stub-wasi",
        "-p",
        "src",
        "-o",
        file,
        "plugin",
    ];
    run_tool(&tool, dir, arguments, NO_ENVIRONMENT)
}

/// JavaScript: the engine with the module in it, without WASI.
fn javascript(dir: &Path, project: &Project, file: &str) -> Result<(), CliError> {
    let tool = COMPONENTIZE_JS.find(dir)?;
    let without = ["--disable", "stdio", "random", "clocks", "http", "fetch-event"];
    let arguments = ["plugin.js", "--wit", &project.wit, "--world-name", &project.world, "--out", file];
    run_tool(&tool, dir, arguments.into_iter().chain(without), NO_ENVIRONMENT)
}
