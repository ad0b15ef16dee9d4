//! A layer as a tree of values that know where they stand.
//!
//! The `config` crate keeps no lines, so a TOML file is parsed here with its spans before anything else looks at it.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: NodeValue,
}

/// What TOML can say.
#[derive(Clone, Debug)]
pub(super) enum NodeValue {
    Text(String),
    Integer(i128),
    Float(f64),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table, its place and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl NodeValue {
    /// What the value is called in a message.
    pub(super) fn found(&self) -> String {
        match self {
            Self::Text(text) => format!("the text {text:?}"),
            Self::Integer(number) => format!("the number {number}"),
            Self::Float(number) => format!("the number {number:?}"),
            Self::Flag(flag) => flag.to_string(),
            Self::Date(date) => format!("the date {date}"),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
        }
    }
}

/// Parses a file. Syntax errors come back with their lines.
pub(super) fn parse_file(path: &Path, text: &str) -> Result<Node, Vec<Problem>> {
    let place = |at: usize| {
        let before = text.get(..at.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    };
    parse(text, &place)
}

/// Parses the text of one value that was given outside a file, such as a list in an environment variable.
pub(super) fn parse_value(text: &str, place: &Place) -> Result<Node, Vec<Problem>> {
    let document = parse(&format!("value = {text}"), &|_| place.clone())?;
    match document.value {
        NodeValue::Table(mut entries) if entries.len() == 1 => Ok(entries.remove(0).node),
        _ => Err(vec![Problem::new(place, "", "one value as in TOML is expected")]),
    }
}

fn parse(text: &str, place: &dyn Fn(usize) -> Place) -> Result<Node, Vec<Problem>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let start = document.span().start;
        return Ok(table(document.into_inner(), place(start), place));
    }
    let problem = |error: &toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let message = error.message().replace('\n', ", ");
        Problem::new(&place(at), "", format!("this is not TOML: {message}"))
    };
    Err(errors.iter().map(problem).collect())
}

fn table(table: DeTable<'_>, at: Place, place: &dyn Fn(usize) -> Place) -> Node {
    let mut entries: Vec<(usize, Entry)> = table
        .into_iter()
        .map(|(key, value)| {
            let start = key.span().start;
            let entry = Entry { key: key.into_inner().into_owned(), place: place(start), node: node(value, place) };
            (start, entry)
        })
        .collect();
    // In the order of the file, so that problems are reported in it.
    entries.sort_by_key(|(start, _)| *start);
    Node { place: at, value: NodeValue::Table(entries.into_iter().map(|(_, entry)| entry).collect()) }
}

fn node(value: Spanned<DeValue<'_>>, place: &dyn Fn(usize) -> Place) -> Node {
    let at = place(value.span().start);
    let value = match value.into_inner() {
        DeValue::String(text) => NodeValue::Text(text.into_owned()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            match i128::from_str_radix(&digits, number.radix()) {
                Ok(number) => NodeValue::Integer(number),
                Err(_) => NodeValue::Text(digits),
            }
        }
        DeValue::Float(number) => NodeValue::Float(number.as_str().replace('_', "").parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => NodeValue::Flag(flag),
        DeValue::Datetime(date) => NodeValue::Date(date.to_string()),
        DeValue::Array(items) => NodeValue::List(items.into_iter().map(|item| node(item, place)).collect()),
        DeValue::Table(inner) => return table(inner, at, place),
    };
    Node { place: at, value }
}
