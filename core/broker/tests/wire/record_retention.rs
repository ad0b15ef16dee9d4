//! A plugin that says which records stay. It is native; what the hosts of sandboxed ones add is tested there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use watershed_hooks::{
    Batch, Environment, Failure, FaultKind, Hook, HookKind, PluginError, PluginFactory, Reads, RecordRetention,
    Settings, Stay,
};
use watershed_model::record::{BatchBuilder, NewRecord};
use watershed_model::{ManualClock, Timestamp};
use watershed_policy::{OnError, Origin, Plugin, PluginParts, PluginSet};
use watershed_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use crate::requests::{ALL, FETCH, PRODUCE, bases, fetch, fetched, placed, produce};
use crate::stage::{Client, NOW, Stage, TOPIC, guarded, limits};

/// Two such records do not fit into the smallest segment.
const RECORD_BYTES: usize = 600_000;

const READS: Reads = Reads { keys: true, timestamps: true, ranks: true, ..Reads::NOTHING };

/// What the plugin is to answer, and what it was asked.
#[derive(Default)]
struct Orders {
    /// Records of this rank or above go.
    newest: u32,
    failure: Option<Failure>,
    panics: bool,
    questions: usize,
    /// Key, timestamp and rank of what it was asked about last.
    seen: Vec<(Option<Vec<u8>>, i64, u32)>,
    now: i64,
}

type Shared = Arc<Mutex<Orders>>;

struct Keeper(Shared);

impl RecordRetention for Keeper {
    fn reads(&self) -> &Reads {
        &READS
    }

    fn retain(&mut self, batch: &Batch<'_>, now: i64, stays: &mut Vec<Stay>) -> Result<(), Failure> {
        assert_eq!((batch.topic(), batch.partition()), (TOPIC, Some(0)));
        let mut orders = self.0.lock();
        orders.questions += 1;
        orders.now = now;
        assert!(!orders.panics, "a native plugin may do this");
        if let Some(failure) = &orders.failure {
            return Err(failure.clone());
        }
        let columns = batch.keys()?.iter().zip(batch.timestamps()?).zip(batch.ranks()?);
        let seen: Vec<_> = columns.map(|((key, at), rank)| (key.map(<[u8]>::to_vec), *at, *rank)).collect();
        stays.extend(seen.iter().map(|(_, _, rank)| if *rank >= orders.newest { Stay::Drop } else { Stay::Keep }));
        orders.seen.extend(seen);
        Ok(())
    }
}

struct Factory(Shared);

impl PluginFactory for Factory {
    fn name(&self) -> &str {
        "keeper"
    }

    fn hook(&self) -> HookKind {
        HookKind::RecordRetention
    }

    fn validate(&self, _: &Settings) -> Result<(), PluginError> {
        Ok(())
    }

    fn create(&self, _: &Settings, _: &Environment) -> Result<Hook, PluginError> {
        Ok(Hook::RecordRetention(Box::new(Keeper(Arc::clone(&self.0)))))
    }

    fn close(&self) {}
}

struct World {
    stage: Stage,
    client: Client,
    orders: Shared,
}

fn one(key: &str) -> Bytes {
    let mut builder = BatchBuilder::new();
    let value = vec![b'w'; RECORD_BYTES];
    builder.push(Timestamp(NOW), NewRecord { key: Some(key.as_bytes()), value: Some(&value), headers: &[] });
    builder.build().unwrap()
}

