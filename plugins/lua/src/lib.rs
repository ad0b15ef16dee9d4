//! The host of plugins written in Luau.
//!
//! [`LuaHost::load`] takes a script and gives a factory for each hook that it serves; an instance is a Lua state of its own.
//!
//! # A plugin
//!
//! A script returns a table. The fields `name`, `version`, `api`, `reads`, `headers`, `deterministic`, `counters` and
//! `config_schema` are its manifest ([`watershed_plugin_host::Manifest`]); `init(config)` takes its settings, and may refuse
//! them by `return nil, "reason"`. Further functions say which hooks it serves:
//!
//! | Function | Hook | Answer |
//! |---|---|---|
//! | `intercept(b)` | `interceptor` | a table: at each record's index `nil`, `true` or `"keep"`; `false`, `"drop"` or `{drop = true}`; `{reject = "reason"}`; `{dlq = "reason"}`; `{value = …, headers = …}` |
//! | `ordering_key(b)` | `ordering-key` | a table: at each record's index a string, or `nil`: the record's key stands |
//! | `partition(b, partitions)` | `partitioner` | a table: at each record's index a number from 0, or `nil`: the client's choice stands |
//! | `filter(b)` | `fetch-filter` | a table: at each record's index `nil`, `true` or `"show"`; `false` or `"hide"`; `{value = …, headers = …}` |
//! | `record_retention(b, now)` | `record-retention` | a table: at each record's index `nil`, `true` or `"keep"`; `false` or `"drop"` |
//! | `retain(log)` | `retention` | the offset before which all may go, or `nil` |
//! | `assign(group)` | `assignor` | a table: `answer[member_id][topic] = {0, 1, 2}` |
//! | `judge(change)` | `topic-policy` | `true` or `nil`; `false, "reason"` or `"reason"`; a table of configs to set, all strings |
//!
//! A hook refuses by `return nil, "reason"`, or by `return nil, "reason", true` if it may be asked again later.
//!
//! `value` in a verdict is a string or `kafka.null`, and `headers` an array of `{name, value}`; what is not named stays.
//!
//! # The batch
//!
//! `b` is one object; it is valid during the call only. Records count from 1: `#b`, `b:key(i)`, `b:value(i)`,
//! `b:ordering_key(i)`, `b:timestamp(i)`, `b:size(i)`, `b:rank(i)` (only in `record_retention`: how many newer records of
//! its ordering key there are), `b:header(i, name)` (the last of that name; `b:header(i, name, "first")`), `b:headers(i)` (an array of `{name, value}`), `b.topic`, `b.partition`,
//! `b.base_sequence`, and `b.client` with `principal`, `client_id`, `listener` and `host`. What is null or not known is `nil`.
//! `b:value_field(i, path)` is `kafka.json(b:value(i), path)`, found for all records at once.
//! Reading a column that the manifest does not declare is an error.
//!
//! # The other hooks' arguments
//!
//! - `log`: `topic`, `partition`, `now`, `start_offset`, `high_watermark`, and `segments`, an array of `base_offset`,
//!   `end_offset`, `bytes`, `records`, `first_timestamp`, `max_timestamp`, `sealed`, from the oldest to the newest.
//! - `group`: `members`, an array of `id`, `instance_id`, `rack`, `topics` (names, in order), `owned` (by topic, an array of
//!   partitions) and `user_data`; `topic_names`, an array in order; `topics`, by name: `partitions`, and `racks` (an array of
//!   arrays: the racks of partition `p` are at `p + 1`), where they are known.
//! - `change`: `action` (`"create"`, `"alter"`, `"grow"`), `topic`, `partitions`, `replication_factor`, `configs`, `client`.
//!
//! Offsets, timestamps and sizes are exact below 2^53; what is beyond is an error, never rounded.
//!
//! # The library `kafka`
//!
//! `kafka.json(value, path)`, `kafka.murmur2(bytes)`, `kafka.log([level,] text)`, `kafka.count(name [, n])`, `kafka.null`;
//! `print` logs, too. The rest of Luau is there but for what reaches outside, draws random numbers, or compiles text.
//!
//! # How scripts are held
//!
//! - `sandbox.rs`: the globals are built from a list of what is allowed; what can neither be interrupted nor is linear is
//!   replaced (`library.luau`).
//! - Time: Luau asks at every turn of a loop and at every call whether the call's time is over (`interrupt.rs`), and then fails
//!   again and again until the host has control. Whatever the script answers, the host says that it was stopped.
//! - Memory: what the state allocates is counted. Compiling is not, therefore a script has at most 1 MiB.
//!
//! Unsafe code is in `interrupt.rs`, which says why, and in `kafka.murmur2`.
//!
//! Absent: what happens to an instance that failed; its caller drops it.

mod answers;
mod call;
mod columns;
mod convert;
mod factory;
mod host;
mod instance;
mod interrupt;
mod others;
mod sandbox;
mod script;

pub use host::LuaHost;
