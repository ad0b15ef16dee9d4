//! Those who send slowly, never finish, or send as much as they may.

use std::io::Write;
use std::time::Duration;

use crate::common::Broker;
use crate::peer::{METADATA, PRODUCE, Peer, encoded, metadata, produce, request};
use crate::process::{resident_kib, say, sockets, until};
use crate::witness::Witness;
use watershed_protocol::ApiKey;
use watershed_protocol::messages::{MetadataRequest, ProduceRequest};

/// What a frame may announce at most (`socket.request.max.bytes`).
const FRAME_BYTES_MAX: i32 = 100 * 1024 * 1024;

#[test]
fn requests_that_come_byte_by_byte_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let witness = Witness::start(&broker);
    let whole = metadata();
    let mut peers: Vec<Peer> = (0..200).map(|_| Peer::connect(&broker)).collect();
    for (number, byte) in whole.iter().enumerate() {
        for peer in &mut peers {
            peer.0.write_all(&[*byte]).unwrap();
        }
        if number % 8 == 0 {
            witness.goes_on();
        }
    }
    for peer in &mut peers {
        assert_eq!(peer.answer::<MetadataRequest>(METADATA).brokers.len(), 1);
    }
    witness.finish();
}

/// The start of a Produce frame of this size: enough to tell what it will be.
fn announcement(size: i32) -> Vec<u8> {
    let mut bytes = request(ApiKey::Produce.get(), PRODUCE, &[]);
    bytes[..4].copy_from_slice(&size.to_be_bytes());
    bytes
}

#[test]
fn frames_that_are_announced_and_do_not_come_cost_nobody_else_anything() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let witness = Witness::start(&broker);
    let before = resident_kib(&broker);
    // Together they announce eight times the budget of Produce requests in flight.
    let mut peers: Vec<Peer> = (0..20).map(|_| Peer::connect(&broker)).collect();
    for peer in &mut peers {
        peer.send(&announcement(FRAME_BYTES_MAX));
        let mut large = request(ApiKey::Metadata.get(), METADATA, &[]);
        large[..4].copy_from_slice(&FRAME_BYTES_MAX.to_be_bytes());
        peer.send(&large);
    }
    witness.goes_on();
    // A little now and then, as if they meant it.
    for _ in 0..5 {
        for peer in &mut peers {
            peer.send(&[0; 100]);
        }
        witness.goes_on();
    }
    let grown = resident_kib(&broker).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more for frames that did not come");
    witness.finish();
}

#[test]
fn a_burst_of_the_largest_requests_is_answered_within_bounded_memory() {
    const PEERS: usize = 16;
    const EACH: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    // 16 MiB in flight for 128 MiB that come at once.
    let broker = Broker::start(
        dir.path(),
        0,
        &["\"queued.max.request.bytes\" = 16777216", "\"socket.request.max.bytes\" = 4194304"],
    );
    let witness = Witness::start(&broker);
    Peer::connect(&broker).create("large", 4);
    witness.goes_on();
    let before = resident_kib(&broker);
    let value = vec![b'v'; 1024 * 1024 - 200];
    let value = &value;
    let broker = &broker;
    let most = std::thread::scope(|scope| {
        let peers: Vec<_> = (0..PEERS)
            .map(|number| {
                scope.spawn(move || {
                    let frame = encoded(&produce("large", (number % 4) as i32, value), PRODUCE);
                    let mut peer = Peer::connect(broker);
                    let mut reader = Peer(peer.0.try_clone().unwrap());
                    let sender = std::thread::spawn(move || (0..EACH).for_each(|_| peer.send(&frame)));
                    for _ in 0..EACH {
                        let placed = reader.answer::<ProduceRequest>(PRODUCE);
                        assert_eq!(placed.responses[0].partition_responses[0].error_code, 0);
                    }
                    sender.join().unwrap();
                })
            })
            .collect();
        let mut most = before;
        until("the burst is answered", || {
            most = most.max(resident_kib(broker));
            peers.iter().all(|peer| peer.is_finished())
        });
        peers.into_iter().for_each(|peer| peer.join().unwrap());
        most
    });
    say(&format!("a burst of {} MiB took {} KiB of memory", PEERS * EACH, most - before));
    // The budget, what the allocator keeps of freed buffers, and the same again for surprises.
    assert!(most - before < 96 * 1024, "{} KiB more during the burst", most - before);
    witness.finish();
}

#[test]
fn a_client_that_reconnects_in_a_loop_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let witness = Witness::start(&broker);
    let whole = metadata();
    let round = |count: usize| {
        for number in 0..count {
            let mut peer = Peer::connect(&broker);
            match number % 4 {
                // At once; in the middle of a request; without reading the answer; after it.
                0 => {}
                1 => peer.send(&whole[..whole.len() / 2]),
                2 => peer.send(&whole),
                _ => drop(peer.ask(&MetadataRequest { topics: None, ..Default::default() }, METADATA)),
            }
        }
    };
    round(200);
    witness.goes_on();
    let (sockets_before, before) = (sockets(&broker), resident_kib(&broker));
    round(2000);
    witness.goes_on();
    until("their sockets are closed", || sockets(&broker) <= sockets_before.max(16));
    let grown = resident_kib(&broker).saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB more after 2000 connections that came and went");
    witness.finish();
}

#[test]
fn a_frame_that_does_not_come_on_costs_its_sender_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let mut peer = Peer::connect(&broker);
    peer.0.set_read_timeout(Some(Duration::from_secs(180))).unwrap();
    peer.send(&announcement(FRAME_BYTES_MAX));
    assert!(peer.is_cut(), "half a frame is not waited for for ever");
}
