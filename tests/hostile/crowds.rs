//! Very many connections, and what happens when there can be no more.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::common::Broker;
use crate::peer::{METADATA, PRODUCE, Peer, produce};
use crate::process::{cpu, resident_kib, say, sockets, until};
use crate::witness::Witness;
use watershed_protocol::messages::MetadataRequest;

const CROWD: usize = 10_000;

/// What the broker keeps of its file descriptors for segments and for itself, at most.
const BROKERS_OWN_FILES: usize = 8_192 + 256;

/// What this process needs beside the crowd's sockets.
const OWN_FILES: usize = 512;

/// What an idle connection may cost the broker, in KiB.
const IDLE_KIB_MAX: u64 = 16;

/// Raises this process's limit of open files as far as it goes (children inherit it); what it is then.
fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, wanted).unwrap();
    limit.maximum.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX))
}

fn asks_metadata(peer: &mut Peer) -> bool {
    peer.ask(&MetadataRequest { topics: None, ..Default::default() }, METADATA).brokers.len() == 1
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_disturb_nobody() {
    let room = raise_file_limit();
    let crowd = CROWD.min(room.saturating_sub(BROKERS_OWN_FILES)).min(room.saturating_sub(OWN_FILES));
    if crowd < CROWD {
        say(&format!("the limit of open files is {room}: {crowd} connections instead of {CROWD}"));
    }
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let witness = Witness::start(&broker);
    witness.goes_on();
    let before = resident_kib(&broker);
    let mut peers = Vec::with_capacity(crowd);
    for number in 0..crowd {
        let mut peer = Peer::connect(&broker);
        // Each has asked something once, as real clients have.
        assert!(asks_metadata(&mut peer));
        peers.push(peer);
        if number % 1000 == 0 {
            witness.goes_on();
        }
    }
    let grown = resident_kib(&broker).saturating_sub(before);
    let each = grown * 1024 / crowd.max(1) as u64;
    say(&format!("{crowd} idle connections: {grown} KiB, {each} bytes each"));
    assert!(grown <= IDLE_KIB_MAX * crowd as u64, "{each} bytes for an idle connection");
    witness.goes_on();
    let (began, spent) = (Instant::now(), cpu(&broker));
    // All of them are still there, first and last.
    assert!(asks_metadata(&mut peers[0]) && asks_metadata(peers.last_mut().unwrap()));
    witness.goes_on();
    let rounds = (cpu(&broker) - spent).as_secs_f64() / began.elapsed().as_secs_f64();
    say(&format!("meanwhile the broker used {:.0} % of a CPU for one busy client", rounds * 100.0));
    drop(peers);
    witness.goes_on();
    until("their sockets are closed", || sockets(&broker) < 100);
    witness.finish();
}

#[test]
fn without_file_descriptors_newcomers_are_turned_away_and_everybody_else_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start_with_files(dir.path(), 256);
    let witness = Witness::start(&broker);
    let mut working = Peer::connect(&broker);
    working.create("before", 1);
    witness.goes_on();
    // More than the broker can have; the system takes them all, whatever the broker does.
    let mut crowd: Vec<Peer> = Vec::new();
    for _ in 0..400 {
        let Ok(stream) = TcpStream::connect_timeout(&broker.address.parse().unwrap(), Duration::from_secs(5)) else {
            break;
        };
        crowd.push(Peer(stream));
    }
    witness.goes_on();
    // Segments have a reserve: topics can be made and written to for the first time.
    for number in 0..20 {
        let name = format!("new-{number}");
        working.create(&name, 2);
        for partition in 0..2 {
            let placed = working.ask(&produce(&name, partition, b"first"), PRODUCE);
            assert_eq!(placed.responses[0].partition_responses[0].error_code, 0, "{name}-{partition}");
        }
    }
    // No busy loop, and the witness is at work all the time.
    let (began, spent) = (Instant::now(), cpu(&broker));
    std::thread::sleep(Duration::from_secs(1));
    let share = (cpu(&broker) - spent).as_secs_f64() / began.elapsed().as_secs_f64();
    say(&format!("with no file descriptors left the broker used {:.0} % of a CPU", share * 100.0));
    assert!(share < 0.9, "{share:.2} CPUs while newcomers are turned away");
    drop(crowd);
    until("newcomers are served again", || {
        TcpStream::connect(&broker.address).is_ok_and(|stream| {
            let mut peer = Peer(stream);
            peer.0.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            peer.send(&crate::peer::metadata());
            peer.frame().is_some()
        })
    });
    assert!(asks_metadata(&mut working));
    witness.finish();
}
