//! ConsumerGroupDescribe.

use watershed_metadata::MetadataImage;
use watershed_protocol::messages::consumer_group_describe::{Assignment, DescribedGroup, Member, TopicPartitions};

use super::group::ConsumerGroup;
use super::member::ConsumerMember;
use super::partitions::Partitions;
use crate::groups::{GroupCoordinator, GroupReply, Output};
use crate::runtime::Call;

/// The numbers of a member's type.
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

impl GroupCoordinator {
    pub(in crate::groups) fn describe_consumer_groups(&self, call: &Call, groups: Vec<String>, out: &mut Output) {
        let describe = |group_id: String| match self.consumer_group(&group_id) {
            Ok(group) => self.describe_consumer_group(group),
            Err(error) => DescribedGroup {
                error_code: error.code.into(),
                error_message: Some(error.message),
                group_id,
                ..Default::default()
            },
        };
        out.reply(call.id, GroupReply::ConsumerGroupDescribe(groups.into_iter().map(describe).collect()));
    }

    fn describe_consumer_group(&self, group: &ConsumerGroup) -> DescribedGroup {
        let rule = self.rules.rule_for(&group.group_id);
        let ruled = rule.and_then(|rule| rule.assignor.clone());
        DescribedGroup {
            group_id: group.group_id.to_string(),
            group_state: group.state().name().to_owned(),
            group_epoch: group.epoch,
            assignment_epoch: group.target_epoch,
            assignor_name: ruled.unwrap_or_else(|| self.elected(group.members())),
            members: group.members().map(|member| describe_member(group, member, &self.image)).collect(),
            ..Default::default()
        }
    }
}

fn describe_member(group: &ConsumerGroup, member: &ConsumerMember, image: &MetadataImage) -> Member {
    let about = &member.about;
    let text = |text: &Option<std::sync::Arc<str>>| text.as_ref().map(ToString::to_string);
    let target = group.targets.get(&member.member_id);
    Member {
        member_id: member.member_id.to_string(),
        instance_id: text(&about.instance_id),
        rack_id: text(&about.rack_id),
        member_epoch: member.epoch,
        client_id: about.client_id.to_string(),
        client_host: about.client_host.to_string(),
        subscribed_topic_names: about.topics.iter().cloned().collect(),
        // Kafka says nothing with an empty text, not with null.
        subscribed_topic_regex: Some(text(&about.regex).unwrap_or_default()),
        assignment: assignment(&member.assigned, image),
        target_assignment: target.map(|target| assignment(target, image)).unwrap_or_default(),
        member_type: if member.is_classic() { CLASSIC } else { CONSUMER },
    }
}

/// Topics that are gone are left out: they have no name.
fn assignment(partitions: &Partitions, image: &MetadataImage) -> Assignment {
    let named = partitions.topics().filter_map(|(id, of_topic)| {
        let topic_name = image.topic_by_id(&id)?.name().to_string();
        Some(TopicPartitions { topic_id: id, topic_name, partitions: of_topic.to_vec() })
    });
    Assignment { topic_partitions: named.collect() }
}
