//! The traits of the codec, and their implementations for the protocol's own types.
//!
//! [`Wire`] is a value that can be read and written, [`NullableWire`] one that has an encoding for null,
//! [`Message`] a whole request or response. Structs get them from `#[derive(Message)]`.

use bytes::Bytes;
use watershed_model::TopicId;

use crate::schema::{Fields, MessageSchema, TypeSchema, VersionRange};
use crate::{DecodeError, EncodeError, Reader, RecordBytes, Records, StrBytes, Writer};

/// What every value's encoding depends on: the message's version, and whether that version is flexible (KIP-482).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    version: i16,
    flexible: bool,
}

impl Context {
    /// The context of one message.
    #[must_use]
    pub const fn new(version: i16, flexible: bool) -> Self {
        Self { version, flexible }
    }

    /// The message's version.
    #[must_use]
    pub const fn version(self) -> i16 {
        self.version
    }

    /// Whether lengths are compact and structs end in tagged fields.
    #[must_use]
    pub const fn flexible(self) -> bool {
        self.flexible
    }
}

/// A message, and the reader behind it.
fn read_message<M: Message>(body: Bytes, version: i16) -> Result<(M, Reader), DecodeError> {
    let mut reader = Reader::new(body, M::NAME, version);
    if !M::SCHEMA.versions.contains(version) {
        return Err(reader.unsupported_version());
    }
    let message = M::read(&mut reader, M::context(version))?;
    Ok((message, reader))
}

/// A value with an encoding.
pub trait Wire: Sized {
    /// The protocol's name for the type.
    const TYPE: TypeSchema;

    /// The shortest encoding, in bytes: what bounds a count of elements before they are read.
    fn min_size(context: Context) -> usize;

    /// Reads a value.
    ///
    /// # Errors
    /// If the bytes are not such a value.
    fn read(reader: &mut Reader, context: Context) -> Result<Self, DecodeError>;

    /// Writes the value.
    ///
    /// # Errors
    /// If this version cannot carry it.
    fn write(&self, writer: &mut Writer, context: Context) -> Result<(), EncodeError>;
}

/// A value that has an encoding for null.
pub trait NullableWire: Wire {
    /// The shortest encoding of a nullable value, in bytes.
    #[must_use]
    fn null_size(_context: Context) -> usize {
        1
    }

    /// Reads a value or null.
    ///
    /// # Errors
    /// If the bytes are neither.
    fn read_nullable(reader: &mut Reader, context: Context) -> Result<Option<Self>, DecodeError>;

    /// Writes the value or null.
    ///
    /// # Errors
    /// If this version cannot carry it.
    fn write_nullable(value: Option<&Self>, writer: &mut Writer, context: Context) -> Result<(), EncodeError>;
}

/// What the derive asks of every field's type, an `Option` included.
pub trait MinSize {
    /// The type, without nullability.
    const SCHEMA: TypeSchema;

    /// The shortest encoding, in bytes.
    fn min_size(context: Context) -> usize;
}

impl<T: Wire> MinSize for T {
    const SCHEMA: TypeSchema = T::TYPE;

    fn min_size(context: Context) -> usize {
        <T as Wire>::min_size(context)
    }
}

impl<T: NullableWire> MinSize for Option<T> {
    const SCHEMA: TypeSchema = T::TYPE;

    fn min_size(context: Context) -> usize {
        T::null_size(context)
    }
}

/// A whole request or response.
pub trait Message: Wire + Fields + Default {
    /// The message's description: API, versions, fields.
    const SCHEMA: MessageSchema;

    /// The context of one version of this message.
    #[must_use]
    fn context(version: i16) -> Context {
        Context::new(version, Self::SCHEMA.flexible.contains(version))
    }

    /// Decodes a message's body, all of it. Text, records and byte strings may share the memory of `body`.
    ///
    /// # Errors
    /// If the version does not exist, the bytes are not such a message, or there are more of them.
    fn decode(body: Bytes, version: i16) -> Result<Self, DecodeError> {
        let (message, reader) = read_message(body, version)?;
        reader.finish()?;
        Ok(message)
    }

