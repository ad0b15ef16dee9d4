//! The wall clock jumps. Waits, sessions and connections go by the steady clock and do not notice; what is compared with the
//! wall clock is Kafka's: timestamps from an hour ahead are refused, nothing is lost, and all is well when it is right again.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::fetch::FetchRequest;

use super::world::{World, at_once, put};
use crate::requests::{FETCH, bases, fetch, fetched};
use crate::stage::TOPIC;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ends_no_wait_no_session_and_no_connection() {
    let world = World::start().await;
    let (mut writer, mut parked) = (world.client().await, world.client().await);
    assert_eq!(put(&mut writer, TOPIC, 0).await, Ok(0));
    // A session, so that the second fetch names no partition.
    let first = parked.call(&FetchRequest { session_epoch: 0, max_wait_ms: 0, ..fetch(TOPIC, 0, 0) }, FETCH).await;
    assert!(first.session_id > 0 && bases(fetched(&first)) == [0]);
    let mut next = FetchRequest { session_id: first.session_id, session_epoch: 1, ..fetch(TOPIC, 0, 1) };
    for (epoch, (jump, offset)) in (1..).zip([(30 * DAY_MS, 1), (-60 * DAY_MS, 2), (30 * DAY_MS, 3)]) {
        next.session_epoch = epoch;
        next.topics[0].partitions[0].fetch_offset = offset;
        let sent = parked.send(&next, FETCH).await;
        world.clock.jump(jump);
        world.is_served().await;
        let placed = put(&mut writer, TOPIC, 0).await;
        if jump < 0 {
            // The clients' clocks are right, and ahead of ours by a month.
            assert_eq!(placed, Err(ErrorCode::InvalidTimestamp.into()));
            world.clock.jump(-jump / 2);
            assert_eq!(put(&mut writer, TOPIC, 0).await, Ok(offset));
            world.clock.jump(jump / 2);
        } else {
            assert_eq!(placed, Ok(offset), "after a jump of {jump} ms");
        }
        let woken = parked.receive(sent).await;
        assert_eq!(bases(fetched(&woken)), [offset], "the parked fetch was woken by the record");
        assert_eq!(woken.session_id, first.session_id, "the session is still there");
    }
    assert_eq!(at_once(&mut writer, TOPIC, 0, 0).await, Ok(vec![0, 1, 2, 3]), "no record is lost");
}

impl World {
    /// Whatever the clock shows there are new connections and metadata.
    async fn is_served(&self) {
        let mut stranger = self.client().await;
        assert!(stranger.is_admitted().await);
        stranger.metadata().await;
    }
}
