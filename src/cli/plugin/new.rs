//! `watershed plugin new`: a working project to begin from.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::build::PROJECT;
use super::file::FIXTURES;
use crate::cli::exit::{CliError, Exit};
use crate::cli::ui::Ui;

/// The hooks that there are templates for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TemplateHook {
    Interceptor,
    OrderingKey,
    Partitioner,
    FetchFilter,
    Retention,
    RecordRetention,
    Assignor,
    TopicPolicy,
}

impl TemplateHook {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// The languages that there are templates in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    /// A script; nothing is built
    Luau,
    /// A component of some tens of KB; needs cargo and wasm-tools
    Rust,
    /// A component of some KB; needs clang, wasm-ld and wasm-tools
    C,
    /// A component of 12 MB; needs componentize-js, from npm
    Js,
    /// A component of 18 MB; needs componentize-py, from PyPI
    Python,
}

impl Language {
    /// What it is called on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// `watershed plugin new`
#[derive(Debug, clap::Args)]
pub struct New {
    /// The directory to make; its name is the plugin's
    dir: PathBuf,
    /// The language
    #[arg(long, value_enum, default_value = "luau")]
    lang: Language,
    /// The hook that it serves
    #[arg(long, value_enum)]
    hook: TemplateHook,
}

/// Writes the directory.
///
/// # Errors
/// [`Exit::Usage`] where there is no such template, [`Exit::Exists`] where there is something already, [`Exit::Failure`] where
/// it cannot be written.
pub(super) fn run(args: &New, ui: Ui) -> Result<(), CliError> {
    let name = args.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !begins || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        let message = "the directory's name becomes the plugin's: a letter, then a-z, A-Z, 0-9, '-' and '_'";
        return Err(CliError::new(Exit::Usage, message));
    }
    let files = project(args.lang, args.hook)?;
    if args.dir.exists() {
        return Err(CliError::new(Exit::Exists, format!("{} is there already", args.dir.display())));
    }
    for (file, text) in files {
        let path = args.dir.join(file.replace("NAME", &name));
        let dir = path.parent().unwrap_or(&args.dir);
        std::fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
        std::fs::write(&path, text.replace("NAME", &name)).map_err(|error| failed(&path, &error))?;
    }
    let dir = args.dir.display();
    let (source, plugin) = match args.lang {
        Language::Luau => (format!("{name}.luau"), format!("{name}.luau")),
        Language::Rust => ("src/lib.rs".to_owned(), format!("{name}.wasm")),
        Language::C => ("plugin.c".to_owned(), format!("{name}.wasm")),
        Language::Js => ("plugin.js".to_owned(), format!("{name}.wasm")),
        Language::Python => ("src/plugin.py".to_owned(), format!("{name}.wasm")),
    };
    ui.line(&format!("{dir}/{source}: change it, then"))?;
    if args.lang != Language::Luau {
        ui.line(&format!("  watershed plugin build {dir}"))?;
    }
    ui.line(&format!("  watershed plugin test {dir}/{plugin}"))?;
    ui.line(&format!("  watershed check --config {dir}/watershed.toml"))?;
    Ok(ui.line(&format!("  watershed serve --config {dir}/watershed.toml"))?)
}

fn failed(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(Exit::Failure, format!("{} cannot be written: {error}", path.display()))
}

