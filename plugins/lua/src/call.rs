//! One call into a script: its time, and what its errors mean.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use watershed_hooks::{Failure, FaultKind};
use watershed_plugin_host::{Watch, Watchdog};

use crate::interrupt;

/// The longest message of a failure, in bytes; what is longer is cut.
pub(crate) const MESSAGE_BYTES_MAX: usize = 512;

thread_local! {
    /// The call that this thread is in. There is one at most: no plugin calls another.
    static WATCH: RefCell<Option<Watch<'static>>> = const { RefCell::new(None) };
    /// Whether its time was over at some time.
    static OVER: Cell<bool> = const { Cell::new(false) };
}

/// Whether the time of this thread's call is over. Once it is, it stays so until the call ends.
pub(crate) fn is_over() -> bool {
    if OVER.get() {
        return true;
    }
    let over = WATCH.with_borrow_mut(|watch| watch.as_mut().is_some_and(Watch::is_over));
    OVER.set(over);
    over
}

/// Runs what calls a script, for at most `budget`.
///
/// # Errors
/// A fault: what the script did, or that its time was over, whatever it answered.
pub(crate) fn run<T>(
    watchdog: &Watchdog,
    budget: Duration,
    chunk: &str,
    call: impl FnOnce() -> mlua::Result<T>,
) -> Result<T, Failure> {
    OVER.set(false);
    interrupt::forget_threshold();
    WATCH.set(Some(watchdog.begin_detached(budget)));
    let answer = catch_unwind(AssertUnwindSafe(call));
    let over = is_over();
    WATCH.set(None);
    if over {
        let message = format!("{chunk}: stopped, because it took more than {budget:?} of a processor's time");
        return Err(Failure::Fault { kind: FaultKind::Timeout, message });
    }
    match answer {
        Ok(answer) => answer.map_err(|error| failure(&error, chunk)),
        Err(_) => Err(fault(FaultKind::Trap, format!("{chunk}: the host of plugins panicked: this is a bug in it"))),
    }
}

fn fault(kind: FaultKind, message: String) -> Failure {
    Failure::Fault { kind, message }
}

/// What an error means. `chunk` is what Luau calls the script, and what it puts before line numbers.
fn failure(error: &mlua::Error, chunk: &str) -> Failure {
    let mut place = None;
    let mut error = error;
    while let mlua::Error::CallbackError { traceback, cause } = error {
        place = place.or_else(|| script_line(traceback, chunk));
        error = cause;
    }
    let text = match error {
        mlua::Error::MemoryError(_) => {
            let message = format!("{chunk}: it wanted more memory than its limits.memory");
            return fault(FaultKind::OutOfMemory, message);
        }
        mlua::Error::RuntimeError(text) => text.clone(),
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        other => other.to_string(),
    };
    let text = text.split("\nstack traceback:").next().unwrap_or_default();
    let text = match place {
        _ if text.starts_with(chunk) => text.to_owned(),
        Some(line) => format!("{chunk}:{line}: {text}"),
        None => format!("{chunk}: {text}"),
    };
    fault(FaultKind::Trap, message(text.as_bytes()))
}

/// The innermost line of the script that a traceback names.
fn script_line(traceback: &str, chunk: &str) -> Option<u32> {
    traceback.lines().find_map(|line| {
        let rest = line.trim_start().strip_prefix(chunk)?.strip_prefix(':')?;
        rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
    })
}

/// A script's text as a message: cut to [`MESSAGE_BYTES_MAX`], control characters escaped.
pub(crate) fn message(text: &[u8]) -> String {
    let cut = &text[..text.len().min(MESSAGE_BYTES_MAX)];
    let mut message = String::with_capacity(cut.len());
    for c in String::from_utf8_lossy(cut).chars() {
        if c.is_control() {
            message.extend(c.escape_default());
        } else {
            message.push(c);
        }
        if message.len() >= MESSAGE_BYTES_MAX {
            break;
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_short_line() {
        assert_eq!(message(b"two\nlines \x1b[31mred \xff"), "two\\nlines \\u{1b}[31mred \u{fffd}");
        assert_eq!(message(&[b'x'; 1000]).len(), MESSAGE_BYTES_MAX);
        assert!(message(&[0; 1000]).len() < MESSAGE_BYTES_MAX + 8, "escapes count");
    }

    #[test]
    fn a_traceback_names_the_line_of_the_script() {
        let traceback = "[C] in ?\nprelude:12 function key\np.luau:34 function intercept\np.luau:56";
        assert_eq!(script_line(traceback, "p.luau"), Some(34));
        assert_eq!(script_line(traceback, "q.luau"), None);
    }
}
