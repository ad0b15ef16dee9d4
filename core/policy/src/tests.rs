//! Batches through hooks, against a model that knows each record's fate.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;
use watershed_hooks::{
    Batch, Client, Environment, Failure, Hook, HookKind, Interceptor, PluginError, PluginFactory, Reads, Replacement,
    Settings, Verdict,
};
use watershed_model::limits::SLICE_RECORDS_MAX;
use watershed_model::record::{BatchBuilder, Compression, NewRecord, ProducerSequence, RecordBatch};
use watershed_model::{ManualClock, ProducerEpoch, ProducerId, Timestamp};

use crate::{
    Binding, BindingState, BreakerSettings, Entry, OnError, Origin, Plugin, PluginParts, Refusal, Spread,
    TopicBindings, admit,
};

const VALUES: Reads = Reads { values: true, ..Reads::NOTHING };

/// Does what the first byte of each value says.
struct Obedient;

impl Interceptor for Obedient {
    fn reads(&self) -> &Reads {
        &VALUES
    }

    fn intercept(&mut self, batch: &Batch<'_>, verdicts: &mut Vec<Verdict>) -> Result<(), Failure> {
        assert!(batch.len() <= SLICE_RECORDS_MAX);
        verdicts.extend(batch.values()?.iter().map(|value| match value.unwrap_or_default() {
            [b'd', ..] => Verdict::Drop,
            [b'r', rest @ ..] => {
                Verdict::Replace(Replacement { value: Some(Some(rest.to_vec())), headers: Some(Vec::new()) })
            }
            [b'l', ..] => Verdict::DeadLetter("l".to_owned()),
            [b'x', ..] => Verdict::Reject("x".to_owned()),
            _ => Verdict::Keep,
        }));
        Ok(())
    }
}

struct Factory;

impl PluginFactory for Factory {
    fn name(&self) -> &str {
        "obedient"
    }

    fn hook(&self) -> HookKind {
        HookKind::Interceptor
    }

    fn validate(&self, _: &Settings) -> Result<(), PluginError> {
        Ok(())
    }

    fn create(&self, _: &Settings, _: &Environment) -> Result<Hook, PluginError> {
        Ok(Hook::Interceptor(Box::new(Obedient)))
    }

    fn close(&self) {}
}

fn bindings(interceptors: usize) -> TopicBindings {
    let plugin = Plugin::new(PluginParts {
        factory: Arc::new(Factory),
        settings: Settings::new(),
        on_error: OnError::Closed,
        dead_letter_topic: Some("dead".to_owned()),
        origin: Origin::Native,
        random: Arc::new(|| 0),
        breaker: BreakerSettings::default(),
        clock: Arc::new(ManualClock::at(Timestamp(0))),
    });
    let plugin = Arc::new(plugin.unwrap());
    let bind = |_| Binding::new(Arc::clone(&plugin), BindingState::On);
    TopicBindings { interceptors: (0..interceptors).map(bind).collect(), ..TopicBindings::default() }
}

type Stored = Vec<(i64, Option<Vec<u8>>, Option<Vec<u8>>, usize)>;

fn stored(batch: &RecordBatch) -> Stored {
    let owned = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map(|bytes| bytes.to_vec());
    let records = batch.owned_records().unwrap();
    records.iter().map(|r| (r.offset.0, owned(&r.key), owned(&r.value), r.headers.len())).collect()
}

/// What is to be stored, and how many dead letters there are; `None` if the batch is refused. Interceptors come one by one.
fn model(values: &[Vec<u8>], interceptors: usize) -> Option<(Stored, usize)> {
    let (mut kept, mut dead, mut refused) = (Vec::new(), 0, false);
    for (offset, value) in (0..).zip(values) {
        let (mut value, mut headers, mut stays) = (value.clone(), 1, true);
        for _ in 0..interceptors {
            match value.first() {
                Some(b'd') => stays = false,
                Some(b'l') => (stays, dead) = (false, dead + 1),
                Some(b'x') => (stays, refused) = (false, true),
                Some(b'r') => (value, headers) = (value[1..].to_vec(), 0),
                _ => {}
            }
            if !stays {
                break;
            }
        }
        if stays {
            kept.push((offset, Some(b"k".to_vec()), Some(value), headers));
        }
    }
    (!refused).then_some((kept, dead))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_record_meets_its_fate(
        values in prop::collection::vec("[kdrl]{1,4}x?", 1..600),
        codec in prop::sample::select(vec![Compression::None, Compression::Lz4, Compression::Zstd]),
        interceptors in 1_usize..3,
    ) {
        let values: Vec<Vec<u8>> = values.into_iter().map(String::into_bytes).collect();
        let producer = ProducerSequence { id: ProducerId(3), epoch: ProducerEpoch(1), base_sequence: 17 };
        let mut builder = BatchBuilder::new().compression(codec, None).producer(producer);
        for value in &values {
            let headers = [(&b"h"[..], None)];
            builder.push(Timestamp(5), NewRecord { key: Some(b"k"), value: Some(value), headers: &headers });
        }
        let mut bytes = builder.build().unwrap();
        let before = RecordBatch::split_from(&mut bytes).unwrap();
        let (header, body) = (before.header, before.body());
        let one = std::num::NonZeroU32::MIN;
        let entry = Entry {
            topic: "t",
            partition: 0,
            client: Client::default(),
            header: &header,
            body: &body,
            level: None,
            spread: Spread { partitions: one, partitions_before: None },
        };
        let admitted = admit(&bindings(interceptors), &entry);
        let Some((kept, dead)) = model(&values, interceptors) else {
            let refused = matches!(admitted, Err(Refusal::Records { .. }));
            prop_assert!(refused);
            return Ok(());
        };
        let admission = admitted.unwrap();
        prop_assert_eq!(admission.dead_letters.len(), dead);
        let Some((after, body)) = admission.rewritten else {
            prop_assert_eq!(stored(&before), kept);
            return Ok(());
        };
        prop_assert_eq!((after.last_offset_delta, after.last_sequence()), (header.last_offset_delta, header.last_sequence()));
        let mut whole = [&after.to_bytes()[..], &body[..]].concat().into();
        let after = RecordBatch::split_from(&mut whole).unwrap();
        prop_assert!(whole.is_empty() && after.crc_is_valid());
        prop_assert_eq!(stored(&after), kept);
    }
}
