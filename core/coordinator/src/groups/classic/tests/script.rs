//! The commands of scripts, and how replies and groups are shown.

use std::fmt::Write as _;

use bytes::Bytes;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::HeartbeatRequest;
use watershed_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use watershed_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use watershed_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use watershed_testkit::golden::Case;

use super::world::{START_MS, World};
use crate::groups::protocol::{Assignment, Subscription, TopicPartitions};
use crate::groups::{Committer, Group, GroupCoordinator, GroupReply, GroupRequest};
use crate::records::GroupRecord;
use crate::runtime::StateMachine;

/// The commands of scripts. Every one shows the replies that have come and how the groups stand.
impl World {
    pub(super) fn command(&mut self, case: &Case) -> String {
        let name = case.args.first().filter(|arg| !arg.contains('=')).cloned().unwrap_or_default();
        match case.command.as_str() {
            "world" => {
                let settings: Vec<_> = case.args.iter().filter_map(|arg| arg.split_once('=')).collect();
                *self = Self::new(&settings);
                return String::new();
            }
            "join" => self.join(&name, case),
            "sync" => self.sync(&name, case),
            "heartbeat" => self.heartbeat(&name, case),
            "leave" => self.leave(&name, case),
            "commit" => return self.commit(&name, case),
            "describe" => return self.describe(case),
            "rebalances" => return self.rebalances(case),
            "log" => return self.log(),
            "decided" => return self.decided(),
            "forget" => {
                self.clients.remove(&name);
                return String::new();
            }
            "advance" => self.advance(case.get("ms")),
            "answer" => assert!(self.answer(case.arg("fail")), "line {}: nothing was asked", case.line),
            "lose" => self.ground.questions.lock().clear(),
            "grow" => self.grow(&name),
            "hold" => self.hold(true),
            "release" => self.hold(false),
            "refuse" => {
                let named = |code: &&ErrorCode| Some(code.name()) == case.arg("with");
                *self.ground.refuses.lock() = Some(*ErrorCode::ALL.iter().find(named).unwrap());
            }
            "accept" => *self.ground.refuses.lock() = None,
            "reload" => {
                let settings: Vec<_> = case.args.iter().filter_map(|arg| arg.split_once('=')).collect();
                self.reload(&settings);
            }
            other => panic!("line {}: no command {other}", case.line),
        }
        let mut shown = String::new();
        for (client, outcome) in self.replies() {
            let _ = writeln!(shown, "{client}: {}", reply(&outcome));
        }
        shown + &self.state()
    }

    fn member_id(&self, name: &str, case: &Case) -> String {
        match case.arg("id") {
            Some("-") => String::new(),
            Some(other) => self.clients.get(other).map_or_else(|| other.to_owned(), |client| client.member_id.clone()),
            None => self.client(name).member_id,
        }
    }

    fn instance_id(&self, name: &str, case: &Case) -> Option<String> {
        match case.arg("instance") {
            Some("-") => None,
            Some(instance_id) => Some(instance_id.to_owned()),
            None => self.client(name).instance_id,
        }
    }

    fn join(&mut self, name: &str, case: &Case) {
        let protocols = case.arg("protocols").unwrap_or("range:x").split(',').filter(|text| !text.is_empty());
        let protocols = protocols.map(|text| {
            let (name, metadata) = text.split_once(':').unwrap_or((text, ""));
            JoinGroupRequestProtocol { name: name.to_owned(), metadata: metadata_of(metadata) }
        });
        let number = |arg: &str, default: i32| case.arg(arg).map_or(default, |value| value.parse().unwrap());
        let request = JoinGroupRequest {
            group_id: case.arg("group").unwrap_or("g").to_owned(),
            session_timeout_ms: number("session", 10_000),
            rebalance_timeout_ms: number("rebalance", 60_000),
            member_id: self.member_id(name, case),
            group_instance_id: self.instance_id(name, case),
            protocol_type: case.arg("type").unwrap_or("consumer").to_owned(),
            protocols: protocols.collect(),
            reason: case.arg("reason").map(str::to_owned),
        };
        let client = self.clients.entry(name.to_owned()).or_default();
        client.instance_id.clone_from(&request.group_instance_id);
        let version = i16::try_from(number("v", 9)).unwrap();
        self.send(name, version, GroupRequest::JoinGroup(request));
    }

