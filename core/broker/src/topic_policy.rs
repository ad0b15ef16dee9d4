//! Which topics there may be: asks the topic policy before the controller makes a change.
//!
//! A change is first judged by the controller's own rules, which also say what the topic would be; the policy sees only what is
//! valid, as in Kafka. What it sets is validated in the same way, and is its fault if it is not allowed. Then the controller is
//! asked. Changes take turns, so that each is judged by what the one before left.
//!
//! Not asked: about the internal topics, and about those that the configuration file declares, which are the operator's own
//! word as the policy is. Deleting is not a question either.

use std::collections::BTreeMap;
use std::sync::Arc;

use watershed_controller::{
    ConfigOp, ConfigTarget, Controller, ControllerError, CreatePartitions, CreateTopic, IncrementalAlter,
    ReplaceConfigs,
};
use watershed_hooks::{Client, Failure, Hook, TopicAction, TopicChange, TopicVerdict};
use watershed_metadata::configs::STORAGE_CONFIG;
use watershed_metadata::{ConfigMap, ConfigResource, MetadataImage, MetadataRecord, Topic};
use watershed_model::TopicId;
use watershed_policy::{Binding, OnError, wrong_hook};

use crate::apis::{each, is_internal};
use crate::{Broker, Random};

/// How much of what a policy says is told to a client, in bytes.
const REASON_BYTES_MAX: usize = 1024;

/// The policy, and whose turn it is.
pub(crate) struct TopicPolicy {
    binding: Binding,
    turn: tokio::sync::Mutex<()>,
}

impl TopicPolicy {
    pub(crate) fn new(binding: Binding) -> Self {
        Self { binding, turn: tokio::sync::Mutex::default() }
    }
}

/// A topic as it would be.
pub(crate) struct WouldBe {
    action: TopicAction,
    topic: String,
    partitions: u32,
    replication_factor: u32,
    configs: ConfigMap,
}

/// A change that the policy may have something to say to.
pub(crate) trait Subject: Clone + Send + 'static {
    /// The topic's name; `None` where no topic is concerned.
    fn topic(&self) -> Option<&str>;

    /// What the controller would make of the changes; `None` where no topic is concerned.
    fn would_be(rules: &Rules, changes: &[Self]) -> Vec<Result<Option<WouldBe>, ControllerError>>;

    /// The change with configs set in addition.
    ///
    /// # Errors
    /// It cannot have them.
    fn with_configs(self, rules: &Rules, configs: BTreeMap<String, String>) -> Result<Self, String>;
}

/// The controller's rules and what they are applied to.
pub(crate) struct Rules {
    controller: Controller,
    image: Arc<MetadataImage>,
    random: Random,
}

impl Rules {
    fn of(broker: &Broker) -> Self {
        Self {
            controller: Controller::new(broker.node_id, broker.fixed_config.clone()),
            image: broker.image(),
            random: Arc::clone(&broker.random),
        }
    }

    /// An existing topic with other configs or more partitions.
    fn existing(&self, action: TopicAction, topic: &Topic, partitions: i32, configs: ConfigMap) -> WouldBe {
        let replicas = self.image.partition(&topic.id(), 0).map_or(0, |partition| partition.replicas.len());
        WouldBe {
            action,
            topic: topic.name().to_string(),
            partitions: partitions.unsigned_abs(),
            replication_factor: u32::try_from(replicas).unwrap_or(u32::MAX),
            configs,
        }
    }

