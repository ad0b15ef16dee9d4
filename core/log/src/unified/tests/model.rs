//! Random histories against a model that keeps every record in a list.

use proptest::prelude::*;

use super::*;
use crate::OffsetSpec;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<i64>),
    DeleteBefore(usize),
    Retain(i64),
    Truncate(usize),
    Crash,
    Close,
    Read(usize),
    Time(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(1000..1100i64, 1..6).prop_map(Step::Append),
        1 => (0..100usize).prop_map(Step::DeleteBefore),
        1 => (1000..1200i64).prop_map(Step::Retain),
        1 => (0..100usize).prop_map(Step::Truncate),
        1 => Just(Step::Crash),
        1 => Just(Step::Close),
        3 => (0..100usize).prop_map(Step::Read),
        3 => (990..1110i64).prop_map(Step::Time),
    ]
}

/// What the log should hold: (offset, timestamp), and where batches begin.
#[derive(Default)]
struct Model {
    start: i64,
    end: i64,
    records: Vec<(i64, i64)>,
    bases: Vec<i64>,
}

impl Model {
    fn readable(&self) -> impl Iterator<Item = &(i64, i64)> {
        self.records.iter().filter(|(o, _)| *o >= self.start)
    }
}

async fn run(steps: Vec<Step>) {
    let bench = memory(LogConfig { segment_bytes: 1200, retention_ms: Some(50), ..LogConfig::default() });
    let mut log = bench.open().await;
    let mut model = Model::default();
    for step in steps {
        match step.clone() {
            Step::Append(timestamps) => {
                assert_eq!(append_at(&log, &timestamps).base_offset.0, model.end);
                model.bases.push(model.end);
                for t in timestamps {
                    model.records.push((model.end, t));
                    model.end += 1;
                }
            }
            Step::DeleteBefore(n) => {
                let to = (n as i64).min(model.end);
                model.start = model.start.max(to);
                assert_eq!(log.delete_records_before(Some(Offset(to))).await.unwrap().0, model.start);
            }
            Step::Retain(now) => {
                let segments = log.segments();
                let outcome = log.apply_retention(Timestamp(now)).await.unwrap();
                assert!(outcome.deleted.iter().all(|(s, _)| s.max_timestamp.unwrap().0 + 50 < now));
                let last = outcome.deleted.last().map_or(model.start, |(s, _)| s.end.0);
                model.start = model.start.max(last);
                let kept = segments.iter().find(|s| s.end.0 > last && s.bytes > 0);
                assert!(kept.is_none_or(|s| s.max_timestamp.unwrap().0 + 50 >= now), "{kept:?} should have gone");
            }
            Step::Truncate(n) => {
                let to = (n as i64).clamp(model.start, model.end);
                log.truncate_to(Offset(to)).await.unwrap();
                // Down to a batch boundary.
                let cut = model.bases.iter().rev().find(|b| **b <= to).copied().unwrap_or(model.start);
                let cut = if to == model.end { to } else { cut.max(model.start) };
                model.records.retain(|(o, _)| *o < cut);
                model.bases.retain(|b| *b < cut);
                model.end = cut;
            }
            Step::Crash => {
                log.log.close().await.unwrap();
                log = bench.open().await;
            }
            Step::Close => {
                log.close().await.unwrap();
                log = bench.open().await;
            }
            Step::Read(n) => {
                let from = (n as i64).clamp(model.start, model.end);
                let found: Vec<_> = read_records(&log, Offset(from), Bound::HighWatermark).await;
                let found: Vec<_> = found.iter().map(|r| (r.offset.0, r.timestamp.0)).collect();
                let expect: Vec<_> = model.readable().filter(|(o, _)| *o >= from).copied().collect();
                assert_eq!(found, expect, "from {from}");
            }
            Step::Time(t) => {
                let found = log.offset_for(OffsetSpec::At(Timestamp(t)), Bound::HighWatermark).await.unwrap();
                let expect = model.readable().find(|(_, time)| *time >= t).copied();
                assert_eq!(found.map(|f| (f.offset.0, f.timestamp.0)), expect, "at {t}");
            }
        }
        assert_eq!((log.start().0, log.end().0), (model.start, model.end), "after {step:?}");
        assert_eq!(log.high_watermark(), log.end());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_log_is_the_list(steps in prop::collection::vec(any_step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}
