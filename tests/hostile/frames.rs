//! Bytes that are no requests, requests that cannot be, places that cannot be had.

use std::process::Command;

use watershed_protocol::messages::create_topics::CreatableTopic;
use watershed_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse, MetadataRequest,
    MetadataResponse,
};
use watershed_protocol::{ApiKey, ErrorCode, Message, ResponseHeader};

use crate::common::{self, Broker};
use crate::peer::{Peer, request};
use crate::process::resident_kib;

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
        ("an API that is not served", request(ApiKey::EndTxn.get(), 3, &[0; 40])),
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
    let resident = resident_kib(&broker);
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
