//! `docs/config.md`, generated from the types and from the tables of Kafka's settings.

use std::fmt::Write;

use watershed_metadata::configs::{ConfigDef, Support, broker_config_defs, group_config_defs, topic_config_defs};

use super::check::join;
use super::layers::env_name;
use super::schema::{Field, Shape, Table};
use super::types::Config;

const INTRODUCTION: &str = "\
# Configuration

This page is generated from the program (`just docs` rewrites it, CI fails when it is stale).

Watershed reads, each stronger than the one before:

1. the built-in defaults;
2. one TOML file: the one named with `--config`, else `watershed.toml` in the working directory if it is there;
3. environment variables `WATERSHED__A__B`, two underscores for each step into a table: `WATERSHED__HTTP__ADDRESS`;
4. options `--set a.b=value`: `--set http.address=127.0.0.1:9393`.

Every setting is checked before anything starts: an unknown name, a value of the wrong type (`\"1\"` is not `1`) or a
combination that cannot work stops the start and is reported with its file and line, what is expected and the nearest
known name. `watershed check` reports the same without starting, `watershed config` prints every value in force and
where it came from.

A list (`listeners`, `groups`, `topics`) in a stronger layer replaces the whole list of a weaker one. In an environment variable
or a `--set` it is written as a TOML value.
";

/// The whole page.
#[must_use]
pub fn markdown() -> String {
    let defaults = serde_json::to_value(Config::default()).expect("the configuration is plain data");
    let mut page = INTRODUCTION.to_owned();
    section(&mut page, "Top level", "", Config::FIELDS, &defaults);
    page.push_str(
        "\n## Kafka's broker settings\n\nIn the table `[kafka]`, with their names in quotes, or as \
         `WATERSHED__KAFKA__NUM_PARTITIONS`, or `--set kafka.num.partitions=4`. Names that are not listed are errors: a \
         setting that would do nothing is not taken.\n\n",
    );
    kafka(&mut page, broker_config_defs());
    page.push_str(
        "\n## Topic settings\n\nSet when a topic is created, with Kafka's tools and `watershed topic alter`, or in the \
         `config` of a `[[topics]]` table. The column *Default from* names the broker settings that give the default, \
         the strongest first.\n\n",
    );
    kafka(&mut page, topic_config_defs());
    page.push_str(
        "\n## Group settings\n\nOf one consumer group (KIP-848), set with Kafka's tools: `kafka-configs --entity-type \
         groups`. A group may have them before it exists. The column *Default from* names the broker setting that gives \
         the default.\n\n",
    );
    kafka(&mut page, group_config_defs());
    page
}

fn section(page: &mut String, title: &str, path: &str, fields: &'static [Field], defaults: &serde_json::Value) {
    let _ = write!(page, "\n## {title}\n");
    for field in fields {
        let key = join(path, field.name);
        let (heading, default) = match field.shape {
            Shape::Table(_) | Shape::KafkaBroker => (format!("`[{key}]`"), None),
            Shape::Tables(_) => (format!("`[[{key}]]`"), None),
            _ => (format!("`{key}`"), Some(&defaults[field.name])),
        };
        let _ = write!(page, "\n### {heading}\n\n{}\n", field.doc.concat().trim());
        if matches!(field.shape, Shape::Table(_) | Shape::KafkaBroker) {
            continue;
        }
        let _ = write!(page, "\n- Value: {}", field.shape.expected());
        if !path.contains("[]") {
            let steps: Vec<String> = key.split('.').map(str::to_owned).collect();
            let _ = write!(page, "\n- Environment: `{}`", env_name(&steps));
        }
        match default {
            _ if field.required => page.push_str("\n- It has to be given."),
            Some(serde_json::Value::Null) | None => {}
            Some(value) => {
                let _ = write!(page, "\n- Default: `{value}`");
            }
        }
        page.push('\n');
    }
    for field in fields {
        let key = join(path, field.name);
        match field.shape {
            Shape::Table(inner) => section(page, &format!("`[{key}]`"), &key, inner, &defaults[field.name]),
            Shape::Tables(inner) => {
                let first = defaults[field.name].get(0).unwrap_or(&serde_json::Value::Null);
                section(page, &format!("`[[{key}]]`"), &format!("{key}[]"), inner, first);
            }
            _ => {}
        }
    }
}

fn kafka(page: &mut String, defs: &[ConfigDef]) {
    page.push_str("| Name | Type | Default | Allowed | Default from | Meaning |\n|---|---|---|---|---|---|\n");
    for def in defs.iter().filter(|def| !def.internal) {
        let default = match def.default {
            None => String::new(),
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let from: Vec<_> =
            def.synonyms.iter().filter(|s| s.name != def.name).map(|s| format!("`{}`", s.name)).collect();
        let allowed = match def.support {
            Support::Full => def.rule.expected(),
            Support::DefaultOnly(why) => format!("the default only: {why}"),
        };
        let kind = format!("{:?}", def.kind).to_lowercase();
        let _ =
            writeln!(page, "| `{}` | {kind} | {default} | {allowed} | {} | {} |", def.name, from.join(", "), def.doc);
    }
}
