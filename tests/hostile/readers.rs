//! Those who ask and do not read the answers.

use std::io::Write;

use crate::common::Broker;
use crate::peer::{FETCH, PRODUCE, Peer, encoded, fetch, metadata, produce};
use crate::process::{resident_kib, say, sockets, until};
use crate::witness::Witness;

/// How much of a response fits the kernel's buffers of both ends at most, generously.
const PIPE_BYTES: usize = 16 << 20;

/// A topic with so many records of 512 KiB.
fn filled(broker: &Broker, records: usize) {
    let mut peer = Peer::connect(broker);
    peer.create("large", 1);
    for _ in 0..records {
        let placed = peer.ask(&produce("large", 0, &[b'v'; 512 * 1024]), PRODUCE);
        assert_eq!(placed.responses[0].partition_responses[0].error_code, 0);
    }
}

#[test]
fn answers_that_are_not_read_hold_up_their_own_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    filled(&broker, 64);
    let witness = Witness::start(&broker);
    witness.goes_on();
    let before = resident_kib(&broker);
    let fetches = encoded(&fetch("large", 0, 0, 50 << 20), FETCH).repeat(1000);
    let asks = metadata().repeat(20_000);
    let mut peers: Vec<Peer> = (0..20).map(|_| Peer::connect(&broker)).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        let requests = if number % 2 == 0 { &fetches } else { &asks };
        peer.push(requests);
    }
    witness.goes_on();
    let grown = resident_kib(&broker).saturating_sub(before);
    say(&format!("20 clients that do not read their answers took {grown} KiB"));
    assert!(grown < 48 * 1024, "{grown} KiB more for answers that are not read");
    // Whoever begins to read gets everything.
    let first = peers[0].frame().expect("the answer goes on");
    assert!(first.len() > 64 * 512 * 1024);
    witness.finish();
}

#[test]
fn a_client_that_does_not_read_is_let_go_after_the_idle_time() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &["\"connections.max.idle.ms\" = 3000"]);
    filled(&broker, 2 * PIPE_BYTES / (512 * 1024));
    let witness = Witness::start(&broker);
    witness.goes_on();
    let sockets_before = sockets(&broker);
    let mut peer = Peer::connect(&broker);
    peer.push(&encoded(&fetch("large", 0, 0, i32::MAX), FETCH));
    until("it is cut off", || {
        // Writing shows it: what it reads first are the answers that came before.
        peer.0.write_all(&metadata()).is_err()
    });
    until("its socket is closed", || sockets(&broker) <= sockets_before);
    witness.finish();
}
