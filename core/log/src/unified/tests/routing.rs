//! What a log does for topics whose records are taken to their partitions.

use super::*;
use crate::routed;

#[tokio::test]
async fn clients_are_refused_and_the_router_is_not() {
    let log = memory(LogConfig::default()).open().await;
    append(&log, 2);
    assert_eq!(log.refuse_clients(true), Offset(2));
    let refused = log.append_as_leader(validated(&log, batch_at(&[NOW.0], ProducerSequence::NONE)), EPOCH);
    assert!(matches!(refused, Err(LogError::Diverted)));
    let routed = |last| {
        let mut batch = validated(&log, batch_at(&[NOW.0], ProducerSequence::NONE));
        let from = routed::sequence(4, Offset(last), 1);
        (batch.header.producer_id, batch.header.producer_epoch) = (from.id, from.epoch);
        (batch.header.base_sequence, batch.origin) = (from.base_sequence, Origin::Router);
        batch.header.crc = batch.header.compute_crc(&batch.body);
        batch
    };
    assert_eq!(log.copied_from(4, Offset(100)), None);
    assert!(!log.append_as_leader(routed(17), EPOCH).unwrap().duplicate);
    assert!(log.append_as_leader(routed(16), EPOCH).unwrap().duplicate);
    assert_eq!(log.copied_from(4, Offset(100)), Some(Offset(17)));
    assert_eq!(log.copied_from(3, Offset(100)), None);
    log.refuse_clients(false);
    assert_eq!(append(&log, 1).base_offset, Offset(3));
}

#[tokio::test]
async fn a_log_goes_on_further_up_and_keeps_what_it_holds() {
    let bench = memory(LogConfig::default());
    let log = bench.open().await;
    append(&log, 3);
    let far = Offset(3 * i64::from(i32::MAX));
    log.skip_to(far, EPOCH).await.unwrap();
    log.skip_to(Offset(1), EPOCH).await.unwrap();
    assert_eq!((log.end(), log.high_watermark()), (far, far));
    assert_eq!(append(&log, 1).base_offset, far);
    let found: Vec<_> = read_records(&log, Offset(0), Bound::HighWatermark).await.iter().map(|r| r.offset).collect();
    assert_eq!(found, [Offset(0), Offset(1), Offset(2), far]);
}
