//! Reading a plugin's settings strictly: an unknown name or a wrong type is an error, never a guess.

use std::num::NonZeroU32;

use watershed_hooks::{PluginError, Settings};

/// Checks that there are no settings but the `known` ones.
pub(crate) fn only(plugin: &str, settings: &Settings, known: &[&str]) -> Result<(), PluginError> {
    match settings.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(PluginError::UnknownSetting {
            plugin: plugin.to_owned(),
            setting: unknown.clone(),
            known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
        }),
    }
}

/// A number from 1 to 2^32-1.
pub(crate) fn positive(
    plugin: &str,
    settings: &Settings,
    name: &str,
    default: NonZeroU32,
) -> Result<NonZeroU32, PluginError> {
    let Some(value) = settings.get(name) else {
        return Ok(default);
    };
    let number = value.as_u64().and_then(|n| u32::try_from(n).ok()).and_then(NonZeroU32::new);
    number.ok_or_else(|| PluginError::BadSetting {
        plugin: plugin.to_owned(),
        setting: name.to_owned(),
        expected: format!("a number from 1 to {}", u32::MAX),
        found: value.to_string(),
    })
}
