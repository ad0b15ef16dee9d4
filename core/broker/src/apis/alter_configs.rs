//! AlterConfigs, which replaces a resource's configs, and IncrementalAlterConfigs, which changes single ones (KIP-339).

use watershed_controller::{ConfigOp, ConfigTarget, ControllerError, IncrementalAlter, ReplaceConfigs};
use watershed_metadata::configs::STORAGE_CONFIG;
use watershed_model::BrokerId;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::{alter_configs as plain, incremental_alter_configs as steps};

use super::{Call, is_internal};
use crate::errors::controller_code;
use crate::topic_policy;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// A refusal: code and message.
type Refusal = (ErrorCode, String);

pub(super) async fn replace(call: &Call<'_>, request: plain::AlterConfigsRequest) -> plain::AlterConfigsResponse {
    let mut items: Vec<Item<ReplaceConfigs>> = Vec::new();
    for resource in request.resources {
        let configs: Vec<_> = resource.configs.into_iter().map(|config| (config.name, config.value)).collect();
        let storage = configs.iter().find(|(name, _)| name == STORAGE_CONFIG).map(|(_, value)| value.as_deref());
        let work = target(call, resource.resource_type, &resource.resource_name)
            .and_then(|target| keep_storage(call, &target, Some(storage.flatten())).map(|()| target))
            .map(|target| ReplaceConfigs { target, configs });
        items.push(Item { kind: resource.resource_type, name: resource.resource_name, work });
    }
    let (items, work) = split(items);
    let replace = |work| call.broker.controller().replace_configs(work, request.validate_only);
    let replies = topic_policy::judged(call.broker, &call.hook_client(), work, replace).await;
    let responses = join(items, replies).into_iter().map(|answer| plain::AlterConfigsResourceResponse {
        error_code: answer.code.into(),
        error_message: answer.message,
        resource_type: answer.kind,
        resource_name: answer.name,
    });
    plain::AlterConfigsResponse { throttle_time_ms: 0, responses: responses.collect() }
}

pub(super) async fn incremental(
    call: &Call<'_>,
    request: steps::IncrementalAlterConfigsRequest,
) -> steps::IncrementalAlterConfigsResponse {
    let mut items: Vec<Item<IncrementalAlter>> = Vec::new();
    for resource in request.resources {
        let ops: Result<Vec<_>, Refusal> = resource.configs.into_iter().map(operation).collect();
        let work = target(call, resource.resource_type, &resource.resource_name).and_then(|target| {
            let ops = ops?;
            for (name, op) in &ops {
                if name == STORAGE_CONFIG {
                    let value = if let ConfigOp::Set(value) = op { Some(value.as_str()) } else { None };
                    keep_storage(call, &target, Some(value))?;
                }
            }
            Ok(IncrementalAlter { target, ops })
        });
        items.push(Item { kind: resource.resource_type, name: resource.resource_name, work });
    }
    let (items, work) = split(items);
    let alter = |work| call.broker.controller().incremental_alter_configs(work, request.validate_only);
    let replies = topic_policy::judged(call.broker, &call.hook_client(), work, alter).await;
    let responses = join(items, replies).into_iter().map(|answer| steps::AlterConfigsResourceResponse {
        error_code: answer.code.into(),
        error_message: answer.message,
        resource_type: answer.kind,
        resource_name: answer.name,
    });
    steps::IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses: responses.collect() }
}

/// One resource of a request: what the controller is to do with it, or why it never gets there.
struct Item<T> {
    kind: i8,
    name: String,
    work: Result<T, Refusal>,
}

struct Answer {
    kind: i8,
    name: String,
    code: ErrorCode,
    message: Option<String>,
}

/// Takes the controller's share out; the refusals stay.
fn split<T>(items: Vec<Item<T>>) -> (Vec<Item<()>>, Vec<T>) {
    let mut work = Vec::new();
    let rest =
        items.into_iter().map(|item| Item { kind: item.kind, name: item.name, work: item.work.map(|w| work.push(w)) });
    (rest.collect(), work)
}

fn join<T>(items: Vec<Item<()>>, replies: Vec<(T, Result<(), ControllerError>)>) -> Vec<Answer> {
    let mut replies = replies.into_iter().map(|(_, reply)| reply);
    let answer = |item: Item<()>| {
        let (code, message) = match item.work {
            Err((code, message)) => (code, Some(message)),
            Ok(()) => match replies.next().expect("the controller answers every item") {
                Ok(()) => (ErrorCode::None, None),
                Err(error) => (controller_code(&error), Some(error.to_string())),
            },
        };
        Answer { kind: item.kind, name: item.name, code, message }
    };
    items.into_iter().map(answer).collect()
}

fn target(call: &Call<'_>, kind: i8, name: &str) -> Result<ConfigTarget, Refusal> {
    match kind {
        TOPIC => Ok(ConfigTarget::Topic(name.to_owned())),
        BROKER if name.is_empty() => Ok(ConfigTarget::BrokerDefault),
        BROKER => match name.parse() {
            Ok(id) if BrokerId(id) == call.broker.node_id() => Ok(ConfigTarget::Broker(BrokerId(id))),
            Ok(_) => {
                let own = call.broker.node_id();
                Err((ErrorCode::InvalidRequest, format!("Unexpected broker id, expected {own}, but received {name}.")))
            }
            Err(_) => Err((ErrorCode::InvalidRequest, format!("A broker's id is a number, not {name:?}."))),
        },
        GROUP => Ok(ConfigTarget::Group(name.to_owned())),
        BROKER_LOGGER | CLIENT_METRICS => {
            Err((ErrorCode::InvalidRequest, format!("Resources of type {kind} have no configs on this broker.")))
        }
        _ => Err((ErrorCode::InvalidRequest, format!("Unknown resource type {kind}."))),
    }
}

fn operation(config: steps::AlterableConfig) -> Result<(String, ConfigOp), Refusal> {
    let steps::AlterableConfig { name, config_operation, value } = config;
    let value = || value.ok_or_else(|| (ErrorCode::InvalidRequest, format!("Null value not supported for : {name}")));
    let op = match config_operation {
        0 => ConfigOp::Set(value()?),
        1 => ConfigOp::Delete,
        2 => ConfigOp::Append(value()?),
        3 => ConfigOp::Subtract(value()?),
        other => return Err((ErrorCode::InvalidRequest, format!("Unknown config operation {other} for {name}"))),
    };
    Ok((name, op))
}

/// Where a topic's records are does not change while it exists: refuses a change of the storage backend. `wanted` is the
/// value that would be set, `Some(None)` for the default.
fn keep_storage(call: &Call<'_>, target: &ConfigTarget, wanted: Option<Option<&str>>) -> Result<(), Refusal> {
    let (ConfigTarget::Topic(name), Some(wanted)) = (target, wanted) else { return Ok(()) };
    let image = call.broker.image();
    // The controller has a rule of its own for internal topics.
    let Some(topic) = image.topic_by_name(name).filter(|_| !is_internal(name)) else { return Ok(()) };
    let config = call.broker.config();
    let holds = call.broker.replicas().storage_of(topic, &config);
    let own = topic.configs().get(STORAGE_CONFIG);
    let next = match wanted {
        Some(wanted) => wanted.to_owned(),
        None if own.is_none() => return Ok(()),
        None => crate::topic::default_storage(&config),
    };
    if next == holds {
        return Ok(());
    }
    let message = format!(
        "Topic {name} is stored on {holds:?} and cannot move to {next:?} while it exists: create another topic with \
         {STORAGE_CONFIG}={next} and copy the records."
    );
    Err((ErrorCode::InvalidConfig, message))
}
