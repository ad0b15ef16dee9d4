//! The records of a fetched batch on their way out: the fetch filter.
//!
//! A batch of which everything is shown is sent as it lies in the log. Of others a copy is made, which still covers every
//! offset, so that a consumer goes on behind what it did not see.

use bytes::Bytes;
use watershed_hooks::{Batch, Client, Hook, Place, Records as Columns, Visibility, filter};
use watershed_model::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use watershed_model::record::{BatchHeader, HEADER_BYTES, RecordBatch, batches};

use crate::binding::{Binding, wrong_hook};
use crate::produce::Refusal;
use crate::rewrite::{Fate, rewrite};
use crate::slices::slices;

/// Who reads, and where.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: u32,
    /// Who asks.
    pub client: Client<'a>,
}

/// What a reader gets.
#[derive(Debug, Default)]
pub struct Revealed {
    /// The batches, one or more pieces each.
    pub batches: Vec<Bytes>,
    /// How many records are in them.
    pub records: u64,
    /// The offset behind the last batch; `None` where there is none.
    pub next_offset: Option<i64>,
}

/// Takes whole batches through a fetch filter.
///
/// # Errors
/// [`Refusal`]: why nothing of them may be read.
pub fn reveal(binding: &Binding, reader: &Reader<'_>, bytes: Bytes) -> Result<Revealed, Refusal> {
    let mut revealed = Revealed::default();
    for batch in batches(bytes) {
        let batch = batch?;
        let header = batch.header;
        revealed.next_offset = Some(header.next_offset().0);
        if header.is_control() || header.record_count == 0 {
            revealed.batches.push(batch.bytes().clone());
            continue;
        }
        let fates = ask(binding, reader, &batch)?;
        if fates.is_empty() {
            revealed.records += u64::from(header.record_count.unsigned_abs());
            revealed.batches.push(batch.bytes().clone());
            continue;
        }
        let (header, body) = rewrite(&header, &batch.body(), None, DECOMPRESSED_BATCH_BYTES_MAX, &fates, |_, _| {})?;
        revealed.records += u64::from(header.record_count.unsigned_abs());
        push(&mut revealed.batches, &header, body);
    }
    Ok(revealed)
}

fn push(pieces: &mut Vec<Bytes>, header: &BatchHeader, body: Bytes) {
    let head: [u8; HEADER_BYTES] = header.to_bytes();
    pieces.push(Bytes::copy_from_slice(&head));
    pieces.push(body);
}

/// What becomes of the records that are not shown as they are.
fn ask(binding: &Binding, reader: &Reader<'_>, batch: &RecordBatch) -> Result<Vec<(i32, Fate)>, Refusal> {
    let mut fates = Vec::new();
    slices(&batch.header, &batch.body(), binding.reads().clone(), |first, columns| {
        slice(binding, reader, first, columns, &mut fates)
    })?;
    Ok(fates)
}

fn slice(
    binding: &Binding,
    reader: &Reader<'_>,
    first: i32,
    columns: &Columns,
    fates: &mut Vec<(i32, Fate)>,
) -> Result<(), Refusal> {
    let place = Place { topic: reader.topic, partition: Some(reader.partition), base_sequence: None };
    let view = Batch::new(place, reader.client, columns, binding.reads());
    let asked = binding.ask(&reader.client, view.len(), |hook| match hook {
        Hook::FetchFilter(plugin) => {
            let mut visibilities = Vec::with_capacity(view.len());
            filter(&mut **plugin, &view, &mut visibilities).map(|()| visibilities)
        }
        other => Err(wrong_hook(other)),
    })?;
    let (mut hidden, mut redacted) = (0, 0);
    for (index, visibility) in (first..).zip(asked.into_iter().flatten()) {
        let fate = match visibility {
            Visibility::Show => continue,
            Visibility::Hide => {
                hidden += 1;
                Fate::Gone
            }
            Visibility::Redact(new) => {
                redacted += 1;
                Fate::Changed(new)
            }
        };
        if !binding.is_shadow() {
            fates.push((index, fate));
        }
    }
    binding.count_verdicts("hide", hidden);
    binding.count_verdicts("redact", redacted);
    Ok(())
}
