//! State files: writing them for rolls and checkpoints, and reading blobs back.

use std::sync::Arc;

use bytes::Bytes;
use watershed_model::Offset;
use watershed_storage::{Blob, StorageError};

use super::{Book, Checkpoint, Log, State};
use crate::codec::{PutError, put_file};
use crate::fs::{OpenMode, read_full};
use crate::index::Index;
use crate::segment::Segment;
use crate::state::{BlobRef, Facts, Manifest, PREFIX_BYTES};

/// How many of the newest blobs of a kind are kept.
const BLOBS_NEWEST_KEPT: usize = 2;

/// How many more of a kind are kept where they belong to the beginning of a segment, so that a deep truncation still
/// finds one to begin from.
const BLOBS_AT_SEGMENTS_KEPT: usize = 8;

/// What a state file is to say about the log.
pub(super) struct Snapshot {
    pub(super) start: Offset,
    pub(super) recovery_point: Offset,
    pub(super) segments: Vec<Facts>,
    /// Of which a rewrite leaves nothing.
    pub(super) gone: Vec<Offset>,
    pub(super) cuts: u64,
}

impl State {
    /// What is durable now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let synced = self.ends.synced;
        let mut segments = Vec::with_capacity(self.segments.len());
        for entry in &self.segments {
            if entry.facts.base == self.synced.base {
                if self.synced.bytes == 0 {
                    continue;
                }
                segments
                    .push(Facts { sealed: entry.facts.sealed && entry.facts.end == self.synced.end, ..self.synced });
            } else if entry.facts.end <= synced && entry.facts.bytes > 0 {
                segments.push(entry.facts);
            }
        }
        Snapshot { start: self.ends.start, recovery_point: synced, segments, gone: Vec::new(), cuts: self.cuts }
    }
}

/// Which blobs stay: the newest of each kind, and some at segment boundaries.
fn kept(mut blobs: Vec<BlobRef>, segments: &[Facts]) -> Vec<BlobRef> {
    // Newest first; of two at one place the later written.
    blobs.sort_by_key(|b| std::cmp::Reverse((b.kind, b.at, b.seq, b.pos)));
    blobs.dedup_by_key(|b| (b.kind, b.at));
    let mut kind = None;
    let (mut newest, mut at_segments) = (0, 0);
    blobs.retain(|blob| {
        if kind != Some(blob.kind) {
            (kind, newest, at_segments) = (Some(blob.kind), 0, 0);
        }
        newest += 1;
        if newest <= BLOBS_NEWEST_KEPT {
            return true;
        }
        let boundary = segments.binary_search_by_key(&blob.at, |s| s.base).is_ok();
        at_segments += usize::from(boundary);
        boundary && at_segments <= BLOBS_AT_SEGMENTS_KEPT
    });
    blobs
}

impl Log {
    /// Has the checkpoints whose data is durable written. The caller holds `state`.
    pub(super) fn start_checkpoints(self: &Arc<Self>, st: &mut State) {
        if !st.checkpointing {
            st.checkpointing = true;
            let log = Arc::clone(self);
            self.shared.work.spawn(move || log.run_checkpoints());
        }
    }

    pub(super) fn run_checkpoints(self: &Arc<Self>) {
        let mut book = self.book.lock();
        loop {
            let (due, snapshot) = {
                let mut st = self.state.lock();
                let synced = st.ends.synced;
                let mut due: Vec<Checkpoint> = Vec::new();
                while st.checkpoints.front().is_some_and(|c| c.end <= synced) {
                    due.extend(st.checkpoints.pop_front());
                }
                if due.is_empty() || st.gone {
                    st.checkpointing = false;
                    return;
                }
                (due, st.snapshot())
            };
            let (mut blobs, mut promises) = (Vec::new(), Vec::new());
            for checkpoint in due {
                blobs.extend(checkpoint.blobs);
                promises.push(checkpoint.promise);
            }
            let written = self.save_indexes().and_then(|()| self.write_state(&mut book, snapshot, &blobs));
            for promise in promises {
                match &written {
                    Ok(()) => promise.keep(),
                    Err(e) => promise.fail(e.clone()),
                }
            }
        }
    }

    /// Writes the index files of sealed segments that have none yet.
    fn save_indexes(&self) -> Result<(), StorageError> {
        let unsaved: Vec<(Arc<Segment>, Facts)> = {
            let st = self.state.lock();
            let synced = st.ends.synced;
            st.segments
                .iter()
                .filter(|e| !e.index_saved && e.facts.sealed && e.facts.end <= synced)
                .map(|e| (Arc::clone(&e.segment), e.facts))
                .collect()
        };
        for (segment, facts) in unsaved {
            let index = self.sealed_index(&segment, &facts)?;
            self.save_index(&segment, &index)?;
            let mut st = self.state.lock();
            let at = st.segment_of(facts.base);
            if Arc::ptr_eq(&st.segments[at].segment, &segment) {
                st.segments[at].index_saved = true;
            }
        }
        Ok(())
    }

    pub(super) fn save_index(&self, segment: &Segment, index: &Index) -> Result<(), StorageError> {
        let name = segment.index_path().file_name().unwrap_or_default().to_string_lossy();
        self.put(&name, &[&index.encode(segment.base)])
    }

    fn put(&self, name: &str, parts: &[&[u8]]) -> Result<(), StorageError> {
        put_file(&*self.shared.fs, &self.dir, name, parts).map_err(|e| {
            let path = self.dir.join(name);
            match e {
                PutError::Write(e) => self.shared.write_error(format!("writing {}", path.display()), e),
                PutError::Sync(e) => self.shared.go_offline(&format!("syncing {}", path.display()), &e),
            }
        })
    }

