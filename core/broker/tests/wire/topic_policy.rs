//! A plugin that says which topics there may be. It is native; what the hosts of sandboxed ones add is tested there.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use watershed_hooks::{
    Environment, Failure, FaultKind, Hook, HookKind, PluginError, PluginFactory, Settings, TopicChange, TopicPolicy,
    TopicVerdict,
};
use watershed_model::{ManualClock, Timestamp};
use watershed_policy::{Binding, BindingState, OnError, Origin, Plugin, PluginParts, PluginSet};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use watershed_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult, CreateTopicsRequest,
};
use watershed_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use watershed_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use watershed_protocol::messages::{alter_configs, incremental_alter_configs as incremental};

use crate::stage::{Client, NOW, Stage, TOPIC, limits};

const TOPIC_TYPE: i8 = 2;
const VIOLATION: i16 = ErrorCode::PolicyViolation as i16;
const SET: i8 = 0;
const APPEND: i8 = 2;

type Questions = Arc<Mutex<Vec<String>>>;

/// Does what the topic's name or its `retention.ms` says, and remembers what it was asked.
struct Judge(Questions);

impl TopicPolicy for Judge {
    fn judge(&mut self, change: &TopicChange<'_>) -> Result<TopicVerdict, Failure> {
        let TopicChange { action, topic, partitions, replication_factor, configs, client } = change;
        let configs: Vec<String> = configs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (action, configs) = (action.name(), configs.join(","));
        let client = format!("{}/{}/{}{}", client.principal, client.client_id, client.listener, client.host);
        self.0.lock().push(format!("{action} {topic} {partitions}x{replication_factor} [{configs}] {client}"));
        let with = |name: &str, value: &str| {
            Ok(TopicVerdict::AcceptWith(BTreeMap::from([(name.to_owned(), value.to_owned())])))
        };
        let order = change.configs.get("retention.ms").map_or(*topic, |ms| match ms.as_str() {
            "1" => "no-",
            "2" => "set-",
            "3" => "move-",
            _ => *topic,
        });
        match order.split_once('-').map_or("", |(order, _)| order) {
            "no" => Ok(TopicVerdict::Refuse(format!("{topic} is not to our taste"))),
            "long" => Ok(TopicVerdict::Refuse("é".repeat(100_000))),
            "set" => with("retention.ms", "777"),
            "bad" => with("retention.msec", "777"),
            "move" => with("watershed.storage", "memory"),
            "none" => Ok(TopicVerdict::AcceptWith(BTreeMap::new())),
            "later" => Err(Failure::Retriable("I have to think".to_owned())),
            "trap" => Err(Failure::Fault { kind: FaultKind::Trap, message: "ouch".to_owned() }),
            "panic" => panic!("a native plugin may do this"),
            _ => Ok(TopicVerdict::Accept),
        }
    }
}

struct Factory(Questions);

impl PluginFactory for Factory {
    fn name(&self) -> &str {
        "judge"
    }

    fn hook(&self) -> HookKind {
        HookKind::TopicPolicy
    }

    fn validate(&self, _: &Settings) -> Result<(), PluginError> {
        Ok(())
    }

    fn create(&self, _: &Settings, _: &Environment) -> Result<Hook, PluginError> {
        Ok(Hook::TopicPolicy(Box::new(Judge(Arc::clone(&self.0)))))
    }

    fn close(&self) {}
}

struct World {
    stage: Stage,
    client: Client,
    questions: Questions,
}

/// What a topic's request came to: the code, the message, and the topic's retention.ms in the answer.
type Created = (i16, Option<String>, Option<String>);

impl World {
    async fn new() -> Self {
        Self::with(OnError::Closed, BindingState::On).await
    }

    async fn with(on_error: OnError, state: BindingState) -> Self {
        let questions = Questions::default();
        let parts = PluginParts {
            factory: Arc::new(Factory(Arc::clone(&questions))),
            settings: Settings::new(),
            on_error,
            dead_letter_topic: None,
            origin: Origin::Native,
            random: Arc::new(|| 0),
            breaker: Default::default(),
            clock: Arc::new(ManualClock::at(Timestamp(NOW))),
        };
        let binding = Binding::new(Arc::new(Plugin::new(parts).unwrap()), state);
        let stage = Stage::with_plugins(limits(), PluginSet::default(), Some(binding)).await;
        let client = stage.client().await;
        Self { stage, client, questions }
    }

