//! DescribeConfigs, of topics, of this broker and of groups (KIP-133, KIP-226, KIP-569).

use watershed_metadata::configs::{self, ConfigEntry};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::{Call, check_topic_name};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
/// The first version that carries types and documentation.
const TYPES_SINCE: i16 = 3;

/// Every type that Kafka 4.2 knows.
const TYPES: [i8; 5] = [TOPIC, BROKER, 8, 16, GROUP];

pub(super) async fn handle(call: &Call<'_>, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    // One type that nobody knows makes the whole request wrong.
    if let Some(unknown) = request.resources.iter().map(|resource| resource.resource_type).find(|t| !TYPES.contains(t))
    {
        return refused(&request, &format!("Unexpected resource type {unknown}."));
    }
    let results = request.resources.iter().map(|resource| {
        let described = match resource.resource_type {
            TOPIC => topic(call, resource),
            BROKER => broker(call, resource),
            GROUP => group(call, resource),
            _ => {
                Err((ErrorCode::InvalidRequest, Some(format!("Unsupported resource type: {}", resource.resource_type))))
            }
        };
        let (code, message, entries) = match described {
            Ok(entries) => (ErrorCode::None, None, entries),
            Err((code, message)) => (code, message, Vec::new()),
        };
        let wanted = |entry: &ConfigEntry| {
            let keys = resource.configuration_keys.as_ref();
            keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key == entry.name))
        };
        let entries = entries.into_iter().filter(wanted);
        DescribeConfigsResult {
            error_code: code.into(),
            error_message: message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs: entries.map(|entry| answer(call.version, &request, entry)).collect(),
        }
    });
    DescribeConfigsResponse { throttle_time_ms: 0, results: results.collect() }
}

fn refused(request: &DescribeConfigsRequest, message: &str) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| DescribeConfigsResult {
        error_code: ErrorCode::InvalidRequest.into(),
        error_message: Some(message.to_owned()),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs: Vec::new(),
    });
    DescribeConfigsResponse { throttle_time_ms: 0, results: results.collect() }
}

type Described = Result<Vec<ConfigEntry>, (ErrorCode, Option<String>)>;

fn topic(call: &Call<'_>, resource: &DescribeConfigsResource) -> Described {
    check_topic_name(&resource.resource_name).map_err(|(code, message)| (code, Some(message)))?;
    let image = call.broker.image();
    let topic = image.topic_by_name(&resource.resource_name).ok_or((ErrorCode::UnknownTopicOrPartition, None))?;
    Ok(configs::describe_topic(&call.broker.config(), topic.configs()))
}

fn broker(call: &Call<'_>, resource: &DescribeConfigsResource) -> Described {
    let config = call.broker.config();
    let name = &resource.resource_name;
    if name.is_empty() {
        return Ok(configs::describe_broker_defaults(&config));
    }
    let own = call.broker.node_id();
    let invalid = |message| Err((ErrorCode::InvalidRequest, Some(message)));
    match name.parse::<i32>() {
        Ok(id) if id == own.0 => Ok(configs::describe_broker(&config)),
        Ok(_) => invalid(format!("Unexpected broker id, expected {own} or empty string, but received {name}")),
        Err(_) => invalid(format!("Broker id must be an integer, but it is: {name}")),
    }
}

/// A group's configs, whether there is such a group or not.
fn group(call: &Call<'_>, resource: &DescribeConfigsResource) -> Described {
    if resource.resource_name.is_empty() {
        return Err((ErrorCode::InvalidRequest, Some("Group name must not be empty".to_owned())));
    }
    let image = call.broker.image();
    Ok(configs::describe_group(&call.broker.config(), image.group_configs(&resource.resource_name)))
}

fn answer(version: i16, request: &DescribeConfigsRequest, entry: ConfigEntry) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.into_iter().filter(|_| request.include_synonyms);
    DescribeConfigsResourceResult {
        name: entry.name.to_owned(),
        value: entry.value.filter(|_| !entry.sensitive),
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.sensitive,
        synonyms: synonyms
            .map(|link| DescribeConfigsSynonym {
                name: link.name.to_owned(),
                value: link.value.filter(|_| !entry.sensitive),
                source: link.source.code(),
            })
            .collect(),
        config_type: if version >= TYPES_SINCE { entry.kind.code() } else { 0 },
        documentation: request.include_documentation.then(|| entry.doc.to_owned()).filter(|_| version >= TYPES_SINCE),
    }
}
