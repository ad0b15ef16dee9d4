//! A native plugin: an interceptor that refuses records that are larger than its setting `bytes_max`.
//!
//! It compiles against `watershed-hooks` alone. [`SizeLimitFactory`] is what a broker is given; `examples/broker.rs` is one.

use watershed_hooks::{
    Batch, Environment, Failure, Hook, HookKind, Interceptor, PluginError, PluginFactory, Reads, Settings, Verdict,
};

/// The name by which `watershed.interceptors` binds it.
pub const NAME: &str = "size-limit";

const BYTES_MAX: &str = "bytes_max";

/// An instance: asked once for each batch, by one thread at a time.
#[derive(Debug)]
struct SizeLimit {
    /// The largest record that enters: key, value and headers together, in bytes.
    bytes_max: u32,
}

impl Interceptor for SizeLimit {
    fn reads(&self) -> &Reads {
        // Sizes are known without any column.
        &Reads::NOTHING
    }

    fn intercept(&mut self, batch: &Batch<'_>, verdicts: &mut Vec<Verdict>) -> Result<(), Failure> {
        verdicts.extend(batch.record_bytes().iter().map(|bytes| match *bytes {
            bytes if bytes <= self.bytes_max => Verdict::Keep,
            bytes => Verdict::Reject(format!(
                "a record of {bytes} bytes; {} may have at most {}",
                batch.topic(),
                self.bytes_max
            )),
        }));
        Ok(())
    }
}

/// Makes the instances.
#[derive(Clone, Copy, Debug)]
pub struct SizeLimitFactory;

impl SizeLimitFactory {
    fn bytes_max(self, settings: &Settings) -> Result<u32, PluginError> {
        if let Some(unknown) = settings.keys().find(|name| *name != BYTES_MAX) {
            return Err(PluginError::UnknownSetting {
                plugin: NAME.to_owned(),
                setting: unknown.clone(),
                known: BYTES_MAX.to_owned(),
            });
        }
        let found = settings.get(BYTES_MAX);
        let number = found.and_then(|value| value.as_u64()).and_then(|bytes| u32::try_from(bytes).ok());
        number.ok_or_else(|| PluginError::BadSetting {
            plugin: NAME.to_owned(),
            setting: BYTES_MAX.to_owned(),
            expected: format!("a number of bytes from 0 to {}", u32::MAX),
            found: found.map_or_else(|| "nothing".to_owned(), ToString::to_string),
        })
    }
}

impl PluginFactory for SizeLimitFactory {
    fn name(&self) -> &str {
        NAME
    }

    fn hook(&self) -> HookKind {
        HookKind::Interceptor
    }

    fn validate(&self, settings: &Settings) -> Result<(), PluginError> {
        self.bytes_max(settings).map(drop)
    }

    fn create(&self, settings: &Settings, _environment: &Environment) -> Result<Hook, PluginError> {
        Ok(Hook::Interceptor(Box::new(SizeLimit { bytes_max: self.bytes_max(settings)? })))
    }

    fn close(&self) {
        // Instances share nothing.
    }
}
