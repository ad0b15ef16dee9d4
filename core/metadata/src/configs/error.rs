//! What can be wrong with a setting, and the nearest known name for one that is not known.

/// A setting that is not accepted. Each names the key, so that the file's reader can point at its line; all of them
/// are INVALID_CONFIG on the wire.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such setting.
    #[error("Unknown {scope} config name: {name}{}", hint(*.nearest))]
    Unknown {
        /// "topic", "broker" or "group".
        scope: &'static str,
        /// The name that was given.
        name: String,
        /// The known name that is most like it.
        nearest: Option<&'static str>,
    },
    /// The value has the wrong type or lies outside what is allowed, or cannot be honoured.
    #[error("Invalid value {value} for configuration {name}: {problem}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// The value that was given.
        value: String,
        /// What is expected, or why it is refused.
        problem: String,
    },
    /// Two settings are each fine and contradict each other.
    #[error("Configurations {name} and {other} contradict each other: {problem}")]
    Conflict {
        /// The first setting.
        name: &'static str,
        /// The second setting.
        other: &'static str,
        /// What is wrong with the pair.
        problem: String,
    },
}

impl ConfigError {
    /// The setting that is at fault.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { name, .. } => name,
            Self::Invalid { name, .. } | Self::Conflict { name, .. } => name,
        }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}

/// The candidate most like `name`, if one is near enough to be what was meant: a third of its letters may differ.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_ascii_lowercase()), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .map(|(_, candidate)| candidate)
}
