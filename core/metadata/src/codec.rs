//! Batches of records as bytes.
//!
//! ```text
//! u8 version (1) | u32 CRC-32C of what follows, big-endian | CBOR array of records
//! ```
//!
//! The version is of this envelope and of the meaning of the numbers inside; the checksum catches what the store
//! below did not. Decoding reserves no memory on the word of a length field: CBOR items are read one by one and
//! each takes at least one byte of input.

use minicbor::{Decoder, Encoder};

use crate::MetadataRecord;

/// The envelope's version.
const VERSION: u8 = 1;
/// Bytes before the records: version and checksum.
const HEADER_BYTES: usize = 5;

/// Why bytes are not a batch of records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Too short to be a batch.
    #[error("a metadata batch of {0} bytes is cut short: it has at least {HEADER_BYTES}")]
    Truncated(usize),
    /// Written by a version of the program that this one does not know.
    #[error(
        "metadata batch version {0} is unknown (this program reads version {VERSION}): use the newer program that wrote it"
    )]
    Version(u8),
    /// The bytes are not those that were written.
    #[error("metadata batch is corrupt: its checksum is {found:#010x}, {stored:#010x} was written")]
    Checksum {
        /// The checksum in the batch.
        stored: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// The checksum holds but the content is not records.
    #[error("metadata batch cannot be read: {0}")]
    Malformed(String),
}

/// The bytes of a batch.
#[must_use]
pub fn encode_batch(records: &[MetadataRecord]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    Encoder::new(&mut bytes).encode(records).expect("writing to memory cannot fail");
    sealed(bytes)
}

/// Many records as several batches of a little more than `chunk_bytes` each, made one at a time.
pub fn encode_chunks(
    records: impl Iterator<Item = MetadataRecord>,
    chunk_bytes: usize,
) -> impl Iterator<Item = Vec<u8>> {
    let mut records = records.peekable();
    std::iter::from_fn(move || {
        records.peek()?;
        let mut encoder = Encoder::new(vec![0; HEADER_BYTES]);
        encoder.begin_array().expect("writing to memory cannot fail");
        while encoder.writer().len() < chunk_bytes.max(HEADER_BYTES + 2)
            && let Some(record) = records.next()
        {
            encoder.encode(record).expect("writing to memory cannot fail");
        }
        encoder.end().expect("writing to memory cannot fail");
        Some(sealed(encoder.into_writer()))
    })
}

/// Fills in the header.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&bytes[HEADER_BYTES..]);
    bytes[0] = VERSION;
    bytes[1..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The records of a batch.
///
/// # Errors
///
/// When the bytes are not what [`encode_batch`] of this or an older version wrote.
pub fn decode_batch(bytes: &[u8]) -> Result<Vec<MetadataRecord>, CodecError> {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(CodecError::Truncated(bytes.len()));
    };
    let [version, checksum @ ..] = *header;
    if version != VERSION {
        return Err(CodecError::Version(version));
    }
    let (stored, found) = (u32::from_be_bytes(checksum), crc32c::crc32c(body));
    if stored != found {
        return Err(CodecError::Checksum { stored, found });
    }
    let malformed = |error: minicbor::decode::Error| CodecError::Malformed(error.to_string());
    let mut decoder = Decoder::new(body);
    let mut records = Vec::new();
    for record in decoder.array_iter::<MetadataRecord>().map_err(malformed)? {
        records.push(record.map_err(malformed)?);
    }
    if decoder.position() != body.len() {
        return Err(CodecError::Malformed(format!("{} bytes after the last record", body.len() - decoder.position())));
    }
    Ok(records)
}

/// How the newtypes of `core/model` are written, for `#[cbor(with = ..)]`.
pub(crate) mod cbor {
    macro_rules! newtype {
        ($module:ident, $type:ident, $read:ident) => {
            pub(crate) mod $module {
                use minicbor::decode::{Decoder, Error as DecodeError};
                use minicbor::encode::{Encoder, Error as EncodeError, Write};
                use watershed_model::$type;

                pub(crate) fn encode<C, W: Write>(
                    value: &$type,
                    e: &mut Encoder<W>,
                    _: &mut C,
                ) -> Result<(), EncodeError<W::Error>> {
                    e.$read(value.0)?;
                    Ok(())
                }

                pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<$type, DecodeError> {
                    d.$read().map($type)
                }
            }
        };
    }
    newtype!(broker, BrokerId, i32);
    newtype!(epoch, LeaderEpoch, i32);
    newtype!(offset, Offset, i64);
    newtype!(producer_id, ProducerId, i64);

    /// Topic and cluster ids: sixteen bytes.
    pub(crate) mod id {
        use minicbor::decode::{Decoder, Error as DecodeError};
        use minicbor::encode::{Encoder, Error as EncodeError, Write};
        use watershed_model::TopicId;

        pub(crate) fn encode<C, W: Write>(
            value: &TopicId,
            e: &mut Encoder<W>,
            _: &mut C,
        ) -> Result<(), EncodeError<W::Error>> {
            e.bytes(&value.0)?;
            Ok(())
        }

        pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<TopicId, DecodeError> {
            let bytes = d.bytes()?;
            bytes.try_into().map(TopicId).map_err(|_| DecodeError::message("an id has 16 bytes"))
        }
    }

    /// Lists of brokers.
    pub(crate) mod brokers {
        use minicbor::decode::{Decoder, Error as DecodeError};
        use minicbor::encode::{Encoder, Error as EncodeError, Write};
        use watershed_model::BrokerId;

        pub(crate) fn encode<C, W: Write>(
            value: &[BrokerId],
            e: &mut Encoder<W>,
            _: &mut C,
        ) -> Result<(), EncodeError<W::Error>> {
            e.array(value.len() as u64)?;
            for broker in value {
                e.i32(broker.0)?;
            }
            Ok(())
        }

        pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<BrokerId>, DecodeError> {
            let mut brokers = Vec::new();
            for broker in d.array_iter::<i32>()? {
                brokers.push(BrokerId(broker?));
            }
            Ok(brokers)
        }
    }

    /// Lists of brokers that may be absent.
    pub(crate) mod brokers_or_none {
        use minicbor::data::Type;
        use minicbor::decode::{Decoder, Error as DecodeError};
        use minicbor::encode::{Encoder, Error as EncodeError, Write};
        use watershed_model::BrokerId;

        pub(crate) fn encode<C, W: Write>(
            value: &Option<Vec<BrokerId>>,
            e: &mut Encoder<W>,
            c: &mut C,
        ) -> Result<(), EncodeError<W::Error>> {
            match value {
                Some(brokers) => super::brokers::encode(brokers, e, c),
                None => e.null().map(|_| ()),
            }
        }

        pub(crate) fn decode<C>(d: &mut Decoder<'_>, c: &mut C) -> Result<Option<Vec<BrokerId>>, DecodeError> {
            if d.datatype()? == Type::Null {
                d.null()?;
                return Ok(None);
            }
            super::brokers::decode(d, c).map(Some)
        }
    }
}
