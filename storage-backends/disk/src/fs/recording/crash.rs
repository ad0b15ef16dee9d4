//! The states that a power cut may leave of a [`RecordingFs`].
//!
//! What no sync covered is a row of choices, each kept or lost for itself: every page of every write, every cut or
//! extension, every name that was made, taken away or moved (a move whole or not at all), and, where writes went past
//! the durable end of a file, whether the file is that long with zeros where pages are missing. [`States`] lists them
//! all where they are few, and otherwise the poorest, the richest, those with exactly one choice kept or lost, and some
//! that a seed draws.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{DirOp, Disk, FileOp, Node, RecordingFs, apply_dir, put};

/// What is written or lost as one, in bytes. Smaller than a page, so that small tests meet torn frames.
const PAGE_BYTES: usize = 512;

/// A small generator, so that a seed names a crash state.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Which of the changes that no sync covered reach the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Poorest,
    /// Everything.
    Richest,
    /// The n-th choice is kept if bit n is set.
    Bits(u64),
    /// Only the n-th.
    Only(usize),
    /// All but the n-th.
    AllBut(usize),
    /// As a seed draws.
    Seed(u64),
}

/// Takes the choices one after the other.
struct Fate {
    state: State,
    taken: usize,
    rng: Rng,
    in_256: u64,
}

impl Fate {
    fn of(state: State) -> Self {
        let seed = if let State::Seed(seed) = state { seed } else { 0 };
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let in_256 = 32 + rng.next() % 192;
        Self { state, taken: 0, rng, in_256 }
    }

    fn survives(&mut self) -> bool {
        let n = self.taken;
        self.taken += 1;
        match self.state {
            State::Poorest => false,
            State::Richest => true,
            State::Bits(bits) => n < 64 && bits >> n & 1 == 1,
            State::Only(one) => n == one,
            State::AllBut(one) => n != one,
            State::Seed(_) => self.rng.next() >> 24 & 255 < self.in_256,
        }
    }
}

/// How many states are tried of one moment.
#[derive(Clone, Copy, Debug)]
pub struct States {
    /// All of them, if there are no more than this many choices.
    pub every_up_to: usize,
    /// How many a seed draws otherwise.
    pub drawn: u64,
    /// The seed.
    pub seed: u64,
}

impl States {
    /// The states to try where there are `choices`, each once.
    #[must_use]
    pub fn of(&self, choices: usize) -> Vec<State> {
        if choices <= self.every_up_to.min(20) {
            return (0..1 << choices).map(State::Bits).collect();
        }
        let mut states = vec![State::Poorest, State::Richest];
        states.extend((0..choices).flat_map(|n| [State::Only(n), State::AllBut(n)]));
        // Neighbouring seeds draw unrelated states: the generator spreads them.
        states.extend((0..self.drawn).map(|n| State::Seed(self.seed.wrapping_add(n))));
        states
    }
}

fn crashed_file(durable: &[u8], cache_len: usize, pending: &[FileOp], fate: &mut Fate) -> Vec<u8> {
    let mut content = durable.to_vec();
    let mut wrote_past = false;
    for op in pending {
        match op {
            FileOp::SetLen(len) => {
                if fate.survives() {
                    content.resize(*len, 0);
                }
            }
            FileOp::Write { pos, bytes } => {
                wrote_past |= pos + bytes.len() > durable.len();
                let mut at = 0;
                while at < bytes.len() {
                    // Up to the next page boundary of the file.
                    let page = PAGE_BYTES - (pos + at) % PAGE_BYTES;
                    let len = page.min(bytes.len() - at);
                    if fate.survives() {
                        put(&mut content, pos + at, &bytes[at..at + len]);
                    }
                    at += len;
                }
            }
        }
    }
    if wrote_past && fate.survives() && content.len() < cache_len {
        content.resize(cache_len, 0);
    }
    content
}

impl Node {
    /// The node after a power cut.
    fn crashed(&self, fate: &mut Fate) -> Self {
        match self {
            Self::File { cache, durable, pending } => {
                let content = crashed_file(durable, cache.len(), pending, fate);
                Self::File { cache: content.clone(), durable: content, pending: Vec::new() }
            }
            Self::Dir { durable, pending, .. } => {
                let mut entries = durable.clone();
                for op in pending {
                    if fate.survives() {
                        apply_dir(&mut entries, op);
                    }
                }
                Self::Dir { cache: entries.clone(), durable: entries, pending: Vec::new() }
            }
        }
    }

    /// The nodes that some state names.
    fn named(&self) -> Vec<usize> {
        let Self::Dir { durable, pending, .. } = self else { return Vec::new() };
        let linked = pending.iter().filter_map(|op| match op {
            DirOp::Link(_, id) | DirOp::Rename { id, .. } => Some(*id),
            DirOp::Unlink(_) => None,
        });
        durable.values().copied().chain(linked).collect()
    }
}

impl Disk {
    /// What a power cut leaves. Nodes that no state names have no choices: whatever they hold, nobody sees it.
    fn crashed(&self, fate: &mut Fate) -> Vec<Node> {
        let mut seen: HashSet<usize> = HashSet::from([0]);
        let mut todo = vec![0];
        while let Some(id) = todo.pop() {
            for child in self.nodes[id].named() {
                if seen.insert(child) {
                    todo.push(child);
                }
            }
        }
        let empty = || Node::File { cache: Vec::new(), durable: Vec::new(), pending: Vec::new() };
        let each = self.nodes.iter().enumerate();
        each.map(|(id, node)| if seen.contains(&id) { node.crashed(fate) } else { empty() }).collect()
    }

    fn digest_of(&self, id: usize, hasher: &mut DefaultHasher) {
        match &self.nodes[id] {
            Node::File { cache, .. } => cache.hash(hasher),
            Node::Dir { cache, .. } => {
                let entries: &BTreeMap<String, usize> = cache;
                entries.len().hash(hasher);
                for (name, id) in entries {
                    name.hash(hasher);
                    self.digest_of(*id, hasher);
                }
            }
        }
    }
}

impl RecordingFs {
    /// What a power cut at this moment may leave. Seed 0: nothing that was not synced; seed 1: everything; any other: some.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        self.crash_to(match seed {
            0 => State::Poorest,
            1 => State::Richest,
            seed => State::Seed(seed),
        })
    }

    /// One of the states that a power cut at this moment may leave.
    #[must_use]
    pub fn crash_to(&self, state: State) -> Self {
        let nodes = self.0.lock().crashed(&mut Fate::of(state));
        Self(Arc::new(Mutex::new(Disk { nodes, ..Disk::default() })))
    }

    /// How many things a power cut at this moment may keep or lose.
    #[must_use]
    pub fn choices(&self) -> usize {
        let mut fate = Fate::of(State::Poorest);
        self.0.lock().crashed(&mut fate);
        fate.taken
    }

    /// A digest of everything that can be read now.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.lock().digest_of(0, &mut hasher);
        hasher.finish()
    }
}
