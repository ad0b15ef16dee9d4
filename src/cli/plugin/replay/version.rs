//! One version of a plugin that is asked about stored records: each of its hooks on records, one after the other.

use std::collections::HashMap;
use std::num::NonZeroU32;

use serde_json::{Value, json};
use watershed_hooks::{
    Batch, Choice, Client, Column, Failure, Hook, HookKind, Place, Reads, Records, Settings, Stay, Verdict, Visibility,
    assign, filter, intercept, order, retain,
};
use watershed_model::record::OwnedRecord;
use watershed_model::{Clock, SystemClock};
use watershed_policy::Ranks;

use crate::cli::exit::{CliError, Exit};
use crate::cli::plugin::file::PluginPath;
use crate::cli::plugin::{environment, fixture};
use crate::registry::{PluginOnDisk, Registry};

/// The hooks that are asked about records, in the broker's order.
const HOOKS: [HookKind; 5] = [
    HookKind::Interceptor,
    HookKind::OrderingKey,
    HookKind::Partitioner,
    HookKind::FetchFilter,
    HookKind::RecordRetention,
];

/// Some records of one partition.
pub(super) struct Slice<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: u32,
    pub(super) partitions: NonZeroU32,
    pub(super) records: &'a [OwnedRecord],
}

/// What a hook says of one record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// What it is counted as.
    pub(super) label: &'static str,
    /// Whether something would not be as it is.
    pub(super) changes: bool,
    /// All of it, for people.
    pub(super) detail: Value,
}

/// The label of records on which the plugin failed.
pub(super) const FAILED: &str = "failed";

/// A plugin with an instance of each hook.
pub(super) struct Version {
    plugin: PluginOnDisk,
    name: String,
    settings: Settings,
    hooks: Vec<(HookKind, Option<Hook>)>,
    /// By partition, for record retention that goes by them.
    ranks: HashMap<u32, Ranks>,
    /// When it is asked, in milliseconds since 1970: two versions are asked at the same time.
    now: i64,
}

impl Version {
    /// Loads it.
    pub(super) fn open(registry: &Registry, file: &PluginPath) -> Result<Self, CliError> {
        let (plugin, settings) = (file.open(registry)?, file.settings()?);
        let name = file.path().display().to_string();
        let hooks: Vec<_> = HOOKS.into_iter().filter(|hook| plugin.factory(*hook).is_some()).collect();
        if hooks.is_empty() {
            let served: Vec<_> = HOOKS.iter().map(|hook| hook.name()).collect();
            let message = format!("{name} serves no hook on records: {}", served.join(", "));
            return Err(CliError::new(Exit::Usage, message));
        }
        for factory in hooks.iter().filter_map(|hook| plugin.factory(*hook)) {
            let checked = factory.validate(&settings);
            checked.map_err(|error| CliError::new(Exit::Config, format!("{name}: {error}")))?;
        }
        let hooks = hooks.into_iter().map(|hook| (hook, None)).collect();
        Ok(Self { plugin, name, settings, hooks, ranks: HashMap::new(), now: SystemClock::new().now().0 })
    }

    /// Asks at the time of another.
    pub(super) fn at_the_time_of(mut self, other: &Self) -> Self {
        self.now = other.now;
        self
    }

    /// Whether it has to [`Self::count`] all records before it is asked about the first.
    pub(super) fn needs_ranks(&mut self) -> Result<bool, CliError> {
        let Some(at) = self.position(HookKind::RecordRetention) else { return Ok(false) };
        let hook = self.instance(at)?;
        let needs = hook.reads().is_some_and(|reads| reads.ranks);
        self.hooks[at].1 = Some(hook);
        Ok(needs)
    }

    /// Counts the ordering keys of records, the next of their partition.
    pub(super) fn count(&mut self, slice: &Slice<'_>) -> Result<(), CliError> {
        let mut ordering_keys = None;
        if let Some(at) = self.position(HookKind::OrderingKey) {
            let mut hook = self.instance(at)?;
            let mut question = Question { slice, ordering_keys: &mut ordering_keys, ranks: None, now: self.now };
            // Where it fails records have their own keys; that it does is told when they are asked about.
            self.hooks[at].1 = question.ask(&mut hook).is_ok().then_some(hook);
        }
        let ranks = self.ranks.entry(slice.partition).or_insert_with(|| Ranks::new(0));
        order_keys(slice, ordering_keys.as_ref()).for_each(|key| ranks.count(key));
        Ok(())
    }

