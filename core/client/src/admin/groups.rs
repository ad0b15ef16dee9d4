//! Consumer groups: listing, describing, their offsets, deleting. Each group is asked of its coordinator.

use watershed_model::{BrokerId, LeaderEpoch, Offset};
use watershed_protocol::messages::consumer_group_describe::Assignment;
use watershed_protocol::messages::describe_groups::DescribedGroup;
use watershed_protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use watershed_protocol::messages::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use watershed_protocol::messages::offset_fetch::OffsetFetchRequestGroup;
use watershed_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
};
use watershed_protocol::{ErrorCode, Request};

use super::Admin;
use super::topics::no_result;
use crate::{ClientError, Lane};

/// The first version of FindCoordinator that takes several keys.
const BATCHED_SINCE: i16 = 4;
/// The first version of OffsetFetch that takes several groups.
const GROUPS_SINCE: i16 = 8;
/// Newer versions of offset requests name topics by id; no other API of groups has so many.
const VERSION_MAX: i16 = 9;

/// A group, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group_id: String,
    /// `classic`, `consumer`, ...; empty where the broker does not say.
    pub kind: String,
    /// Its state; empty where the broker does not say.
    pub state: String,
    /// What its members do: `consumer` for consumers.
    pub protocol_type: String,
}

/// A group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group_id: String,
    /// `classic` or `consumer`.
    pub kind: &'static str,
    /// Its state.
    pub state: String,
    /// The assignor, or the protocol that classic members share.
    pub assignor: String,
    /// The epoch of a consumer group.
    pub epoch: Option<i32>,
    /// The coordinator.
    pub coordinator: BrokerId,
    /// The members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// The client's address.
    pub host: String,
    /// Its epoch in a consumer group.
    pub epoch: Option<i32>,
    /// What it owns: topic and partitions. `None` where that cannot be read (it is no consumer).
    pub owned: Option<Vec<(String, Vec<i32>)>>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record to consume.
    pub offset: Offset,
    /// The epoch of the last record that was consumed.
    pub leader_epoch: LeaderEpoch,
    /// What the client keeps beside it.
    pub metadata: String,
}

impl Admin {
    /// The groups of the cluster, by id; only those in these states and of these types, where any are given.
    ///
    /// # Errors
    /// If a broker cannot be asked.
    pub async fn list_groups(&self, states: &[String], types: &[String]) -> Result<Vec<ListedGroup>, ClientError> {
        let request = ListGroupsRequest { states_filter: states.to_vec(), types_filter: types.to_vec() };
        let mut brokers: Vec<_> = self.client.ask_metadata(Some(&[])).await?.brokers.keys().copied().collect();
        brokers.sort();
        let mut groups = Vec::new();
        for broker in brokers {
            let what = format!("listing the groups of broker {broker}");
            let response = self
                .client
                .retry(&what, || async {
                    let response = self.client.broker(broker, Lane::Control).await?.call(&request).await?;
                    ClientError::check(response.error_code, None, || what.clone())?;
                    Ok(response)
                })
                .await?;
            groups.extend(response.groups.into_iter().map(|group| ListedGroup {
                group_id: group.group_id,
                kind: group.group_type,
                state: group.group_state,
                protocol_type: group.protocol_type,
            }));
        }
        groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        Ok(groups)
    }

    /// A group's coordinator.
    async fn coordinator(&self, group: &str) -> Result<BrokerId, ClientError> {
        let what = || format!("finding the coordinator of group {group:?}");
        let connection = self.client.any_broker().await?;
        if connection.version_of::<FindCoordinatorRequest>()? >= BATCHED_SINCE {
            let request = FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
            let response = connection.call(&request).await?;
            let found = response.coordinators.first().ok_or_else(|| no_result(&what()))?;
            ClientError::check(found.error_code, found.error_message.as_deref(), what)?;
            return Ok(BrokerId(found.node_id));
        }
        let response = connection.call(&FindCoordinatorRequest { key: group.to_owned(), ..Default::default() }).await?;
        ClientError::check(response.error_code, response.error_message.as_deref(), what)?;
        Ok(BrokerId(response.node_id))
    }

    /// Asks a group's coordinator until it answers without an error that another try mends.
    async fn ask_coordinator<R: Request, T>(
        &self,
        group: &str,
        what: &str,
        request: impl Fn(i16) -> R,
        read: impl Fn(R::Response, BrokerId) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.client
            .retry(what, || async {
                let broker = self.coordinator(group).await?;
                let connection = self.client.broker(broker, Lane::Control).await?;
                let version = connection.version_of::<R>()?.min(VERSION_MAX);
                read(connection.send_version(&request(version), version).await?.wait().await?, broker)
            })
            .await
    }

