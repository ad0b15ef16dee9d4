//! Asking a group's coordinator, and members of classic groups.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use watershed_protocol::messages::join_group::JoinGroupRequestProtocol;
use watershed_protocol::messages::sync_group::SyncGroupRequestAssignment;
use watershed_protocol::messages::{
    FindCoordinatorRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use watershed_protocol::{ErrorCode, Request, StrBytes, encode_request};

use crate::{Failure, wire};

const FIND_VERSION: i16 = 4;
pub(crate) const JOIN_VERSION: i16 = 9;
pub(crate) const SYNC_VERSION: i16 = 5;

/// How long a coordinator may take until it is there.
const PATIENCE: Duration = Duration::from_secs(120);

/// The protocol of all our members.
const PROTOCOL: &str = "range";

/// Longer than any measurement, in milliseconds.
const TIMEOUT_MS: i32 = 120_000;

/// Whether an error says that the coordinator is not there yet.
pub(crate) fn is_coming(code: i16) -> bool {
    [ErrorCode::CoordinatorLoadInProgress, ErrorCode::CoordinatorNotAvailable, ErrorCode::NotCoordinator]
        .into_iter()
        .any(|coming| i16::from(coming) == code)
}

/// Asks again until `try_once` says something else than "not yet".
pub(crate) fn until<T>(mut try_once: impl FnMut() -> Result<Option<T>, Failure>) -> Result<T, Failure> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(done) = try_once()? {
            return Ok(done);
        }
        sleep(Duration::from_millis(5));
    }
    Err("the coordinator is not there in time".into())
}

/// Tells whoever measures the broker's CPU to begin.
pub(crate) fn say_warm() {
    println!("warm");
}

/// Waits for a group's coordinator, which makes `__consumer_offsets` if need be.
pub(crate) fn find(stream: &mut TcpStream, group: &str) -> Result<(), Failure> {
    let request = FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
    until(|| {
        let response = wire::call(stream, &request, FIND_VERSION)?;
        match response.coordinators.first().map(|found| found.error_code) {
            Some(0) => Ok(Some(())),
            Some(code) if is_coming(code) => Ok(None),
            other => Err(format!("FindCoordinator: {other:?}").into()),
        }
    })
}

/// A member of a classic group, on a connection of its own.
pub(crate) struct Member {
    pub(crate) stream: TcpStream,
    answers: BufReader<TcpStream>,
    pub(crate) group: String,
    pub(crate) id: String,
    pub(crate) generation: i32,
}

impl Member {
    /// Connects, and is given an id (KIP-394).
    pub(crate) fn new(bootstrap: &str, group: &str, topic: &str) -> Result<Self, Failure> {
        let stream = wire::connect(bootstrap)?;
        let answers = BufReader::new(stream.try_clone()?);
        let mut member = Self { stream, answers, group: group.to_owned(), id: String::new(), generation: -1 };
        find(&mut member.stream, group)?;
        let id = until(|| {
            member.send_join(topic, 0)?;
            let response = wire::decode::<JoinGroupRequest>(wire::read_frame(&mut member.answers)?, JOIN_VERSION)?;
            match response.error_code {
                code if code == i16::from(ErrorCode::MemberIdRequired) => Ok(Some(response.member_id)),
                code if is_coming(code) => Ok(None),
                code => Err(format!("JoinGroup without a member id: error {code}").into()),
            }
        })?;
        member.id = id;
        Ok(member)
    }

    fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<(), Failure> {
        Ok(self.stream.write_all(&encode_request(request, version, 0, Some(&StrBytes::from("load")))?)?)
    }

    /// Joins with metadata that differs from round to round, so that the group rebalances.
    pub(crate) fn send_join(&mut self, topic: &str, round: i32) -> Result<(), Failure> {
        let mut metadata = BytesMut::new();
        metadata.put_i16(0);
        metadata.put_i32(1);
        put_string(&mut metadata, topic);
        metadata.put_i32(4);
        metadata.put_i32(round);
        let protocol = JoinGroupRequestProtocol { name: PROTOCOL.to_owned(), metadata: metadata.freeze() };
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: TIMEOUT_MS,
            rebalance_timeout_ms: TIMEOUT_MS,
            member_id: self.id.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            ..JoinGroupRequest::default()
        };
        self.send(&request, JOIN_VERSION)
    }

    pub(crate) fn joined(&mut self) -> Result<JoinGroupResponse, Failure> {
        let response = wire::decode::<JoinGroupRequest>(wire::read_frame(&mut self.answers)?, JOIN_VERSION)?;
        if response.error_code != 0 {
            return Err(format!("JoinGroup: error {}", response.error_code).into());
        }
        self.generation = response.generation_id;
        Ok(response)
    }

    pub(crate) fn send_sync(&mut self, assignments: Vec<SyncGroupRequestAssignment>) -> Result<(), Failure> {
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some(PROTOCOL.to_owned()),
            assignments,
            ..SyncGroupRequest::default()
        };
        self.send(&request, SYNC_VERSION)
    }

    pub(crate) fn synced(&mut self) -> Result<SyncGroupResponse, Failure> {
        let response = wire::decode::<SyncGroupRequest>(wire::read_frame(&mut self.answers)?, SYNC_VERSION)?;
        if response.error_code != 0 {
            return Err(format!("SyncGroup: error {}", response.error_code).into());
        }
        Ok(response)
    }
}

/// A classic consumer's assignment: these partitions of a topic.
pub(crate) fn assignment(topic: &str, partitions: impl ExactSizeIterator<Item = i32>) -> Result<Bytes, Failure> {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(1);
    put_string(&mut bytes, topic);
    bytes.put_i32(i32::try_from(partitions.len())?);
    partitions.for_each(|partition| bytes.put_i32(partition));
    bytes.put_i32(-1);
    Ok(bytes.freeze())
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
    out.put_slice(text.as_bytes());
}
