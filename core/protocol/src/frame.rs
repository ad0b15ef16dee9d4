//! Frames: four bytes of length, then a header, then a message.

use bytes::{Buf, Bytes, BytesMut};
use watershed_model::Piece;

use crate::api::ApiKey;
use crate::{EncodeError, Message, Request, RequestHeader, Response, ResponseHeader, StrBytes, Writer};

/// The bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;

/// A length that no frame may have. The connection cannot go on: there is no way to find the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is negative.
    #[error("a frame announces {0} bytes: this is no Kafka client, or TLS on a plain port")]
    Negative(i32),
    /// The length is over the limit.
    #[error("a frame announces {length} bytes, {max} are allowed (socket.request.max.bytes)")]
    TooLong {
        /// What it announces, in bytes.
        length: usize,
        /// The limit, in bytes.
        max: usize,
    },
}

/// The length that a frame's first four bytes announce, for the part after them.
///
/// # Errors
/// If it is negative or over `max`.
pub fn frame_length(prefix: [u8; LENGTH_BYTES], max: usize) -> Result<usize, FrameError> {
    let length = i32::from_be_bytes(prefix);
    let length = usize::try_from(length).map_err(|_| FrameError::Negative(length))?;
    if length > max { Err(FrameError::TooLong { length, max }) } else { Ok(length) }
}

/// Takes one whole frame, without its length, off the front of what was received. `None` means that more must be
/// received; nothing is taken or reserved then.
///
/// # Errors
/// If the announced length is negative or over `max`.
pub fn split_frame(received: &mut BytesMut, max: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(prefix) = received.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = frame_length(*prefix, max)?;
    if received.len() - LENGTH_BYTES < length {
        return Ok(None);
    }
    received.advance(LENGTH_BYTES);
    Ok(Some(received.split_to(length).freeze()))
}

/// A request as a whole frame, its length included, as one run of bytes: records are copied into it.
///
/// # Errors
/// If the version does not exist or cannot carry the request.
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&StrBytes>,
) -> Result<Bytes, EncodeError> {
    write_request(request, version, correlation_id, client_id)?.into_bytes()
}

/// A request as a whole frame, its length included: the pieces to send, in order. Records are not copied.
///
/// # Errors
/// If the version does not exist or cannot carry the request.
pub fn encode_request_pieces<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&StrBytes>,
) -> Result<Vec<Piece>, EncodeError> {
    Ok(write_request(request, version, correlation_id, client_id)?.finish())
}

fn write_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&StrBytes>,
) -> Result<Writer, EncodeError> {
    let header =
        RequestHeader { api_key: R::SCHEMA.api, api_version: version, correlation_id, client_id: client_id.cloned() };
    let mut writer = Writer::new();
    writer.put_i32(0);
    header.encode(&mut writer)?;
    request.encode(&mut writer, version)?;
    close(writer)
}

/// A response as a whole frame, its length included: the pieces to send, in order. It is one piece unless the
/// response carries records.
///
/// # Errors
/// If the version does not exist or cannot carry the response.
pub fn encode_response<R: Response>(
    response: &R,
    version: i16,
    correlation_id: i32,
) -> Result<Vec<Piece>, EncodeError> {
    let mut writer = Writer::new();
    writer.put_i32(0);
    ResponseHeader { correlation_id }.encode(&mut writer, api_of::<R>(), version);
    response.encode(&mut writer, version)?;
    Ok(close(writer)?.finish())
}

/// The API a message type belongs to.
#[must_use]
pub fn api_of<M: Message>() -> ApiKey {
    ApiKey::try_from(M::SCHEMA.api).expect("a test checks that every message belongs to a known API")
}

/// Fills in the frame's length.
fn close(mut writer: Writer) -> Result<Writer, EncodeError> {
    let length = writer.len() - LENGTH_BYTES;
    let Ok(number) = i32::try_from(length) else {
        return Err(writer.too_long(length, i32::MAX as usize));
    };
    writer.patch_i32(0, number);
    Ok(writer)
}