    fn sync(&mut self, name: &str, case: &Case) {
        let parts = case.arg("give").unwrap_or_default().split(',').filter_map(|part| part.split_once(':'));
        let parts = parts.map(|(member, assignment)| SyncGroupRequestAssignment {
            member_id: self.clients.get(member).map_or_else(|| member.to_owned(), |client| client.member_id.clone()),
            assignment: Bytes::copy_from_slice(assignment.as_bytes()),
        });
        let text = |arg: &str, default: &str| match case.arg(arg) {
            Some("-") => None,
            other => Some(other.unwrap_or(default).to_owned()),
        };
        let request = SyncGroupRequest {
            group_id: case.arg("group").unwrap_or("g").to_owned(),
            generation_id: case.arg("gen").map_or(self.client(name).generation, |value| value.parse().unwrap()),
            member_id: self.member_id(name, case),
            group_instance_id: self.instance_id(name, case),
            protocol_type: text("type", "consumer"),
            protocol_name: text("protocol", "range"),
            assignments: parts.collect(),
        };
        let version = case.arg("v").map_or(5, |value| value.parse().unwrap());
        self.send(name, version, GroupRequest::SyncGroup(request));
    }

    fn heartbeat(&mut self, name: &str, case: &Case) {
        let request = HeartbeatRequest {
            group_id: case.arg("group").unwrap_or("g").into(),
            generation_id: case.arg("gen").map_or(self.client(name).generation, |value| value.parse().unwrap()),
            member_id: self.member_id(name, case).as_str().into(),
            group_instance_id: self.instance_id(name, case).map(|id| id.as_str().into()),
        };
        self.send(name, 4, GroupRequest::Heartbeat(request));
    }

    fn leave(&mut self, name: &str, case: &Case) {
        let identity = |name: &str| MemberIdentity {
            member_id: self.member_id(name, case),
            group_instance_id: self.instance_id(name, case),
            reason: case.arg("reason").map(str::to_owned),
        };
        let mut members = vec![identity(name)];
        members.extend(case.args[1..].iter().filter(|arg| !arg.contains('=')).map(|name| identity(name)));
        let group_id = case.arg("group").unwrap_or("g").to_owned();
        let request = LeaveGroupRequest { group_id, member_id: String::new(), members };
        self.send(name, 5, GroupRequest::LeaveGroup(request));
    }

    /// Only asks the group.
    fn commit(&self, name: &str, case: &Case) -> String {
        let (member_id, instance_id) = (self.member_id(name, case), self.instance_id(name, case));
        let generation = case.arg("gen").map_or(self.client(name).generation, |value| value.parse().unwrap());
        let is_transactional = case.arg("transactional").is_some();
        let group_id = case.arg("group").unwrap_or("g").to_owned();
        self.with_groups(move |machine| {
            let instance_id = instance_id.as_deref();
            let committer = Committer { member_id: &member_id, instance_id, generation, is_transactional, version: 9 };
            match machine.groups()[&*group_id].check_commit(&committer) {
                Ok(_) => "may commit".to_owned(),
                Err(refusal) => refusal.code.name().to_owned(),
            }
        })
    }

    fn describe(&self, case: &Case) -> String {
        let group_id = case.arg("group").unwrap_or("g").to_owned();
        self.with_groups(move |machine| {
            let Group::Classic(group) = &machine.groups()[&*group_id] else { return "not classic".to_owned() };
            let described = group.describe();
            let mut shown = format!(
                "state={} type={} protocol={}\n",
                described.group_state, described.protocol_type, described.protocol_data
            );
            for member in described.members {
                let _ = writeln!(
                    shown,
                    "{} instance={} client={} host={} metadata={} assignment={}",
                    short(&member.member_id),
                    member.group_instance_id.as_deref().unwrap_or("-"),
                    member.client_id,
                    member.client_host,
                    text(&member.member_metadata),
                    assigned(&member.member_assignment),
                );
            }
            let subscribed = group.subscribed_topics.clone();
            shown + &format!("expiry={:?} topics={subscribed:?}", group.offset_expiration())
        })
    }

