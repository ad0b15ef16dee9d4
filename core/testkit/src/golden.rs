//! Golden scripts: commands in a text file, each with the output that it must give.
//!
//! ```text
//! # a comment
//! append base=0 count=5
//! optional lines of input
//! ----
//! the expected output
//!
//! ends
//! ----
//! start=0 end=5
//! ```
//!
//! A command's output ends at the first empty line. Output that has empty lines itself stands between double lines of
//! `----`. With the environment variable `BLESS=1` the expected outputs are replaced by the real ones; read the diff
//! before committing it.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

const SEPARATOR: &str = "----";

/// One command of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The line of the command in its file, from 1.
    pub line: usize,
    /// The first word.
    pub command: String,
    /// The other words of the command's line.
    pub args: Vec<String>,
    /// The lines between the command and the separator.
    pub input: String,
}

impl Case {
    /// The value of the argument `name=value`.
    #[must_use]
    pub fn arg(&self, name: &str) -> Option<&str> {
        self.args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
    }

    /// The value of the argument `name=value`, parsed.
    ///
    /// # Panics
    /// When it is not there or cannot be parsed: the script is wrong.
    #[must_use]
    pub fn get<T: std::str::FromStr>(&self, name: &str) -> T {
        let value = self.arg(name).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("line {}: `{}` needs a sound {name}=…", self.line, self.command))
    }
}

struct Block {
    /// Comments and empty lines in front, then the command and its input, verbatim.
    lead: String,
    case: Case,
    expected: String,
}

/// Runs a script: `answer` gives each command's output, in order.
///
/// # Panics
/// When an output differs (all that do are shown), or the file cannot be read or is not a script.
pub fn run(path: impl AsRef<Path>, mut answer: impl FnMut(&Case) -> String) {
    let path = path.as_ref();
    let shown = path.display();
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{shown}: {e}"));
    let (blocks, tail) = parse(&text).unwrap_or_else(|e| panic!("{shown}: {e}"));
    assert!(!blocks.is_empty(), "{shown}: no command in it");
    let mut blessed = String::new();
    let mut wrong = String::new();
    for Block { lead, case, expected } in &blocks {
        let mut output = answer(case);
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        blessed.push_str(lead);
        blessed.push_str(&render(&output));
        if output != *expected {
            let line = case.line;
            let _ = write!(wrong, "\n{shown}:{line}: {}\nexpected:\n{expected}found:\n{output}", case.command);
        }
    }
    blessed.push_str(&tail);
    if env::var_os("BLESS").is_some_and(|v| v == "1") {
        if blessed != text {
            fs::write(path, blessed).unwrap_or_else(|e| panic!("{shown}: {e}"));
        }
        return;
    }
    assert!(wrong.is_empty(), "{wrong}\n(BLESS=1 takes what was found as expected)");
}

fn render(output: &str) -> String {
    if output.lines().any(|line| line.is_empty() || line == SEPARATOR) {
        format!("{SEPARATOR}\n{SEPARATOR}\n{output}{SEPARATOR}\n{SEPARATOR}\n\n")
    } else {
        format!("{SEPARATOR}\n{output}\n")
    }
}

/// The blocks of a script, and the comments after the last.
fn parse(text: &str) -> Result<(Vec<Block>, String), String> {
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line)).peekable();
    let mut blocks = Vec::new();
    let mut lead = String::new();
    while let Some((number, line)) = lines.next() {
        let _ = writeln!(lead, "{line}");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let command = words.next().ok_or_else(|| format!("line {number} has only spaces"))?;
        let mut input = String::new();
        loop {
            match lines.next() {
                None => return Err(format!("line {number}: `{command}` has no `{SEPARATOR}`")),
                Some((_, SEPARATOR)) => break,
                Some((_, line)) => {
                    let _ = writeln!(input, "{line}");
                }
            }
        }
        lead.push_str(&input);
        let double = lines.next_if(|(_, line)| *line == SEPARATOR).is_some();
        let mut expected = String::new();
        loop {
            match lines.next() {
                None if double => return Err(format!("line {number}: the output's end is missing")),
                None => break,
                Some((_, "")) if !double => break,
                Some((_, SEPARATOR)) if double && lines.peek().is_some_and(|(_, line)| *line == SEPARATOR) => {
                    lines.next();
                    lines.next_if(|(_, line)| line.is_empty());
                    break;
                }
                Some((_, line)) => {
                    let _ = writeln!(expected, "{line}");
                }
            }
        }
        let case = Case { line: number, command, args: words.collect(), input };
        blocks.push(Block { lead: std::mem::take(&mut lead), case, expected });
    }
    Ok((blocks, lead))
}
