//! Configs of topics, brokers and groups: incremental changes and whole replacements.
//!
//! A resource changes as a whole or not at all. What is checked is the result, not the change: all of a
//! resource's configs must be valid together.

use std::collections::BTreeSet;

use watershed_metadata::configs::{
    BrokerConfig, ConfigError, ConfigKind, FLUSH_CONFIG, STORAGE_CONFIG, broker_config_def, group_config_def,
    topic_config_def, topic_value, validate_broker_dynamic, validate_group_all, validate_topic_all,
};
use watershed_metadata::{ConfigMap, ConfigResource, MetadataImage, MetadataRecord, is_internal_topic};
use watershed_model::limits::{CONFIG_VALUE_BYTES_MAX, GROUP_ID_BYTES_MAX};

use super::{Controller, Outcome, Work, duplicates, too_many};
use crate::ControllerError::{InvalidConfig, InvalidRequest, UnknownTopic};
use crate::{ConfigOp, ConfigTarget, ControllerError, IncrementalAlter, ReplaceConfigs};

/// One reply per resource.
type Replies = Vec<Result<(), ControllerError>>;

impl Controller {
    /// Changes single configs (IncrementalAlterConfigs, KIP-339).
    #[must_use]
    pub fn incremental_alter_configs(
        &self,
        image: &MetadataImage,
        alterations: &[IncrementalAlter],
        validate_only: bool,
    ) -> Outcome<Replies> {
        if let Some(error) = too_many(alterations.iter().map(|alteration| 1 + alteration.ops.len()).sum()) {
            return Work::refused(alterations.len(), error);
        }
        let duplicate = duplicates(alterations, |alteration| alteration.target.clone());
        let mut work = Work::new(image);
        let replies = alterations
            .iter()
            .zip(duplicate)
            .map(|(alteration, duplicate)| {
                check_names(duplicate, alteration.ops.iter().map(|(name, _)| name))?;
                self.alter(&mut work, alteration)
            })
            .collect();
        work.finish(replies, validate_only)
    }

    /// Replaces all configs of resources (AlterConfigs).
    #[must_use]
    pub fn replace_configs(
        &self,
        image: &MetadataImage,
        replacements: &[ReplaceConfigs],
        validate_only: bool,
    ) -> Outcome<Replies> {
        if let Some(error) = too_many(replacements.iter().map(|replacement| 1 + replacement.configs.len()).sum()) {
            return Work::refused(replacements.len(), error);
        }
        let duplicate = duplicates(replacements, |replacement| replacement.target.clone());
        let mut work = Work::new(image);
        let replies = replacements
            .iter()
            .zip(duplicate)
            .map(|(replacement, duplicate)| {
                check_names(duplicate, replacement.configs.iter().map(|(name, _)| name))?;
                self.replace(&mut work, replacement)
            })
            .collect();
        work.finish(replies, validate_only)
    }

    fn alter(&self, work: &mut Work, alteration: &IncrementalAlter) -> Result<(), ControllerError> {
        let (resource, before) = current(&work.image, &alteration.target)?;
        let fixed = fixed_configs(&alteration.target, &before);
        let mut after = before.clone();
        for (name, op) in &alteration.ops {
            match op {
                ConfigOp::Set(value) => drop(after.insert(name.clone(), value.clone())),
                ConfigOp::Delete if fixed.contains_key(name) => return Err(stays(name)),
                ConfigOp::Delete => drop(after.remove(name)),
                ConfigOp::Append(items) | ConfigOp::Subtract(items) => {
                    let append = matches!(op, ConfigOp::Append(_));
                    let list =
                        self.list(&work.image, &resource, &after, name, if append { "APPEND" } else { "SUBTRACT" })?;
                    // As in Kafka, commas at the end mean nothing, and nothing at all is an empty item.
                    let items = items.trim_end_matches(',').split(',').map(str::trim);
                    after.insert(name.clone(), edited(list, items, append));
                }
            }
        }
        keep(&fixed, &mut after)?;
        self.change(work, resource, &before, &after)
    }

    fn replace(&self, work: &mut Work, replacement: &ReplaceConfigs) -> Result<(), ControllerError> {
        let nulls: Vec<&str> =
            replacement.configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
        if !nulls.is_empty() {
            return Err(InvalidRequest(format!("Null value not supported for : {}", nulls.join(", "))));
        }
        let (resource, before) = current(&work.image, &replacement.target)?;
        let mut after =
            replacement.configs.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
        keep(&fixed_configs(&replacement.target, &before), &mut after)?;
        self.change(work, resource, &before, &after)
    }

