//! Offsets and the administration of groups: scripts of what clients ask and hear, and random histories.
#![allow(clippy::unwrap_used)]

mod random;
mod script;
mod world;

use watershed_testkit::golden;

use world::World;

fn run(name: &str) {
    let mut world = World::new(&[]);
    golden::run(format!("{}/testdata/groups/{name}.txt", env!("CARGO_MANIFEST_DIR")), |case| {
        script::command(&mut world, case)
    });
}

#[test]
fn offsets_are_committed_and_fetched() {
    run("offsets_commit");
}

#[test]
fn members_are_checked() {
    run("offsets_members");
}

#[test]
fn transactions_decide_offsets() {
    run("offsets_transactions");
}

#[test]
fn offsets_are_deleted() {
    run("offsets_delete");
}

#[test]
fn old_offsets_expire() {
    run("offsets_expiry");
}

#[test]
fn groups_are_listed_described_and_deleted() {
    run("groups_admin");
}
