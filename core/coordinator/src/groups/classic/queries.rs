//! What others ask of a classic group: whether offsets may be committed or deleted, what it looks like.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::describe_groups::DescribedGroup;

use super::group::ClassicGroup;
use super::state::ClassicState;
use crate::groups::{Committer, ExpirationBase, GroupError, Output};
use crate::records::GroupRecord;

/// A refusal whose code says everything.
pub(super) fn refusal(code: ErrorCode) -> GroupError {
    GroupError::new(code, code.message())
}

impl ClassicGroup {
    /// Whether this member may speak: an instance id must be of this member id, and the member must be here.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, or `FENCED_INSTANCE_ID` if the instance has another member id by now.
    pub(in crate::groups) fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.static_member_id(instance_id) {
                None => return Err(refusal(ErrorCode::UnknownMemberId)),
                Some(present) if **present != *member_id => {
                    tracing::info!(
                        group = %self.group_id, member = member_id, instance = instance_id, %present,
                        "a static member is fenced: another one has its instance id",
                    );
                    return Err(refusal(ErrorCode::FencedInstanceId));
                }
                Some(_) => {}
            }
        }
        if self.member(member_id).is_none() {
            return Err(refusal(ErrorCode::UnknownMemberId));
        }
        Ok(())
    }

    /// Whether offsets may be committed.
    ///
    /// # Errors
    /// The refusal.
    pub(in crate::groups) fn check_commit(&self, committer: &Committer<'_>) -> Result<(), GroupError> {
        let Committer { member_id, instance_id, generation, is_transactional, .. } = *committer;
        // A negative generation is that of tools and of consumers that assign themselves: theirs is an empty group.
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.check_member(member_id, instance_id)?;
            if generation != self.generation {
                return Err(refusal(ErrorCode::IllegalGeneration));
            }
        } else if !is_transactional {
            // Transactions of producers that know nothing of members (before KIP-447) may commit at any time.
            return Err(refusal(ErrorCode::UnknownMemberId));
        }
        if !is_transactional && self.is_in(ClassicState::CompletingRebalance) {
            // The member knows the generation, so it only has to be told to go on with the rebalance.
            return Err(refusal(ErrorCode::RebalanceInProgress));
        }
        Ok(())
    }

    /// Whether offsets may be fetched: of any classic group.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "consumer groups are asked the same")]
    pub(in crate::groups) fn check_offset_fetch(&self) -> Result<(), GroupError> {
        Ok(())
    }

    /// Whether offsets of topics that nobody subscribes to may be deleted.
    ///
    /// # Errors
    /// `NON_EMPTY_GROUP` if it cannot be known which those are.
    pub(in crate::groups) fn check_offset_delete(&self) -> Result<(), GroupError> {
        match self.state {
            ClassicState::Empty => Ok(()),
            ClassicState::PreparingRebalance | ClassicState::CompletingRebalance | ClassicState::Stable => {
                if self.uses_consumer_protocol() { Ok(()) } else { Err(refusal(ErrorCode::NonEmptyGroup)) }
            }
        }
    }

    /// Whether the group may be deleted.
    ///
    /// # Errors
    /// `NON_EMPTY_GROUP`.
    pub(in crate::groups) fn check_delete(&self) -> Result<(), GroupError> {
        match self.state {
            ClassicState::Empty => Ok(()),
            ClassicState::PreparingRebalance | ClassicState::CompletingRebalance | ClassicState::Stable => {
                Err(refusal(ErrorCode::NonEmptyGroup))
            }
        }
    }

    /// Whether a member subscribes to the topic. Of consumers whose subscriptions cannot be read: yes, to be careful.
    pub(in crate::groups) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Removes the group's record.
    pub(in crate::groups) fn write_tombstones(&self, out: &mut Output) {
        out.write(GroupRecord::GroupMetadata { group_id: self.group_id.to_string(), value: None });
    }

    /// From when the retention of its offsets runs. `None`: they do not expire now.
    pub(in crate::groups) fn offset_expiration(&self) -> Option<ExpirationBase> {
        let since_commit = Some(ExpirationBase::Commit);
        if self.protocol_type.is_none() {
            return since_commit;
        }
        match self.state {
            ClassicState::Empty => self.state_since.map(ExpirationBase::Since).or(since_commit),
            ClassicState::Stable if self.uses_consumer_protocol() && self.subscribed_topics.is_some() => since_commit,
            ClassicState::Stable | ClassicState::PreparingRebalance | ClassicState::CompletingRebalance => None,
        }
    }

    /// As DescribeGroups shows it. Protocol and metadata are only shown while they are settled.
    pub(in crate::groups) fn describe(&self) -> DescribedGroup {
        let protocol = self.protocol_name.as_deref().filter(|_| self.is_in(ClassicState::Stable));
        DescribedGroup {
            group_id: self.group_id.to_string(),
            group_state: self.state.name().to_owned(),
            protocol_type: self.protocol_type.as_deref().unwrap_or_default().to_owned(),
            protocol_data: protocol.unwrap_or_default().to_owned(),
            members: self.members().map(|member| member.describe(protocol)).collect(),
            ..DescribedGroup::default()
        }
    }
}
