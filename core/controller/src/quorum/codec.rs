//! What the quorum keeps on disk, as bytes.
//!
//! Our own shapes with fixed numbers rather than openraft's, so that its next version does not change our files.
//! Every value is `u8 version (1) | u32 CRC-32C of the rest, big-endian | CBOR`. Numbers never change meaning.

use std::collections::BTreeMap;

use minicbor::{Decode, Decoder, Encode, Encoder};
use openraft::{CommittedLeaderId, Entry, EntryPayload, Membership, StoredMembership, Vote};

use super::{LogId, Peer, Proposal, RaftTypes};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;

/// Bytes that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("a value of {0} bytes is cut short")]
    Truncated(usize),
    #[error("a value has version {0}, this program reads version {VERSION}")]
    Version(u8),
    #[error("a value's checksum is wrong")]
    Checksum,
    #[error("a value cannot be read: {0}")]
    Malformed(String),
}

/// The bytes of a value.
pub(crate) fn seal<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    Encoder::new(&mut bytes).encode(value).expect("writing to memory cannot fail");
    let checksum = crc32c::crc32c(&bytes[HEADER_BYTES..]);
    bytes[0] = VERSION;
    bytes[1..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The value of bytes.
pub(crate) fn unseal<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, CodecError> {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(CodecError::Truncated(bytes.len()));
    };
    let [version, checksum @ ..] = *header;
    if version != VERSION {
        return Err(CodecError::Version(version));
    }
    if u32::from_be_bytes(checksum) != crc32c::crc32c(body) {
        return Err(CodecError::Checksum);
    }
    let mut decoder = Decoder::new(body);
    let value = decoder.decode().map_err(|error| CodecError::Malformed(error.to_string()))?;
    match decoder.position() == body.len() {
        true => Ok(value),
        false => Err(CodecError::Malformed("bytes after its end".to_owned())),
    }
}

/// Which entry of the log, and under which leadership it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct StoredLogId {
    #[n(0)]
    term: u64,
    #[n(1)]
    node: u64,
    #[n(2)]
    index: u64,
}

impl From<LogId> for StoredLogId {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
    }
}

impl From<StoredLogId> for LogId {
    fn from(id: StoredLogId) -> Self {
        Self::new(CommittedLeaderId::new(id.term, id.node), id.index)
    }
}

/// Whom this node voted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct StoredVote {
    #[n(0)]
    term: u64,
    #[n(1)]
    node: u64,
    #[n(2)]
    committed: bool,
}

impl From<&Vote<u64>> for StoredVote {
    fn from(vote: &Vote<u64>) -> Self {
        let leader = vote.leader_id();
        Self { term: leader.term, node: leader.node_id, committed: vote.is_committed() }
    }
}

impl From<StoredVote> for Vote<u64> {
    fn from(vote: StoredVote) -> Self {
        match vote.committed {
            true => Self::new_committed(vote.term, vote.node),
            false => Self::new(vote.term, vote.node),
        }
    }
}

/// Who belongs to the quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct StoredMembers {
    /// The entry that says so; none before the first.
    #[n(0)]
    log_id: Option<StoredLogId>,
    /// The sets of voters: two while a change is under way.
    #[n(1)]
    configs: Vec<Vec<u64>>,
    /// All members.
    #[n(2)]
    nodes: Vec<StoredNode>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct StoredNode {
    #[n(0)]
    id: u64,
    #[n(1)]
    host: String,
    #[n(2)]
    port: u16,
}

impl StoredMembers {
    fn new(log_id: Option<LogId>, members: &Membership<u64, Peer>) -> Self {
        Self {
            log_id: log_id.map(Into::into),
            configs: members.get_joint_config().iter().map(|config| config.iter().copied().collect()).collect(),
            nodes: members
                .nodes()
                .map(|(id, peer)| StoredNode { id: *id, host: peer.host.clone(), port: peer.port })
                .collect(),
        }
    }

    fn members(self) -> Membership<u64, Peer> {
        let nodes: BTreeMap<u64, Peer> =
            self.nodes.into_iter().map(|node| (node.id, Peer { host: node.host, port: node.port })).collect();
        Membership::new(self.configs.into_iter().map(|config| config.into_iter().collect()).collect(), nodes)
    }
}

impl From<&StoredMembership<u64, Peer>> for StoredMembers {
    fn from(members: &StoredMembership<u64, Peer>) -> Self {
        Self::new(*members.log_id(), members.membership())
    }
}

impl From<StoredMembers> for StoredMembership<u64, Peer> {
    fn from(stored: StoredMembers) -> Self {
        Self::new(stored.log_id.map(Into::into), stored.members())
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct StoredEntry {
    #[n(0)]
    id: StoredLogId,
    #[n(1)]
    payload: StoredPayload,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
enum StoredPayload {
    /// Nothing: a leader's first entry.
    #[n(0)]
    Blank,
    /// Records.
    #[n(1)]
    Batch {
        #[n(0)]
        base: u64,
        #[cbor(n(1), with = "minicbor::bytes")]
        batch: Vec<u8>,
    },
    /// Who belongs to the quorum from here on.
    #[n(2)]
    Members(#[n(0)] StoredMembers),
}

impl From<Entry<RaftTypes>> for StoredEntry {
    fn from(entry: Entry<RaftTypes>) -> Self {
        let payload = match entry.payload {
            EntryPayload::Blank => StoredPayload::Blank,
            EntryPayload::Normal(Proposal { base, batch }) => StoredPayload::Batch { base, batch },
            EntryPayload::Membership(members) => StoredPayload::Members(StoredMembers::new(None, &members)),
        };
        Self { id: entry.log_id.into(), payload }
    }
}

impl From<StoredEntry> for Entry<RaftTypes> {
    fn from(stored: StoredEntry) -> Self {
        let payload = match stored.payload {
            StoredPayload::Blank => EntryPayload::Blank,
            StoredPayload::Batch { base, batch } => EntryPayload::Normal(Proposal { base, batch }),
            StoredPayload::Members(members) => EntryPayload::Membership(members.members()),
        };
        Self { log_id: stored.id.into(), payload }
    }
}

/// What a snapshot holds, beside its pieces.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct StoredSnapshot {
    /// Under which number its pieces are stored.
    #[n(0)]
    pub(crate) slot: u64,
    /// How many pieces there are.
    #[n(1)]
    pub(crate) chunks: u32,
    /// The last entry it contains.
    #[n(2)]
    pub(crate) last: Option<StoredLogId>,
    /// The members at that entry.
    #[n(3)]
    pub(crate) members: StoredMembers,
    /// The image's version.
    #[n(4)]
    pub(crate) version: u64,
    /// openraft's name for it.
    #[n(5)]
    pub(crate) id: String,
}
