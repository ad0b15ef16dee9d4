//! The commands of scripts, and how replies, records and groups are shown.

use std::collections::BTreeMap;

use watershed_metadata::MetadataRecord;
use watershed_model::TopicId;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatResponse, TopicPartitions};
use watershed_protocol::messages::join_group::JoinGroupRequestProtocol;
use watershed_protocol::messages::{ConsumerGroupHeartbeatRequest, HeartbeatRequest, JoinGroupRequest};
use watershed_testkit::golden::Case;

use super::world::{World, broker, runs, topic_id};
use crate::groups::consumer::{ConsumerMember, Partitions};
use crate::groups::protocol::Subscription;
use crate::groups::{Committer, Group, GroupError, GroupReply, GroupRequest};
use crate::records::GroupRecord;

impl World {
    /// - `world name=value`: a new coordinator with these settings.
    /// - `hb MEMBER epoch=E [v=1 topics= regex= owned= instance= rack= timeout= assignor=]`: a heartbeat. `-` is an empty list or text.
    /// - `join TOPIC`: a classic member joins; `beat MEMBER epoch=E`: its heartbeat.
    /// - `plan MEMBER=t-0,u-1`: what the assignor gives from now on.
    /// - `answer [at=N fail=REASON]`: an assignor outside answers the first question, or another; `lose`: nobody ever answers any.
    /// - `advance`, `reload`, `refuse`, `accept`: time, the coordinator, the log.
    /// - `create`, `grow`, `delete`, `rack`, `config`: the metadata.
    /// - `state`, `timers`, `describe`, `commit`, `fetch`: what there is.
    pub(super) fn command(&mut self, case: &Case) -> String {
        let name = case.args.first().map(String::as_str).unwrap_or_default();
        match case.command.as_str() {
            "world" => {
                let settings: Vec<_> = case.args.iter().filter_map(|arg| arg.split_once('=')).collect();
                *self = Self::new(&settings);
                return String::new();
            }
            "hb" => return self.heartbeat(name, case),
            "join" => return self.join(name),
            "beat" => return self.beat(name, case.get("epoch")),
            "plan" => {
                let parts = case.args.iter().map(|arg| arg.split_once('=').unwrap());
                let plan: BTreeMap<_, _> = parts.map(|(member, all)| (member.to_owned(), list(all))).collect();
                self.plan(plan);
                return String::new();
            }
            "advance" => {
                let records = self.advance(case.get("ms"));
                return self.shown(None, &records);
            }
            "answer" => {
                let records = self.answer(case.arg("at").map_or(0, |at| at.parse().unwrap()), case.arg("fail"));
                return self.shown(None, &records);
            }
            "lose" => {
                self.questions.clear();
                self.questions_shown.set(0);
            }
            "failed" => return format!("failed={}", self.machine.counters().failed_assignments),
            "reload" => self.reload(),
            "refuse" => self.is_refusing = true,
            "accept" => self.is_refusing = false,
            "create" => self.change(&MetadataRecord::TopicCreated {
                topic: topic_id(name, case.arg("times").map_or(1, |times| times.parse().unwrap())),
                name: name.to_owned(),
                partitions: runs(case.get("partitions"), 1),
            }),
            "grow" => {
                let topic = self.image.topic_by_name(name).unwrap();
                let (topic, first) = (topic.id(), topic.partition_count());
                self.change(&MetadataRecord::PartitionsAdded { topic, first, partitions: runs(1, 1) });
            }
            "delete" => {
                let topic = self.image.topic_by_name(name).unwrap().id();
                self.change(&MetadataRecord::TopicDeleted { topic });
            }
            "rack" => self.change(&broker(1, name)),
            "config" => self.set_group_config(name, case.arg("value")),
            "timers" => return self.member_timers().join("\n"),
            "describe" => return self.describe(),
            "commit" => return self.commit(name, case),
            "fetch" => return self.fetch(name, case),
            "state" => {}
            other => panic!("line {}: there is no command {other}", case.line),
        }
        self.shown(None, &[])
    }

    fn heartbeat(&mut self, name: &str, case: &Case) -> String {
        let epoch: i32 = case.get("epoch");
        let text = |name: &str| case.arg(name).map(|text| if text == "-" { String::new() } else { text.to_owned() });
        let joins = epoch == 0 && case.arg("bare").is_none();
        let owned = case.arg("owned").or(joins.then_some("-")).map(|owned| self.owned(owned));
        let timeout = case.arg("timeout").map(|timeout| timeout.parse().unwrap());
        let request = ConsumerGroupHeartbeatRequest {
            group_id: text("group").unwrap_or_else(|| "g".to_owned()),
            member_id: if name == "-" { String::new() } else { name.to_owned() },
            member_epoch: epoch,
            instance_id: text("instance"),
            rack_id: text("rack"),
            rebalance_timeout_ms: timeout.unwrap_or(if joins { 60_000 } else { -1 }),
            subscribed_topic_names: case.arg("topics").map(list),
            subscribed_topic_regex: text("regex"),
            server_assignor: text("assignor"),
            topic_partitions: owned,
        };
        let version = case.arg("v").map_or(1, |version| version.parse().unwrap());
        let (replies, records) = self.ask(version, GroupRequest::ConsumerGroupHeartbeat(request));
        let replies: Vec<_> = replies.iter().map(|reply| self.reply(reply)).collect();
        let shown = if replies.is_empty() { "not written".to_owned() } else { replies.join("\n") };
        self.shown(Some(&shown), &records)
    }