    /// What was asked since the last look.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.questions.lock())
    }

    fn exists(&self, name: &str) -> bool {
        self.stage.controller.image().topic_by_name(name).is_some()
    }

    fn partitions(&self, name: &str) -> i32 {
        self.stage.controller.image().topic_by_name(name).unwrap().partition_count()
    }

    async fn create(&mut self, topics: Vec<CreatableTopic>, validate_only: bool) -> Vec<CreatableTopicResult> {
        let request = CreateTopicsRequest { topics, timeout_ms: 1000, validate_only };
        self.client.call(&request, 7).await.topics
    }

    async fn create_one(&mut self, name: &str) -> Created {
        created(self.create(vec![wanted(name)], false).await.remove(0))
    }

    /// A topic's own value of a config.
    async fn own(&mut self, topic: &str, name: &str) -> Option<String> {
        let resource = DescribeConfigsResource {
            resource_type: TOPIC_TYPE,
            resource_name: topic.to_owned(),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
        let result = self.client.call(&request, 4).await.results.remove(0);
        assert_eq!(result.error_code, 0);
        result.configs.into_iter().find(|c| c.name == name && c.config_source == 1).and_then(|c| c.value)
    }

    async fn alter(&mut self, steps: &[(&str, i8, &str)], validate_only: bool) -> (i16, Option<String>) {
        let configs = steps.iter().map(|(name, config_operation, value)| incremental::AlterableConfig {
            name: (*name).to_owned(),
            config_operation: *config_operation,
            value: Some((*value).to_owned()),
        });
        let resource = incremental::AlterConfigsResource {
            resource_type: TOPIC_TYPE,
            resource_name: TOPIC.to_owned(),
            configs: configs.collect(),
        };
        let request = incremental::IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
        let answer = self.client.call(&request, 1).await.responses.remove(0);
        (answer.error_code, answer.error_message)
    }

    async fn replace(&mut self, configs: &[(&str, &str)], validate_only: bool) -> (i16, Option<String>) {
        let configs = configs.iter().map(|(name, value)| alter_configs::AlterableConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        });
        let resource = alter_configs::AlterConfigsResource {
            resource_type: TOPIC_TYPE,
            resource_name: TOPIC.to_owned(),
            configs: configs.collect(),
        };
        let request = alter_configs::AlterConfigsRequest { resources: vec![resource], validate_only };
        let answer = self.client.call(&request, 2).await.responses.remove(0);
        (answer.error_code, answer.error_message)
    }

    async fn grow(&mut self, name: &str, count: i32, validate_only: bool) -> (i16, Option<String>) {
        let topic = CreatePartitionsTopic { name: name.to_owned(), count, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 1000, validate_only };
        let answer = self.client.call(&request, 3).await.results.remove(0);
        (answer.error_code, answer.error_message)
    }

    async fn ask_for(&mut self, name: &str) -> i16 {
        let topic = MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() };
        let request =
            MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: true, ..Default::default() };
        self.client.call(&request, 12).await.topics.remove(0).error_code
    }
}

fn wanted(name: &str) -> CreatableTopic {
    CreatableTopic { name: name.to_owned(), num_partitions: -1, replication_factor: -1, ..Default::default() }
}

fn with_config(name: &str, config: &str, value: &str) -> CreatableTopic {
    let config = CreatableTopicConfig { name: config.to_owned(), value: Some(value.to_owned()) };
    CreatableTopic { configs: vec![config], ..wanted(name) }
}

fn created(result: CreatableTopicResult) -> Created {
    let configs = result.configs.unwrap_or_default().into_iter();
    let retention = configs.into_iter().find(|config| config.name == "retention.ms" && config.config_source == 1);
    (result.error_code, result.error_message, retention.and_then(|config| config.value))
}

fn refused(message: &str) -> (i16, Option<String>) {
    (VIOLATION, Some(message.to_owned()))
}

fn violation(message: &str) -> Created {
    (VIOLATION, Some(message.to_owned()), None)
}

const FINE: Created = (0, None, None);
const WHO: &str = "User:ANONYMOUS/wire-test/PLAINTEXT/127.0.0.1";