    /// Reads the message at the beginning of a body; what comes after it is ignored. This is how a broker reads requests:
    /// librdkafka 2.16 sends Metadata 13 with bytes left over, and Apache Kafka answers it.
    ///
    /// # Errors
    /// If the version does not exist or the bytes do not begin with such a message.
    fn decode_leniently(body: Bytes, version: i16) -> Result<Self, DecodeError> {
        Ok(read_message(body, version)?.0)
    }

    /// Writes the message's body.
    ///
    /// # Errors
    /// If the version does not exist or cannot carry the message.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        writer.begin(Self::NAME, version);
        if !Self::SCHEMA.versions.contains(version) {
            return Err(writer.unsupported_version());
        }
        self.write(writer, Self::context(version))
    }

    /// The body as one run of bytes, for tests and for messages without file ranges.
    ///
    /// # Errors
    /// If the version does not exist or cannot carry the message, or it holds a range of a file.
    fn encode_to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        self.encode(&mut writer, version)?;
        writer.into_bytes()
    }
}

/// A message to a broker.
pub trait Request: Message {
    /// What the broker answers with.
    type Response: Response;
}

/// A message from a broker.
pub trait Response: Message {}

/// What is stored instead of sent: the key or value of a record of an internal topic. It begins with its version, 16 bits.
pub trait Stored: Wire + Fields + Default {
    /// The versions that exist.
    const VERSIONS: VersionRange;
    /// Those with compact lengths and tagged fields (KIP-482).
    const FLEXIBLE: VersionRange;

    /// The version and the body, with room for `capacity` bytes from the start.
    ///
    /// # Errors
    /// If the version does not exist or cannot carry the value.
    fn encode_stored(&self, version: i16, capacity: usize) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::with_capacity(capacity);
        writer.begin(Self::NAME, version);
        if !Self::VERSIONS.contains(version) {
            return Err(writer.unsupported_version());
        }
        version.write(&mut writer, Context::new(version, false))?;
        self.write(&mut writer, Context::new(version, Self::FLEXIBLE.contains(version)))?;
        writer.into_bytes()
    }

    /// Reads a version and a body. What follows is ignored, as Kafka does.
    ///
    /// # Errors
    /// If the version does not exist or the bytes are not such a value.
    fn decode_stored(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, Self::NAME, 0);
        let version = reader.i16()?;
        reader.begin(version);
        if !Self::VERSIONS.contains(version) {
            return Err(reader.unsupported_version());
        }
        Self::read(&mut reader, Context::new(version, Self::FLEXIBLE.contains(version)))
    }
}

/// Whether a value is its type's own default. Used by the derive.
#[doc(hidden)]
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

macro_rules! number {
    ($($ty:ty: $name:ident, $read:ident, $put:ident;)*) => {$(
        impl Wire for $ty {
            const TYPE: TypeSchema = TypeSchema::$name;

            #[inline]
            fn min_size(_context: Context) -> usize {
                size_of::<$ty>()
            }

            #[inline]
            fn read(reader: &mut Reader, _context: Context) -> Result<Self, DecodeError> {
                reader.$read()
            }

            #[inline]
            fn write(&self, writer: &mut Writer, _context: Context) -> Result<(), EncodeError> {
                writer.$put(*self);
                Ok(())
            }
        }
    )*};
}

number! {
    bool: Bool, bool, put_bool;
    i8: Int8, i8, put_i8;
    i16: Int16, i16, put_i16;
    u16: Uint16, u16, put_u16;
    i32: Int32, i32, put_i32;
    u32: Uint32, u32, put_u32;
    i64: Int64, i64, put_i64;
    f64: Float64, f64, put_f64;
}

impl Wire for TopicId {
    const TYPE: TypeSchema = TypeSchema::Uuid;

    fn min_size(_context: Context) -> usize {
        16
    }

    fn read(reader: &mut Reader, _context: Context) -> Result<Self, DecodeError> {
        reader.uuid()
    }

    fn write(&self, writer: &mut Writer, _context: Context) -> Result<(), EncodeError> {
        writer.put_slice(&self.0);
        Ok(())
    }
}

