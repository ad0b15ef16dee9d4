//! The hooks, each served by a [`Guest`]: what goes to the guest, and what its answer means.

mod assignor;
mod policies;
mod records;

use std::sync::Arc;

use wasmtime::component::{ComponentNamedList, Lift, Lower, Resource, TypedFunc};
use watershed_hooks::{Batch, Environment, Failure, FaultKind, Hook, HookKind};
use watershed_plugin_host::{Manifest, log_line};

use crate::abi::{BatchHandle, WitFailure};
use crate::instance::{Code, Live};

/// The interface of a hook has the hook's name; this is its function.
fn function(hook: HookKind) -> &'static str {
    match hook {
        HookKind::Interceptor => "intercept",
        HookKind::OrderingKey => "ordering-keys",
        HookKind::Partitioner => "partition",
        HookKind::FetchFilter => "filter",
        HookKind::Retention => "delete-before",
        HookKind::RecordRetention => "retain",
        HookKind::Assignor => "assign",
        HookKind::TopicPolicy => "judge",
        _ => unreachable!("no factory is made for a hook that has no interface"),
    }
}

/// What all instances of a plugin share.
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) code: Code,
    pub(crate) manifest: Manifest,
    pub(crate) counters: Arc<[String]>,
    /// What its lifecycle is exported as, with the version.
    pub(crate) lifecycle: String,
}

/// A hook of a plugin, and with what its instances are made.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) hook: HookKind,
    /// What the hook's interface is exported as, with the version.
    pub(crate) interface: String,
    pub(crate) settings_json: String,
    pub(crate) environment: Option<Environment>,
}

/// Why there is no instance.
pub(crate) enum NoInstance {
    /// The guest failed.
    Failed(Failure),
    /// It does not like its settings, or is not what it should be.
    Refused(String),
}

impl From<Failure> for NoInstance {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Recipe {
    /// An instance that has taken its settings.
    fn live<P, R>(&self) -> Result<(Live, TypedFunc<P, R>), NoInstance>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let Plugin { code, counters, lifecycle, .. } = &*self.plugin;
        let mut live = Live::new(code, self.environment.clone(), Arc::clone(counters))?;
        let init = live.func::<(String,), (Result<(), String>,)>(lifecycle, "init").map_err(NoInstance::Refused)?;
        let func = live.func(&self.interface, function(self.hook)).map_err(NoInstance::Refused)?;
        let settings = self.settings_json.clone();
        let (answer,) = live.call(&init, code.limits.init_budget(), None, |_| (settings,))?;
        answer.map_err(|reason| NoInstance::Refused(log_line(reason.as_bytes())))?;
        Ok((live, func))
    }

    /// An instance behind its hook's trait.
    pub(crate) fn make(self) -> Result<Hook, NoInstance> {
        Ok(match self.hook {
            HookKind::Interceptor => Hook::Interceptor(Box::new(Guest::<records::InterceptorFn>::new(self)?)),
            HookKind::OrderingKey => Hook::OrderingKey(Box::new(Guest::<records::OrderingKeyFn>::new(self)?)),
            HookKind::Partitioner => Hook::Partitioner(Box::new(Guest::<records::PartitionerFn>::new(self)?)),
            HookKind::FetchFilter => Hook::FetchFilter(Box::new(Guest::<records::FetchFilterFn>::new(self)?)),
            HookKind::Retention => Hook::Retention(Box::new(Guest::<policies::RetentionFn>::new(self)?)),
            HookKind::RecordRetention => {
                Hook::RecordRetention(Box::new(Guest::<records::RecordRetentionFn>::new(self)?))
            }
            HookKind::Assignor => Hook::Assignor(Box::new(Guest::<assignor::AssignorFn>::new(self)?)),
            HookKind::TopicPolicy => Hook::TopicPolicy(Box::new(Guest::<policies::TopicPolicyFn>::new(self)?)),
            other => return Err(NoInstance::Refused(format!("there is no interface for the hook {other}"))),
        })
    }
}