    fn rebalances(&self, case: &Case) -> String {
        let group_id = case.arg("group").unwrap_or("g").to_owned();
        self.with_groups(move |machine| {
            let durations = machine.counters().take_classic_rebalance_durations_ms();
            let counts: Vec<_> = machine.counters().classic_rebalances.iter().collect();
            let counts: Vec<_> = counts.iter().map(|(reason, count)| format!("{}={count}", reason.name())).collect();
            let mut shown = format!("{} durations={durations:?}\n", counts.join(" "));
            if let Some(Group::Classic(group)) = machine.groups().get(&*group_id)
                && let Some(last) = &group.rebalance
            {
                let _ = write!(shown, "last: {} ({}) {:?}", last.reason.name(), short(&last.text), last.duration_ms);
            }
            shown
        })
    }

    /// Who decided assignments so far.
    fn decided(&self) -> String {
        self.with_groups(|machine| {
            let counts = machine.counters().broker_assignments.iter();
            counts.map(|(by, count)| format!("{}={count}", by.name())).collect::<Vec<_>>().join(" ")
        })
    }

    fn log(&self) -> String {
        let mut shown = String::new();
        for (key, value) in self.ground.records.lock().iter() {
            let record = GroupCoordinator::decode(key, value.as_ref()).unwrap().unwrap();
            let GroupRecord::GroupMetadata { group_id, value } = record else {
                shown.push_str("another record\n");
                continue;
            };
            let Some(value) = value else {
                let _ = writeln!(shown, "{group_id}: gone");
                continue;
            };
            let members = value.members.iter().map(|member| {
                let instance = member.group_instance_id.as_deref().map(|id| format!("/{id}")).unwrap_or_default();
                let (metadata, assignment) = (text(&member.subscription), assigned(&member.assignment));
                let timeouts = (member.rebalance_timeout, member.session_timeout);
                format!("{}{instance} {timeouts:?} {metadata}->{assignment}", short(&member.member_id))
            });
            let _ = writeln!(
                shown,
                "{group_id}: gen={} type={:?} protocol={:?} leader={:?} since=+{} {:?}",
                value.generation,
                value.protocol_type,
                value.protocol,
                value.leader.as_deref().map(short),
                value.current_state_timestamp - START_MS,
                members.collect::<Vec<_>>(),
            );
        }
        shown
    }

    fn state(&self) -> String {
        let questions = self.ground.questions.lock();
        let asked = questions.iter().map(|question| format!("? {} for {}\n", question.assignor(), question.group()));
        let asked: String = asked.collect();
        drop(questions);
        self.with_groups(move |machine| {
            let mut groups: Vec<_> = machine.groups().iter().collect();
            groups.sort_by_key(|(group_id, _)| *group_id);
            let mut shown = asked;
            for (group_id, group) in groups {
                let Group::Classic(group) = group else { continue };
                let _ = write!(shown, "{group_id} {} gen={}", group.state.name(), group.generation);
                if let Some(leader) = &group.leader {
                    let _ = write!(shown, " leader={}", short(leader));
                }
                let members = group.members().map(|member| {
                    let wait = match (member.awaiting_join, member.awaiting_sync) {
                        (Some(_), _) => "+join",
                        (_, Some(_)) => "+sync",
                        _ if group.pending_sync.contains(&member.member_id) => "?sync",
                        _ => "",
                    };
                    format!("{}{wait}", short(&member.member_id))
                });
                let _ = write!(shown, " members=[{}]", members.collect::<Vec<_>>().join(" "));
                if !group.pending_join.is_empty() {
                    let _ = write!(shown, " pending={}", group.pending_join.len());
                }
                shown.push('\n');
            }
            shown
        })
    }
}

