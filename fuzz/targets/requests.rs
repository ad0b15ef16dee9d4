//! Every request and response, in every version: the first two bytes choose which, the rest is its body.
//!
//! A decoder answers with an error or a message, in memory in proportion to the bytes. A message that was read can be
//! written in its version and reads the same then; the lenient decoder agrees with the strict one.
#![no_main]

#[path = "../../core/protocol/tests/common/mod.rs"]
mod common;

use bytes::Bytes;
use common::{Choices, Random, for_every_message, message};
use libfuzzer_sys::fuzz_target;
use watershed_fuzz::{Input, meter, seeds};
use watershed_model::limits::{DECODED_MEMORY_MIN, DECODED_MEMORY_PER_BYTE_MAX};
use watershed_protocol::Message;
use watershed_protocol::messages::{self, SCHEMAS};

/// Beyond the arrays: texts that are copied, and an error.
fn memory_max(length: usize) -> usize {
    DECODED_MEMORY_MIN.max(DECODED_MEMORY_PER_BYTE_MAX * length) + 2 * length + 1024
}

fn check<M: Message + PartialEq + std::fmt::Debug>(body: &[u8], version: u8) {
    let versions = M::SCHEMA.versions;
    let count = versions.max() - versions.min() + 1;
    let version = versions.min() + i16::from(version) % count;
    let body = Bytes::copy_from_slice(body);
    let (decoded, peak) = meter::peak(|| M::decode(body.clone(), version));
    assert!(peak <= memory_max(body.len()), "{} v{version}: {peak} bytes taken for {}", M::NAME, body.len());
    let lenient = M::decode_leniently(body, version);
    let Ok(decoded) = decoded else { return };
    assert_eq!(lenient.as_ref(), Ok(&decoded), "{} v{version}", M::NAME);
    let written = decoded.encode_to_bytes(version).expect("what a version carried it can carry");
    let again = M::decode(written, version).expect("we wrote it");
    assert_eq!(again, decoded, "{} v{version}", M::NAME);
}

type Check = fn(&[u8], u8);

macro_rules! checks {
    ($($name:ident)*) => {
        const CHECKS: &[Check] = &[$(check::<messages::$name>,)*];
        const NAMES: &[&str] = &[$(stringify!($name),)*];
    };
}

for_every_message!(checks);

/// Valid messages, made from the protocol's own description.
fn honest() -> Vec<Vec<u8>> {
    assert_eq!(CHECKS.len(), SCHEMAS.len(), "every message that there is is fuzzed");
    let mut random = Random(1);
    let mut found = Vec::new();
    for (index, name) in NAMES.iter().enumerate() {
        let schema = SCHEMAS.iter().find(|schema| schema.body.name == *name).expect("names are the schemas'");
        let versions = schema.versions;
        for version in versions.min()..=versions.max() {
            let choices = random.bytes(60);
            let body = message(schema, version, &mut Choices(&choices));
            let offset = u8::try_from(version - versions.min()).expect("no message has so many versions");
            let index = u8::try_from(index).expect("there are not so many messages");
            found.push([&[index, offset], &body[..]].concat());
        }
    }
    found
}

fuzz_target!(init: seeds::write_if_asked(honest()), |data: &[u8]| {
    let mut input = Input::new(data);
    let (which, version) = (usize::from(input.byte()) % CHECKS.len(), input.byte());
    CHECKS[which](input.rest(), version);
});
