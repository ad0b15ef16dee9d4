//! Plugins on the paths of produce and fetch. The plugins here are native; what the hosts of sandboxed ones add is tested there.

mod lag;
mod natives;
mod routed;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use watershed_model::record::{BatchBuilder, Compression, NewRecord, OwnedRecord, ProducerSequence, batches};
use watershed_model::{ProducerEpoch, ProducerId, Timestamp};
use watershed_policy::OnError;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::fetch::PartitionData;
use watershed_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use watershed_protocol::messages::produce::PartitionProduceResponse;

use crate::requests::{ALL, FETCH, PRODUCE, fetch, fetched, placed, produce};
use crate::stage::{Client, NOW, Stage, TOPIC, limits};
use natives::{partition_of, plugins};

struct World {
    stage: Stage,
    client: Client,
    calls: Arc<AtomicUsize>,
}

impl World {
    async fn new(configs: &[(&str, &str)]) -> Self {
        Self::failing(&OnError::Closed, configs).await
    }

    async fn failing(on_error: &OnError, configs: &[(&str, &str)]) -> Self {
        let (set, calls) = plugins(on_error);
        let stage = Stage::with_plugins(limits(), set, None).await;
        let client = stage.client().await;
        let mut world = Self { stage, client, calls };
        world.set(configs).await.unwrap();
        world
    }

    /// Alters the topic's configs.
    async fn set(&mut self, configs: &[(&str, &str)]) -> Result<(), (i16, String)> {
        let configs = configs.iter().map(|(name, value)| AlterableConfig {
            name: (*name).to_owned(),
            config_operation: 0,
            value: Some((*value).to_owned()),
        });
        let resource =
            AlterConfigsResource { resource_type: 2, resource_name: TOPIC.to_owned(), configs: configs.collect() };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        let answer = self.client.call(&request, 1).await.responses.remove(0);
        self.stage.settle().await;
        match answer.error_code {
            0 => Ok(()),
            code => Err((code, answer.error_message.unwrap_or_default())),
        }
    }

    async fn send(&mut self, partition: i32, batch: Bytes) -> PartitionProduceResponse {
        let response = self.client.call(&produce(TOPIC, partition, ALL, batch), PRODUCE).await;
        placed(&response).clone()
    }

    async fn read(&mut self, topic: &str, offset: i64) -> PartitionData {
        let mut request = fetch(topic, 0, offset);
        request.max_wait_ms = 0;
        fetched(&self.client.call(&request, FETCH).await).clone()
    }

    async fn values(&mut self, topic: &str, offset: i64) -> Vec<(i64, String)> {
        records(&self.read(topic, offset).await)
            .into_iter()
            .map(|record| (record.offset.0, String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap()))
            .collect()
    }
}

fn records(data: &PartitionData) -> Vec<OwnedRecord> {
    assert_eq!(data.error_code, 0);
    let whole = batches(data.records.as_bytes().unwrap()).map(|batch| {
        let batch = batch.unwrap();
        assert!(batch.crc_is_valid());
        batch
    });
    whole.flat_map(|batch| batch.owned_records().unwrap()).collect()
}

fn of(values: &[&str]) -> Bytes {
    sent_by(ProducerSequence::NONE, Compression::None, values)
}

fn sent_by(producer: ProducerSequence, codec: Compression, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new().producer(producer).compression(codec, None);
    for value in values {
        let headers = [(&b"h"[..], Some(&b"1"[..]))];
        builder.push(Timestamp(NOW), NewRecord { key: None, value: Some(value.as_bytes()), headers: &headers });
    }
    builder.build().unwrap()
}

fn keyed(keys: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for key in keys {
        let key = Some(key.as_bytes()).filter(|key| !key.is_empty());
        builder.push(Timestamp(NOW), NewRecord { key, value: Some(b"v"), headers: &[] });
    }
    builder.build().unwrap()
}

fn producer(base_sequence: i32) -> ProducerSequence {
    ProducerSequence { id: ProducerId(7), epoch: ProducerEpoch(0), base_sequence }
}

