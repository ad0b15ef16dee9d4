//! A plugin that says what a partition need not keep. It is native; what the hosts of sandboxed ones add is tested there.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use watershed_hooks::{
    Environment, Failure, FaultKind, Hook, HookKind, LogSummary, PluginError, PluginFactory, Retention, SegmentSummary,
    Settings,
};
use watershed_model::record::ProducerSequence;
use watershed_model::{ManualClock, Timestamp};
use watershed_policy::{OnError, Origin, Plugin, PluginParts, PluginSet};
use watershed_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use watershed_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};

use crate::requests::{ALL, PRODUCE, placed, produce, sized};
use crate::stage::{Client, NOW, Stage, TOPIC, guarded, limits};

/// Two such records do not fit into the smallest segment.
const RECORD_BYTES: usize = 600_000;

/// What the plugin is to answer, and what it was asked.
struct Orders {
    answer: Result<Option<i64>, Failure>,
    panics: bool,
    questions: usize,
    partition: u32,
    now: i64,
    start: i64,
    high_watermark: i64,
    segments: Vec<SegmentSummary>,
}

type Shared = Arc<Mutex<Orders>>;

struct Sweeper(Shared);

impl Retention for Sweeper {
    fn delete_before(&mut self, log: &LogSummary<'_>) -> Result<Option<i64>, Failure> {
        assert_eq!(log.topic, TOPIC);
        let mut orders = self.0.lock();
        orders.questions += 1;
        (orders.partition, orders.now, orders.start, orders.high_watermark) =
            (log.partition, log.now, log.start_offset, log.high_watermark);
        orders.segments.clone_from(&log.segments);
        assert!(!orders.panics, "a native plugin may do this");
        orders.answer.clone()
    }
}

struct Factory(Shared);

impl PluginFactory for Factory {
    fn name(&self) -> &str {
        "sweeper"
    }

    fn hook(&self) -> HookKind {
        HookKind::Retention
    }

    fn validate(&self, _: &Settings) -> Result<(), PluginError> {
        Ok(())
    }

    fn create(&self, _: &Settings, _: &Environment) -> Result<Hook, PluginError> {
        Ok(Hook::Retention(Box::new(Sweeper(Arc::clone(&self.0)))))
    }

    fn close(&self) {}
}

struct World {
    stage: Stage,
    client: Client,
    orders: Shared,
}

impl World {
    /// A partition of five segments with one record each, the last of which is active.
    async fn new(configs: &[(&str, &str)]) -> Self {
        let orders = Arc::new(Mutex::new(Orders {
            answer: Ok(None),
            panics: false,
            questions: 0,
            partition: u32::MAX,
            now: 0,
            start: -1,
            high_watermark: -1,
            segments: Vec::new(),
        }));
        let mut set = PluginSet::default();
        let parts = PluginParts {
            factory: Arc::new(Factory(Arc::clone(&orders))),
            settings: Settings::new(),
            on_error: OnError::Closed,
            dead_letter_topic: None,
            origin: Origin::Native,
            random: Arc::new(|| 0),
            // No breaker: these plugins fail for as long as they are told to.
            breaker: watershed_policy::BreakerSettings { faults: u32::MAX, ..Default::default() },
            clock: Arc::new(ManualClock::at(Timestamp(NOW))),
        };
        set.add(Plugin::new(parts).unwrap());
        let settings = [("log.retention.check.interval.ms", "20")];
        let stage = Stage::with_settings(limits(), &settings, set, None).await;
        let client = stage.client().await;
        let mut world = Self { stage, client, orders };
        let fixed = [("segment.bytes", "1048576"), ("retention.ms", "-1")];
        world.set(&[&fixed, configs].concat()).await;
        for offset in 0..5 {
            let batch = sized(1, RECORD_BYTES, ProducerSequence::NONE);
            let response = world.client.call(&produce(TOPIC, 0, ALL, batch), PRODUCE).await;
            assert_eq!((placed(&response).error_code, placed(&response).base_offset), (0, offset));
        }
        world
    }

    async fn set(&mut self, configs: &[(&str, &str)]) {
        let configs = configs.iter().map(|(name, value)| AlterableConfig {
            name: (*name).to_owned(),
            config_operation: 0,
            value: Some((*value).to_owned()),
        });
        let resource =
            AlterConfigsResource { resource_type: 2, resource_name: TOPIC.to_owned(), configs: configs.collect() };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        let answer = self.client.call(&request, 1).await.responses.remove(0);
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        self.stage.settle().await;
    }

