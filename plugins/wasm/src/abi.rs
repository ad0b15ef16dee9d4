//! The WIT types of `watershed:plugin/types` in Rust, and what checks those that a guest made.
//!
//! Invariant: nothing that a guest gave gets past [`OwnColumn::check`] or [`OwnHeaders::check`] unchecked. What goes to a guest
//! is lent ([`LentColumn`]), so that a column is copied once, into the guest's memory.

use wasmtime::component::{ComponentType, Lift, Lower};
use watershed_hooks::{Column, Failure, HeaderColumns, Pick};

/// `batch`, whose handles hold the number of the call that it is lent for.
pub(crate) enum BatchHandle {}

/// A column on its way to a guest.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct LentColumn<'a> {
    data: &'a [u8],
    ends: &'a [u32],
    valid: &'a [u8],
}

impl<'a> LentColumn<'a> {
    pub(crate) fn new(column: &'a Column) -> Self {
        Self { data: column.data(), ends: column.ends(), valid: column.valid() }
    }
}

/// The headers of a batch on their way to a guest.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct LentHeaders<'a> {
    ends: &'a [u32],
    names: LentColumn<'a>,
    values: LentColumn<'a>,
}

impl<'a> LentHeaders<'a> {
    pub(crate) fn new(headers: &'a HeaderColumns) -> Self {
        let (names, values) = (LentColumn::new(headers.names()), LentColumn::new(headers.values()));
        Self { ends: headers.ends(), names, values }
    }
}

/// Who asks, on the way to a guest.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct LentClient<'a> {
    principal: &'a str,
    #[component(name = "client-id")]
    client_id: &'a str,
    listener: &'a str,
    host: &'a str,
}

impl<'a> LentClient<'a> {
    pub(crate) fn new(client: watershed_hooks::Client<'a>) -> Self {
        let watershed_hooks::Client { principal, client_id, listener, host } = client;
        Self { principal, client_id, listener, host }
    }
}

/// A column that a guest made, or one that must outlive its origin.
#[derive(Clone, Debug, Default, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct OwnColumn {
    pub(crate) data: Vec<u8>,
    pub(crate) ends: Vec<u32>,
    pub(crate) valid: Vec<u8>,
}

impl OwnColumn {
    /// The column, if it is one; `what` names it in the message.
    pub(crate) fn check(self, what: &str) -> Result<Column, Failure> {
        let column = Column::from_parts(self.data, self.ends, self.valid);
        column.map_err(|wrong| Failure::wrong_answer(format!("{what}: {wrong}")))
    }

    /// A column of exactly that many values.
    pub(crate) fn check_len(self, what: &str, len: usize) -> Result<Column, Failure> {
        let column = self.check(what)?;
        if column.len() != len {
            let given = column.len();
            return Err(Failure::wrong_answer(format!("{what}: there are {given}, and {len} are needed")));
        }
        Ok(column)
    }
}

/// Headers that a guest made.
#[derive(Clone, Debug, Default, ComponentType, Lift)]
#[component(record)]
pub(crate) struct OwnHeaders {
    pub(crate) ends: Vec<u32>,
    pub(crate) names: OwnColumn,
    pub(crate) values: OwnColumn,
}

/// The headers of some records, checked.
#[derive(Debug)]
pub(crate) struct Headers {
    ends: Vec<u32>,
    names: Column,
    values: Column,
}

impl OwnHeaders {
    /// The headers of exactly that many records, if they are.
    pub(crate) fn check(self, records: usize) -> Result<Headers, Failure> {
        let Self { ends, names, values } = self;
        let names = names.check("the headers' names")?;
        let values = values.check_len("the headers' values", names.len())?;
        let wrong = |what: String| Err(Failure::wrong_answer(format!("the headers: {what}")));
        if ends.len() != records {
            return wrong(format!("there are those of {} records, and {records} are needed", ends.len()));
        }
        if !ends.is_sorted() {
            return wrong("the ends must not fall".to_owned());
        }
        let end = ends.last().map_or(0, |end| *end as usize);
        if end != names.len() {
            return wrong(format!("there are {} names, and the last end is {end}", names.len()));
        }
        if names.iter().any(|name| name.is_none()) {
            return wrong("a name is null".to_owned());
        }
        Ok(Headers { ends, names, values })
    }
}

impl Headers {
    /// The headers of the record at `index` of those that have new ones.
    pub(crate) fn of(&self, index: usize) -> Vec<watershed_hooks::Header> {
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        let name = |i| self.names.get(i).unwrap_or_default().to_vec();
        (begin as usize..self.ends[index] as usize).map(|i| (name(i), self.values.get(i).map(<[u8]>::to_vec))).collect()
    }
}

/// `pick`.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "guests make them")]
pub(crate) enum WitPick {
    #[component(name = "first")]
    First,
    #[component(name = "last")]
    Last,
}

impl From<WitPick> for Pick {
    fn from(pick: WitPick) -> Self {
        match pick {
            WitPick::First => Self::First,
            WitPick::Last => Self::Last,
        }
    }
}

/// `level`.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "guests make them")]
pub(crate) enum WitLevel {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl From<WitLevel> for watershed_hooks::LogLevel {
    fn from(level: WitLevel) -> Self {
        match level {
            WitLevel::Debug => Self::Debug,
            WitLevel::Info => Self::Info,
            WitLevel::Warn => Self::Warn,
            WitLevel::Error => Self::Error,
        }
    }
}

/// `failure`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitFailure {
    #[component(name = "retriable")]
    Retriable(String),
    #[component(name = "permanent")]
    Permanent(String),
}

impl From<WitFailure> for Failure {
    fn from(failure: WitFailure) -> Self {
        let line = |text: &str| watershed_plugin_host::log_line(text.as_bytes());
        match failure {
            WitFailure::Retriable(reason) => Self::Retriable(line(&reason)),
            WitFailure::Permanent(reason) => Self::Permanent(line(&reason)),
        }
    }
}
