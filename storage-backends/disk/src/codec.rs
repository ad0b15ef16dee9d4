//! Big-endian numbers in small checksummed files, and how such a file is put in place.

use std::path::Path;

use crate::fs::{Fs, OpenMode, write_all};

/// Bytes of the checksum that ends each of our own files.
const CRC_BYTES: usize = 4;

/// Builds a file's content: a magic word, numbers, a CRC-32C of it all.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(magic: &[u8; 8]) -> Self {
        Self(magic.to_vec())
    }

    pub(crate) fn u8(&mut self, v: u8) {
        self.0.push(v);
    }

    pub(crate) fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, v: i32) {
        self.0.extend_from_slice(&v.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, v: i64) {
        self.0.extend_from_slice(&v.to_be_bytes());
    }

    /// Ends the content with its checksum.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let crc = crc32c::crc32c(&self.0);
        self.0.extend_from_slice(&crc.to_be_bytes());
        self.0
    }
}

/// Takes such content apart. Every step says `None` where the bytes end early.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Checks magic word and checksum of `bytes`, which end with the checksum.
    pub(crate) fn open(bytes: &'a [u8], magic: &[u8; 8]) -> Result<Self, String> {
        let Some((content, crc)) = bytes.split_last_chunk::<CRC_BYTES>() else {
            return Err(format!("{} bytes are too few", bytes.len()));
        };
        let Some(rest) = content.strip_prefix(magic) else {
            return Err("it does not begin as such a file does".into());
        };
        let (said, found) = (u32::from_be_bytes(*crc), crc32c::crc32c(content));
        if said != found {
            return Err(format!("the checksum is {found:08x}, the file says {said:08x}"));
        }
        Ok(Self(rest))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// A count of things that take at least `each` bytes; `None` when so many cannot follow.
    pub(crate) fn count(&mut self, each: usize) -> Option<usize> {
        let n = self.u32()? as usize;
        (n.checked_mul(each)? <= self.0.len()).then_some(n)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why [`put_file`] failed.
pub(crate) enum PutError {
    /// Before any sync: nothing changed, the same may be tried again.
    Write(std::io::Error),
    /// A sync failed: what is on the medium is unknown.
    Sync(std::io::Error),
}

/// The ending of files that are being written; what is found with it at a start is removed.
pub(crate) const TEMP_SUFFIX: &str = ".tmp";

/// Writes `parts` one after another to `<dir>/<name>`: temporary file, `fdatasync`, rename. The caller syncs the directory.
pub(crate) fn put_file(fs: &dyn Fs, dir: &Path, name: &str, parts: &[&[u8]]) -> Result<(), PutError> {
    let temp = dir.join(format!("{name}{TEMP_SUFFIX}"));
    let written = (|| {
        let file = fs.open(&temp, OpenMode::Truncate)?;
        let mut pos = 0;
        for part in parts {
            write_all(&*file, pos, part)?;
            pos += part.len() as u64;
        }
        Ok(file)
    })();
    let file = match written {
        Ok(file) => file,
        Err(e) => {
            // Removing the leftover is a courtesy; the next start does it too.
            let _ = fs.unlink(&temp);
            return Err(PutError::Write(e));
        }
    };
    file.sync_data().map_err(PutError::Sync)?;
    fs.rename(&temp, &dir.join(name)).map_err(PutError::Write)
}
