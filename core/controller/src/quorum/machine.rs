//! The state machine: committed entries become images.
//!
//! The image lives in memory only. At a start it is the newest snapshot and then the entries after it; while the
//! process runs each committed batch gives the next image, which is published, and a delta, which goes to whoever
//! subscribed, in order and without a gap.
//!
//! A batch that cannot be read or does not fit the image is damage: the member stops, it never guesses.

use std::sync::Arc;

use arc_swap::ArcSwap;
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{
    AnyError, Entry, EntryPayload, OptionalSend, RaftSnapshotBuilder, SnapshotMeta, StorageIOError, StoredMembership,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use watershed_metadata::{Change, MetadataDelta, MetadataImage, decode_batch, encode_chunks};
use watershed_model::limits::{METADATA_DELTAS_MAX, METADATA_SNAPSHOT_CHUNK_BYTES};

use super::codec::{CodecError, StoredMembers, StoredSnapshot};
use super::store::StoreError;
use super::{LogId, OpenError, Peer, Proposal, RaftTypes, SnapshotImage, StorageError, Store, Verdict};

type Members = StoredMembership<u64, Peer>;
type Meta = SnapshotMeta<u64, Peer>;

/// What everybody may see: the newest image, its version, and the queues of those who follow the changes.
#[derive(Debug)]
pub(crate) struct Published {
    current: ArcSwap<SnapshotImage>,
    followers: Mutex<Vec<mpsc::Sender<MetadataDelta>>>,
    closing: watch::Sender<bool>,
}

impl Published {
    /// From now on a follower that does not keep up is given up instead of waited for.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// The newest image and its version.
    pub(crate) fn current(&self) -> Arc<SnapshotImage> {
        self.current.load_full()
    }

    /// The image now and every change after it.
    pub(crate) fn follow(&self) -> (Arc<MetadataImage>, mpsc::Receiver<MetadataDelta>) {
        let (sender, receiver) = mpsc::channel(METADATA_DELTAS_MAX);
        // Under the lock: `publish` either swapped the image before, or finds the new follower.
        let mut followers = self.followers.lock();
        followers.push(sender);
        (Arc::clone(&self.current.load().image), receiver)
    }

    /// Makes an image the newest and hands its changes to the followers. A follower whose queue is full is waited
    /// for: the metadata does not run away from the broker that has to act on it.
    async fn publish(&self, image: Arc<MetadataImage>, version: u64, changes: Vec<Change>) {
        let followers = {
            let mut followers = self.followers.lock();
            self.current.store(Arc::new(SnapshotImage { image: Arc::clone(&image), version }));
            followers.retain(|follower| !follower.is_closed());
            followers.clone()
        };
        for follower in followers {
            let delta = MetadataDelta { changes: changes.clone(), image: Arc::clone(&image) };
            let mut closing = self.closing.subscribe();
            tokio::select! {
                biased;
                // An error means that the follower is gone, which is its own affair.
                _ = follower.send(delta) => {}
                _ = closing.wait_for(|closing| *closing) => self.followers.lock().clear(),
            }
        }
    }
}

/// The image as openraft drives it.
#[derive(Debug)]
pub(crate) struct Machine {
    store: Arc<Store>,
    published: Arc<Published>,
    applied: Option<LogId>,
    members: Members,
    image: Arc<MetadataImage>,
    /// The index of the last entry whose records are in the image.
    version: u64,
    snapshot: Arc<Mutex<Option<Snapshot<RaftTypes>>>>,
}

impl Machine {
    /// The image of the newest snapshot, or an empty one.
    pub(crate) async fn load(store: Arc<Store>) -> Result<Self, OpenError> {
        let reader = Arc::clone(&store);
        let loaded = tokio::task::spawn_blocking(move || load_snapshot(&reader)).await;
        let loaded = loaded.map_err(|error| OpenError::Quorum(error.to_string()))?;
        let snapshot = loaded.map_err(|error| store.open_error(&error))?;
        let data = snapshot.as_ref().map(|snapshot| (*snapshot.snapshot).clone()).unwrap_or_default();
        let meta = snapshot.as_ref().map(|snapshot| snapshot.meta.clone()).unwrap_or_default();
        let published = Published {
            current: ArcSwap::from_pointee(data.clone()),
            followers: Mutex::default(),
            closing: watch::Sender::new(false),
        };
        Ok(Self {
            store,
            published: Arc::new(published),
            applied: meta.last_log_id,
            members: meta.last_membership,
            image: data.image,
            version: data.version,
            snapshot: Arc::new(Mutex::new(snapshot)),
        })
    }

    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// Adds the records of a proposal to the image.
    async fn apply_proposal(&mut self, id: LogId, proposal: &Proposal) -> Result<Verdict, StorageError> {
        let damage = |error: &dyn std::fmt::Display| {
            let damage = StoreError::Codec(CodecError::Malformed(error.to_string()));
            self.store.fail(&format!("applying entry {id}"), &damage);
            StorageError::from(StorageIOError::apply(id, AnyError::error(error.to_string())))
        };
        let records = decode_batch(&proposal.batch).map_err(|error| damage(&error))?;
        if records.is_empty() {
            return Ok(Verdict { accepted: true });
        }
        if proposal.base != self.version {
            return Ok(Verdict { accepted: false });
        }
        let (image, changes) = self.image.apply_batch(&records).map_err(|error| damage(&error))?;
        self.image = Arc::new(image);
        self.version = id.index;
        self.published.publish(Arc::clone(&self.image), self.version, changes).await;
        Ok(Verdict { accepted: true })
    }
}

impl RaftStateMachine<RaftTypes> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Members), StorageError> {
        Ok((self.applied, self.members.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Verdict>, StorageError>
    where
        I: IntoIterator<Item = Entry<RaftTypes>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut verdicts = Vec::new();
        for entry in entries {
            let id = entry.log_id;
            verdicts.push(match entry.payload {
                EntryPayload::Blank => Verdict { accepted: true },
                EntryPayload::Normal(proposal) => self.apply_proposal(id, &proposal).await?,
                EntryPayload::Membership(members) => {
                    self.members = StoredMembership::new(Some(id), members);
                    Verdict { accepted: true }
                }
            });
            self.applied = Some(id);
        }
        Ok(verdicts)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let index = self.applied.map_or(0, |id| id.index);
        let term = self.applied.map_or(0, |id| id.leader_id.term);
        Builder {
            store: Arc::clone(&self.store),
            current: Arc::clone(&self.snapshot),
            meta: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.members.clone(),
                snapshot_id: format!("{term}-{index}"),
            },
            data: SnapshotImage { image: Arc::clone(&self.image), version: self.version },
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotImage>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: Box<SnapshotImage>) -> Result<(), StorageError> {
        let data = *snapshot;
        save_snapshot(&self.store, meta, &data, &self.snapshot).await?;
        self.applied = meta.last_log_id;
        self.members = meta.last_membership.clone();
        self.image = Arc::clone(&data.image);
        self.version = data.version;
        self.published.publish(data.image, data.version, vec![Change::Everything]).await;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<RaftTypes>>, StorageError> {
        Ok(self.snapshot.lock().clone())
    }
}

/// Writes the snapshot of a moment, while the machine goes on.
#[derive(Debug)]
pub(crate) struct Builder {
    store: Arc<Store>,
    current: Arc<Mutex<Option<Snapshot<RaftTypes>>>>,
    meta: Meta,
    data: SnapshotImage,
}

impl RaftSnapshotBuilder<RaftTypes> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<RaftTypes>, StorageError> {
        save_snapshot(&self.store, &self.meta, &self.data, &self.current).await
    }
}

/// Makes a snapshot durable, then current.
async fn save_snapshot(
    store: &Arc<Store>,
    meta: &Meta,
    data: &SnapshotImage,
    current: &Mutex<Option<Snapshot<RaftTypes>>>,
) -> Result<Snapshot<RaftTypes>, StorageError> {
    let (described, image) = (meta.clone(), data.clone());
    let work = move |store: &Store| {
        let chunks = encode_chunks(image.image.records(), METADATA_SNAPSHOT_CHUNK_BYTES);
        store.write_snapshot(chunks, |slot, chunks| StoredSnapshot {
            slot,
            chunks,
            last: described.last_log_id.map(Into::into),
            members: StoredMembers::from(&described.last_membership),
            version: image.version,
            id: described.snapshot_id,
        })
    };
    let saved = store.write("writing a snapshot", work).await;
    saved.map_err(|error| StorageIOError::write_snapshot(Some(meta.signature()), AnyError::new(&error)))?;
    let snapshot = Snapshot { meta: meta.clone(), snapshot: Box::new(data.clone()) };
    *current.lock() = Some(snapshot.clone());
    Ok(snapshot)
}

fn load_snapshot(store: &Store) -> Result<Option<Snapshot<RaftTypes>>, StoreError> {
    let malformed = |error: &dyn std::fmt::Display| StoreError::Codec(CodecError::Malformed(error.to_string()));
    let mut image = MetadataImage::default();
    let described = store.read_snapshot(|chunk| {
        for record in decode_batch(chunk).map_err(|error| malformed(&error))? {
            image.apply(&record).map_err(|error| malformed(&error))?;
        }
        Ok(())
    })?;
    Ok(described.map(|described| Snapshot {
        meta: SnapshotMeta {
            last_log_id: described.last.map(Into::into),
            last_membership: described.members.into(),
            snapshot_id: described.id,
        },
        snapshot: Box::new(SnapshotImage { image: Arc::new(image), version: described.version }),
    }))
}
