//! Random histories on the disk and in a naive model, which must agree.

use std::sync::Arc;

use proptest::prelude::*;
use watershed_model::{Offset, Timestamp};
use watershed_storage::conformance::harness::{config as segment_config, frame, gather, partition, wire};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{FlushMode, Frame, LogStorage, PartitionLog, Piece, SegmentConfig};

use super::config;
use crate::DiskStorage;
use crate::fs::{Fs, RealFs, recording::RecordingFs};

#[derive(Clone, Debug)]
enum Op {
    Append {
        frames: u8,
        records: u8,
        gap: bool,
        bytes: u16,
    },
    Roll,
    Checkpoint,
    /// By so many thousandths of the log.
    Truncate(u16),
    Advance(u16),
    Reset(u16),
    /// The sealed segment at so many thousandths of them, without the frames whose bit is set.
    Rewrite(u16, u8),
    Read {
        from: u16,
        upto: u16,
        max: u32,
        min_one: bool,
    },
    Find(u16),
    CloseLog,
    Restart,
    Crash(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1..5u8, 1..6u8, any::<bool>(), 0..3_000u16)
            .prop_map(|(frames, records, gap, bytes)| Op::Append { frames, records, gap, bytes }),
        3 => Just(Op::Roll),
        2 => Just(Op::Checkpoint),
        2 => (0..1_000u16).prop_map(Op::Truncate),
        2 => (0..1_000u16).prop_map(Op::Advance),
        1 => (0..2_000u16).prop_map(Op::Reset),
        3 => (0..1_000u16, any::<u8>()).prop_map(|(which, gone)| Op::Rewrite(which, gone)),
        8 => (0..=1_000u16, 0..=1_000u16, 0..10_000u32, any::<bool>())
            .prop_map(|(from, upto, max, min_one)| Op::Read { from, upto, max, min_one }),
        2 => (0..1_000u16).prop_map(Op::Find),
        1 => Just(Op::CloseLog),
        1 => Just(Op::Restart),
        1 => (0..u64::MAX).prop_map(Op::Crash),
    ]
}

#[derive(Default)]
struct Model {
    start: i64,
    end: i64,
    epoch: i32,
    frames: Vec<Frame>,
}

impl Model {
    fn at(&self, thousandths: u16) -> i64 {
        self.start + (self.end - self.start) * i64::from(thousandths) / 1_000
    }

    fn read(&self, from: i64, upto: i64, max: u32, min_one: bool) -> Vec<u8> {
        let upto = upto.min(self.end);
        let (mut out, mut taken) = (Vec::new(), 0);
        if from >= upto {
            return Vec::new();
        }
        for f in self.frames.iter().filter(|f| f.meta.last.0 >= from) {
            let fits = taken + f.meta.len <= max || (min_one && out.is_empty());
            if f.meta.last.0 >= upto || !fits {
                break;
            }
            taken += f.meta.len;
            out.push(f);
        }
        wire(out)
    }
}

struct Rig {
    fs: Backing,
    relaxed: bool,
    storage: DiskStorage,
    log: Arc<dyn PartitionLog>,
    model: Model,
}

enum Backing {
    Real(tempfile::TempDir),
    Recording(RecordingFs),
}

impl Backing {
    fn open(&self) -> DiskStorage {
        let (dir, fs): (_, Arc<dyn Fs>) = match self {
            Self::Real(dir) => (dir.path().join("data"), Arc::new(RealFs)),
            Self::Recording(fs) => ("/data".into(), Arc::new(fs.clone())),
        };
        DiskStorage::open_on(config(&dir), fs, 2).unwrap()
    }
}

fn settings(relaxed: bool) -> SegmentConfig {
    let flush = if relaxed { FlushMode::Relaxed } else { FlushMode::Sync };
    SegmentConfig { flush, ..segment_config() }
}

impl Rig {
    async fn new(fs: Backing, relaxed: bool) -> Self {
        let storage = fs.open();
        let opened = storage.open(partition(0), settings(relaxed), Arc::new(BatchFraming)).await;
        Self { fs, relaxed, storage, log: opened.unwrap().0, model: Model::default() }
    }

    async fn open_log(&mut self) {
        let opened = self.storage.open(partition(0), settings(self.relaxed), Arc::new(BatchFraming)).await;
        let (log, report) = opened.unwrap();
        assert!(report.damage.iter().all(|d| !d.promised), "{report:?}");
        self.log = log;
    }

    async fn restart(&mut self, fs: Option<RecordingFs>) {
        if let Some(fs) = fs {
            self.fs = Backing::Recording(fs);
        }
        // The old one lets go of its lock before the new one takes it.
        let closed = DiskStorage::open_on(config("/nowhere".as_ref()), Arc::new(RecordingFs::new()), 2).unwrap();
        drop(std::mem::replace(&mut self.storage, closed));
        self.storage = self.fs.open();
        self.open_log().await;
    }

