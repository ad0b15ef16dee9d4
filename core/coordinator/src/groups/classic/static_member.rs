//! A static member that comes back under a new member id takes the place of its old self (KIP-345).

use std::sync::Arc;

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::join_group::JoinGroupResponse;

use super::group::ClassicGroup;
use super::join::Join;
use super::member::ClassicProtocol;
use super::rebalance_info::RebalanceReason;
use super::state::ClassicState;
use super::{Step, replies};
use crate::groups::{GroupReply, GroupTimer, GroupToken};

/// The first version of JoinGroup that can tell a leader to leave the assignment as it is (KIP-814).
const SKIP_ASSIGNMENT: i16 = 9;

/// What a static member was before it came back, until its new id is written down.
#[derive(Clone, Debug)]
pub(super) struct Replaced {
    member_id: Arc<str>,
    protocols: Box<[ClassicProtocol]>,
    rebalance_timeout_ms: i32,
    session_timeout_ms: i32,
    /// The leader of the group then.
    leader: Option<Arc<str>>,
}

impl ClassicGroup {
    /// The JoinGroup of a static member without a member id, whose instance is here under another one.
    pub(super) fn replace_and_join(&mut self, join: Join, old_id: &Arc<str>, new_id: &Arc<str>, step: &mut Step<'_>) {
        let Some(old) = self.member(old_id) else { return };
        let replaced = Replaced {
            member_id: old_id.clone(),
            protocols: old.protocols.clone(),
            rebalance_timeout_ms: old.rebalance_timeout_ms,
            session_timeout_ms: old.session_timeout_ms,
            leader: self.leader.clone(),
        };
        tracing::info!(group = %self.group_id, old = %old_id, new = %new_id, "a static member came back");
        self.rename_static_member(old_id, new_id, step);
        self.rejoin_as(new_id, &join, step);
        let text = format!("static member {new_id} came back; client reason: {}", join.reason());
        match self.state {
            // Nothing changes for the others as long as the protocol stays: only the new id is written down.
            ClassicState::Stable if self.select_protocol() == self.protocol_name => {
                self.replaced.insert(new_id.clone(), replaced);
                self.write_present(step.out);
                step.out.when_settled(GroupToken::ClassicStaticMember {
                    group: self.group_id.clone(),
                    member: new_id.clone(),
                    replaced: old_id.clone(),
                });
            }
            // The leader may be assigning partitions to the old id right now.
            ClassicState::Stable | ClassicState::CompletingRebalance => {
                self.prepare_rebalance(RebalanceReason::StaticMemberReplaced, text, step);
            }
            ClassicState::PreparingRebalance | ClassicState::Empty => self.maybe_complete_join(step),
        }
    }

    /// A static member's new id is durable, or was refused: then the old one holds again.
    pub(super) fn static_member_settled(
        &mut self,
        new_id: &Arc<str>,
        outcome: Result<(), ErrorCode>,
        step: &mut Step<'_>,
    ) {
        let Some(replaced) = self.replaced.remove(new_id) else { return };
        if self.member(new_id).is_none() {
            return;
        }
        match outcome {
            Ok(()) => self.answer_static_member(new_id, &replaced, step),
            Err(error) => self.restore_static_member(new_id, replaced, replies::store_error(error), step),
        }
    }

    fn answer_static_member(&mut self, new_id: &Arc<str>, replaced: &Replaced, step: &mut Step<'_>) {
        if !self.is_in(ClassicState::Stable) {
            // A rebalance has begun since: it waits for the next generation like everyone.
            return;
        }
        let Some(waiting) = self.take_join(new_id) else { return };
        if waiting.version >= SKIP_ASSIGNMENT {
            let is_leader = self.is_leader(new_id);
            self.reply_generation(waiting, new_id, is_leader, is_leader, step.out);
        } else {
            // Clients of these versions must not assign now, so a leader is told that its old self leads.
            let response = self.generation_led_by(replaced.leader.as_deref(), new_id);
            step.out.reply(waiting.id, GroupReply::JoinGroup(response));
        }
    }

    fn restore_static_member(&mut self, new_id: &Arc<str>, replaced: Replaced, error: ErrorCode, step: &mut Step<'_>) {
        let old_id = replaced.member_id;
        tracing::warn!(
            group = %self.group_id, old = %old_id, new = %new_id, error = error.name(),
            "a static member's new id could not be written down",
        );
        if let Some(waiting) = self.take_join(new_id) {
            let response = JoinGroupResponse {
                error_code: error.code(),
                ..self.generation_led_by(replaced.leader.as_deref(), "")
            };
            step.out.reply(waiting.id, GroupReply::JoinGroup(response));
        }
        self.set_protocols(new_id, replaced.protocols);
        if let Some(member) = self.members.get_mut(new_id) {
            member.rebalance_timeout_ms = replaced.rebalance_timeout_ms;
            member.session_timeout_ms = replaced.session_timeout_ms;
        }
        self.rename_static_member(new_id, &old_id, step);
    }

    fn rename_static_member(&mut self, from: &Arc<str>, to: &Arc<str>, step: &mut Step<'_>) {
        self.replace_static_member(from, to, step.out);
        step.out.cancel(GroupTimer::ClassicHeartbeat(self.group_id.clone(), from.clone()));
        self.schedule_heartbeat(to, step);
    }

    fn generation_led_by(&self, leader: Option<&str>, member_id: &str) -> JoinGroupResponse {
        JoinGroupResponse { leader: leader.unwrap_or_default().to_owned(), ..self.generation_for(member_id) }
    }
}