    /// Checks what a resource's configs would be and writes the records for what differs.
    fn change(
        &self,
        work: &mut Work,
        resource: ConfigResource,
        before: &ConfigMap,
        after: &ConfigMap,
    ) -> Result<(), ControllerError> {
        check_sizes(after)?;
        match &resource {
            ConfigResource::Topic(_) => {
                let broker = self.broker_config(&work.image)?;
                check_topic(&broker, after)?;
                check_storage_stays(&broker, before, after)?;
            }
            ConfigResource::Broker(_) | ConfigResource::BrokerDefault => {
                self.check_broker(&work.image, &resource, before, after)?;
            }
            ConfigResource::Group(_) => {
                let broker = self.broker_config(&work.image)?;
                validate_group_all(&broker, after).map_err(invalid)?;
            }
        }
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            if before.get(name) != after.get(name) {
                let (name, value) = (name.clone(), after.get(name).cloned());
                work.emit(MetadataRecord::ConfigChanged { resource: resource.clone(), name, value });
            }
        }
        Ok(())
    }

    fn check_broker(
        &self,
        image: &MetadataImage,
        resource: &ConfigResource,
        before: &ConfigMap,
        after: &ConfigMap,
    ) -> Result<(), ControllerError> {
        for (name, value) in after {
            if before.get(name) != Some(value) {
                validate_broker_dynamic(name, value).map_err(|error| not_for_broker(vec![error]))?;
            }
        }
        // A value can be fine alone and contradict this node's file; other nodes check theirs when they apply it.
        let own =
            if *resource == ConfigResource::Broker(self.node) { after } else { image.broker_configs(Some(self.node)) };
        let cluster = if *resource == ConfigResource::BrokerDefault { after } else { image.broker_configs(None) };
        self.config.with_dynamic(own.clone(), cluster.clone()).map_err(not_for_broker)?;
        Ok(())
    }

    /// The items of a config that is a list: its own or, where it is not set, those of its default.
    fn list(
        &self,
        image: &MetadataImage,
        resource: &ConfigResource,
        configs: &ConfigMap,
        name: &str,
        op: &str,
    ) -> Result<Vec<String>, ControllerError> {
        let topic = matches!(resource, ConfigResource::Topic(_));
        let def = match resource {
            ConfigResource::Topic(_) => topic_config_def(name),
            ConfigResource::Broker(_) | ConfigResource::BrokerDefault => broker_config_def(name),
            ConfigResource::Group(_) => group_config_def(name),
        };
        let Some(def) = def.filter(|def| def.kind == ConfigKind::List) else {
            return Err(InvalidConfig(format!("Can't {op} to key {name} because its type is not LIST.")));
        };
        let text = match configs.get(name) {
            Some(value) => value.clone(),
            None if topic => topic_value(&self.broker_config(image)?, configs, name)
                .map_err(|error| invalid(vec![error]))?
                .map(|value| value.to_string())
                .unwrap_or_default(),
            None => def.default.unwrap_or_default().to_owned(),
        };
        Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }
}

/// A list with items added or taken away, as text.
fn edited<'a>(mut list: Vec<String>, items: impl Iterator<Item = &'a str>, append: bool) -> String {
    for item in items {
        let position = list.iter().position(|known| known == item);
        match (append, position) {
            (true, None) => list.push(item.to_owned()),
            (false, Some(position)) => drop(list.remove(position)),
            (true, Some(_)) | (false, None) => {}
        }
    }
    list.join(",")
}

