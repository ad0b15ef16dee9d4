//! Random histories of offsets: commits, transactions with their ends, deletions, expiry, appends that are refused or do not become
//! durable, restarts at any moment from the log or from a saved state.
//!
//! What must hold: what is fetched is what a simple model says, before and after every restart; so a commit that was acknowledged is
//! never lost, and no offset goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::offset_commit::OffsetCommitResponse;
use watershed_protocol::messages::txn_offset_commit::TxnOffsetCommitResponse;

use super::script::{commit_request, delete_request, fetch_request, txn_request};
use super::world::World;
use crate::groups::{GroupReply, GroupRequest};

const GROUPS: [&str; 3] = ["a", "b", "c"];
const TOPICS: [&str; 2] = ["t", "u"];
const PARTITIONS: i32 = 3;
const PRODUCERS: i64 = 3;
const RETENTION_MS: i64 = 180_000;

#[derive(Clone, Debug)]
enum Event {
    Commit { group: usize, topic: usize, partitions: Vec<i32>, retention_ms: i64 },
    TxnCommit { producer: i64, group: usize, topic: usize, partitions: Vec<i32> },
    End { producer: i64, committed: bool },
    Delete { group: usize, topic: usize, partition: i32 },
    DeleteGroup { group: usize },
    DeleteTopic { topic: usize },
    Advance { ms: u64 },
    Expire,
    Refuse(bool),
    Hold(bool),
    Save,
    Reload,
}

fn event() -> impl Strategy<Value = Event> {
    let (group, topic, partition) = (0..GROUPS.len(), 0..TOPICS.len(), 0..PARTITIONS);
    let partitions = || proptest::collection::vec(0..PARTITIONS, 1..4);
    let retention = prop_oneof![4 => Just(-1), 1 => Just(0), 1 => 1..200_000i64];
    prop_oneof![
        8 => (group.clone(), topic.clone(), partitions(), retention)
            .prop_map(|(group, topic, partitions, retention_ms)| Event::Commit { group, topic, partitions, retention_ms }),
        5 => (0..PRODUCERS, group.clone(), topic.clone(), partitions())
            .prop_map(|(producer, group, topic, partitions)| Event::TxnCommit { producer, group, topic, partitions }),
        4 => (0..PRODUCERS, any::<bool>()).prop_map(|(producer, committed)| Event::End { producer, committed }),
        2 => (group.clone(), topic.clone(), partition)
            .prop_map(|(group, topic, partition)| Event::Delete { group, topic, partition }),
        1 => group.prop_map(|group| Event::DeleteGroup { group }),
        1 => topic.prop_map(|topic| Event::DeleteTopic { topic }),
        2 => (1..100_000u64).prop_map(|ms| Event::Advance { ms }),
        2 => Just(Event::Expire),
        1 => any::<bool>().prop_map(Event::Refuse),
        1 => any::<bool>().prop_map(Event::Hold),
        1 => Just(Event::Save),
        2 => Just(Event::Reload),
    ]
}

type Key = (usize, usize, i32);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    offset: i64,
    at: i64,
    expires: Option<i64>,
    /// The order of commits.
    order: i64,
}

/// What ought to be.
#[derive(Clone, Debug, Default)]
struct Model {
    committed: BTreeMap<Key, Known>,
    pending: BTreeMap<i64, BTreeMap<Key, Known>>,
}

impl Model {
    fn is_pending(&self, key: &Key) -> bool {
        self.pending.values().any(|keys| keys.contains_key(key))
    }

    fn remove(&mut self, gone: impl Fn(&Key) -> bool) {
        self.committed.retain(|key, _| !gone(key));
        for keys in self.pending.values_mut() {
            keys.retain(|key, _| !gone(key));
        }
    }

    fn end(&mut self, producer: i64, committed: bool) {
        for (key, known) in self.pending.remove(&producer).unwrap_or_default() {
            if committed && self.committed.get(&key).is_none_or(|other| other.order < known.order) {
                self.committed.insert(key, known);
            }
        }
    }

