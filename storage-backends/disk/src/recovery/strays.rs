//! Files of segments that recovery finds and that are no part of the log.

use watershed_model::Offset;
use watershed_storage::StorageError;

use super::{Found, Listing, QUARANTINE_SUFFIX, Recovery};
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, file_name};
use crate::state::Manifest;

impl Recovery<'_> {
    /// Drops a whole segment that lies behind a torn place: nothing in it was promised.
    pub(super) fn drop_torn(&mut self, found: &Found) -> Result<(), StorageError> {
        if found.size > 0 {
            let name = found.name(LOG_SUFFIX);
            let reason = format!("{name} lies behind a torn frame");
            self.damage(found.base..found.base, found.size, reason, false);
        }
        self.unlink(&found.name(LOG_SUFFIX))?;
        self.unlink(&found.name(INDEX_SUFFIX))
    }

    /// Removes files of rewrites that were not completed, and of segments before they were rewritten. One file a segment stays
    /// in the listing, the one that counts.
    pub(super) fn drop_superseded(
        &mut self,
        listing: &mut Listing,
        manifest: Option<&Manifest>,
    ) -> Result<(), StorageError> {
        for (base, there) in &mut listing.logs {
            let counts = Manifest::which(manifest, *base, there);
            let listed = manifest.is_some_and(|m| m.segments.iter().any(|s| s.base.0 == *base));
            if counts.is_none() && listed {
                // The file that counts is missing: nobody throws away what may be all that is left.
                there.clear();
                continue;
            }
            for rewrites in std::mem::take(there) {
                if Some(rewrites) == counts {
                    there.insert(rewrites);
                } else {
                    self.drop_decided(Offset(*base), rewrites)?;
                }
            }
        }
        listing.logs.retain(|_, there| !there.is_empty());
        let stray: Vec<(i64, u32)> = (listing.indexes.iter().copied())
            .filter(|(base, rewrites)| *rewrites > 0 && !listing.logs.get(base).is_some_and(|l| l.contains(rewrites)))
            .collect();
        for (base, rewrites) in stray {
            self.unlink(&file_name(Offset(base), rewrites, INDEX_SUFFIX))?;
        }
        Ok(())
    }

    /// Removes a segment's files because the state file says so. After a kill that decision itself may be in the page cache only,
    /// and must not be lost in a power cut that keeps the removal.
    pub(super) fn drop_decided(&mut self, base: Offset, rewrites: u32) -> Result<(), StorageError> {
        if !std::mem::replace(&mut self.names_durable, true) {
            self.sync_dir(&self.dir)?;
        }
        self.unlink(&file_name(base, rewrites, LOG_SUFFIX))?;
        self.unlink(&file_name(base, rewrites, INDEX_SUFFIX))
    }

    /// Sets a segment aside that begins below the end of the one before it: no offset lies in two files, so one of them is
    /// of another history, and the log may not end lower for it.
    pub(super) fn set_overlap_aside(&mut self, found: &Found, next: Offset) -> Result<(), StorageError> {
        let name = found.name(LOG_SUFFIX);
        let aside = format!("{name}{QUARANTINE_SUFFIX}");
        let moved = self.shared.fs.rename(&self.dir.join(&name), &self.dir.join(&aside));
        moved.map_err(|e| self.error("renaming", &name, e))?;
        self.names_changed = true;
        let reason = format!("{name} begins below {next}, where the segment before it ends; set aside in {aside}");
        self.damage(next..next, found.size, reason, true);
        self.unlink(&found.name(INDEX_SUFFIX))
    }
}
