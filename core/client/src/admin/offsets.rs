//! Offsets by position or time.

use std::collections::HashMap;

use tokio::time::{Instant, sleep};
use watershed_model::{BrokerId, LeaderEpoch, Offset, Timestamp};
use watershed_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic,
};
use watershed_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::Admin;
use super::topics::{no_leader, no_result};
use crate::{Client, ClientError, IsolationLevel, Lane};

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first that is there.
    Earliest,
    /// The end of what consumers may see.
    Latest,
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// The first record that is not older.
    At(Timestamp),
}

impl OffsetSpec {
    const fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::At(timestamp) => timestamp.0,
        }
    }
}

/// An offset that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAt {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset; `None` where no record matches.
    pub offset: Option<Offset>,
    /// The record's timestamp, where a record was looked for.
    pub timestamp: Option<Timestamp>,
    /// The epoch of the leader that appended it, if known.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Admin {
    /// Finds offsets, in the order of the questions. Each leader is asked for its partitions; what has moved is asked again.
    ///
    /// # Errors
    /// The first partition's error that another try does not mend.
    pub async fn list_offsets(
        &self,
        ask: &[(String, i32, OffsetSpec)],
        isolation: IsolationLevel,
    ) -> Result<Vec<OffsetAt>, ClientError> {
        list_offsets(&self.client, ask, isolation).await
    }
}

/// See [`Admin::list_offsets`].
pub(crate) async fn list_offsets(
    client: &Client,
    ask: &[(String, i32, OffsetSpec)],
    isolation: IsolationLevel,
) -> Result<Vec<OffsetAt>, ClientError> {
    for (topic, ..) in ask {
        client.topic(topic).await?;
    }
    let start = Instant::now();
    let limit = client.config().operation_timeout;
    let mut backoff = client.backoff();
    let mut found: Vec<Option<OffsetAt>> = vec![None; ask.len()];
    loop {
        let seen = client.metadata().generation;
        let error = match one_round(client, ask, isolation, &mut found).await {
            Ok(()) => return Ok(found.into_iter().flatten().collect()),
            Err(error) if !error.is_retriable() => return Err(error),
            Err(error) => error,
        };
        let wait = backoff.next_wait();
        if start.elapsed() + wait >= limit {
            return Err(ClientError::Timeout {
                what: "listing offsets".into(),
                after: limit,
                last: Some(Box::new(error)),
            });
        }
        sleep(wait).await;
        if error.is_stale_metadata() {
            // A failure here shows itself again in the next round.
            let _ = client.refresh(seen).await;
        }
    }
}

/// Asks for what is not found yet. The error is that of the partition that is hardest to mend.
async fn one_round(
    client: &Client,
    ask: &[(String, i32, OffsetSpec)],
    isolation: IsolationLevel,
    found: &mut [Option<OffsetAt>],
) -> Result<(), ClientError> {
    let metadata = client.metadata();
    let mut by_leader: HashMap<BrokerId, Vec<(usize, LeaderEpoch)>> = HashMap::new();
    let mut worst: Option<ClientError> = None;
    let mut note = |error: ClientError| {
        if worst.as_ref().is_none_or(ClientError::is_retriable) {
            worst = Some(error);
        }
    };
    for (i, (topic, partition, _)) in ask.iter().enumerate() {
        if found[i].is_some() {
            continue;
        }
        match metadata.leader(topic, *partition) {
            Some((leader, epoch, _)) => by_leader.entry(leader).or_default().push((i, epoch)),
            None => note(no_leader(&format!("listing offsets of {topic}-{partition}"))),
        }
    }
    for (leader, items) in by_leader {
        let response = match ask_leader(client, leader, ask, &items, isolation).await {
            Ok(response) => response,
            Err(error) => {
                note(error);
                continue;
            }
        };
        for (i, _) in items {
            match result_for(&response, &ask[i]) {
                Ok(at) => found[i] = Some(at),
                Err(error) => note(error),
            }
        }
    }
    worst.map_or(Ok(()), Err)
}

async fn ask_leader(
    client: &Client,
    leader: BrokerId,
    ask: &[(String, i32, OffsetSpec)],
    items: &[(usize, LeaderEpoch)],
    isolation: IsolationLevel,
) -> Result<ListOffsetsResponse, ClientError> {
    let mut topics = Vec::<ListOffsetsTopic>::new();
    for (i, epoch) in items {
        let (topic, partition, spec) = &ask[*i];
        let entry = ListOffsetsPartition {
            partition_index: *partition,
            current_leader_epoch: epoch.0,
            timestamp: spec.timestamp(),
        };
        match topics.iter_mut().find(|t| *t.name == **topic) {
            Some(topic) => topic.partitions.push(entry),
            None => topics.push(ListOffsetsTopic { name: topic.as_str().into(), partitions: vec![entry] }),
        }
    }
    let connection = client.broker(leader, Lane::Control).await?;
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation.code(),
        topics,
        timeout_ms: i32::try_from(client.config().connection.request_timeout.as_millis()).unwrap_or(i32::MAX),
    };
    connection.call(&request).await
}

fn result_for(
    response: &ListOffsetsResponse,
    (topic, partition, _): &(String, i32, OffsetSpec),
) -> Result<OffsetAt, ClientError> {
    let what = || format!("listing offsets of {topic}-{partition}");
    let found: &ListOffsetsPartitionResponse = response
        .topics
        .iter()
        .filter(|t| *t.name == **topic)
        .flat_map(|t| &t.partitions)
        .find(|p| p.partition_index == *partition)
        .ok_or_else(|| no_result(&what()))?;
    ClientError::check(found.error_code, None, what)?;
    Ok(OffsetAt {
        topic: topic.clone(),
        partition: *partition,
        offset: (found.offset >= 0).then_some(Offset(found.offset)),
        timestamp: (found.timestamp >= 0).then_some(Timestamp(found.timestamp)),
        leader_epoch: (found.leader_epoch >= 0).then_some(LeaderEpoch(found.leader_epoch)),
    })
}
