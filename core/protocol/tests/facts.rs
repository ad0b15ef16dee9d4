//! Are our tables Kafka's?
//!
//! `facts.txt` holds the facts of Kafka's message definitions that matter on the wire, in a form of our own: names,
//! types, versions, nullability, tags, defaults. One test compares our structs with it, always. The other makes the
//! facts anew from `kafka-clients-4.2.0.jar` and compares those; the jar comes from `KAFKA_CLIENTS_JAR` or the local
//! Maven repository, and must be there where `CI` is set.
//!
//! To write the file from the jar: `UPDATE_FACTS=1 cargo test -p watershed-protocol --test facts`.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use watershed_protocol::ApiKey;
use watershed_protocol::api::ADVERTISED;
use watershed_protocol::messages::SCHEMAS;
use watershed_protocol::schema::{DefaultSchema, FieldSchema, Kind, StructSchema, TypeSchema};

const FACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/facts.txt");

const JAR_IN_MAVEN: &str = ".m2/repository/org/apache/kafka/kafka-clients/4.2.0/kafka-clients-4.2.0.jar";

/// Messages that are there before their API is: the group coordinator keeps a transaction's offsets, the transactions come later.
const AHEAD: &[ApiKey] = &[
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::TxnOffsetCommit,
    ApiKey::DeleteGroups,
    ApiKey::OffsetDelete,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::ConsumerGroupDescribe,
];

type Jar = zip::ZipArchive<File>;

#[test]
fn our_tables_hold_the_committed_facts() {
    if std::env::var_os("UPDATE_FACTS").is_some() {
        return; // The other test is writing the file.
    }
    let committed = std::fs::read_to_string(FACTS).unwrap();
    same(&our_facts(), &committed, "our structs", "facts.txt");
}

#[test]
fn the_committed_facts_are_those_of_the_jar() {
    let Some(jar) = find_jar() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI is set and kafka-clients-4.2.0.jar is not there: set KAFKA_CLIENTS_JAR"
        );
        eprintln!("NOT RUN: no kafka-clients-4.2.0.jar. Set KAFKA_CLIENTS_JAR to compare facts.txt with it.");
        return;
    };
    let facts = jar_facts(&jar);
    if std::env::var_os("UPDATE_FACTS").is_some() {
        std::fs::write(FACTS, &facts).unwrap();
    }
    let committed = std::fs::read_to_string(FACTS).unwrap();
    same(&committed, &facts, "facts.txt", "the jar");
}

#[test]
fn every_advertised_api_has_its_messages_and_versions() {
    for (api, min, max) in ADVERTISED {
        let schemas: Vec<_> = SCHEMAS.iter().filter(|s| s.api == api.get()).collect();
        assert_eq!(schemas.len(), 2, "{api} needs a request and a response");
        let served = watershed_protocol::api::served(*api).unwrap();
        for schema in schemas {
            assert!(*min <= served.min() && served.max() == *max, "{api}");
            assert!(schema.versions.contains(served.min()) && schema.versions.contains(*max), "{api}");
            for version in served.min()..=*max {
                assert_eq!(api.is_flexible(version), schema.flexible.contains(version), "{api} v{version}");
            }
        }
    }
    for schema in SCHEMAS {
        let api = ApiKey::try_from(schema.api).unwrap();
        let is_advertised = ADVERTISED.iter().any(|(key, ..)| *key == api);
        assert!(is_advertised || AHEAD.contains(&api), "{api} has messages but is not advertised");
        assert!(schema.body.name.starts_with(api.name()), "{} is not {api}'s", schema.body.name);
    }
}

/// Fails with the first line in which the two differ.
fn same(left: &str, right: &str, left_name: &str, right_name: &str) {
    let mut owner = "";
    for (n, (a, b)) in left.lines().zip(right.lines()).enumerate() {
        if !a.starts_with(' ') {
            owner = a;
        }
        assert_eq!(a, b, "line {} differs ({left_name} left, {right_name} right), in {owner:?}", n + 1);
    }
    assert_eq!(left.lines().count(), right.lines().count(), "{left_name} and {right_name} differ in length");
}

fn our_facts() -> String {
    let mut facts = String::new();
    for schema in SCHEMAS {
        let kind = if schema.kind == Kind::Request { "request" } else { "response" };
        let (name, api, versions, flexible) = (schema.body.name, schema.api, schema.versions, schema.flexible);
        writeln!(facts, "{name} {kind} key {api} versions {versions} flexible {flexible}").unwrap();
        our_fields(&mut facts, 1, &schema.body);
    }
    for api in ApiKey::ALL {
        writeln!(facts, "api {} {api} flexible {}", api.get(), api.flexible_versions()).unwrap();
    }
    facts
}

fn our_fields(facts: &mut String, depth: usize, fields: &StructSchema) {
    for field in fields.fields {
        our_field(facts, depth, field);
        let mut ty = &field.ty;
        while let TypeSchema::Array(element) = ty {
            ty = element;
        }
        if let TypeSchema::Struct(inner) = ty {
            our_fields(facts, depth + 1, inner);
        }
    }
}