#[tokio::test]
async fn each_topic_of_a_request_is_judged_as_it_would_be() {
    let mut world = World::new().await;
    let assignments =
        (0..3).map(|partition_index| CreatableReplicaAssignment { partition_index, broker_ids: vec![1] }).collect();
    let topics = vec![
        wanted("plain"),
        wanted("no-thanks"),
        CreatableTopic { assignments, ..with_config("assigned", "retention.ms", "55") },
        with_config("set-retention", "retention.ms", "44"),
        wanted("not valid"),
    ];
    let results: Vec<Created> = world.create(topics.clone(), true).await.into_iter().map(created).collect();
    let asked = world.asked();
    assert_eq!(results[..2], [FINE, violation("no-thanks is not to our taste")]);
    assert_eq!(results[2].2.as_deref(), Some("55"));
    assert_eq!((results[3].0, results[3].2.as_deref()), (0, Some("777")), "what is set is what is shown");
    assert_eq!(results[4].0, i16::from(ErrorCode::InvalidTopicException));
    assert!(topics.iter().all(|topic| !world.exists(&topic.name)), "it was only asked what would be");
    let expected = [
        format!("create plain 1x1 [] {WHO}"),
        format!("create no-thanks 1x1 [] {WHO}"),
        format!("create assigned 3x1 [retention.ms=55] {WHO}"),
        format!("create set-retention 1x1 [retention.ms=44] {WHO}"),
    ];
    assert_eq!(asked, expected, "what is not valid is not asked about");

    let again: Vec<Created> = world.create(topics, false).await.into_iter().map(created).collect();
    assert_eq!((again, world.asked()), (results, asked));
    let there: Vec<bool> =
        ["plain", "no-thanks", "assigned", "set-retention"].iter().map(|name| world.exists(name)).collect();
    assert_eq!(there, [true, false, true, true]);
    assert_eq!(world.own("set-retention", "retention.ms").await.as_deref(), Some("777"));
    assert_eq!(world.own("plain", "retention.ms").await, None);
    assert_eq!(world.create_one("none-to-add").await, FINE);
}

#[tokio::test]
async fn a_policy_that_fails_refuses() {
    let mut world = World::new().await;
    let cases = [
        ("trap-door", "the topic policy judge failed: trap: ouch"),
        ("later-on", "the topic policy judge failed: I have to think"),
        (
            "bad-config",
            "the topic policy judge failed: wrong_answer: it set configs that the topic cannot have: Unknown topic config \
             name: retention.msec (did you mean retention.ms?)",
        ),
    ];
    for (name, message) in cases {
        assert_eq!(world.create_one(name).await, violation(message));
        assert!(!world.exists(name));
    }
    let (code, message, _) = world.create_one("panic-now").await;
    assert_eq!(code, VIOLATION);
    assert!(message.unwrap().starts_with("the topic policy judge failed: "));
    let (code, message, _) = world.create_one("long-talk").await;
    assert_eq!((code, message.unwrap().len()), (VIOLATION, 1024), "an answer has room for no more");
    assert_eq!(world.create_one("fine").await, FINE, "and others go on");
}

#[tokio::test]
async fn an_open_policy_that_fails_lets_pass() {
    let mut world = World::with(OnError::Open, BindingState::On).await;
    for name in ["trap-door", "bad-config", "panic-now"] {
        assert_eq!(world.create_one(name).await, FINE);
        assert!(world.exists(name));
    }
    assert_eq!(world.create_one("no-thanks").await, violation("no-thanks is not to our taste"), "an answer holds");
    assert_eq!(world.create_one("later-on").await.0, VIOLATION, "and so does a refusal to answer");
}

#[tokio::test]
async fn a_policy_in_shadow_is_asked_and_has_no_effect() {
    let mut world = World::with(OnError::Closed, BindingState::Shadow).await;
    for name in ["no-thanks", "set-retention", "trap-door", "later-on", "bad-config", "panic-now"] {
        assert_eq!(world.create_one(name).await, FINE, "{name}");
    }
    assert_eq!(world.asked().len(), 6);
    assert_eq!(world.own("set-retention", "retention.ms").await, None);
}

#[tokio::test]
async fn a_policy_that_is_not_loaded_refuses() {
    let binding = Binding::missing(HookKind::TopicPolicy, "gone", BindingState::On);
    let stage = Stage::with_plugins(limits(), PluginSet::default(), Some(binding)).await;
    let request = CreateTopicsRequest { topics: vec![wanted("plain")], timeout_ms: 1000, validate_only: false };
    let (code, message, _) = created(stage.client().await.call(&request, 7).await.topics.remove(0));
    assert_eq!(code, VIOLATION);
    assert!(message.unwrap().starts_with("the topic policy gone failed: it is not loaded"));
}

