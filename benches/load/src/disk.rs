//! What the disk alone takes: the floor under every acknowledgement that means "on the medium".

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use crate::Failure;
use crate::schedule::{Schedule, Times};

/// `disk`
#[derive(Debug, clap::Args)]
pub(crate) struct Disk {
    /// A directory on the file system in question; the file made there is removed
    #[arg(long)]
    dir: PathBuf,
    /// Bytes per write
    #[arg(long, default_value_t = 1100)]
    bytes: usize,
    #[command(flatten)]
    schedule: Schedule,
}

impl Disk {
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        let path = self.dir.join(format!("load-{}", std::process::id()));
        let file = OpenOptions::new().create_new(true).write(true).open(&path)?;
        let (skip, total) = self.schedule.counts();
        let data = vec![b'x'; self.bytes];
        let mut times = Times::new();
        let begin = Instant::now();
        for number in 0..total {
            self.schedule.wait(begin, number);
            let now = Instant::now();
            file.write_all_at(&data, (number * self.bytes) as u64)?;
            file.sync_data()?;
            if number >= skip {
                times.record(now.elapsed());
            }
        }
        std::fs::remove_file(&path)?;
        Ok(times.report(self.schedule.seconds))
    }
}