    async fn run(&mut self, op: &Op) {
        let model = &mut self.model;
        match op {
            Op::Append { frames, records, gap, bytes } => {
                let mut all = Vec::new();
                for n in 0..*frames {
                    let base = model.end + i64::from(*gap && n == 0);
                    let count = i32::from(*records);
                    all.push(frame(base, count, model.epoch, 10 * base, usize::from(*bytes) / usize::from(n + 1)));
                    model.end = base + i64::from(count);
                }
                model.frames.extend(all.iter().cloned());
                self.log.append(all).unwrap().await.unwrap();
            }
            Op::Roll => drop(self.log.roll(vec![]).unwrap().await.unwrap()),
            Op::Checkpoint => drop(self.log.checkpoint(vec![]).unwrap().await.unwrap()),
            Op::Truncate(to) => {
                let to = model.at(*to);
                model.frames.retain(|f| f.meta.last.0 < to);
                model.epoch += 1;
                self.log.truncate(Offset(to)).await.unwrap();
                let end = self.log.ends().end.0;
                let lowest = model.frames.last().map_or(model.start, |f| f.meta.last.0 + 1).max(model.start);
                assert!(end == model.end || (lowest <= end && end <= to.max(model.start)), "{end} for {to}");
                model.end = end;
            }
            Op::Advance(to) => {
                model.start = model.at(*to);
                self.log.advance_start(Offset(model.start)).await.unwrap();
                let start = model.start;
                model.frames.retain(|f| f.meta.last.0 >= start);
            }
            Op::Reset(next) => {
                let next = i64::from(*next);
                *model = Model { start: next, end: next, epoch: model.epoch, frames: Vec::new() };
                self.log.reset(Offset(next), vec![]).await.unwrap();
            }
            Op::Rewrite(which, gone) => {
                let sealed: Vec<_> = self.log.segments().into_iter().filter(|s| s.sealed).collect();
                if sealed.is_empty() {
                    return;
                }
                let segment = sealed[sealed.len() * usize::from(*which) / 1_000];
                let start = self.log.ends().start;
                let mut rewrite = Arc::clone(&self.log).rewrite(segment.base).await.unwrap();
                let inside = |f: &Frame| f.meta.last >= segment.base && f.meta.last < segment.end;
                let (inside, outside): (Vec<_>, Vec<_>) = model.frames.drain(..).partition(inside);
                let gone = |n: usize| gone & (1 << (n % 8)) != 0;
                let kept = inside.into_iter().enumerate().filter(|(n, _)| !gone(*n)).map(|(n, mut f)| {
                    if n % 3 == 0 {
                        let count = (f.meta.last.0 - f.meta.base.0 + 1) as i32;
                        f = frame(f.meta.base.0, count, f.meta.epoch.0, f.meta.max_timestamp.0, 7);
                    }
                    f
                });
                let kept: Vec<Frame> = kept.collect();
                rewrite.write(kept.clone()).await.unwrap();
                rewrite.commit().await.unwrap();
                model.frames = outside.into_iter().chain(kept).filter(|f| f.meta.last >= start).collect();
                model.frames.sort_by_key(|f| f.meta.base);
            }
            Op::Read { from, upto, max, min_one } => {
                let (from, upto) = (model.at(*from), model.at(*upto));
                self.read(from, upto, *max, *min_one).await;
            }
            Op::Find(at) => {
                let at = 10 * model.at(*at) - 5;
                let found = self.log.frame_at_time(Timestamp(at)).await.unwrap();
                let want = model.frames.iter().find(|f| f.meta.max_timestamp.0 >= at).map(|f| f.meta);
                assert_eq!(found, want, "the first frame at {at}");
            }
            Op::CloseLog => {
                self.log.close().await.unwrap();
                self.open_log().await;
            }
            Op::Restart => {
                self.storage.close().await.unwrap();
                self.restart(None).await;
            }
            Op::Crash(seed) => {
                let crashed = match &self.fs {
                    Backing::Recording(fs) if !self.relaxed => Some(fs.crash(*seed)),
                    // The process dies; what it wrote stays.
                    Backing::Recording(fs) => Some(fs.kill()),
                    Backing::Real(_) => None,
                };
                self.restart(crashed).await;
            }
        }
    }

    async fn read(&self, from: i64, upto: i64, max: u32, min_one: bool) {
        let want = self.model.read(from, upto, max, min_one);
        let (from, upto) = (Offset(from), Offset(upto));
        let pieces: Vec<Piece> = self.log.read(from, upto, max, min_one).wait().await.unwrap();
        assert_eq!(gather(&pieces).unwrap(), want, "read({from}, {upto}, {max}, {min_one})");
        let loaded = self.log.load(from, upto, max, min_one).await.unwrap();
        assert_eq!(loaded, want, "load({from}, {upto}, {max}, {min_one})");
    }

    async fn agrees(&self) {
        let ends = self.log.ends();
        assert_eq!((ends.start.0, ends.end.0), (self.model.start, self.model.end));
        self.read(self.model.start, self.model.end, u32::MAX, false).await;
        let segments = self.log.segments();
        assert!(segments.windows(2).all(|w| w[0].end <= w[1].base && w[0].sealed), "{segments:?}");
        assert!(segments.last().is_some_and(|s| !s.sealed), "{segments:?}");
    }
}

fn check(ops: &[Op], fs: Backing, relaxed: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut rig = Rig::new(fs, relaxed).await;
        for op in ops {
            rig.run(op).await;
            rig.agrees().await;
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_list_through_power_cuts(ops in prop::collection::vec(op(), 1..40), relaxed in any::<bool>()) {
        check(&ops, Backing::Recording(RecordingFs::new()), relaxed);
    }

    #[test]
    fn agrees_with_a_list_on_a_real_file_system(ops in prop::collection::vec(op(), 1..30)) {
        check(&ops, Backing::Real(tempfile::tempdir().unwrap()), false);
    }
}
