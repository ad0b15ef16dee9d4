//! What a batch changed, in order, for those who react to it.

use std::sync::Arc;

use watershed_model::{BrokerId, TopicId, TopicIdPartition};

use crate::MetadataImage;

/// One thing that changed. The new state is in [`MetadataDelta::image`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A topic with all its partitions is new.
    TopicCreated(TopicId),
    /// A topic is gone. Its name is kept here because the image no longer knows it.
    TopicDeleted {
        /// The topic.
        topic: TopicId,
        /// The name it had.
        name: Arc<str>,
        /// How many partitions it had.
        partitions: i32,
    },
    /// A topic has more partitions: those from `first` on are new.
    PartitionsAdded {
        /// The topic.
        topic: TopicId,
        /// The number of the first new partition.
        first: i32,
    },
    /// A topic's explicitly set configs changed.
    TopicConfigs(TopicId),
    /// Configs of one broker changed, or (`None`) those that hold for all brokers.
    BrokerConfigs(Option<BrokerId>),
    /// A group's explicitly set configs changed.
    GroupConfigs(Arc<str>),
    /// A broker is new, or has other listeners.
    BrokerRegistered(BrokerId),
    /// Every partition that this broker leads has a higher leader epoch.
    BrokerStarted(BrokerId),
    /// The finalized feature levels changed.
    Features,
    /// A block of producer ids was given out.
    ProducerIds,
    /// Offsets of a volatile partition were reserved.
    OffsetsReserved(TopicIdPartition),
    /// The cluster has an identity.
    Cluster,
    /// The whole image was replaced by another replica's snapshot: compare all of it.
    Everything,
}

/// One committed batch: what it changed and the state after it.
#[derive(Clone, Debug)]
pub struct MetadataDelta {
    /// The changes, in the order of the records.
    pub changes: Vec<Change>,
    /// The image after the batch.
    pub image: Arc<MetadataImage>,
}
