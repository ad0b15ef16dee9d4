//! A static description of every message, made by the derive. Tests compare it with Kafka's own definitions;
//! nothing at run time depends on it except the range of a message's versions.

use std::fmt;

/// Versions `min` to `max`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    min: i16,
    max: i16,
}

impl VersionRange {
    /// No version.
    pub const NONE: Self = Self { min: 0, max: -1 };

    /// The versions `min` to `max`; `i16::MAX` stands for "and all later ones".
    #[must_use]
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// The lowest version.
    #[must_use]
    pub const fn min(self) -> i16 {
        self.min
    }

    /// The highest version.
    #[must_use]
    pub const fn max(self) -> i16 {
        self.max
    }

    /// Whether the version is one of them.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether there is no version in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.min > self.max
    }
}

impl fmt::Display for VersionRange {
    /// As Kafka writes them: `3`, `3+`, `3-7`, `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_empty(), self.max) {
            (true, _) => f.write_str("none"),
            (_, i16::MAX) => write!(f, "{}+", self.min),
            (_, max) if max == self.min => write!(f, "{max}"),
            (_, max) => write!(f, "{}-{max}", self.min),
        }
    }
}

/// Whether a message goes to a broker or comes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To a broker.
    Request,
    /// From a broker.
    Response,
}

/// A whole message.
#[derive(Clone, Copy, Debug)]
pub struct MessageSchema {
    /// The API's number.
    pub api: i16,
    /// Request or response.
    pub kind: Kind,
    /// The versions that exist.
    pub versions: VersionRange,
    /// The versions with compact lengths and tagged fields (KIP-482).
    pub flexible: VersionRange,
    /// The fields.
    pub body: StructSchema,
}

/// A struct: a message or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct StructSchema {
    /// Kafka's name.
    pub name: &'static str,
    /// The fields in the order of the table.
    pub fields: &'static [FieldSchema],
}

/// A field.
#[derive(Clone, Copy, Debug)]
pub struct FieldSchema {
    /// Its name in the struct: Kafka's in snake case.
    pub name: &'static str,
    /// Its type, without nullability.
    pub ty: TypeSchema,
    /// The versions that have it.
    pub versions: VersionRange,
    /// The versions in which it may be null.
    pub nullable: VersionRange,
    /// Its tag and the versions in which it is a tagged field.
    pub tag: Option<(u32, VersionRange)>,
    /// What it is where the version lacks it or a tagged field is left out.
    pub default: DefaultSchema,
    /// Whether a version that lacks it may lose its value silently.
    pub ignorable: bool,
}

/// A field's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultSchema {
    /// Zero, false or empty. (A nullable field is then null in our structs, and empty in Java's; the difference
    /// is never on the wire.)
    Zero,
    /// Null.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Int(i64),
}

/// A type of the protocol.
#[derive(Clone, Copy, Debug)]
pub enum TypeSchema {
    /// `bool`.
    Bool,
    /// `int8`.
    Int8,
    /// `int16`.
    Int16,
    /// `uint16`.
    Uint16,
    /// `int32`.
    Int32,
    /// `uint32`.
    Uint32,
    /// `int64`.
    Int64,
    /// `float64`.
    Float64,
    /// `uuid`.
    Uuid,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// `records`.
    Records,
    /// An array.
    Array(&'static TypeSchema),
    /// A nested struct.
    Struct(&'static StructSchema),
}

/// A struct that describes itself; implemented by the derive.
pub trait Fields {
    /// Kafka's name of the struct.
    const NAME: &'static str;
    /// Its description.
    const STRUCT: StructSchema;
}
