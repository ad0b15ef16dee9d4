//! What the broker's HTTP API says beyond Kafka's protocol.
//!
//! One GET of HTTP/1.1 over a plain connection, by hand: no client library is worth its weight for that. The answer about a
//! topic is matched by topic id, so an API of some other broker that happens to listen there is never mistaken for ours. Nothing here
//! is an error to the caller: what cannot be had is shown as unknown.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Where a broker's HTTP API listens unless its configuration says otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:9292";

/// The largest answer taken, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What the API says of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TopicStatus {
    /// The topic's id.
    pub id: String,
    /// The storage backend that holds it.
    pub storage: String,
    /// Compaction is asked for and was not done yet.
    pub not_cleaned_yet: bool,
}

/// What the API says of a group.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GroupStatus {
    /// Its id.
    pub group: String,
    /// The last rebalance that the coordinator has seen.
    pub last_rebalance: Option<LastRebalance>,
    /// Its committed partitions.
    pub partitions: Vec<GroupPartition>,
}

/// A group's last rebalance.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct LastRebalance {
    /// Why it began, as a word that the metrics use too.
    pub reason: String,
    /// What the member said (KIP-800), or more about the reason; may be empty.
    pub text: String,
    /// When it began, in milliseconds since 1970.
    pub started_ms: i64,
    /// How long it took; `None` while it goes on.
    pub duration_ms: Option<u64>,
}

/// How far behind a group is in one partition.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GroupPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record to consume.
    pub committed: i64,
    /// The end of what consumers may read.
    pub end: Option<i64>,
    /// How many records it is behind.
    pub lag: Option<i64>,
    /// How long ago the next record to consume was appended, in seconds.
    pub lag_seconds: Option<f64>,
    /// After how many seconds, at the present rates, nothing is left; `None` also where that will not happen.
    pub drain_seconds: Option<f64>,
}

/// What the API at `url` says of this group; `None` if there is no answer or it does not know the group.
pub async fn group_status(url: &str, group: &str, limit: Duration) -> Option<GroupStatus> {
    #[derive(Deserialize)]
    struct Answer {
        groups: Vec<GroupStatus>,
    }
    let body = asked(url, "/api/v1/groups", limit).await?;
    let answer: Answer = serde_json::from_slice(&body).ok()?;
    answer.groups.into_iter().find(|found| found.group == group)
}

/// What the API at `url` says of the topic with this id; `None` if there is no answer or it does not know the topic.
pub async fn topic_status(url: &str, id: &str, limit: Duration) -> Option<TopicStatus> {
    let body = asked(url, "/api/v1/topics", limit).await?;
    topics(&body)?.into_iter().find(|t| t.id == id)
}

/// What the API at `url` says of the plugins, an object each; `None` if there is no answer.
pub async fn plugins(url: &str, limit: Duration) -> Option<Vec<serde_json::Value>> {
    #[derive(Deserialize)]
    struct Answer {
        plugins: Vec<serde_json::Value>,
    }
    let body = asked(url, "/api/v1/plugins", limit).await?;
    serde_json::from_slice::<Answer>(&body).ok().map(|answer| answer.plugins)
}

/// A GET's body, within a time limit.
async fn asked(url: &str, path: &str, limit: Duration) -> Option<Vec<u8>> {
    match timeout(limit, get(url, path)).await {
        Ok(Ok(body)) => Some(body),
        Ok(Err(error)) => {
            tracing::debug!(url, %error, "the HTTP API cannot be asked");
            None
        }
        Err(_) => None,
    }
}

/// The list of topics, bare or in an object.
fn topics(body: &[u8]) -> Option<Vec<TopicStatus>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Answer {
        Bare(Vec<TopicStatus>),
        Wrapped { topics: Vec<TopicStatus> },
    }
    match serde_json::from_slice(body).ok()? {
        Answer::Bare(topics) | Answer::Wrapped { topics } => Some(topics),
    }
}

async fn get(url: &str, path: &str) -> Result<Vec<u8>, String> {
    let host = url.strip_prefix("http://").ok_or("the URL must begin with http://")?.trim_end_matches('/');
    let mut stream = TcpStream::connect(host).await.map_err(|e| e.to_string())?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await.map_err(|e| e.to_string())?;
    body_of(&answer)
}

/// The body of a whole answer.
fn body_of(answer: &[u8]) -> Result<Vec<u8>, String> {
    let end = find(answer, b"\r\n\r\n").ok_or("the answer has no end of its head")?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| "the answer's head is no text")?;
    let body = &answer[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(format!("the answer is {status}"));
    }
    let chunked = lines.any(|l| {
        let (name, value) = l.split_once(':').unwrap_or_default();
        name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked")
    });
    if chunked { unchunk(body) } else { Ok(body.to_vec()) }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

fn unchunk(mut body: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    loop {
        let line = find(body, b"\r\n").ok_or("a chunk has no size")?;
        let size = std::str::from_utf8(&body[..line]).ok();
        let size = size.and_then(|s| usize::from_str_radix(s.split(';').next()?.trim(), 16).ok());
        let size = size.ok_or("a chunk's size is no number")?;
        body = &body[line + 2..];
        if size == 0 {
            return Ok(out);
        }
        let (chunk, rest) = body.split_at_checked(size).ok_or("a chunk is cut off")?;
        out.extend_from_slice(chunk);
        body = rest.strip_prefix(b"\r\n").ok_or("a chunk does not end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_plain_and_chunked() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
        assert_eq!(body_of(plain), Ok(b"[]".to_vec()));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1;x=y\r\n]\r\n0\r\n\r\n";
        assert_eq!(body_of(chunked), Ok(b"[]".to_vec()));
        for bad in [
            &b""[..],
            b"HTTP/1.1 404 Not Found\r\n\r\n",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        ] {
            assert!(body_of(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn topics_come_bare_or_wrapped() {
        let one = TopicStatus { id: "x".into(), storage: "disk".into(), not_cleaned_yet: true };
        let text = r#"[{"id":"x","storage":"disk","not_cleaned_yet":true,"name":"t"}]"#;
        assert_eq!(topics(text.as_bytes()), Some(vec![one.clone()]));
        assert_eq!(topics(format!(r#"{{"topics":{text}}}"#).as_bytes()), Some(vec![one]));
        assert_eq!(topics(b"no"), None);
    }
}
