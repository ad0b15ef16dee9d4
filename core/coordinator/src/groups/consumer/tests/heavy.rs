//! Which heartbeats are left to threads that may be held.

use super::*;

/// Only what computes a target for many partitions is handed to a thread that may be held.
#[test]
fn a_heartbeat_is_heavy_when_a_large_target_is_due() {
    let mut world = World::new(false);
    let large = MetadataRecord::TopicCreated {
        topic: topic_id("large"),
        name: "large".to_owned(),
        partitions: runs(u32::try_from(LARGE_GROUP).unwrap()),
    };
    Arc::make_mut(&mut world.image).apply(&large).unwrap();
    let (image, now) = (Arc::clone(&world.image), world.now());
    world.machine.metadata(&image, now, &mut Output::default());
    let heartbeat = |who: &str, epoch: i32, topic: Option<&str>| ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: who.to_owned(),
        member_epoch: epoch,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: topic.map(|topic| vec![topic.to_owned()]),
        topic_partitions: (epoch == 0).then(Vec::new),
        ..Default::default()
    };
    let is_heavy = |world: &World, who: &str, epoch: i32, topic: Option<&str>| {
        world.machine.is_heavy(&GroupRequest::ConsumerGroupHeartbeat(heartbeat(who, epoch, topic)))
    };
    assert!(!is_heavy(&world, "x", 0, Some("large")), "there is nothing yet that says how large it is");
    world.ask(heartbeat("x", 0, Some("large")), false);
    world.ask(heartbeat("y", 0, Some("large")), false);
    assert!(is_heavy(&world, "z", 0, Some("large")), "somebody joins");
    assert!(is_heavy(&world, "x", 1, Some("a")), "a subscription may change");
    assert!(!is_heavy(&world, "x", 1, None), "nothing is new, or one member's next step");
    assert!(!is_heavy(&world, "y", -1, None), "leaving computes nothing");
    world.ask(heartbeat("y", -1, None), false);
    assert!(is_heavy(&world, "x", 1, None), "the one who comes next has the target computed");
    world.ask(heartbeat("x", 1, None), false);
    assert!(!is_heavy(&world, "x", 1, None));
    world.advance(METADATA_REFRESH_MS);
    assert!(!is_heavy(&world, "x", 1, None), "its session has ended, and the group with it is empty");
}
