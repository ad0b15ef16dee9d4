//! What a guest may import: `watershed:plugin/types`, `host` and `helpers`, and nothing else.
//!
//! A function of the host that has something against its arguments leaves a [`Failure`] in the [`State`] and traps; whoever made
//! the call finds it there.

use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType, WasmList, WasmStr};
use wasmtime::{Engine, Result, StoreContextMut, bail, format_err};
use watershed_hooks::{Batch, Column, ColumnFull, Failure, murmur2};
use watershed_plugin_host::{helpers, log_line};

use crate::abi::{BatchHandle, LentClient, LentColumn, LentHeaders, OwnColumn, WitLevel, WitPick};
use crate::state::{LOG_LINES_MAX, State};

/// The version of the WIT package that is served.
pub(crate) const PACKAGE_VERSION: &str = "1.0.0";

/// The functions of each interface that may be imported, for messages about others.
pub(crate) const IMPORTS: [(&str, &[&str]); 3] = [
    (
        "types",
        &[
            "[method]batch.topic",
            "[method]batch.partition",
            "[method]batch.len",
            "[method]batch.base-sequence",
            "[method]batch.keys",
            "[method]batch.values",
            "[method]batch.value-fields",
            "[method]batch.header",
            "[method]batch.headers",
            "[method]batch.timestamps",
            "[method]batch.ordering-keys",
            "[method]batch.ranks",
            "[method]batch.sizes",
            "[method]batch.client",
        ],
    ),
    ("host", &["log", "count"]),
    ("helpers", &["json", "json-column", "murmur2", "murmur2-column"]),
];

type Cx<'a> = StoreContextMut<'a, State>;
type This = Resource<BatchHandle>;

/// All imports.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let name = |interface: &str| format!("watershed:plugin/{interface}@{PACKAGE_VERSION}");
    types(&mut linker.instance(&name("types"))?)?;
    host(&mut linker.instance(&name("host"))?)?;
    pure(&mut linker.instance(&name("helpers"))?)?;
    Ok(linker)
}

/// The batch that a handle stands for.
fn batch(cx: &Cx<'_>, this: &This) -> Result<Batch<'static>> {
    match cx.data().batch(this.rep()) {
        Some(batch) => Ok(batch),
        None => bail!("a batch is read after its call"),
    }
}

/// Leaves a failure behind that the trap stands for.
fn refuse<T>(cx: &mut Cx<'_>, answer: std::result::Result<T, Failure>) -> Result<T> {
    answer.map_err(|failure| {
        let error = format_err!("{failure}");
        cx.data_mut().failure = Some(failure);
        error
    })
}

/// Fills the scratch column, whose content lives until the next question.
fn fill<'v, V: AsRef<[u8]> + 'v>(
    cx: &mut Cx<'_>,
    values: impl Iterator<Item = Option<V>>,
) -> Result<(LentColumn<'static>,)> {
    let scratch = &mut cx.data_mut().scratch;
    scratch.clear();
    for value in values {
        scratch.push(value.as_ref().map(AsRef::as_ref)).map_err(|ColumnFull| format_err!("{ColumnFull}"))?;
    }
    // SAFETY: the column belongs to the store's data, is changed by this function only, and this function runs only when the
    // guest asks again, which it cannot before this answer has been copied into its memory (`cabi_realloc` may not call out).
    let scratch = unsafe { std::mem::transmute::<&Column, &'static Column>(scratch) };
    Ok((LentColumn::new(scratch),))
}

fn types(types: &mut LinkerInstance<'_, State>) -> Result<()> {
    types.resource("batch", ResourceType::host::<BatchHandle>(), |_, _| Ok(()))?;
    types.func_wrap("[method]batch.topic", |cx: Cx<'_>, (this,): (This,)| Ok((batch(&cx, &this)?.topic(),)))?;
    types.func_wrap("[method]batch.partition", |cx: Cx<'_>, (this,): (This,)| Ok((batch(&cx, &this)?.partition(),)))?;
    types.func_wrap("[method]batch.len", |cx: Cx<'_>, (this,): (This,)| {
        Ok((u32::try_from(batch(&cx, &this)?.len())?,))
    })?;
    types.func_wrap("[method]batch.base-sequence", |cx: Cx<'_>, (this,): (This,)| {
        Ok((batch(&cx, &this)?.base_sequence(),))
    })?;
    types.func_wrap("[method]batch.sizes", |cx: Cx<'_>, (this,): (This,)| Ok((batch(&cx, &this)?.record_bytes(),)))?;
    types.func_wrap("[method]batch.client", |cx: Cx<'_>, (this,): (This,)| {
        Ok((LentClient::new(batch(&cx, &this)?.client()),))
    })?;
    types.func_wrap("[method]batch.keys", |mut cx: Cx<'_>, (this,): (This,)| {
        let keys = batch(&cx, &this)?.keys();
        Ok((LentColumn::new(refuse(&mut cx, keys)?),))
    })?;
    types.func_wrap("[method]batch.values", |mut cx: Cx<'_>, (this,): (This,)| {
        let values = batch(&cx, &this)?.values();
        Ok((LentColumn::new(refuse(&mut cx, values)?),))
    })?;
    types.func_wrap("[method]batch.timestamps", |mut cx: Cx<'_>, (this,): (This,)| {
        let timestamps = batch(&cx, &this)?.timestamps();
        Ok((refuse(&mut cx, timestamps)?,))
    })?;
    types.func_wrap("[method]batch.ranks", |mut cx: Cx<'_>, (this,): (This,)| {
        let ranks = batch(&cx, &this)?.ranks();
        Ok((refuse(&mut cx, ranks)?,))
    })?;
    types.func_wrap("[method]batch.headers", |mut cx: Cx<'_>, (this,): (This,)| {
        let headers = batch(&cx, &this)?.headers();
        Ok((LentHeaders::new(refuse(&mut cx, headers)?),))
    })?;
    made(types)
}

