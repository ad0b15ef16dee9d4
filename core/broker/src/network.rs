//! The threads that serve connections: each is a runtime of one worker, and a connection stays on its thread.
//!
//! A runtime that moves tasks between workers wakes a second one for each task that is woken, to look for work; with small
//! requests these wake-ups cost more than the requests. Here a wake-up is one, and nothing of a connection is ever on two
//! cores. Connections go to the thread that has the fewest. A worker that must block (a disk that is far behind) hands
//! its tasks to another thread first, which a runtime of the single-threaded kind could not.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::TaskTracker;

/// The threads. They end when this is dropped, and with them whatever still runs there.
#[derive(Debug)]
pub(crate) struct NetworkThreads {
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    connections: Arc<AtomicUsize>,
}

/// A connection's place on a thread: it runs there, and counts for as long as it holds this.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl NetworkThreads {
    /// Starts so many threads, one at least.
    ///
    /// # Errors
    /// What the system says where it gives no thread or no epoll instance.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let threads = (0..count.max(1)).map(Thread::start).collect::<Result<_, _>>()?;
        Ok(Self { threads })
    }

    /// Runs a connection on the thread that has the fewest; `tasks` knows of it. The connection keeps its place itself:
    /// a task around it would be twice as large as it, for every one that is open.
    pub(crate) fn spawn<F>(&self, tasks: &TaskTracker, connection: impl FnOnce(Place) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let fewest = self.threads.iter().min_by_key(|thread| thread.connections.load(Ordering::Relaxed));
        let thread = fewest.expect("there is at least one");
        thread.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&thread.connections));
        let runtime = thread.runtime.as_ref().expect("it is taken only when the thread is dropped");
        tasks.spawn_on(connection(place), runtime.handle());
    }
}

impl Thread {
    fn start(number: usize) -> io::Result<Self> {
        let name = format!("ws-net-{number}");
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()?;
        Ok(Self { runtime: Some(runtime), connections: Arc::default() })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Not by waiting: this may run on a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_spread_and_leave_room_when_they_end() {
        let threads = NetworkThreads::start(2).expect("threads can be started");
        let tasks = TaskTracker::new();
        let end = tokio_util::sync::CancellationToken::new();
        let count = || threads.threads.iter().map(|t| t.connections.load(Ordering::Relaxed)).collect::<Vec<_>>();
        for _ in 0..threads.threads.len() * 3 {
            let end = end.clone();
            threads.spawn(&tasks, |place| async move {
                end.cancelled().await;
                drop(place);
            });
        }
        assert!(count().iter().all(|count| *count == 3), "{:?}", count());
        end.cancel();
        tasks.close();
        tasks.wait().await;
        assert!(count().iter().all(|count| *count == 0), "{:?}", count());
    }
}