/// What a directory begins with; `NAME` stands for the plugin's name.
#[derive(Clone, Copy)]
struct Template {
    fixtures: &'static str,
    config: &'static str,
    luau: &'static str,
    /// In Rust, C, JavaScript and Python.
    compiled: Option<[&'static str; 4]>,
}

macro_rules! template {
    ($dir:literal, $compiled:expr) => {
        Template {
            fixtures: include_str!(concat!("templates/", $dir, "/fixtures.yaml")),
            config: include_str!(concat!("templates/", $dir, "/watershed.toml")),
            luau: include_str!(concat!("templates/", $dir, "/plugin.luau")),
            compiled: $compiled,
        }
    };
    ($dir:literal) => {
        template!(
            $dir,
            Some([
                include_str!(concat!("templates/", $dir, "/plugin.rs")),
                include_str!(concat!("templates/", $dir, "/plugin.c")),
                include_str!(concat!("templates/", $dir, "/plugin.js")),
                include_str!(concat!("templates/", $dir, "/plugin.py")),
            ])
        )
    };
}

fn template(hook: TemplateHook) -> Template {
    match hook {
        TemplateHook::Interceptor => template!("interceptor"),
        TemplateHook::OrderingKey => template!("ordering-key"),
        TemplateHook::Partitioner => template!("partitioner"),
        TemplateHook::FetchFilter => template!("fetch-filter"),
        TemplateHook::Retention => template!("retention", None),
        TemplateHook::RecordRetention => template!("record-retention", None),
        TemplateHook::Assignor => template!("assignor", None),
        TemplateHook::TopicPolicy => template!("topic-policy", None),
    }
}

const README: &str = include_str!("templates/README.md");
const WIT: [(&str, &str); 4] = [
    ("wit/hooks.wit", include_str!("../../../plugins/wasm/wit/hooks.wit")),
    ("wit/host.wit", include_str!("../../../plugins/wasm/wit/host.wit")),
    ("wit/types.wit", include_str!("../../../plugins/wasm/wit/types.wit")),
    ("wit/worlds.wit", include_str!("../../../plugins/wasm/wit/worlds.wit")),
];

/// A guest that brings an interpreter along needs more than others.
const LIMITS: &str = r#"limits = { memory = "64MiB", budget = "50ms" }"#;
const FIXTURE_LIMITS: &str = "limits: { memory: 64MiB, budget: 50ms }\n";

/// The files of a project: path and text.
fn project(language: Language, hook: TemplateHook) -> Result<Vec<(&'static str, String)>, CliError> {
    let Template { fixtures, config, luau, compiled } = template(hook);
    let (lang, hook_name) = (language.name(), hook.name());
    let description = format!("name = \"NAME\"\nlanguage = \"{lang}\"\nworld = \"{hook_name}-plugin\"\n");
    let mut files = vec![(PROJECT, description), (FIXTURES, fixtures.to_owned())];
    if language == Language::Luau {
        files.extend([("NAME.luau", luau), ("watershed.toml", config), ("README.md", README)].map(owned));
        return Ok(files);
    }
    let Some([rust, c, js, python]) = compiled else {
        let with = TemplateHook::value_variants().iter().filter(|hook| template(**hook).compiled.is_some());
        let with: Vec<_> = with.map(|hook| hook.name()).collect();
        let message = format!(
            "there is no template in {lang} for the hook {hook_name}: there are {}; in luau there is one for every hook",
            with.join(", ")
        );
        return Err(CliError::new(Exit::Usage, message));
    };
    files.extend(WIT.map(owned));
    let mut config = config.replace("NAME.luau", "NAME.wasm");
    match language {
        Language::Luau => {}
        Language::Rust => files.extend(
            [
                ("Cargo.toml", include_str!("templates/rust/manifest.toml")),
                ("src/lib.rs", rust),
                ("src/columns.rs", include_str!("templates/rust/columns.rs")),
                ("README.md", include_str!("templates/rust/README.md")),
                (".gitignore", "/target\n"),
            ]
            .map(owned),
        ),
        Language::C => files.extend(
            [
                ("plugin.c", c),
                ("plugin.h", include_str!("templates/c/plugin.h")),
                ("README.md", include_str!("templates/c/README.md")),
                (".gitignore", "/target\n"),
            ]
            .map(owned),
        ),
        Language::Python => files.extend(
            [
                ("src/plugin.py", python),
                ("src/columns.py", include_str!("templates/python/columns.py")),
                ("requirements.txt", include_str!("templates/python/requirements.txt")),
                ("README.md", include_str!("templates/python/README.md")),
                (".gitignore", "/.venv\n/NAME.wasm\n"),
            ]
            .map(owned),
        ),
        Language::Js => files.extend(
            [
                ("plugin.js", js),
                ("columns.js", include_str!("templates/js/columns.js")),
                ("package.json", include_str!("templates/js/package.json")),
                ("README.md", include_str!("templates/js/README.md")),
                (".gitignore", "/node_modules\n/NAME.wasm\n"),
            ]
            .map(owned),
        ),
    }
    if matches!(language, Language::Js | Language::Python) {
        config = config.replace("NAME.wasm\"", &format!("NAME.wasm\"\n{LIMITS}"));
        files[1].1.insert_str(0, FIXTURE_LIMITS);
    }
    files.push(("watershed.toml", config));
    Ok(files)
}

fn owned((path, text): (&'static str, &'static str)) -> (&'static str, String) {
    (path, text.to_owned())
}
