//! Many classic groups of one member that do nothing but heartbeat.

use std::io::Write;
use std::time::Instant;

use serde_json::Value;
use watershed_protocol::messages::HeartbeatRequest;
use watershed_protocol::messages::sync_group::SyncGroupRequestAssignment;
use watershed_protocol::{StrBytes, encode_request};

use crate::coordinator::{self, Member};
use crate::schedule::{Schedule, Times};
use crate::{Failure, wire};

const HEARTBEAT_VERSION: i16 = 4;

/// `heartbeats`
#[derive(Debug, clap::Args)]
pub(crate) struct Heartbeats {
    /// The broker
    #[arg(long)]
    bootstrap: String,
    /// The topic
    #[arg(long)]
    topic: String,
    /// How many groups
    #[arg(long, default_value_t = 1000)]
    groups: usize,
    #[command(flatten)]
    schedule: Schedule,
}

impl Heartbeats {
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        let mut members = (0..self.groups)
            .map(|index| Member::new(&self.bootstrap, &format!("heartbeats-{index}"), &self.topic))
            .collect::<Result<Vec<_>, _>>()?;
        for member in &mut members {
            member.send_join(&self.topic, 0)?;
        }
        for member in &mut members {
            member.joined()?;
            let assignment = coordinator::assignment(&self.topic, 0..1)?;
            let member_id = member.id.clone();
            member.send_sync(vec![SyncGroupRequestAssignment { member_id, assignment }])?;
        }
        for member in &mut members {
            member.synced()?;
        }
        let frames = members.iter().map(frame).collect::<Result<Vec<_>, _>>()?;
        let (skip, total) = self.schedule.counts();
        coordinator::say_warm();
        let (mut times, begin) = (Times::new(), Instant::now());
        for number in 0..total {
            self.schedule.wait(begin, number);
            let sent = Instant::now();
            let stream = &mut members[number % frames.len()].stream;
            stream.write_all(&frames[number % frames.len()])?;
            let response = wire::decode::<HeartbeatRequest>(wire::read_frame(stream)?, HEARTBEAT_VERSION)?;
            if response.error_code != 0 {
                return Err(format!("Heartbeat: error {}", response.error_code).into());
            }
            if number >= skip {
                times.record(sent.elapsed());
            }
        }
        Ok(times.report(self.schedule.seconds))
    }
}

fn frame(member: &Member) -> Result<bytes::Bytes, Failure> {
    let request = HeartbeatRequest {
        group_id: StrBytes::from(member.group.as_str()),
        generation_id: member.generation,
        member_id: StrBytes::from(member.id.as_str()),
        group_instance_id: None,
    };
    Ok(encode_request(&request, HEARTBEAT_VERSION, 0, Some(&StrBytes::from("load")))?)
}
