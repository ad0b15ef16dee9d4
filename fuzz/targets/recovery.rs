//! Opening a partition whose directory holds anything: segments, indexes, state files, the note of synced ends.
//!
//! The input is a list of files and their bytes; checksums are made right where it asks for that, so that what stands
//! behind them is reached. Opening never panics. Without a state file that vouches for bytes, what is served afterwards is
//! whole batches with right checksums, each of them in the segments that were there, offsets ascending; and opening again
//! gives the same, after the death of the process and after a power cut that loses all that was not synced. (A state file
//! that lies under a right checksum is none that we wrote: there it is enough that nothing panics.)
#![no_main]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use watershed_fuzz::{Input, correct_batches, counted, seeds};
use watershed_log::{LogConfig, LogContext, UnifiedLog};
use watershed_model::record::{BatchBuilder, NewRecord, ProducerSequence, batches};
use watershed_model::{
    Clock, LeaderEpoch, ManualClock, Offset, ProducerEpoch, ProducerId, Timestamp, TopicId, TopicIdPartition,
};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{Blob, Ends, Frame, Framing, LogStorage};
use watershed_storage_disk::fs::recording::RecordingFs;
use watershed_storage_disk::fs::{Fs, OpenMode, read_file, write_all};
use watershed_storage_disk::{DiskConfig, DiskStorage};

const DATA: &str = "/data";
const FILES_MAX: usize = 8;
const FILE_BYTES_MAX: u64 = 1 << 20;
const STATE_MAGIC: &[u8; 8] = b"WSSTATE2";
const INDEX_MAGIC: &[u8; 8] = b"WSINDEX2";
const NOW: Timestamp = Timestamp(1_700_000_000_000);

const TP: TopicIdPartition = TopicIdPartition { topic: TopicId([7; 16]), partition: 0 };

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
});

fn topic_dir() -> PathBuf {
    Path::new(DATA).join("topics").join(TP.to_string())
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(NOW))
}

fn storage(fs: &RecordingFs) -> DiskStorage {
    let config = DiskConfig {
        sync_threads: 1,
        read_threads: 1,
        work_threads: 1,
        ballast_bytes: 0,
        ..DiskConfig::new(DATA, clock())
    };
    DiskStorage::open_on(config, Arc::new(fs.clone()), 64).expect("the directory itself is sound")
}

/// Puts a file there, durable.
fn put(fs: &RecordingFs, path: &Path, bytes: &[u8]) {
    let file = fs.open(path, OpenMode::Truncate).expect("the folder is there");
    write_all(&*file, 0, bytes).expect("there is room");
    file.sync_data().expect("nothing fails here");
    fs.sync_dir(path.parent().expect("it is in a folder")).expect("nothing fails here");
}

/// Magic word, content, checksum: how our own small files look.
fn sealed(magic: &[u8; 8], content: &[u8]) -> Vec<u8> {
    let mut out = [magic, content].concat();
    out.extend(crc32c::crc32c(&out).to_be_bytes());
    out
}

/// A state file: the manifest with its length in front, then blobs.
fn state(content: &[u8]) -> Vec<u8> {
    let mut input = Input::new(content);
    let manifest = sealed(STATE_MAGIC, input.counted());
    let length = u32::try_from(manifest.len()).expect("inputs are short");
    [&length.to_be_bytes()[..], &manifest, input.rest()].concat()
}

/// The note of synced ends for the one partition.
fn slot(cuts: u8, start: u8, synced: u8) -> Vec<u8> {
    let mut slot = 0x5753_4531_u32.to_be_bytes().to_vec();
    slot.extend(TP.topic.0);
    slot.extend(TP.partition.to_be_bytes());
    slot.extend(u64::from(cuts).to_be_bytes());
    slot.extend(i64::from(start).to_be_bytes());
    slot.extend(i64::from(synced).to_be_bytes());
    slot.resize(60, 0);
    slot.extend(crc32c::crc32c(&slot).to_be_bytes());
    slot
}

/// A directory as the input describes it.
struct Directory {
    fs: RecordingFs,
    segments: Vec<Vec<u8>>,
    has_voucher: bool,
}

