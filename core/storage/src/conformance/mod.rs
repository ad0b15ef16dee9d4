//! The suite that every backend must pass: each sentence of the contract in this crate's documentation, as a check.
//!
//! A backend's test is one line over a function that makes a fresh, empty backend:
//!
//! ```no_run
//! # use watershed_storage::{LogStorage, conformance::{self, Subject}};
//! # async fn test<S: LogStorage + 'static>(my_storage: fn() -> S) {
//! conformance::run(|| async { Subject::new(my_storage()) }).await;
//! # }
//! ```
//!
//! Every check gets a backend of its own and a time limit, and names the sentence that broke. Where the contract leaves
//! a choice (how many blobs are kept, whether a truncation above the end counts), the checks accept every choice.
//!
//! - [`harness`] makes frames and reads them back.
//! - `life`: open, list, close, restart, destroy. `append`, `read`, `segments` (roll, blobs, time), `cut` (truncate, reset,
//!   start), `rewrite` (segments written anew), `load` (threads, sizes, numbers).

mod append;
mod cut;
pub mod harness;
mod life;
mod load;
mod read;
mod rewrite;
mod segments;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::{Fut, LogStorage, StorageError};

/// How long one check may take; a ticket that never ripens is found by this.
const CHECK_SECONDS_MAX: u64 = 120;

type RestartFn = Box<dyn Fn() -> Fut<'static, Arc<dyn LogStorage>> + Send + Sync>;

/// A fresh, empty backend under test.
pub struct Subject {
    storage: Arc<dyn LogStorage>,
    restart: Option<RestartFn>,
    keep: Vec<Box<dyn Any + Send + Sync>>,
}

impl Subject {
    /// A backend that forgets everything with its process.
    #[must_use]
    pub fn new(storage: impl LogStorage + 'static) -> Self {
        Self { storage: Arc::new(storage), restart: None, keep: Vec::new() }
    }

    /// A backend that survives a restart: `restart` opens the same medium again. All handles of the first are dropped
    /// before it is called.
    #[must_use]
    pub fn restartable(
        storage: impl LogStorage + 'static,
        restart: impl Fn() -> Fut<'static, Arc<dyn LogStorage>> + Send + Sync + 'static,
    ) -> Self {
        Self { restart: Some(Box::new(restart)), ..Self::new(storage) }
    }

    /// Holds something (a temporary directory) until the check is over.
    #[must_use]
    pub fn keep(mut self, guard: impl Any + Send + Sync) -> Self {
        self.keep.push(Box::new(guard));
        self
    }

    /// Drops the backend and opens its medium again.
    async fn restarted(self) -> Result<Self, Broken> {
        let Self { storage, restart, keep } = self;
        drop(storage);
        let Some(restart) = restart else {
            return Err(broken(
                "a backend with `survives_restart` is tested with `Subject::restartable`",
                "no restart function was given",
            ));
        };
        let storage = restart().await.says("the medium opens again")?;
        Ok(Self { storage, restart: Some(restart), keep })
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("caps", &self.storage.caps()).finish_non_exhaustive()
    }
}

/// A sentence of the contract that a backend broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{check}: \"{sentence}\" does not hold: {detail}")]
pub struct Broken {
    /// The check that found it.
    pub check: &'static str,
    /// The sentence.
    pub sentence: String,
    /// What was seen instead.
    pub detail: String,
}

fn broken(sentence: impl Into<String>, detail: impl Into<String>) -> Broken {
    Broken { check: "", sentence: sentence.into(), detail: detail.into() }
}

/// Turns a backend's error into a [`Broken`] sentence.
trait Says<T> {
    fn says(self, sentence: &str) -> Result<T, Broken>;
}

impl<T> Says<T> for Result<T, StorageError> {
    fn says(self, sentence: &str) -> Result<T, Broken> {
        self.map_err(|error| broken(sentence, format!("it failed: {error}")))
    }
}

/// Returns a [`Broken`] sentence unless the condition holds.
macro_rules! holds {
    ($condition:expr, $sentence:expr, $($detail:tt)+) => {
        if !$condition {
            return Err($crate::conformance::broken($sentence, format!($($detail)+)));
        }
    };
}
use holds;

/// Returns a [`Broken`] sentence unless the result is the error.
macro_rules! fails {
    ($result:expr, $error:pat, $sentence:expr) => {
        match $result {
            Err($error) => {}
            Err(other) => {
                return Err($crate::conformance::broken($sentence, format!("it failed with: {other}")));
            }
            Ok(_) => return Err($crate::conformance::broken($sentence, "it succeeded")),
        }
    };
}
use fails;