/// Checks the types of what a plugin exports for a hook.
pub(crate) fn check(live: &mut Live, hook: HookKind, interface: &str) -> Result<(), String> {
    fn is<F: Signature>(live: &mut Live, hook: HookKind, interface: &str) -> Result<(), String> {
        live.func::<F::Params, (Result<F::Answer, WitFailure>,)>(interface, function(hook)).map(drop)
    }
    match hook {
        HookKind::Interceptor => is::<records::InterceptorFn>(live, hook, interface),
        HookKind::OrderingKey => is::<records::OrderingKeyFn>(live, hook, interface),
        HookKind::Partitioner => is::<records::PartitionerFn>(live, hook, interface),
        HookKind::FetchFilter => is::<records::FetchFilterFn>(live, hook, interface),
        HookKind::Retention => is::<policies::RetentionFn>(live, hook, interface),
        HookKind::RecordRetention => is::<records::RecordRetentionFn>(live, hook, interface),
        HookKind::Assignor => is::<assignor::AssignorFn>(live, hook, interface),
        HookKind::TopicPolicy => is::<policies::TopicPolicyFn>(live, hook, interface),
        other => Err(format!("there is no interface for the hook {other}")),
    }
}

/// The types of a hook's function.
pub(crate) trait Signature {
    /// What goes to the guest.
    type Params: ComponentNamedList + Lower + Send + Sync + 'static;
    /// What it answers, if it does not fail.
    type Answer: wasmtime::component::ComponentType + Lift + Send + Sync + 'static;
}

type Func<F> = TypedFunc<<F as Signature>::Params, (Result<<F as Signature>::Answer, WitFailure>,)>;

/// An instance that serves one hook.
pub(crate) struct Guest<F: Signature> {
    recipe: Recipe,
    /// `None` where the last call ended in the middle.
    live: Option<(Live, Func<F>)>,
    /// How it failed; it is not asked again.
    fault: Option<Failure>,
}

impl<F: Signature> Guest<F> {
    fn new(recipe: Recipe) -> Result<Self, NoInstance> {
        let live = Some(recipe.live()?);
        Ok(Self { recipe, live, fault: None })
    }

    fn manifest(&self) -> &Manifest {
        &self.recipe.plugin.manifest
    }

    /// Asks the guest, and reads its answer.
    fn ask<T>(
        &mut self,
        batch: Option<&Batch<'_>>,
        params: impl FnOnce(Resource<BatchHandle>) -> F::Params,
        read: impl FnOnce(F::Answer) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let answer = self.call(batch, params);
        let answer = answer.and_then(read);
        if let Err(failure @ Failure::Fault { .. }) = &answer {
            self.live = None;
            self.fault.get_or_insert_with(|| failure.clone());
        }
        answer
    }

    fn call(
        &mut self,
        batch: Option<&Batch<'_>>,
        params: impl FnOnce(Resource<BatchHandle>) -> F::Params,
    ) -> Result<F::Answer, Failure> {
        if let Some(Failure::Fault { kind, message }) = &self.fault {
            let message = format!("this instance has failed before and is not asked again: {message}");
            return Err(Failure::Fault { kind: *kind, message });
        }
        let (live, func) = match &mut self.live {
            Some(live) => live,
            // The host ended the last call because the guest asked what it may not; that is no fault of this question.
            gone @ None => gone.insert(self.recipe.live().map_err(|none| match none {
                NoInstance::Failed(failure) => failure,
                NoInstance::Refused(message) => Failure::Fault { kind: FaultKind::Trap, message },
            })?),
        };
        let budget = self.recipe.plugin.code.limits.budget(self.recipe.hook);
        match live.call(func, budget, batch.copied(), params) {
            Ok((answer,)) => answer.map_err(Failure::from),
            Err(failure) => {
                self.live = None;
                Err(failure)
            }
        }
    }
}
