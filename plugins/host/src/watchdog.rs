//! Stops a call whose time is over.
//!
//! A budget is time on a processor, not on the clock: a plugin that answers in time on an idle machine does so on a busy one.
//! Because the processor time of a thread takes a system call to read, a thread of the watchdog's ticks, and only a call that
//! has seen enough ticks looks at it. It ticks every millisecond while a call is running at each tick; calls that come and go
//! between two ticks are short, and for them it ticks less often, because waking a thread costs more than such a call. So a
//! call may have run for [`SLOW_TICK`] before its time is first looked at, which comes on top of its budget. While there are
//! no calls the thread sleeps.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::time::{ClockId, clock_gettime};

/// How often the thread ticks while a call is running.
const TICK: Duration = Duration::from_millis(1);

/// How often it ticks while calls come and go.
const SLOW_TICK: Duration = Duration::from_millis(4);

/// How many ticks go by without a call before the thread sleeps.
const IDLE_TICKS: u32 = 25;

struct Shared {
    ticks: AtomicU64,
    /// How many calls have begun, and how many are running.
    begun: AtomicU64,
    running: AtomicU64,
    asleep: AtomicBool,
    stop: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

/// Ticks while calls are running. Dropping it ends its thread.
pub struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watchdog {
    /// Starts the thread; `on_tick` runs on it at every tick and must be quick.
    ///
    /// # Panics
    /// When the system has no thread left.
    #[must_use]
    pub fn start(on_tick: impl Fn() + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            ticks: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            running: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        let run = move || of_thread.run(&on_tick);
        let thread = thread::Builder::new().name("plugin-watchdog".to_owned()).spawn(run);
        Self { shared, thread: Some(thread.expect("a thread can be started when the broker starts")) }
    }

    /// Begins to watch a call on this thread.
    #[must_use]
    pub fn begin(&self, budget: Duration) -> Watch<'_> {
        self.begin_detached(budget)
    }

    /// As [`Watchdog::begin`], for engines whose callbacks cannot borrow: whoever holds the watch keeps the watchdog, too, or
    /// the call's time never ends.
    #[must_use]
    pub fn begin_detached<'a>(&self, budget: Duration) -> Watch<'a> {
        let shared = Arc::clone(&self.shared);
        shared.begun.fetch_add(1, Ordering::Relaxed);
        // Before `asleep` is read, and the thread sets `asleep` before it reads `running`: one of the two sees the other.
        shared.running.fetch_add(1, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) {
            let _held = shared.lock.lock();
            shared.wake.notify_one();
        }
        let at = shared.ticks.load(Ordering::Relaxed);
        Watch { shared, budget, deadline: at + ticks(budget), used_before: None, began: at, of: PhantomData }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        {
            let _held = self.shared.lock.lock();
            self.shared.wake.notify_one();
        }
        if let Some(thread) = self.thread.take() {
            // A panic in `on_tick` was reported when it happened.
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watchdog").field("running", &self.shared.running).finish_non_exhaustive()
    }
}

impl Shared {
    fn run(&self, on_tick: &dyn Fn()) {
        let (mut begun, mut idle, mut tick) = (0, 0, SLOW_TICK);
        let mut held = self.lock.lock();
        while !self.stop.load(Ordering::SeqCst) {
            self.wake.wait_for(&mut held, tick);
            self.ticks.fetch_add(1, Ordering::Relaxed);
            on_tick();
            let now = self.begun.load(Ordering::Relaxed);
            let running = self.running.load(Ordering::SeqCst) > 0;
            let busy = now != begun || running;
            tick = if running { TICK } else { SLOW_TICK };
            begun = now;
            idle = if busy { 0 } else { idle + 1 };
            if idle >= IDLE_TICKS {
                self.asleep.store(true, Ordering::SeqCst);
                while self.running.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
                    self.wake.wait(&mut held);
                }
                self.asleep.store(false, Ordering::SeqCst);
                idle = 0;
            }
        }
    }
}

/// How many ticks a budget has at least, none lost by beginning in the middle of one.
fn ticks(budget: Duration) -> u64 {
    let (budget, tick) = (budget.as_micros(), TICK.as_micros());
    u64::try_from(budget.div_ceil(tick)).unwrap_or(u64::MAX / 2) + 1
}

/// The time that this thread has been on a processor.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A call that is being watched, on one thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Watch<'a> {
    shared: Arc<Shared>,
    of: PhantomData<&'a Watchdog>,
    budget: Duration,
    began: u64,
    deadline: u64,
    /// The processor time of this thread when the call was first looked at, less what the call had certainly used.
    used_before: Option<Duration>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Watch<'_> {
    /// Whether the call's time is over. Cheap enough to be asked all the time.
    #[inline]
    pub fn is_over(&mut self) -> bool {
        let now = self.shared.ticks.load(Ordering::Relaxed);
        if self.used_before.is_none() && now > self.began {
            // The first tick of the call: from here on its time on the processor is known.
            self.used_before = Some(used());
        }
        now >= self.deadline && self.look(now)
    }

    /// By how many ticks the deadline moved since it was last passed: what an engine with an own deadline must add.
    #[must_use]
    pub fn ticks_left(&self) -> u64 {
        self.deadline.saturating_sub(self.shared.ticks.load(Ordering::Relaxed))
    }

    #[cold]
    fn look(&mut self, now: u64) -> bool {
        let so_far = used().saturating_sub(self.used_before.unwrap_or_default());
        match self.budget.checked_sub(so_far) {
            None | Some(Duration::ZERO) => true,
            Some(left) => {
                self.deadline = now + ticks(left);
                false
            }
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "it is about time that passes")]

    use super::*;

    #[test]
    fn a_busy_call_ends_and_a_waiting_one_does_not() {
        let dog = Watchdog::start(|| {});
        let mut watch = dog.begin(Duration::from_millis(20));
        thread::sleep(Duration::from_millis(60));
        assert!(!watch.is_over(), "it slept: no processor time is used up");
        while !watch.is_over() {
            std::hint::spin_loop();
        }
        drop(watch);
        // The thread falls asleep, and wakes for the next call.
        thread::sleep(IDLE_TICKS * SLOW_TICK + Duration::from_millis(200));
        assert!(dog.shared.asleep.load(Ordering::SeqCst));
        let mut watch = dog.begin(Duration::from_millis(1));
        while !watch.is_over() {
            std::hint::spin_loop();
        }
    }
}