/// The metadata that a script writes down: as it stands, or `@`, the topics of a subscription and perhaps `!own=`, `!gen=` and `!v=`.
fn metadata_of(text: &str) -> Bytes {
    let Some(text) = text.strip_prefix('@') else { return Bytes::copy_from_slice(text.as_bytes()) };
    let mut words = text.split('!');
    let topics = words.next().unwrap_or_default();
    let mut subscription = Subscription {
        version: 0,
        topics: topics.split('+').filter(|topic| !topic.is_empty()).map(str::to_owned).collect(),
        user_data: None,
        owned_partitions: Vec::new(),
        generation_id: -1,
        rack_id: None,
    };
    for (name, value) in words.filter_map(|word| word.split_once('=')) {
        match name {
            "own" => {
                let partition = |text: &str| TopicPartitions {
                    topic: text[..1].to_owned(),
                    partitions: vec![text[1..].parse().unwrap()],
                };
                subscription.owned_partitions = value.split('.').map(partition).collect();
            }
            "gen" => subscription.generation_id = value.parse().unwrap(),
            "v" => subscription.version = value.parse().unwrap(),
            other => panic!("no {other} in a subscription"),
        }
    }
    subscription.encode()
}

/// An assignment: as it stands, or the partitions in it and its version.
fn assigned(bytes: &Bytes) -> String {
    let Some(assignment) = Assignment::decode(bytes) else { return text(bytes) };
    let partitions = assignment
        .partitions
        .iter()
        .flat_map(|of_topic| of_topic.partitions.iter().map(|partition| format!("{}{partition}", of_topic.topic)));
    let version = crate::groups::protocol::version(bytes).unwrap();
    format!("<{}>v{version}", partitions.collect::<Vec<_>>().join(" "))
}

/// A member id without the zeros of its UUID: the scripts draw 1, 2, 3 ...
fn short(id: &str) -> String {
    let mut shown = String::new();
    let mut rest = id;
    while let Some(at) = rest.find("-00000000-0000-4000-8000-") {
        shown.push_str(&rest[..at]);
        let digits = &rest[at + 25..at + 37];
        let _ = write!(shown, "#{}", u64::from_str_radix(digits, 16).unwrap());
        rest = &rest[at + 37..];
    }
    shown + rest
}

fn text(bytes: &Bytes) -> String {
    match Subscription::decode(bytes) {
        Some(subscription) => format!("@{}", subscription.topics.join("+")),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn reply(outcome: &Result<GroupReply, ErrorCode>) -> String {
    let error = |code: i16| ErrorCode::from_code(code).unwrap().name();
    match outcome {
        Err(code) => format!("failed {}", code.name()),
        Ok(GroupReply::JoinGroup(reply)) => {
            let mut shown = format!("JoinGroup {} id={}", error(reply.error_code), short(&reply.member_id));
            if reply.generation_id >= 0 {
                let _ = write!(shown, " gen={} leader={}", reply.generation_id, short(&reply.leader));
                let protocol = [&reply.protocol_type, &reply.protocol_name].map(|name| name.as_deref().unwrap_or("-"));
                let _ = write!(shown, " protocol={}", protocol.join("/"));
            }
            if reply.skip_assignment {
                shown.push_str(" skip");
            }
            let members = reply.members.iter().map(|member| {
                let instance = member.group_instance_id.as_deref().map(|id| format!("/{id}")).unwrap_or_default();
                format!("{}{instance}:{}", short(&member.member_id), text(&member.metadata))
            });
            let members: Vec<_> = members.collect();
            if !members.is_empty() {
                let _ = write!(shown, " members=[{}]", members.join(" "));
            }
            shown
        }
        Ok(GroupReply::SyncGroup(reply)) => {
            let protocol = [&reply.protocol_type, &reply.protocol_name].map(|name| name.as_deref().unwrap_or("-"));
            let assignment = assigned(&reply.assignment);
            format!("SyncGroup {} protocol={} assignment={assignment}", error(reply.error_code), protocol.join("/"))
        }
        Ok(GroupReply::Heartbeat(reply)) => format!("Heartbeat {}", error(reply.error_code)),
        Ok(GroupReply::LeaveGroup(reply)) => {
            let members = reply.members.iter().map(|member| {
                let instance = member.group_instance_id.as_deref().map(|id| format!("/{id}")).unwrap_or_default();
                format!("{}{instance} {}", short(&member.member_id), error(member.error_code))
            });
            format!("LeaveGroup {} [{}]", error(reply.error_code), members.collect::<Vec<_>>().join(", "))
        }
        Ok(other) => format!("{other:?}"),
    }
}
