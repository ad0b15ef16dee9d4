//! Kafka's wire protocol: frames, headers, messages, error codes and the versions we serve.
//!
//! A message is a plain struct in `messages/`, one file per API; `#[derive(Message)]` turns the version ranges
//! on its fields into the codec. [`Message::decode`] and [`encode_response`] are the usual ways in.
//!
//! ```
//! use bytes::BytesMut;
//! use watershed_protocol::messages::ListOffsetsRequest;
//! use watershed_protocol::{Message, RequestHeader, encode_request, frame};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A client: one frame, ready to send.
//! let request = ListOffsetsRequest { replica_id: -1, ..Default::default() };
//! let mut received = BytesMut::from(&encode_request(&request, 11, 1, None)?[..]);
//! // A broker: the frame, its header, its body.
//! let frame = frame::split_frame(&mut received, 1024)?.expect("it has all come");
//! let (header, body) = RequestHeader::decode(frame)?;
//! assert_eq!(header.api_key, 2);
//! assert_eq!(ListOffsetsRequest::decode(body, header.api_version)?, request);
//! # Ok(())
//! # }
//! ```
//!
//! Invariants:
//! - A peer's bytes never cause a panic, and never an allocation out of proportion to their number: each count
//!   and length is checked against the bytes that remain, and a whole message against a memory budget.
//! - Messages contain no recursion, so nesting is bounded by the types themselves.
//! - Records are never copied or looked into: a slice of the request's frame on the way in, [`Piece`]s on the
//!   way out.
//! - No I/O and no opinion: what an API does is the broker's business.
//!
//! Next: `wire.rs` has the traits, `reader.rs` and `writer.rs` the primitive types, `api.rs` the table of
//! versions, `messages/produce.rs` is a typical message.

// The derive's output names this crate by its full name, here as well.
extern crate self as watershed_protocol;

pub mod api;
mod error;
mod error_code;
pub mod frame;
pub mod header;
pub mod messages;
mod reader;
mod records;
pub mod schema;
mod str_bytes;
mod wire;
mod writer;

pub use api::ApiKey;
pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
pub use error_code::ErrorCode;
pub use frame::{encode_request, encode_request_pieces, encode_response};
pub use header::{RequestHeader, ResponseHeader};
pub use reader::Reader;
pub use records::{RecordBytes, Records};
pub use schema::VersionRange;
pub use str_bytes::StrBytes;
pub use watershed_model::Piece;
#[doc(hidden)]
pub use wire::is_default;
pub use wire::{Context, Message, MinSize, NullableWire, Request, Response, Stored, Wire};
pub use writer::Writer;
