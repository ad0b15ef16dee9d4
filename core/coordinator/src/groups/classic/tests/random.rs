//! Random histories of a group: members that join, sync, go silent, come back, change their mind; appends that are refused or slow;
//! restarts at any moment.
//!
//! What must hold: in one generation everyone gets parts of one assignment, so nothing has two owners; a restart finds the last
//! record that was written; the group's counts fit its members; when everything else stops and the members go on, the group becomes
//! stable; when they stop as well, it becomes empty; and no request is left without a reply.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::HeartbeatRequest;
use watershed_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use watershed_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use watershed_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::world::World;
use crate::groups::classic::{ClassicGroup, ClassicState};
use crate::groups::{Group, GroupCoordinator, GroupReply, GroupRequest};
use crate::records::GroupRecord;
use crate::runtime::StateMachine;

/// The first two are static, and the third fights with the first for its instance.
const CLIENTS: usize = 6;
/// Those that go on in the end.
const LASTING: [usize; 5] = [0, 1, 3, 4, 5];
const SESSION_MS: u64 = 10_000;
/// In seconds: members that wait with nobody behind them go after five minutes, and may be followed by others.
const SETTLE_ROUNDS_MAX: usize = 1_000;
/// How long a group must be stable to count as such, in seconds: longer than a session.
const QUIET_ROUNDS: usize = 15;

#[derive(Clone, Debug)]
enum Event {
    Join {
        client: usize,
        version: i16,
        protocols: usize,
    },
    Sync {
        client: usize,
    },
    Heartbeat {
        client: usize,
    },
    Leave {
        client: usize,
    },
    /// The client restarts and knows nothing.
    Forget {
        client: usize,
    },
    Advance {
        ms: u64,
    },
    Refuse(bool),
    Hold(bool),
    Reload,
}

fn event() -> impl Strategy<Value = Event> {
    let client = 0..CLIENTS;
    prop_oneof![
        8 => (client.clone(), prop::sample::select(vec![0_i16, 3, 4, 8, 9]), 0..4_usize)
            .prop_map(|(client, version, protocols)| Event::Join { client, version, protocols }),
        8 => client.clone().prop_map(|client| Event::Sync { client }),
        3 => client.clone().prop_map(|client| Event::Heartbeat { client }),
        1 => client.clone().prop_map(|client| Event::Leave { client }),
        1 => client.prop_map(|client| Event::Forget { client }),
        4 => prop::sample::select(vec![1_u64, 100, 3_000, 9_000, 61_000]).prop_map(|ms| Event::Advance { ms }),
        1 => any::<bool>().prop_map(Event::Refuse),
        2 => any::<bool>().prop_map(Event::Hold),
        1 => Just(Event::Reload),
    ]
}

/// Members, and what they were given.
struct History {
    world: World,
    /// The members that a leader was told, by client.
    led: BTreeMap<usize, Vec<String>>,
    /// Which SyncGroup's assignment was given out in each generation.
    given: BTreeMap<i32, String>,
    syncs: usize,
    /// The last generation that a client asked the assignment of.
    asked: BTreeMap<usize, Vec<i32>>,
}

impl History {
    fn new() -> Self {
        let world = World::new(&[("group.max.size", "5")]);
        Self { world, led: BTreeMap::new(), given: BTreeMap::new(), syncs: 0, asked: BTreeMap::new() }
    }

    fn instance_id(client: usize) -> Option<String> {
        (client < 3).then(|| format!("i{}", client % 2))
    }

    fn name(client: usize) -> String {
        format!("c{client}")
    }

    fn client(&self, client: usize) -> super::world::Client {
        self.world.clients.get(&Self::name(client)).cloned().unwrap_or_default()
    }

    fn join(&mut self, client: usize, version: i16, protocols: usize) {
        let names = [&["range"][..], &["range", "sticky"], &["sticky", "range"], &["range", "range"]][protocols];
        let protocol = |name: &&str| JoinGroupRequestProtocol {
            name: (*name).to_owned(),
            metadata: Bytes::copy_from_slice(format!("{protocols}").as_bytes()),
        };
        let request = JoinGroupRequest {
            group_id: "g".to_owned(),
            session_timeout_ms: SESSION_MS as i32,
            rebalance_timeout_ms: 60_000,
            member_id: self.client(client).member_id,
            group_instance_id: Self::instance_id(client),
            protocol_type: "consumer".to_owned(),
            protocols: names.iter().map(protocol).collect(),
            reason: None,
        };
        self.world.send(&Self::name(client), version, GroupRequest::JoinGroup(request));
    }

