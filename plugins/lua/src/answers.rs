//! Reading what a script answered about the records of a batch: `batch.luau` checked and packed it.

use mlua::{Buffer, Value};
use watershed_hooks::{Choice, Column, Failure, Header, Replacement, Stay, Verdict, Visibility};

use crate::call::message;

/// What stands for null, and for a choice that is the client's.
const NULL: u32 = u32::MAX;

/// What a driver returned; see `refused` in `batch.luau`.
pub(crate) type Returned = (Value, Value);

/// The bytes of a packed answer.
///
/// # Errors
/// The plugin's refusal, or what is wrong with its answer.
pub(crate) fn packed(returned: &Returned, what: &str) -> Result<Vec<u8>, Failure> {
    let (Value::Buffer(buffer), Some(len)) = (&returned.0, returned.1.as_usize()) else {
        return Err(not_an_answer(returned, what));
    };
    Ok(prefix(buffer, len))
}

/// The first bytes of a buffer, copied in steps: the rest of it is of no interest.
fn prefix(buffer: &Buffer, len: usize) -> Vec<u8> {
    const STEP: usize = 1024;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() + STEP <= len {
        bytes.extend_from_slice(&buffer.read_bytes::<STEP>(bytes.len()));
    }
    while bytes.len() + 8 <= len {
        bytes.extend_from_slice(&buffer.read_bytes::<8>(bytes.len()));
    }
    while bytes.len() < len {
        bytes.extend_from_slice(&buffer.read_bytes::<1>(bytes.len()));
    }
    bytes
}

/// The value of an answer that is not packed.
///
/// # Errors
/// As [`packed`].
pub(crate) fn plain(returned: Returned, what: &str) -> Result<Value, Failure> {
    match returned {
        (Value::Boolean(true), answer) => Ok(answer),
        other => Err(not_an_answer(&other, what)),
    }
}

/// Why a driver returned no answer.
fn not_an_answer(returned: &Returned, what: &str) -> Failure {
    match returned {
        (Value::String(reason), retriable) => {
            let reason = message(&reason.as_bytes());
            let again = matches!(retriable, Value::Boolean(true));
            if again { Failure::Retriable(reason) } else { Failure::Permanent(reason) }
        }
        (Value::Boolean(false), Value::String(wrong)) => {
            Failure::wrong_answer(format!("{what}: {}", message(&wrong.as_bytes())))
        }
        _ => Failure::wrong_answer(format!("{what}: its answer cannot be read")),
    }
}

/// Reads a packed answer from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    /// A text, or null.
    fn nullable(&mut self) -> Option<Option<&'a [u8]>> {
        match self.number()? {
            NULL => Some(None),
            n => self.take(n as usize).map(Some),
        }
    }

    fn replacement(&mut self) -> Option<Replacement> {
        let is_replaced = self.byte()? == 1;
        let value = self.nullable()?.map(<[u8]>::to_vec);
        let value = is_replaced.then_some(value);
        let headers = match self.number()? {
            NULL => None,
            n => Some((0..n).map(|_| self.header()).collect::<Option<Vec<_>>>()?),
        };
        Some(Replacement { value, headers })
    }

    fn header(&mut self) -> Option<Header> {
        let name = self.nullable()??.to_vec();
        Some((name, self.nullable()?.map(<[u8]>::to_vec)))
    }

    /// A reason, as one line.
    fn reason(&mut self) -> Option<String> {
        Some(message(self.nullable()??))
    }

    fn verdict(&mut self) -> Option<Verdict> {
        Some(match self.byte()? {
            0 => Verdict::Keep,
            1 => Verdict::Drop,
            2 => Verdict::Reject(self.reason()?),
            3 => Verdict::DeadLetter(self.reason()?),
            4 => Verdict::Replace(self.replacement()?),
            _ => return None,
        })
    }

    fn visibility(&mut self) -> Option<Visibility> {
        Some(match self.byte()? {
            0 => Visibility::Show,
            1 => Visibility::Hide,
            4 => Visibility::Redact(self.replacement()?),
            _ => return None,
        })
    }
}

/// Reads `n` things.
fn each<T>(
    bytes: &[u8],
    n: usize,
    what: &str,
    into: &mut impl Extend<T>,
    read: impl Fn(&mut Reader<'_>) -> Option<T>,
) -> Result<(), Failure> {
    let mut reader = Reader(bytes);
    let mut complete = true;
    into.extend((0..n).map_while(|_| {
        let read = read(&mut reader);
        complete &= read.is_some();
        read
    }));
    if complete { Ok(()) } else { Err(Failure::wrong_answer(format!("{what}: its answer cannot be read"))) }
}

/// What the hook `interceptor` said.
pub(crate) fn verdicts(returned: &Returned, n: usize, what: &str, into: &mut Vec<Verdict>) -> Result<(), Failure> {
    each(&packed(returned, what)?, n, what, into, |reader| reader.verdict())
}

/// What the hook `fetch-filter` said.
pub(crate) fn visibilities(
    returned: &Returned,
    n: usize,
    what: &str,
    into: &mut Vec<Visibility>,
) -> Result<(), Failure> {
    each(&packed(returned, what)?, n, what, into, |reader| reader.visibility())
}

/// What the hook `record-retention` said.
pub(crate) fn stays(returned: &Returned, n: usize, what: &str, into: &mut Vec<Stay>) -> Result<(), Failure> {
    each(&packed(returned, what)?, n, what, into, |reader| match reader.byte()? {
        0 => Some(Stay::Keep),
        1 => Some(Stay::Drop),
        _ => None,
    })
}

/// What the hook `partitioner` said.
pub(crate) fn choices(returned: &Returned, n: usize, what: &str, into: &mut Vec<Choice>) -> Result<(), Failure> {
    let choice = |number| if number == NULL { Choice::ClientStands } else { Choice::Partition(number) };
    each(&packed(returned, what)?, n, what, into, |reader| reader.number().map(choice))
}

/// What the hook `ordering-key` said.
pub(crate) fn ordering_keys(returned: &Returned, n: usize, what: &str, into: &mut Column) -> Result<(), Failure> {
    let bytes = packed(returned, what)?;
    let mut reader = Reader(&bytes);
    for _ in 0..n {
        let key = reader.nullable().ok_or_else(|| Failure::wrong_answer(format!("{what}: it cannot be read")))?;
        into.push(key).map_err(|full| Failure::wrong_answer(format!("{what}: {full}")))?;
    }
    Ok(())
}