/// [`Wire`] from [`NullableWire`], for types whose null is one of their lengths.
macro_rules! length_prefixed {
    ($ty:ty, $name:expr, $width:expr $(, $t:ident)?) => {
        impl$(<$t: Wire>)? Wire for $ty {
            const TYPE: TypeSchema = $name;

            fn min_size(context: Context) -> usize {
                if context.flexible() { 1 } else { $width }
            }

            fn read(reader: &mut Reader, context: Context) -> Result<Self, DecodeError> {
                match Self::read_nullable(reader, context)? {
                    Some(value) => Ok(value),
                    None => Err(reader.unexpected_null()),
                }
            }

            fn write(&self, writer: &mut Writer, context: Context) -> Result<(), EncodeError> {
                Self::write_nullable(Some(self), writer, context)
            }
        }
    };
}

length_prefixed!(String, TypeSchema::String, 2);
length_prefixed!(StrBytes, TypeSchema::String, 2);
length_prefixed!(Bytes, TypeSchema::Bytes, 4);
length_prefixed!(Vec<T>, TypeSchema::Array(&T::TYPE), 4, T);

impl NullableWire for String {
    fn null_size(context: Context) -> usize {
        <Self as Wire>::min_size(context)
    }

    fn read_nullable(reader: &mut Reader, context: Context) -> Result<Option<Self>, DecodeError> {
        reader.string(context)
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer, context: Context) -> Result<(), EncodeError> {
        writer.put_string(value.map(String::as_str), context)
    }
}

impl NullableWire for StrBytes {
    fn null_size(context: Context) -> usize {
        <Self as Wire>::min_size(context)
    }

    fn read_nullable(reader: &mut Reader, context: Context) -> Result<Option<Self>, DecodeError> {
        reader.str_bytes(context)
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer, context: Context) -> Result<(), EncodeError> {
        writer.put_string(value.map(StrBytes::as_str), context)
    }
}

impl NullableWire for Bytes {
    fn null_size(context: Context) -> usize {
        <Self as Wire>::min_size(context)
    }

    fn read_nullable(reader: &mut Reader, context: Context) -> Result<Option<Self>, DecodeError> {
        reader.bytes(context)
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer, context: Context) -> Result<(), EncodeError> {
        writer.put_bytes(value, context)
    }
}

impl<T: Wire> NullableWire for Vec<T> {
    fn null_size(context: Context) -> usize {
        <Self as Wire>::min_size(context)
    }

    fn read_nullable(reader: &mut Reader, context: Context) -> Result<Option<Self>, DecodeError> {
        let Some(count) = reader.array_count::<T>(context)? else {
            return Ok(None);
        };
        let mut elements = Self::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(reader, context)?);
        }
        Ok(Some(elements))
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer, context: Context) -> Result<(), EncodeError> {
        writer.put_array_count(value.map(Vec::len), context)?;
        for element in value.into_iter().flatten() {
            element.write(writer, context)?;
        }
        Ok(())
    }
}

length_prefixed!(RecordBytes, TypeSchema::Records, 4);

impl NullableWire for RecordBytes {
    fn null_size(context: Context) -> usize {
        <Self as Wire>::min_size(context)
    }

    fn read_nullable(reader: &mut Reader, context: Context) -> Result<Option<Self>, DecodeError> {
        Ok(reader.bytes(context)?.map(Self::from))
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer, context: Context) -> Result<(), EncodeError> {
        writer.put_record_bytes(value.map(RecordBytes::bytes), context)
    }
}

impl Wire for Records {
    const TYPE: TypeSchema = TypeSchema::Records;

    fn min_size(context: Context) -> usize {
        if context.flexible() { 1 } else { 4 }
    }

    fn read(reader: &mut Reader, context: Context) -> Result<Self, DecodeError> {
        // Brokers before 0.11 answered null for "none"; our responses never do.
        Ok(reader.bytes(context)?.map(Self::from).unwrap_or_default())
    }

    fn write(&self, writer: &mut Writer, context: Context) -> Result<(), EncodeError> {
        writer.put_records(self, context)
    }
}