    /// A classic member, with the protocol `range`, that the coordinator gives an id.
    fn join(&mut self, topic: &str) -> String {
        let subscription = Subscription {
            version: 0,
            topics: vec![topic.to_owned()],
            user_data: None,
            owned_partitions: Vec::new(),
            generation_id: -1,
            rack_id: None,
        };
        let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: subscription.encode() };
        let request = JoinGroupRequest {
            group_id: "g".to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            ..Default::default()
        };
        let (replies, records) = self.ask(3, GroupRequest::JoinGroup(request));
        let replies: Vec<_> = replies.iter().map(|reply| self.reply(reply)).collect();
        let shown = if replies.is_empty() { "waits".to_owned() } else { replies.join("\n") };
        self.shown(Some(&shown), &records)
    }

    /// The heartbeat of a classic member.
    fn beat(&mut self, name: &str, generation_id: i32) -> String {
        let request =
            HeartbeatRequest { group_id: "g".into(), generation_id, member_id: name.into(), group_instance_id: None };
        let (replies, records) = self.ask(4, GroupRequest::Heartbeat(request));
        let replies: Vec<_> = replies.iter().map(|reply| self.reply(reply)).collect();
        self.shown(Some(&replies.join("\n")), &records)
    }

    /// The group alone is asked.
    fn commit(&self, name: &str, case: &Case) -> String {
        let committer = Committer {
            member_id: if name == "-" { "" } else { name },
            instance_id: None,
            generation: case.get("epoch"),
            is_transactional: case.arg("transactional").is_some(),
            version: case.arg("v").map_or(9, |version| version.parse().unwrap()),
        };
        answered(&self.machine.groups()["g"].check_commit(&committer))
    }

    fn fetch(&self, name: &str, case: &Case) -> String {
        let member_id = (name != "-").then_some(name);
        answered(&self.machine.groups()["g"].check_offset_fetch(member_id, case.get("epoch")))
    }

    fn describe(&mut self) -> String {
        let request = GroupRequest::ConsumerGroupDescribe(vec!["g".to_owned()]);
        let (replies, _) = self.ask(1, request);
        let [GroupReply::ConsumerGroupDescribe(groups)] = &replies[..] else { panic!("{replies:?}") };
        let group = &groups[0];
        let mut shown = format!(
            "{} {} epoch={}/{} assignor={}\n",
            code(group.error_code),
            group.group_state,
            group.group_epoch,
            group.assignment_epoch,
            group.assignor_name
        );
        for member in &group.members {
            let places = |assignment: &watershed_protocol::messages::consumer_group_describe::Assignment| {
                let topics = assignment.topic_partitions.iter();
                let places = topics.flat_map(|t| t.partitions.iter().map(|p| format!("{}-{p}", t.topic_name)));
                places.collect::<Vec<_>>().join(",")
            };
            shown.push_str(&format!(
                "{} epoch={} instance={:?} rack={:?} client={}{} topics={:?} regex={:?} [{}] -> [{}] type={}\n",
                member.member_id,
                member.member_epoch,
                member.instance_id,
                member.rack_id,
                member.client_id,
                member.client_host,
                member.subscribed_topic_names,
                member.subscribed_topic_regex,
                places(&member.assignment),
                places(&member.target_assignment),
                member.member_type,
            ));
        }
        shown
    }

    /// The reply, the records, then the group.
    fn shown(&self, reply: Option<&str>, records: &[GroupRecord]) -> String {
        let mut lines: Vec<String> = reply.iter().map(|reply| (*reply).to_owned()).collect();
        lines.extend(records.iter().map(|record| format!("  + {}", self.record(record))));
        let shown = self.questions_shown.replace(self.questions.len());
        let asked = self.questions.iter().skip(shown);
        lines.extend(asked.map(|question| format!("  ? {} for {}", question.assignor(), question.group())));
        if let Some(Group::Classic(group)) = self.machine.groups().get("g") {
            lines.push(format!("classic {} {}", group.state().name(), group.members().len()));
        }
        if let Some(Group::Consumer(group)) = self.machine.groups().get("g") {
            let members: Vec<_> = group.members().map(|member| self.member(member)).collect();
            let (state, epoch, target) = (group.state().name(), group.epoch, group.target_epoch);
            lines.push(format!("{state} {epoch}/{target} {}", members.join(" ")).trim_end().to_owned());
        }
        lines.join("\n")
    }

    fn member(&self, member: &ConsumerMember) -> String {
        let (assigned, revoked) = (self.places(&member.assigned), self.places(&member.pending_revocation));
        let revoked = if revoked.is_empty() { String::new() } else { format!(" revoking {revoked}") };
        format!("{}@{}:{:?}[{assigned}{revoked}]", member.member_id, member.epoch, member.state)
    }

    fn reply(&self, reply: &GroupReply) -> String {
        match reply {
            GroupReply::ConsumerGroupHeartbeat(reply) => self.heartbeat_reply(reply),
            GroupReply::JoinGroup(reply) => format!("JoinGroup {}", code(reply.error_code)),
            GroupReply::Heartbeat(reply) => format!("Heartbeat {}", code(reply.error_code)),
            other => panic!("{other:?}"),
        }
    }

    fn heartbeat_reply(&self, reply: &ConsumerGroupHeartbeatResponse) -> String {
        if reply.error_code != 0 {
            return format!("{}: {}", code(reply.error_code), reply.error_message.as_deref().unwrap_or_default());
        }
        let assignment = reply.assignment.as_ref().map(|assignment| {
            let topics = assignment.topic_partitions.iter();
            self.places(&topics.map(|topic| (topic.topic_id, topic.partitions.clone())).collect())
        });
        let assignment = assignment.map(|places| format!(" [{places}]")).unwrap_or_default();
        let (id, epoch) = (reply.member_id.as_deref().unwrap_or("null"), reply.member_epoch);
        format!("{id} epoch={epoch} interval={}{assignment}", reply.heartbeat_interval_ms)
    }

    fn record(&self, record: &GroupRecord) -> String {
        match record {
            GroupRecord::ConsumerGroupMetadata { value, .. } => match value {
                Some(value) => format!("group epoch={}", value.epoch),
                None => "group gone".to_owned(),
            },
            GroupRecord::ConsumerGroupMemberMetadata { member_id, value, .. } => match value {
                Some(value) => format!("member {member_id} topics={:?}", value.subscribed_topic_names),
                None => format!("member {member_id} gone"),
            },
            GroupRecord::ConsumerGroupTargetAssignmentMetadata { value, .. } => match value {
                Some(value) => format!("target epoch={}", value.assignment_epoch),
                None => "target gone".to_owned(),
            },
            GroupRecord::ConsumerGroupTargetAssignmentMember { member_id, value, .. } => match value {
                Some(value) => {
                    format!("target {member_id} [{}]", self.places(&value.topic_partitions.clone().into()))
                }
                None => format!("target {member_id} gone"),
            },
            GroupRecord::ConsumerGroupCurrentMemberAssignment { member_id, value, .. } => match value {
                Some(value) => {
                    let mut member = ConsumerMember::new(member_id.as_str().into());
                    member.take_current(value.clone());
                    format!("current {} previous={}", self.member(&member), member.previous_epoch)
                }
                None => format!("current {member_id} gone"),
            },
            GroupRecord::ConsumerGroupRegularExpression { regular_expression, value, .. } => match value {
                Some(value) => format!("regex {regular_expression} {:?}", value.topics),
                None => format!("regex {regular_expression} gone"),
            },
            GroupRecord::GroupMetadata { value, .. } => match value {
                Some(value) => format!("classic generation={}", value.generation),
                None => "classic gone".to_owned(),
            },
            GroupRecord::ConsumerGroupPartitionMetadata { value, .. } => match value {
                Some(value) => format!("partitions of {} topics", value.topics.len()),
                None => "partitions gone".to_owned(),
            },
            other => format!("{other:?}"),
        }
    }

    fn places(&self, partitions: &Partitions) -> String {
        let name =
            |id: TopicId| self.image.topic_by_id(&id).map_or("gone".to_owned(), |topic| topic.name().to_string());
        let places: Vec<_> = partitions.iter().map(|(id, partition)| format!("{}-{partition}", name(id))).collect();
        places.join(",")
    }

    fn owned(&self, places: &str) -> Vec<TopicPartitions> {
        let places = list(places);
        let places = places.iter().map(|place| place.split_once('-').unwrap());
        let owned = places.map(|(topic, partition)| TopicPartitions {
            topic_id: self.image.topic_by_name(topic).map_or(topic_id(topic, 1), |topic| topic.id()),
            partitions: vec![partition.parse().unwrap()],
        });
        owned.collect()
    }
}

fn list(text: &str) -> Vec<String> {
    if text == "-" { Vec::new() } else { text.split(',').map(str::to_owned).collect() }
}

fn code(code: i16) -> &'static str {
    ErrorCode::from_code(code).unwrap().name()
}

fn answered(answer: &Result<(), GroupError>) -> String {
    match answer {
        Ok(()) => "may".to_owned(),
        Err(refusal) => refusal.code.name().to_owned(),
    }
}
