//! From a partition of `__consumer_offsets` to a coordinator: the saved state, then the records behind it.

use std::sync::Arc;

use watershed_coordinator::groups::GroupCoordinator;
use watershed_coordinator::runtime::{Coordinator, LoadError, Loader, Now, Output, StateMachine};
use watershed_log::{Bound, LogError};
use watershed_metadata::{MetadataImage, Topic};
use watershed_model::limits::REPLAY_READ_BYTES;
use watershed_model::record::batches;
use watershed_protocol::ErrorCode;

use super::shard::{PartitionLog, Shard, ShardHost};
use crate::Broker;
use crate::errors::log_code;
use crate::partition::Partition;

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Records(#[from] LoadError),
}

/// Loads a coordinator.
///
/// # Errors
/// The code for whoever asked; the reason was logged.
pub(super) async fn load(
    broker: &Arc<Broker>,
    image: &Arc<MetadataImage>,
    topic: &Topic,
    number: i32,
) -> Result<Arc<Shard>, ErrorCode> {
    let partition = broker.partition(image, topic, number).await?;
    let began = broker.clock().elapsed();
    let loader = match replay(broker, image, &partition).await {
        Ok(loader) => loader,
        Err(error) => {
            tracing::error!(partition = number, %error, "a group coordinator cannot be loaded; its groups are not served");
            return Err(match &error {
                Failed::Log(error) => log_code(error),
                Failed::Records(_) => ErrorCode::NotCoordinator,
            });
        }
    };
    let (machine, end, records) = loader.finish();
    let groups = broker.groups();
    let compression = broker.config().settings().groups.offsets_topic_compression;
    let log = PartitionLog::new(Arc::clone(&partition), Arc::clone(broker.clock_handle()), compression);
    let host = Arc::new(ShardHost::new(
        Arc::clone(&partition.log),
        groups.runtime.clone(),
        Arc::clone(&groups.alarm),
        Arc::clone(&groups.questions),
    ));
    let driver = Arc::clone(&host);
    let coordinator = Coordinator::new(machine, end, Arc::new(log), driver, Arc::clone(broker.clock_handle()));
    let coordinator = Arc::new(coordinator);
    host.drive(&coordinator);
    coordinator.start(records);
    let seconds = (broker.clock().elapsed() - began).as_secs_f64();
    if records > 0 {
        tracing::info!(partition = number, records, seconds, "loaded a group coordinator");
    }
    Ok(Arc::new(Shard::new(partition, coordinator, host)))
}

async fn replay(
    broker: &Broker,
    image: &Arc<MetadataImage>,
    partition: &Partition,
) -> Result<Loader<GroupCoordinator>, Failed> {
    let log = &partition.log;
    let mut loader = Loader::new(machine(broker, image), log.start());
    if let Some((at, bytes)) = log.saved_coordinator().await.map_err(LogError::from)?
        && at >= log.start()
        && let Err(reason) = loader.snapshot(at, &bytes)
    {
        tracing::warn!(
            partition = partition.tp.partition,
            reason,
            "unreadable coordinator snapshot; replaying the whole log"
        );
        loader = Loader::new(machine(broker, image), log.start());
    }
    loop {
        let bytes = log.load(loader.next(), Bound::LogEnd, REPLAY_READ_BYTES).await?;
        if bytes.is_empty() {
            return Ok(loader);
        }
        for batch in batches(bytes) {
            let at = loader.next();
            let batch = batch.map_err(|error| LoadError::Batch { at, reason: error.to_string() })?;
            loader.batch(&batch)?;
        }
    }
}

/// A machine that knows the metadata and holds nothing.
fn machine(broker: &Broker, image: &Arc<MetadataImage>) -> GroupCoordinator {
    let mut machine = broker.groups().machine(broker.group_settings(), Arc::clone(&broker.random));
    let now = Now { elapsed_ms: broker.elapsed_ms(), wall: broker.clock().now() };
    // An empty machine has nothing to say to the metadata.
    machine.metadata(image, now, &mut Output::default());
    machine
}
