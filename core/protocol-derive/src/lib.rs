//! `#[derive(Message)]`: turns a struct that reads like a table of Kafka's protocol into its codec.
//!
//! The struct carries what Kafka's message definitions carry: which versions have a field, where it may be
//! null, whether it is a tagged field, its default. From that the derive writes `Default`, `Wire` (reading and
//! writing), `Fields` (a static description that tests walk) and, on the top struct of a message, `Message`.
//!
//! On the top struct:
//! `#[message(api = 1, kind = "request", versions = "4-18", flexible = "12+")]`.
//! What is stored instead of sent (a record's key or value) has `kind = "data"` and no `api`; it gets `Stored`.
//! On a nested struct `#[message(name = "TopicData")]` gives Kafka's name where ours must differ.
//!
//! On every field `#[field(versions = "7+")]`, and where they apply `nullable = "3+"`, `tag = 0` with
//! `tagged = "12+"`, `default = -1` (or `null`), `ignorable` (an older version may leave the value out silently).
//!
//! Invariants: a nullable field is an `Option` (or `Records`, which reads null as "none"); a field that is not
//! nullable is not an `Option`; tags are unique. Each of these is checked when the struct is compiled.
//!
//! Next: `attributes.rs` parses, `expand.rs` writes the code. The runtime side is in `watershed-protocol`.

mod attributes;
mod expand;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives the codec of a protocol message or of one of its nested structs. See the crate's documentation.
#[proc_macro_derive(Message, attributes(message, field))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
