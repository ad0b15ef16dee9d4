//! `watershed completions SHELL`.

use std::io::{self, Write};

use clap_complete::Shell;

/// `watershed completions`
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script that teaches the shell our options.
///
/// # Errors
/// If `out` cannot be written to.
pub fn run(args: &Completions, command: &mut clap::Command, out: &mut dyn Write) -> io::Result<()> {
    // The generator panics where writing fails, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "watershed", &mut script);
    out.write_all(&script)
}
