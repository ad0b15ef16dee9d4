//! A well-behaved client that must not notice anything.
//!
//! It produces a record, fetches it again, compares, and asks for metadata, over and over, on connections of its own. A
//! request of it that is not answered in time, or answered wrongly, fails the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use watershed_model::record::batches;
use watershed_protocol::messages::MetadataRequest;

use crate::common::Broker;
use crate::peer::{FETCH, METADATA, PRODUCE, Peer, fetch, produce};
use crate::process::until;

const TOPIC: &str = "witnessed";

/// The client, working in a thread of its own until [`Witness::finish`].
pub(crate) struct Witness {
    rounds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    /// Creates its topic and begins.
    pub(crate) fn start(broker: &Broker) -> Self {
        Peer::connect(broker).create(TOPIC, 1);
        let (rounds, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (mut producer, mut consumer) = (Peer::connect(broker), Peer::connect(broker));
        let (seen, stopped) = (Arc::clone(&rounds), Arc::clone(&stop));
        let work = move || {
            for number in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                round(&mut producer, &mut consumer, number);
                seen.fetch_add(1, Ordering::Relaxed);
            }
        };
        Self { rounds, stop, thread: Some(std::thread::spawn(work)) }
    }

    /// Waits until it has done some more, all of it after this call.
    pub(crate) fn goes_on(&self) {
        let wanted = self.rounds.load(Ordering::Relaxed) + 3;
        let thread = self.thread.as_ref().unwrap();
        until("the well-behaved client goes on", || {
            self.rounds.load(Ordering::Relaxed) >= wanted || thread.is_finished()
        });
        assert!(!thread.is_finished(), "the well-behaved client failed");
    }

    /// Ends it; its failure is the test's.
    pub(crate) fn finish(mut self) {
        self.goes_on();
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().expect("every request of the well-behaved client was answered rightly");
    }
}

fn round(producer: &mut Peer, consumer: &mut Peer, number: i64) {
    let value = format!("record {number}");
    let placed = producer.ask(&produce(TOPIC, 0, value.as_bytes()), PRODUCE);
    let placed = &placed.responses[0].partition_responses[0];
    assert_eq!((placed.error_code, placed.base_offset), (0, number), "{placed:?}");
    let fetched = consumer.ask(&fetch(TOPIC, 0, number, 1 << 20), FETCH);
    let fetched = &fetched.responses[0].partitions[0];
    assert_eq!(fetched.error_code, 0);
    let batch = batches(fetched.records.as_bytes().unwrap()).next().expect("the record is there").unwrap();
    assert_eq!(batch.owned_records().unwrap()[0].value.as_deref(), Some(value.as_bytes()));
    let metadata = consumer.ask(&MetadataRequest { topics: None, ..Default::default() }, METADATA);
    assert_eq!(metadata.brokers.len(), 1);
}
