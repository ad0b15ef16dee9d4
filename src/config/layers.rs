//! The layers and their precedence: file, environment, command line; and the result with the place of each value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::Value;
use watershed_metadata::configs::{ConfigKind, Parts, broker_config_defs, describe_broker, nearest};

use super::check::{Checked, join, kafka_path};
use super::node::{Entry, Node, NodeValue, parse_file, parse_value};
use super::problem::{ConfigProblems, Place, PluginProblem, Problem};
use super::schema::{Field, Shape, Table};
use super::types::Config;
use super::validate;

/// The file that is read if none is named and it is in the working directory.
pub const DEFAULT_FILE: &str = "watershed.toml";

/// What the environment variables that are settings begin with.
pub const ENV_PREFIX: &str = "WATERSHED__";

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The file that was named (`--config`); without one, [`DEFAULT_FILE`] is read if it is there.
    pub file: Option<PathBuf>,
    /// The environment; variables that do not begin with [`ENV_PREFIX`] are not looked at.
    pub env: Vec<(OsString, OsString)>,
    /// Values of `--set`, each `a.b=value`, in the order given: the last of several wins.
    pub set: Vec<String>,
    /// The names of what this program was built with.
    pub parts: Parts,
}

/// A configuration that is valid in every respect.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
    places: BTreeMap<String, Place>,
}

/// One value in force and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The path, such as `storage.disk.flush`.
    pub key: String,
    /// The value as TOML would have it.
    pub value: String,
    /// Where it was given.
    pub place: Place,
}

/// Reads, checks and merges the configuration.
///
/// # Errors
/// Everything that is wrong with it, the file's lines first, then variables, then options.
pub fn load(inputs: &Inputs) -> Result<Loaded, ConfigProblems> {
    let mut checked = Checked::default();
    let mut builder = config::Config::builder();
    let mut places = BTreeMap::new();

    let (file, document) = read_file(inputs.file.as_deref()).map_err(ConfigProblems)?;
    let env = env_layer(&inputs.env, &mut checked.problems);
    let set = set_layer(&inputs.set, &mut checked.problems);
    for node in document.into_iter().chain([env, set]) {
        let layer = checked.table(&node, Config::FIELDS, "");
        builder = builder.add_source(Layer(layer));
        merge_places(&mut places, std::mem::take(&mut checked.places));
    }

    let merged = builder.build().and_then(config::Config::try_deserialize::<Config>);
    match merged {
        Ok(mut config) => {
            validate::resolve_plugin_files(&mut config, file.as_deref());
            let later = validate::problems(&config, &places, &inputs.parts);
            let later: Vec<_> = later.into_iter().filter(|p| !follows_from(p, &checked.problems)).collect();
            checked.problems.extend(later);
            if checked.problems.is_empty() {
                return Ok(Loaded { config, file, places });
            }
        }
        // With problems already, what is left need not be whole.
        Err(error) if checked.problems.is_empty() => {
            checked.problems.push(Problem::new(&Place::Default, "", error.to_string()));
        }
        Err(_) => {}
    }
    // In the order a reader goes through them: the file by lines, then variables, then options.
    checked.problems.sort_by(|a, b| a.place.cmp(&b.place));
    Err(ConfigProblems(checked.problems))
}

/// Whether a contradiction may be only the shadow of a value that was already reported: one of its table.
fn follows_from(problem: &Problem, earlier: &[Problem]) -> bool {
    let parent = |key: &str| key.rsplit_once('.').map_or(String::new(), |(parent, _)| parent.to_owned());
    let table = if problem.key.starts_with("kafka.") { "kafka".to_owned() } else { parent(&problem.key) };
    earlier.iter().any(|e| e.key == table || (!table.is_empty() && e.key.starts_with(&table)) || e.key == problem.key)
}

fn merge_places(places: &mut BTreeMap<String, Place>, layer: BTreeMap<String, Place>) {
    for key in layer.keys() {
        // A list replaces the list of a weaker layer as a whole.
        if Config::FIELDS.iter().any(|f| f.name == key && matches!(f.shape, Shape::Tables(_))) {
            let items = format!("{key}[");
            places.retain(|path, _| !path.starts_with(&items));
        }
    }
    places.extend(layer);
}

#[derive(Clone, Debug)]
struct Layer(config::Map<String, Value>);

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

fn read_file(named: Option<&Path>) -> Result<(Option<PathBuf>, Option<Node>), Vec<Problem>> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let at = Place::File { path: path.to_owned(), line: 0, column: 0 };
    let text = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok((None, None)),
        Err(error) => return Err(vec![Problem::new(&at, "", format!("the file cannot be read: {error}"))]),
    };
    let text = String::from_utf8(text).map_err(|_| vec![Problem::new(&at, "", "the file is not UTF-8 text")])?;
    Ok((Some(path.to_owned()), Some(parse_file(path, &text)?)))
}