/// A resource and its configs now.
fn current(image: &MetadataImage, target: &ConfigTarget) -> Result<(ConfigResource, ConfigMap), ControllerError> {
    match target {
        ConfigTarget::Topic(name) if name.is_empty() => {
            Err(InvalidRequest("Default topic resources are not allowed.".to_owned()))
        }
        ConfigTarget::Topic(name) => {
            super::topics::check_topic_name(name)?;
            let topic = image.topic_by_name(name).ok_or_else(|| UnknownTopic(name.clone()))?;
            Ok((ConfigResource::Topic(topic.id()), topic.configs().clone()))
        }
        ConfigTarget::Broker(broker) if broker.0 < 0 => Err(InvalidRequest("Invalid negative broker ID.".to_owned())),
        ConfigTarget::Broker(broker) if image.broker(*broker).is_none() => Err(ControllerError::UnknownBroker(*broker)),
        ConfigTarget::Broker(broker) => {
            Ok((ConfigResource::Broker(*broker), image.broker_configs(Some(*broker)).clone()))
        }
        ConfigTarget::BrokerDefault => Ok((ConfigResource::BrokerDefault, image.broker_configs(None).clone())),
        ConfigTarget::Group(group_id) if group_id.is_empty() => {
            Err(InvalidRequest("Default group resources are not allowed.".to_owned()))
        }
        ConfigTarget::Group(group_id) if group_id.len() > GROUP_ID_BYTES_MAX => {
            Err(InvalidRequest(format!("A group id of {} bytes is longer than {GROUP_ID_BYTES_MAX}.", group_id.len())))
        }
        ConfigTarget::Group(group_id) => {
            Ok((ConfigResource::Group(group_id.clone()), image.group_configs(group_id).clone()))
        }
    }
}

/// Each resource once in a request, and each of its configs once.
fn check_names<'a>(duplicate: bool, names: impl Iterator<Item = &'a String>) -> Result<(), ControllerError> {
    if duplicate {
        return Err(InvalidRequest("Each resource must appear at most once.".to_owned()));
    }
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() {
            return Err(InvalidConfig("A config has no name.".to_owned()));
        }
        if !seen.insert(name) {
            return Err(InvalidRequest("Error due to duplicate config keys".to_owned()));
        }
    }
    Ok(())
}

/// No value is longer than Kafka allows.
pub(super) fn check_sizes(configs: &ConfigMap) -> Result<(), ControllerError> {
    match configs.iter().find(|(_, value)| value.len() > CONFIG_VALUE_BYTES_MAX) {
        Some((name, value)) => Err(InvalidConfig(format!(
            "The configuration value of {name} cannot be added because its {} bytes exceed the maximum value size of \
             {CONFIG_VALUE_BYTES_MAX} bytes.",
            value.len()
        ))),
        None => Ok(()),
    }
}

/// All of a topic's configs are valid together on this broker.
pub(super) fn check_topic(broker: &BrokerConfig, configs: &ConfigMap) -> Result<(), ControllerError> {
    validate_topic_all(broker, configs).map_err(invalid)
}

/// The configs of an internal topic that it was created with and that never change; of any other resource none.
fn fixed_configs(target: &ConfigTarget, configs: &ConfigMap) -> ConfigMap {
    let internal = matches!(target, ConfigTarget::Topic(name) if is_internal_topic(name));
    let fixed = |name: &String| internal && [STORAGE_CONFIG, FLUSH_CONFIG].contains(&name.as_str());
    configs.iter().filter(|(name, _)| fixed(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Puts an internal topic's fixed configs where they were left out, and refuses other values.
pub(super) fn keep(fixed: &ConfigMap, configs: &mut ConfigMap) -> Result<(), ControllerError> {
    for (name, value) in fixed {
        if configs.entry(name.clone()).or_insert_with(|| value.clone()).trim() != value {
            return Err(stays(name));
        }
    }
    Ok(())
}

fn stays(name: &str) -> ControllerError {
    InvalidConfig(format!("{name} of an internal topic cannot be chosen: its records have to survive."))
}

/// A topic's records stay in the storage they were written to.
fn check_storage_stays(broker: &BrokerConfig, before: &ConfigMap, after: &ConfigMap) -> Result<(), ControllerError> {
    let storage = |configs| topic_value(broker, configs, STORAGE_CONFIG).map_err(|error| invalid(vec![error]));
    if storage(before)? == storage(after)? {
        return Ok(());
    }
    Err(InvalidConfig(format!(
        "{STORAGE_CONFIG} of an existing topic cannot change: create another topic with it and copy the records."
    )))
}

/// What is wrong with a broker's configs: Kafka calls that a wrong request, where a topic's are a wrong config.
fn not_for_broker(errors: Vec<ConfigError>) -> ControllerError {
    InvalidRequest(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// The domain's form of what is wrong with configs.
pub(super) fn invalid(errors: Vec<ConfigError>) -> ControllerError {
    InvalidConfig(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}