    fn position(&self, hook: HookKind) -> Option<usize> {
        self.hooks.iter().position(|(kind, _)| *kind == hook)
    }

    /// The instance that is there, or a new one.
    fn instance(&mut self, at: usize) -> Result<Hook, CliError> {
        let (kind, instance) = &mut self.hooks[at];
        if let Some(hook) = instance.take() {
            return Ok(hook);
        }
        let factory = self.plugin.factory(*kind).expect("only hooks that it serves were taken");
        let made = factory.create(&self.settings, &environment());
        made.map_err(|error| CliError::new(Exit::Config, format!("{}: {error}", self.name)))
    }

    /// Two versions can be compared if they serve the same hooks.
    pub(super) fn serves_the_same(&self, other: &Self) -> Result<(), CliError> {
        let names = |version: &Self| version.hooks.iter().map(|(hook, _)| hook.name()).collect::<Vec<_>>().join(", ");
        let (mine, theirs) = (names(self), names(other));
        if mine == theirs {
            return Ok(());
        }
        let message = format!("{} serves {mine}, {} serves {theirs}: they cannot be compared", self.name, other.name);
        Err(CliError::new(Exit::Usage, message))
    }

    /// What each hook says of each record. Where it fails, it says so of all of them, and the instance is replaced.
    pub(super) fn ask(&mut self, slice: &Slice<'_>) -> Result<Vec<(HookKind, Vec<Answer>)>, CliError> {
        let mut ordering_keys = None;
        let mut answers = Vec::with_capacity(self.hooks.len());
        for at in 0..self.hooks.len() {
            let mut hook = self.instance(at)?;
            let ranks = self.ranks.get_mut(&slice.partition);
            let mut question = Question { slice, ordering_keys: &mut ordering_keys, ranks, now: self.now };
            let said = question.ask(&mut hook);
            self.hooks[at].1 = said.is_ok().then_some(hook);
            let said = said.unwrap_or_else(|failure| {
                let detail = json!({ FAILED: failure.to_string() });
                vec![Answer { label: FAILED, changes: true, detail }; slice.records.len()]
            });
            answers.push((self.hooks[at].0, said));
        }
        Ok(answers)
    }
}

/// What a hook is asked.
struct Question<'a> {
    slice: &'a Slice<'a>,
    /// What the plugin's own hook for them said.
    ordering_keys: &'a mut Option<Column>,
    /// Those of the partition, where all its records were counted.
    ranks: Option<&'a mut Ranks>,
    now: i64,
}