    /// Topics whose configs change by these records.
    fn altered<'a>(
        &self,
        targets: impl Iterator<Item = &'a ConfigTarget>,
        replies: Vec<Result<(), ControllerError>>,
        records: Vec<MetadataRecord>,
    ) -> Vec<Result<Option<WouldBe>, ControllerError>> {
        let mut changed: BTreeMap<TopicId, Vec<(String, Option<String>)>> = BTreeMap::new();
        for record in records {
            if let MetadataRecord::ConfigChanged { resource: ConfigResource::Topic(id), name, value } = record {
                changed.entry(id).or_default().push((name, value));
            }
        }
        let one = |(target, reply): (&ConfigTarget, Result<(), ControllerError>)| {
            let Some(name) = of_target(target) else { return Ok(None) };
            reply?;
            let Some(topic) = self.image.topic_by_name(name) else { return Ok(None) };
            let mut configs = topic.configs().clone();
            for (name, value) in changed.remove(&topic.id()).unwrap_or_default() {
                match value {
                    Some(value) => drop(configs.insert(name, value)),
                    None => drop(configs.remove(&name)),
                }
            }
            Ok(Some(self.existing(TopicAction::Alter, topic, topic.partition_count(), configs)))
        };
        targets.zip(replies).map(one).collect()
    }

    /// Where a topic's records are does not change while it exists.
    fn keep_storage(&self, target: &ConfigTarget, configs: &ConfigMap) -> Result<(), String> {
        let topic = of_target(target).and_then(|name| self.image.topic_by_name(name));
        let own = topic.and_then(|topic| topic.configs().get(STORAGE_CONFIG).cloned());
        match configs.get(STORAGE_CONFIG) {
            Some(wanted) if own.as_ref() != Some(wanted) => {
                Err(format!("{STORAGE_CONFIG} of an existing topic cannot change"))
            }
            _ => Ok(()),
        }
    }
}

impl Subject for CreateTopic {
    fn topic(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn would_be(rules: &Rules, changes: &[Self]) -> Vec<Result<Option<WouldBe>, ControllerError>> {
        let mut new_id = || TopicId((rules.random)());
        let replies = rules.controller.create_topics(&rules.image, changes, true, &mut new_id).reply;
        let one = |(topic, reply): (&Self, Result<_, _>)| {
            let created: watershed_controller::CreatedTopic = reply?;
            let configs = topic.configs.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
            Ok(Some(WouldBe {
                action: TopicAction::Create,
                topic: topic.name.clone(),
                partitions: created.partitions.unsigned_abs(),
                replication_factor: created.replication_factor.unsigned_abs().into(),
                configs: configs.collect(),
            }))
        };
        changes.iter().zip(replies).map(one).collect()
    }

    fn with_configs(mut self, _: &Rules, configs: BTreeMap<String, String>) -> Result<Self, String> {
        set(&mut self.configs, configs, Some);
        Ok(self)
    }
}

impl Subject for ReplaceConfigs {
    fn topic(&self) -> Option<&str> {
        of_target(&self.target)
    }

    fn would_be(rules: &Rules, changes: &[Self]) -> Vec<Result<Option<WouldBe>, ControllerError>> {
        let outcome = rules.controller.replace_configs(&rules.image, changes, false);
        rules.altered(changes.iter().map(|change| &change.target), outcome.reply, outcome.records)
    }

    fn with_configs(mut self, rules: &Rules, configs: BTreeMap<String, String>) -> Result<Self, String> {
        rules.keep_storage(&self.target, &configs)?;
        set(&mut self.configs, configs, Some);
        Ok(self)
    }
}

impl Subject for IncrementalAlter {
    fn topic(&self) -> Option<&str> {
        of_target(&self.target)
    }

    fn would_be(rules: &Rules, changes: &[Self]) -> Vec<Result<Option<WouldBe>, ControllerError>> {
        let outcome = rules.controller.incremental_alter_configs(&rules.image, changes, false);
        rules.altered(changes.iter().map(|change| &change.target), outcome.reply, outcome.records)
    }

