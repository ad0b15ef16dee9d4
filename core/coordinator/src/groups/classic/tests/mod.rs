//! Classic groups: scripts of what members do and hear, and random histories.
#![allow(clippy::unwrap_used)]

mod assignors;
mod cooperative;
mod random;
mod script;
mod world;

use watershed_testkit::golden;

use world::World;

fn script(name: &str) {
    let mut world = World::new(&[]);
    golden::run(format!("{}/testdata/groups/{name}.txt", env!("CARGO_MANIFEST_DIR")), |case| world.command(case));
}

#[test]
fn members_join_and_leave() {
    script("classic_members");
}

#[test]
fn static_members_keep_their_place() {
    script("classic_static");
}

#[test]
fn timers_remove_who_is_silent() {
    script("classic_timers");
}

#[test]
fn refusals_are_kafkas() {
    script("classic_errors");
}

#[test]
fn what_cannot_be_written_changes_nothing() {
    script("classic_refused_writes");
}

#[test]
fn a_restart_finds_the_last_generation() {
    script("classic_reload");
}

#[test]
fn syncs_wait_for_an_assignor_outside_and_nothing_else_does() {
    script("classic_outside");
}

#[test]
fn the_broker_assigns_where_the_operator_says_so() {
    script("classic_broker");
}
