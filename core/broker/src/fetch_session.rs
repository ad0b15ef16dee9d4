//! Fetch sessions (KIP-227): the broker remembers a consumer's partitions, so that a request names only what changed
//! and a response holds only what moved.
//!
//! Pure bookkeeping: ids, epochs and eviction; nothing is read or sent here. A session is never necessary: without a
//! free slot the answer is session id 0 and the client goes on with full requests.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use watershed_model::TopicId;
use watershed_protocol::{ErrorCode, StrBytes};

/// How long a session must lie unused, or live, before it may be pushed out (Kafka's fixed two minutes).
const EVICTION_AGE: Duration = Duration::from_secs(120);

/// "No session".
pub(crate) const INVALID_SESSION_ID: i32 = 0;
/// A full request that would like a session.
const INITIAL_EPOCH: i32 = 0;
/// A full request that closes its session and wants none.
const FINAL_EPOCH: i32 = -1;

/// Which partition: by id from version 13 on (the name is empty), by name before (the id is zero).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FetchKey {
    pub(crate) topic_id: TopicId,
    pub(crate) topic: StrBytes,
    pub(crate) partition: i32,
}

/// What a consumer wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) fetch_offset: i64,
    pub(crate) max_bytes: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
}

/// What decides whether an incremental response must mention a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) error: bool,
    pub(crate) diverging: bool,
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) record_bytes: usize,
}

/// How a request relates to a session; it is finished with [`FetchSessions::finish`].
#[derive(Debug)]
pub(crate) enum FetchContext {
    /// No session, and none wanted.
    Sessionless,
    /// A full request that would like one.
    Full { uses_topic_ids: bool },
    /// A request within a session; `epoch` is the one that the next request must carry.
    Incremental { id: i32, epoch: i32 },
}

#[derive(Debug)]
struct Cached {
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
}

#[derive(Debug, Default)]
struct Session {
    uses_topic_ids: bool,
    created: Duration,
    last_used: Duration,
    epoch: i32,
    /// In the order in which they are served: what got data moves to the end, so that nobody starves.
    order: BTreeMap<u64, (FetchKey, Cached)>,
    places: HashMap<FetchKey, u64>,
    next_place: u64,
}

impl Session {
    fn insert(&mut self, key: FetchKey, cached: Cached) {
        let place = self.next_place;
        self.next_place += 1;
        self.places.insert(key.clone(), place);
        self.order.insert(place, (key, cached));
    }

    fn want(&mut self, key: FetchKey, wanted: Wanted) {
        match self.places.get(&key).and_then(|place| self.order.get_mut(place)) {
            Some((_, cached)) => cached.wanted = wanted,
            None => self.insert(key, Cached { wanted, high_watermark: -1, log_start_offset: -1 }),
        }
    }

    fn forget(&mut self, key: &FetchKey) {
        if let Some(place) = self.places.remove(key) {
            self.order.remove(&place);
        }
    }

    /// Notes what was found; says whether the response must hold it.
    fn note(&mut self, key: &FetchKey, found: &Found) -> bool {
        let Some(place) = self.places.get(key).copied() else { return true };
        let Some((_, cached)) = self.order.get_mut(&place) else { return true };
        let changed = found.record_bytes > 0
            || cached.high_watermark != found.high_watermark
            || cached.log_start_offset != found.log_start_offset
            || found.error
            || found.diverging;
        // After an error the partition is sent again as soon as the error is gone.
        cached.high_watermark = if found.error { -1 } else { found.high_watermark };
        cached.log_start_offset = found.log_start_offset;
        if found.record_bytes > 0
            && let Some((key, cached)) = self.order.remove(&place)
        {
            self.insert(key, cached);
        }
        changed
    }
}

/// The sessions of a broker.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    slots_max: usize,
    sessions: Mutex<HashMap<i32, Session>>,
}

impl FetchSessions {
    /// `slots_max` is `max.incremental.fetch.session.cache.slots`.
    pub(crate) fn new(slots_max: usize) -> Self {
        Self { slots_max, sessions: Mutex::default() }
    }

    /// How many sessions are open.
    pub(crate) fn len(&self) -> usize {
        self.sessions.lock().len()
    }

