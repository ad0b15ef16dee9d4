//! The records of closed segments: which of them stay.

use bytes::Bytes;
use watershed_hooks::{
    Batch, Client, Column, Hook, Place, Reads, Records as Columns, Stay, order, retain as ask_retention,
};
use watershed_model::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use watershed_model::record::{BatchHeader, Level, RecordBatch};

use crate::binding::{Binding, wrong_hook};
use crate::produce::Refusal;
use crate::ranks::Ranks;
use crate::rewrite::{Fate, rewrite};
use crate::slices::slices;

/// Who says which records of a partition stay.
#[derive(Clone, Debug)]
pub struct RecordKeeper {
    /// The plugin for the hook `record-retention`.
    pub binding: Binding,
    /// The plugin for the hook `ordering-key`, whose keys records are ranked by; without one it is their own keys.
    pub ordering_key: Option<Binding>,
}

/// Where the records are, and what time it is.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: u32,
    /// The time, in milliseconds since 1970.
    pub now: i64,
    /// The level to compress with, where a batch is compressed anew.
    pub level: Level,
}

/// What is left of a batch that loses records.
pub type Rest = (BatchHeader, Bytes);

impl RecordKeeper {
    /// Whether records must be ranked for it.
    #[must_use]
    pub fn needs_ranks(&self) -> bool {
        self.binding.reads().ranks
    }

    /// The plugin for ordering keys, where somebody asks for them.
    fn ordering(&self) -> Option<&Binding> {
        let is_read = self.needs_ranks() || self.binding.reads().ordering_keys;
        // What is in shadow has no effect.
        self.ordering_key.as_ref().filter(|ordering| is_read && !ordering.is_shadow())
    }

    fn reads(&self) -> Reads {
        let ordering = self.ordering().map_or(&Reads::NOTHING, |ordering| ordering.reads());
        let keys = Reads { keys: self.needs_ranks(), ..Reads::NOTHING };
        self.binding.reads().clone().and(ordering).and(&keys)
    }

    /// Counts the keys of some batches, the next of the partition.
    ///
    /// # Errors
    /// [`Refusal`]: they cannot be ranked.
    pub fn count(&self, held: &Held<'_>, batches: &[RecordBatch], ranks: &mut Ranks) -> Result<(), Refusal> {
        let reads = self.ordering().map_or(Reads::NOTHING, |ordering| ordering.reads().clone()).and(&Reads::KEYS);
        for batch in batches {
            slices(&batch.header, &batch.body(), reads.clone(), |_, columns| {
                self.order(held, columns)?;
                order_keys(columns, |key| ranks.count(key));
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Asks about some batches, the next of the partition: what is left of each that loses records.
    ///
    /// # Errors
    /// [`Refusal`]: all of it stays.
    pub fn judge(
        &self,
        held: &Held<'_>,
        batches: &[RecordBatch],
        ranks: Option<&mut Ranks>,
    ) -> Result<Vec<Option<Rest>>, Refusal> {
        let mut ranks = ranks;
        let mut judged = Vec::with_capacity(batches.len());
        for batch in batches {
            let mut fates = Vec::new();
            slices(&batch.header, &batch.body(), self.reads(), |first, columns| {
                self.order(held, columns)?;
                self.slice(held, first, columns, ranks.as_deref_mut(), &mut fates)
            })?;
            let rest = if fates.is_empty() {
                None
            } else {
                let (header, body) = (&batch.header, batch.body());
                Some(rewrite(header, &body, held.level, DECOMPRESSED_BATCH_BYTES_MAX, &fates, |_, _| {})?)
            };
            judged.push(rest);
        }
        Ok(judged)
    }

    fn slice(
        &self,
        held: &Held<'_>,
        first: i32,
        columns: &mut Columns,
        ranks: Option<&mut Ranks>,
        fates: &mut Vec<(i32, Fate)>,
    ) -> Result<(), Refusal> {
        // Records of which the rank is not known this time stay.
        let mut is_known = Vec::new();
        if let Some(ranks) = ranks {
            let mut of_records = Vec::with_capacity(columns.len());
            order_keys(columns, |key| of_records.push(ranks.next(key)));
            is_known = of_records.iter().map(Option::is_some).collect();
            columns.set_ranks(of_records.into_iter().map(Option::unwrap_or_default).collect());
        }
        let view = view(held, columns, &self.binding);
        let asked = self.binding.ask(&Client::default(), view.len(), |hook| match hook {
            Hook::RecordRetention(plugin) => {
                let mut stays = Vec::with_capacity(view.len());
                ask_retention(&mut **plugin, &view, held.now, &mut stays).map(|()| stays)
            }
            other => Err(wrong_hook(other)),
        })?;
        let stays = asked.into_iter().flatten().enumerate();
        let dropped: Vec<usize> = stays
            .filter(|(i, stay)| *stay == Stay::Drop && is_known.get(*i).copied().unwrap_or(true))
            .map(|(i, _)| i)
            .collect();
        self.binding.count_verdicts("drop", dropped.len());
        if !self.binding.is_shadow() {
            let index = |i: usize| first + i32::try_from(i).expect("a slice is short");
            fates.extend(dropped.into_iter().map(|i| (index(i), Fate::Gone)));
        }
        Ok(())
    }

    /// Fills in the ordering keys. A plugin that has no answer is not passed over, whatever its `on_error` says: records would
    /// be ranked by other keys than before.
    fn order(&self, held: &Held<'_>, columns: &mut Columns) -> Result<(), Refusal> {
        let mut keys: Column = columns.take_ordering_keys();
        keys.clear();
        if let Some(binding) = self.ordering() {
            let view = view(held, columns, binding);
            binding.ask_strictly(&Client::default(), view.len(), |hook| match hook {
                Hook::OrderingKey(plugin) => order(&mut **plugin, &view, &mut keys),
                other => Err(wrong_hook(other)),
            })?;
        }
        columns.set_ordering_keys(keys);
        Ok(())
    }
}

/// Shows each record's ordering key, or its key.
fn order_keys(columns: &Columns, mut each: impl FnMut(Option<&[u8]>)) {
    let all = Batch::new(Place::default(), Client::default(), columns, &Reads::KEYS);
    all.order_keys().expect("the columns are those of `KEYS`").for_each(&mut each);
}

fn view<'a>(held: &Held<'a>, columns: &'a Columns, binding: &'a Binding) -> Batch<'a> {
    let place = Place { topic: held.topic, partition: Some(held.partition), base_sequence: None };
    Batch::new(place, Client::default(), columns, binding.reads())
}
