//! `watershed plugin new`: a working plugin to begin from.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

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

/// The languages that there are templates in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    Luau,
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
/// [`Exit::Exists`] where there is something already, [`Exit::Failure`] where it cannot be written.
pub(super) fn run(args: &New, ui: Ui) -> Result<(), CliError> {
    let Language::Luau = args.lang;
    let name = args.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !is_name {
        let message = "the directory's name becomes the plugin's: a-z, A-Z, 0-9, '-', '_' and '.'";
        return Err(CliError::new(Exit::Usage, message));
    }
    if args.dir.exists() {
        return Err(CliError::new(Exit::Exists, format!("{} is there already", args.dir.display())));
    }
    let template = template(args.hook);
    let script = format!("{name}.luau");
    std::fs::create_dir_all(&args.dir).map_err(|error| failed(&args.dir, &error))?;
    for (file, text) in [
        (script.as_str(), template.script),
        (super::FIXTURES, template.fixtures),
        ("watershed.toml", template.config),
        ("README.md", README),
    ] {
        let path = args.dir.join(file);
        std::fs::write(&path, text.replace("NAME", &name)).map_err(|error| failed(&path, &error))?;
    }
    let dir = args.dir.display();
    ui.line(&format!("{dir}/{script}: change it, then"))?;
    ui.line(&format!("  watershed plugin test {dir}/{script}"))?;
    ui.line(&format!("  watershed check --config {dir}/watershed.toml"))?;
    Ok(ui.line(&format!("  watershed serve --config {dir}/watershed.toml"))?)
}

fn failed(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(Exit::Failure, format!("{} cannot be written: {error}", path.display()))
}

/// What a directory begins with; `NAME` stands for the plugin's name.
struct Template {
    script: &'static str,
    fixtures: &'static str,
    config: &'static str,
}

macro_rules! template {
    ($dir:literal) => {
        Template {
            script: include_str!(concat!("templates/", $dir, "/plugin.luau")),
            fixtures: include_str!(concat!("templates/", $dir, "/fixtures.yaml")),
            config: include_str!(concat!("templates/", $dir, "/watershed.toml")),
        }
    };
}

const README: &str = include_str!("templates/README.md");

fn template(hook: TemplateHook) -> Template {
    match hook {
        TemplateHook::Interceptor => template!("interceptor"),
        TemplateHook::OrderingKey => template!("ordering-key"),
        TemplateHook::Partitioner => template!("partitioner"),
        TemplateHook::FetchFilter => template!("fetch-filter"),
        TemplateHook::Retention => template!("retention"),
        TemplateHook::RecordRetention => template!("record-retention"),
        TemplateHook::Assignor => template!("assignor"),
        TemplateHook::TopicPolicy => template!("topic-policy"),
    }
}
