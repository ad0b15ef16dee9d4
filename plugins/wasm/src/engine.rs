//! The engine, which all plugins share, and its watchdog.
//!
//! What it refuses to run cannot be turned on by a plugin: threads, 64-bit memories, asynchronous calls. What it
//! runs is the same on every machine: NaNs are canonical and relaxed SIMD is not relaxed.

use std::sync::Arc;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result};
use watershed_plugin_host::Watchdog;

use crate::state::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};

/// How many instances of plugins there may be at a time: one for each thread and binding, and those that are being checked.
/// Each of its memories (most have one) takes 4 GiB of address space, and of memory what it uses.
const INSTANCES_MAX: u32 = 1024;

/// The stack of a guest, in bytes. The thread that calls it must have more than that left.
const STACK_BYTES_MAX: usize = 512 << 10;

/// The largest memory that a plugin may be given: the largest that `Limits` takes.
const MEMORY_BYTES_MAX: usize = 1 << 30;

/// The size of what the engine keeps for a component and for a core module, in bytes.
const INSTANCE_BYTES_MAX: usize = 1 << 20;

/// How much of an instance's memory is zeroed rather than unmapped when it is given back, in bytes.
const KEEP_RESIDENT_BYTES: usize = 64 << 10;

/// An engine and what stops its guests.
pub(crate) struct Runtime {
    pub(crate) engine: Engine,
    pub(crate) watchdog: Watchdog,
}

impl Runtime {
    /// Starts both.
    pub(crate) fn start() -> Result<Arc<Self>> {
        let engine = Engine::new(&config())?;
        let of_watchdog = engine.clone();
        let watchdog = Watchdog::start(move || of_watchdog.increment_epoch());
        Ok(Arc::new(Self { engine, watchdog }))
    }
}

fn config() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(INSTANCES_MAX * 8)
        .total_memories(INSTANCES_MAX)
        .total_tables(INSTANCES_MAX * 4)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(MEMORY_BYTES_MAX)
        .max_unused_warm_slots(16)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .wasm_memory64(false)
        .wasm_multi_memory(true)
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        .cranelift_nan_canonicalization(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
