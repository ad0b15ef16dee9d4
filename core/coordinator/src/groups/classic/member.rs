//! A member of a classic group, and the protocols that it can use.

use std::sync::Arc;

use bytes::Bytes;
use watershed_protocol::messages::describe_groups::DescribedGroupMember;
use watershed_protocol::messages::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};

use crate::records::MemberMetadata;
use crate::runtime::RequestId;

/// A request that is answered in a later event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::groups) struct Waiting {
    /// To reply to it.
    pub(in crate::groups) id: RequestId,
    /// The version of its API, on which parts of the reply depend.
    pub(in crate::groups) version: i16,
}

/// A protocol that a member can use, and what it says in that protocol's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::groups) struct ClassicProtocol {
    /// The name; the members of a group share the text.
    pub(in crate::groups) name: Arc<str>,
    /// Opaque to the broker.
    pub(in crate::groups) metadata: Bytes,
}

/// A member of a classic group.
#[derive(Clone, Debug)]
pub(in crate::groups) struct ClassicMember {
    pub(in crate::groups) member_id: Arc<str>,
    /// The name of a static member (KIP-345).
    pub(in crate::groups) instance_id: Option<Arc<str>>,
    pub(in crate::groups) client_id: Arc<str>,
    pub(in crate::groups) client_host: Arc<str>,
    pub(in crate::groups) rebalance_timeout_ms: i32,
    pub(in crate::groups) session_timeout_ms: i32,
    /// In the order of the member's preference. Names may be there twice: clients are free to.
    pub(in crate::groups) protocols: Box<[ClassicProtocol]>,
    /// What it owns, as the leader or the broker put it; empty if nothing.
    pub(in crate::groups) assignment: Bytes,
    /// Its JoinGroup that waits for the next generation. The group counts these: change it by the group's methods only.
    pub(super) awaiting_join: Option<Waiting>,
    /// Its SyncGroup that waits for the assignment.
    pub(super) awaiting_sync: Option<Waiting>,
    /// It has not seen a generation yet, and may have gone while its first JoinGroup waits.
    pub(super) is_new: bool,
}

impl ClassicMember {
    /// A member without assignment that waits for nothing.
    pub(in crate::groups) fn new(
        member_id: Arc<str>,
        instance_id: Option<Arc<str>>,
        (client_id, client_host): (&str, &str),
        (rebalance_timeout_ms, session_timeout_ms): (i32, i32),
        protocols: Box<[ClassicProtocol]>,
    ) -> Self {
        Self {
            member_id,
            instance_id,
            client_id: client_id.into(),
            client_host: client_host.into(),
            rebalance_timeout_ms,
            session_timeout_ms,
            protocols,
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        }
    }

    /// Whether the member keeps its place over restarts (KIP-345).
    pub(in crate::groups) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// Whether its JoinGroup waits.
    pub(in crate::groups) fn is_awaiting_join(&self) -> bool {
        self.awaiting_join.is_some()
    }

    /// What it says in a protocol's terms; `None` if it cannot use it.
    pub(in crate::groups) fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols.iter().find(|own| *own.name == *protocol).map(|own| &own.metadata)
    }

    /// Whether these are its protocols, in the same order and with the same metadata.
    pub(super) fn matches(&self, protocols: &[JoinGroupRequestProtocol]) -> bool {
        let same = |(own, other): (&ClassicProtocol, &JoinGroupRequestProtocol)| {
            *own.name == *other.name && own.metadata == other.metadata
        };
        self.protocols.len() == protocols.len() && self.protocols.iter().zip(protocols).all(same)
    }

    /// Whether silence is no sign that it has gone: while a request of it waits, it has no reason to send heartbeats.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// As the leader sees it.
    pub(super) fn in_join_response(&self, protocol: &str) -> JoinGroupResponseMember {
        JoinGroupResponseMember {
            member_id: self.member_id.to_string(),
            group_instance_id: self.instance_id.as_deref().map(str::to_owned),
            metadata: self.metadata(protocol).cloned().unwrap_or_default(),
        }
    }

    /// As DescribeGroups shows it, with the metadata of a protocol if one is in use.
    pub(super) fn describe(&self, protocol: Option<&str>) -> DescribedGroupMember {
        DescribedGroupMember {
            member_id: self.member_id.to_string(),
            group_instance_id: self.instance_id.as_deref().map(str::to_owned),
            client_id: self.client_id.to_string(),
            client_host: self.client_host.to_string(),
            member_metadata: protocol.and_then(|name| self.metadata(name)).cloned().unwrap_or_default(),
            member_assignment: self.assignment.clone(),
        }
    }

    /// As it is written down, with this assignment.
    pub(super) fn to_record(&self, protocol: &str, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.member_id.to_string(),
            group_instance_id: self.instance_id.as_deref().map(str::to_owned),
            client_id: self.client_id.to_string(),
            client_host: self.client_host.to_string(),
            rebalance_timeout: self.rebalance_timeout_ms,
            session_timeout: self.session_timeout_ms,
            subscription: self.metadata(protocol).cloned().unwrap_or_default(),
            assignment,
        }
    }

    /// As it was written down. Only one protocol is known then: the group's.
    pub(super) fn from_record(record: MemberMetadata, protocol: &Arc<str>) -> Self {
        // Records without a rebalance timeout are from before version 1 of JoinGroup, where it was the session timeout.
        let rebalance_timeout_ms = match record.rebalance_timeout {
            -1 => record.session_timeout,
            timeout_ms => timeout_ms,
        };
        let protocols = [ClassicProtocol { name: protocol.clone(), metadata: record.subscription }];
        let mut member = Self::new(
            record.member_id.into(),
            record.group_instance_id.map(Into::into),
            (&record.client_id, &record.client_host),
            (rebalance_timeout_ms, record.session_timeout),
            protocols.into(),
        );
        member.assignment = record.assignment;
        member
    }
}
