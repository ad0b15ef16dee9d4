//! Newtypes for the numbers that must not be mixed up.
//!
//! Each wraps exactly what Kafka's protocol and record format carry, so conversion at the edge is free.

use std::fmt;
use std::str::FromStr;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The bare number, as the protocol carries it.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// A record's position in its partition's log. The end offset of a log is the offset the next record gets.
    Offset(i64)
}
number! {
    /// Counts the leaderships of a partition; never falls for one topic id (KIP-101, KIP-320).
    LeaderEpoch(i32)
}
number! {
    /// Names an idempotent or transactional producer (KIP-98).
    ProducerId(i64)
}
number! {
    /// Counts the incarnations of one [`ProducerId`] (KIP-98).
    ProducerEpoch(i16)
}
number! {
    /// Milliseconds since the Unix epoch; -1 where a record has none.
    Timestamp(i64)
}
number! {
    /// A broker's number in its cluster (`node.id`).
    BrokerId(i32)
}

impl Offset {
    /// The first offset of every new log.
    pub const ZERO: Self = Self(0);

    /// This offset moved by `n` records; saturates at the ends of the range.
    #[must_use]
    pub const fn plus(self, n: i64) -> Self {
        Self(self.0.saturating_add(n))
    }
}

impl LeaderEpoch {
    /// "No epoch": what Kafka writes where a leader epoch is unknown.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// "No producer id": the batch is not idempotent.
    pub const NONE: Self = Self(-1);

    /// The first of the ids under which brokers copy records from one log to another; no client is ever given one.
    pub const ROUTED: Self = Self(1 << 62);

    /// The id under which records that entered through a partition are copied to where they belong.
    #[must_use]
    pub const fn routed(partition: i32) -> Self {
        Self(Self::ROUTED.0 | partition as u32 as i64)
    }

    /// Whether this is one of the ids from [`ProducerId::ROUTED`] on.
    #[must_use]
    pub const fn is_routed(self) -> bool {
        self.0 >= Self::ROUTED.0
    }
}

impl ProducerEpoch {
    /// "No producer epoch": the batch is not idempotent.
    pub const NONE: Self = Self(-1);
}

impl Timestamp {
    /// "No timestamp".
    pub const NONE: Self = Self(-1);
}

/// A topic's identity for as long as it exists (KIP-516): a new topic of the same name has another one.
///
/// Sixteen bytes, shown and parsed as Kafka does: URL-safe base64 without padding, 22 characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

/// The cluster's identity: the same form as a [`TopicId`].
pub type ClusterId = TopicId;

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl TopicId {
    /// The id that stands for "none" in the protocol.
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is [`TopicId::ZERO`].
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 16]
    }

    /// Makes an id of 16 random bytes. Two values are never given out, as in Kafka: the reserved ids 0 and 1,
    /// and one whose text begins with a dash, which command lines would take for an option.
    #[must_use]
    pub fn random(mut bytes: impl FnMut() -> [u8; 16]) -> Self {
        loop {
            let id = Self(*uuid::Builder::from_random_bytes(bytes()).as_uuid().as_bytes());
            let reserved = id.0[..15] == [0; 15] && id.0[15] <= 1;
            if !reserved && !id.to_string().starts_with('-') {
                return id;
            }
        }
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 22];
        let bits = u128::from_be_bytes(self.0);
        for (i, slot) in text.iter_mut().enumerate() {
            // 22 digits of 6 bits hold 132: the last digit carries 2 bits of the id and 4 zero bits.
            let digit = if i < 21 { (bits >> (122 - 6 * i)) & 0x3f } else { (bits << 4) & 0x3f };
            *slot = BASE64URL[digit as usize];
        }
        f.pad(std::str::from_utf8(&text).expect("base64 digits are ASCII"))
    }
}

/// A text that is not a topic id: 22 characters of URL-safe base64 are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a topic id: 22 characters of URL-safe base64 are expected")]
pub struct ParseTopicIdError(String);

impl FromStr for TopicId {
    type Err = ParseTopicIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseTopicIdError(text.chars().take(64).collect());
        if text.len() != 22 {
            return Err(error());
        }
        let mut bits: u128 = 0;
        for (i, byte) in text.bytes().enumerate() {
            let digit = BASE64URL.iter().position(|b| *b == byte).ok_or_else(error)? as u128;
            bits = if i < 21 { (bits << 6) | digit } else { (bits << 2) | (digit >> 4) };
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

/// One partition of one incarnation of a topic. Shown as `<topic id>-<partition>`, which is also the name of
/// its directory on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIdPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicIdPartition {
    /// Added to a partition's number, it is the number of its ingress log: the log that keeps what was produced to the partition
    /// until it has been copied to where it belongs. No topic has so many partitions.
    pub const INGRESS: i32 = 1 << 30;

    /// The ingress log of this partition.
    #[must_use]
    pub const fn ingress(self) -> Self {
        Self { topic: self.topic, partition: self.partition | Self::INGRESS }
    }

    /// The partition whose ingress log this is; `None` for a partition.
    #[must_use]
    pub const fn ingress_of(self) -> Option<Self> {
        if self.partition < Self::INGRESS {
            return None;
        }
        Some(Self { topic: self.topic, partition: self.partition ^ Self::INGRESS })
    }
}

impl fmt::Display for TopicIdPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl FromStr for TopicIdPartition {
    type Err = ParseTopicIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseTopicIdError(text.chars().take(64).collect());
        // The id itself may contain dashes, so the split is by length.
        let (id, rest) = text.split_at_checked(22).ok_or_else(error)?;
        let digits = rest.strip_prefix('-').ok_or_else(error)?;
        let canonical = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
        let partition = digits.parse::<i32>().ok().filter(|_| canonical).ok_or_else(error)?;
        Ok(Self { topic: id.parse()?, partition })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_ids_are_shown_as_kafka_shows_them() {
        // The text Java's Uuid gives for these bytes.
        let id = TopicId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(id.to_string(), "AAECAwQFBgcICQoLDA0ODw");
        assert_eq!("AAECAwQFBgcICQoLDA0ODw".parse(), Ok(id));
        assert_eq!(TopicId([0xff; 16]).to_string(), "_____________________w");
    }

    #[test]
    fn a_partition_name_reads_back_and_nothing_else_does() {
        let tp = TopicIdPartition { topic: TopicId([0xfb; 16]), partition: 12 };
        assert_eq!(tp.to_string().parse(), Ok(tp));
        for bad in [
            "",
            "x-0",
            "AAECAwQFBgcICQoLDA0ODw",
            "AAECAwQFBgcICQoLDA0ODw-",
            "AAECAwQFBgcICQoLDA0ODw-01",
            "AAECAwQFBgcICQoLDA0ODw--1",
            "AAECAwQFBgcICQoLDA0OD\u{e9}-1",
            "AAECAwQFBgcICQoLDA0ODw-99999999999",
        ] {
            assert!(bad.parse::<TopicIdPartition>().is_err(), "{bad}");
        }
    }

    #[test]
    fn random_ids_avoid_the_reserved_ones() {
        let mut n = 0u8;
        let id = TopicId::random(|| {
            n += 1;
            if n == 1 { [0xfb; 16] } else { [n; 16] }
        });
        assert!(!id.to_string().starts_with('-') && !id.is_zero());
    }
}
