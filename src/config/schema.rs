//! The shape of the configuration, stated by its types.
//!
//! [`settings!`] declares a table of settings once: the struct, its defaults, serde's reading of it, and the list of
//! [`Field`]s that the checker and the documentation are made from. They cannot drift apart.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a value looks like in the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Any text.
    Text,
    /// A path in the file system.
    Path,
    /// A whole number between these two, both included.
    Count(u64, u64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// `host:port`.
    Address,
    /// A table with these settings.
    Table(&'static [Field]),
    /// A list of tables with these settings.
    Tables(&'static [Field]),
    /// Kafka's broker settings under their own, quoted names.
    KafkaBroker,
    /// Kafka's topic settings (and ours) under their own, quoted names.
    KafkaTopic,
    /// A table that somebody else knows.
    Free,
}

impl Shape {
    /// What a value of this shape is called.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Path => "a path as text".to_owned(),
            Self::Count(min, u64::MAX) => format!("a whole number, at least {min}"),
            Self::Count(min, max) => format!("a whole number from {min} to {max}"),
            Self::OneOf(names) => names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or "),
            Self::Address => "an address as \"host:port\"".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Tables(_) => "a list of tables".to_owned(),
            Self::KafkaBroker => "a table of Kafka's broker settings".to_owned(),
            Self::KafkaTopic => "a table of Kafka's topic settings".to_owned(),
            Self::Free => "a table".to_owned(),
        }
    }
}

/// One setting of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// The struct field's documentation, line by line.
    pub(super) doc: &'static [&'static str],
    pub(super) shape: Shape,
    /// Whether it has to be given where its table is given.
    pub(super) required: bool,
}

/// A type that stands for one value in the file.
pub(super) trait Setting {
    const SHAPE: Shape;
    /// False where the value may be left out of an item of a list.
    const REQUIRED: bool = true;
}

/// A type that stands for a table of settings.
pub(super) trait Table {
    const FIELDS: &'static [Field];
}

impl Setting for String {
    const SHAPE: Shape = Shape::Text;
}

impl Setting for PathBuf {
    const SHAPE: Shape = Shape::Path;
}

impl<T: Setting> Setting for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const REQUIRED: bool = false;
}

impl<T: Table> Setting for Vec<T> {
    const SHAPE: Shape = Shape::Tables(T::FIELDS);
    const REQUIRED: bool = false;
}

/// The texts of a table of Kafka's settings, by name.
pub(super) type Texts = BTreeMap<String, String>;

/// A field's name in the file: without the `r#` by which Rust allows a keyword.
pub(super) const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// Declares a table of settings.
///
/// `table` has a default for every field and may be left out of the file; `item` is an element of a list, whose
/// fields have to be given unless they are `Option`s or maps.
macro_rules! settings {
    (table $(#[doc = $tdoc:literal])* struct $name:ident {
        $( $(#[doc = $doc:literal])* $field:ident: $ty:ty = $default:expr, )*
    }) => {
        $(#[doc = $tdoc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $ty, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::config::schema::Setting for $name {
            const SHAPE: $crate::config::schema::Shape =
                $crate::config::schema::Shape::Table(<Self as $crate::config::schema::Table>::FIELDS);
        }

        $crate::config::schema::settings!(@fields $name false $( [$($doc)*] $field: $ty, )*);
    };
    (item $(#[doc = $tdoc:literal])* struct $name:ident {
        $( $(#[doc = $doc:literal])* $field:ident: $ty:ty, )*
    }) => {
        $(#[doc = $tdoc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $ty, )*
        }

        $crate::config::schema::settings!(@fields $name true $( [$($doc)*] $field: $ty, )*);
    };
    (@fields $name:ident $item:literal $( [$($doc:literal)*] $field:ident: $ty:ty, )*) => {
        impl $crate::config::schema::Table for $name {
            const FIELDS: &'static [$crate::config::schema::Field] = &[$(
                $crate::config::schema::Field {
                    name: $crate::config::schema::plain(stringify!($field)),
                    doc: &[$($doc),*],
                    shape: <$ty as $crate::config::schema::Setting>::SHAPE,
                    required: $item && <$ty as $crate::config::schema::Setting>::REQUIRED,
                },
            )*];
        }
    };
}
pub(super) use settings;
