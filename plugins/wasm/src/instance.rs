//! One instance of a component: making it, asking it, and what becomes of it when it fails.
//!
//! Invariants: guest code runs only inside [`Live::run`], so always with a budget, and with what is lent to it taken back when
//! it ends. A guest that was stopped in the middle of a call never runs again.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{ComponentNamedList, InstancePre, Lift, Lower, Resource, TypedFunc};
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};
use watershed_hooks::{Batch, Environment, Failure, FaultKind};
use watershed_plugin_host::{Limits, log_line};

use crate::abi::BatchHandle;
use crate::engine::Runtime;
use crate::state::State;

/// What a guest may hand over in one call beside what it got, in bytes: room for replaced values, assignments, texts.
const HANDED_OVER_BYTES: usize = 4 << 20;

/// How much of a function's name goes into a message, in bytes.
const FUNCTION_NAME_BYTES_MAX: usize = 64;

/// A component with its imports resolved, ready to be instantiated.
pub(crate) struct Code {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) pre: InstancePre<State>,
    pub(crate) limits: Limits,
}

/// A store and the guest in it.
pub(crate) struct Live {
    runtime: Arc<Runtime>,
    store: Store<State>,
    pub(crate) instance: wasmtime::component::Instance,
}

/// Ends the loan when a call ends, in whatever way.
struct Loan<'s>(&'s mut Store<State>);

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.0.data_mut().end();
    }
}

impl Live {
    /// Instantiates a component, which may run code of the guest.
    pub(crate) fn new(code: &Code, environment: Option<Environment>, counters: Arc<[String]>) -> Result<Self, Failure> {
        let Code { runtime, pre, limits } = code;
        let state = State::new(limits.memory_bytes(), environment, counters);
        let mut store = Store::new(&runtime.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.epoch_deadline_callback(|mut cx| {
            let over = cx.data_mut().watch().is_none_or(|watch| watch.is_over());
            let left = cx.data_mut().watch().map_or(0, |watch| watch.ticks_left());
            Ok(if over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(left.max(1)) })
        });
        let instance = run(runtime, &mut store, limits.init_budget(), None, |store, _| pre.instantiate(store))?;
        Ok(Self { runtime: Arc::clone(runtime), store, instance })
    }

    /// An exported function, with its types checked.
    pub(crate) fn func<P, R>(&mut self, interface: &str, name: &str) -> Result<TypedFunc<P, R>, String>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let missing = || format!("it exports {interface} without the function {name}");
        let exports = self.instance.get_export_index(&mut self.store, None, interface).ok_or_else(missing)?;
        let index = self.instance.get_export_index(&mut self.store, Some(&exports), name).ok_or_else(missing)?;
        let func = self.instance.get_func(&mut self.store, index).ok_or_else(missing)?;
        func.typed(&self.store).map_err(|error| {
            format!(
                "{name} of {interface} is not of the type that the WIT package watershed:plugin says: {error:#}; \
                 build it against version 1 of that package"
            )
        })
    }

    /// Calls a function of the guest.
    pub(crate) fn call<P, R>(
        &mut self,
        func: &TypedFunc<P, R>,
        budget: Duration,
        batch: Option<Batch<'_>>,
        params: impl FnOnce(Resource<BatchHandle>) -> P,
    ) -> Result<R, Failure>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        run(&self.runtime, &mut self.store, budget, batch, |store, call| {
            func.call(store, params(Resource::new_borrow(call)))
        })
    }
}

/// Runs code of the guest, with a budget.
fn run<R>(
    runtime: &Runtime,
    store: &mut Store<State>,
    budget: Duration,
    batch: Option<Batch<'_>>,
    enter: impl FnOnce(&mut Store<State>, u32) -> wasmtime::Result<R>,
) -> Result<R, Failure> {
    let lent_bytes = batch.map_or(0, |batch| batch.record_bytes().iter().map(|bytes| *bytes as usize).sum::<usize>());
    store.set_hostcall_fuel(HANDED_OVER_BYTES + 2 * lent_bytes);
    store.set_epoch_deadline(1);
    let watch = runtime.watchdog.begin(budget);
    let loan = Loan(store);
    // SAFETY: `loan` ends it, before this function returns or unwinds, and so while `batch` and `runtime` are borrowed.
    let call = unsafe { loan.0.data_mut().begin(batch, watch) };
    let answer = enter(loan.0, call);
    answer.map_err(|error| failure(loan.0.data_mut(), &error, budget))
}

/// What a trap, or whatever else ended a call, means.
#[cold]
fn failure(state: &mut State, error: &wasmtime::Error, budget: Duration) -> Failure {
    if let Some(failure) = state.failure.take() {
        return failure;
    }
    let place = function(error).map(|name| format!(" in {name}")).unwrap_or_default();
    let trap = error.downcast_ref::<Trap>();
    let (kind, what) = match (trap, state.limiter.refused) {
        (Some(Trap::Interrupt), _) => {
            (FaultKind::Timeout, format!("it was stopped{place} after {} ms on a processor", budget.as_millis()))
        }
        (_, Some(wanted)) => {
            let max = state.limiter.memory_bytes_max();
            (FaultKind::OutOfMemory, format!("it wanted {wanted} bytes of memory{place}, and may have {max}"))
        }
        (Some(trap), None) => (FaultKind::Trap, format!("{trap}{place}")),
        (None, None) => (FaultKind::Trap, format!("{}{place}", log_line(error.root_cause().to_string().as_bytes()))),
    };
    Failure::Fault { kind, message: what }
}

/// The function in which the guest stopped, where the component names its functions.
fn function(error: &wasmtime::Error) -> Option<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    let name = backtrace.frames().iter().find_map(|frame| frame.func_name())?;
    let cut = &name.as_bytes()[..name.len().min(FUNCTION_NAME_BYTES_MAX)];
    Some(format!("`{}`", log_line(cut)))
}
