//! What consumers say to each other through a classic group: subscriptions and assignments of the consumer protocol.
//!
//! Versions 0 to 3 of `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment` of Kafka 4.2.0. Both begin with their version
//! (16 bits). A newer version is read as version 3, because later ones may only add at the end; so what is left over is no error.
//! The bytes come from clients: whatever does not fit gives `None`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The protocol type of groups whose members speak this.
pub(super) const PROTOCOL_TYPE: &str = "consumer";

/// The newest version.
const VERSION_MAX: i16 = 3;
/// The first version of a subscription with owned partitions (KIP-429).
const VERSION_OWNED: i16 = 1;
/// The first version of a subscription with the generation in which they were owned (KIP-792).
const VERSION_GENERATION: i16 = 2;
/// The first version of a subscription with a rack (KIP-881).
const VERSION_RACK: i16 = 3;

/// Stands for null where bytes or a text could be.
const NULL: i32 = -1;
/// The generation of a member that was in none.
const NO_GENERATION: i32 = -1;

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicPartitions {
    /// The topic's name.
    pub(super) topic: String,
    /// Its partitions.
    pub(super) partitions: Vec<i32>,
}

/// What a member wants and has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    /// The version it came in, at most 3.
    pub(super) version: i16,
    /// The topics that it wants to consume.
    pub(super) topics: Vec<String>,
    /// What its assignor adds.
    pub(super) user_data: Option<Bytes>,
    /// What it owns; nothing before version 1.
    pub(super) owned_partitions: Vec<TopicPartitions>,
    /// The generation in which it owned them; -1 if it was in none, and before version 2.
    pub(super) generation_id: i32,
    /// Its rack; `None` before version 3.
    pub(super) rack_id: Option<String>,
}

/// What a member gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The partitions.
    pub(super) partitions: Vec<TopicPartitions>,
    /// What the assignor adds.
    pub(super) user_data: Option<Bytes>,
}

/// The version that a subscription or assignment is to be read in.
#[must_use]
pub(super) fn version(bytes: &Bytes) -> Option<i16> {
    Reader(bytes.clone()).version()
}

impl Subscription {
    /// Reads one.
    #[must_use]
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut reader = Reader(bytes.clone());
        let version = reader.version()?;
        let topics = reader.array(Reader::string)?;
        let user_data = reader.nullable_bytes()?;
        let owned_partitions =
            if version >= VERSION_OWNED { reader.array(Reader::topic_partitions)? } else { Vec::new() };
        let generation_id = if version >= VERSION_GENERATION { reader.int32()? } else { NO_GENERATION };
        let rack_id = if version >= VERSION_RACK { reader.nullable_string()? } else { None };
        let rack_id = rack_id.filter(|rack| !rack.is_empty());
        Some(Self { version, topics, user_data, owned_partitions, generation_id, rack_id })
    }

    /// Reads only the topics, as version 0 has them: they stand first in every version.
    #[must_use]
    pub(super) fn decode_topics(bytes: &Bytes) -> Option<Vec<String>> {
        let mut reader = Reader(bytes.clone());
        reader.version()?;
        let topics = reader.array(Reader::string)?;
        reader.nullable_bytes()?;
        Some(topics)
    }
}

/// Only tests speak as a client.
#[cfg(test)]
impl Subscription {
    /// Writes it in its version.
    #[must_use]
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(self.version);
        put_array(&mut out, &self.topics, |out, topic| put_string(out, topic));
        put_nullable_bytes(&mut out, self.user_data.as_ref());
        if self.version >= VERSION_OWNED {
            put_array(&mut out, &self.owned_partitions, put_topic_partitions);
        }
        if self.version >= VERSION_GENERATION {
            out.put_i32(self.generation_id);
        }
        if self.version >= VERSION_RACK {
            match &self.rack_id {
                Some(rack) => put_string(&mut out, rack),
                None => out.put_i16(-1),
            }
        }
        out.freeze()
    }
}

impl Assignment {
    /// Reads one.
    #[must_use]
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut reader = Reader(bytes.clone());
        reader.version()?;
        let partitions = reader.array(Reader::topic_partitions)?;
        let user_data = reader.nullable_bytes()?;
        Some(Self { partitions, user_data })
    }

    /// Writes it in a version, at most 3. The versions look the same but for their number.
    #[must_use]
    pub(super) fn encode(&self, version: i16) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(version.clamp(0, VERSION_MAX));
        put_array(&mut out, &self.partitions, put_topic_partitions);
        put_nullable_bytes(&mut out, self.user_data.as_ref());
        out.freeze()
    }
}

/// Reads numbers and texts while there are bytes left for them.
struct Reader(Bytes);

impl Reader {
    fn version(&mut self) -> Option<i16> {
        let version = self.0.try_get_i16().ok()?;
        (version >= 0).then_some(version.min(VERSION_MAX))
    }

    fn int32(&mut self) -> Option<i32> {
        self.0.try_get_i32().ok()
    }

    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn string(&mut self) -> Option<String> {
        self.nullable_string()?
    }

    /// The inner `None` is null.
    fn nullable_string(&mut self) -> Option<Option<String>> {
        let length = self.0.try_get_i16().ok()?;
        if i32::from(length) == NULL {
            return Some(None);
        }
        let bytes = self.take(usize::try_from(length).ok()?)?;
        std::str::from_utf8(&bytes).ok().map(|text| Some(text.to_owned()))
    }

