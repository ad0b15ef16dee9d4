//! What an idle member of a classic group takes in memory; and five thousand members that join at once.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use watershed_coordinator::groups::{Assignors, GroupCoordinator, GroupReply, GroupRequest, Question};
use watershed_coordinator::runtime::{Coordinator, CoordinatorLog, Host, NewBatch, Replies};
use watershed_metadata::configs::BrokerConfig;
use watershed_model::{ManualClock, Offset, Timestamp};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use watershed_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

/// The promise, beside what the member itself sent and was assigned.
const MEMBER_BYTES_MAX: usize = 4096;
const MEMBERS: usize = 5_000;
const PROTOCOLS: [&str; 2] = ["range", "cooperative-sticky"];
/// Of each protocol's metadata, and of the assignment.
const METADATA_BYTES: usize = 100;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Counts what each thread holds, in bytes.
struct Counting;

// SAFETY: it only passes on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Takes everything and keeps nothing.
struct Ground;

impl CoordinatorLog for Ground {
    fn append(&self, _: NewBatch<'_>) -> Result<Offset, ErrorCode> {
        Ok(Offset::ZERO)
    }

    fn batch_bytes_max(&self) -> usize {
        usize::MAX
    }

    fn is_durable(&self, _: Offset) -> bool {
        true
    }
}

impl Host<Question> for Ground {
    fn wake_at(&self, _: u64) {}

    fn hand_over(&self) {}

    fn watch(&self, _: Offset) {}

    fn send(&self, _: Question) {}
}

struct World {
    clock: Arc<ManualClock>,
    coordinator: Coordinator<GroupCoordinator>,
}

fn world() -> World {
    let settings = BrokerConfig::new(Default::default()).unwrap().settings().groups.clone();
    let next = Cell::new(0_u128);
    let random = std::sync::Mutex::new(next);
    let random = move || {
        let next = random.lock().unwrap();
        next.set(next.get() + 1);
        next.get().to_be_bytes()
    };
    let machine =
        GroupCoordinator::new(Arc::new(settings), Arc::default(), Arc::new(Assignors::default()), Arc::new(random));
    let (ground, clock) = (Arc::new(Ground), Arc::new(ManualClock::at(Timestamp(1_000))));
    let coordinator = Coordinator::new(machine, Offset::ZERO, ground.clone(), ground, clock.clone());
    coordinator.start(0);
    World { clock, coordinator }
}

impl World {
    fn ask(&self, version: i16, request: GroupRequest) -> Replies<GroupReply> {
        let replies = self.coordinator.request(version, "consumer-orders-1", "/10.11.12.13", request).unwrap();
        // As a thread that may be held does, if that was asked for.
        self.coordinator.work();
        replies
    }

    fn join(&self) -> Replies<GroupReply> {
        let protocol = |name: &str| JoinGroupRequestProtocol {
            name: name.to_owned(),
            metadata: Bytes::from(vec![7; METADATA_BYTES]),
        };
        let request = JoinGroupRequest {
            group_id: "orders".to_owned(),
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: 300_000,
            protocol_type: "consumer".to_owned(),
            protocols: PROTOCOLS.map(protocol).into(),
            ..JoinGroupRequest::default()
        };
        self.ask(3, GroupRequest::JoinGroup(request))
    }

    fn sync(&self, joined: &JoinGroupResponse) -> Replies<GroupReply> {
        let part = |member_id: &String| SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: Bytes::from(vec![8; METADATA_BYTES]),
        };
        let request = SyncGroupRequest {
            group_id: "orders".to_owned(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            assignments: joined.members.iter().map(|member| part(&member.member_id)).collect(),
            ..SyncGroupRequest::default()
        };
        self.ask(4, GroupRequest::SyncGroup(request))
    }
}

fn joined(mut replies: Replies<GroupReply>) -> JoinGroupResponse {
    match replies.try_recv().unwrap().outcome {
        Ok(GroupReply::JoinGroup(response)) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_member_takes_little() {
    let world = world();
    let before = HELD.get();
    let waiting: Vec<_> = (0..MEMBERS).map(|_| world.join()).collect();
    // The initial delay, and once more for those that came after the first.
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(3));
        world.coordinator.tick();
    }
    let responses: Vec<_> = waiting.into_iter().map(joined).collect();
    let leader = responses.iter().find(|response| !response.members.is_empty()).unwrap();
    assert_eq!(leader.members.len(), MEMBERS);
    drop(world.sync(leader));
    for response in responses.iter().filter(|response| response.members.is_empty()) {
        match world.sync(response).try_recv().unwrap().outcome {
            Ok(GroupReply::SyncGroup(reply)) => assert_eq!(reply.assignment.len(), METADATA_BYTES),
            other => panic!("{other:?}"),
        }
    }
    drop(responses);
    let held = usize::try_from(HELD.get() - before).unwrap() / MEMBERS;
    let own = METADATA_BYTES * (PROTOCOLS.len() + 1);
    assert!(held - own <= MEMBER_BYTES_MAX, "a member takes {held} bytes, {own} of them its own");
}
