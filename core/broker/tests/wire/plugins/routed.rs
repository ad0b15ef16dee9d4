//! `watershed.partitioner.mode = broker`: the broker takes records to their partitions.

use watershed_model::TopicIdPartition;
use watershed_storage::StorageError;
use watershed_testkit::Op;

use super::*;

const ROUTED: &[(&str, &str)] = &[("watershed.partitioner", "by-key"), ("watershed.partitioner.mode", "broker")];
const DIRECT: &[(&str, &str)] = &[("watershed.partitioner.mode", "client")];
const LATER: i16 = 19;

fn home(key: &str) -> i32 {
    i32::try_from(partition_of(key.as_bytes(), 2)).unwrap()
}

/// One record per key, whose value is the key with a number behind it.
fn numbered(producer: ProducerSequence, codec: Compression, first: usize, keys: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new().producer(producer).compression(codec, None);
    for (n, key) in keys.iter().enumerate() {
        let value = format!("{key}:{}", first + n);
        let headers = [(&b"h"[..], Some(&b"1"[..])), (&b"empty"[..], None)];
        let record = NewRecord { key: Some(key.as_bytes()), value: Some(value.as_bytes()), headers: &headers };
        builder.push(Timestamp(NOW - 10 * n as i64), record);
    }
    builder.build().unwrap()
}

impl World {
    async fn partition(&mut self, partition: i32) -> Vec<OwnedRecord> {
        let mut all = Vec::new();
        loop {
            let from = all.last().map_or(0, |record: &OwnedRecord| record.offset.0 + 1);
            let mut request = fetch(TOPIC, partition, from);
            request.max_wait_ms = 0;
            let data = fetched(&self.client.call(&request, FETCH).await).clone();
            let new: Vec<_> = records(&data).into_iter().filter(|record| record.offset.0 >= from).collect();
            if new.is_empty() {
                return all;
            }
            all.extend(new);
        }
    }

