//! What the framing accepts, and that no changed bit gets past it.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::conformance::harness::{frame, wire};

#[test]
fn a_frame_says_what_was_put_in() {
    let one = frame(1_000, 7, 3, 99, 50);
    let bytes = wire([&one]);
    assert_eq!(BatchFraming.parse(&bytes).unwrap(), one.meta);
    assert_eq!(BatchFraming.parse(&bytes[..BatchFraming.head_bytes()]).unwrap(), one.meta);
    assert_eq!(BatchFraming.verify(&bytes).unwrap(), one.meta);
}

#[test]
fn every_bit_behind_the_checksum_counts() {
    let bytes = wire([&frame(1_000, 7, 3, 99, 20)]);
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // Base offset and epoch may be patched in place: the checksum does not cover them, and all that can be
        // said of them is whether they are possible (a negative offset is not).
        let patched = matches!(bit / 8, 0..8 | 12..16) && bit != 7;
        assert_eq!(BatchFraming.verify(&changed).is_ok(), patched, "bit {bit}");
    }
}

#[test]
fn what_is_cut_is_no_frame() {
    let bytes = wire([&frame(0, 1, 0, 0, 30)]);
    for len in 0..bytes.len() {
        assert!(BatchFraming.verify(&bytes[..len]).is_err(), "{len} bytes");
        assert_eq!(BatchFraming.parse(&bytes[..len]).is_ok(), len >= HEADER_BYTES, "{len} bytes");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(BatchFraming.verify(&longer).is_err());
}

#[test]
fn impossible_headers_are_refused() {
    let good = wire([&frame(5, 2, 0, 0, 10)]);
    let cases: &[(usize, &[u8], &str)] = &[
        (0, &[0xff; 8], "base offset -1 with last offset delta 1 is impossible"),
        (23, &[0xff; 4], "base offset 5 with last offset delta -1 is impossible"),
        (8, &[0, 0, 0, 48], "less than its own header"),
        (8, &[0xff; 4], "less than its own header"),
        (16, &[1], "only 2 is stored"),
    ];
    for (at, bytes, want) in cases {
        let mut head = good.clone();
        head[*at..at + bytes.len()].copy_from_slice(bytes);
        let said = BatchFraming.parse(&head).unwrap_err().to_string();
        assert!(said.contains(want), "{said:?} has not {want:?}");
    }
}