    fn expire(&mut self, now: i64) {
        let is_old = |known: &Known| known.expires.map_or(now - known.at >= RETENTION_MS, |at| now >= at);
        let old: BTreeSet<Key> = self
            .committed
            .iter()
            .filter(|(key, known)| is_old(known) && !self.is_pending(key))
            .map(|(k, _)| *k)
            .collect();
        self.committed.retain(|key, _| !old.contains(key));
    }
}

struct History {
    world: World,
    model: Model,
    /// How the model stood when the log had so many entries.
    stood: Vec<(usize, Model)>,
    next_offset: i64,
    is_held: bool,
    is_refused: bool,
}

impl History {
    fn new() -> Self {
        let settings = [("offsets.retention.minutes", "3"), ("offsets.retention.check.interval.ms", "60000")];
        Self {
            world: World::new(&settings),
            model: Model::default(),
            stood: vec![(0, Model::default())],
            next_offset: 0,
            is_held: false,
            is_refused: false,
        }
    }

    fn happen(&mut self, event: &Event) {
        self.next_offset += 1;
        match event {
            Event::Commit { group, topic, partitions, retention_ms } => {
                self.commit(*group, *topic, partitions, *retention_ms);
            }
            Event::TxnCommit { producer, group, topic, partitions } => {
                self.commit_in_transaction(*producer, *group, *topic, partitions);
            }
            Event::End { producer, committed } => {
                self.world.mark(*producer, *committed);
                self.model.end(*producer, *committed);
            }
            Event::Delete { group, topic, partition } => self.delete(*group, *topic, *partition),
            Event::DeleteGroup { group } => self.delete_group(*group),
            Event::DeleteTopic { topic } => {
                let request = GroupRequest::TopicsDeleted(vec![Arc::from(TOPICS[*topic])]);
                if self.world.ask(0, request).unwrap().is_ok() {
                    self.model.remove(|(_, of, _)| of == topic);
                }
            }
            Event::Advance { ms } => self.advance(*ms),
            Event::Expire => self.expire(),
            Event::Refuse(refuse) => {
                *self.world.ground.refuses.lock() = refuse.then_some(ErrorCode::NotCoordinator);
                self.is_refused = *refuse;
            }
            Event::Hold(hold) => {
                self.world.hold(*hold);
                self.is_held = *hold;
            }
            Event::Save if self.is_held => {}
            Event::Save => self.world.save(),
            Event::Reload => self.reload(),
        }
        let length = self.world.ground.entries.lock().len();
        self.stood.push((length, self.model.clone()));
    }

    fn known(&self, retention_ms: i64) -> Known {
        let at = self.world.now();
        let expires = (retention_ms != -1).then_some(at + retention_ms);
        Known { offset: self.next_offset, at, expires, order: self.next_offset }
    }