    fn with_configs(mut self, rules: &Rules, configs: BTreeMap<String, String>) -> Result<Self, String> {
        rules.keep_storage(&self.target, &configs)?;
        set(&mut self.ops, configs, ConfigOp::Set);
        Ok(self)
    }
}

impl Subject for CreatePartitions {
    fn topic(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn would_be(rules: &Rules, changes: &[Self]) -> Vec<Result<Option<WouldBe>, ControllerError>> {
        let replies = rules.controller.create_partitions(&rules.image, changes, true).reply;
        let one = |(change, reply): (&Self, Result<(), _>)| {
            reply?;
            let topic = rules.image.topic_by_name(&change.name);
            Ok(topic.map(|topic| rules.existing(TopicAction::Grow, topic, change.count, topic.configs().clone())))
        };
        changes.iter().zip(replies).map(one).collect()
    }

    /// Configs that the topic has already are no change.
    fn with_configs(self, rules: &Rules, configs: BTreeMap<String, String>) -> Result<Self, String> {
        let topic = rules.image.topic_by_name(&self.name);
        let has = |name: &String, value: &String| topic.is_some_and(|topic| topic.configs().get(name) == Some(value));
        match configs.iter().find(|(name, value)| !has(name, value)) {
            Some((name, _)) => Err(format!("it sets {name}, and configs cannot be set where partitions are added")),
            None => Ok(self),
        }
    }
}

fn of_target(target: &ConfigTarget) -> Option<&str> {
    match target {
        ConfigTarget::Topic(name) => Some(name),
        ConfigTarget::Broker(_) | ConfigTarget::BrokerDefault | ConfigTarget::Group(_) => None,
    }
}

/// Sets configs in a list, in addition or instead of what it has under their names.
fn set<T>(list: &mut Vec<(String, T)>, configs: BTreeMap<String, String>, value: impl Fn(String) -> T) {
    list.retain(|(name, _)| !configs.contains_key(name));
    list.extend(configs.into_iter().map(|(name, text)| (name, value(text))));
}

/// Who asks, so that it can be named on another thread.
struct Asker {
    principal: String,
    client_id: String,
    listener: String,
    host: String,
}

impl Asker {
    fn of(client: &Client<'_>) -> Self {
        let Client { principal, client_id, listener, host } = client;
        Self {
            principal: (*principal).to_owned(),
            client_id: (*client_id).to_owned(),
            listener: (*listener).to_owned(),
            host: (*host).to_owned(),
        }
    }

