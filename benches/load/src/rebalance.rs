//! Rebalances of one group, each from what sets it off to what ends it.
//!
//! One thread writes the requests of all members, then reads their answers: what is measured is the broker, not clients that wait
//! for their next heartbeat.

use std::time::{Duration, Instant};

use serde_json::Value;
use watershed_protocol::messages::ConsumerGroupHeartbeatRequest;
use watershed_protocol::messages::consumer_group_heartbeat::TopicPartitions;
use watershed_protocol::messages::sync_group::SyncGroupRequestAssignment;

use crate::coordinator::{self, Member};
use crate::schedule::Times;
use crate::{Failure, wire};

const HEARTBEAT_VERSION: i16 = 1;

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
        for member in members.iter_mut() {
            member.send_join(&self.group.topic, round)?;
        }
        let begin = Instant::now();
        let mut leader = String::new();
        for member in members.iter_mut() {
            leader = member.joined()?.leader;
        }
        let mut assignments = Vec::new();
        let count = i32::try_from(members.len())?;
        for (index, member) in (0..).zip(members.iter()) {
            let share = |index: i32| index * self.group.partitions / count;
            let assignment = coordinator::assignment(&self.group.topic, share(index)..share(index + 1))?;
            assignments.push(SyncGroupRequestAssignment { member_id: member.id.clone(), assignment });
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

/// A member of a KIP-848 group.
struct Modern {
    id: String,
    epoch: i32,
    owned: Vec<TopicPartitions>,
}

impl Consumer {
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        let mut stream = wire::connect(&self.group.bootstrap)?;
        coordinator::find(&mut stream, "consumer-load")?;
        let new = |index| Modern { id: format!("member-{index}"), epoch: 0, owned: Vec::new() };
        let mut members: Vec<_> = (0..self.group.members).map(new).collect();
        self.converge(&mut stream, &mut members)?;
        let (mut times, begin) = (Times::new(), Instant::now());
        for round in 0..self.group.warm_up + self.group.rounds {
            if round == self.group.warm_up {
                coordinator::say_warm();
            }
            let (gone, next) = (round % members.len(), (round + 1) % members.len());
            let removed = Instant::now();
            members[gone] = Modern { epoch: -1, ..new(gone) };
            self.heartbeat(&mut stream, &mut members[gone])?;
            // The first to be heard is the one for whom the coordinator computes the targets anew.
            self.heartbeat(&mut stream, &mut members[next])?;
            if round >= self.group.warm_up {
                times.record(removed.elapsed());
            }
            members[gone] = new(gone);
            self.converge(&mut stream, &mut members)?;
        }
        Ok(times.report(begin.elapsed().as_secs_f64()))
    }

    /// Heartbeats until all members are in one epoch and nobody is given anything new.
    fn converge(&self, stream: &mut std::net::TcpStream, members: &mut [Modern]) -> Result<(), Failure> {
        for _ in 0..PASSES_MAX {
            let mut is_quiet = true;
            for member in members.iter_mut() {
                is_quiet &= !self.heartbeat(stream, member)?;
            }
            if is_quiet && members.iter().all(|member| member.epoch == members[0].epoch) {
                return Ok(());
            }
        }
        Err("the group does not become stable".into())
    }

    /// Says what the member owns, and takes what it is given; whether that is something new.
    fn heartbeat(&self, stream: &mut std::net::TcpStream, member: &mut Modern) -> Result<bool, Failure> {
        let is_joining = member.epoch == 0;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "consumer-load".to_owned(),
            member_id: member.id.clone(),
            member_epoch: member.epoch,
            rebalance_timeout_ms: if is_joining { 60_000 } else { -1 },
            subscribed_topic_names: is_joining.then(|| vec![self.group.topic.clone()]),
            topic_partitions: Some(member.owned.clone()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let response = coordinator::until(|| {
            let response = wire::call(stream, &request, HEARTBEAT_VERSION)?;
            Ok(Some(response).filter(|response| !coordinator::is_coming(response.error_code)))
        })?;
        if response.error_code != 0 {
            let message = response.error_message.unwrap_or_default();
            return Err(format!("ConsumerGroupHeartbeat: error {}: {message}", response.error_code).into());
        }
        member.epoch = response.member_epoch;
        let Some(assignment) = response.assignment else { return Ok(false) };
        let given = |of: watershed_protocol::messages::consumer_group_heartbeat::TopicPartitionsResponse| {
            TopicPartitions { topic_id: of.topic_id, partitions: of.partitions }
        };
        member.owned = assignment.topic_partitions.into_iter().map(given).collect();
        Ok(true)
    }
}