fn directory(data: &[u8]) -> Directory {
    let mut input = Input::new(data);
    let mut made = Directory { fs: RecordingFs::new(), segments: Vec::new(), has_voucher: false };
    let dir = topic_dir();
    for folder in [Path::new(DATA), &Path::new(DATA).join("topics"), &dir] {
        made.fs.mkdir(folder).expect("nothing is there yet");
        made.fs.sync_dir(folder.parent().expect("it is not the root")).expect("nothing fails here");
    }
    let flags = input.byte();
    if flags & 1 != 0 {
        put(&made.fs, &Path::new(DATA).join("clean"), b"clean\n");
    }
    if flags & 2 != 0 {
        let slot = slot(input.byte(), input.byte(), input.byte());
        put(&made.fs, &Path::new(DATA).join("synced-ends"), &slot);
    }
    let corrected = flags & 4 != 0;
    for _ in 0..FILES_MAX {
        let (kind, number) = (input.byte(), input.byte());
        let content = input.counted();
        if content.is_empty() {
            break;
        }
        let (ending, bytes) = match kind % 3 {
            0 => {
                let mut bytes = content.to_vec();
                if corrected {
                    correct_batches(&mut bytes);
                }
                made.segments.push(bytes.clone());
                ("log", bytes)
            }
            1 => ("index", if corrected { sealed(INDEX_MAGIC, content) } else { content.to_vec() }),
            _ => {
                made.has_voucher |= corrected;
                ("state", if corrected { state(content) } else { content.to_vec() })
            }
        };
        put(&made.fs, &dir.join(format!("{number:020}.{ending}")), &bytes);
    }
    made
}

/// What a log serves.
#[derive(Debug, PartialEq)]
struct Served {
    start: Offset,
    end: Offset,
    frames: Result<Bytes, String>,
}

async fn serve(fs: &RecordingFs) -> Result<Served, String> {
    let storage = storage(fs);
    let opened = storage.open(TP, LogConfig::default().segment_config(), Arc::new(BatchFraming)).await;
    let (log, _) = opened.map_err(|error| error.to_string())?;
    let Ends { start, end, .. } = log.ends();
    assert!(start <= end, "a log from {start} to {end}");
    let frames = log.load(start, end, u32::MAX, true).await.map_err(|error| error.to_string());
    let _ = log.frame_at_time(NOW).await;
    Ok(Served { start, end, frames })
}

/// The same through the layer that reads producers and epochs out of it.
async fn serve_unified(fs: &RecordingFs) -> Option<Offset> {
    let storage = storage(fs);
    let context = LogContext { clock: clock() };
    let opened = UnifiedLog::open(&storage, TP, LogConfig::default(), context).await.ok()?;
    Some(opened.log.end())
}

/// Every whole batch with a right checksum that lies anywhere in these bytes.
fn genuine(segments: &[Vec<u8>]) -> BTreeSet<&[u8]> {
    let mut found = BTreeSet::new();
    for segment in segments {
        for at in 0..segment.len() {
            let rest = &segment[at..];
            let Ok(meta) = BatchFraming.parse(rest) else { continue };
            if let Some(frame) = rest.get(..meta.len as usize)
                && BatchFraming.verify(frame).is_ok()
            {
                found.insert(frame);
            }
        }
    }
    found
}

fn check_frames(made: &Directory, served: &Served) {
    let frames = served.frames.as_ref().expect("a recovered log can be read");
    let genuine = genuine(&made.segments);
    let mut next = Offset(i64::MIN);
    for batch in batches(frames.clone()) {
        let batch = batch.expect("only whole batches are served");
        assert!(genuine.contains(&batch.bytes()[..]), "a batch at {} was invented", batch.header.base_offset);
        assert!(batch.header.base_offset >= next, "offsets fall at {}", batch.header.base_offset);
        next = batch.header.next_offset();
    }
    assert!(next <= served.end);
}