impl World {
    /// Six records of the keys a and b in turn, in five closed segments and an active one.
    async fn new(configs: &[(&str, &str)]) -> Self {
        let orders: Shared = Arc::new(Mutex::new(Orders { newest: u32::MAX, ..Orders::default() }));
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
        let settings = [("watershed.record.retention.check.interval.ms", "5")];
        let stage = Stage::with_settings(limits(), &settings, set, None).await;
        let client = stage.client().await;
        let mut world = Self { stage, client, orders };
        let fixed = [("segment.bytes", "1048576"), ("retention.ms", "-1")];
        world.set(&[&fixed, configs].concat()).await;
        for (offset, key) in (0..6).zip(["a", "b"].into_iter().cycle()) {
            let response = world.client.call(&produce(TOPIC, 0, ALL, one(key)), PRODUCE).await;
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

    /// Waits until the plugin was asked again so often.
    async fn asked(&self, times: usize) {
        self.orders.lock().questions = 0;
        guarded(async {
            while self.orders.lock().questions < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// The offsets of the records that are there.
    async fn offsets(&mut self) -> Vec<i64> {
        let mut found = Vec::new();
        let mut from = 0;
        while from < 6 {
            let response = self.client.call(&fetch(TOPIC, 0, from), FETCH).await;
            let data = fetched(&response);
            assert_eq!(data.error_code, 0);
            let some = bases(data);
            from = some.last().expect("the active segment keeps its record") + 1;
            found.extend(some);
        }
        found
    }

    async fn becomes(&mut self, want: &[i64]) {
        for _ in 0..1_000 {
            if self.offsets().await == want {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?} are there, not {want:?}", self.offsets().await);
    }
}

const BOUND: (&str, &str) = ("watershed.record.retention", "keeper");

#[tokio::test]
async fn records_go_by_their_rank_and_offsets_stay() {
    let mut world = World::new(&[BOUND]).await;
    world.becomes(&[0, 1, 2, 3, 4, 5]).await;
    world.orders.lock().newest = 2;
    // Of each key the newest two; the last record is in the active segment.
    world.becomes(&[2, 3, 4, 5]).await;
    let mut seen = std::mem::take(&mut world.orders.lock().seen);
    let asked = |(key, rank): (&str, u32)| (Some(key.as_bytes().to_vec()), NOW, rank);
    let rest = [("a", 1), ("b", 1), ("a", 0)].map(asked);
    // A look may be under way when the order comes; the next one sees what the first has left.
    for _ in 0..200 {
        if seen.windows(3).any(|look| look == rest) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        seen.extend(std::mem::take(&mut world.orders.lock().seen));
    }
    assert!(seen.windows(3).any(|look| look == rest), "{seen:?}");
    assert!(seen.contains(&asked(("a", 2))) && seen.contains(&asked(("b", 2))), "{seen:?}");
    assert_eq!(world.orders.lock().now, NOW);
    world.orders.lock().newest = 0;
    world.becomes(&[5]).await;
    let response = world.client.call(&produce(TOPIC, 0, ALL, one("a")), PRODUCE).await;
    assert_eq!(placed(&response).base_offset, 6, "offsets are not given out again");
}

#[tokio::test]
async fn a_plugin_that_fails_keeps_everything() {
    let mut world = World::new(&[BOUND]).await;
    let trap = Failure::Fault { kind: FaultKind::Trap, message: "ouch".to_owned() };
    for failure in [trap, Failure::Retriable("later".to_owned()), Failure::Permanent("never".to_owned())] {
        {
            let mut orders = world.orders.lock();
            (orders.failure, orders.newest) = (Some(failure), 0);
        }
        world.asked(3).await;
        assert_eq!(world.offsets().await, [0, 1, 2, 3, 4, 5]);
    }
    world.orders.lock().panics = true;
    world.asked(3).await;
    assert_eq!(world.offsets().await, [0, 1, 2, 3, 4, 5]);
    {
        let mut orders = world.orders.lock();
        (orders.panics, orders.failure) = (false, None);
    }
    world.becomes(&[5]).await;
}

#[tokio::test]
async fn in_shadow_or_where_nothing_is_deleted_it_has_no_effect() {
    let mut world = World::new(&[("watershed.record.retention", "keeper:shadow")]).await;
    world.orders.lock().newest = 0;
    world.asked(5).await;
    assert_eq!(world.offsets().await, [0, 1, 2, 3, 4, 5], "it is asked all the same");
    world.set(&[BOUND, ("cleanup.policy", "compact")]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.orders.lock().questions = 0;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.offsets().await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(world.orders.lock().questions, 0);
    world.set(&[("cleanup.policy", "delete")]).await;
    world.becomes(&[5]).await;
}
