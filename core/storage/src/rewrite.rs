//! What every backend checks of frames that are to take the place of a segment's.

use watershed_model::{LeaderEpoch, Offset};

use crate::{Frame, SegmentMeta, StorageError};

/// Says why these frames cannot be written into a segment with this base and end behind a frame of this end and epoch; every
/// backend checks the same of a [`SegmentRewrite`].
///
/// # Errors
/// [`StorageError::Invalid`].
pub fn check_rewritten(
    segment: &SegmentMeta,
    mut behind: (Offset, LeaderEpoch),
    frames: &[Frame],
) -> Result<(Offset, LeaderEpoch), StorageError> {
    for Frame { meta, head, body } in frames {
        let (next, epoch) = behind;
        if meta.base < next.max(segment.base) || meta.last < meta.base || meta.last >= segment.end || meta.epoch < epoch
        {
            return Err(StorageError::Invalid(format!(
                "a frame of offsets {} to {} of epoch {} cannot follow {next} of epoch {epoch} in a segment of {} to {}",
                meta.base, meta.last, meta.epoch, segment.base, segment.end
            )));
        }
        if meta.len as usize != head.len() + body.len() {
            let (len, has) = (meta.len, head.len() + body.len());
            return Err(StorageError::Invalid(format!("the frame at {} says {len} bytes and has {has}", meta.base)));
        }
        behind = (meta.last.plus(1), meta.epoch);
    }
    Ok(behind)
}