    /// Writes a state file, durable on return, and removes those it makes superfluous.
    pub(super) fn write_state(&self, book: &mut Book, snapshot: Snapshot, new: &[Blob]) -> Result<(), StorageError> {
        self.make_dir()?;
        let seq = book.seq + 1;
        let mut blobs = book.blobs.clone();
        let mut pos = 0;
        for blob in new {
            let len = u32::try_from(blob.bytes.len())
                .map_err(|_| StorageError::Invalid(format!("a blob of {} bytes", blob.bytes.len())))?;
            blobs.push(BlobRef { kind: blob.kind, at: blob.at, seq, pos, len, crc: crc32c::crc32c(&blob.bytes) });
            pos += u64::from(len);
        }
        let manifest = Manifest {
            seq,
            cuts: snapshot.cuts,
            start: snapshot.start,
            recovery_point: snapshot.recovery_point,
            blobs: kept(blobs, &snapshot.segments),
            segments: snapshot.segments,
            gone: snapshot.gone,
        };
        let same = book.newest.as_ref().is_some_and(|newest| {
            let seq = newest.seq;
            *newest == Manifest { seq, ..manifest.clone() }
        });
        if same {
            return Ok(());
        }
        let head = manifest.encode();
        let mut parts: Vec<&[u8]> = vec![&head];
        parts.extend(new.iter().map(|b| &b.bytes[..]));
        self.put(&Manifest::name(seq), &parts)?;
        let dir_fresh = self.state.lock().dir_fresh;
        self.sync_names(dir_fresh)?;
        book.seq = seq;
        book.files.insert(seq);
        book.blobs.clone_from(&manifest.blobs);
        book.newest = Some(manifest);
        self.drop_state_files(book);
        Ok(())
    }

    /// Removes state files that hold nothing which is still kept.
    fn drop_state_files(&self, book: &mut Book) {
        let needed = |n: u64| n == book.seq || book.blobs.iter().any(|b| b.seq == n);
        let old: Vec<u64> = book.files.iter().copied().filter(|n| !needed(*n)).collect();
        for n in old {
            let path = self.dir.join(Manifest::name(n));
            match self.shared.fs.unlink(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    // It is superfluous, not wrong: the next start tries again.
                    tracing::warn!(path = %path.display(), "cannot remove an old state file: {e}");
                }
                _ => {
                    book.files.remove(&n);
                }
            }
        }
    }

    pub(super) fn blob(&self, kind: u8, upto: Offset) -> Result<Option<Blob>, StorageError> {
        self.shared.check_online()?;
        self.state.lock().check()?;
        let book = self.book.lock();
        let mut candidates: Vec<BlobRef> =
            book.blobs.iter().filter(|b| b.kind == kind && b.at <= upto).copied().collect();
        candidates.sort_by_key(|b| std::cmp::Reverse(b.at));
        for found in candidates {
            match self.read_blob(&found) {
                Ok(bytes) => {
                    return Ok(Some(Blob { kind, at: found.at, bytes }));
                }
                // The layer above can rebuild its state from an older one, or from the records.
                Err(reason) => {
                    let file = self.dir.join(Manifest::name(found.seq));
                    tracing::error!(file = %file.display(), kind, at = found.at.0, "a blob is damaged: {reason}");
                }
            }
        }
        Ok(None)
    }

    fn read_blob(&self, blob: &BlobRef) -> Result<Bytes, String> {
        let path = self.dir.join(Manifest::name(blob.seq));
        let read = || -> std::io::Result<Option<Vec<u8>>> {
            let file = self.shared.fs.open(&path, OpenMode::Read)?;
            let mut prefix = [0; PREFIX_BYTES];
            let read = read_full(&*file, 0, &mut prefix)?;
            let Some(begin) = Manifest::blobs_at(&prefix[..read]) else {
                return Ok(None);
            };
            let pos = begin + blob.pos;
            if pos + u64::from(blob.len) > file.size()? {
                return Ok(None);
            }
            let mut bytes = vec![0; blob.len as usize];
            let read = read_full(&*file, pos, &mut bytes)?;
            bytes.truncate(read);
            Ok(Some(bytes))
        };
        match read() {
            Ok(Some(bytes)) if bytes.len() == blob.len as usize => {
                if crc32c::crc32c(&bytes) == blob.crc {
                    Ok(bytes.into())
                } else {
                    Err("the checksum does not match".into())
                }
            }
            Ok(_) => Err("the file ends early".into()),
            Err(e) => Err(e.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watershed_model::{LeaderEpoch, Timestamp};

    #[test]
    fn the_newest_blobs_and_those_at_segment_boundaries_stay() {
        let blob = |kind, at, seq| BlobRef { kind, at: Offset(at), seq, pos: 0, len: 0, crc: 0 };
        let segments: Vec<Facts> =
            (0..20).map(|n| Facts::empty(Offset(n * 10), LeaderEpoch(0), Timestamp(0))).collect();
        let mut blobs: Vec<BlobRef> = (0..40).map(|n| blob(1, n * 5, n as u64)).collect();
        blobs.push(blob(2, 7, 50));
        blobs.push(blob(1, 195, 51));
        let kept = kept(blobs, &segments);
        let of_one: Vec<i64> = kept.iter().filter(|b| b.kind == 1).map(|b| b.at.0).collect();
        assert_eq!(of_one, [195, 190, 180, 170, 160, 150, 140, 130, 120, 110]);
        assert!(kept.contains(&blob(1, 195, 51)) && kept.contains(&blob(2, 7, 50)));
    }
}
