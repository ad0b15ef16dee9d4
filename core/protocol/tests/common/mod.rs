//! Valid messages of every kind, made from their schemas and a string of random bytes.
//!
//! The bytes are written here by the description alone and not by the codec under test, so that a mistake of the
//! codec's does not repeat itself.
#![allow(dead_code, unused_macros, unused_imports, reason = "each test file uses its own part")]

use watershed_protocol::schema::{FieldSchema, Kind, MessageSchema, StructSchema, TypeSchema};

/// Calls a macro with the name of every message type.
macro_rules! for_every_message {
    ($call:ident) => {
        $call! {
            ProduceRequest ProduceResponse FetchRequest FetchResponse ListOffsetsRequest ListOffsetsResponse
            MetadataRequest MetadataResponse FindCoordinatorRequest FindCoordinatorResponse ApiVersionsRequest
            ApiVersionsResponse CreateTopicsRequest CreateTopicsResponse DeleteTopicsRequest DeleteTopicsResponse
            DeleteRecordsRequest DeleteRecordsResponse InitProducerIdRequest InitProducerIdResponse
            OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse DescribeAclsRequest DescribeAclsResponse
            CreateAclsRequest CreateAclsResponse DeleteAclsRequest DeleteAclsResponse DescribeConfigsRequest
            DescribeConfigsResponse AlterConfigsRequest AlterConfigsResponse DescribeLogDirsRequest
            DescribeLogDirsResponse CreatePartitionsRequest CreatePartitionsResponse
            IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse DescribeQuorumRequest
            DescribeQuorumResponse UpdateFeaturesRequest UpdateFeaturesResponse DescribeClusterRequest
            DescribeClusterResponse DescribeProducersRequest DescribeProducersResponse ListConfigResourcesRequest
            ListConfigResourcesResponse DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse
            OffsetCommitRequest OffsetCommitResponse OffsetFetchRequest OffsetFetchResponse JoinGroupRequest
            JoinGroupResponse HeartbeatRequest HeartbeatResponse LeaveGroupRequest LeaveGroupResponse
            SyncGroupRequest SyncGroupResponse DescribeGroupsRequest DescribeGroupsResponse ListGroupsRequest
            ListGroupsResponse TxnOffsetCommitRequest TxnOffsetCommitResponse DeleteGroupsRequest
            DeleteGroupsResponse OffsetDeleteRequest OffsetDeleteResponse ConsumerGroupHeartbeatRequest
            ConsumerGroupHeartbeatResponse ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse
        }
    };
}
pub(crate) use for_every_message;

/// A string of bytes that decides everything random; zeros follow its end, which mean "small" and "none".
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    fn number(&mut self, size: usize) -> Vec<u8> {
        match self.next() % 4 {
            0 => vec![0; size],
            1 => vec![0xff; size],
            _ => (0..size).map(|_| self.next()).collect(),
        }
    }
}

/// A small generator for tests that need many strings of bytes (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// The body of a valid message.
pub(crate) fn message(schema: &MessageSchema, version: i16, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let encoder = Encoder { version, flexible: schema.flexible.contains(version), kind: schema.kind };
    encoder.fields(&mut out, &schema.body, choices);
    out
}

struct Encoder {
    version: i16,
    flexible: bool,
    kind: Kind,
}

impl Encoder {
    fn fields(&self, out: &mut Vec<u8>, schema: &StructSchema, choices: &mut Choices<'_>) {
        let here = schema.fields.iter().filter(|f| f.versions.contains(self.version));
        let (mut tagged, inline): (Vec<_>, Vec<_>) =
            here.partition(|f| f.tag.is_some_and(|(_, versions)| versions.contains(self.version)));
        for field in inline {
            self.field(out, field, choices);
        }
        if !self.flexible {
            return;
        }
        tagged.retain(|_| choices.next() % 2 == 1);
        tagged.sort_by_key(|f| f.tag.map(|(tag, _)| tag));
        // One tag more than any message knows, which both sides skip.
        let unknown = choices.next() % 8 == 7;
        varint(out, tagged.len() + usize::from(unknown));
        for field in tagged {
            let mut content = Vec::new();
            self.field(&mut content, field, choices);
            varint(out, field.tag.map_or(0, |(tag, _)| tag as usize));
            varint(out, content.len());
            out.extend(content);
        }
        if unknown {
            varint(out, 10_000);
            varint(out, 3);
            out.extend([1, 2, 3]);
        }
    }

    fn field(&self, out: &mut Vec<u8>, field: &FieldSchema, choices: &mut Choices<'_>) {
        // Fetch responses hold no null records: Kafka's brokers never send them, and we read them as "none".
        let never_null = matches!(field.ty, TypeSchema::Records) && self.kind == Kind::Response;
        let nullable = field.nullable.contains(self.version) && !never_null;
        let null = nullable && choices.next() % 4 == 3;
        match field.ty {
            TypeSchema::Struct(_) if null => out.push(0xff),
            TypeSchema::Struct(_) if nullable => {
                out.push(1);
                self.value(out, &field.ty, choices);
            }
            _ if null && self.flexible => out.push(0),
            TypeSchema::String if null => out.extend([0xff; 2]),
            _ if null => out.extend([0xff; 4]),
            _ => self.value(out, &field.ty, choices),
        }
    }

    fn value(&self, out: &mut Vec<u8>, ty: &TypeSchema, choices: &mut Choices<'_>) {
        match ty {
            TypeSchema::Bool => out.push(choices.next() % 2),
            TypeSchema::Int8 => out.extend(choices.number(1)),
            TypeSchema::Int16 | TypeSchema::Uint16 => out.extend(choices.number(2)),
            TypeSchema::Int32 | TypeSchema::Uint32 => out.extend(choices.number(4)),
            TypeSchema::Int64 | TypeSchema::Float64 => out.extend(choices.number(8)),
            TypeSchema::Uuid => out.extend(choices.number(16)),
            TypeSchema::String => {
                let length = self.length(choices);
                if self.flexible {
                    varint(out, length + 1)
                } else {
                    out.extend((length as u16).to_be_bytes())
                }
                out.extend((0..length).map(|_| b'a' + choices.next() % 26));
            }
            TypeSchema::Bytes | TypeSchema::Records => {
                let length = self.length(choices);
                self.count(out, length);
                out.extend((0..length).map(|_| choices.next()));
            }
            TypeSchema::Array(element) => {
                let count = usize::from(choices.next() % 4);
                self.count(out, count);
                for _ in 0..count {
                    self.value(out, element, choices);
                }
            }
            TypeSchema::Struct(schema) => self.fields(out, schema, choices),
        }
    }

    /// Mostly short; sometimes long enough for a second byte of a compact length, or for records not to be copied.
    fn length(&self, choices: &mut Choices<'_>) -> usize {
        match choices.next() {
            255 => 400,
            n => usize::from(n % 8),
        }
    }

    fn count(&self, out: &mut Vec<u8>, count: usize) {
        if self.flexible { varint(out, count + 1) } else { out.extend((count as u32).to_be_bytes()) }
    }
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
