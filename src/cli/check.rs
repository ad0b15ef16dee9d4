//! `watershed check`: says what is wrong with the configuration, without starting anything.

use std::io::{self, Write};

use serde_json::json;

use super::config::place;
use crate::config::{ConfigProblems, Loaded};

/// Prints that the configuration is fine, or each problem on a line of its own.
///
/// # Errors
/// When `out` cannot be written to.
pub fn print(result: &Result<Loaded, ConfigProblems>, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    match result {
        Ok(loaded) if as_json => writeln!(out, "{}", json!({ "ok": true, "file": loaded.file, "problems": [] })),
        Ok(Loaded { file: Some(file), .. }) => writeln!(out, "{}: the configuration is fine", file.display()),
        Ok(Loaded { file: None, .. }) => writeln!(out, "the configuration is fine (there is no file)"),
        Err(ConfigProblems(problems)) if as_json => {
            let rows: Vec<_> = problems
                .iter()
                .map(|problem| {
                    json!({
                        "at": place(&problem.place),
                        "key": problem.key,
                        "message": problem.message,
                        "nearest": problem.nearest,
                    })
                })
                .collect();
            writeln!(out, "{}", json!({ "ok": false, "problems": rows }))
        }
        Err(ConfigProblems(problems)) => {
            for problem in problems {
                writeln!(out, "{problem}")?;
            }
            let count = problems.len();
            writeln!(out, "{count} {} in the configuration", if count == 1 { "problem" } else { "problems" })
        }
    }
}
