//! Configs of topics and brokers: read and change.

use watershed_protocol::messages::describe_configs::DescribeConfigsResource;
use watershed_protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use watershed_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::Admin;
use super::topics::no_result;
use crate::{ClientError, Connection, Lane};
use std::sync::Arc;
use watershed_model::BrokerId;

/// What a config belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// The default of all brokers.
    AllBrokers,
}

impl ConfigResource {
    const fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) | Self::AllBrokers => 4,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topic(name) => name.clone(),
            Self::Broker(id) => id.to_string(),
            Self::AllBrokers => String::new(),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Topic(name) => format!("the configs of topic {name:?}"),
            Self::Broker(id) => format!("the configs of broker {id}"),
            Self::AllBrokers => "the default configs of brokers".into(),
        }
    }
}

/// Where a config's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on this broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run.
    DynamicDefaultBroker,
    /// In the broker's file.
    StaticBroker,
    /// Nobody set it.
    Default,
    /// Something else, by its number in the protocol.
    Other(i8),
}

impl ConfigSource {
    const fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Topic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            other => Self::Other(other),
        }
    }

    /// A short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::DynamicBroker => "broker (dynamic)",
            Self::DynamicDefaultBroker => "all brokers (dynamic)",
            Self::StaticBroker => "broker (file)",
            Self::Default => "default",
            Self::Other(_) => "other",
        }
    }
}

/// A config and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The config's name.
    pub name: String,
    /// Its value; `None` where it has none or is secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed.
    pub read_only: bool,
    /// Whether its value is secret.
    pub sensitive: bool,
}

/// A change of a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlterOp {
    /// Sets it.
    Set(String),
    /// Takes the setting away, so that the default holds.
    Delete,
    /// Adds to a list.
    Append(String),
    /// Takes out of a list.
    Subtract(String),
}

impl AlterOp {
    fn parts(&self) -> (i8, Option<&str>) {
        match self {
            Self::Set(value) => (0, Some(value)),
            Self::Delete => (1, None),
            Self::Append(value) => (2, Some(value)),
            Self::Subtract(value) => (3, Some(value)),
        }
    }
}

impl Admin {
    /// Where a request about a resource goes: a broker answers for itself.
    async fn config_broker(&self, resource: &ConfigResource) -> Result<Arc<Connection>, ClientError> {
        match resource {
            ConfigResource::Broker(id) => self.client.broker(*id, Lane::Control).await,
            ConfigResource::Topic(_) | ConfigResource::AllBrokers => self.client.any_broker().await,
        }
    }

    /// All configs of a resource, or those named.
    ///
    /// # Errors
    /// The broker's refusal, such as `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
        names: Option<&[String]>,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name().as_str().into(),
                configuration_keys: names.map(|names| names.iter().map(|n| n.as_str().into()).collect()),
            }],
            ..DescribeConfigsRequest::default()
        };
        let what = resource.describe();
        let response =
            self.client.retry(&what, || async { self.config_broker(resource).await?.call(&request).await }).await?;
        let result = response.results.first().ok_or_else(|| no_result(&what))?;
        let message = result.error_message.as_deref();
        ClientError::check(result.error_code, message, || what.clone())?;
        let entries = result.configs.iter().map(|c| ConfigEntry {
            name: c.name.to_string(),
            value: c.value.as_ref().map(ToString::to_string),
            source: ConfigSource::from_code(c.config_source),
            read_only: c.read_only,
            sensitive: c.is_sensitive,
        });
        Ok(entries.collect())
    }

    /// Changes some configs of a resource; the others stay (KIP-339).
    ///
    /// # Errors
    /// The broker's refusal, such as `INVALID_CONFIG`.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[(String, AlterOp)],
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let configs = changes.iter().map(|(name, op)| {
            let (operation, value) = op.parts();
            AlterableConfig { name: name.as_str().into(), config_operation: operation, value: value.map(Into::into) }
        });
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name().as_str().into(),
                configs: configs.collect(),
            }],
            validate_only,
        };
        let what = format!("changing {}", resource.describe());
        let response =
            self.client.retry(&what, || async { self.config_broker(resource).await?.call(&request).await }).await?;
        let result = response.responses.first().ok_or_else(|| no_result(&what))?;
        let message = result.error_message.as_deref();
        ClientError::check(result.error_code, message, || what.clone())
    }
}