/// Columns that are not there as the guest wants them.
fn made(types: &mut LinkerInstance<'_, State>) -> Result<()> {
    types.func_wrap("[method]batch.ordering-keys", |mut cx: Cx<'_>, (this,): (This,)| {
        let batch = batch(&cx, &this)?;
        let keys = refuse(&mut cx, batch.ordering_keys())?;
        if keys.len() == batch.len() {
            return Ok((LentColumn::new(keys),));
        }
        fill(&mut cx, (0..batch.len()).map(|i| keys.get(i)))
    })?;
    types.func_wrap("[method]batch.header", |mut cx: Cx<'_>, (this, name, which): (This, String, WitPick)| {
        let header = batch(&cx, &this)?.header(&name, which.into());
        let header = refuse(&mut cx, header)?;
        fill(&mut cx, header)
    })?;
    types.func_wrap("[method]batch.value-fields", |mut cx: Cx<'_>, (this, path): (This, String)| {
        let values = batch(&cx, &this)?.values();
        let values = refuse(&mut cx, values)?;
        fill(&mut cx, values.iter().map(|value| value.and_then(|value| helpers::json(value, &path))))
    })
}

fn host(host: &mut LinkerInstance<'_, State>) -> Result<()> {
    host.func_wrap("log", |mut cx: Cx<'_>, (level, text): (WitLevel, WasmStr)| {
        if cx.data().lines < LOG_LINES_MAX {
            cx.data_mut().lines += 1;
            let line = log_line(text.to_str(&cx)?.as_bytes());
            if let Some(environment) = &cx.data().environment {
                (environment.log)(level.into(), &line);
            }
        }
        Ok(())
    })?;
    host.func_wrap("count", |cx: Cx<'_>, (name, n): (WasmStr, u64)| {
        let name = name.to_str(&cx)?;
        let State { environment, counters, .. } = cx.data();
        if let Some(environment) = environment
            && counters.iter().any(|known| *known == *name)
        {
            (environment.count)(&name, n);
        }
        Ok(())
    })
}

fn pure(pure: &mut LinkerInstance<'_, State>) -> Result<()> {
    pure.func_wrap("json", |cx: Cx<'_>, (document, path): (WasmList<u8>, WasmStr)| {
        let path = path.to_str(&cx)?;
        Ok((helpers::json(document.as_le_slice(&cx), &path).map(std::borrow::Cow::into_owned),))
    })?;
    pure.func_wrap("json-column", |mut cx: Cx<'_>, (documents, path): (OwnColumn, String)| {
        let documents = refuse(&mut cx, documents.check("the documents of json-column"))?;
        fill(&mut cx, documents.iter().map(|document| document.and_then(|document| helpers::json(document, &path))))
    })?;
    pure.func_wrap("murmur2", |cx: Cx<'_>, (data,): (WasmList<u8>,)| Ok((murmur2(data.as_le_slice(&cx)),)))?;
    pure.func_wrap("murmur2-column", |mut cx: Cx<'_>, (data,): (OwnColumn,)| {
        let data = refuse(&mut cx, data.check("the data of murmur2-column"))?;
        Ok((data.iter().map(|value| value.map_or(0, murmur2)).collect::<Vec<_>>(),))
    })
}
