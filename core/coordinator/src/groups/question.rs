//! Questions to assignors that are asked outside the coordinator, because they are plugins and may take long.
//!
//! The machine gives a [`Question`] out (`Output::send`), which holds all that the assignor is to see; whoever carries it has it asked
//! where a thread may be held, and brings the [`Answer`] back as a request ([`GroupRequest::Assigned`](super::GroupRequest)). In the
//! meantime the group goes on, and other groups too.
//!
//! A group has one question under way at most. Its answer counts if the group is as it was when it was asked: the same epoch or
//! generation, and everything that the assignor was shown. Otherwise it is dropped and the group asks anew. Where the assignor fails,
//! and where no answer that counts has come for [`ANSWER_PATIENCE_MS`], the built-in takes over. So a lost question holds nobody for
//! ever, and neither does a group whose members come and go faster than the assignor answers.
//!
//! Questions are not written down: a coordinator that is loaded again asks again.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use watershed_metadata::MetadataImage;

use super::assignor::{Candidate, Targets};
use super::consumer::{Partitions, metadata_hash};
use super::{Assignors, Group, GroupCoordinator, GroupTimer, Output};
use crate::runtime::Now;

/// How long a group goes without an answer that counts until the built-in assigns, in milliseconds: forty times what a plugin may take
/// by default, and less than the thirty seconds for which clients wait for the reply to a SyncGroup.
pub const ANSWER_PATIENCE_MS: u64 = 20_000;

/// Who of a group is to own what? Asked of an assignor that is no part of the coordinator.
#[derive(Debug)]
pub struct Question {
    group: Arc<str>,
    number: u64,
    assignor: Arc<str>,
    shown: Arc<Shown>,
    assignors: Arc<Assignors>,
}

/// What came of a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub(super) group: Arc<str>,
    pub(super) number: u64,
    /// What each member is to own; or why the assignor does not say so, in words.
    pub(super) outcome: Result<Targets, String>,
}

impl Question {
    /// The group's id.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The assignor's name.
    #[must_use]
    pub fn assignor(&self) -> &str {
        &self.assignor
    }

    /// Whether the group still waits for the answer. One that does not, because it has begun another rebalance or is gone, drops it.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        // The group holds what was shown as long as it waits.
        Arc::strong_count(&self.shown) > 1
    }

    /// Asks the assignor. This takes as long as the assignor takes, and as long as others take who ask it before.
    #[must_use]
    pub fn ask(&self) -> Answer {
        self.answer(self.assignors.ask(&self.assignor, &self.shown.image, &self.shown.candidates()))
    }

    /// The answer where the assignor cannot be asked, or has not survived it.
    #[must_use]
    pub fn unanswered(&self, reason: &str) -> Answer {
        self.answer(Err(reason.to_owned()))
    }

    fn answer(&self, outcome: Result<Targets, String>) -> Answer {
        Answer { group: Arc::clone(&self.group), number: self.number, outcome }
    }
}

/// What an assignor is shown of a group, held without the group: texts and sets are shared with it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    image: Arc<MetadataImage>,
    members: Vec<ShownMember>,
}

/// A member, as an assignor is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShownMember {
    pub(super) member_id: Arc<str>,
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) rack: Option<Arc<str>>,
    /// The topics that it subscribes to by name.
    pub(super) topics: Arc<BTreeSet<String>>,
    /// The topics that its regular expression matches.
    pub(super) matched: Option<Arc<BTreeSet<String>>>,
    pub(super) owned: Arc<Partitions>,
    pub(super) user_data: Bytes,
}

impl Shown {
    pub(super) fn new(image: &Arc<MetadataImage>, members: Vec<ShownMember>) -> Self {
        Self { image: Arc::clone(image), members }
    }

    pub(super) fn candidates(&self) -> Vec<Candidate<'_>> {
        self.members.iter().map(ShownMember::candidate).collect()
    }

    fn topics(&self) -> BTreeSet<&str> {
        self.members.iter().flat_map(ShownMember::topics).collect()
    }

    /// Whether an assignor would be shown the same now.
    fn is_like(&self, now: &Self) -> bool {
        let has_same_topics = || metadata_hash(&self.image, &self.topics()) == metadata_hash(&now.image, &now.topics());
        self.members == now.members && (Arc::ptr_eq(&self.image, &now.image) || has_same_topics())
    }
}

impl ShownMember {
    fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().chain(self.matched.iter().flat_map(|matched| matched.iter())).map(String::as_str)
    }

    fn candidate(&self) -> Candidate<'_> {
        Candidate {
            member_id: &self.member_id,
            instance_id: self.instance_id.as_deref(),
            rack: self.rack.as_deref(),
            topics: self.topics().collect(),
            owned: &self.owned,
            user_data: &self.user_data,
        }
    }
}

/// A question of a group that is under way.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    number: u64,
    /// The group's epoch or generation.
    epoch: i32,
    pub(super) assignor: Arc<str>,
    shown: Arc<Shown>,
}

impl Asked {
    pub(super) fn is(&self, number: u64) -> bool {
        self.number == number
    }

    /// Whether its answer is one for the group as it is now.
    pub(super) fn is_about(&self, epoch: i32, now: &Shown) -> bool {
        self.epoch == epoch && self.shown.is_like(now)
    }
}

impl GroupCoordinator {
    /// Asks an assignor outside about a group as it is; what is under way from now on.
    pub(super) fn ask_outside(
        &mut self,
        (group_id, epoch): (&Arc<str>, i32),
        assignor: &str,
        shown: Shown,
        now: Now,
        out: &mut Output,
    ) -> Asked {
        self.questions += 1;
        let asked = Asked { number: self.questions, epoch, assignor: Arc::from(assignor), shown: Arc::new(shown) };
        let (group, assignor, shown) = (Arc::clone(group_id), Arc::clone(&asked.assignor), Arc::clone(&asked.shown));
        let assignors = Arc::clone(&self.assignors);
        out.send(Question { group, number: asked.number, assignor, shown, assignors });
        // Of a group that asks anew, the patience began before.
        out.schedule_if_absent(GroupTimer::Answer(Arc::clone(group_id)), now.elapsed_ms + ANSWER_PATIENCE_MS);
        asked
    }

    /// An answer has come.
    pub(super) fn assigned(&mut self, answer: Answer, now: Now, out: &mut Output) {
        self.answered(answer, false, now, out);
    }

    /// No answer that counts has come for long enough.
    pub(super) fn answer_is_overdue(&mut self, group_id: &Arc<str>, now: Now, out: &mut Output) {
        let asked = match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => group.asked.as_ref(),
            Some(Group::Classic(group)) => group.asked(),
            None => None,
        };
        let Some(asked) = asked else { return };
        let outcome = Err(format!("no answer that counts has come in {ANSWER_PATIENCE_MS} ms"));
        let answer = Answer { group: Arc::clone(group_id), number: asked.number, outcome };
        self.answered(answer, true, now, out);
    }

    fn answered(&mut self, answer: Answer, is_overdue: bool, now: Now, out: &mut Output) {
        match self.groups.get(&answer.group) {
            Some(Group::Consumer(_)) => self.consumer_answered(answer, is_overdue, now, out),
            Some(Group::Classic(_)) => self.classic_answered(answer, is_overdue, now, out),
            // The group is gone.
            None => {}
        }
    }
}