    /// Finds out what a request is, updates its session and returns the partitions to be fetched, in order.
    ///
    /// # Errors
    /// The code for the whole response: no such session (70), wrong epoch (71), ids and names mixed (106).
    pub(crate) fn begin(
        &self,
        version: i16,
        (id, epoch): (i32, i32),
        wanted: Vec<(FetchKey, Wanted)>,
        forgotten: &[FetchKey],
        now: Duration,
    ) -> Result<(FetchContext, Vec<(FetchKey, Wanted)>), ErrorCode> {
        let uses_topic_ids = version >= 13;
        let mut sessions = self.sessions.lock();
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            if id != INVALID_SESSION_ID {
                sessions.remove(&id);
            }
            let context =
                if epoch == FINAL_EPOCH { FetchContext::Sessionless } else { FetchContext::Full { uses_topic_ids } };
            return Ok((context, wanted));
        }
        let session = sessions.get_mut(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        for (key, want) in wanted.iter().cloned() {
            session.want(key, want);
        }
        for key in forgotten {
            session.forget(key);
        }
        if session.order.is_empty() {
            sessions.remove(&id);
            return Ok((FetchContext::Sessionless, wanted));
        }
        session.epoch = next_epoch(session.epoch);
        session.last_used = now;
        let all = session.order.values().map(|(key, cached)| (key.clone(), cached.wanted)).collect();
        Ok((FetchContext::Incremental { id, epoch: session.epoch }, all))
    }

    /// Ends a request: the session id for the response, and per partition whether the response must hold it.
    ///
    /// # Errors
    /// The code for the whole response and the session's id, if another request took the session in the meantime.
    pub(crate) fn finish(
        &self,
        context: &FetchContext,
        answers: &[(FetchKey, Wanted, Found)],
        random: impl FnMut() -> u32,
        now: Duration,
    ) -> Result<(i32, Vec<bool>), (ErrorCode, i32)> {
        match context {
            FetchContext::Sessionless => Ok((INVALID_SESSION_ID, vec![true; answers.len()])),
            FetchContext::Full { uses_topic_ids } => {
                let id = self.create(*uses_topic_ids, answers, random, now);
                Ok((id, vec![true; answers.len()]))
            }
            FetchContext::Incremental { id, epoch } => {
                let mut sessions = self.sessions.lock();
                match sessions.get_mut(id) {
                    Some(session) if session.epoch == *epoch => {
                        let keep = answers.iter().map(|(key, _, found)| session.note(key, found)).collect();
                        Ok((*id, keep))
                    }
                    _ => Err((ErrorCode::InvalidFetchSessionEpoch, *id)),
                }
            }
        }
    }

    fn create(
        &self,
        uses_topic_ids: bool,
        answers: &[(FetchKey, Wanted, Found)],
        mut random: impl FnMut() -> u32,
        now: Duration,
    ) -> i32 {
        let mut sessions = self.sessions.lock();
        if self.slots_max == 0 || sessions.len() >= self.slots_max && !evict(&mut sessions, answers.len(), now) {
            return INVALID_SESSION_ID;
        }
        let id = loop {
            let id = (random() & 0x7fff_ffff) as i32;
            if id != INVALID_SESSION_ID && !sessions.contains_key(&id) {
                break id;
            }
        };
        let mut session = Session {
            uses_topic_ids,
            created: now,
            last_used: now,
            epoch: next_epoch(INITIAL_EPOCH),
            ..Session::default()
        };
        for (key, wanted, found) in answers {
            let (high_watermark, log_start_offset) = (found.high_watermark, found.log_start_offset);
            session.forget(key);
            session.insert(key.clone(), Cached { wanted: *wanted, high_watermark, log_start_offset });
        }
        sessions.insert(id, session);
        id
    }
}

/// Makes room for a session of `size` partitions: the longest unused one if it is stale, otherwise the smallest that is
/// not young, if it is no larger than the new one.
fn evict(sessions: &mut HashMap<i32, Session>, size: usize, now: Duration) -> bool {
    let age = |since: Duration| now.saturating_sub(since);
    let stale = sessions
        .iter()
        .filter(|(_, session)| age(session.last_used) > EVICTION_AGE)
        .min_by_key(|(id, session)| (session.last_used, **id));
    let smaller = || {
        sessions
            .iter()
            .filter(|(_, session)| age(session.created) > EVICTION_AGE && session.order.len() <= size)
            .min_by_key(|(id, session)| (session.order.len(), **id))
    };
    let Some(id) = stale.or_else(smaller).map(|(id, _)| *id) else { return false };
    sessions.remove(&id).is_some()
}

