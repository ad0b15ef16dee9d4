//! Hostile and mistaken peers against the real binary: each is cut off or told what is wrong, and nobody else notices.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use common::Broker;
use watershed_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse, MetadataRequest,
    MetadataResponse, create_topics::CreatableTopic,
};
use watershed_protocol::{ApiKey, ErrorCode, Message, Request, ResponseHeader, encode_request};

/// How long a peer waits for an answer or for being cut off.
const PATIENCE: Duration = Duration::from_secs(30);

struct Peer(TcpStream);

impl Peer {
    fn connect(broker: &Broker) -> Self {
        let stream = TcpStream::connect(&broker.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        // The broker may have closed already, which is what is tested.
        let _ = self.0.write_all(bytes);
    }

    fn frame(&mut self) -> Option<Bytes> {
        let mut size = [0; 4];
        self.0.read_exact(&mut size).ok()?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        self.0.read_exact(&mut frame).ok()?;
        Some(frame.into())
    }

    fn ask<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let api = ApiKey::try_from(R::SCHEMA.api).unwrap();
        self.send(&encode_request(request, version, 7, None).unwrap());
        let (header, body) = ResponseHeader::decode(self.frame().unwrap(), api, version).unwrap();
        assert_eq!(header.correlation_id, 7);
        R::Response::decode(body, version).unwrap()
    }

    /// Whether the broker closes the connection without a word.
    fn is_cut(&mut self) -> bool {
        let mut rest = Vec::new();
        matches!(self.0.read_to_end(&mut rest), Ok(0)) || rest.is_empty()
    }
}

fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(9i32.to_be_bytes());
    frame.extend((-1i16).to_be_bytes());
    frame.extend(body);
    let mut out = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    out.extend(frame);
    out
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn hostile_frames_cost_their_sender_the_connection_and_nobody_anything() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let mut witness = Peer::connect(&broker);
    let huge_count = [&[0xff, 0xff][..], &1i16.to_be_bytes(), &0i32.to_be_bytes(), &i32::MAX.to_be_bytes()].concat();
    let noise: Vec<u8> = (1u32..4096).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a negative length", (-1i32).to_be_bytes().to_vec()),
        ("two gigabytes", i32::MAX.to_be_bytes().to_vec()),
        ("just over the limit", (100 * 1024 * 1024 + 1i32).to_be_bytes().to_vec()),
        ("a frame without a header", [&4i32.to_be_bytes()[..], &[0, 3, 0, 9]].concat()),
        ("a client id past the end", [&10i32.to_be_bytes()[..], &[0, 18, 0, 0, 0, 0, 0, 1, 0x7f, 0xff]].concat()),
        ("an unknown API", request(999, 0, &[])),
        ("an API that is not served", request(ApiKey::JoinGroup.get(), 5, &[0; 40])),
        ("a version that is not served", request(ApiKey::Metadata.get(), 99, &[])),
        ("Produce version 2", request(ApiKey::Produce.get(), 2, &[0; 20])),
        ("two billion topics", request(ApiKey::Produce.get(), 7, &huge_count)),
        ("random bytes", request(ApiKey::CreateTopics.get(), 7, &noise)),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ];
    for round in 0..20 {
        for (what, bytes) in &cases {
            let mut peer = Peer::connect(&broker);
            peer.send(bytes);
            assert!(peer.is_cut(), "{what} (round {round})");
        }
        let answer: MetadataResponse = witness.ask(&MetadataRequest { topics: None, ..Default::default() }, 12);
        assert_eq!(answer.brokers.len(), 1, "the other connection goes on");
    }
    let resident = resident_kib(broker.pid());
    assert!(resident < 256 * 1024, "{resident} KiB resident after hostile frames");
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let mut peer = Peer::connect(&broker);
    // The body of a flexible header: no tagged fields.
    peer.send(&request(ApiKey::ApiVersions.get(), 77, &[0]));
    let frame = peer.frame().unwrap();
    let (header, body) = ResponseHeader::decode(frame, ApiKey::ApiVersions, 0).unwrap();
    let answer = ApiVersionsResponse::decode(body, 0).unwrap();
    assert_eq!((header.correlation_id, answer.error_code), (9, ErrorCode::UnsupportedVersion.into()));
    let listed: Vec<_> = answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    assert_eq!(listed, [(18, 0, 4)]);
    // The same connection goes on with a version that is known; a bad software name is refused in it.
    let bad = ApiVersionsRequest { client_software_name: "-".into(), client_software_version: "1".into() };
    assert_eq!(peer.ask(&bad, 3).error_code, i16::from(ErrorCode::InvalidRequest));
    let good = ApiVersionsRequest { client_software_name: "test".into(), client_software_version: "1.0".into() };
    assert!(peer.ask(&good, 4).api_keys.len() > 20);
}

#[test]
fn topics_that_cannot_be_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let mut peer = Peer::connect(&broker);
    let long = "x".repeat(250);
    let cases: [(&str, i32, i16, ErrorCode); 11] = [
        ("", 1, 1, ErrorCode::InvalidTopicException),
        (".", 1, 1, ErrorCode::InvalidTopicException),
        ("..", 1, 1, ErrorCode::InvalidTopicException),
        ("a/b", 1, 1, ErrorCode::InvalidTopicException),
        ("\u{e9}", 1, 1, ErrorCode::InvalidTopicException),
        (&long, 1, 1, ErrorCode::InvalidTopicException),
        ("zero", 0, 1, ErrorCode::InvalidPartitions),
        ("minus", -5, 1, ErrorCode::InvalidPartitions),
        ("many", 10_000_000, 1, ErrorCode::PolicyViolation),
        ("replicas", 1, 3, ErrorCode::InvalidReplicationFactor),
        ("good.name", 1, 1, ErrorCode::None),
    ];
    for (name, num_partitions, replication_factor, code) in cases {
        let topic = CreatableTopic { name: name.into(), num_partitions, replication_factor, ..Default::default() };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, validate_only: false };
        let answer: CreateTopicsResponse = peer.ask(&request, 7);
        let result = &answer.topics[0];
        assert_eq!(ErrorCode::from_code(result.error_code), Some(code), "{name:?}: {:?}", result.error_message);
        assert_eq!(result.error_message.is_some(), code != ErrorCode::None, "{name:?} comes with a reason");
    }
    let topic =
        CreatableTopic { name: "good_name".into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, validate_only: false };
    let answer = peer.ask(&request, 7);
    assert_eq!(answer.topics[0].error_code, i16::from(ErrorCode::InvalidTopicException), "it collides with good.name");
}

#[test]
fn a_port_in_use_and_a_directory_that_cannot_be_written_are_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let start = |data: &str, address: &str| {
        let listener = format!("listeners=[{{name=\"PLAINTEXT\",address=\"{address}\"}}]");
        Command::new(common::PROGRAM)
            .args(["serve", "--set", &format!("data_dir={data}"), "--set", &listener])
            .args(["--set", "http.address=127.0.0.1:0"])
            .output()
            .unwrap()
    };
    let other = tempfile::tempdir().unwrap();
    let output = start(other.path().to_str().unwrap(), &broker.address);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && errors.contains(&broker.address), "{errors}");
    let output = start("/proc/nothing-can-be-made-here", "127.0.0.1:0");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && errors.contains("/proc/nothing-can-be-made-here"), "{errors}");
}