fn our_field(facts: &mut String, depth: usize, field: &FieldSchema) {
    write!(facts, "{:depth$}{} {} {}", "", field.name, type_name(&field.ty), field.versions).unwrap();
    if !field.nullable.is_empty() {
        write!(facts, " nullable {}", field.nullable).unwrap();
    }
    if let Some((tag, versions)) = field.tag {
        write!(facts, " tag {tag} {versions}").unwrap();
    }
    match field.default {
        DefaultSchema::Zero => {}
        DefaultSchema::Null => facts.push_str(" default null"),
        DefaultSchema::Bool(value) => write!(facts, " default {value}").unwrap(),
        DefaultSchema::Int(value) => write!(facts, " default {value}").unwrap(),
    }
    facts.push_str(if field.ignorable { " ignorable\n" } else { "\n" });
}

fn type_name(ty: &TypeSchema) -> String {
    match ty {
        TypeSchema::Array(element) => format!("[]{}", type_name(element)),
        TypeSchema::Struct(inner) => inner.name.to_owned(),
        simple => format!("{simple:?}").to_lowercase(),
    }
}

fn find_jar() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("KAFKA_CLIENTS_JAR") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "KAFKA_CLIENTS_JAR is {}, which is no file", path.display());
        return Some(path);
    }
    let path = Path::new(&std::env::var_os("HOME")?).join(JAR_IN_MAVEN);
    path.is_file().then_some(path)
}

fn jar_facts(jar: &Path) -> String {
    let mut jar = zip::ZipArchive::new(File::open(jar).unwrap()).unwrap();
    let mut facts = String::new();
    for schema in SCHEMAS {
        let message = definition(&mut jar, &format!("common/message/{}.json", schema.body.name));
        let text = |key: &str| message[key].as_str().unwrap();
        let (name, kind, key) = (text("name"), text("type"), &message["apiKey"]);
        let (versions, flexible) = (text("validVersions"), text("flexibleVersions"));
        writeln!(facts, "{name} {kind} key {key} versions {versions} flexible {flexible}").unwrap();
        let common = message["commonStructs"].as_array().cloned().unwrap_or_default();
        let common = common.iter().map(|c| (c["name"].as_str().unwrap(), &c["fields"])).collect();
        jar_fields(&mut facts, 1, &message["fields"], &common);
    }
    facts.push_str(&jar_apis(&mut jar));
    facts
}

/// Every API in the jar, by number, with its flexible versions; an API that Kafka has removed has none.
fn jar_apis(jar: &mut Jar) -> String {
    let is_request = |path: &String| path.starts_with("common/message/") && path.ends_with("Request.json");
    let paths: Vec<_> = jar.file_names().map(|path| path.unwrap().into_owned()).filter(is_request).collect();
    let mut apis = BTreeMap::new();
    for path in paths {
        let message = definition(jar, &path);
        let key = message["apiKey"].as_i64().unwrap();
        let name = message["name"].as_str().unwrap().trim_end_matches("Request");
        let flexible = message["flexibleVersions"].as_str().unwrap_or("none");
        apis.insert(key, format!("api {key} {name} flexible {flexible}\n"));
    }
    apis.into_values().collect()
}

fn definition(jar: &mut Jar, path: &str) -> Value {
    let mut text = String::new();
    jar.by_name(path).unwrap().read_to_string(&mut text).unwrap();
    serde_json::from_str(&without_comments(&text)).unwrap()
}

fn jar_fields(facts: &mut String, depth: usize, fields: &Value, common: &HashMap<&str, &Value>) {
    for field in fields.as_array().unwrap() {
        let text = |key: &str| field[key].as_str();
        let ty = text("type").unwrap();
        let name = snake_case(text("name").unwrap());
        write!(facts, "{:depth$}{name} {ty} {}", "", text("versions").unwrap()).unwrap();
        if let Some(versions) = text("nullableVersions") {
            write!(facts, " nullable {versions}").unwrap();
        }
        if let Some(tag) = field["tag"].as_u64() {
            write!(facts, " tag {tag} {}", text("taggedVersions").unwrap()).unwrap();
        }
        if let Some(default) = jar_default(&field["default"]) {
            write!(facts, " default {default}").unwrap();
        }
        facts.push_str(if field["ignorable"] == true { " ignorable\n" } else { "\n" });
        let element = ty.trim_start_matches("[]");
        if let Some(inner) = Some(&field["fields"]).filter(|f| f.is_array()).or(common.get(element).copied()) {
            jar_fields(facts, depth + 1, inner, common);
        }
    }
}

/// A default in our spelling; none where it is the type's own.
fn jar_default(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.as_str() {
        "" | "0" | "false" => None,
        "null" | "true" => Some(text),
        _ => Some(match text.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).unwrap().to_string(),
            None => text.parse::<i64>().unwrap().to_string(),
        }),
    }
}

/// Kafka's names in the spelling of our fields.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut last = 'A';
    for c in name.chars() {
        if last.is_ascii_lowercase() && !c.is_ascii_lowercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
        last = c;
    }
    snake
}

/// JSON without the `//` comments that Kafka's files have.
fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        let (mut quoted, mut escaped, mut end) = (false, false, line.len());
        for (i, c) in line.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '/' if !quoted && line[i..].starts_with("//") => {
                    end = i;
                    break;
                }
                _ => {}
            }
        }
        plain.push_str(&line[..end]);
        plain.push('\n');
    }
    plain
}

#[test]
fn comments_are_taken_out_and_links_are_not() {
    assert_eq!(without_comments("// a\n{\"b\": \"http://c\\\"//\"} // d"), "\n{\"b\": \"http://c\\\"//\"} \n");
    assert_eq!(snake_case("Enable2Pc"), "enable_2pc");
    assert_eq!(snake_case("timeoutMs"), "timeout_ms");
}
