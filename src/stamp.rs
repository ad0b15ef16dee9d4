//! Whose records these are: the data directory carries the cluster's id.
//!
//! Partitions without a topic are leftovers of deletions and are removed at start. That is right only while the metadata is
//! the one the records were written under: if it was lost or swapped, every partition would look like a leftover. So a
//! directory whose stamp and metadata disagree is not opened.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use watershed_model::ClusterId;

/// The stamp's file in the data directory.
const FILE: &str = "cluster-id";

/// A data directory that must not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StampError {
    /// Records without their metadata.
    #[error(
        "{dir} holds records of cluster {stamp}, but its metadata is gone: restore {dir}/metadata, or move the \
         records away to start a new cluster"
    )]
    MetadataLost {
        /// The data directory.
        dir: PathBuf,
        /// The records' cluster.
        stamp: ClusterId,
    },
    /// Records and metadata of two clusters.
    #[error(
        "{dir} holds records of cluster {stamp} and metadata of cluster {metadata}: put back the metadata that belongs \
         to the records"
    )]
    Mixed {
        /// The data directory.
        dir: PathBuf,
        /// The records' cluster.
        stamp: ClusterId,
        /// The metadata's cluster.
        metadata: ClusterId,
    },
    /// The stamp cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The stamp's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What the directory says, before the metadata is opened.
pub(crate) fn read(data_dir: &Path, metadata_dir: &Path) -> Result<Option<ClusterId>, StampError> {
    let path = data_dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StampError::Io { path, source }),
    };
    let bad = |error| StampError::Io { path: path.clone(), source: io::Error::new(io::ErrorKind::InvalidData, error) };
    let stamp: ClusterId = text.trim().parse().map_err(bad)?;
    let has_metadata = fs::read_dir(metadata_dir).is_ok_and(|mut entries| entries.next().is_some());
    if !has_metadata {
        return Err(StampError::MetadataLost { dir: data_dir.to_owned(), stamp });
    }
    Ok(Some(stamp))
}

/// Compares the stamp with the metadata; a directory without one gets it, durably.
pub(crate) fn check(data_dir: &Path, stamp: Option<ClusterId>, metadata: ClusterId) -> Result<(), StampError> {
    match stamp {
        Some(stamp) if stamp == metadata => Ok(()),
        Some(stamp) => Err(StampError::Mixed { dir: data_dir.to_owned(), stamp, metadata }),
        None => write(data_dir, metadata).map_err(|source| StampError::Io { path: data_dir.join(FILE), source }),
    }
}

fn write(data_dir: &Path, id: ClusterId) -> io::Result<()> {
    let temporary = data_dir.join(format!("{FILE}.tmp"));
    let mut file = File::create(&temporary)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&temporary, data_dir.join(FILE))?;
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_are_never_taken_for_another_clusters() {
        let dir = tempfile::tempdir().unwrap();
        let metadata = dir.path().join("metadata");
        let (ours, other) = (watershed_model::TopicId([1; 16]), watershed_model::TopicId([2; 16]));
        assert!(read(dir.path(), &metadata).unwrap().is_none());
        check(dir.path(), None, ours).unwrap();
        assert!(matches!(read(dir.path(), &metadata), Err(StampError::MetadataLost { .. })));
        fs::create_dir(&metadata).unwrap();
        fs::write(metadata.join("db"), "x").unwrap();
        let stamp = read(dir.path(), &metadata).unwrap();
        assert_eq!(stamp, Some(ours));
        check(dir.path(), stamp, ours).unwrap();
        assert!(matches!(check(dir.path(), stamp, other), Err(StampError::Mixed { .. })));
    }
}
