//! What Luau asks at every turn of a loop and at every call: whether the script may go on, and whether to collect.
//!
//! # Collecting
//!
//! Luau neither collects when memory runs out, nor while a loop makes large strings: a limit that is met by garbage would look
//! like the script's fault. So a state that has come to half of its limit is swept, and then whenever it has grown by a quarter
//! of what was in use.
//!
//! # Unsafe code
//!
//! mlua's interrupt makes itself ready for an error each time, and a loop over records is interrupted several times for each.
//! Almost always there is nothing to do. Therefore [`first`] stands before it, finds that out, and calls
//! mlua's own only if there is. It touches nothing but the state that Luau gives it, and keeps no pointer.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlua::{Lua, VmState, ffi};

use crate::call::is_over;

/// Luau's type of an interrupt.
type Interrupt = unsafe extern "C-unwind" fn(*mut ffi::lua_State, c_int);

/// mlua's interrupt. It is the same for all states: it finds the state's own closure by itself.
static OF_MLUA: OnceLock<Interrupt> = OnceLock::new();

thread_local! {
    /// How many KiB the state of this thread's call may have in use before it is looked at; 0 where that is not known yet.
    static THRESHOLD_KIB: Cell<c_int> = const { Cell::new(0) };
}

/// Begins a call, of a state that may not be the last one's.
pub(crate) fn forget_threshold() {
    THRESHOLD_KIB.set(0);
}

/// Sets the interrupt of a state that may use `memory_bytes`.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn install(lua: &Lua, memory_bytes: usize) -> mlua::Result<()> {
    let half = memory_bytes / 2;
    let sweep_at = AtomicUsize::new(half);
    lua.set_interrupt(move |lua| {
        if lua.used_memory() > sweep_at.load(Ordering::Relaxed) {
            lua.gc_collect()?;
            let used = lua.used_memory();
            sweep_at.store(half.max(used + used / 4), Ordering::Relaxed);
        }
        let kib = sweep_at.load(Ordering::Relaxed) / 1024;
        THRESHOLD_KIB.set(c_int::try_from(kib).unwrap_or(c_int::MAX));
        // Every time, so that a script that catches errors does not go on.
        if is_over() { Err(mlua::Error::RuntimeError("the time is over".to_owned())) } else { Ok(VmState::Continue) }
    });
    // SAFETY: the state is alive and ours while `exec_raw` runs, and its callbacks live as long as it does. What is put in is
    // a function, not a closure, and calls what was there before.
    unsafe {
        lua.exec_raw::<()>((), |state| {
            let callbacks = ffi::lua_callbacks(state);
            if let Some(of_mlua) = (*callbacks).interrupt {
                OF_MLUA.get_or_init(|| of_mlua);
                (*callbacks).interrupt = Some(first);
            }
        })
    }
}

/// Calls mlua's interrupt when it has something to do.
///
/// # Safety
/// As Luau calls it: `state` is alive. It may raise a Luau error, which unwinds through this frame; there is nothing to drop
/// in it.
unsafe extern "C-unwind" fn first(state: *mut ffi::lua_State, gc: c_int) {
    if gc >= 0 {
        return;
    }
    // SAFETY: the state is alive, and this only reads a number.
    let used_kib = unsafe { ffi::lua_gc(state, ffi::LUA_GCCOUNT, 0) };
    if used_kib < THRESHOLD_KIB.get() && !is_over() {
        return;
    }
    if let Some(of_mlua) = OF_MLUA.get() {
        // SAFETY: it is called as Luau would have called it.
        unsafe { of_mlua(state, gc) }
    }
}
