//! Members of groups that say too much, say nonsense, come in a crowd, or go without a word.

use bytes::Bytes;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::join_group::JoinGroupRequestProtocol;
use watershed_protocol::messages::sync_group::SyncGroupRequestAssignment;
use watershed_protocol::messages::{
    FindCoordinatorRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};

use crate::common::Broker;
use crate::peer::{Peer, encoded};
use crate::process::until;
use crate::witness::Witness;

const FIND: i16 = 4;
const JOIN: i16 = 9;
const SYNC: i16 = 5;

/// The shortest session that the broker allows, in milliseconds.
const SESSION_MS: i32 = 6_000;

/// A thousand, as a deployment that starts all at once.
const CROWD: usize = 1_000;

/// A member of a group on a connection of its own, which has its id already.
struct Member {
    peer: Peer,
    group: String,
    id: String,
    metadata: Bytes,
}

impl Member {
    fn new(broker: &Broker, group: &str, metadata: Bytes) -> Self {
        let mut peer = Peer::connect(broker);
        let find = FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
        until("the coordinator is there", || peer.ask(&find, FIND).coordinators[0].error_code == 0);
        let mut member = Self { peer, group: group.to_owned(), id: String::new(), metadata };
        until("the coordinator is loaded", || {
            let joined = member.join();
            member.id = joined.member_id;
            joined.error_code == i16::from(ErrorCode::MemberIdRequired)
        });
        member
    }

    fn send_join(&mut self) {
        let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: self.metadata.clone() };
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: SESSION_MS,
            member_id: self.id.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            ..Default::default()
        };
        self.peer.send(&encoded(&request, JOIN));
    }

    fn join(&mut self) -> JoinGroupResponse {
        self.send_join();
        self.peer.answer::<JoinGroupRequest>(JOIN)
    }

    fn send_sync(&mut self, generation: i32, assignments: Vec<SyncGroupRequestAssignment>) {
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
            assignments,
            ..Default::default()
        };
        self.peer.send(&encoded(&request, SYNC));
    }

    fn sync(&mut self, generation: i32, assignment: &[u8]) -> SyncGroupResponse {
        let assignment = Bytes::copy_from_slice(assignment);
        let all = vec![SyncGroupRequestAssignment { member_id: self.id.clone(), assignment }];
        self.send_sync(generation, all);
        self.peer.answer::<SyncGroupRequest>(SYNC)
    }
}

impl Member {
    /// Joins and syncs as any client does; how many members it then leads.
    fn goes_through_a_rebalance(&mut self) -> usize {
        let joined = self.join();
        match joined.error_code {
            0 if self.sync(joined.generation_id, b"all").error_code == 0 => joined.members.len(),
            code if code == i16::from(ErrorCode::UnknownMemberId) => {
                self.id.clear();
                0
            }
            code => {
                if code == i16::from(ErrorCode::MemberIdRequired) {
                    self.id = joined.member_id;
                }
                0
            }
        }
    }
}

/// A subscription to one topic, in version 0.
fn subscription(topic: &str) -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend((-1i32).to_be_bytes());
    bytes.into()
}

fn settings() -> [&'static str; 3] {
    [
        "\"group.initial.rebalance.delay.ms\" = 500",
        "[[groups]]\nmatch = \"brokered-*\"",
        "assignor = \"sticky\"\nassignment = \"broker\"",
    ]
}

#[test]
fn metadata_that_is_garbage_or_a_megabyte_harms_nobody_and_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &settings());
    let witness = Witness::start(&broker);
    let noise: Vec<u8> = (1u32..4096).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let cases = [
        Bytes::new(),
        Bytes::from_static(&[0xff; 3]),
        // Two billion topics; a topic past the end; two billion partitions that it owns.
        Bytes::from_static(&[0, 3, 0x7f, 0xff, 0xff, 0xff]),
        Bytes::from_static(&[0, 3, 0, 0, 0, 1, 0x7f, 0xff, b't']),
        Bytes::from_static(&[0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 1, b't', 0x7f, 0xff, 0xff, 0xff]),
        noise.into(),
        vec![b'm'; 1_000_000].into(),
    ];
    for (number, metadata) in cases.iter().enumerate() {
        for kind in ["plain", "brokered"] {
            let mut member = Member::new(&broker, &format!("{kind}-{number}"), metadata.clone());
            let joined = member.join();
            assert_eq!((joined.error_code, joined.members.len()), (0, 1), "{kind}-{number}");
            assert_eq!(joined.members[0].metadata, *metadata, "{kind}-{number}");
            let synced = member.sync(joined.generation_id, b"anything");
            assert_eq!(synced.error_code, 0, "{kind}-{number}");
            // What the broker cannot read it does not assign for.
            assert_eq!(&synced.assignment[..], b"anything", "{kind}-{number}");
        }
    }
    // What does not fit into a record is refused, and the group goes on with less.
    let mut member = Member::new(&broker, "too-much", vec![b'm'; 1_100_000].into());
    let joined = member.join();
    assert_eq!(joined.error_code, 0);
    assert_ne!(member.sync(joined.generation_id, b"").error_code, 0);
    member.metadata = subscription("t");
    let joined = member.join();
    assert_eq!(member.sync(joined.generation_id, b"less").error_code, 0);
    witness.finish();
}

#[test]
fn a_thousand_members_come_at_once_and_go_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &settings());
    let witness = Witness::start(&broker);
    let mut members: Vec<_> = (0..CROWD).map(|_| Member::new(&broker, "crowd", subscription("t"))).collect();
    members.iter_mut().for_each(Member::send_join);
    let joined: Vec<JoinGroupResponse> =
        members.iter_mut().map(|member| member.peer.answer::<JoinGroupRequest>(JOIN)).collect();
    let generation = joined[0].generation_id;
    assert!(joined.iter().all(|one| (one.error_code, one.generation_id) == (0, generation)));
    let leaders: Vec<_> = (0..CROWD).filter(|index| !joined[*index].members.is_empty()).collect();
    assert_eq!(leaders.len(), 1);
    assert_eq!(joined[leaders[0]].members.len(), CROWD);
    let assignments: Vec<_> = members
        .iter()
        .map(|member| SyncGroupRequestAssignment {
            member_id: member.id.clone(),
            assignment: Bytes::copy_from_slice(member.id.as_bytes()),
        })
        .collect();
    for (index, member) in members.iter_mut().enumerate() {
        member.send_sync(generation, if index == leaders[0] { assignments.clone() } else { Vec::new() });
    }
    for member in &mut members {
        let synced = member.peer.answer::<SyncGroupRequest>(SYNC);
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, member.id.as_bytes()));
    }
    witness.goes_on();

    // They all go in the middle of the next rebalance; whoever comes then has the group for himself in the end.
    members.iter_mut().for_each(Member::send_join);
    drop(members);
    let mut last = Member::new(&broker, "crowd", subscription("t"));
    until("the group has one member", || last.goes_through_a_rebalance() == 1);
    witness.finish();
}
