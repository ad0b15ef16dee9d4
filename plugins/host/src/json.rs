//! One field out of a JSON document, found without reading the rest of it into memory.
//!
//! The walk judges what stands before the field as strictly as a parser does. It jumps over texts, which is most of what it passes,
//! and allocates only where a text or a name has escapes, or where a document is deeper than [`FRAMES`].

use std::borrow::Cow;

use memchr::memchr2;

/// How deep a path may go.
pub const JSON_PATH_DEPTH_MAX: usize = 16;

/// How deep what is passed may be before its depth takes memory.
const FRAMES: usize = 64;

/// One field of a JSON document: `path` is names of fields (and numbers of elements, from 0) with dots between them.
///
/// A text comes as its characters, anything else as it stands in the document (`17`, `true`, `{"a":1}`). `None` where there is
/// no such field, it is null, the path is deeper than [`JSON_PATH_DEPTH_MAX`], or what stands before it is no JSON. What
/// stands behind it is not looked at. Of two fields with one name the first counts.
#[must_use]
pub fn json<'a>(document: &'a [u8], path: &str) -> Option<Cow<'a, [u8]>> {
    if path.bytes().filter(|byte| *byte == b'.').count() >= JSON_PATH_DEPTH_MAX {
        return None;
    }
    let mut walk = Walk { document, at: 0 };
    for step in path.split('.') {
        walk.enter(step)?;
    }
    let raw = walk.value()?;
    let text = std::str::from_utf8(raw).ok()?;
    match raw {
        [b'n', ..] => None,
        [b'"', inner @ .., b'"'] if memchr::memchr(b'\\', inner).is_none() => Some(Cow::Borrowed(inner)),
        [b'"', ..] => serde_json::from_str(text).ok().map(|text: String| Cow::Owned(text.into_bytes())),
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// A place in a document. What returns an option returns `None` where the document is no JSON, or has no such field.
struct Walk<'a> {
    document: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn peek(&self) -> Option<u8> {
        self.document.get(self.at).copied()
    }

    /// The next byte that is no white space; the walk stands before it.
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Takes this token, which must come next.
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.token()? == byte).then(|| self.at += 1)
    }

    /// Goes on to the value of a field or element of the one that comes next.
    fn enter(&mut self, step: &str) -> Option<()> {
        match self.token()? {
            b'{' => self.field(step),
            b'[' => self.element(step),
            _ => None,
        }
    }

    fn field(&mut self, wanted: &str) -> Option<()> {
        self.take(b'{')?;
        loop {
            // An object that ends here does not have the field.
            self.take(b'"')?;
            let begin = self.at;
            self.rest_of_text()?;
            let name = std::str::from_utf8(&self.document[begin..self.at - 1]).ok()?;
            let is_it = if name.contains('\\') {
                let name: String = serde_json::from_slice(&self.document[begin - 1..self.at]).ok()?;
                name == wanted
            } else {
                name == wanted
            };
            self.take(b':')?;
            if is_it {
                return Some(());
            }
            self.value()?;
            self.take(b',')?;
        }
    }

    fn element(&mut self, index: &str) -> Option<()> {
        let index: usize = index.parse().ok()?;
        self.take(b'[')?;
        for _ in 0..index {
            self.value()?;
            self.take(b',')?;
        }
        Some(())
    }

    /// Passes the value that comes next, and gives its bytes.
    fn value(&mut self) -> Option<&'a [u8]> {
        self.token()?;
        let begin = self.at;
        let mut open = Frames::default();
        loop {
            match self.token()? {
                b'"' => {
                    self.at += 1;
                    self.rest_of_text()?;
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    let (is_object, end) = (bracket == b'{', if bracket == b'{' { b'}' } else { b']' });
                    if self.token()? == end {
                        self.at += 1;
                    } else {
                        open.push(is_object);
                        if is_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                _ => return None,
            }
            // A value has ended, and with it perhaps some that it is in.
            loop {
                let Some(is_object) = open.last() else { return Some(&self.document[begin..self.at]) };
                let byte = self.token()?;
                self.at += 1;
                match byte {
                    b',' if is_object => break self.name()?,
                    b',' => break,
                    b'}' if is_object => open.pop(),
                    b']' if !is_object => open.pop(),
                    _ => return None,
                }
            }
        }
    }

    /// Passes a field's name and its colon.
    fn name(&mut self) -> Option<()> {
        self.take(b'"')?;
        self.rest_of_text()?;
        self.take(b':')
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.document[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    /// Passes a text whose first quote was taken.
    fn rest_of_text(&mut self) -> Option<()> {
        loop {
            let rest = &self.document[self.at..];
            let end = memchr2(b'"', b'\\', rest)?;
            // Control characters must be escaped. The least byte, because that is found without a branch a byte.
            if rest[..end].iter().fold(b' ', |least, byte| least.min(*byte)) < b' ' {
                return None;
            }
            self.at += end + 1;
            if rest[end] == b'"' {
                return Some(());
            }
            match self.peek()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                b'u' => {
                    let digits = self.document.get(self.at + 1..self.at + 5)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    self.at += 5;
                }
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                return None;
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// Passes digits, at least one.
    fn digits(&mut self) -> Option<()> {
        let count = self.document[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }
}

/// What a value is in: an object, or else an array, the innermost last.
#[derive(Default)]
struct Frames {
    depth: usize,
    /// A bit each for the outer ones.
    outer: u64,
    deeper: Vec<bool>,
}

impl Frames {
    fn push(&mut self, is_object: bool) {
        if self.depth < FRAMES {
            let bit = 1 << self.depth;
            self.outer = if is_object { self.outer | bit } else { self.outer & !bit };
        } else {
            self.deeper.push(is_object);
        }
        self.depth += 1;
    }

    fn last(&self) -> Option<bool> {
        let last = self.depth.checked_sub(1)?;
        Some(if last < FRAMES { self.outer & (1 << last) != 0 } else { *self.deeper.last()? })
    }

    fn pop(&mut self) {
        self.depth -= 1;
        if self.depth >= FRAMES {
            self.deeper.pop();
        }
    }
}

#[cfg(test)]
mod tests;