#[tokio::test]
async fn a_topic_that_is_made_by_asking_for_it_is_judged_too() {
    let mut world = World::new().await;
    assert_eq!(world.ask_for("no-thanks").await, i16::from(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(world.ask_for("trap-door").await, i16::from(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(world.ask_for("set-retention").await, 0);
    assert_eq!(world.own("set-retention", "retention.ms").await.as_deref(), Some("777"));
    assert_eq!(world.asked()[0], format!("create no-thanks 1x1 [] {WHO}"));
    assert_eq!(world.ask_for("__consumer_offsets").await, 0);
    assert!(world.asked().is_empty(), "internal topics are nobody's choice");
    assert!(!world.exists("no-thanks") && !world.exists("trap-door"));
}

#[tokio::test]
async fn altered_configs_are_judged_as_a_whole() {
    let mut world = World::new().await;
    let own = "watershed.storage=disk";
    assert_eq!(world.alter(&[("retention.ms", SET, "50")], false).await, (0, None));
    assert_eq!(world.asked(), [format!("alter {TOPIC} 2x1 [retention.ms=50,{own}] {WHO}")]);
    for validate_only in [true, false] {
        let answer = world.alter(&[("retention.ms", SET, "1"), ("segment.ms", SET, "9")], validate_only).await;
        assert_eq!(answer, refused("tide is not to our taste"));
        assert_eq!(world.asked(), [format!("alter {TOPIC} 2x1 [retention.ms=1,segment.ms=9,{own}] {WHO}")]);
        let answer = world.replace(&[("retention.ms", "1"), ("watershed.storage", "disk")], validate_only).await;
        assert_eq!(answer, refused("tide is not to our taste"));
        assert_eq!(world.asked(), [format!("alter {TOPIC} 2x1 [retention.ms=1,{own}] {WHO}")]);
    }
    assert_eq!(world.own(TOPIC, "retention.ms").await.as_deref(), Some("50"));
    assert_eq!(world.own(TOPIC, "segment.ms").await, None);

    assert_eq!(world.alter(&[("cleanup.policy", APPEND, "compact")], true).await, (0, None));
    let list = "cleanup.policy=delete,compact,retention.ms=50";
    assert_eq!(world.asked(), [format!("alter {TOPIC} 2x1 [{list},{own}] {WHO}")], "lists are whole");
    assert_ne!(world.alter(&[("retention.ms", SET, "a while")], false).await.0, VIOLATION);
    assert!(world.asked().is_empty(), "what is not valid is not asked about");

    assert_eq!(world.alter(&[("retention.ms", SET, "2")], true).await, (0, None));
    assert_eq!(world.own(TOPIC, "retention.ms").await.as_deref(), Some("50"));
    assert_eq!(world.alter(&[("retention.ms", SET, "2")], false).await, (0, None));
    assert_eq!(world.own(TOPIC, "retention.ms").await.as_deref(), Some("777"), "instead of what was asked for");
    let (code, message) = world.alter(&[("retention.ms", SET, "3")], false).await;
    assert_eq!(code, VIOLATION);
    assert!(message.unwrap().ends_with("watershed.storage of an existing topic cannot change"));
    world.asked();
    assert_eq!(world.replace(&[("segment.ms", "8"), ("watershed.storage", "disk")], false).await, (0, None));
    assert_eq!(world.asked(), [format!("alter {TOPIC} 2x1 [segment.ms=8,{own}] {WHO}")], "what is not named goes");
    assert_eq!(world.own(TOPIC, "retention.ms").await, None);
}

#[tokio::test]
async fn added_partitions_are_judged() {
    let mut world = World::new().await;
    assert_eq!(world.grow(TOPIC, 5, true).await, (0, None));
    assert_eq!(world.asked(), [format!("grow {TOPIC} 5x1 [watershed.storage=disk] {WHO}")]);
    assert_eq!(world.grow(TOPIC, 5, false).await, (0, None));
    assert_eq!(world.partitions(TOPIC), 5);
    assert_eq!(world.grow(TOPIC, 4, false).await.0, i16::from(ErrorCode::InvalidPartitions));
    world.asked();
    // A topic that the policy came too late for.
    let refusable = watershed_controller::CreateTopic::with_defaults("no-thanks");
    let settable = watershed_controller::CreateTopic::with_defaults("set-retention");
    world.stage.controller.create_topics(vec![refusable, settable], false).await.unwrap();
    for validate_only in [true, false] {
        assert_eq!(world.grow("no-thanks", 2, validate_only).await, refused("no-thanks is not to our taste"));
        let message = "the topic policy judge failed: wrong_answer: it set configs that the topic cannot have: it sets \
                       retention.ms, and configs cannot be set where partitions are added";
        assert_eq!(world.grow("set-retention", 2, validate_only).await, refused(message));
    }
    assert_eq!((world.partitions("no-thanks"), world.partitions("set-retention")), (1, 1));
}