    fn commit(&mut self, group: usize, topic: usize, partitions: &[i32], retention_ms: i64) {
        let offsets: Vec<_> = partitions.iter().map(|partition| (*partition, self.next_offset)).collect();
        let mut request = commit_request(GROUPS[group], TOPICS[topic], &offsets);
        request.retention_time_ms = retention_ms;
        let outcome = self.world.ask(4, GroupRequest::OffsetCommit(request)).unwrap();
        assert_eq!(outcome.is_err(), self.is_refused);
        let Ok(GroupReply::OffsetCommit(OffsetCommitResponse { topics, .. })) = outcome else { return };
        let known = self.known(retention_ms);
        for answered in topics.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!(answered.error_code, 0);
            self.model.committed.insert((group, topic, answered.partition_index), known);
        }
    }

    fn commit_in_transaction(&mut self, producer: i64, group: usize, topic: usize, partitions: &[i32]) {
        let offsets: Vec<_> = partitions.iter().map(|partition| (*partition, self.next_offset)).collect();
        let request = txn_request(producer, GROUPS[group], TOPICS[topic], &offsets);
        let outcome = self.world.ask(3, GroupRequest::TxnOffsetCommit(request)).unwrap();
        assert_eq!(outcome.is_err(), self.is_refused);
        let Ok(GroupReply::TxnOffsetCommit(TxnOffsetCommitResponse { topics, .. })) = outcome else { return };
        let known = self.known(-1);
        for answered in topics.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!(answered.error_code, 0);
            let key = (group, topic, answered.partition_index);
            self.model.pending.entry(producer).or_default().insert(key, known);
        }
    }

    fn delete(&mut self, group: usize, topic: usize, partition: i32) {
        let request = delete_request(GROUPS[group], TOPICS[topic], &[partition]);
        let outcome = self.world.ask(0, GroupRequest::OffsetDelete(request)).unwrap();
        let Ok(GroupReply::OffsetDelete(response)) = outcome else { return };
        let key = (group, topic, partition);
        let is_there = self.model.committed.contains_key(&key) || self.model.is_pending(&key);
        assert!(response.error_code == 0 || !is_there, "{response:?}");
        self.model.remove(|other| *other == key);
    }

    fn delete_group(&mut self, group: usize) {
        let outcome = self.world.ask(2, GroupRequest::DeleteGroups(vec![GROUPS[group].to_owned()])).unwrap();
        let Ok(GroupReply::DeleteGroups(results)) = outcome else { return };
        let has_offsets = self.model.committed.keys().any(|(of, ..)| *of == group)
            || self.model.pending.values().flat_map(BTreeMap::keys).any(|(of, ..)| *of == group);
        assert!(results[0].error_code == 0 || !has_offsets, "{results:?}");
        self.model.remove(|(of, ..)| *of == group);
    }

    fn expire(&mut self) {
        self.world.advance_to_timer();
        if !self.is_refused {
            self.model.expire(self.world.now());
        }
    }

    fn advance(&mut self, ms: u64) {
        if ms < self.world.until_timer() {
            self.world.advance(ms);
        } else {
            self.expire();
        }
    }

    fn reload(&mut self) {
        let durable = self.world.durable();
        self.world.reload();
        let stood = self.stood.iter().rev().find(|(length, _)| *length <= durable);
        self.model = stood.map(|(_, model)| model.clone()).unwrap();
        self.stood.retain(|(length, _)| *length <= durable);
    }

    fn check(&self) {
        for (group, name) in GROUPS.iter().enumerate() {
            for require_stable in [false, true] {
                let all: Vec<_> = (0..PARTITIONS).collect();
                let topics: Vec<_> = TOPICS.iter().map(|topic| (*topic, &all[..])).collect();
                let request = GroupRequest::OffsetFetch { group: fetch_request(name, Some(&topics)), require_stable };
                let Some(Ok(GroupReply::OffsetFetch(response))) = self.world.ask(9, request) else {
                    panic!("no reply")
                };
                assert_eq!(response.error_code, 0);
                for (topic, answered) in response.topics.iter().enumerate() {
                    for partition in &answered.partitions {
                        let key = (group, topic, partition.partition_index);
                        let unstable = require_stable && self.model.is_pending(&key);
                        let known = self.model.committed.get(&key).filter(|_| !unstable);
                        let code = if unstable { ErrorCode::UnstableOffsetCommit } else { ErrorCode::None };
                        assert_eq!(partition.error_code, code.code(), "{key:?}");
                        assert_eq!(partition.committed_offset, known.map_or(-1, |known| known.offset), "{key:?}");
                    }
                }
            }
        }
        let count = self.model.committed.len();
        let (len, listed) = self.world.look(|machine| (machine.offsets().len(), machine.offsets().iter().count()));
        assert_eq!((len, listed), (count, count));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_fetched_is_what_was_committed(events in proptest::collection::vec(event(), 1..80)) {
        let mut history = History::new();
        for event in &events {
            history.happen(event);
            history.check();
        }
        // In the end everything is durable, and is found again.
        history.happen(&Event::Hold(false));
        history.happen(&Event::Reload);
        history.check();
    }
}
