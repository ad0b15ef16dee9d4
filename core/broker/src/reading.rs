//! What a consumer reads of a partition: batches as they lie there, or what a fetch filter leaves of them.
//!
//! A batch may hold no record (an interceptor dropped them all, a filter hides them all) and still cover offsets. Some clients
//! stand still when a response holds nothing else, so such batches are skipped as far as a bound allows; what is answered then
//! begins behind them.

use std::sync::Arc;

use bytes::Bytes;
use watershed_hooks::Client;
use watershed_log::Bound;
use watershed_model::record::{BatchHeader, HEADER_BYTES, batches};
use watershed_model::{Offset, Piece};
use watershed_policy::{Binding, Reader, Revealed, reveal};
use watershed_protocol::ErrorCode;

use crate::Broker;
use crate::errors::{log_code, read_code};
use crate::partition::Partition;

/// How many bytes of batches without records are skipped for one response, and in how many reads.
const SKIP_BYTES_MAX: usize = 8 << 20;
const SKIP_READS_MAX: usize = 64;

/// What was found.
pub(crate) struct Found {
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) last_stable: Offset,
    /// What the reader may read up to.
    pub(crate) upto: Offset,
    pub(crate) pieces: Vec<Piece>,
    /// There are batches, and none of them holds a record.
    pub(crate) recordless: bool,
}

/// What is read.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) from: Offset,
    pub(crate) bound: Bound,
    pub(crate) bytes_max: u32,
    /// The first batch comes whole whatever its size.
    pub(crate) min_one: bool,
}

/// Reads for a consumer.
pub(crate) async fn read(
    broker: &Arc<Broker>,
    client: &Client<'_>,
    partition: &Partition,
    wish: Wish,
) -> Result<Found, ErrorCode> {
    let filter = partition.topic.bindings().and_then(|bindings| bindings.fetch_filter.clone());
    let (mut wish, mut skipped) = (wish, 0);
    let mut recordless: Option<Found> = None;
    for _ in 0..SKIP_READS_MAX {
        let (found, next) = match &filter {
            None => plain(partition, wish).await?,
            Some(filter) => filtered(broker, client, partition, filter, wish).await?,
        };
        let bytes: usize = found.pieces.iter().map(Piece::len).sum();
        skipped += bytes;
        // Behind what is skipped there is nothing: the first of what was skipped is the answer.
        if bytes == 0 {
            return Ok(recordless.unwrap_or(found));
        }
        match next {
            Some(next) if skipped < SKIP_BYTES_MAX => wish.from = next,
            _ => return Ok(found),
        }
        recordless.get_or_insert(found);
    }
    Ok(recordless.expect("every round that goes on sets it"))
}

/// Batches as they lie in the log; and the offset behind them if they hold no record.
async fn plain(partition: &Partition, wish: Wish) -> Result<(Found, Option<Offset>), ErrorCode> {
    let Wish { from, bound, bytes_max, min_one } = wish;
    let mut found = {
        let read = partition.log.read(from, bound, bytes_max, min_one).map_err(|error| log_code(&error))?;
        let (log_start, high_watermark) = (read.log_start, read.high_watermark);
        let (last_stable, upto) = (read.last_stable, read.upto);
        let pieces = if bytes_max == 0 && !min_one {
            Vec::new()
        } else {
            read.pieces().await.map_err(|error| {
                let (topic, number) = (&partition.topic.name, partition.tp.partition);
                tracing::warn!(%topic, partition = number, %error, "a read failed");
                read_code(&error)
            })?
        };
        Found { log_start, high_watermark, last_stable, upto, pieces, recordless: false }
    };
    let next = behind_recordless(partition, wish, &found).await?;
    found.recordless = next.is_some();
    Ok((found, next))
}

/// Batches without records are headers and nothing else, so their length gives them away; only then are they looked at.
async fn behind_recordless(partition: &Partition, wish: Wish, found: &Found) -> Result<Option<Offset>, ErrorCode> {
    let bytes: usize = found.pieces.iter().map(Piece::len).sum();
    if bytes == 0 || !bytes.is_multiple_of(HEADER_BYTES) {
        return Ok(None);
    }
    let max = u32::try_from(bytes).unwrap_or(u32::MAX);
    let loaded = partition.log.load(wish.from, wish.bound, max).await.map_err(|error| log_code(&error))?;
    let mut empty = Vec::new();
    for batch in batches(loaded) {
        // What is damaged is told when it is read for its records.
        let Ok(batch) = batch else { return Ok(None) };
        if batch.header.record_count > 0 {
            return Ok(None);
        }
        empty.push(batch.header);
    }
    partition.log.saw(&empty);
    Ok(empty.last().map(BatchHeader::next_offset))
}

/// What a fetch filter leaves of the batches; and the offset behind them if no record is left.
async fn filtered(
    broker: &Arc<Broker>,
    client: &Client<'_>,
    partition: &Partition,
    filter: &Binding,
    wish: Wish,
) -> Result<(Found, Option<Offset>), ErrorCode> {
    let log = &partition.log;
    log.check_range(wish.from).map_err(|error| log_code(&error))?;
    let mut found = Found {
        log_start: log.start(),
        high_watermark: log.high_watermark(),
        last_stable: log.last_stable_offset(),
        upto: log.marks().get(wish.bound.mark()),
        pieces: Vec::new(),
        recordless: false,
    };
    if wish.bytes_max == 0 && !wish.min_one {
        return Ok((found, None));
    }
    let loaded = log.load(wish.from, wish.bound, wish.bytes_max).await.map_err(|error| log_code(&error))?;
    if loaded.is_empty() || (!wish.min_one && loaded.len() > wish.bytes_max as usize) {
        return Ok((found, None));
    }
    let revealed = ask(broker, client, partition, filter, loaded).await?;
    let next = revealed.next_offset.filter(|_| revealed.records == 0).map(Offset);
    found.recordless = next.is_some();
    found.pieces = revealed.batches.into_iter().map(Piece::Bytes).collect();
    Ok((found, next))
}

async fn ask(
    broker: &Arc<Broker>,
    client: &Client<'_>,
    partition: &Partition,
    filter: &Binding,
    loaded: Bytes,
) -> Result<Revealed, ErrorCode> {
    let slow = filter.plugin().is_some_and(|plugin| plugin.is_slow());
    let (topic, number) = (Arc::clone(&partition.topic.name), partition.tp.partition.unsigned_abs());
    let answer = if slow {
        let (principal, client_id) = (client.principal.to_owned(), client.client_id.to_owned());
        let (listener, host) = (client.listener.to_owned(), client.host.to_owned());
        let binding = filter.clone();
        let question = move || {
            let client = Client { principal: &principal, client_id: &client_id, listener: &listener, host: &host };
            reveal(&binding, &Reader { topic: &topic, partition: number, client }, loaded)
        };
        broker.on_plugin_pool(question).await
    } else {
        Ok(reveal(filter, &Reader { topic: &topic, partition: number, client: *client }, loaded))
    };
    let reason = match answer {
        Ok(Ok(revealed)) => return Ok(revealed),
        Ok(Err(refusal)) => refusal.to_string(),
        Err(panicked) => panicked,
    };
    let (topic, number) = (&partition.topic.name, partition.tp.partition);
    tracing::debug!(%topic, partition = number, reason, "a fetch filter has no answer: its topic cannot be read");
    Err(ErrorCode::KafkaStorageError)
}
