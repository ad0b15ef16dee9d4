//! Rebalances of one group, each from what sets it off to what ends it.
//!
//! One thread writes the requests of all members, then reads their answers: what is measured is the broker, not clients that wait
//! for their next heartbeat.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use watershed_protocol::messages::ConsumerGroupHeartbeatRequest;
use watershed_protocol::messages::consumer_group_heartbeat::{TopicPartitions, TopicPartitionsResponse};
use watershed_protocol::messages::sync_group::SyncGroupRequestAssignment;
use watershed_protocol::{StrBytes, encode_request};

use crate::coordinator::{self, Member};
use crate::schedule::Times;
use crate::{Failure, wire};

const HEARTBEAT_VERSION: i16 = 1;

/// The member epoch of one who leaves.
const EPOCH_LEAVES: i32 = -1;

const MODERN_GROUP: &str = "consumer-load";

/// More passes over all members than any convergence needs.
const PASSES_MAX: usize = 1_000;

/// The group under load.
#[derive(Debug, clap::Args)]
pub(crate) struct Group {
    /// The broker
    #[arg(long)]
    bootstrap: String,
    /// The topic
    #[arg(long)]
    topic: String,
    /// Its partitions
    #[arg(long, default_value_t = 1000)]
    partitions: i32,
    /// The group's members
    #[arg(long, default_value_t = 100)]
    members: usize,
    /// How many rebalances count
    #[arg(long, default_value_t = 50)]
    rounds: usize,
    /// How many before them do not
    #[arg(long, default_value_t = 50)]
    warm_up: usize,
}

/// `classic`
#[derive(Debug, clap::Args)]
pub(crate) struct Classic {
    #[command(flatten)]
    group: Group,
}

impl Classic {
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        let group = &self.group;
        let mut members = (0..group.members)
            .map(|_| Member::new(&group.bootstrap, "classic-load", &group.topic))
            .collect::<Result<Vec<_>, _>>()?;
        let (mut times, begin) = (Times::new(), Instant::now());
        for round in 0..group.warm_up + group.rounds {
            if round == group.warm_up {
                coordinator::say_warm();
            }
            let took = self.rebalance(&mut members, i32::try_from(round)?)?;
            if round >= group.warm_up {
                times.record(took);
            }
        }
        Ok(times.report(begin.elapsed().as_secs_f64()))
    }

    /// From the last JoinGroup that is sent to the last SyncGroup that is answered.
    fn rebalance(&self, members: &mut [Member], round: i32) -> Result<Duration, Failure> {
        let mut assignments = Vec::new();
        let count = i32::try_from(members.len())?;
        for (index, member) in (0..).zip(members.iter()) {
            let share = |index: i32| index * self.group.partitions / count;
            let assignment = coordinator::assignment(&self.group.topic, share(index)..share(index + 1))?;
            assignments.push(SyncGroupRequestAssignment { member_id: member.id.clone(), assignment });
        }
        for member in members.iter_mut() {
            member.send_join(&self.group.topic, round)?;
        }
        let begin = Instant::now();
        let mut leader = String::new();
        for member in members.iter_mut() {
            leader = member.joined()?.leader;
        }
        for member in members.iter_mut() {
            member.send_sync(if member.id == leader { std::mem::take(&mut assignments) } else { Vec::new() })?;
        }
        for member in members.iter_mut() {
            member.synced()?;
        }
        Ok(begin.elapsed())
    }
}

/// `consumer`
#[derive(Debug, clap::Args)]
pub(crate) struct Consumer {
    #[command(flatten)]
    group: Group,
}

/// A member of a KIP-848 group, on a connection of its own.
struct Modern {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
    id: String,
    epoch: i32,
    owned: Vec<TopicPartitions>,
}

/// Whether a heartbeat's answer gave the member something new; `None` while the coordinator is still coming.
type Heard = Option<bool>;

impl Modern {
    /// Says what the member owns.
    fn send(&mut self, topic: &str) -> Result<(), Failure> {
        let is_joining = self.epoch == 0;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: MODERN_GROUP.to_owned(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: if is_joining { 60_000 } else { -1 },
            subscribed_topic_names: is_joining.then(|| vec![topic.to_owned()]),
            topic_partitions: Some(self.owned.clone()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let frame = encode_request(&request, HEARTBEAT_VERSION, 0, Some(&StrBytes::from("load")))?;
        Ok(self.stream.write_all(&frame)?)
    }

    /// Takes what it is given.
    fn hear(&mut self) -> Result<Heard, Failure> {
        let frame = wire::read_frame(&mut self.answers)?;
        let response = wire::decode::<ConsumerGroupHeartbeatRequest>(frame, HEARTBEAT_VERSION)?;
        if coordinator::is_coming(response.error_code) {
            return Ok(None);
        }
        if response.error_code != 0 {
            let message = response.error_message.unwrap_or_default();
            return Err(format!("ConsumerGroupHeartbeat: error {}: {message}", response.error_code).into());
        }
        self.epoch = response.member_epoch;
        let Some(assignment) = response.assignment else { return Ok(Some(false)) };
        let given = |of: TopicPartitionsResponse| TopicPartitions { topic_id: of.topic_id, partitions: of.partitions };
        self.owned = assignment.topic_partitions.into_iter().map(given).collect();
        Ok(Some(true))
    }

    /// One heartbeat alone.
    fn heartbeat(&mut self, topic: &str) -> Result<(), Failure> {
        coordinator::until(|| {
            self.send(topic)?;
            self.hear()
        })?;
        Ok(())
    }

    /// It owns nothing, and says so with this epoch.
    fn begin_again(&mut self, epoch: i32) {
        self.epoch = epoch;
        self.owned.clear();
    }
}

impl Consumer {
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        let topic = &self.group.topic;
        let connect = |index| {
            let stream = wire::connect(&self.group.bootstrap)?;
            let answers = BufReader::new(stream.try_clone()?);
            Ok(Modern { stream, answers, id: format!("member-{index}"), epoch: 0, owned: Vec::new() })
        };
        let mut members = (0..self.group.members).map(connect).collect::<Result<Vec<_>, Failure>>()?;
        coordinator::find(&mut members[0].stream, MODERN_GROUP)?;
        members[0].heartbeat(topic)?;
        self.converge(&mut members)?;
        let (mut times, begin) = (Times::new(), Instant::now());
        for round in 0..self.group.warm_up + self.group.rounds {
            if round == self.group.warm_up {
                coordinator::say_warm();
            }
            let (gone, next) = (round % members.len(), (round + 1) % members.len());
            members[gone].begin_again(EPOCH_LEAVES);
            let removed = Instant::now();
            members[gone].heartbeat(topic)?;
            // The first to be heard is the one for whom the coordinator computes the targets anew.
            members[next].heartbeat(topic)?;
            if round >= self.group.warm_up {
                times.record(removed.elapsed());
            }
            members[gone].begin_again(0);
            self.converge(&mut members)?;
        }
        Ok(times.report(begin.elapsed().as_secs_f64()))
    }

    /// All members' heartbeats, again and again, until they are in one epoch and nobody is given anything new.
    fn converge(&self, members: &mut [Modern]) -> Result<(), Failure> {
        for _ in 0..PASSES_MAX {
            for member in members.iter_mut() {
                member.send(&self.group.topic)?;
            }
            let mut is_quiet = true;
            for member in members.iter_mut() {
                is_quiet &= member.hear()? == Some(false);
            }
            if is_quiet && members.iter().all(|member| member.epoch == members[0].epoch) {
                return Ok(());
            }
        }
        Err("the group does not become stable".into())
    }
}
