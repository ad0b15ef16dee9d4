//! A few OS threads that run blocking jobs.
//!
//! The queue has no bound of its own: every job belongs to a call of the layer above (a read of a connection, a
//! checkpoint of a partition), and those are bounded there. Jobs that are queued when the pool stops are dropped, which
//! fails their futures with [`StorageError::Gone`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use watershed_storage::{Fut, StorageError};

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    stopped: bool,
}

struct Inner {
    queue: Mutex<Queue>,
    ready: Condvar,
}

/// The pool. Dropping it stops the threads; it does not wait for them.
pub(crate) struct Pool {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pool {
    /// Starts `threads` threads.
    pub(crate) fn start(name: &str, threads: usize) -> std::io::Result<Self> {
        let inner = Arc::new(Inner { queue: Mutex::default(), ready: Condvar::new() });
        let pool = Self { inner, threads: Mutex::default() };
        for n in 0..threads.max(1) {
            let inner = Arc::clone(&pool.inner);
            let handle = std::thread::Builder::new().name(format!("{name}-{n}")).spawn(move || inner.work())?;
            pool.threads.lock().push(handle);
        }
        Ok(pool)
    }

    /// Queues a job.
    pub(crate) fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        let mut queue = self.inner.queue.lock();
        if !queue.stopped {
            queue.jobs.push_back(Box::new(job));
            self.inner.ready.notify_one();
        }
    }

    /// Runs a job; the future is its result. The job runs to its end whether or not the future is polled.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Fut<'static, T> {
        let (sender, receiver) = oneshot::channel();
        self.spawn(move || {
            // Nobody may be waiting any more.
            let _ = sender.send(job());
        });
        Box::pin(async move { receiver.await.unwrap_or(Err(StorageError::Gone)) })
    }

    /// Stops the threads after the jobs they are in; joins them unless called by one of them.
    pub(crate) fn stop(&self) {
        let dropped = {
            let mut queue = self.inner.queue.lock();
            queue.stopped = true;
            self.inner.ready.notify_all();
            std::mem::take(&mut queue.jobs)
        };
        drop(dropped);
        let threads = std::mem::take(&mut *self.threads.lock());
        let me = std::thread::current().id();
        for thread in threads {
            if thread.thread().id() != me && thread.join().is_err() {
                tracing::error!("a storage thread had panicked");
            }
        }
    }
}

impl Inner {
    fn work(&self) {
        loop {
            let job = {
                let mut queue = self.queue.lock();
                loop {
                    if queue.stopped {
                        return;
                    }
                    if let Some(job) = queue.jobs.pop_front() {
                        break job;
                    }
                    self.ready.wait(&mut queue);
                }
            };
            job();
        }
    }
}