    /// A group and its members: first asked as a consumer group, then as a classic one.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, or what the coordinator says.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        let what = format!("describing group {group:?}");
        let request = ConsumerGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
        let described = self
            .ask_coordinator(
                group,
                &what,
                |_| request.clone(),
                |response, coordinator| {
                    let found = response.groups.into_iter().next().ok_or_else(|| no_result(&what))?;
                    ClientError::check(found.error_code, found.error_message.as_deref(), || what.clone())?;
                    let members = found.members.into_iter().map(|member| GroupMember {
                        member_id: member.member_id,
                        instance_id: member.instance_id,
                        client_id: member.client_id,
                        host: member.client_host,
                        epoch: Some(member.member_epoch),
                        owned: Some(owned(member.assignment)),
                    });
                    Ok(GroupDescription {
                        group_id: found.group_id,
                        kind: "consumer",
                        state: found.group_state,
                        assignor: found.assignor_name,
                        epoch: Some(found.group_epoch),
                        coordinator,
                        members: members.collect(),
                    })
                },
            )
            .await;
        match described {
            Err(ClientError::Unsupported { .. }) => self.describe_classic_group(group, &what).await,
            Err(error) if matches!(error.code(), Some(ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion)) => {
                self.describe_classic_group(group, &what).await
            }
            described => described,
        }
    }

    async fn describe_classic_group(&self, group: &str, what: &str) -> Result<GroupDescription, ClientError> {
        let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
        self.ask_coordinator(
            group,
            what,
            |_| request.clone(),
            |response, coordinator| {
                let found: DescribedGroup = response.groups.into_iter().next().ok_or_else(|| no_result(what))?;
                ClientError::check(found.error_code, found.error_message.as_deref(), || what.to_owned())?;
                if found.group_state == "Dead" {
                    let code = ErrorCode::GroupIdNotFound;
                    return Err(ClientError::Broker { what: what.to_owned(), code, message: None });
                }
                let is_consumer = found.protocol_type == "consumer" || found.protocol_type.is_empty();
                let members = found.members.into_iter().map(|member| GroupMember {
                    member_id: member.member_id,
                    instance_id: member.group_instance_id,
                    client_id: member.client_id,
                    host: member.client_host,
                    epoch: None,
                    owned: if is_consumer { classic_owned(&member.member_assignment) } else { None },
                });
                Ok(GroupDescription {
                    group_id: found.group_id,
                    kind: "classic",
                    state: found.group_state,
                    assignor: found.protocol_data,
                    epoch: None,
                    coordinator,
                    members: members.collect(),
                })
            },
        )
        .await
    }

    /// All offsets that a group has committed, by topic and partition.
    ///
    /// # Errors
    /// What the coordinator says.
    pub async fn group_offsets(&self, group: &str) -> Result<Vec<GroupOffset>, ClientError> {
        let what = format!("fetching the offsets of group {group:?}");
        let request = |version| {
            if version >= GROUPS_SINCE {
                let group = OffsetFetchRequestGroup { group_id: group.into(), topics: None, ..Default::default() };
                OffsetFetchRequest { groups: vec![group], ..Default::default() }
            } else {
                OffsetFetchRequest { group_id: group.into(), topics: None, ..Default::default() }
            }
        };
        self.ask_coordinator(group, &what, request, |response, _| {
            ClientError::check(response.error_code, None, || what.clone())?;
            let mut offsets = Vec::new();
            for found in response.groups {
                ClientError::check(found.error_code, None, || what.clone())?;
                for topic in found.topics {
                    for at in topic.partitions {
                        ClientError::check(at.error_code, None, || what.clone())?;
                        offsets.push(GroupOffset {
                            topic: topic.name.to_string(),
                            partition: at.partition_index,
                            offset: Offset(at.committed_offset),
                            leader_epoch: LeaderEpoch(at.committed_leader_epoch),
                            metadata: at.metadata.map(|text| text.to_string()).unwrap_or_default(),
                        });
                    }
                }
            }
            for topic in response.topics {
                for at in topic.partitions {
                    ClientError::check(at.error_code, None, || what.clone())?;
                    offsets.push(GroupOffset {
                        topic: topic.name.to_string(),
                        partition: at.partition_index,
                        offset: Offset(at.committed_offset),
                        leader_epoch: LeaderEpoch(at.committed_leader_epoch),
                        metadata: at.metadata.map(|text| text.to_string()).unwrap_or_default(),
                    });
                }
            }
            offsets.retain(|at| at.offset >= Offset::ZERO);
            offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
            Ok(offsets)
        })
        .await
    }

    /// Commits offsets for a group without members.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID` for a group that has members, or the first partition's error.
    pub async fn commit_group_offsets(
        &self,
        group: &str,
        offsets: &[(String, i32, Offset)],
    ) -> Result<(), ClientError> {
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for (topic, partition, offset) in offsets {
            let commit = OffsetCommitRequestPartition {
                partition_index: *partition,
                committed_offset: offset.0,
                committed_leader_epoch: -1,
                committed_metadata: Some(Default::default()),
            };
            match topics.iter_mut().find(|other| *other.name == **topic) {
                Some(other) => other.partitions.push(commit),
                None => topics.push(OffsetCommitRequestTopic {
                    name: topic.as_str().into(),
                    partitions: vec![commit],
                    ..Default::default()
                }),
            }
        }
        let request = OffsetCommitRequest {
            group_id: group.into(),
            generation_id_or_member_epoch: -1,
            topics,
            ..Default::default()
        };
        let what = format!("committing offsets of group {group:?}");
        self.ask_coordinator(
            group,
            &what,
            |_| request.clone(),
            |response, _| {
                for topic in &response.topics {
                    for at in &topic.partitions {
                        let what = || format!("{what} for {}-{}", &*topic.name, at.partition_index);
                        ClientError::check(at.error_code, None, what)?;
                    }
                }
                Ok(())
            },
        )
        .await
    }

    /// Forgets what a group committed for these partitions; each one's fate.
    ///
    /// # Errors
    /// What concerns the whole group.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[(String, i32)],
    ) -> Result<Vec<(String, i32, Result<(), ClientError>)>, ClientError> {
        let mut topics: Vec<OffsetDeleteRequestTopic> = Vec::new();
        for (topic, partition) in partitions {
            let partition = OffsetDeleteRequestPartition { partition_index: *partition };
            match topics.iter_mut().find(|other| *other.name == **topic) {
                Some(other) => other.partitions.push(partition),
                None => {
                    topics.push(OffsetDeleteRequestTopic { name: topic.as_str().into(), partitions: vec![partition] })
                }
            }
        }
        let request = OffsetDeleteRequest { group_id: group.into(), topics };
        let what = format!("deleting offsets of group {group:?}");
        self.ask_coordinator(
            group,
            &what,
            |_| request.clone(),
            |response, _| {
                ClientError::check(response.error_code, None, || what.clone())?;
                let mut fates = Vec::new();
                for topic in &response.topics {
                    for at in &topic.partitions {
                        let what = || format!("{what} for {}-{}", &*topic.name, at.partition_index);
                        let fate = ClientError::check(at.error_code, None, what);
                        fates.push((topic.name.to_string(), at.partition_index, fate));
                    }
                }
                Ok(fates)
            },
        )
        .await
    }

    /// Deletes a group without members, with its offsets.
    ///
    /// # Errors
    /// `NON_EMPTY_GROUP`, `GROUP_ID_NOT_FOUND`, or what the coordinator says.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest { groups_names: vec![group.to_owned()] };
        let what = format!("deleting group {group:?}");
        self.ask_coordinator(
            group,
            &what,
            |_| request.clone(),
            |response, _| {
                let result = response.results.first().ok_or_else(|| no_result(&what))?;
                ClientError::check(result.error_code, None, || what.clone())
            },
        )
        .await
    }
}