impl Question<'_> {
    fn ask(&mut self, hook: &mut Hook) -> Result<Vec<Answer>, Failure> {
        let no_records = |hook: &Hook| Failure::Permanent(format!("a {} is not asked about records", hook.kind()));
        let reads = hook.reads().cloned().ok_or_else(|| no_records(hook))?;
        let (records, is_ranked) = self.columns(&reads, hook.kind())?;
        let place = Place { topic: self.slice.topic, partition: Some(self.slice.partition), base_sequence: None };
        let batch = Batch::new(place, Client::default(), &records, &reads);
        match hook {
            Hook::Interceptor(plugin) => {
                let mut verdicts = Vec::new();
                intercept(&mut **plugin, &batch, &mut verdicts)?;
                Ok(verdicts.iter().map(of_verdict).collect())
            }
            Hook::OrderingKey(plugin) => {
                let mut given = Column::new();
                order(&mut **plugin, &batch, &mut given)?;
                let answers = given.iter().map(of_ordering_key).collect();
                *self.ordering_keys = Some(given);
                Ok(answers)
            }
            Hook::Partitioner(plugin) => {
                let mut choices = Vec::new();
                assign(&mut **plugin, &batch, self.slice.partitions, &mut choices)?;
                Ok(choices.iter().map(|choice| of_choice(choice, self.slice.partition)).collect())
            }
            Hook::FetchFilter(plugin) => {
                let mut seen = Vec::new();
                filter(&mut **plugin, &batch, &mut seen)?;
                Ok(seen.iter().map(of_visibility).collect())
            }
            Hook::RecordRetention(plugin) => {
                let mut stays = Vec::new();
                retain(&mut **plugin, &batch, self.now, &mut stays)?;
                let is_ranked = is_ranked.into_iter().chain(std::iter::repeat(true));
                Ok(stays.iter().zip(is_ranked).map(|(stay, is_ranked)| of_stay(stay, is_ranked)).collect())
            }
            other => Err(no_records(other)),
        }
    }

    /// The records as columns; and, where the hook goes by ranks, of each record whether its own is known.
    fn columns(&mut self, reads: &Reads, hook: HookKind) -> Result<(Records, Vec<bool>), Failure> {
        let full = |error: watershed_hooks::ColumnFull| Failure::Permanent(error.to_string());
        let (mut records, mut keys) = (Records::new(reads.clone()), Column::new());
        for (i, record) in self.slice.records.iter().enumerate() {
            let headers = record.headers.iter().map(|(name, value)| (&name[..], value.as_deref()));
            records.push(record.key.as_deref(), record.value.as_deref(), record.timestamp.0, headers).map_err(full)?;
            keys.push(self.ordering_keys.as_ref().and_then(|keys| keys.get(i))).map_err(full)?;
        }
        let mut is_ranked = Vec::new();
        if let (HookKind::RecordRetention, true, Some(ranks)) = (hook, reads.ranks, &mut self.ranks) {
            let found: Vec<_> =
                order_keys(self.slice, self.ordering_keys.as_ref()).map(|key| ranks.next(key)).collect();
            is_ranked = found.iter().map(Option::is_some).collect();
            records.set_ranks(found.into_iter().map(Option::unwrap_or_default).collect());
        }
        records.set_ordering_keys(keys);
        Ok((records, is_ranked))
    }
}

/// What records are ranked by: the ordering key, or the record's own.
fn order_keys<'a>(slice: &'a Slice<'_>, given: Option<&'a Column>) -> impl Iterator<Item = Option<&'a [u8]>> {
    let own = |record: &'a OwnedRecord| record.key.as_deref();
    slice
        .records
        .iter()
        .enumerate()
        .map(move |(i, record)| given.and_then(|given| given.get(i)).or_else(|| own(record)))
}

fn of_stay(stay: &Stay, is_ranked: bool) -> Answer {
    let (label, changes) = match (stay, is_ranked) {
        (Stay::Keep, _) => ("keep", false),
        (Stay::Drop, true) => ("drop", true),
        (Stay::Drop, false) => ("not ranked", false),
    };
    Answer { label, changes, detail: fixture::stay(stay) }
}

fn of_verdict(verdict: &Verdict) -> Answer {
    let label = match verdict {
        Verdict::Keep => "keep",
        Verdict::Drop => "drop",
        Verdict::Reject(_) => "reject",
        Verdict::DeadLetter(_) => "dlq",
        Verdict::Replace(_) => "replace",
    };
    Answer { label, changes: *verdict != Verdict::Keep, detail: fixture::verdict(verdict) }
}

fn of_ordering_key(key: Option<&[u8]>) -> Answer {
    let label = if key.is_some() { "an ordering key" } else { "the record's key" };
    Answer { label, changes: key.is_some(), detail: json!(key.map(fixture::text)) }
}

fn of_choice(choice: &Choice, stored: u32) -> Answer {
    let (label, changes) = match choice {
        Choice::ClientStands => ("the client's choice", false),
        Choice::Partition(partition) if *partition == stored => ("stays", false),
        Choice::Partition(_) => ("another partition", true),
    };
    Answer { label, changes, detail: fixture::choice(choice) }
}

fn of_visibility(visibility: &Visibility) -> Answer {
    let label = match visibility {
        Visibility::Show => "show",
        Visibility::Hide => "hide",
        Visibility::Redact(_) => "redact",
    };
    Answer { label, changes: *visibility != Visibility::Show, detail: fixture::visibility(visibility) }
}
