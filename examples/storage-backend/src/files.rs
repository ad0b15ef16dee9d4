//! Small files that survive a power cut: whole or not at all, and guarded by a checksum.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes `dir/name` as a whole: a new file, synced, renamed over the old one. The directory is left to the caller.
pub(crate) fn replace(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.new"));
    let mut file = File::create(&temporary)?;
    file.write_all(&crc32c::crc32c(content).to_be_bytes())?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(name))
}

/// Reads a file that [`replace`] wrote; `None` where there is none.
pub(crate) fn read(dir: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut content = match fs::read(dir.join(name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let crc = content.first_chunk().copied().map(u32::from_be_bytes);
    if crc != Some(crc32c::crc32c(content.get(4..).unwrap_or_default())) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the checksum of {name} is wrong")));
    }
    content.drain(..4);
    Ok(Some(content))
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