/// A setting that can be given outside a file.
struct Target {
    path: Vec<String>,
    shape: TargetShape,
}

enum TargetShape {
    Ours(Shape),
    Kafkas(ConfigKind),
}

fn env_layer(env: &[(OsString, OsString)], problems: &mut Vec<Problem>) -> Node {
    let mut layer = Vec::new();
    let mut ours: Vec<_> = env
        .iter()
        .filter_map(|(name, value)| name.to_str().map(|name| (name, value)))
        .filter(|(name, _)| name.starts_with(ENV_PREFIX))
        .collect();
    ours.sort_unstable();
    for (name, value) in ours {
        let place = Place::Env(name.to_owned());
        let Some(text) = value.to_str() else {
            problems.push(Problem::new(&place, "", "the value is not UTF-8 text"));
            continue;
        };
        match env_targets().into_iter().find(|(known, _)| known == name) {
            Some((_, target)) => give(&mut layer, target, text, &place, problems),
            None => problems.push(unknown_env(name, &place)),
        }
    }
    Node { place: Place::Default, value: NodeValue::Table(layer) }
}

fn unknown_env(name: &str, place: &Place) -> Problem {
    let targets = env_targets();
    let within: Vec<_> = targets.iter().filter(|(known, _)| known.starts_with(&format!("{name}__"))).collect();
    let message = if let [(first, _), ..] = within[..] {
        format!("this is a table; its settings are set one by one, such as {first}")
    } else if targets.iter().any(|(known, _)| name.starts_with(&format!("{known}__"))) {
        "a list is set as a whole, as a TOML value".to_owned()
    } else {
        "there is no such setting".to_owned()
    };
    // Without the prefix that all share, a near name is really near.
    let bare = |name: &'_ str| name.trim_start_matches(ENV_PREFIX).to_owned();
    let known: Vec<_> = targets.iter().map(|(known, _)| bare(known)).collect();
    let near = if within.is_empty() { nearest(&bare(name), known.iter().map(String::as_str)) } else { None };
    let near = near.map(|near| format!("{ENV_PREFIX}{near}"));
    Problem::new(place, "", message).nearest(near.filter(|near| !name.starts_with(&format!("{near}__"))))
}

/// Every environment variable that is a setting.
fn env_targets() -> Vec<(String, Target)> {
    fn walk(fields: &'static [Field], path: &[String], targets: &mut Vec<(String, Target)>) {
        for field in fields {
            let mut path = path.to_vec();
            path.push(field.name.to_owned());
            match field.shape {
                Shape::Table(fields) => walk(fields, &path, targets),
                Shape::KafkaBroker => {
                    for def in broker_config_defs().iter().filter(|def| !def.ours) {
                        let name = format!("{}__{}", env_name(&path), def.name.replace('.', "_").to_uppercase());
                        let path = vec![field.name.to_owned(), def.name.to_owned()];
                        targets.push((name, Target { path, shape: TargetShape::Kafkas(def.kind) }));
                    }
                }
                shape => targets.push((env_name(&path), Target { path, shape: TargetShape::Ours(shape) })),
            }
        }
    }
    let mut targets = Vec::new();
    walk(Config::FIELDS, &[], &mut targets);
    targets
}

/// The environment variable of a setting.
pub(super) fn env_name(path: &[String]) -> String {
    format!("{ENV_PREFIX}{}", path.join("__").to_uppercase())
}

fn set_layer(options: &[String], problems: &mut Vec<Problem>) -> Node {
    let mut layer = Vec::new();
    for option in options {
        let Some((key, text)) = option.split_once('=') else {
            let place = Place::Set(option.clone());
            problems.push(Problem::new(&place, "", "\"key=value\" is expected, such as http.address=127.0.0.1:9292"));
            continue;
        };
        let place = Place::Set(key.to_owned());
        let dotted = key.replace('"', "");
        let is_named = |target: &Target| target.path.join(".") == dotted;
        let targets = env_targets();
        match targets.into_iter().map(|(_, target)| target).find(is_named) {
            Some(target) => give(&mut layer, target, text, &place, problems),
            None => {
                let known: Vec<_> = env_targets().iter().map(|(_, target)| target.path.join(".")).collect();
                let near = nearest(&dotted, known.iter().map(String::as_str));
                problems.push(Problem::new(&place, "", "there is no such setting").nearest(near));
            }
        }
    }
    Node { place: Place::Default, value: NodeValue::Table(layer) }
}

