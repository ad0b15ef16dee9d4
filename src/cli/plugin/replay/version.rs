//! One version of a plugin that is asked about stored records: each of its hooks on records, one after the other.

use std::num::NonZeroU32;

use serde_json::{Value, json};
use watershed_hooks::{
    Batch, Choice, Client, Column, Failure, Hook, HookKind, Place, Records, Settings, Verdict, Visibility, assign,
    filter, intercept, order,
};
use watershed_model::record::OwnedRecord;

use crate::cli::exit::{CliError, Exit};
use crate::cli::plugin::file::PluginPath;
use crate::cli::plugin::{environment, fixture};
use crate::registry::{PluginOnDisk, Registry};

/// The hooks that are asked about records, in the broker's order.
const HOOKS: [HookKind; 4] =
    [HookKind::Interceptor, HookKind::OrderingKey, HookKind::Partitioner, HookKind::FetchFilter];

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
        Ok(Self { plugin, name, settings, hooks })
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
        for (kind, instance) in &mut self.hooks {
            let factory = self.plugin.factory(*kind).expect("only hooks that it serves were taken");
            let mut hook = match instance.take() {
                Some(hook) => hook,
                None => factory
                    .create(&self.settings, &environment())
                    .map_err(|error| CliError::new(Exit::Config, format!("{}: {error}", self.name)))?,
            };
            let said = ask(&mut hook, slice, &mut ordering_keys);
            answers.push((
                *kind,
                said.unwrap_or_else(|failure| {
                    let failed =
                        Answer { label: FAILED, changes: true, detail: json!({ FAILED: failure.to_string() }) };
                    vec![failed; slice.records.len()]
                }),
            ));
            let is_fine = !answers.last().is_some_and(|(_, said)| said.iter().any(|answer| answer.label == FAILED));
            *instance = is_fine.then_some(hook);
        }
        Ok(answers)
    }
}

fn ask(hook: &mut Hook, slice: &Slice<'_>, ordering_keys: &mut Option<Column>) -> Result<Vec<Answer>, Failure> {
    let reads = hook.reads().cloned().ok_or_else(|| Failure::Permanent("it is not asked about records".to_owned()))?;
    let mut records = Records::new(reads.clone());
    let full = |error: watershed_hooks::ColumnFull| Failure::Permanent(error.to_string());
    let mut keys = Column::new();
    for (i, record) in slice.records.iter().enumerate() {
        let headers = record.headers.iter().map(|(name, value)| (&name[..], value.as_deref()));
        records.push(record.key.as_deref(), record.value.as_deref(), record.timestamp.0, headers).map_err(full)?;
        keys.push(ordering_keys.as_ref().and_then(|keys| keys.get(i))).map_err(full)?;
    }
    records.set_ordering_keys(keys);
    let place = Place { topic: slice.topic, partition: Some(slice.partition), base_sequence: None };
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
            *ordering_keys = Some(given);
            Ok(answers)
        }
        Hook::Partitioner(plugin) => {
            let mut choices = Vec::new();
            assign(&mut **plugin, &batch, slice.partitions, &mut choices)?;
            Ok(choices.iter().map(|choice| of_choice(choice, slice.partition)).collect())
        }
        Hook::FetchFilter(plugin) => {
            let mut seen = Vec::new();
            filter(&mut **plugin, &batch, &mut seen)?;
            Ok(seen.iter().map(of_visibility).collect())
        }
        other => Err(Failure::Permanent(format!("a {} is not asked about records", other.kind()))),
    }
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
