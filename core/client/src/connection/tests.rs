//! A scripted server on a real socket: what a connection makes of every kind of answer.

#![allow(clippy::unwrap_used)]

use tokio::net::TcpListener;
use watershed_protocol::encode_response;
use watershed_protocol::messages::api_versions::ApiVersion;
use watershed_protocol::messages::{DescribeQuorumRequest, MetadataRequest, MetadataResponse, ProduceRequest};

use super::*;

/// One accepted socket, spoken to by hand.
struct Peer {
    stream: TcpStream,
    received: BytesMut,
}

impl Peer {
    async fn request(&mut self) -> (RequestHeader, Bytes) {
        loop {
            if let Some(frame) = split_frame(&mut self.received, 1 << 20).unwrap() {
                return RequestHeader::decode(frame).unwrap();
            }
            assert_ne!(self.stream.read_buf(&mut self.received).await.unwrap(), 0, "the client hung up");
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn answer<R: watershed_protocol::Response>(&mut self, header: &RequestHeader, response: &R) {
        let pieces = encode_response(response, header.api_version, header.correlation_id).unwrap();
        for piece in pieces {
            let Piece::Bytes(bytes) = piece else { panic!("no file here") };
            self.send(&bytes).await;
        }
    }

    async fn versions(&mut self, apis: &[(ApiKey, i16, i16)]) {
        let (header, _) = self.request().await;
        assert_eq!(header.api_key, ApiKey::ApiVersions.get());
        let api_keys =
            apis.iter().map(|(api, min, max)| ApiVersion { api_key: api.get(), min_version: *min, max_version: *max });
        let response = ApiVersionsResponse { api_keys: api_keys.collect(), ..ApiVersionsResponse::default() };
        self.answer(&header, &response).await;
    }
}

const ALL: &[(ApiKey, i16, i16)] = &[(ApiKey::Metadata, 0, 12), (ApiKey::Produce, 0, 11)];

/// A connection to a server that runs `script`, and what its handshake came to.
async fn scripted<F>(
    options: ConnectionOptions,
    script: impl FnOnce(Peer) -> F,
) -> (Result<Connection, ClientError>, tokio::task::JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connect = tokio::spawn(async move { Connection::connect(&address, &options).await });
    let (stream, _) = listener.accept().await.unwrap();
    let server = tokio::spawn(script(Peer { stream, received: BytesMut::new() }));
    (connect.await.unwrap(), server)
}

fn options() -> ConnectionOptions {
    ConnectionOptions { request_timeout: Duration::from_secs(5), ..ConnectionOptions::default() }
}

fn metadata(controller_id: i32) -> MetadataResponse {
    MetadataResponse { controller_id, ..MetadataResponse::default() }
}

#[tokio::test]
async fn requests_are_pipelined_and_answered_in_order() {
    let (connection, server) = scripted(options(), |mut peer| async move {
        peer.versions(ALL).await;
        let mut headers = Vec::new();
        for _ in 0..3 {
            headers.push(peer.request().await.0);
        }
        for (i, header) in (0..).zip(&headers) {
            assert_eq!(header.api_version, 12, "the highest both sides have");
            peer.answer(header, &metadata(i)).await;
        }
    })
    .await;
    let connection = connection.unwrap();
    let mut replies = Vec::new();
    for _ in 0..3 {
        replies.push(connection.send(&MetadataRequest::default()).await.unwrap());
    }
    for (i, reply) in (0..).zip(replies) {
        assert_eq!(reply.wait().await.unwrap().controller_id, i);
    }
    server.await.unwrap();
}

#[tokio::test]
async fn answers_out_of_order_close_the_connection() {
    let (connection, _server) = scripted(options(), |mut peer| async move {
        peer.versions(ALL).await;
        let (_first, second) = (peer.request().await.0, peer.request().await.0);
        peer.answer(&second, &metadata(1)).await;
        peer
    })
    .await;
    let connection = connection.unwrap();
    let first = connection.send(&MetadataRequest::default()).await.unwrap();
    let second = connection.send(&MetadataRequest::default()).await.unwrap();
    for reply in [first, second] {
        let error = reply.wait().await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
        assert!(error.to_string().contains("correlation id"), "{error}");
    }
    assert!(connection.is_closed());
    assert!(connection.send(&MetadataRequest::default()).await.is_err());
}

#[tokio::test]
async fn hostile_bytes_are_errors() {
    // What the server sends after the handshake, and what the client must say of it.
    let cases: &[(&[u8], &str)] = &[
        (&[0x7f, 0xff, 0xff, 0xff], "announces 2147483647 bytes"),
        (&[0xff, 0xff, 0xff, 0xff], "announces -1 bytes"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "announces 1213486160 bytes"),
        (&[0, 0, 0, 0], "ResponseHeader"),
        (&[0, 0, 0, 2, 0, 0], "ResponseHeader"),
        // A right header, then a body that claims 2^31 brokers.
        (&[0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f], "elements cannot be"),
        (&[0, 0, 0, 5, 0, 0, 0, 1, 0], "are needed"),
    ];
    for (bytes, expect) in cases {
        let (connection, _server) = scripted(options(), |mut peer| {
            let bytes = bytes.to_vec();
            async move {
                peer.versions(ALL).await;
                peer.request().await;
                peer.send(&bytes).await;
                peer
            }
        })
        .await;
        let connection = connection.unwrap();
        let error = connection.call(&MetadataRequest::default()).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
        assert!(error.to_string().contains(expect), "{error}, not {expect}");
        assert!(connection.is_closed(), "{expect}");
    }
}

#[tokio::test]
async fn a_disconnect_fails_what_waits() {
    let (connection, _server) = scripted(options(), |mut peer| async move {
        peer.versions(ALL).await;
        peer.request().await;
    })
    .await;
    let connection = connection.unwrap();
    let error = connection.call(&MetadataRequest::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Disconnected { .. }), "{error}");
    assert!(error.is_retriable() && error.is_outcome_unknown());
}

#[tokio::test]
async fn requests_that_never_left_may_be_tried_again() {
    // Found by killing brokers: what was queued behind a full socket came back as "closed", for good.
    let (connection, server) = scripted(options(), |mut peer| async move {
        peer.versions(ALL).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .await;
    let connection = connection.unwrap();
    let name = "x".repeat(10_000);
    let topic = || watershed_protocol::messages::metadata::MetadataRequestTopic {
        name: Some(name.as_str().into()),
        ..Default::default()
    };
    let large = MetadataRequest { topics: Some((0..100).map(|_| topic()).collect()), ..MetadataRequest::default() };
    let (mut replies, mut errors) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        match connection.send(&large).await {
            Ok(reply) => replies.push(reply),
            Err(error) => errors.push(error),
        }
    }
    for reply in replies {
        errors.push(reply.wait().await.unwrap_err());
    }
    for error in errors {
        assert!(matches!(error, ClientError::Disconnected { .. }), "{error}");
    }
    server.await.unwrap();
}

#[tokio::test]
async fn silence_is_a_timeout_that_closes_the_connection() {
    let options = ConnectionOptions { request_timeout: Duration::from_millis(200), ..options() };
    let (connection, _server) = scripted(options, |mut peer| async move {
        peer.versions(ALL).await;
        peer.request().await;
        peer
    })
    .await;
    let connection = connection.unwrap();
    let error = connection.call(&MetadataRequest::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("Metadata v12"), "{error}");
    assert!(connection.is_closed());
}

#[tokio::test]
async fn versions_are_negotiated() {
    let apis = &[(ApiKey::Metadata, 4, 5), (ApiKey::Produce, 99, 100)];
    let (connection, _server) = scripted(options(), |mut peer| async move {
        peer.versions(apis).await;
        peer
    })
    .await;
    let connection = connection.unwrap();
    assert_eq!(connection.version_of::<MetadataRequest>().unwrap(), 5);
    for (error, expect) in [
        (connection.version_of::<ProduceRequest>().unwrap_err(), "serves 99-100, this client speaks 3-13"),
        (connection.version_of::<DescribeQuorumRequest>().unwrap_err(), "serves none"),
    ] {
        assert!(matches!(error, ClientError::Unsupported { .. }));
        assert!(error.to_string().contains(expect), "{error}");
        assert!(!error.is_retriable());
    }
}

#[tokio::test]
async fn an_old_broker_is_asked_again_in_its_version() {
    let (connection, server) = scripted(options(), |mut peer| async move {
        let (first, _) = peer.request().await;
        assert_eq!(first.api_version, 4);
        // As Kafka does: error 35, in version 0, with what it knows of this API (KIP-511).
        let listed = ApiVersion { api_key: 18, min_version: 0, max_version: 2 };
        let refusal = ApiVersionsResponse { error_code: 35, api_keys: vec![listed], ..ApiVersionsResponse::default() };
        peer.answer(&RequestHeader { api_version: 0, ..first }, &refusal).await;
        let (second, _) = peer.request().await;
        assert_eq!(second.api_version, 2);
        let listed = ApiVersion { api_key: 3, min_version: 0, max_version: 1 };
        let response = ApiVersionsResponse { api_keys: vec![listed], ..ApiVersionsResponse::default() };
        peer.answer(&second, &response).await;
        peer
    })
    .await;
    assert_eq!(connection.unwrap().version_of::<MetadataRequest>().unwrap(), 1);
    server.await.unwrap();
}

#[tokio::test]
async fn requests_beyond_the_budget_wait() {
    let options = ConnectionOptions { in_flight_bytes_max: 10, ..options() };
    let (connection, _server) = scripted(options, |mut peer| async move {
        peer.versions(ALL).await;
        let (header, _) = peer.request().await;
        // Nothing else may come before this one is answered.
        let early = timeout(Duration::from_millis(200), peer.request()).await;
        assert!(early.is_err());
        peer.answer(&header, &metadata(1)).await;
        let (header, _) = peer.request().await;
        peer.answer(&header, &metadata(2)).await;
        peer
    })
    .await;
    let connection = connection.unwrap();
    let request = MetadataRequest::default();
    let (first, second) = tokio::join!(connection.call(&request), connection.call(&request));
    assert_eq!((first.unwrap().controller_id, second.unwrap().controller_id), (1, 2));
}

#[tokio::test]
async fn nobody_listening_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Connection::connect(&address, &options()).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}
