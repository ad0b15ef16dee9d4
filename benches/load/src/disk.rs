//! What the disk alone takes: the floor under every acknowledgement that means "on the medium", and three ways to make
//! the appends of many files durable.
//!
//! One thread writes to the files in turn, on the schedule; each write counts until it is durable. `per-file` syncs each
//! file by itself on a few threads, `syncfs` the whole file system over and over, `journal` writes what has come together
//! once more into one preallocated file and syncs only that.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Failure;
use crate::schedule::{Schedule, Times};

/// The journal's size; writing begins again at its start when it is full.
const JOURNAL_BYTES: u64 = 64 << 20;

/// `disk`
#[derive(Debug, clap::Args)]
pub(crate) struct Disk {
    /// A directory on the file system in question; the files made there are removed
    #[arg(long)]
    dir: PathBuf,
    /// Bytes per write
    #[arg(long, default_value_t = 1100)]
    bytes: usize,
    /// How many files take turns
    #[arg(long, default_value_t = 1)]
    files: usize,
    /// How they are made durable
    #[arg(long, value_enum, default_value_t = How::PerFile)]
    how: How,
    /// Threads that sync, of `per-file`; 0 syncs in the thread that writes
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    schedule: Schedule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum How {
    PerFile,
    Syncfs,
    Journal,
}

/// What was written and is not durable yet.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

#[derive(Default)]
struct Waiting {
    writes: VecDeque<Write>,
    ended: bool,
}

#[derive(Clone, Copy)]
struct Write {
    file: usize,
    at: Instant,
    counts: bool,
}

impl Queue {
    fn push(&self, write: Write) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).writes.push_back(write);
        self.ready.notify_one();
    }

    fn end(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.ready.notify_all();
    }

    /// What `take` takes of it, once there is something; `None` at the end.
    fn next(&self, take: impl Fn(&mut VecDeque<Write>) -> Vec<Write>) -> Option<Vec<Write>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if !waiting.writes.is_empty() {
                return Some(take(&mut waiting.writes));
            }
            if waiting.ended {
                return None;
            }
            waiting = self.ready.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Disk {
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        let dir = self.dir.join(format!("load-{}", std::process::id()));
        std::fs::create_dir(&dir)?;
        let measured = self.measure(&dir);
        std::fs::remove_dir_all(&dir)?;
        measured
    }

    fn measure(&self, dir: &Path) -> Result<Value, Failure> {
        let create = |name: String| OpenOptions::new().create_new(true).write(true).open(dir.join(name));
        let files = (0..self.files).map(|n| create(n.to_string())).collect::<Result<Vec<_>, _>>()?;
        let journal = (self.how == How::Journal).then(|| preallocated(create("journal".into())?)).transpose()?;
        File::open(dir)?.sync_all()?;
        let cpu = cpu_time();
        let times = match (self.how, self.threads) {
            (How::PerFile, 0) => self.write(&files, |write| files[write.file].sync_data())?,
            (How::PerFile, threads) => self.queued(&files, threads, |queue| sync_each(queue, &files))?,
            (How::Syncfs, _) => self.queued(&files, 1, |queue| sync_all(queue, &files[0]))?,
            (How::Journal, _) => self.queued(&files, 1, |queue| sync_journal(queue, journal.as_ref(), self.bytes))?,
        };
        let mut report = times.report(self.schedule.seconds);
        let (_, total) = self.schedule.counts();
        report["cpu_us"] = ((cpu_time() - cpu).as_secs_f64() * 1e6 / total as f64).into();
        Ok(report)
    }

    /// Writes on the schedule and lets `threads` make it durable.
    fn queued(
        &self,
        files: &[File],
        threads: usize,
        work: impl Fn(&Queue) -> Result<Times, Failure> + Sync,
    ) -> Result<Times, Failure> {
        let queue = Queue::default();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&queue))).collect();
            let written = self.write(files, |write| {
                queue.push(write);
                Ok(())
            });
            queue.end();
            let mut times = Times::new();
            for worker in workers {
                times.add(&worker.join().map_err(|_| "a thread panicked")??);
            }
            written.map(|_| times)
        })
    }

    /// Writes on the schedule; what `done` takes for each.
    fn write(&self, files: &[File], done: impl Fn(Write) -> std::io::Result<()>) -> Result<Times, Failure> {
        let (skip, total) = self.schedule.counts();
        let data = vec![b'x'; self.bytes];
        let mut times = Times::new();
        let begin = Instant::now();
        for number in 0..total {
            self.schedule.wait(begin, number);
            let write = Write { file: number % files.len(), at: Instant::now(), counts: number >= skip };
            files[write.file].write_all_at(&data, (number / files.len() * self.bytes) as u64)?;
            done(write)?;
            if write.counts {
                times.record(write.at.elapsed());
            }
        }
        Ok(times)
    }
}

fn record(times: &mut Times, writes: &[Write]) {
    writes.iter().filter(|write| write.counts).for_each(|write| times.record(write.at.elapsed()));
}

fn sync_each(queue: &Queue, files: &[File]) -> Result<Times, Failure> {
    let mut times = Times::new();
    // One file at a time, with everything that waits for it.
    while let Some(writes) = queue.next(|writes| {
        let file = writes[0].file;
        let (mine, others): (Vec<_>, Vec<_>) = writes.drain(..).partition(|write| write.file == file);
        writes.extend(others);
        mine
    }) {
        files[writes[0].file].sync_data()?;
        record(&mut times, &writes);
    }
    Ok(times)
}

fn sync_all(queue: &Queue, any: &File) -> Result<Times, Failure> {
    let mut times = Times::new();
    while let Some(writes) = queue.next(|writes| writes.drain(..).collect()) {
        rustix::fs::syncfs(any)?;
        record(&mut times, &writes);
    }
    Ok(times)
}

fn sync_journal(queue: &Queue, journal: Option<&File>, bytes: usize) -> Result<Times, Failure> {
    let journal = journal.ok_or("there is a journal")?;
    let (mut times, mut pos) = (Times::new(), 0);
    while let Some(writes) = queue.next(|writes| writes.drain(..).collect()) {
        let data = vec![b'j'; (writes.len() * bytes).next_multiple_of(4096)];
        if pos + data.len() as u64 > JOURNAL_BYTES {
            pos = 0;
        }
        journal.write_all_at(&data, pos)?;
        pos += data.len() as u64;
        journal.sync_data()?;
        record(&mut times, &writes);
    }
    Ok(times)
}

/// A file of zeros that are on the medium, so that a later sync has no metadata to write.
fn preallocated(file: File) -> std::io::Result<File> {
    let zeros = vec![0; 1 << 20];
    for pos in (0..JOURNAL_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, pos)?;
    }
    file.sync_all()?;
    Ok(file)
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