const INTERCEPT: &[(&str, &str)] = &[("watershed.interceptors", "obedient")];

fn owned(values: &[(i64, &str)]) -> Vec<(i64, String)> {
    values.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect()
}

#[tokio::test]
async fn records_are_dropped_and_replaced_and_keep_their_places() {
    for codec in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut world = World::new(INTERCEPT).await;
        let batch = sent_by(ProducerSequence::NONE, codec, &["a", "drop", "replace:new", "b"]);
        let answer = world.send(0, batch).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, 0), "{answer:?}");
        assert_eq!(world.send(0, of(&["c"])).await.base_offset, 4, "what was dropped kept its offset");
        assert_eq!(world.values(TOPIC, 0).await, owned(&[(0, "a"), (2, "new"), (3, "b"), (4, "c")]), "{codec:?}");
        let first = records(&world.read(TOPIC, 0).await).remove(1);
        assert_eq!((first.headers.len(), first.timestamp), (1, Timestamp(NOW)), "what was not replaced stays");
    }
}

#[tokio::test]
async fn interceptors_see_what_those_before_them_left() {
    let mut world = World::new(&[("watershed.interceptors", "obedient,again")]).await;
    let answer = world.send(0, of(&["replace:drop", "replace:replace:x", "replace:reject:no", "y"])).await;
    assert_eq!(answer.error_code, i16::from(ErrorCode::InvalidRecord));
    assert_eq!(answer.record_errors[0].batch_index, 2);
    world.send(0, of(&["replace:drop", "replace:replace:x", "drop", "y"])).await;
    assert_eq!(world.values(TOPIC, 0).await, owned(&[(1, "x"), (3, "y")]));
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_left_covers_its_offsets_and_is_skipped() {
    let mut world = World::new(INTERCEPT).await;
    for _ in 0..3 {
        world.send(0, of(&["drop", "drop"])).await;
    }
    // Alone it is what there is.
    let data = world.read(TOPIC, 0).await;
    assert!(records(&data).is_empty());
    assert!(data.records.len().is_multiple_of(61) && !data.records.is_empty());
    // Nobody waits for it: the fetch is answered when there is a record.
    let mut reader = world.stage.client().await;
    let sent = reader.send(&fetch(TOPIC, 0, 0), FETCH).await;
    world.stage.silent(&mut [&mut reader]).await;
    assert_eq!(world.send(0, of(&["a"])).await.base_offset, 6);
    let response = reader.receive(sent).await;
    let found = records(fetched(&response));
    assert_eq!(found.iter().map(|record| record.offset.0).collect::<Vec<_>>(), [6]);
}

#[tokio::test]
async fn idempotence_holds_whatever_is_dropped() {
    let mut world = World::new(INTERCEPT).await;
    let first = sent_by(producer(0), Compression::None, &["drop", "a", "drop"]);
    assert_eq!(world.send(0, first.clone()).await.base_offset, 0);
    let calls = world.calls.load(Ordering::SeqCst);
    assert_eq!(world.send(0, first).await.base_offset, 0, "it is there already");
    assert_eq!(world.calls.load(Ordering::SeqCst), calls, "a duplicate runs no hook");
    let all = sent_by(producer(3), Compression::None, &["drop", "drop"]);
    assert_eq!(world.send(0, all.clone()).await.base_offset, 3);
    assert_eq!(world.send(0, all).await.base_offset, 3);
    assert_eq!(world.send(0, sent_by(producer(5), Compression::None, &["b"])).await.base_offset, 5);
    let gap = world.send(0, sent_by(producer(7), Compression::None, &["c"])).await;
    assert_eq!(gap.error_code, i16::from(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(world.values(TOPIC, 0).await, owned(&[(1, "a"), (5, "b")]));
}

#[tokio::test]
async fn a_rejected_record_refuses_its_batch_and_says_why() {
    let mut world = World::new(INTERCEPT).await;
    let answer = world.send(0, of(&["a", "reject:no tenant", "drop", "reject:too old"])).await;
    assert_eq!((answer.error_code, answer.base_offset), (i16::from(ErrorCode::InvalidRecord), -1));
    let errors: Vec<_> = answer
        .record_errors
        .iter()
        .map(|error| (error.batch_index, error.batch_index_error_message.clone().unwrap()))
        .collect();
    assert_eq!(errors, [(1, "no tenant".to_owned()), (3, "too old".to_owned())]);
    assert_eq!(world.send(0, of(&["b"])).await.base_offset, 0, "nothing of it was appended");
}

#[tokio::test]
async fn dead_letters_are_stored_with_their_reason() {
    let mut world = World::new(INTERCEPT).await;
    world.send(0, of(&["a", "dead:strange", "b", "dead:stranger"])).await;
    assert_eq!(world.values(TOPIC, 0).await, owned(&[(0, "a"), (2, "b")]));
    assert_eq!(world.values("dead", 0).await, owned(&[(0, "dead:strange"), (1, "dead:stranger")]));
    let letter = records(&world.read("dead", 0).await).remove(1);
    let headers: Vec<_> = letter
        .headers
        .iter()
        .map(|(name, value)| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            format!("{}={}", text(name), text(value.as_deref().unwrap()))
        })
        .collect();
    assert_eq!(
        headers,
        [
            "h=1",
            "watershed.dead.topic=tide",
            "watershed.dead.partition=0",
            "watershed.dead.plugin=obedient",
            "watershed.dead.reason=stranger"
        ]
    );
}

#[tokio::test]
async fn what_follows_a_refused_batch_waits_for_it() {
    let mut world = World::new(INTERCEPT).await;
    let later = world.send(0, sent_by(producer(0), Compression::None, &["later:not now"])).await;
    assert_eq!(later.error_code, i16::from(ErrorCode::NotEnoughReplicas));
    assert!(later.error_message.unwrap().contains("not now"));
    // Nothing is known of the producer yet, and still its second batch must not be first.
    let second = sent_by(producer(1), Compression::None, &["b"]);
    let held = world.send(0, second.clone()).await;
    assert_eq!(held.error_code, i16::from(ErrorCode::NotEnoughReplicas), "it is to come again, behind the first");
    let other = ProducerSequence { id: ProducerId(8), ..producer(5) };
    assert_eq!(world.send(0, sent_by(other, Compression::None, &["o"])).await.error_code, 0, "others go on");
    world.set(&[("watershed.interceptors", "obedient:off")]).await.unwrap();
    assert_eq!(world.send(0, sent_by(producer(0), Compression::None, &["a"])).await.error_code, 0);
    assert_eq!(world.send(0, second).await.error_code, 0);
    assert_eq!(world.values(TOPIC, 0).await, owned(&[(0, "o"), (1, "a"), (2, "b")]));

    // One that is refused for good does not come again: what follows it is out of order.
    world.set(INTERCEPT).await.unwrap();
    let never = world
        .send(0, sent_by(ProducerSequence { id: ProducerId(9), ..producer(0) }, Compression::None, &["never:no"]))
        .await;
    assert_eq!(never.error_code, i16::from(ErrorCode::InvalidRecord));
    let second = sent_by(ProducerSequence { id: ProducerId(9), ..producer(1) }, Compression::None, &["b"]);
    assert_eq!(world.send(0, second).await.error_code, i16::from(ErrorCode::OutOfOrderSequenceNumber));
}

#[tokio::test]
async fn a_plugin_that_breaks_refuses_and_on_the_second_time_for_good() {
    let mut world = World::new(INTERCEPT).await;
    let batch = sent_by(producer(0), Compression::None, &["trap"]);
    assert_eq!(world.send(0, batch.clone()).await.error_code, i16::from(ErrorCode::NotEnoughReplicas));
    let again = world.send(0, batch).await;
    assert_eq!(again.error_code, i16::from(ErrorCode::InvalidRecord));
    assert!(again.error_message.unwrap().contains("ouch"));
    let never = world.send(0, of(&["never:this is wrong"])).await;
    assert_eq!(never.error_code, i16::from(ErrorCode::InvalidRecord));
    assert!(never.error_message.unwrap().contains("this is wrong"));

    let mut open = World::failing(&OnError::Open, INTERCEPT).await;
    assert_eq!(open.send(0, of(&["trap"])).await.error_code, 0);
    assert_eq!(open.values(TOPIC, 0).await, owned(&[(0, "trap")]));

    let mut dead = World::failing(&OnError::DeadLetter("faults".to_owned()), INTERCEPT).await;
    assert_eq!(dead.send(0, of(&["trap", "x"])).await.error_code, 0);
    assert!(dead.values(TOPIC, 0).await.is_empty());
    assert_eq!(dead.values("faults", 0).await, owned(&[(0, "trap"), (1, "x")]));
    dead.send(0, of(&["dead:own"])).await;
    assert_eq!(dead.values("dead", 0).await, owned(&[(0, "dead:own")]), "its own verdicts have a topic of their own");
}

#[tokio::test]
async fn what_an_open_breaker_holds_up_is_not_poison() {
    let mut world = World::new(INTERCEPT).await;
    for _ in 0..5 {
        world.send(0, of(&["trap"])).await;
    }
    let calls = world.calls.load(Ordering::SeqCst);
    let good = sent_by(producer(0), Compression::None, &["good"]);
    for _ in 0..3 {
        assert_eq!(world.send(0, good.clone()).await.error_code, i16::from(ErrorCode::NotEnoughReplicas));
    }
    assert_eq!(world.calls.load(Ordering::SeqCst), calls, "the breaker is open");
}

#[tokio::test]
async fn a_duplicate_is_found_although_a_later_batch_was_refused() {
    let mut world = World::new(INTERCEPT).await;
    let first = sent_by(producer(0), Compression::None, &["a"]);
    assert_eq!(world.send(0, first.clone()).await.base_offset, 0);
    assert_ne!(world.send(0, sent_by(producer(1), Compression::None, &["later:no"])).await.error_code, 0);
    let again = world.send(0, first).await;
    assert_eq!((again.error_code, again.base_offset), (0, 0));
}

#[tokio::test]
async fn in_shadow_nothing_changes() {
    let mut world =
        World::new(&[("watershed.interceptors", "obedient:shadow"), ("watershed.fetch.filter", "mask:shadow")]).await;
    let sent = ["drop", "reject:no", "trap", "secret", "password"];
    for value in sent {
        assert_eq!(world.send(0, of(&[value])).await.error_code, 0, "{value}");
    }
    assert_eq!(world.calls.load(Ordering::SeqCst), sent.len(), "it is asked all the same");
    let read = world.values(TOPIC, 0).await;
    assert_eq!(read.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), sent);
}

#[tokio::test]
async fn a_record_in_a_wrong_partition_is_refused() {
    let enforce = [("watershed.partitioner", "by-key"), ("watershed.partitioner.mode", "enforce")];
    let mut world = World::new(&enforce).await;
    let home = |key: &str| partition_of(key.as_bytes(), 2);
    let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
    let of_home = |n: u32| keys.iter().map(String::as_str).filter(|key| home(key) == n).collect::<Vec<_>>();
    assert_eq!(world.send(0, keyed(&of_home(0))).await.error_code, 0);
    assert_eq!(world.send(0, keyed(&[""])).await.error_code, 0, "without a key the client's choice stands");
    let strays = [of_home(0)[0], of_home(1)[0]];
    let answer = world.send(0, keyed(&strays)).await;
    assert_eq!(answer.error_code, i16::from(ErrorCode::InvalidRecord));
    assert_eq!(answer.record_errors.len(), 1);
    assert_eq!(answer.record_errors[0].batch_index, 1);
    let why = answer.record_errors[0].batch_index_error_message.clone().unwrap();
    assert_eq!(why, "it belongs to partition 1 by the partitioner by-key, not to 0");

    // Clients learn of new partitions after a while; until then what was right is right.
    let grown = watershed_controller::CreatePartitions { name: TOPIC.to_owned(), count: 5, assignments: None };
    world.stage.controller.create_partitions(vec![grown], false).await.unwrap().remove(0).unwrap();
    world.stage.settle().await;
    let of_both = keys.iter().find(|key| home(key) == 0 && partition_of(key.as_bytes(), 5) != 0).unwrap();
    assert_eq!(world.send(0, keyed(&[of_both])).await.error_code, 0);
    let of_neither = keys.iter().find(|key| home(key) != 0 && partition_of(key.as_bytes(), 5) != 0).unwrap();
    assert_ne!(world.send(0, keyed(&[of_neither])).await.error_code, 0);
    world.set(&[("watershed.enforce.grace.ms", "0")]).await.unwrap();
    assert_ne!(world.send(0, keyed(&[of_both])).await.error_code, 0, "and without patience it is wrong at once");

    world.set(&[("watershed.partitioner", "by-key:shadow")]).await.unwrap();
    assert_eq!(world.send(0, keyed(&[of_neither])).await.error_code, 0);
}

#[tokio::test]
async fn the_partitioner_goes_by_the_ordering_key() {
    let mut world = World::new(&[
        ("watershed.ordering.key", "first-byte"),
        ("watershed.partitioner", "by-key"),
        ("watershed.partitioner.mode", "enforce"),
    ])
    .await;
    for letter in ["a", "b", "c", "d", "e"] {
        let at_home = i32::try_from(partition_of(letter.as_bytes(), 2)).unwrap();
        let value = format!("{letter}...");
        assert_eq!(world.send(at_home, of(&[&value])).await.error_code, 0);
        assert_ne!(world.send(1 - at_home, of(&[&value])).await.error_code, 0);
    }
}

#[tokio::test]
async fn a_filter_hides_and_redacts_what_is_stored_as_it_was() {
    let mut world = World::new(&[("watershed.fetch.filter", "mask")]).await;
    world.send(0, of(&["a", "secret", "password"])).await;
    world.send(0, of(&["secret"])).await;
    world.send(0, sent_by(ProducerSequence::NONE, Compression::Zstd, &["secret", "b", "password"])).await;
    let seen = owned(&[(0, "a"), (2, "***"), (5, "b"), (6, "***")]);
    assert_eq!(world.values(TOPIC, 0).await, seen);
    assert_eq!(world.values(TOPIC, 3).await, seen[2..], "the batch without records is skipped");
    world.set(&[("watershed.fetch.filter", "mask:off")]).await.unwrap();
    assert_eq!(world.values(TOPIC, 0).await.len(), 7, "stored is what was sent");
    world.set(&[("watershed.fetch.filter", "mask")]).await.unwrap();
    world.send(0, of(&["trap"])).await;
    assert_eq!(world.read(TOPIC, 0).await.error_code, i16::from(ErrorCode::KafkaStorageError), "it fails closed");
}

#[tokio::test]
async fn only_plugins_that_are_there_can_be_bound() {
    let mut world = World::new(&[]).await;
    let invalid = i16::from(ErrorCode::InvalidConfig);
    for (configs, want) in [
        (&[("watershed.interceptors", "nobody")][..], "loaded are: again, obedient"),
        (&[("watershed.interceptors", "obedient,obedient:off")], "stands in the list twice"),
        (&[("watershed.interceptors", "obedient:sometimes")], "with :on, :shadow or :off"),
        (&[("watershed.fetch.filter", "obedient")], "loaded are: mask"),
        (&[("watershed.partitioner.mode", "enforce")], "enforce needs a partitioner"),
        (&[("watershed.partitioner.mode", "broker")], "broker needs a partitioner"),
        (&[("watershed.partitioner.mode", "both")], "it must be one of client, enforce, broker"),
        (
            &[("watershed.ordering.key", "first-byte"), ("cleanup.policy", "compact")],
            "reads values, and a tombstone of a compacted topic has none",
        ),
    ] {
        let (code, message) = world.set(configs).await.unwrap_err();
        assert!(code == invalid && message.contains(want), "{configs:?}: {code} {message}");
    }
    world.set(&[("watershed.interceptors", "again:shadow,obedient")]).await.unwrap();
}