fn owned(assignment: Assignment) -> Vec<(String, Vec<i32>)> {
    assignment.topic_partitions.into_iter().map(|of_topic| (of_topic.topic_name, of_topic.partitions)).collect()
}

/// The partitions of a classic consumer's assignment (ConsumerProtocolAssignment); nothing owned is no bytes.
fn classic_owned(bytes: &[u8]) -> Option<Vec<(String, Vec<i32>)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut rest = bytes.get(2..)?;
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at_checked(length)?;
        rest = left;
        Some(taken)
    };
    let int = |bytes: &[u8]| bytes.try_into().ok().map(i32::from_be_bytes);
    let count = usize::try_from(int(take(4)?)?).ok()?;
    let mut owned = Vec::new();
    for _ in 0..count {
        let length = i16::from_be_bytes(take(2)?.try_into().ok()?);
        let topic = std::str::from_utf8(take(usize::try_from(length).ok()?)?).ok()?.to_owned();
        let partitions = usize::try_from(int(take(4)?)?).ok()?;
        let mut numbers = Vec::new();
        for _ in 0..partitions {
            numbers.push(int(take(4)?)?);
        }
        owned.push((topic, numbers));
    }
    Some(owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_assignments_are_read_and_garbage_is_not() {
        let bytes = [0, 1, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 255, 255, 255, 255];
        assert_eq!(classic_owned(&bytes), Some(vec![("t".to_owned(), vec![0, 3])]));
        assert_eq!(classic_owned(&[]), Some(Vec::new()));
        for cut in 1..21 {
            assert_eq!(classic_owned(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(classic_owned(&[0, 1, 127, 255, 255, 255]), None);
    }
}
