//! What a store holds beside the guest: what it may use, what is lent to it for the call that runs, and what went wrong.

use std::sync::Arc;

use wasmtime::ResourceLimiter;
use watershed_hooks::{Batch, Column, Environment, Failure};
use watershed_plugin_host::Watch;

/// How many core instances, tables and memories an instance of a plugin may have. Components that hold an interpreter and its
/// libraries have a dozen of the first two.
pub(crate) const CORE_INSTANCES_MAX: u32 = 64;
pub(crate) const TABLES_MAX: u32 = 64;
pub(crate) const MEMORIES_MAX: u32 = 4;

/// How many elements a table may have.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 1 << 16;

/// How many lines of one call are written into the log.
pub(crate) const LOG_LINES_MAX: u32 = 16;

/// Counts an instance's memory.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    memory_bytes: usize,
    /// What was asked for in vain during this call, in bytes.
    pub(crate) refused: Option<usize>,
}

impl Limiter {
    pub(crate) fn new(memory_bytes_max: usize) -> Self {
        Self { memory_bytes_max, memory_bytes: 0, refused: None }
    }

    pub(crate) fn memory_bytes_max(&self) -> usize {
        self.memory_bytes_max
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if wanted > self.memory_bytes_max {
            self.refused = Some(wanted);
            return Ok(false);
        }
        self.memory_bytes = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}

/// The data of a store.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    /// Where log and counters go; `None` while the plugin is only looked at.
    pub(crate) environment: Option<Environment>,
    pub(crate) counters: Arc<[String]>,
    /// How many lines of this call were logged.
    pub(crate) lines: u32,
    /// What the host has against the call that runs: the trap that ends it stands for this.
    pub(crate) failure: Option<Failure>,
    /// Columns that are made for one question of the guest.
    pub(crate) scratch: Column,
    /// Which call this is; what a handle of `batch` holds.
    call: u32,
    batch: Option<Batch<'static>>,
    watch: Option<Watch<'static>>,
}

impl State {
    pub(crate) fn new(memory_bytes_max: usize, environment: Option<Environment>, counters: Arc<[String]>) -> Self {
        Self {
            limiter: Limiter::new(memory_bytes_max),
            environment,
            counters,
            lines: 0,
            failure: None,
            scratch: Column::new(),
            call: 0,
            batch: None,
            watch: None,
        }
    }

    /// Lends a batch and a watch for a call, and gives the number of the call.
    ///
    /// # Safety
    /// [`State::end`] must be called before `'a` ends, however the call ends.
    pub(crate) unsafe fn begin<'a>(&mut self, batch: Option<Batch<'a>>, watch: Watch<'a>) -> u32 {
        // SAFETY: both are taken out by `end`, which by this function's contract is called while `'a` lasts. In between they are
        // given out by `batch` and `watch` only: the watch within a borrow of this state, and of the batch what goes, lent, to
        // the guest, before the host's function that asked has returned.
        let (batch, watch) = unsafe {
            (
                std::mem::transmute::<Option<Batch<'a>>, Option<Batch<'static>>>(batch),
                std::mem::transmute::<Watch<'a>, Watch<'static>>(watch),
            )
        };
        self.call = self.call.wrapping_add(1);
        (self.batch, self.watch) = (batch, Some(watch));
        (self.lines, self.failure, self.limiter.refused) = (0, None, None);
        self.call
    }

    /// Takes back what was lent.
    pub(crate) fn end(&mut self) {
        (self.batch, self.watch) = (None, None);
    }

    /// The batch of the call with this number.
    ///
    /// Private to the crate: `'static` stands for "until the call ends", so what comes out must not be kept.
    pub(crate) fn batch(&self, call: u32) -> Option<Batch<'static>> {
        self.batch.filter(|_| call == self.call)
    }

    pub(crate) fn watch(&mut self) -> Option<&mut Watch<'static>> {
        self.watch.as_mut()
    }
}