    fn sync(&mut self, client: usize) {
        let known = self.client(client);
        self.syncs += 1;
        let part = |member_id: &String| SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: Bytes::copy_from_slice(format!("{}/{member_id}", self.syncs).as_bytes()),
        };
        let members = self.led.get(&client).cloned().unwrap_or_default();
        let request = SyncGroupRequest {
            group_id: "g".to_owned(),
            generation_id: known.generation,
            member_id: known.member_id,
            group_instance_id: Self::instance_id(client),
            assignments: members.iter().map(part).collect(),
            ..SyncGroupRequest::default()
        };
        self.asked.entry(client).or_default().push(known.generation);
        self.world.send(&Self::name(client), 4, GroupRequest::SyncGroup(request));
    }

    fn heartbeat(&mut self, client: usize) {
        let known = self.client(client);
        let request = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: known.generation,
            member_id: known.member_id.as_str().into(),
            group_instance_id: Self::instance_id(client).map(|id| id.as_str().into()),
        };
        self.world.send(&Self::name(client), 4, GroupRequest::Heartbeat(request));
    }

    fn leave(&mut self, client: usize) {
        let (member_id, group_instance_id) = (self.client(client).member_id, Self::instance_id(client));
        let members = vec![MemberIdentity { member_id, group_instance_id, reason: None }];
        let request = LeaveGroupRequest { group_id: "g".to_owned(), member_id: String::new(), members };
        self.world.send(&Self::name(client), 5, GroupRequest::LeaveGroup(request));
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Join { client, version, protocols } => self.join(client, version, protocols),
            Event::Sync { client } => self.sync(client),
            Event::Heartbeat { client } => self.heartbeat(client),
            Event::Leave { client } => self.leave(client),
            Event::Forget { client } => drop(self.world.clients.remove(&Self::name(client))),
            Event::Advance { ms } => self.world.advance(ms),
            Event::Refuse(refuse) => {
                *self.world.ground.refuses.lock() = refuse.then_some(ErrorCode::NotEnoughReplicas);
            }
            Event::Hold(hold) => self.world.hold(hold),
            Event::Reload => self.world.reload(&[]),
        }
    }

    /// Takes the replies and checks them; gives what clients heard.
    fn hear(&mut self) -> Vec<(usize, Result<GroupReply, ErrorCode>)> {
        let heard = self.world.replies();
        let mut of_clients = Vec::new();
        for (name, outcome) in heard {
            let client: usize = name[1..].parse().unwrap();
            match &outcome {
                Ok(GroupReply::JoinGroup(reply)) if reply.error_code == 0 => {
                    // A leader that is to leave the assignment as it is assigns nothing.
                    let members = if reply.skip_assignment { Vec::new() } else { reply.members.clone() };
                    self.led.insert(client, members.into_iter().map(|member| member.member_id).collect());
                }
                Ok(GroupReply::SyncGroup(_)) | Err(_) => self.check_assignment(client, &outcome),
                Ok(_) => {}
            }
            of_clients.push((client, outcome));
        }
        of_clients
    }

    /// One assignment in each generation; the part of nobody else.
    fn check_assignment(&mut self, client: usize, outcome: &Result<GroupReply, ErrorCode>) {
        let Ok(GroupReply::SyncGroup(reply)) = outcome else { return };
        if reply.error_code != 0 || reply.assignment.is_empty() {
            return;
        }
        let text = String::from_utf8(reply.assignment.to_vec()).unwrap();
        let (sync, member_id) = text.split_once('/').unwrap();
        let owner = Self::instance_id(client).unwrap_or_else(|| Self::name(client));
        assert!(member_id.starts_with(&format!("{owner}-")), "client {client} got the part of {member_id}");
        let asked = self.asked.get(&client).cloned().unwrap_or_default();
        // The reply does not say of which generation it is: one of those that the client asked for, the last that fits. The
        // largest need not be it: a generation that was lost before it was stored is followed by smaller ones.
        let fits = |generation: &i32| self.given.get(generation).is_none_or(|given| given == sync);
        let generation = asked.iter().rev().copied().find(fits);
        let generation = generation.unwrap_or_else(|| panic!("two assignments in a generation of {asked:?}: {sync}"));
        self.given.insert(generation, sync.to_owned());
    }

    /// What holds at every moment.
    fn check(&self) {
        let records = self.world.ground.records.lock().clone();
        self.world.with_groups(move |machine| {
            let mut stored = Vec::new();
            machine.snapshot(&mut |record, _| stored.push(record));
            let last = records.last().and_then(|(key, value)| GroupCoordinator::decode(key, value.as_ref()).unwrap());
            // Groups that have been empty for long enough expire.
            let last = last.filter(|record| !matches!(record, GroupRecord::GroupMetadata { value: None, .. }));
            assert_eq!(stored, last.into_iter().collect::<Vec<_>>(), "a restart would find something else");
            if let Some(Group::Classic(group)) = machine.groups().get("g") {
                check_group(group);
            }
        });
    }

    fn state(&self) -> Option<(ClassicState, usize)> {
        self.world.with_groups(|machine| match machine.groups().get("g") {
            Some(Group::Classic(group)) => Some((group.state(), group.members().len())),
            _ => None,
        })
    }

    /// The members go on as clients do, one request at a time, until nothing changes any more.
    fn settle(&mut self) {
        *self.world.ground.refuses.lock() = None;
        self.world.hold(false);
        let mut next: BTreeMap<usize, Next> = LASTING.map(|client| (client, Next::Join)).into();
        let mut quiet = 0;
        for _ in 0..SETTLE_ROUNDS_MAX {
            for (client, outcome) in self.hear() {
                if let Some(next) = next.get_mut(&client) {
                    *next = self.react(client, &outcome);
                }
            }
            self.check();
            for (client, next) in &mut next {
                if self.world.waits(&Self::name(*client)) {
                    continue;
                }
                match std::mem::replace(next, Next::Heartbeat) {
                    Next::Join => self.join(*client, 9, 0),
                    Next::Sync => self.sync(*client),
                    Next::Heartbeat => self.heartbeat(*client),
                }
            }
            self.world.advance(1_000);
            quiet = if self.state() == Some((ClassicState::Stable, LASTING.len())) { quiet + 1 } else { 0 };
            if quiet == QUIET_ROUNDS {
                return;
            }
        }
    }

    fn react(&mut self, client: usize, outcome: &Result<GroupReply, ErrorCode>) -> Next {
        let (error, is_join) = match outcome {
            Ok(GroupReply::JoinGroup(reply)) => (reply.error_code, true),
            Ok(GroupReply::SyncGroup(reply)) => (reply.error_code, false),
            Ok(GroupReply::Heartbeat(reply)) => (reply.error_code, false),
            Ok(_) => return Next::Join,
            Err(code) => (code.code(), false),
        };
        match ErrorCode::from_code(error).unwrap() {
            ErrorCode::None if is_join => Next::Sync,
            ErrorCode::None => Next::Heartbeat,
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId | ErrorCode::GroupMaxSizeReached => {
                self.world.clients.remove(&Self::name(client));
                Next::Join
            }
            _ => Next::Join,
        }
    }
}

