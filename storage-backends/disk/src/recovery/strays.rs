//! Segments that recovery finds and that are no part of the log.

use watershed_model::Offset;
use watershed_storage::StorageError;

use super::{Found, QUARANTINE_SUFFIX, Recovery};
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, file_name};

impl Recovery<'_> {
    /// Drops a whole segment that lies behind a torn place: nothing in it was promised.
    pub(super) fn drop_torn(&mut self, found: &Found) -> Result<(), StorageError> {
        if found.size > 0 {
            let name = file_name(found.base, LOG_SUFFIX);
            let reason = format!("{name} lies behind a torn frame");
            self.damage(found.base..found.base, found.size, reason, false);
        }
        self.unlink(&file_name(found.base, LOG_SUFFIX))?;
        self.unlink(&file_name(found.base, INDEX_SUFFIX))
    }

    /// Sets a segment aside that begins below the end of the one before it: no offset lies in two files, so one of them is
    /// of another history, and the log may not end lower for it.
    pub(super) fn set_overlap_aside(&mut self, found: &Found, next: Offset) -> Result<(), StorageError> {
        let name = file_name(found.base, LOG_SUFFIX);
        let aside = format!("{name}{QUARANTINE_SUFFIX}");
        let moved = self.shared.fs.rename(&self.dir.join(&name), &self.dir.join(&aside));
        moved.map_err(|e| self.error("renaming", &name, e))?;
        self.names_changed = true;
        let reason = format!("{name} begins below {next}, where the segment before it ends; set aside in {aside}");
        self.damage(next..next, found.size, reason, true);
        self.unlink(&file_name(found.base, INDEX_SUFFIX))
    }
}
