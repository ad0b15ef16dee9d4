//! Power cuts before every change of every operation, and every state that each may leave.
//!
//! A script runs on the recording file system with the power cut before its n-th change, for every n. Then the directory
//! is recovered from the states that such a cut may leave (all of them where they are few, else the telling ones and
//! some that a seed draws), and from what a kill leaves. It must hold what was acknowledged, byte for byte; nothing that
//! was never appended; nothing that was deleted; no more than the operation in flight may have done. What a recovery shows
//! must survive the next cut, and a recovery that is cut itself, before its n-th change, must leave no less.
//!
//! The operations: append, roll, truncate, reset, checkpoint, move of the start, close and open of a partition, deletion
//! of a partition that is open or not, removal of what was deleted, stop and start of the whole directory, and the rewriting
//! of closed segments, of some of their frames or of none.
//!
//! - `run.rs` runs scripts, `judge.rs` recovers and judges, `controls.rs` shows that a sync that is left out is noticed,
//!   `relaxed.rs` is about the mode that promises less.
//! - A failure names the script, the change and the state. `WATERSHED_CRASH_SEED` sets the seed, `WATERSHED_CRASH_STATES`
//!   how many states are drawn of each moment, `WATERSHED_CRASH_EVERY` up to how many choices all states are tried.

mod controls;
mod judge;
mod relaxed;
mod run;

use judge::{Effort, every_cut};
use run::Step::{
    self, Advance, Append, Beside, Checkpoint, Destroy, DestroyClosed, Reopen, Reset, Restart, Rewrite, Roll, Sweep,
    Truncate,
};

/// The scripts, by what they are about.
const SCRIPTS: [(&str, &[Step]); 11] = [
    ("appends and rolls", &[Append(3), Beside, Append(2), Roll, Append(4), Roll, Beside, Roll, Append(1)]),
    ("checkpoints", &[Checkpoint, Append(2), Checkpoint, Append(3), Reopen, Append(2), Roll, Reopen, Checkpoint]),
    (
        "truncations within and of segments",
        &[Append(4), Truncate(2), Append(3), Roll, Append(2), Checkpoint, Truncate(4), Append(2), Roll, Append(1)],
    ),
    (
        "deep truncations",
        &[Append(2), Roll, Append(2), Roll, Append(2), Truncate(5), Append(3), Checkpoint, Truncate(4)],
    ),
    ("resets", &[Append(3), Roll, Append(2), Reset(100), Append(2), Reset(1), Append(2), Roll, Reset(3)]),
    (
        "moves of the start",
        &[
            Append(3),
            Roll,
            Append(3),
            Advance(2),
            Roll,
            Append(2),
            Advance(3),
            Sweep,
            Append(1),
            Truncate(1),
            Append(2),
        ],
    ),
    (
        "deletions",
        &[Append(3), Beside, Checkpoint, Destroy, Append(2), Beside, Destroy, Sweep, Append(1), DestroyClosed, Sweep],
    ),
    ("stops and starts", &[Append(2), Beside, Restart, Append(2), Roll, Append(1), Restart, Restart, Append(1)]),
    (
        "stops, deletions and cuts",
        &[Append(3), Roll, Append(2), Restart, Truncate(3), Restart, Advance(1), Restart, Destroy, Restart, Append(1)],
    ),
    (
        "rewrites",
        &[
            Append(4),
            Roll,
            Append(3),
            Roll,
            Append(2),
            Rewrite(0, 0b1010),
            Beside,
            Append(1),
            Rewrite(1, 0b111),
            Rewrite(0, 0b10),
            Sweep,
            Roll,
            Rewrite(1, 0b111),
            Append(2),
            Roll,
            Rewrite(0, 0b1),
        ],
    ),
    (
        "rewrites, stops and cuts",
        &[
            Append(3),
            Roll,
            Append(3),
            Roll,
            Rewrite(1, 0b111),
            Reopen,
            Append(2),
            Rewrite(0, 0b1),
            Restart,
            Truncate(1),
            Append(1),
            Advance(1),
            Roll,
            Rewrite(1, 0b1),
            Reset(200),
        ],
    ),
];

fn script(name: &str) -> &'static [Step] {
    SCRIPTS.iter().find(|(n, _)| *n == name).map(|(_, script)| *script).unwrap()
}

async fn check(name: &str) {
    let effort = Effort::from_env();
    let tally = every_cut(name, script(name), &effort, |_| {}).await.unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{name}: {tally}");
    assert!(tally.cuts > 50 && tally.states > 50 * tally.cuts && tally.judged > 3 * tally.cuts, "{tally}");
}

macro_rules! scripts {
    ($($test:ident: $name:literal;)*) => {
        $(#[tokio::test]
        async fn $test() {
            check($name).await;
        })*

        #[test]
        fn every_script_is_run() {
            assert_eq!([$($name),*].len(), SCRIPTS.len());
        }
    };
}

scripts! {
    appends_and_rolls: "appends and rolls";
    checkpoints_and_reopening: "checkpoints";
    truncations: "truncations within and of segments";
    deep_truncations: "deep truncations";
    resets: "resets";
    moves_of_the_start: "moves of the start";
    destruction: "deletions";
    restarts: "stops and starts";
    restarts_between_cuts: "stops, deletions and cuts";
    rewrites: "rewrites";
    rewrites_between_cuts: "rewrites, stops and cuts";
}