/// What a client does next.
enum Next {
    Join,
    Sync,
    Heartbeat,
}

fn check_group(group: &ClassicGroup) {
    assert_eq!(group.awaiting_join, group.members().filter(|member| member.is_awaiting_join()).count());
    assert_eq!(group.leader.is_some(), group.members().len() > 0);
    assert!(group.leader.as_ref().is_none_or(|leader| group.members.contains_key(leader)));
    assert!(group.pending_sync.iter().all(|member_id| group.members.contains_key(member_id)));
    assert!(group.pending_join.iter().all(|member_id| !group.members.contains_key(member_id)));
    for (instance_id, member_id) in &group.static_members {
        assert_eq!(group.members[member_id].instance_id.as_ref(), Some(instance_id));
    }
    let of_members = group.members().filter(|member| member.is_static()).count();
    assert_eq!(group.static_members.len(), of_members);
    if group.members().len() > 0 {
        assert!(group.candidate_protocols().next().is_some(), "the members share no protocol");
        assert_eq!(group.candidate_protocols().count() > 0, group.select_protocol().is_some());
    }
    for member in group.members() {
        assert!(member.awaiting_sync.is_none() || group.is_in(ClassicState::CompletingRebalance));
        let may_join = group.is_in(ClassicState::PreparingRebalance) || group.replaced.contains_key(&member.member_id);
        assert!(member.awaiting_join.is_none() || may_join, "a JoinGroup waits for nothing");
    }
    if group.is_in(ClassicState::Empty) {
        assert_eq!(group.members().len(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_keep_the_rules(events in prop::collection::vec(event(), 1..150)) {
        let mut history = History::new();
        for event in &events {
            history.happen(event);
            history.hear();
            history.check();
        }
        history.settle();
        history.hear();
        prop_assert_eq!(history.state(), Some((ClassicState::Stable, LASTING.len())));
        prop_assert_eq!(history.world.waiting(), 0);
        // Everyone goes silent.
        history.world.advance(SESSION_MS + 60_000 + 1);
        history.world.advance(SESSION_MS + 60_000 + 1);
        history.hear();
        history.check();
        prop_assert!(matches!(history.state(), None | Some((ClassicState::Empty, 0))));
        prop_assert_eq!(history.world.waiting(), 0);
    }
}
