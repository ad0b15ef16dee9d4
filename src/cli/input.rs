//! Records out of a stream of bytes: cut at a delimiter, then key, headers and null taken from each piece.
//!
//! Cutting is literal: the pieces joined by the delimiter are the input again, so what goes in can come out byte for byte.

use std::io::{self, BufRead, Read};

use serde_json::Value;

use super::text::bytes_from_json;

/// A header of a record: its key and its value, which may be null.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// A record as the input describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputRecord {
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<Header>,
    /// The partition, if the input names one.
    pub partition: Option<i32>,
    /// The timestamp in milliseconds, if the input has one.
    pub timestamp: Option<i64>,
    /// How many bytes of the input it took, delimiter included.
    pub consumed: usize,
}

/// How a piece of the input becomes a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Text, by the rules of [`TextLayout`].
    Text(TextLayout),
    /// A JSON object, as `consume --format json` prints it.
    Json,
}

/// The parts of a textual record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextLayout {
    /// The key ends and the value begins here.
    pub key_separator: Option<Vec<u8>>,
    /// The key is the rest of the first line that begins so; the value stays whole.
    pub key_from: Option<Vec<u8>>,
    /// Every record's key.
    pub key: Option<Vec<u8>>,
    /// Every record's headers.
    pub headers: Vec<Header>,
    /// A key or value of exactly these bytes is null.
    pub null_marker: Option<Vec<u8>>,
    /// The delimiter stays at the end of the value.
    pub keep_delimiter: bool,
}

/// Why no record could be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The input cannot be read.
    #[error("cannot read the input: {0}")]
    Read(#[from] io::Error),
    /// A piece is longer than a record may be.
    #[error("record {number} is longer than {max} bytes; is the delimiter right?")]
    TooLong {
        /// Which, from 1.
        number: u64,
        /// The limit in bytes.
        max: usize,
    },
    /// A piece is not a record.
    #[error("record {number}: {reason}")]
    Malformed {
        /// Which, from 1.
        number: u64,
        /// What is expected.
        reason: String,
    },
}

/// Cuts a stream into records.
pub struct Records<R> {
    reader: R,
    delimiter: Vec<u8>,
    layout: Layout,
    bytes_max: usize,
    number: u64,
}

impl<R: BufRead> Records<R> {
    /// Cuts at `delimiter`; an empty one makes the whole input one record. No piece may exceed `bytes_max`.
    pub fn new(reader: R, delimiter: Vec<u8>, layout: Layout, bytes_max: usize) -> Self {
        Self { reader, delimiter, layout, bytes_max, number: 0 }
    }

    /// The next record, or `None` at the end. An empty piece between two delimiters is a record; nothing after the last
    /// delimiter is none.
    ///
    /// # Errors
    /// [`InputError`].
    pub fn next_record(&mut self) -> Result<Option<InputRecord>, InputError> {
        let mut piece = Vec::new();
        if !self.read_piece(&mut piece)? {
            return Ok(None);
        }
        self.number += 1;
        let consumed = piece.len();
        let whole = !self.delimiter.is_empty() && piece.ends_with(&self.delimiter);
        let keep = matches!(&self.layout, Layout::Text(text) if text.keep_delimiter);
        if whole && !keep {
            piece.truncate(consumed - self.delimiter.len());
        }
        let record = match &self.layout {
            Layout::Text(text) => Ok(text.record(piece)),
            Layout::Json => from_json(&piece),
        };
        let record = record.map_err(|reason| InputError::Malformed { number: self.number, reason })?;
        Ok(Some(InputRecord { consumed, ..record }))
    }

    /// Reads up to and with the next delimiter, or to the end; false if there was nothing.
    fn read_piece(&mut self, piece: &mut Vec<u8>) -> Result<bool, InputError> {
        let limit = (self.bytes_max + self.delimiter.len()) as u64 + 1;
        loop {
            let room = limit - piece.len() as u64;
            let read = match self.delimiter.last() {
                None => self.reader.by_ref().take(room).read_to_end(piece)?,
                Some(last) => self.reader.by_ref().take(room).read_until(*last, piece)?,
            };
            if piece.len() as u64 >= limit {
                return Err(InputError::TooLong { number: self.number + 1, max: self.bytes_max });
            }
            if read == 0 {
                return Ok(!piece.is_empty());
            }
            if !self.delimiter.is_empty() && piece.ends_with(&self.delimiter) {
                return Ok(true);
            }
        }
    }
}

