//! What the process's exit code says, so that scripts can act without reading text.
//!
//! The table in `docs/cli.md` is compared with [`TABLE`] by a test.

use watershed_client::ClientError;
use watershed_protocol::ErrorCode;

/// How a command ended. The numbers never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// It failed for a reason without a code of its own.
    Failure = 1,
    /// The command line is wrong; nothing was done.
    Usage = 2,
    /// No broker could be reached.
    Connect = 3,
    /// The topic, partition, offset, group, file or directory is not there.
    NotFound = 4,
    /// It was not done in time.
    Timeout = 5,
    /// Some records were delivered and some were not.
    Partial = 6,
    /// Records or files are damaged.
    Corrupt = 7,
    /// What should be created is there already.
    Exists = 8,
    /// The broker refused: a wrong value, a policy, a missing right.
    Refused = 9,
    /// The configuration is wrong; nothing was started.
    Config = 10,
}

/// Every exit code with its meaning, as the documentation has it.
pub const TABLE: &[(Exit, &str)] = &[
    (Exit::Ok, "done"),
    (Exit::Failure, "failed for a reason without a code of its own"),
    (Exit::Usage, "the command line is wrong; nothing was done"),
    (Exit::Connect, "no broker could be reached"),
    (Exit::NotFound, "the topic, partition, offset, group, file or directory is not there"),
    (Exit::Timeout, "not done in time; it may still happen"),
    (Exit::Partial, "some records were delivered and some were not"),
    (Exit::Corrupt, "records or files are damaged"),
    (Exit::Exists, "what should be created is there already"),
    (Exit::Refused, "the broker refused: a wrong value, a policy, a missing right"),
    (Exit::Config, "the configuration is wrong; nothing was started"),
];

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The code for an error of the client.
    #[must_use]
    pub fn of(error: &ClientError) -> Self {
        match error {
            ClientError::Connect { .. } | ClientError::NoBroker { .. } | ClientError::Disconnected { .. } => {
                Self::Connect
            }
            ClientError::Timeout { .. } => Self::Timeout,
            ClientError::Records { .. } | ClientError::Crc { .. } => Self::Corrupt,
            ClientError::Invalid(_) | ClientError::RecordTooLarge { .. } => Self::Refused,
            ClientError::Unsupported { .. }
            | ClientError::Protocol { .. }
            | ClientError::Encode(_)
            | ClientError::Closed => Self::Failure,
            ClientError::Broker { code, .. } => Self::of_code(*code),
        }
    }

    fn of_code(code: ErrorCode) -> Self {
        match code {
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::ResourceNotFound
            | ErrorCode::GroupIdNotFound
            | ErrorCode::OffsetOutOfRange => Self::NotFound,
            ErrorCode::TopicAlreadyExists => Self::Exists,
            ErrorCode::RequestTimedOut => Self::Timeout,
            ErrorCode::CorruptMessage => Self::Corrupt,
            ErrorCode::UnknownServerError => Self::Failure,
            code if code.is_retriable() => Self::Failure,
            _ => Self::Refused,
        }
    }
}

/// A command that failed: one line for people, a code for scripts.
#[derive(Debug)]
pub struct CliError {
    /// What happened, to what, what to do.
    pub message: String,
    /// The exit code.
    pub exit: Exit,
}

impl CliError {
    /// An error with its code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), exit }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self { exit: Exit::of(&error), message: error.to_string() }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        // Whoever reads our output has had enough: `watershed consume … | head`.
        let exit = if error.kind() == std::io::ErrorKind::BrokenPipe { Exit::Ok } else { Exit::Failure };
        Self { exit, message: format!("cannot write the output: {error}") }
    }
}
