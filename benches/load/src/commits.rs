//! Committed offsets: written on a schedule, written as fast as possible, and there again after a start.

use std::io::Write;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};
use watershed_protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use watershed_protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use watershed_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest};
use watershed_protocol::{StrBytes, encode_request};

use crate::schedule::Schedule;
use crate::{Failure, coordinator, rate, wire};

const COMMIT_VERSION: i16 = 8;
const FETCH_VERSION: i16 = 8;

/// The groups that commit.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Groups {
    /// The broker
    #[arg(long)]
    bootstrap: String,
    /// The topic
    #[arg(long)]
    topic: String,
    /// How many groups take turns
    #[arg(long, default_value_t = 50)]
    groups: usize,
    /// How many partitions each commit is for
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    /// How many connections take turns
    #[arg(long, default_value_t = 4)]
    connections: usize,
}

impl Groups {
    fn name(index: usize) -> String {
        format!("commits-{index}")
    }

    /// A whole OffsetCommit frame for each group, of a consumer that is no member of it.
    fn frames(&self, offset: i64) -> Result<Vec<Bytes>, Failure> {
        let partition = |partition_index| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: offset,
            committed_leader_epoch: -1,
            committed_metadata: Some(StrBytes::default()),
        };
        let topic = OffsetCommitRequestTopic {
            name: StrBytes::from(self.topic.as_str()),
            partitions: (0..self.partitions).map(partition).collect(),
            ..OffsetCommitRequestTopic::default()
        };
        let frame = |index| {
            let request = OffsetCommitRequest {
                group_id: StrBytes::from(Self::name(index).as_str()),
                topics: vec![topic.clone()],
                ..OffsetCommitRequest::default()
            };
            Ok(encode_request(&request, COMMIT_VERSION, 0, Some(&StrBytes::from("load")))?)
        };
        (0..self.groups).map(frame).collect()
    }

    /// Waits for all coordinators: each answers an OffsetFetch.
    fn wait(&self) -> Result<(), Failure> {
        let mut stream = wire::connect(&self.bootstrap)?;
        for index in 0..self.groups {
            let group = Self::name(index);
            coordinator::find(&mut stream, &group)?;
            let name = StrBytes::from(self.topic.as_str());
            let topic = OffsetFetchRequestTopics { name, partition_indexes: vec![0], ..Default::default() };
            let group_id = StrBytes::from(group.as_str());
            let group = OffsetFetchRequestGroup { group_id, topics: Some(vec![topic]), ..Default::default() };
            let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
            coordinator::until(|| {
                let response = wire::call(&mut stream, &request, FETCH_VERSION)?;
                match response.groups.first().map(|group| group.error_code) {
                    Some(0) => Ok(Some(())),
                    Some(code) if coordinator::is_coming(code) => Ok(None),
                    other => Err(format!("OffsetFetch: {other:?}").into()),
                }
            })?;
        }
        Ok(())
    }
}

/// Fails if an OffsetCommit response names an error.
fn check_committed(frame: Bytes) -> Result<(), Failure> {
    let response = wire::decode::<OffsetCommitRequest>(frame, COMMIT_VERSION)?;
    for place in response.topics.iter().flat_map(|topic| &topic.partitions) {
        if place.error_code != 0 {
            return Err(format!("OffsetCommit, partition {}: error {}", place.partition_index, place.error_code).into());
        }
    }
    Ok(())
}

/// `commits`
#[derive(Debug, clap::Args)]
pub(crate) struct Commits {
    #[command(flatten)]
    groups: Groups,
    #[command(flatten)]
    schedule: Schedule,
}

impl Commits {
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        self.groups.wait()?;
        let frames = self.groups.frames(1)?;
        rate::drive(&self.groups.bootstrap, self.groups.connections, &self.schedule, &frames, check_committed)
    }
}

/// `fill`
#[derive(Debug, clap::Args)]
pub(crate) struct Fill {
    #[command(flatten)]
    groups: Groups,
    /// How often each group commits
    #[arg(long, default_value_t = 1)]
    times: usize,
    /// How many commits are on their way on each connection
    #[arg(long, default_value_t = 16)]
    window: usize,
}

impl Fill {
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        self.groups.wait()?;
        let frames = self.groups.frames(1)?;
        let begin = Instant::now();
        thread::scope(|scope| {
            let writers: Vec<_> = (0..self.groups.connections)
                .map(|first| {
                    scope.spawn({
                        let frames = &frames;
                        move || self.commit(frames, first)
                    })
                })
                .collect();
            writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer panicked")?)
        })?;
        let seconds = begin.elapsed().as_secs_f64();
        let requests = self.groups.groups * self.times;
        let offsets = requests as f64 * f64::from(self.groups.partitions);
        Ok(json!({ "requests": requests, "offsets": offsets, "seconds": seconds, "per_second": offsets / seconds }))
    }

    /// One connection's share of the groups, a window of requests at a time.
    fn commit(&self, frames: &[Bytes], first: usize) -> Result<(), Failure> {
        let mut stream = wire::connect(&self.groups.bootstrap)?;
        let mut answers = std::io::BufReader::new(stream.try_clone()?);
        let mut waiting = 0;
        for _ in 0..self.times {
            for frame in frames.iter().skip(first).step_by(self.groups.connections) {
                if waiting == self.window.max(1) {
                    check_committed(wire::read_frame(&mut answers)?)?;
                    waiting -= 1;
                }
                stream.write_all(frame)?;
                waiting += 1;
            }
        }
        (0..waiting).try_for_each(|_| check_committed(wire::read_frame(&mut answers)?))
    }
}

/// `loaded`
#[derive(Debug, clap::Args)]
pub(crate) struct Loaded {
    #[command(flatten)]
    groups: Groups,
}

impl Loaded {
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        let begin = Instant::now();
        self.groups.wait()?;
        Ok(json!({ "ms": begin.elapsed().as_secs_f64() * 1000.0 }))
    }
}
