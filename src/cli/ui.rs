//! How commands talk: results on standard output, everything else on standard error; colours and progress bars only where a
//! person looks.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Where and how a command writes.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    /// Results as JSON.
    pub json: bool,
    colour: bool,
    progress: bool,
}

impl Ui {
    /// For this process. `NO_COLOR` (no-color.org) turns colours off.
    #[must_use]
    pub fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            json,
            colour: !json && !plain && io::stdout().is_terminal(),
            progress: !json && io::stderr().is_terminal(),
        }
    }

    /// Prints one line of result.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{text}")
    }

    /// Prints a result as JSON, on one line.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn json(&self, value: &serde_json::Value) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{value}")
    }

    /// Says something that is not a result.
    pub fn note(&self, text: &str) {
        // With standard error gone there is nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Emphasised, on a terminal.
    #[must_use]
    pub fn strong(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// In the background, on a terminal.
    #[must_use]
    pub fn faint(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// As a warning, on a terminal.
    #[must_use]
    pub fn warning(&self, text: &str) -> String {
        self.paint("33", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Whether a live line on standard error makes sense.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.progress
    }

    /// A progress bar over `bytes`, drawn only on a terminal.
    #[must_use]
    pub fn bar(&self, bytes: Option<u64>) -> ProgressBar {
        if !self.progress {
            return ProgressBar::hidden();
        }
        let (bar, template) = match bytes {
            Some(total) => (ProgressBar::new(total), "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}"),
            None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec} {msg}"),
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is a constant that a test parses"));
        bar
    }

    /// A table with aligned columns and a heading.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn table(&self, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let mut widths: Vec<_> = head.iter().map(|h| h.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let format = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (cell, width) in cells.zip(&widths) {
                let _ = write!(line, "{cell:<width$}  ");
            }
            line.trim_end().to_owned()
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{}", self.strong(&format(&mut head.iter().copied())))?;
        for row in rows {
            writeln!(out, "{}", format(&mut row.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}

/// A size for people.
#[must_use]
pub fn bytes(n: u64) -> String {
    indicatif::BinaryBytes(n).to_string()
}

/// A duration for people, in milliseconds.
#[must_use]
pub fn millis(d: Duration) -> String {
    format!("{:.2} ms", d.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_can_be_drawn() {
        let ui = Ui { json: false, colour: false, progress: true };
        ui.bar(Some(10)).finish_and_clear();
        ui.bar(None).finish_and_clear();
    }

    #[test]
    fn colours_need_a_terminal() {
        let ui = Ui { json: false, colour: false, progress: false };
        assert_eq!(ui.strong("x"), "x");
        let ui = Ui { colour: true, ..ui };
        assert_eq!(ui.strong("x"), "\x1b[1mx\x1b[0m");
    }
}
