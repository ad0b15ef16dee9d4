//! The thread that makes appends durable. One sync serves all appends that came before it.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use crate::log::FileLog;

/// A handle to the thread, which ends with the last handle. A log is queued at most once, so the queue is as long as
/// there are logs.
#[derive(Clone, Debug)]
pub(crate) struct Flusher {
    queue: mpsc::Sender<Arc<FileLog>>,
}

impl Flusher {
    pub(crate) fn start() -> io::Result<Self> {
        let (queue, logs) = mpsc::channel::<Arc<FileLog>>();
        thread::Builder::new().name("flusher".to_owned()).spawn(move || {
            for log in logs {
                log.sync_round();
            }
        })?;
        Ok(Self { queue })
    }

    /// Asks for a sync of `log`.
    pub(crate) fn ask(&self, log: Arc<FileLog>) {
        // The thread only ends when every sender is gone, and here is one.
        let _ = self.queue.send(log);
    }
}
