//! The messages, one file per API.
//!
//! Each file is a table: the request, the response and their parts, in the order of the protocol, with the versions of every
//! field. Names are Kafka's in snake case. A test compares the tables with Kafka's own definitions.

use crate::Message;
use crate::schema::MessageSchema;

pub mod alter_configs;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_acls;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod update_features;

pub use alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
pub use api_versions::{ApiVersionsRequest, ApiVersionsResponse};
pub use consumer_group_describe::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
pub use consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
pub use create_acls::{CreateAclsRequest, CreateAclsResponse};
pub use create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
pub use create_topics::{CreateTopicsRequest, CreateTopicsResponse};
pub use delete_acls::{DeleteAclsRequest, DeleteAclsResponse};
pub use delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
pub use delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
pub use delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
pub use describe_acls::{DescribeAclsRequest, DescribeAclsResponse};
pub use describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
pub use describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
pub use describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
pub use describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
pub use describe_producers::{DescribeProducersRequest, DescribeProducersResponse};
pub use describe_quorum::{DescribeQuorumRequest, DescribeQuorumResponse};
pub use describe_topic_partitions::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
pub use fetch::{FetchRequest, FetchResponse};
pub use find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
pub use heartbeat::{HeartbeatRequest, HeartbeatResponse};
pub use incremental_alter_configs::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
pub use init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
pub use join_group::{JoinGroupRequest, JoinGroupResponse};
pub use leave_group::{LeaveGroupRequest, LeaveGroupResponse};
pub use list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse};
pub use list_groups::{ListGroupsRequest, ListGroupsResponse};
pub use list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
pub use metadata::{MetadataRequest, MetadataResponse};
pub use offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
pub use offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
pub use offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
pub use offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
pub use produce::{ProduceRequest, ProduceResponse};
pub use sync_group::{SyncGroupRequest, SyncGroupResponse};
pub use txn_offset_commit::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
pub use update_features::{UpdateFeaturesRequest, UpdateFeaturesResponse};

/// Declares [`SCHEMAS`] from the names of the APIs.
macro_rules! schemas {
    ($($request:ident, $response:ident;)*) => {
        /// The descriptions of all messages, by API.
        pub const SCHEMAS: &[MessageSchema] = &[$($request::SCHEMA, $response::SCHEMA,)*];
    };
}

schemas! {
    ProduceRequest, ProduceResponse;
    FetchRequest, FetchResponse;
    ListOffsetsRequest, ListOffsetsResponse;
    MetadataRequest, MetadataResponse;
    FindCoordinatorRequest, FindCoordinatorResponse;
    ApiVersionsRequest, ApiVersionsResponse;
    CreateTopicsRequest, CreateTopicsResponse;
    DeleteTopicsRequest, DeleteTopicsResponse;
    DeleteRecordsRequest, DeleteRecordsResponse;
    InitProducerIdRequest, InitProducerIdResponse;
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    DescribeAclsRequest, DescribeAclsResponse;
    CreateAclsRequest, CreateAclsResponse;
    DeleteAclsRequest, DeleteAclsResponse;
    DescribeConfigsRequest, DescribeConfigsResponse;
    AlterConfigsRequest, AlterConfigsResponse;
    DescribeLogDirsRequest, DescribeLogDirsResponse;
    CreatePartitionsRequest, CreatePartitionsResponse;
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    DescribeQuorumRequest, DescribeQuorumResponse;
    UpdateFeaturesRequest, UpdateFeaturesResponse;
    DescribeClusterRequest, DescribeClusterResponse;
    DescribeProducersRequest, DescribeProducersResponse;
    ListConfigResourcesRequest, ListConfigResourcesResponse;
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
    OffsetCommitRequest, OffsetCommitResponse;
    OffsetFetchRequest, OffsetFetchResponse;
    JoinGroupRequest, JoinGroupResponse;
    HeartbeatRequest, HeartbeatResponse;
    LeaveGroupRequest, LeaveGroupResponse;
    SyncGroupRequest, SyncGroupResponse;
    DescribeGroupsRequest, DescribeGroupsResponse;
    ListGroupsRequest, ListGroupsResponse;
    TxnOffsetCommitRequest, TxnOffsetCommitResponse;
    DeleteGroupsRequest, DeleteGroupsResponse;
    OffsetDeleteRequest, OffsetDeleteResponse;
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
}
