//! What stands in front of every request and response.
//!
//! A request header is read before anything is known of the client, so an unknown API is not an error here: the
//! number comes out and the broker decides.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::wire::{Context, Wire};
use crate::{DecodeError, EncodeError, NullableWire, Reader, StrBytes, Writer};

/// The header of a request, versions 1 and 2. (Version 0 was ControlledShutdown's alone.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API's number, known or not.
    pub api_key: i16,
    /// The version of the API that the request and its response are in.
    pub api_version: i16,
    /// Chosen by the client, sent back with the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<StrBytes>,
}

impl RequestHeader {
    /// Takes the header off a frame; the second value is the request's body.
    ///
    /// # Errors
    /// If the frame is too short or the client's id is not text.
    pub fn decode(frame: Bytes) -> Result<(Self, Bytes), DecodeError> {
        let mut reader = Reader::new(frame, "RequestHeader", 1);
        reader.at("RequestHeader", "request_api_key");
        let api_key = reader.i16()?;
        reader.at("RequestHeader", "request_api_version");
        let api_version = reader.i16()?;
        reader.at("RequestHeader", "correlation_id");
        let correlation_id = reader.i32()?;
        reader.at("RequestHeader", "client_id");
        // The client's id has a two-byte length in every version, so that a broker can read it whatever comes.
        let client_id = StrBytes::read_nullable(&mut reader, Context::new(1, false))?;
        let flexible = ApiKey::try_from(api_key).is_ok_and(|api| api.request_header_version(api_version) >= 2);
        if flexible {
            reader.skip_tagged_fields("RequestHeader")?;
        }
        let remaining = reader.remaining();
        let body = reader.slice(remaining)?;
        Ok((Self { api_key, api_version, correlation_id, client_id }, body))
    }

    /// Writes the header.
    ///
    /// # Errors
    /// If the client's id is too long.
    pub fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.begin("RequestHeader", 1);
        writer.put_i16(self.api_key);
        writer.put_i16(self.api_version);
        writer.put_i32(self.correlation_id);
        writer.at("RequestHeader", "client_id");
        StrBytes::write_nullable(self.client_id.as_ref(), writer, Context::new(1, false))?;
        if ApiKey::try_from(self.api_key).is_ok_and(|api| api.request_header_version(self.api_version) >= 2) {
            writer.put_unsigned_varint(0);
        }
        Ok(())
    }
}

/// The header of a response, versions 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The request's.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Takes the header off a response's frame; the second value is the body.
    ///
    /// # Errors
    /// If the frame is too short.
    pub fn decode(frame: Bytes, api: ApiKey, api_version: i16) -> Result<(Self, Bytes), DecodeError> {
        let version = api.response_header_version(api_version);
        let mut reader = Reader::new(frame, "ResponseHeader", version);
        reader.at("ResponseHeader", "correlation_id");
        let correlation_id = i32::read(&mut reader, Context::new(version, version >= 1))?;
        if version >= 1 {
            reader.skip_tagged_fields("ResponseHeader")?;
        }
        let remaining = reader.remaining();
        let body = reader.slice(remaining)?;
        Ok((Self { correlation_id }, body))
    }

    /// Writes the header.
    pub fn encode(self, writer: &mut Writer, api: ApiKey, api_version: i16) {
        writer.put_i32(self.correlation_id);
        if api.response_header_version(api_version) >= 1 {
            writer.put_unsigned_varint(0);
        }
    }
}