    /// The first offset of the partition after the plugin has given this answer, more than once.
    async fn start_after(&mut self, answer: Result<Option<i64>, Failure>) -> i64 {
        {
            let mut orders = self.orders.lock();
            orders.answer = answer;
            orders.questions = 0;
        }
        guarded(async {
            while self.orders.lock().questions < 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        self.start().await
    }

    async fn start(&mut self) -> i64 {
        let earliest = ListOffsetsPartition { partition_index: 0, current_leader_epoch: -1, timestamp: -2 };
        let topics = vec![ListOffsetsTopic { name: TOPIC.to_owned(), partitions: vec![earliest] }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
        let found = self.client.call(&request, 7).await.topics.remove(0).partitions.remove(0);
        assert_eq!(found.error_code, 0);
        found.offset
    }
}

const BOUND: (&str, &str) = ("watershed.retention.policy", "sweeper");

#[tokio::test]
async fn a_policy_deletes_whole_segments_and_never_the_active_one() {
    let mut world = World::new(&[BOUND]).await;
    for (answer, start) in [(None, 0), (Some(-5), 0), (Some(0), 0), (Some(2), 2), (Some(1), 2)] {
        assert_eq!(world.start_after(Ok(answer)).await, start, "{answer:?}");
        let orders = world.orders.lock();
        let segments: Vec<_> = orders.segments.iter().map(|s| (s.base_offset, s.end_offset, s.sealed)).collect();
        let expected: Vec<_> = (start..5).map(|base| (base, base + 1, base < 4)).collect();
        assert_eq!(segments, expected);
        assert!(orders.segments.iter().all(|s| s.bytes > RECORD_BYTES as u64 && s.max_timestamp == NOW));
        assert_eq!((orders.partition, orders.now, orders.start, orders.high_watermark), (0, NOW, start, 5));
    }
    world.orders.lock().answer = Ok(Some(i64::MAX));
    guarded(async { while world.start().await < 4 {} }).await;
    world.orders.lock().questions = 0;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.start().await, 4);
    assert_eq!(world.orders.lock().questions, 0, "with the active segment alone there is no question");
}

#[tokio::test]
async fn what_nobody_was_promised_yet_stays_whatever_a_policy_says() {
    let mut world = World::new(&[BOUND]).await;
    world.stage.faults.hold_tickets();
    let mut producer = world.stage.client().await;
    let mut sent = Vec::new();
    for _ in 0..2 {
        let batch = sized(1, RECORD_BYTES, ProducerSequence::NONE);
        sent.push(producer.send(&produce(TOPIC, 0, ALL, batch), PRODUCE).await);
    }
    world.stage.appended(7).await;
    assert_eq!(world.start_after(Ok(Some(i64::MAX))).await, 5, "6 is where the active segment begins");
    assert_eq!(world.orders.lock().high_watermark, 5);
    world.stage.faults.release_all();
    for (offset, sent) in (5..).zip(sent) {
        let response = producer.receive(sent).await;
        assert_eq!((placed(&response).error_code, placed(&response).base_offset), (0, offset));
    }
    guarded(async { while world.start().await < 6 {} }).await;
}

#[tokio::test]
async fn a_policy_that_fails_keeps_everything() {
    let mut world = World::new(&[BOUND]).await;
    let trap = Failure::Fault { kind: FaultKind::Trap, message: "ouch".to_owned() };
    for failure in [trap, Failure::Retriable("later".to_owned()), Failure::Permanent("never".to_owned())] {
        assert_eq!(world.start_after(Err(failure)).await, 0);
    }
    world.orders.lock().panics = true;
    // The lock is not poisoned, and neither is the task.
    assert_eq!(world.start_after(Ok(Some(3))).await, 0);
    world.orders.lock().panics = false;
    assert_eq!(world.start_after(Ok(Some(3))).await, 3);
}

#[tokio::test]
async fn a_policy_in_shadow_or_of_a_topic_that_does_not_delete_has_no_effect() {
    let mut world = World::new(&[("watershed.retention.policy", "sweeper:shadow")]).await;
    assert_eq!(world.start_after(Ok(Some(3))).await, 0, "it is asked all the same");
    world.set(&[BOUND, ("cleanup.policy", "compact")]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.orders.lock().questions = 0;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.orders.lock().questions, 0);
    assert_eq!(world.start().await, 0);
    world.set(&[("cleanup.policy", "delete")]).await;
    assert_eq!(world.start_after(Ok(Some(3))).await, 3);
}
