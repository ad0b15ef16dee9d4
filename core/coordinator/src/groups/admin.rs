//! Listing, describing and deleting groups.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::delete_groups::DeletableGroupResult;
use watershed_protocol::messages::describe_groups::DescribedGroup;
use watershed_protocol::messages::list_groups::ListedGroup;

use super::offsets::tombstone;
use super::{Group, GroupCoordinator, GroupReply, Output};
use crate::runtime::Call;

/// From this version on a group that is not there is told as such.
const NOT_FOUND_SINCE: i16 = 6;

impl GroupCoordinator {
    /// Both filters take any case; a type that does not exist matches nothing.
    pub(super) fn list_groups(&self, call: &Call, states: &[String], types: &[String], out: &mut Output) {
        let states: Vec<_> = states.iter().map(|state| state.to_lowercase().trim().to_owned()).collect();
        let types: Vec<_> = types.iter().map(|kind| kind.to_lowercase()).collect();
        let is_wanted = |group: &Group| {
            let state = group.state_name().to_lowercase();
            (states.is_empty() || states.contains(&state))
                && (types.is_empty() || types.iter().any(|kind| kind == group.type_name()))
        };
        let mut listed: Vec<_> = self.groups.iter().filter(|(_, group)| is_wanted(group)).collect();
        listed.sort_by_key(|(group_id, _)| *group_id);
        let listed = listed.into_iter().map(|(group_id, group)| ListedGroup {
            group_id: group_id.to_string(),
            protocol_type: group.protocol_type(),
            group_state: group.state_name().to_owned(),
            group_type: group.type_name().to_owned(),
        });
        out.reply(call.id, GroupReply::ListGroups(listed.collect()));
    }

    pub(super) fn describe_groups(&self, call: &Call, groups: Vec<String>, out: &mut Output) {
        let describe = |group_id: String| {
            if let Some(Group::Classic(group)) = self.groups.get(&*group_id) {
                return group.describe();
            }
            let mut dead = DescribedGroup { group_state: "Dead".to_owned(), ..Default::default() };
            if call.version >= NOT_FOUND_SINCE {
                let message = match self.groups.get(&*group_id) {
                    Some(_) => format!("Group {group_id} is not a classic group."),
                    None => format!("Group {group_id} not found."),
                };
                dead.error_code = ErrorCode::GroupIdNotFound.into();
                dead.error_message = Some(message);
            }
            DescribedGroup { group_id, ..dead }
        };
        out.reply(call.id, GroupReply::DescribeGroups(groups.into_iter().map(describe).collect()));
    }

    pub(super) fn delete_groups(&mut self, call: &Call, groups: Vec<String>, out: &mut Output) {
        let mut deleted = 0;
        let delete = |group_id: String| {
            let error_code = match self.group(&group_id).and_then(|group| group.check_delete().map(|()| group)) {
                Ok(group) => {
                    deleted += self.remove_offsets(&group_id, out);
                    group.remove(out);
                    0
                }
                Err(error) => error.code.into(),
            };
            DeletableGroupResult { group_id, error_code }
        };
        let results = groups.into_iter().map(delete).collect();
        self.counters.offset_deletions += deleted;
        out.reply(call.id, GroupReply::DeleteGroups(results));
    }

    /// Removes a group's offsets, and those that transactions are about to give it; how many there are.
    fn remove_offsets(&self, group_id: &str, out: &mut Output) -> u64 {
        let partitions = self.offsets.partitions_of_group(group_id);
        for (topic, partition) in &partitions {
            out.write(tombstone(group_id, topic, *partition));
        }
        partitions.len() as u64
    }
}
