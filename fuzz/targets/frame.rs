//! A connection's bytes: frames, then what stands in front of requests and responses.
//!
//! However the bytes arrive cut into pieces, the same frames come out; nothing is reserved on the word of a length; a
//! header that was read reads the same when it is written again.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use watershed_fuzz::{Input, meter, seeds};
use watershed_protocol::frame::split_frame;
use watershed_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use watershed_protocol::{ApiKey, RequestHeader, ResponseHeader, StrBytes, Writer, encode_request};

/// What a reader may take for each byte: a frame without content is four bytes on the wire, and a handle here.
const MEMORY_PER_BYTE_MAX: usize = 40;

/// Every frame up to the first that cannot be, and whether there was one.
fn frames(pieces: impl Iterator<Item = Bytes>, max: usize) -> (Vec<Bytes>, bool) {
    let (mut received, mut found) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        received.extend_from_slice(&piece);
        loop {
            match split_frame(&mut received, max) {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

fn read_headers(frame: &Bytes) {
    if let Ok((header, body)) = RequestHeader::decode(frame.clone()) {
        let mut writer = Writer::new();
        header.encode(&mut writer).expect("what was read can be written");
        let again = writer.into_bytes().expect("it holds no file");
        let (second, rest) = RequestHeader::decode([again, body.clone()].concat().into()).expect("we wrote it");
        assert_eq!((&second, &rest), (&header, &body));
    }
    for (api, version) in [(ApiKey::Fetch, 4), (ApiKey::Fetch, 13), (ApiKey::ApiVersions, 4)] {
        if let Ok((header, body)) = ResponseHeader::decode(frame.clone(), api, version) {
            let mut writer = Writer::new();
            header.encode(&mut writer, api, version);
            let again = writer.into_bytes().expect("it holds no file");
            let (second, rest) =
                ResponseHeader::decode([again, body.clone()].concat().into(), api, version).expect("we wrote it");
            assert_eq!((second, rest), (header, body));
        }
    }
}

fn honest() -> Vec<Vec<u8>> {
    let id = StrBytes::from_static("a client");
    let mut found = Vec::new();
    for version in [0, 3, 4] {
        let request = ApiVersionsRequest { client_software_name: "x".into(), client_software_version: "1".into() };
        let first = encode_request(&request, version, 1, Some(&id)).expect("it is a served version");
        let second = encode_request(&MetadataRequest::default(), 12, 2, None).expect("it is a served version");
        found.push([&[3, 255], &first[..], &second[..]].concat());
    }
    found.push([&[1, 10], &(-1i32).to_be_bytes()[..]].concat());
    found
}

fuzz_target!(init: seeds::write_if_asked(honest()), |data: &[u8]| {
    let mut input = Input::new(data);
    let (step, max) = (usize::from(input.byte()) + 1, usize::from(input.byte()) * 16);
    let bytes = Bytes::copy_from_slice(input.rest());
    let (whole, _) = meter::peak(|| frames(std::iter::once(bytes.clone()), max));
    let pieces = bytes.chunks(step).map(|piece| bytes.slice_ref(piece));
    let (cut, peak) = meter::peak(|| frames(pieces, max));
    assert!(peak <= MEMORY_PER_BYTE_MAX * bytes.len() + 4096, "{peak} bytes taken for {}", bytes.len());
    assert_eq!(whole, cut, "frames depend on how their bytes arrive");
    for frame in &whole.0 {
        assert!(frame.len() <= max);
        read_headers(frame);
    }
    read_headers(&bytes);
});