/// Epochs go 0, 1, … and after the largest number 1 again, since 0 and -1 have a meaning of their own.
fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        i32::MAX => 1,
        epoch if epoch < 0 => FINAL_EPOCH,
        epoch => epoch + 1,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn key(partition: i32) -> FetchKey {
        FetchKey { topic_id: TopicId([7; 16]), topic: StrBytes::default(), partition }
    }

    fn want(fetch_offset: i64) -> Wanted {
        Wanted { fetch_offset, max_bytes: 1 << 20, current_leader_epoch: -1, last_fetched_epoch: -1 }
    }

    fn found(high_watermark: i64, record_bytes: usize) -> Found {
        Found { error: false, diverging: false, high_watermark, log_start_offset: 0, record_bytes }
    }

    fn open(sessions: &FetchSessions, partitions: i32, now: Duration) -> i32 {
        let wanted: Vec<_> = (0..partitions).map(|p| (key(p), want(0))).collect();
        let (context, all) = sessions.begin(13, (0, 0), wanted, &[], now).unwrap();
        let answers: Vec<_> = all.into_iter().map(|(k, w)| (k, w, found(5, 0))).collect();
        let mut next = sessions.len() as u32;
        let (id, keep) = sessions
            .finish(
                &context,
                &answers,
                || {
                    next += 1;
                    next
                },
                now,
            )
            .unwrap();
        assert!(keep.iter().all(|k| *k), "a full response holds exactly what was asked for");
        id
    }

    #[test]
    fn an_incremental_response_holds_what_moved() {
        let sessions = FetchSessions::new(10);
        let id = open(&sessions, 3, NOW);
        let (context, all) = sessions.begin(13, (id, 1), vec![(key(1), want(4))], &[key(2)], NOW).unwrap();
        assert_eq!(all, vec![(key(0), want(0)), (key(1), want(4))]);
        let answers = [(key(0), want(0), found(5, 0)), (key(1), want(4), found(5, 100))];
        assert_eq!(sessions.finish(&context, &answers, || 1, NOW), Ok((id, vec![false, true])));
        // A partition that gave records goes behind the others.
        let (_, all) = sessions.begin(13, (id, 2), vec![(key(4), want(0))], &[], NOW).unwrap();
        let order: Vec<i32> = all.iter().map(|(key, _)| key.partition).collect();
        assert_eq!(order, [0, 1, 4]);
    }

    #[test]
    fn after_an_error_a_partition_is_sent_again() {
        let sessions = FetchSessions::new(10);
        let id = open(&sessions, 1, NOW);
        let (context, _) = sessions.begin(13, (id, 1), vec![], &[], NOW).unwrap();
        let failed = Found { error: true, ..found(5, 0) };
        assert_eq!(sessions.finish(&context, &[(key(0), want(0), failed)], || 1, NOW), Ok((id, vec![true])));
        let (context, _) = sessions.begin(13, (id, 2), vec![], &[], NOW).unwrap();
        assert_eq!(sessions.finish(&context, &[(key(0), want(0), found(5, 0))], || 1, NOW), Ok((id, vec![true])));
        let (context, _) = sessions.begin(13, (id, 3), vec![], &[], NOW).unwrap();
        assert_eq!(sessions.finish(&context, &[(key(0), want(0), found(5, 0))], || 1, NOW), Ok((id, vec![false])));
    }

    #[test]
    fn wrong_ids_epochs_and_kinds_are_refused() {
        let sessions = FetchSessions::new(10);
        let id = open(&sessions, 1, NOW);
        let begin = |version, metadata| sessions.begin(version, metadata, vec![], &[], NOW).map(|_| ()).unwrap_err();
        assert_eq!(begin(13, (id + 1, 1)), ErrorCode::FetchSessionIdNotFound);
        assert_eq!(begin(13, (id, 2)), ErrorCode::InvalidFetchSessionEpoch);
        assert_eq!(begin(12, (id, 1)), ErrorCode::FetchSessionTopicIdError);
        assert!(sessions.begin(13, (id, -1), vec![], &[], NOW).is_ok());
        assert_eq!(begin(13, (id, 1)), ErrorCode::FetchSessionIdNotFound);
    }

    #[test]
    fn a_session_without_partitions_ends() {
        let sessions = FetchSessions::new(10);
        let id = open(&sessions, 1, NOW);
        let (context, all) = sessions.begin(13, (id, 1), vec![], &[key(0)], NOW).unwrap();
        assert!(matches!(context, FetchContext::Sessionless) && all.is_empty());
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn a_full_cache_lets_go_of_the_stale_and_the_small() {
        let sessions = FetchSessions::new(2);
        let (first, second) = (open(&sessions, 2, NOW), open(&sessions, 5, NOW));
        assert_eq!(open(&sessions, 9, NOW), INVALID_SESSION_ID, "both are young");
        let later = NOW + EVICTION_AGE + Duration::from_secs(1);
        sessions.begin(13, (first, 1), vec![], &[], later).unwrap();
        sessions.begin(13, (second, 1), vec![], &[], later).unwrap();
        assert_eq!(open(&sessions, 1, later), INVALID_SESSION_ID, "both are larger and in use");
        assert_ne!(open(&sessions, 3, later), INVALID_SESSION_ID, "the smaller one goes");
        assert!(sessions.begin(13, (first, 2), vec![], &[], later).is_err());
        let much_later = later + EVICTION_AGE + Duration::from_secs(1);
        assert_ne!(open(&sessions, 1, much_later), INVALID_SESSION_ID, "a stale one goes whatever its size");
    }

    #[test]
    fn epochs_wrap_past_the_reserved_ones() {
        assert_eq!((next_epoch(0), next_epoch(i32::MAX), next_epoch(-1)), (1, 1, -1));
    }
}