type Outcome = Result<(), Broken>;
type Check = fn(Subject) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

macro_rules! checks {
    ($($module:ident :: $name:ident),+ $(,)?) => {
        [$((
            concat!(stringify!($module), "::", stringify!($name)),
            (|subject| Box::pin($module::$name(subject))) as Check,
        )),+]
    };
}

fn checks() -> impl Iterator<Item = (&'static str, Check)> {
    checks![
        life::a_new_log_is_empty_at_zero,
        life::a_log_is_open_once,
        life::lists_what_it_holds,
        life::a_closed_log_opens_again_as_it_was,
        life::a_closed_handle_is_gone,
        life::destroy_removes_and_handles_are_gone,
        life::pieces_outlive_destroy,
        life::a_closed_backend_takes_nothing,
        life::health_and_room_are_good_at_the_start,
        life::a_clean_restart_keeps_everything,
        life::an_unclean_restart_keeps_what_was_promised,
        append::offsets_and_ends_are_those_of_the_frames,
        append::an_append_is_readable_on_return,
        append::gaps_are_legal,
        append::a_frame_below_the_end_is_refused_whole,
        append::progress_tells_of_every_promise,
        append::relaxed_promises_too,
        append::a_dropped_ticket_changes_nothing,
        append::settings_change_while_open,
        read::every_bound_in_every_combination,
        read::outside_the_log_is_out_of_range,
        read::an_empty_range_is_empty,
        segments::roll_seals_and_opens_the_next,
        segments::rolling_an_empty_segment_only_keeps_blobs,
        segments::summaries_are_those_of_the_frames,
        segments::checkpoint_makes_durable_without_sealing,
        segments::the_newest_blob_at_or_below_is_found,
        segments::a_frame_is_found_by_time,
        segments::time_search_begins_at_the_start,
        cut::truncate_at_every_offset,
        cut::truncate_drops_blobs_above,
        cut::truncate_fails_only_the_tickets_it_cut,
        cut::truncate_then_append_replaces,
        cut::truncate_above_the_end_cuts_nothing,
        cut::reset_empties_and_goes_on_at_next,
        cut::the_start_moves_forward_only,
        cut::segments_below_the_start_are_deleted,
        cut::cuts_survive_reopening,
        rewrite::a_segment_gets_the_new_frames,
        rewrite::readers_in_a_gap_get_the_next_frame,
        rewrite::a_segment_without_frames_is_no_more,
        rewrite::nothing_changes_before_the_commit,
        rewrite::what_does_not_belong_there_is_refused,
        rewrite::a_segment_that_changed_is_left_alone,
        rewrite::pieces_outlive_it,
        rewrite::rewrites_survive_reopening,
        rewrite::rewrites_survive_a_crash,
        load::appends_and_reads_from_many_threads,
        load::tickets_of_many_partitions_ripen_together,
        load::large_frames_come_back_whole,
        load::a_thousand_partitions,
    ]
    .into_iter()
}

/// Runs every check, each on a backend of its own from `fresh`, and returns what broke.
///
/// Must be called inside a tokio runtime with time enabled; a multi-threaded one tests more.
pub async fn failures<F, S>(fresh: F) -> Vec<Broken>
where
    F: Fn() -> S,
    S: Future<Output = Subject>,
{
    let mut found = Vec::new();
    for (name, check) in checks() {
        // A task of its own, so that a panic inside the backend is a finding, not the end of the run.
        let run = tokio::spawn(check(fresh().await));
        let limit = Duration::from_secs(CHECK_SECONDS_MAX);
        let outcome = match tokio::time::timeout(limit, run).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(stopped)) => Err(broken("a backend never panics", stopped.to_string())),
            Err(_) => Err(broken(
                "every call returns and every ticket ripens or fails",
                format!("the check hung for {CHECK_SECONDS_MAX} s"),
            )),
        };
        found.extend(outcome.err().map(|broken| Broken { check: name, ..broken }));
    }
    found
}

/// Runs every check and panics with all the sentences that broke.
///
/// # Panics
/// When the backend does not conform; that is the point.
pub async fn run<F, S>(fresh: F)
where
    F: Fn() -> S,
    S: Future<Output = Subject>,
{
    let found = failures(fresh).await;
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "the backend breaks the contract in {} place(s):\n{}", found.len(), lines.join("\n"));
}