    /// The inner `None` is null.
    fn nullable_bytes(&mut self) -> Option<Option<Bytes>> {
        let length = self.int32()?;
        if length == NULL {
            return Some(None);
        }
        self.take(usize::try_from(length).ok()?).map(Some)
    }

    /// The count is only believed as far as there are bytes: elements are made one by one.
    fn array<T>(&mut self, mut element: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.int32()?).ok()?;
        if count > self.0.len() {
            return None;
        }
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Some(elements)
    }

    fn topic_partitions(&mut self) -> Option<TopicPartitions> {
        Some(TopicPartitions { topic: self.string()?, partitions: self.array(Self::int32)? })
    }
}

fn put_string(out: &mut BytesMut, text: &str) {
    let end = text.floor_char_boundary(i16::MAX as usize);
    debug_assert_eq!(end, text.len(), "names of topics and racks are short");
    out.put_i16(end as i16);
    out.put_slice(&text.as_bytes()[..end]);
}

fn put_nullable_bytes(out: &mut BytesMut, bytes: Option<&Bytes>) {
    match bytes {
        Some(bytes) => {
            out.put_i32(i32::try_from(bytes.len()).expect("user data fits into a request"));
            out.put_slice(bytes);
        }
        None => out.put_i32(NULL),
    }
}

fn put_array<T>(out: &mut BytesMut, elements: &[T], mut put: impl FnMut(&mut BytesMut, &T)) {
    out.put_i32(i32::try_from(elements.len()).expect("there are fewer partitions than 2^31"));
    for element in elements {
        put(out, element);
    }
}

fn put_topic_partitions(out: &mut BytesMut, of_topic: &TopicPartitions) {
    put_string(out, &of_topic.topic);
    put_array(out, &of_topic.partitions, |out, partition| out.put_i32(*partition));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(version: i16) -> Subscription {
        Subscription {
            version,
            topics: vec!["a".to_owned(), "bc".to_owned()],
            user_data: Some(Bytes::from_static(b"xyz")),
            owned_partitions: match version {
                0 => Vec::new(),
                _ => vec![TopicPartitions { topic: "a".to_owned(), partitions: vec![0, 7] }],
            },
            generation_id: if version < 2 { -1 } else { 5 },
            rack_id: (version >= 3).then(|| "r".to_owned()),
        }
    }

    #[test]
    fn subscriptions_have_kafkas_layout() {
        // Written out by hand from the message's definition.
        let prefix = b"\0\0\0\x02\0\x01a\0\x02bc\0\0\0\x03xyz";
        let owned = b"\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x07";
        let mut expected = [&[0, 3][..], prefix, owned, b"\0\0\0\x05", b"\0\x01r"].concat();
        assert_eq!(subscription(3).encode(), expected);
        let rack = expected.len() - 3;
        expected.truncate(rack);
        expected.extend(b"\xff\xff");
        assert_eq!(Subscription { rack_id: None, ..subscription(3) }.encode(), expected);
        assert_eq!(subscription(0).encode(), [&[0, 0][..], prefix].concat());
        let assignment = Assignment { partitions: subscription(3).owned_partitions, user_data: None };
        assert_eq!(assignment.encode(1), [&[0, 1][..], owned, b"\xff\xff\xff\xff"].concat());
    }

    #[test]
    fn what_is_written_is_read() {
        for version in 0..=3 {
            let subscription = subscription(version);
            let bytes = subscription.encode();
            assert_eq!(Subscription::decode(&bytes), Some(subscription.clone()));
            assert_eq!(Subscription::decode_topics(&bytes), Some(subscription.topics));
            let assignment =
                Assignment { partitions: subscription.owned_partitions, user_data: Some(Bytes::from_static(b"")) };
            assert_eq!(Assignment::decode(&assignment.encode(version)), Some(assignment));
        }
    }

    #[test]
    fn newer_versions_are_read_as_the_newest_that_is_known() {
        let mut bytes = subscription(3).encode().to_vec();
        bytes[1] = 9;
        bytes.extend(b"something new");
        assert_eq!(Subscription::decode(&bytes.into()), Some(subscription(3)));
        assert_eq!(version(&Bytes::from_static(b"\0\x09")), Some(3));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for version in 0..=3 {
            let bytes = subscription(version).encode();
            for cut in 0..bytes.len() {
                assert_eq!(Subscription::decode(&bytes.slice(..cut)), None, "version {version} cut at {cut}");
            }
        }
        let garbage: [&'static [u8]; 7] = [
            b"",
            b"\0",
            b"\xff\xff\0\0\0\0\xff\xff\xff\xff",
            b"\0\0\x7f\xff\xff\xff",
            b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\0\0\0\0\0\x01\0\x01\xff\xff\xff\xff\xff",
            b"\0\0\0\0\0\x01\xff\xff\xff\xff\xff\xff",
        ];
        for bytes in garbage.map(Bytes::from_static) {
            assert_eq!(Subscription::decode(&bytes), None, "{bytes:?}");
            assert_eq!(Subscription::decode_topics(&bytes), None, "{bytes:?}");
        }
    }
}