async fn check(data: &[u8]) {
    let made = directory(data);
    let Ok(first) = serve(&made.fs).await else { return };
    let _ = serve_unified(&made.fs.kill()).await;
    if made.has_voucher {
        return;
    }
    check_frames(&made, &first);
    let after_death = serve(&made.fs.kill()).await.expect("it opened before");
    assert_eq!(after_death, first, "opening again after the process's death");
    let after_cut = serve(&made.fs.crash(0)).await.expect("it opened before");
    assert_eq!(after_cut, first, "opening again after a power cut");
}

/// One batch of `count` records at `base`.
fn frame(base: i64, count: i64, epoch: i32, sequence: i32) -> Frame {
    let producer = ProducerSequence { id: ProducerId(5), epoch: ProducerEpoch(0), base_sequence: sequence };
    let mut builder = BatchBuilder::new().position(Offset(base), LeaderEpoch(epoch)).producer(producer);
    for n in 0..count {
        builder.push(Timestamp(NOW.0 + n), NewRecord { key: None, value: Some(b"value"), headers: &[] });
    }
    let bytes = builder.build().expect("it is an honest batch");
    let meta = BatchFraming.parse(&bytes).expect("it is an honest batch");
    let (head, body) = bytes.split_first_chunk().expect("it has a header");
    Frame { meta, head: *head, body: bytes.slice_ref(body) }
}

/// The files that an honest life leaves, and the input that describes them.
async fn life(rolls: bool, ends_cleanly: bool) -> Vec<u8> {
    let fs = RecordingFs::new();
    let storage = storage(&fs);
    let opened = storage.open(TP, LogConfig::default().segment_config(), Arc::new(BatchFraming)).await;
    let (log, _) = opened.expect("an empty log opens");
    for n in 0..4 {
        let ticket = log.append(vec![frame(n * 2, 2, 1, i32::try_from(n * 2).expect("it is small"))]);
        ticket.expect("there is room").await.expect("it is promised");
        if rolls && n == 1 {
            let blob = Blob { kind: 1, at: Offset(4), bytes: Bytes::from_static(b"blob") };
            log.roll(vec![blob]).expect("there is room").await.expect("it is promised");
        }
    }
    if ends_cleanly {
        storage.close().await.expect("nothing fails");
    }
    let mut out = vec![if ends_cleanly { 5 } else { 4 }];
    let dir = topic_dir();
    for entry in fs.read_dir(&dir).expect("it was made") {
        let Some((name, ending)) = entry.name.split_once('.') else { continue };
        let bytes = read_file(&fs, &dir.join(&entry.name), FILE_BYTES_MAX).expect("it is there");
        let (kind, content) = match ending {
            "log" => (0, bytes),
            "index" => (1, bytes[8..bytes.len() - 4].to_vec()),
            "state" => {
                let length = u32::from_be_bytes(bytes[..4].try_into().expect("it is four bytes")) as usize;
                let (manifest, blobs) = bytes[4..].split_at(length);
                (2, [counted(&manifest[8..length - 4]), blobs.to_vec()].concat())
            }
            _ => continue,
        };
        out.extend([kind, name.parse::<u8>().expect("offsets and numbers are small")]);
        out.extend(counted(&content));
    }
    out
}

fn honest() -> Vec<Vec<u8>> {
    if std::env::var_os("WATERSHED_SEEDS").is_none() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (rolls, ends_cleanly) in [(false, false), (false, true), (true, false), (true, true)] {
        found.push(RUNTIME.block_on(life(rolls, ends_cleanly)));
    }
    let segment: Vec<u8> = (0..3)
        .flat_map(|n| {
            let frame = frame(n, 1, 0, -1);
            [&frame.head[..], &frame.body[..]].concat()
        })
        .collect();
    let torn = &segment[..segment.len() - 7];
    found.push([&[4, 0, 0][..], &counted(&segment)].concat());
    found.push([&[4, 0, 0][..], &counted(torn)].concat());
    found.push([&[6, 0, 0, 3, 0, 0][..], &counted(torn)].concat());
    found
}

fuzz_target!(init: seeds::write_if_asked(honest()), |data: &[u8]| {
    RUNTIME.block_on(check(data));
});
