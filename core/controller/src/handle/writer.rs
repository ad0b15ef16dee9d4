//! The one task that proposes records.
//!
//! Requests come as jobs that judge themselves: the queue need not know what kinds there are. A group of them is
//! judged one after the other, each by the image as the ones before left it, and committed as one entry.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::Raft;
use openraft::error::{ClientWriteError, RaftError};
use tokio::sync::mpsc;
use watershed_metadata::{MetadataImage, MetadataRecord, encode_batch};
use watershed_model::limits::{CONTROLLER_GROUP_MAX, METADATA_SNAPSHOT_BYTES};
use watershed_model::{BrokerId, ClusterId, TopicId};

use super::broker_id;
use crate::ControllerError;
use crate::controller::{Controller, NewTopicId};
use crate::quorum::{Failure, Member, OpenError, Proposal, Published, RaftTypes};

/// One request, waiting for its turn.
pub(super) type Job = Box<dyn FnOnce(Turn<'_>) -> Option<Judged> + Send>;

/// What happens to a request when its turn comes.
pub(super) enum Turn<'a> {
    /// It is judged.
    Judge(&'a Controller, &'a MetadataImage, NewTopicId<'a>),
    /// It is turned away, and answers so at once.
    Refuse(ControllerError),
}

/// A request that was judged: what to commit, and how to answer.
pub(super) struct Judged {
    pub(super) records: Vec<MetadataRecord>,
    pub(super) answer: Answer,
}

pub(super) type Answer = Box<dyn FnOnce(Result<(), ControllerError>) + Send>;

/// The one task that proposes records.
pub(super) struct Writer {
    node: BrokerId,
    pub(super) raft: Raft<RaftTypes>,
    published: Arc<Published>,
    failure: Failure,
    log_bytes: Arc<AtomicU64>,
    controller: Controller,
    random: Box<dyn FnMut() -> [u8; 16] + Send>,
    /// The term in which this node's image is known to hold everything committed before it.
    ready_term: Option<u64>,
}

impl Writer {
    pub(super) fn new(
        node: BrokerId,
        member: &Member,
        controller: Controller,
        random: Box<dyn FnMut() -> [u8; 16] + Send>,
    ) -> Self {
        Self {
            node,
            raft: member.raft.clone(),
            published: Arc::clone(&member.published),
            failure: member.failure.clone(),
            log_bytes: Arc::clone(&member.log_bytes),
            controller,
            random,
            ready_term: None,
        }
    }

    /// Waits for a leader; if it is this node, until the image holds the whole log, and gives a new cluster its
    /// identity.
    pub(super) async fn join(&mut self, new_cluster: ClusterId) -> Result<(), OpenError> {
        let failed = |error: &dyn fmt::Display| OpenError::Quorum(error.to_string());
        loop {
            let mut metrics = self.raft.metrics();
            let led = metrics.wait_for(|m| m.current_leader.is_some() || m.running_state.is_err()).await;
            let (leader, running) = led.map(|m| (m.current_leader, m.running_state.clone())).map_err(|e| failed(&e))?;
            if let Err(error) = running {
                let reason = self.failure.borrow().as_deref().map(str::to_owned);
                return Err(OpenError::Quorum(reason.unwrap_or_else(|| error.to_string())));
            }
            if leader.map(broker_id) != Some(self.node) {
                return Ok(());
            }
            let joined = match self.ready().await {
                Ok(()) if self.published.current().image.cluster_id().is_none() => {
                    let records = self.controller.bootstrap(new_cluster);
                    self.propose(&records).await
                }
                other => other,
            };
            match joined {
                // Leadership went elsewhere meanwhile: look again.
                Err(ControllerError::NotLeader { .. }) => {}
                other => return other.map_err(|error| failed(&error)),
            }
        }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut group = Vec::new();
        while queue.recv_many(&mut group, CONTROLLER_GROUP_MAX).await > 0 {
            self.serve(&mut group).await;
            if self.log_bytes.load(Ordering::Relaxed) > METADATA_SNAPSHOT_BYTES {
                // An error means that the quorum has stopped; the next request says so.
                drop(self.raft.trigger().snapshot().await);
            }
        }
    }

    /// Judges a group of requests, commits what they need, answers them.
    async fn serve(&mut self, group: &mut Vec<Job>) {
        if let Err(error) = self.ready().await {
            for job in group.drain(..) {
                job(Turn::Refuse(error.clone()));
            }
            return;
        }
        let mut image = MetadataImage::clone(&self.published.current().image);
        let mut records = Vec::new();
        let mut answers: Vec<Answer> = Vec::with_capacity(group.len());
        for job in group.drain(..) {
            let random = &mut self.random;
            let new_id = &mut || TopicId::random(&mut *random);
            let Some(judged) = job(Turn::Judge(&self.controller, &image, new_id)) else {
                continue;
            };
            for record in &judged.records {
                image.apply(record).expect("the controller writes only records that fit the image");
            }
            records.extend(judged.records);
            answers.push(judged.answer);
        }
        let committed = if records.is_empty() { Ok(()) } else { self.propose(&records).await };
        for answer in answers {
            answer(committed.clone());
        }
    }

    /// Makes sure that this node leads and that its image holds all that was committed before it did.
    async fn ready(&mut self) -> Result<(), ControllerError> {
        let (term, leader) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            (metrics.current_term, metrics.current_leader)
        };
        if leader.map(broker_id) != Some(self.node) {
            self.running()?;
            return Err(ControllerError::NotLeader { leader: leader.map(broker_id) });
        }
        if self.ready_term != Some(term) {
            // An empty batch: when it is applied, so is everything before it.
            self.propose(&[]).await?;
            self.ready_term = Some(term);
        }
        Ok(())
    }

    /// Commits records and waits until they are applied.
    async fn propose(&mut self, records: &[MetadataRecord]) -> Result<(), ControllerError> {
        let base = self.published.current().version;
        let proposal = Proposal { base, batch: encode_batch(records) };
        match self.raft.client_write(proposal).await {
            Ok(response) if response.data.accepted => Ok(()),
            // Judged by an image that was not the newest: another leader was there in between.
            Ok(_) => {
                self.ready_term = None;
                Err(ControllerError::NotLeader { leader: None })
            }
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                self.ready_term = None;
                Err(ControllerError::NotLeader { leader: forward.leader_id.map(broker_id) })
            }
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => {
                Err(ControllerError::StoreFailed(error.to_string()))
            }
            Err(RaftError::Fatal(error)) => {
                self.running()?;
                Err(ControllerError::StoreFailed(error.to_string()))
            }
        }
    }

    fn running(&self) -> Result<(), ControllerError> {
        match self.failure.borrow().as_deref() {
            Some(failure) => Err(ControllerError::StoreFailed(failure.to_owned())),
            None => Ok(()),
        }
    }
}
