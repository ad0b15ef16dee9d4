//! Questions to assignors that are plugins: asked on threads that may be held, answered as an event of the coordinator that asked.
//!
//! Each assignor is asked one question at a time, because an instance may keep state, and the others wait without holding a thread. So a
//! slow plugin delays the groups that use it and nobody else, until [`ASSIGNORS_AT_ONCE`] of them are at work. How many questions
//! wait is bounded by the groups, each of which waits for one at most, and their size by what the groups hold themselves; one that its
//! group does not wait for any more is not asked when its turn comes. How long an assignor
//! may take is for the host of its plugin to enforce; a group goes on without an answer after a while.
//!
//! An answer comes also when the assignor panics. It does not when the coordinator is gone: the one that comes next asks anew.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as Turn, Semaphore};
use watershed_coordinator::groups::{ANSWER_PATIENCE_MS, Answer, GroupCoordinator, GroupRequest, Question};
use watershed_coordinator::runtime::Coordinator;

/// How many assignors outside the coordinators are at work at once, and so how many threads they hold.
const ASSIGNORS_AT_ONCE: usize = 4;

/// Has questions asked, for all coordinators of the broker.
#[derive(Debug)]
pub(super) struct Questions {
    threads: Semaphore,
    /// Whose turn it is, by assignor: as many as plugins are configured.
    turns: Mutex<HashMap<String, Arc<Turn<()>>>>,
}

impl Questions {
    pub(super) fn new() -> Self {
        Self { threads: Semaphore::new(ASSIGNORS_AT_ONCE), turns: Mutex::default() }
    }

    /// Has a question asked, and its answer brought to the coordinator.
    pub(super) fn carry(
        self: &Arc<Self>,
        question: Question,
        coordinator: Weak<Coordinator<GroupCoordinator>>,
        runtime: &Handle,
    ) {
        let questions = Arc::clone(self);
        runtime.spawn(async move {
            let Some(answer) = questions.answer(question, &coordinator).await else { return };
            let Some(coordinator) = coordinator.upgrade() else { return };
            // Nobody waits for a reply. A closed coordinator needs no answer.
            let _ = coordinator.request(0, "", "", GroupRequest::Assigned(answer));
        });
    }

    /// The answer; `None` if nobody waits for it any more.
    async fn answer(&self, question: Question, asker: &Weak<Coordinator<GroupCoordinator>>) -> Option<Answer> {
        let turn = Arc::clone(self.turns.lock().entry(question.assignor().to_owned()).or_default());
        // The semaphore is never closed.
        let both = async { (turn.lock().await, self.threads.acquire().await) };
        // Later than that no group waits for the answer, and a plugin that hangs does not make questions pile up.
        let _both = tokio::time::timeout(Duration::from_millis(ANSWER_PATIENCE_MS), both).await.ok()?;
        if asker.strong_count() == 0 || !question.is_wanted() {
            return None;
        }
        let question = Arc::new(question);
        let asked = Arc::clone(&question);
        match tokio::task::spawn_blocking(move || asked.ask()).await {
            Ok(answer) => Some(answer),
            Err(error) if error.is_panic() => {
                let (group, assignor) = (question.group(), question.assignor());
                tracing::error!(group, assignor, "an assignor panicked");
                Some(question.unanswered("it panicked"))
            }
            // The runtime ends.
            Err(_) => None,
        }
    }
}
