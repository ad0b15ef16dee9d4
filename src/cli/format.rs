//! How a consumed record is printed.

use std::io::{self, Write};

use serde_json::{Value, json};
use watershed_model::record::Record;
use watershed_model::{Offset, Timestamp};

use super::text::{bytes_to_json, unescape};

/// A record with its place.
#[derive(Clone, Copy, Debug)]
pub struct Consumed<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: Offset,
    /// The timestamp.
    pub timestamp: Timestamp,
    /// The record.
    pub record: &'a Record<'a>,
}

/// A parsed `--format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    Json,
    /// The values' bytes and nothing else.
    Raw,
    /// A pattern.
    Pattern(Vec<Part>),
}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Literal(Vec<u8>),
    /// `%t`
    Topic,
    /// `%p`
    Partition,
    /// `%o`
    Offset,
    /// `%T`, in milliseconds.
    Timestamp,
    /// `%k`
    Key,
    /// `%K`, -1 for null.
    KeyBytes,
    /// `%s`
    Value,
    /// `%S`, -1 for null.
    ValueBytes,
    /// `%h`, as `name=value,…`
    Headers,
}

impl Format {
    /// Parses `json`, `raw`, or a pattern of `%t %p %o %T %k %K %s %S %h %%` and escapes.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "json" => return Ok(Self::Json),
            "raw" => return Ok(Self::Raw),
            _ => {}
        }
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                literal.push(c);
                continue;
            }
            let part = match chars.next() {
                Some('%') => {
                    literal.push('%');
                    continue;
                }
                Some('t') => Part::Topic,
                Some('p') => Part::Partition,
                Some('o') => Part::Offset,
                Some('T') => Part::Timestamp,
                Some('k') => Part::Key,
                Some('K') => Part::KeyBytes,
                Some('s') => Part::Value,
                Some('S') => Part::ValueBytes,
                Some('h') => Part::Headers,
                _ => return Err("after % one of t p o T k K s S h % is expected".to_owned()),
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(unescape(&literal)?));
                literal.clear();
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(unescape(&literal)?));
        }
        Ok(Self::Pattern(parts))
    }

    /// Writes a record; nulls as `null`.
    ///
    /// # Errors
    /// If `out` cannot be written to.
    pub fn write(&self, out: &mut dyn Write, consumed: &Consumed<'_>, null: &[u8]) -> io::Result<()> {
        let record = consumed.record;
        match self {
            Self::Json => writeln!(out, "{}", to_json(consumed)),
            Self::Raw => out.write_all(record.value.unwrap_or_default()),
            Self::Pattern(parts) => {
                for part in parts {
                    match part {
                        Part::Literal(bytes) => out.write_all(bytes)?,
                        Part::Topic => out.write_all(consumed.topic.as_bytes())?,
                        Part::Partition => write!(out, "{}", consumed.partition)?,
                        Part::Offset => write!(out, "{}", consumed.offset)?,
                        Part::Timestamp => write!(out, "{}", consumed.timestamp)?,
                        Part::Key => out.write_all(record.key.unwrap_or(null))?,
                        Part::KeyBytes => write_length(out, record.key)?,
                        Part::Value => out.write_all(record.value.unwrap_or(null))?,
                        Part::ValueBytes => write_length(out, record.value)?,
                        Part::Headers => write_headers(out, record, null)?,
                    }
                }
                Ok(())
            }
        }
    }
}

fn write_length(out: &mut dyn Write, bytes: Option<&[u8]>) -> io::Result<()> {
    match bytes {
        Some(bytes) => write!(out, "{}", bytes.len()),
        None => write!(out, "-1"),
    }
}

fn write_headers(out: &mut dyn Write, record: &Record<'_>, null: &[u8]) -> io::Result<()> {
    for (i, (name, value)) in record.headers.iter().enumerate() {
        if i > 0 {
            out.write_all(b",")?;
        }
        out.write_all(name)?;
        out.write_all(b"=")?;
        out.write_all(value.unwrap_or(null))?;
    }
    Ok(())
}

fn to_json(consumed: &Consumed<'_>) -> Value {
    let record = consumed.record;
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| json!([bytes_to_json(Some(name)), bytes_to_json(value)]));
    json!({
        "topic": consumed.topic, "partition": consumed.partition, "offset": consumed.offset.0,
        "timestamp": consumed.timestamp.0, "key": bytes_to_json(record.key), "value": bytes_to_json(record.value),
        "headers": headers.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use watershed_model::record::{BatchBuilder, NewRecord, RecordBatch};

    use super::*;

    #[test]
    fn records_are_printed_as_the_format_says() {
        let mut builder = BatchBuilder::new();
        let headers = [(&b"a"[..], Some(&b"1"[..])), (b"a", None)];
        builder.push(Timestamp(5), NewRecord { key: Some(b"k\xff"), value: Some(b"v"), headers: &headers });
        builder.push(Timestamp(6), NewRecord::default());
        let mut bytes = builder.build().unwrap();
        let batch = RecordBatch::split_from(&mut bytes).unwrap();
        let print = |format: &str| {
            let format = Format::parse(format).unwrap();
            let mut out = Vec::new();
            let mut records = batch.records().unwrap();
            while let Some(record) = records.next().unwrap() {
                let (offset, timestamp) = (batch.offset_of(&record), batch.timestamp_of(&record));
                let consumed = Consumed { topic: "t", partition: 2, offset, timestamp, record: &record };
                format.write(&mut out, &consumed, b"NULL").unwrap();
            }
            out
        };
        assert_eq!(print(r"%t/%p/%o/%T %s|%S|%K|%h%%\n"), b"t/2/0/5 v|1|2|a=1,a=NULL%\nt/2/1/6 NULL|-1|-1|%\n");
        assert_eq!(print("%k"), b"k\xffNULL");
        assert_eq!(print("raw"), b"v");
        let lines = String::from_utf8(print("json")).unwrap();
        let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(first["key"], json!({ "base64": "a/8=" }));
        assert_eq!(first["headers"], json!([["a", "1"], ["a", null]]));
        for bad in ["%", "%x", r"\q"] {
            assert!(Format::parse(bad).is_err(), "{bad}");
        }
    }
}