    fn client(&self) -> Client<'_> {
        Client { principal: &self.principal, client_id: &self.client_id, listener: &self.listener, host: &self.host }
    }
}

/// Has changes made that the policy lets pass: each as it was made, and what became of it. `act` asks the controller.
pub(crate) async fn judged<T, R, F>(
    broker: &Broker,
    client: &Client<'_>,
    changes: Vec<T>,
    act: impl FnOnce(Vec<T>) -> F,
) -> Vec<(T, Result<R, ControllerError>)>
where
    T: Subject,
    R: Send + 'static,
    F: Future<Output = Result<Vec<Result<R, ControllerError>>, ControllerError>>,
{
    let is_asked = |change: &T| change.topic().is_some_and(|name| !is_internal(name));
    let Some(policy) = broker.topic_policy.as_ref().filter(|_| changes.iter().any(is_asked)) else {
        let replies = each(act(changes.clone()).await);
        return changes.into_iter().zip(replies).collect();
    };
    let _turn = policy.turn.lock().await;
    let judged = ask_all(broker, &policy.binding, client, changes).await;
    let pass: Vec<T> = judged.iter().filter(|(_, verdict)| verdict.is_ok()).map(|(change, _)| change.clone()).collect();
    let mut replies = each(act(pass).await);
    let one = |(change, verdict): (T, Result<(), ControllerError>)| {
        let reply = verdict.and_then(|()| replies.next().expect("the controller answers every item"));
        (change, reply)
    };
    judged.into_iter().map(one).collect()
}

/// Asks the policy about each change, on a thread that serves no connections: the changes as they may be made, or why not.
async fn ask_all<T: Subject>(
    broker: &Broker,
    binding: &Binding,
    client: &Client<'_>,
    changes: Vec<T>,
) -> Vec<(T, Result<(), ControllerError>)> {
    let (rules, asker, asked) = (Rules::of(broker), Asker::of(client), binding.clone());
    let kept = changes.clone();
    let judge = move || {
        let would_be = T::would_be(&rules, &changes);
        let one = |(change, would_be): (T, Result<Option<WouldBe>, ControllerError>)| match would_be {
            Ok(Some(topic)) if !is_internal(&topic.topic) => ask(&rules, &asked, &asker, change, &topic),
            Ok(_) => (change, Ok(())),
            Err(error) => (change, Err(error)),
        };
        changes.into_iter().zip(would_be).map(one).collect()
    };
    match broker.on_plugin_pool(judge).await {
        Ok(judged) => judged,
        Err(reason) => {
            let open =
                binding.is_shadow() || binding.plugin().is_some_and(|plugin| *plugin.on_error() == OnError::Open);
            tracing::error!(plugin = binding.name(), reason, open, "the topic policy did not end as it should");
            let verdict = if open { Ok(()) } else { Err(failed(binding, &reason)) };
            kept.into_iter().map(|change| (change, verdict.clone())).collect()
        }
    }
}

fn failed(binding: &Binding, reason: &str) -> ControllerError {
    violation(format!("the topic policy {} failed: {reason}", binding.name()))
}

fn violation(mut reason: String) -> ControllerError {
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    ControllerError::PolicyViolation(reason)
}

/// What the policy says to a change.
enum Judged<T> {
    Accepted,
    /// With other configs than it asked for.
    Changed(T),
    Refused(String),
}

fn ask<T: Subject>(
    rules: &Rules,
    binding: &Binding,
    asker: &Asker,
    change: T,
    topic: &WouldBe,
) -> (T, Result<(), ControllerError>) {
    let client = asker.client();
    let question = TopicChange {
        action: topic.action,
        topic: &topic.topic,
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        configs: &topic.configs,
        client,
    };
    let asked = change.clone();
    let answer = binding.ask(&client, 0, |hook| match hook {
        Hook::TopicPolicy(policy) => match policy.judge(&question)? {
            TopicVerdict::Accept => Ok(Judged::Accepted),
            TopicVerdict::AcceptWith(configs) => overridden(rules, asked, configs),
            TopicVerdict::Refuse(reason) => Ok(Judged::Refused(reason)),
        },
        other => Err(wrong_hook(other)),
    });
    let (verdict, outcome) = match answer {
        Ok(None | Some(Judged::Accepted)) => return (change, Ok(())),
        Ok(Some(Judged::Changed(new))) => ("override", (new, Ok(()))),
        Ok(Some(Judged::Refused(reason))) => ("refuse", (change.clone(), Err(violation(reason)))),
        Err(error) => return (change, Err(failed(binding, &error.reason))),
    };
    binding.count_verdicts(verdict, 1);
    let (name, action, shadow) = (&topic.topic, topic.action.name(), binding.is_shadow());
    tracing::debug!(
        plugin = binding.name(),
        topic = name,
        action,
        verdict,
        shadow,
        "the topic policy has something to say"
    );
    if shadow { (change, Ok(())) } else { outcome }
}

/// A change with the policy's configs, if it may have them. That belongs to the call: it is the plugin's fault otherwise.
fn overridden<T: Subject>(rules: &Rules, change: T, configs: BTreeMap<String, String>) -> Result<Judged<T>, Failure> {
    let wrong = |reason: String| Failure::wrong_answer(format!("it set configs that the topic cannot have: {reason}"));
    if configs.is_empty() {
        return Ok(Judged::Accepted);
    }
    let changed = change.with_configs(rules, configs).map_err(wrong)?;
    match T::would_be(rules, std::slice::from_ref(&changed)).pop() {
        Some(Err(error)) => Err(wrong(error.to_string())),
        _ => Ok(Judged::Changed(changed)),
    }
}
