//! The network of a quorum that has no other members.
//!
//! A cluster brings its own [`RaftNetworkFactory`]; until there is one, every attempt to reach a peer says so.

use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{AnyError, OptionalSend, Snapshot, Vote};

use super::{Peer, RaftTypes};

/// Reaches nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

/// The client of a peer that cannot be reached.
#[derive(Clone, Copy, Debug)]
pub struct NoPeer(u64);

impl NoPeer {
    fn unreachable(self) -> Unreachable {
        Unreachable::new(&AnyError::error(format!("this node has no network to reach quorum member {}", self.0)))
    }
}

impl RaftNetworkFactory<RaftTypes> for NoPeers {
    type Network = NoPeer;

    async fn new_client(&mut self, target: u64, _node: &Peer) -> NoPeer {
        NoPeer(target)
    }
}

impl RaftNetwork<RaftTypes> for NoPeer {
    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<RaftTypes>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, Peer, RaftError<u64>>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, Peer, RaftError<u64>>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote<u64>,
        _snapshot: Snapshot<RaftTypes>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<RaftTypes, Fatal<u64>>> {
        Err(StreamingError::Unreachable(self.unreachable()))
    }
}
