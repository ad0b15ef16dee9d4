//! [`Instance`]: a script's state that serves one hook.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mlua::{Function, IntoLuaMulti, Lua, LuaString, Value};
use watershed_hooks::{
    Batch, Choice, Column, Failure, FetchFilter, HookKind, Interceptor, OrderingKey, Partitioner, Reads,
    RecordRetention, Stay, Verdict, Visibility,
};

use crate::answers::{self, Returned};
use crate::columns::Columns;
use crate::factory::Plugin;
use crate::others::exact;
use crate::script::{self, Running};

/// A state that serves one hook.
pub(crate) struct Instance {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) lua: Lua,
    /// The function of `batch.luau` that calls the plugin's, and that.
    drive: Function,
    function: Function,
    columns: RefCell<Columns>,
    budget: Duration,
    what: String,
}

impl Instance {
    /// An instance of a script that has run and taken its settings.
    ///
    /// # Errors
    /// When it does not serve the hook any more.
    pub(crate) fn new(plugin: Arc<Plugin>, hook: HookKind, running: Running) -> Result<Self, Failure> {
        let name = script::function_of(hook);
        let function = script::function(&running.table, name).map_err(Failure::Permanent)?;
        let function = function.ok_or_else(|| Failure::Permanent(format!("`init` took the function `{name}` away")))?;
        let drive = running.sandbox.drive.get(name);
        let drive = drive.map_err(|error| Failure::Permanent(format!("the hook {hook} has no driver: {error}")))?;
        let budget = plugin.script.limits.budget(hook);
        let what = format!("{}: `{name}`", plugin.script.chunk);
        let lua = running.sandbox.lua;
        Ok(Self { plugin, lua, drive, function, columns: RefCell::default(), budget, what })
    }

    /// Asks about a batch.
    fn ask(&mut self, batch: &Batch<'_>, more: Option<f64>) -> Result<Returned, Failure> {
        let (lua, columns) = (&self.lua, &self.columns);
        self.plugin.script.run(self.budget, || {
            lua.scope(|scope| {
                let fetch = scope.create_function(|lua, (what, name): (u32, Option<LuaString>)| {
                    columns.borrow_mut().fetch(lua, batch, what, name.as_ref())
                })?;
                self.drive.call((&self.function, batch.len(), fetch, more))
            })
        })
    }

    /// Asks about something else, which `argument` makes a table of.
    pub(crate) fn ask_about<A: IntoLuaMulti>(
        &mut self,
        argument: impl FnOnce(&Lua) -> mlua::Result<A>,
    ) -> Result<Value, Failure> {
        let returned = self.plugin.script.run(self.budget, || {
            let argument = argument(&self.lua)?.into_lua_multi(&self.lua)?;
            self.drive.call((&self.function, argument))
        });
        answers::plain(returned?, &self.what)
    }

    /// An answer that is none.
    pub(crate) fn wrong(&self, message: impl std::fmt::Display) -> Failure {
        Failure::wrong_answer(format!("{}: {message}", self.what))
    }
}

impl Interceptor for Instance {
    fn reads(&self) -> &Reads {
        &self.plugin.manifest.reads
    }

    fn intercept(&mut self, batch: &Batch<'_>, verdicts: &mut Vec<Verdict>) -> Result<(), Failure> {
        let returned = self.ask(batch, None)?;
        answers::verdicts(&returned, batch.len(), &self.what, verdicts)
    }
}

impl OrderingKey for Instance {
    fn reads(&self) -> &Reads {
        &self.plugin.manifest.reads
    }

    fn ordering_keys(&mut self, batch: &Batch<'_>, ordering_keys: &mut Column) -> Result<(), Failure> {
        let returned = self.ask(batch, None)?;
        answers::ordering_keys(&returned, batch.len(), &self.what, ordering_keys)
    }
}

impl Partitioner for Instance {
    fn deterministic(&self) -> bool {
        self.plugin.manifest.deterministic
    }

    fn reads(&self) -> &Reads {
        &self.plugin.manifest.reads
    }

    fn partition(
        &mut self,
        batch: &Batch<'_>,
        partitions: NonZeroU32,
        choices: &mut Vec<Choice>,
    ) -> Result<(), Failure> {
        let returned = self.ask(batch, Some(partitions.get().into()))?;
        answers::choices(&returned, batch.len(), &self.what, choices)
    }
}

impl RecordRetention for Instance {
    fn reads(&self) -> &Reads {
        &self.plugin.manifest.reads
    }

    fn retain(&mut self, batch: &Batch<'_>, now: i64, stays: &mut Vec<Stay>) -> Result<(), Failure> {
        let now = exact("the time", now.into()).map_err(|error| Failure::Permanent(error.to_string()))?;
        let returned = self.ask(batch, Some(now))?;
        answers::stays(&returned, batch.len(), &self.what, stays)
    }
}

impl FetchFilter for Instance {
    fn reads(&self) -> &Reads {
        &self.plugin.manifest.reads
    }

    fn filter(&mut self, batch: &Batch<'_>, visibilities: &mut Vec<Visibility>) -> Result<(), Failure> {
        let returned = self.ask(batch, None)?;
        answers::visibilities(&returned, batch.len(), &self.what, visibilities)
    }
}