    /// The values of both partitions, once there are `count` of them and no more come.
    async fn arrived(&mut self, count: usize) -> [Vec<String>; 2] {
        let text = |record: OwnedRecord| String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap();
        crate::stage::guarded(async {
            loop {
                let mut found = [Vec::new(), Vec::new()];
                for (n, values) in found.iter_mut().enumerate() {
                    values.extend(self.partition(n as i32).await.into_iter().map(text));
                }
                let there: usize = found.iter().map(Vec::len).sum();
                assert!(there <= count, "more than was sent: {found:?}");
                if there == count {
                    self.stage.settle().await;
                    return found;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Sends until the answer is another than "later".
    async fn insist(&mut self, partition: i32, batch: &Bytes) -> PartitionProduceResponse {
        crate::stage::guarded(async {
            loop {
                let answer = self.send(partition, batch.clone()).await;
                if answer.error_code != LATER {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    fn ingress(&self, partition: i32) -> TopicIdPartition {
        self.stage.partition(partition).ingress()
    }
}

#[tokio::test]
async fn records_go_where_the_partitioner_says() {
    let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for codec in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut world = World::new(ROUTED).await;
        let answer = world.send(0, numbered(ProducerSequence::NONE, codec, 0, &keys)).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, 0), "{answer:?}");
        let answer = world.send(0, numbered(ProducerSequence::NONE, codec, 20, &keys)).await;
        assert_eq!(answer.base_offset, 20, "the receipt counts what came in");
        world.arrived(40).await;
        for number in 0..2 {
            let found = world.partition(number).await;
            let expect: Vec<_> = (0..40).filter(|n| home(keys[n % 20]) == number).collect();
            assert_eq!(found.len(), expect.len());
            for (record, n) in found.iter().zip(expect) {
                assert_eq!(record.key.as_deref(), Some(keys[n % 20].as_bytes()));
                assert_eq!(record.value.as_deref(), Some(format!("{}:{n}", keys[n % 20]).as_bytes()), "{codec:?}");
                assert_eq!(record.timestamp, Timestamp(NOW - 10 * (n % 20) as i64), "{codec:?}");
                assert_eq!((record.headers.len(), record.headers[1].1.as_ref()), (2, None));
            }
        }
    }
}

#[tokio::test]
async fn where_the_partitioner_leaves_it_to_the_client_its_choice_stands() {
    let mut world = World::new(ROUTED).await;
    world.send(1, keyed(&["", ""])).await;
    world.arrived(2).await;
    assert_eq!(world.partition(1).await.len(), 2);
    world.set(&[("watershed.partitioner", "by-key:shadow")]).await.unwrap();
    let stray = ["a", "b", "c", "d"].into_iter().find(|key| home(key) == 0).unwrap();
    assert_eq!(world.insist(1, &keyed(&[stray])).await.base_offset, 2, "in shadow nothing is moved");
}

#[tokio::test]
async fn what_interceptors_leave_is_taken_on() {
    let mut world = World::new(ROUTED).await;
    world.set(INTERCEPT).await.unwrap();
    let mut builder = BatchBuilder::new().producer(producer(0));
    for value in ["a", "drop", "replace:new", "drop", "b"] {
        builder.push(
            Timestamp(NOW),
            NewRecord { key: Some(value.as_bytes()), value: Some(value.as_bytes()), headers: &[] },
        );
    }
    assert_eq!(world.send(0, builder.build().unwrap()).await.base_offset, 0);
    let all_dropped = sent_by(producer(5), Compression::None, &["drop", "drop"]);
    assert_eq!(world.send(0, all_dropped).await.base_offset, 5);
    assert_eq!(world.send(0, sent_by(producer(7), Compression::None, &["c"])).await.base_offset, 7);
    let mut found = world.arrived(4).await.concat();
    found.sort();
    assert_eq!(found, ["a", "b", "c", "new"]);
}

#[tokio::test]
async fn a_batch_that_comes_again_is_there_once() {
    let mut world = World::new(ROUTED).await;
    let last = i32::MAX - 1;
    let keys = ["a", "b", "c", "d"];
    let first = numbered(producer(last), Compression::None, 0, &keys);
    assert_eq!(world.send(0, first.clone()).await.base_offset, 0);
    // The sequence goes round: 2^31-2, 2^31-1, 0, 1.
    let second = numbered(producer(2), Compression::None, 4, &keys);
    assert_eq!(world.send(0, second.clone()).await.base_offset, 4);
    assert_eq!(world.send(0, first).await.base_offset, 0);
    assert_eq!(world.send(0, second).await.base_offset, 4);
    let gap = world.send(0, numbered(producer(7), Compression::None, 8, &keys)).await;
    assert_eq!(gap.error_code, i16::from(ErrorCode::OutOfOrderSequenceNumber));
    world.arrived(8).await;
}

#[tokio::test]
async fn a_producer_goes_on_when_the_mode_changes() {
    let mut world = World::new(&[]).await;
    let keys = ["a", "b", "c", "d", "e"];
    let batch = |n: i32| numbered(producer(5 * n), Compression::None, 5 * n as usize, &keys);
    for n in 0..30 {
        // Two batches one way and two the other, then seven and seven.
        let direct = if n < 12 { n % 4 < 2 } else { n % 14 < 7 };
        world.set(if direct { DIRECT } else { ROUTED }).await.unwrap();
        let answer = world.insist(0, &batch(n)).await;
        assert_eq!(answer.error_code, 0, "batch {n}: {answer:?}");
        // It comes again, as do those before it, whichever way they came.
        for again in (n - 4).max(0)..=n {
            let answer = world.insist(0, &batch(again)).await;
            assert_eq!(answer.error_code, 0, "batch {again} again after {n}: {answer:?}");
        }
    }
    world.set(DIRECT).await.unwrap();
    assert_eq!(world.insist(0, &batch(30)).await.error_code, 0);
    let mut found = world.arrived(155).await.concat();
    found.sort_by_key(|value| value[2..].parse::<usize>().unwrap());
    let expect: Vec<_> = (0..155).map(|n| format!("{}:{n}", keys[n % 5])).collect();
    assert_eq!(found, expect);
}

#[tokio::test]
async fn nothing_enters_while_the_mode_changes_and_order_is_kept() {
    let mut world = World::new(&[]).await;
    world.stage.faults.hold_tickets();
    let one = numbered(producer(0), Compression::None, 0, &["a"]);
    let two = numbered(producer(1), Compression::None, 1, &["a"]);
    let three = numbered(producer(2), Compression::None, 2, &["a"]);
    let mut waiting = world.stage.client().await;
    let sent = waiting.send(&produce(TOPIC, 0, ALL, one.clone()), PRODUCE).await;
    world.stage.appended(1).await;
    world.set(ROUTED).await.unwrap();
    assert_eq!(world.send(0, two.clone()).await.error_code, LATER, "what was appended before is not promised");
    let overtaking = world.send(0, three.clone()).await.error_code;
    assert_eq!(overtaking, LATER);
    world.stage.faults.release_all();
    let answer: watershed_protocol::messages::produce::ProduceResponse = waiting.receive(sent).await;
    assert_eq!(placed(&answer).error_code, 0);
    for batch in [&one, &two, &three] {
        assert_eq!(world.insist(0, batch).await.error_code, 0);
    }
    let found = world.arrived(3).await;
    let expect = if home("a") == 0 { &["a:0", "a:1", "a:2"][..] } else { &["a:1", "a:2"] };
    assert_eq!(found[home("a") as usize], expect);

    // And back: nothing enters directly before everything is where it belongs.
    world.stage.faults.hold_tickets();
    let sent =
        waiting.send(&produce(TOPIC, 0, ALL, numbered(producer(3), Compression::None, 3, &["b"])), PRODUCE).await;
    let ingress = world.ingress(0);
    crate::stage::guarded(async {
        while world.stage.faults.release(ingress, 1) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let answer: watershed_protocol::messages::produce::ProduceResponse = waiting.receive(sent).await;
    assert_eq!((placed(&answer).error_code, placed(&answer).base_offset), (0, 2));
    world.set(DIRECT).await.unwrap();
    let last = numbered(producer(4), Compression::None, 4, &["b"]);
    for _ in 0..3 {
        assert_eq!(world.send(0, last.clone()).await.error_code, LATER, "a record is on its way");
    }
    world.stage.faults.release_all();
    assert_eq!(world.insist(0, &last).await.error_code, 0);
    world.arrived(5).await;
}

#[tokio::test]
async fn a_partition_that_takes_nothing_does_not_stop_the_others() {
    let mut world = World::new(ROUTED).await;
    let of = |number| ["a", "b", "c", "d", "e", "f"].into_iter().filter(|key| home(key) == number).collect::<Vec<_>>();
    let (zero, one) = (of(0), of(1));
    let mixed: Vec<_> = zero.iter().chain(&one).copied().collect();
    world.stage.faults.hold_tickets();
    let mut waiting = world.stage.client().await;
    let batch = numbered(producer(0), Compression::None, 0, &mixed);
    let sent = waiting.send(&produce(TOPIC, 0, ALL, batch), PRODUCE).await;
    world.stage.appended(1).await;
    // The next append is the router's to partition 0.
    world.stage.faults.fail_next(Op::Append, StorageError::Full { place: "memory".to_owned() });
    world.stage.faults.release_all();
    let answer: watershed_protocol::messages::produce::ProduceResponse = waiting.receive(sent).await;
    assert_eq!(placed(&answer).error_code, 0);
    crate::stage::guarded(async {
        while world.partition(1).await.len() < one.len() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(world.send(0, numbered(producer(6), Compression::None, 6, &mixed)).await.error_code, 0);
    let found = world.arrived(12).await;
    let order = |values: &[String]| values.iter().map(|v| v[2..].parse::<usize>().unwrap()).collect::<Vec<_>>();
    assert!(found.iter().all(|values| order(values).is_sorted()), "{found:?}");
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let mut world = World::new(ROUTED).await;
    world.set(&[("watershed.partitioner.backlog.bytes", "1048576")]).await.unwrap();
    world.stage.faults.hold_tickets();
    let big = vec![b'v'; 200_000];
    let batch = |sequence| {
        let mut builder = BatchBuilder::new().producer(producer(sequence));
        builder.push(Timestamp(NOW), NewRecord { key: Some(b"a"), value: Some(&big), headers: &[] });
        builder.build().unwrap()
    };
    // Nothing is promised, so nothing is taken on; acks=1 waits as well, acks=0 does not.
    let mut taken = 0;
    let refused = loop {
        let mut request = produce(TOPIC, 0, ALL, batch(taken));
        request.timeout_ms = 0;
        let answer = world.client.call(&request, PRODUCE).await;
        match placed(&answer).error_code {
            7 => taken += 1,
            code => break (code, placed(&answer).error_message.clone().unwrap()),
        }
    };
    assert_eq!((refused.0, taken), (LATER, 6), "{}", refused.1);
    assert!(refused.1.contains("watershed.partitioner.backlog.bytes allows 1048576"), "{}", refused.1);
    world.stage.faults.release_all();
    for sequence in 1..8 {
        assert_eq!(world.insist(0, &batch(sequence)).await.error_code, 0, "{sequence}");
    }
    world.arrived(8).await;
}

#[tokio::test]
async fn new_partitions_get_what_comes_after() {
    let mut world = World::new(ROUTED).await;
    let keys: Vec<String> = (0..12).map(|n| format!("{}", (b'a' + n) as char)).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    world.send(0, numbered(ProducerSequence::NONE, Compression::None, 0, &keys)).await;
    let grown = watershed_controller::CreatePartitions { name: TOPIC.to_owned(), count: 5, assignments: None };
    world.stage.controller.create_partitions(vec![grown], false).await.unwrap().remove(0).unwrap();
    world.stage.settle().await;
    assert_eq!(world.send(4, numbered(ProducerSequence::NONE, Compression::None, 12, &keys)).await.error_code, 0);
    crate::stage::guarded(async {
        loop {
            let mut found = Vec::new();
            for number in 0..5 {
                found.push(world.partition(number).await);
            }
            if found.iter().map(Vec::len).sum::<usize>() == 24 {
                for (number, records) in found.iter().enumerate() {
                    for record in records {
                        let key = record.key.as_deref().unwrap();
                        let n: usize =
                            std::str::from_utf8(&record.value.as_deref().unwrap()[2..]).unwrap().parse().unwrap();
                        assert_eq!(partition_of(key, if n < 12 { 2 } else { 5 }) as usize, number);
                    }
                }
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_deleted_topic_takes_its_ingress_logs_with_it() {
    let mut world = World::new(ROUTED).await;
    world.send(0, keyed(&["a", "b"])).await;
    world.arrived(2).await;
    let before = world.stage.faults.calls(Op::Destroy);
    world.stage.delete(TOPIC).await;
    crate::stage::guarded(async {
        while world.stage.faults.calls(Op::Destroy) < before + 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn ids_of_routers_are_not_for_clients() {
    let mut world = World::new(&[]).await;
    let id = ProducerId::routed(0);
    let batch = sent_by(ProducerSequence { id, ..producer(0) }, Compression::None, &["a"]);
    assert_eq!(world.send(0, batch).await.error_code, i16::from(ErrorCode::InvalidRecord));
}
