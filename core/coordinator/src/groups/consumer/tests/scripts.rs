//! Consumer groups: scripts of what members say and hear, which records that makes, and where it leaves the group.
#![allow(clippy::unwrap_used)]

mod commands;
mod world;

use watershed_testkit::golden;

use world::World;

fn script(name: &str) {
    let mut world = World::new(&[]);
    golden::run(format!("{}/testdata/groups/{name}.txt", env!("CARGO_MANIFEST_DIR")), |case| world.command(case));
}

#[test]
fn members_join_share_and_leave() {
    script("consumer_members");
}

#[test]
fn partitions_are_given_up_before_they_are_taken() {
    script("consumer_reconcile");
}

#[test]
fn refusals_are_kafkas() {
    script("consumer_errors");
}

#[test]
fn an_upgrade_that_fails_leaves_nobody_waiting() {
    script("consumer_upgrade");
}

#[test]
fn static_members_keep_their_place() {
    script("consumer_static");
}

#[test]
fn timers_remove_who_is_silent_or_slow() {
    script("consumer_timers");
}

#[test]
fn assignors_outside_are_asked_and_not_waited_for() {
    script("consumer_outside");
}

#[test]
fn topics_come_grow_and_go() {
    script("consumer_topics");
}