/// Puts a value that was given as a text where it belongs. The text is read as the setting's type, strictly.
fn give(layer: &mut Vec<Entry>, target: Target, text: &str, place: &Place, problems: &mut Vec<Problem>) {
    let scalar = |value: NodeValue| Node { place: place.clone(), value };
    let as_text = || NodeValue::Text(text.to_owned());
    let number = || text.parse().map_or_else(|_| as_text(), NodeValue::Integer);
    let node = match target.shape {
        TargetShape::Ours(Shape::Count(..)) => scalar(number()),
        TargetShape::Ours(Shape::Tables(_) | Shape::KafkaTopic | Shape::Free) => match parse_value(text, place) {
            Ok(node) => node,
            Err(found) => return problems.extend(found),
        },
        TargetShape::Ours(_) => scalar(as_text()),
        TargetShape::Kafkas(ConfigKind::Boolean) => scalar(text.parse().map_or_else(|_| as_text(), NodeValue::Flag)),
        TargetShape::Kafkas(ConfigKind::String | ConfigKind::List) => scalar(as_text()),
        TargetShape::Kafkas(ConfigKind::Double) => scalar(text.parse().map_or_else(|_| as_text(), NodeValue::Float)),
        TargetShape::Kafkas(_) => scalar(number()),
    };
    insert(layer, &target.path, node, place);
}

fn insert(entries: &mut Vec<Entry>, path: &[String], node: Node, place: &Place) {
    let [key, rest @ ..] = path else { return };
    let at = entries.iter().position(|entry| entry.key == *key);
    if rest.is_empty() {
        at.map(|at| entries.remove(at));
        entries.push(Entry { key: key.clone(), place: place.clone(), node });
        return;
    }
    let at = at.unwrap_or_else(|| {
        let empty = Node { place: place.clone(), value: NodeValue::Table(Vec::new()) };
        entries.push(Entry { key: key.clone(), place: place.clone(), node: empty });
        entries.len() - 1
    });
    if let NodeValue::Table(inner) = &mut entries[at].node.value {
        insert(inner, rest, node, place);
    }
}

impl Loaded {
    /// Problems that only showed when plugins were loaded, with their places.
    #[must_use]
    pub fn problems(&self, found: Vec<PluginProblem>) -> ConfigProblems {
        let at = |key: &str| {
            // Where the setting itself was left out, what it belongs to is the place.
            let mut key = key;
            loop {
                match (self.places.get(key), key.rfind(['.', '['])) {
                    (Some(place), _) => return place.clone(),
                    (None, Some(end)) => key = &key[..end],
                    (None, None) => return Place::Default,
                }
            }
        };
        let problem =
            |found: PluginProblem| Problem::new(&at(&found.key), found.key, found.message).nearest(found.nearest);
        ConfigProblems(found.into_iter().map(problem).collect())
    }

    /// Where the value with this path was given; [`Place::Default`] where it was not.
    #[must_use]
    pub fn place(&self, key: &str) -> Place {
        self.places.get(key).cloned().unwrap_or(Place::Default)
    }

    /// Every value in force, in the order of the documentation, Kafka's settings with their defaults too.
    #[must_use]
    pub fn effective(&self) -> Vec<Effective> {
        let values = serde_json::to_value(&self.config).expect("the configuration is plain data");
        let mut found = Vec::new();
        self.walk(Config::FIELDS, &values, "", &mut found);
        found
    }

    fn walk(&self, fields: &'static [Field], values: &serde_json::Value, path: &str, found: &mut Vec<Effective>) {
        for field in fields {
            let (key, value) = (join(path, field.name), &values[field.name]);
            match field.shape {
                Shape::Table(fields) => self.walk(fields, value, &key, found),
                Shape::Tables(fields) => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.walk(fields, item, &format!("{key}[{index}]"), found);
                    }
                }
                Shape::KafkaBroker => {
                    for entry in describe_broker(&self.config.broker_config()) {
                        let ours = broker_config_defs().iter().any(|def| def.ours && def.name == entry.name);
                        if let Some(value) = entry.value.filter(|_| !ours) {
                            let key = kafka_path(&key, entry.name);
                            let place = self.place(&key);
                            found.push(Effective { key, value, place });
                        }
                    }
                }
                Shape::KafkaTopic => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        let key = kafka_path(&key, name);
                        let place = self.place(&key);
                        found.push(Effective { key, value: plain(value), place });
                    }
                }
                _ if value.is_null() => {}
                _ => {
                    let place = self.place(&key);
                    found.push(Effective { key, value: plain(value), place });
                }
            }
        }
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
