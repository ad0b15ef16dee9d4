//! `watershed config`: every value in force and where it came from. Also the options by which every command that
//! needs the broker's configuration is told where it is.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;
use watershed_metadata::configs::Parts;

use crate::config::{ConfigProblems, Effective, Inputs, Loaded, Place, load};

/// Where the configuration is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigOptions {
    /// The configuration file [default: watershed.toml, if there is one here]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Sets one value, stronger than file and environment: --set http.address=127.0.0.1:9393
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigOptions {
    /// Loads the configuration of this process: the file, its environment and these options. `parts` are the
    /// names of what this program is built with.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self, parts: &Parts) -> Result<Loaded, ConfigProblems> {
        load(&Inputs {
            file: self.config.clone(),
            env: std::env::vars_os().collect(),
            set: self.set.clone(),
            parts: parts.clone(),
        })
    }
}

/// Prints every value in force with its place.
///
/// # Errors
/// When `out` cannot be written to.
pub fn print(loaded: &Loaded, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    let values = loaded.effective();
    if as_json {
        let rows: Vec<_> = values.iter().map(row).collect();
        return writeln!(out, "{}", serde_json::Value::from(rows));
    }
    let width = |text: fn(&Effective) -> &str| values.iter().map(|v| text(v).chars().count()).max().unwrap_or(0);
    let (keys, texts) = (width(|v| &v.key), width(|v| &v.value).min(40));
    for value in &values {
        writeln!(out, "{:<keys$}  {:<texts$}  {}", value.key, value.value, value.place)?;
    }
    Ok(())
}

fn row(value: &Effective) -> serde_json::Value {
    json!({ "key": value.key, "value": value.value, "from": place(&value.place) })
}

/// A place as JSON: what kind it is, and its file and line or its name.
pub(super) fn place(place: &Place) -> serde_json::Value {
    match place {
        Place::Default => json!({ "kind": "default" }),
        Place::File { path, line: 0, .. } => json!({ "kind": "file", "file": path }),
        Place::File { path, line, column } => {
            json!({ "kind": "file", "file": path, "line": line, "column": column })
        }
        Place::Env(name) => json!({ "kind": "environment", "name": name }),
        Place::Set(key) => json!({ "kind": "option", "name": key }),
    }
}
