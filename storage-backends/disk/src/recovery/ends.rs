//! Where a recovered log begins and ends.

use watershed_model::Offset;

use super::{Recovery, Scan};

impl Recovery<'_> {
    pub(super) fn settle_start(&self, start: Option<Offset>, scan: &Scan) -> Offset {
        let first = scan.segments.front().map(|e| e.facts.base);
        match (start, self.bad_states.is_empty()) {
            (Some(start), true) => start,
            // Without its state file a log begins where its files do, or where the note of synced ends says.
            (Some(start), false) => start.min(scan.next).max(first.unwrap_or(start)),
            (None, _) => first.unwrap_or(Offset::ZERO),
        }
    }

    pub(super) fn settle_end(&mut self, scan: &Scan, start: Offset) -> Offset {
        let end = scan.next.max(start);
        let reported = self.report.damage.iter().any(|d| d.promised && d.offsets.end >= self.promised);
        if end < self.promised && !reported {
            let reason = "the log ends before what had been made durable".to_owned();
            self.damage(end..self.promised, 0, reason, true);
        }
        end
    }
}