impl TextLayout {
    fn record(&self, piece: Vec<u8>) -> InputRecord {
        let null = |bytes: Vec<u8>| Some(bytes).filter(|b| self.null_marker.as_ref() != Some(b));
        let (mut key, mut value) = (self.key.clone(), piece);
        if let Some(at) = self.key_separator.as_ref().and_then(|s| Some((find(&value, s)?, s.len()))) {
            let rest = value.split_off(at.0 + at.1);
            value.truncate(at.0);
            key = null(std::mem::replace(&mut value, rest));
        }
        if let Some(prefix) = &self.key_from {
            let mut lines = value.split(|b| *b == b'\n');
            let found = lines.find_map(|line| line.strip_prefix(&prefix[..]));
            key = found.map(|k| k.strip_suffix(b"\r").unwrap_or(k).to_vec()).or(key);
        }
        InputRecord { key, value: null(value), headers: self.headers.clone(), ..InputRecord::default() }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

fn from_json(piece: &[u8]) -> Result<InputRecord, String> {
    let value: Value = serde_json::from_slice(piece).map_err(|e| format!("it is no JSON: {e}"))?;
    let object = value.as_object().ok_or("a JSON object is expected")?;
    let part =
        |name: &str| bytes_from_json(object.get(name).unwrap_or(&Value::Null)).map_err(|e| format!("{name}: {e}"));
    let number = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(n) => n.as_i64().map(Some).ok_or_else(|| format!("{name}: a whole number is expected")),
    };
    let mut headers = Vec::new();
    for header in object.get("headers").and_then(Value::as_array).into_iter().flatten() {
        let [key, value] = header.as_array().map_or(&[][..], |pair| pair) else {
            return Err("headers: pairs of key and value are expected".to_owned());
        };
        let key = bytes_from_json(key).map_err(|e| format!("headers: {e}"))?.ok_or("headers: a key is null")?;
        headers.push((key, bytes_from_json(value).map_err(|e| format!("headers: {e}"))?));
    }
    let partition = number("partition")?.map(i32::try_from).transpose();
    Ok(InputRecord {
        key: part("key")?,
        value: part("value")?,
        headers,
        partition: partition.map_err(|_| "partition: the number is too large".to_owned())?,
        timestamp: number("timestamp")?,
        consumed: 0,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(input: &[u8], delimiter: &[u8], layout: TextLayout) -> Vec<(Option<String>, Option<String>)> {
        let mut records = Records::new(input, delimiter.to_vec(), Layout::Text(layout), 1000);
        let mut out = Vec::new();
        while let Some(record) = records.next_record().unwrap() {
            let text = |b: Option<Vec<u8>>| b.map(|b| String::from_utf8(b).unwrap());
            out.push((text(record.key), text(record.value)));
        }
        out
    }

    fn values(input: &[u8], delimiter: &[u8]) -> Vec<String> {
        read(input, delimiter, TextLayout::default()).into_iter().map(|(_, v)| v.unwrap()).collect()
    }

    #[test]
    fn pieces_are_cut_literally() {
        assert_eq!(values(b"", b"\n"), Vec::<String>::new());
        assert_eq!(values(b"a\n\nb", b"\n"), ["a", "", "b"]);
        assert_eq!(values(b"a\n", b"\n"), ["a"]);
        assert_eq!(values(b"a\nb\n\nc\n\n", b"\n\n"), ["a\nb", "c"]);
        assert_eq!(values(b"a\n\n\nb", b"\n\n"), ["a", "\nb"]);
        assert_eq!(values(b"a\nb\n", b""), ["a\nb\n"]);
        // What is cut and joined again is the input, whatever it is.
        for input in ["x\n\n", "\n\n\n\n", "p\nq\n\n\n\nr\n\n"] {
            let joined: String = values(input.as_bytes(), b"\n\n").iter().map(|v| format!("{v}\n\n")).collect();
            assert_eq!(joined, input);
        }
    }

    #[test]
    fn keys_and_nulls() {
        let layout = TextLayout {
            key_separator: Some(b": ".to_vec()),
            null_marker: Some(b"NULL".to_vec()),
            ..TextLayout::default()
        };
        let some = |s: &str| Some(s.to_owned());
        let expect = [
            (some("k"), some("v: w")),
            (some("k"), None),
            (None, some("v")),
            (None, some("no separator")),
            (None, None),
        ];
        assert_eq!(read(b"k: v: w\nk: NULL\nNULL: v\nno separator\nNULL", b"\n", layout), expect);

        let layout =
            TextLayout { key_from: Some(b"Package: ".to_vec()), keep_delimiter: true, ..TextLayout::default() };
        let input = b"Package: a\nX: 1\n\nX: 2\nPackage: b\r\n\nX: 3\n";
        let got = read(input, b"\n\n", layout.clone());
        // The line feed of "\r\n" is the first of the two that cut.
        assert_eq!(got[0], (some("a"), some("Package: a\nX: 1\n\n")));
        assert_eq!(got[1], (some("b"), some("X: 2\nPackage: b\r\n\n")));
        assert_eq!(got[2], (None, some("X: 3\n")));
    }

    #[test]
    fn a_piece_without_end_is_refused() {
        let mut records = Records::new(&[b'x'; 2000][..], b"\n".to_vec(), Layout::Text(TextLayout::default()), 1000);
        assert!(matches!(records.next_record(), Err(InputError::TooLong { number: 1, max: 1000 })));
        let exact = [vec![b'x'; 1000], b"\n".to_vec()].concat();
        let mut records = Records::new(&exact[..], b"\n".to_vec(), Layout::Text(TextLayout::default()), 1000);
        assert_eq!(records.next_record().unwrap().unwrap().value.unwrap().len(), 1000);
    }

    #[test]
    fn json_records() {
        let line =
            br#"{"key":{"base64":"/w=="},"value":null,"headers":[["a","1"],["a",null]],"partition":3,"timestamp":9}"#;
        let record = from_json(line).unwrap();
        assert_eq!(record.key, Some(vec![0xff]));
        assert_eq!((record.value, record.partition, record.timestamp), (None, Some(3), Some(9)));
        assert_eq!(record.headers, [(b"a".to_vec(), Some(b"1".to_vec())), (b"a".to_vec(), None)]);
        for bad in
            ["", "[]", r#"{"key":1}"#, r#"{"headers":[["a"]]}"#, r#"{"headers":[[null,"x"]]}"#, r#"{"partition":"x"}"#]
        {
            assert!(from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
