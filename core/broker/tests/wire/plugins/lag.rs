//! How far a group is behind where an interceptor dropped records.

use super::{INTERCEPT, World, of};
use crate::pipeline::{GROUP, commit_at, coordinated};
use crate::stage::{Stage, TOPIC};

/// The lag of the group, as the HTTP API and as `/metrics` show it, and whether it is known to be behind no record.
async fn lag(stage: &Stage) -> (i64, bool) {
    let group = stage.broker.groups().await.into_iter().find(|group| group.group_id == GROUP).unwrap();
    let at = &group.partitions[0];
    let lag = at.lag.unwrap();
    let series = format!("watershed_group_lag_records{{group=\"{GROUP}\",topic=\"{TOPIC}\",partition=\"0\"}} {lag}\n");
    let metrics = stage.broker.group_metrics().await;
    assert!(metrics.contains(&series), "{series} is not in {metrics}");
    (lag, at.lag_seconds == Some(0.0))
}

#[tokio::test]
async fn a_group_behind_dropped_records_is_behind_the_others_only() {
    let mut world = World::new(INTERCEPT).await;
    for values in [&["a", "drop", "b"][..], &["drop", "drop"], &["c"], &["drop"]] {
        assert_eq!(world.send(0, of(values)).await.error_code, 0);
    }
    coordinated(&world.stage, &mut world.client).await;
    for (committed, expected) in [(0, (3, false)), (3, (1, false)), (5, (1, false)), (6, (0, true)), (7, (0, true))] {
        commit_at(&mut world.client, committed).await;
        assert_eq!(lag(&world.stage).await, expected, "at {committed}");
    }
    world.send(0, of(&["d", "drop"])).await;
    assert_eq!(lag(&world.stage).await.0, 1);
}
