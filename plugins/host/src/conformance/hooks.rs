//! Asking each hook about the fixtures.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use watershed_hooks::{
    Choice, Client, Column, Failure, FaultKind, GroupMember, GroupSpec, GroupTopic, Hook, HookKind, LogSummary,
    Replacement, SegmentSummary, Stay, TopicAction, TopicChange, TopicPartition, TopicVerdict, Verdict, Visibility,
    assign, assign_group, filter, intercept, order, retain,
};
use watershed_model::TopicId;

use super::fixtures::{Fixture, NOW, batches};
use super::reference;

type Make<'m> = &'m dyn Fn(HookKind) -> Hook;

/// Instances break by themselves, each with its own words: only the kind of a fault is compared.
fn comparable<T>(answer: Result<T, Failure>) -> Result<T, Result<Failure, FaultKind>> {
    answer.map_err(|failure| failure.fault().map_or(Ok(failure), Err))
}

/// Asks a used instance and a fresh one, both of which must give the wanted answer.
fn both<T: PartialEq + std::fmt::Debug>(
    (make, kind, name): (Make<'_>, HookKind, &str),
    used: &mut Hook,
    want: &Result<T, Result<Failure, FaultKind>>,
    mut ask: impl FnMut(&mut Hook) -> Result<T, Failure>,
) {
    let said = |answer: &Result<T, Failure>| answer.as_ref().err().map(ToString::to_string);
    let answer = ask(&mut make(kind));
    let text = said(&answer);
    assert_eq!(&comparable(answer), want, "{kind}, {name}: a fresh instance, which says {text:?}");
    let answer = ask(used);
    let text = said(&answer);
    let seen = comparable(answer);
    assert_eq!(&seen, want, "{kind}, {name}: an instance that answered before, which says {text:?}");
    if matches!(seen, Err(Err(_))) {
        // A broken instance is not asked again.
        *used = make(kind);
    }
}

/// The hooks on records: each must say what the native reference says, and that is held to what is written here.
pub(super) fn records(make: Make<'_>) {
    let kinds = [
        HookKind::OrderingKey,
        HookKind::Partitioner,
        HookKind::Interceptor,
        HookKind::FetchFilter,
        HookKind::RecordRetention,
    ];
    let mut hooks = kinds.map(|kind| (make(kind), reference(kind)));
    let [ordering, partitioner, interceptor, fetch_filter, record_retention] = &mut hooks;
    for batch in &batches() {
        let want = comparable(ask_ordering(&mut ordering.1, batch));
        both((make, HookKind::OrderingKey, batch.name), &mut ordering.0, &want, |hook| ask_ordering(hook, batch));
        // Kafka's numbers of partitions are positive `int32`s; where hosts say that the client's choice stands, they use 2^32-1.
        for partitions in [1, 12, i32::MAX as u32].map(|n: u32| NonZeroU32::new(n).expect("none of them is zero")) {
            let ask = |hook: &mut Hook| ask_partitioner(hook, batch, partitions);
            let want = comparable(ask(&mut partitioner.1));
            both((make, HookKind::Partitioner, batch.name), &mut partitioner.0, &want, ask);
        }
        let want = comparable(ask_interceptor(&mut interceptor.1, batch));
        both((make, HookKind::Interceptor, batch.name), &mut interceptor.0, &want, |hook| ask_interceptor(hook, batch));
        let want = comparable(ask_filter(&mut fetch_filter.1, batch));
        both((make, HookKind::FetchFilter, batch.name), &mut fetch_filter.0, &want, |hook| ask_filter(hook, batch));
        let name = (make, HookKind::RecordRetention, batch.name);
        let want = comparable(ask_retention(&mut record_retention.1, batch));
        both(name, &mut record_retention.0, &want, |hook| ask_retention(hook, batch));
    }
    written(&mut hooks.map(|(hook, _)| hook));
}

fn wrong(hook: &Hook) -> ! {
    panic!("an instance that serves {} was made for another hook", hook.kind())
}

fn ask_ordering(hook: &mut Hook, batch: &Fixture) -> Result<Column, Failure> {
    let Hook::OrderingKey(hook) = hook else { wrong(hook) };
    let mut keys = Column::new();
    batch.with(|batch| order(hook.as_mut(), batch, &mut keys)).map(|()| keys)
}

fn ask_partitioner(hook: &mut Hook, batch: &Fixture, partitions: NonZeroU32) -> Result<Vec<Choice>, Failure> {
    let Hook::Partitioner(hook) = hook else { wrong(hook) };
    assert!(hook.deterministic(), "the reference partitioner is deterministic");
    let mut choices = Vec::new();
    batch.with(|batch| assign(hook.as_mut(), batch, partitions, &mut choices)).map(|()| choices)
}

pub(super) fn ask_interceptor(hook: &mut Hook, batch: &Fixture) -> Result<Vec<Verdict>, Failure> {
    let Hook::Interceptor(hook) = hook else { wrong(hook) };
    let mut verdicts = Vec::new();
    batch.with(|batch| intercept(hook.as_mut(), batch, &mut verdicts)).map(|()| verdicts)
}

fn ask_filter(hook: &mut Hook, batch: &Fixture) -> Result<Vec<Visibility>, Failure> {
    let Hook::FetchFilter(hook) = hook else { wrong(hook) };
    let mut visibilities = Vec::new();
    batch.with(|batch| filter(hook.as_mut(), batch, &mut visibilities)).map(|()| visibilities)
}

fn ask_retention(hook: &mut Hook, batch: &Fixture) -> Result<Vec<Stay>, Failure> {
    let Hook::RecordRetention(hook) = hook else { wrong(hook) };
    let mut stays = Vec::new();
    batch.with(|batch| retain(hook.as_mut(), batch, NOW, &mut stays)).map(|()| stays)
}

fn fixture(name: &str) -> Fixture {
    let found = batches().into_iter().find(|batch| batch.name == name);
    found.unwrap_or_else(|| panic!("there is no batch named {name}"))
}

/// Answers that are written out, so that the native reference is held to something, too.
fn written([ordering, partitioner, interceptor, fetch_filter, record_retention]: &mut [Hook; 5]) {
    let keys = ask_ordering(ordering, &fixture("ordering keys")).expect("it has an answer");
    let want = [
        Some("second"),
        Some("acme"),
        Some("17.50"),
        Some("\u{fc}\n"),
        Some(r#"{"a": [1, 2]}"#),
        None,
        Some(""),
        Some("true"),
        None,
        None,
        None,
        Some(""),
    ];
    assert_eq!(keys.iter().collect::<Vec<_>>(), want.map(|key| key.map(str::as_bytes)));

    let twelve = NonZeroU32::new(12).expect("it is not zero");
    let choices = ask_partitioner(partitioner, &fixture("records that have ordering keys"), twelve);
    // The hash of "21" is Kafka's own test vector.
    let of_21 = Choice::Partition((0u32.wrapping_sub(973_932_308) & 0x7fff_ffff) % 12);
    let choices = choices.expect("it has an answer");
    assert_eq!((choices[3], choices[4]), (Choice::ClientStands, of_21));
    let beyond = ask_partitioner(partitioner, &fixture("a wrong partition"), twelve);
    assert_eq!(beyond.err().and_then(|failure| failure.fault()), Some(FaultKind::WrongAnswer));

    let verdicts = ask_interceptor(interceptor, &fixture("every verdict")).expect("it has an answer");
    assert_eq!(verdicts[..17], wanted_verdicts());
    assert!(verdicts[17..].iter().all(|verdict| *verdict == Verdict::Keep));
    let later = ask_interceptor(interceptor, &fixture("retry"));
    assert_eq!(later, Err(Failure::Retriable("later".to_owned())));
    let never = ask_interceptor(interceptor, &fixture("refuse"));
    assert_eq!(never, Err(Failure::Permanent("never".to_owned())));

    let redact = |text: &str| Visibility::Redact(valued(Some(text)));
    let want = [
        redact("1700000000123"),
        redact("-1"),
        redact("***"),
        Visibility::Hide,
        Visibility::Hide,
        redact("0"),
        Visibility::Show,
        redact("***"),
    ];
    let visibilities = ask_filter(fetch_filter, &fixture("every verdict")).expect("it has an answer");
    assert_eq!(visibilities[18..], want);
    assert!(visibilities[..18].iter().all(|visibility| *visibility == Visibility::Show));

    let stays = ask_retention(record_retention, &fixture("records with a time to live")).expect("it has an answer");
    // Those of rank 3 and 4: counted from the last, the fourth and fifth of each five.
    let old = |i: usize| (20 - i) % 5 >= 3;
    let over = [1, 3, 5, 16, 17, 18];
    let want = |i: usize| if old(i) || over.contains(&i) { Stay::Drop } else { Stay::Keep };
    assert_eq!(stays, (0..21).map(want).collect::<Vec<_>>());
}

fn valued(value: Option<&str>) -> Replacement {
    Replacement { value: Some(value.map(|text| text.as_bytes().to_vec())), headers: None }
}

fn wanted_verdicts() -> [Verdict; 17] {
    let replace = |value: Option<&str>| Verdict::Replace(valued(value));
    let with = |value: &str, headers: &[(&str, Option<&str>)]| {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let headers = headers.iter().map(|(name, value)| (bytes(name), value.map(bytes))).collect();
        Verdict::Replace(Replacement { headers: Some(headers), ..valued(Some(value)) })
    };
    let replaced = ("replaced", Some("1"));
    let four = [("order", Some("x")), ("a", None), ("order", Some("y")), ("a", Some("")), replaced];
    [
        Verdict::Keep,
        Verdict::Drop,
        Verdict::Reject("no tenant".to_owned()),
        Verdict::Reject(String::new()),
        Verdict::DeadLetter("poison".to_owned()),
        Verdict::DeadLetter("\u{fc}ber".to_owned()),
        with("new", &four),
        with("", &[replaced]),
        replace(None),
        Verdict::Replace(Replacement { value: None, headers: Some(Vec::new()) }),
        replace(Some("x")),
        replace(Some("y")),
        replace(Some("x")),
        replace(None),
        replace(None),
        replace(Some("19")),
        replace(Some("orders 3 7 User:ann app PLAIN 10.0.0.9")),
    ]
}

/// The hook `retention`.
pub(super) fn retention(make: Make<'_>) {
    let mut used = make(HookKind::Retention);
    let now = 1_700_000_000_000;
    let segment = |base_offset, end_offset, max_timestamp, sealed| SegmentSummary {
        base_offset,
        end_offset,
        bytes: 1 << 40,
        records: 1 << 41,
        first_timestamp: max_timestamp,
        max_timestamp,
        sealed,
    };
    let old = now - 1001;
    let cases = [
        ("orders", vec![], Ok(None)),
        ("orders", vec![segment(0, 10, old, false)], Ok(None)),
        ("orders", vec![segment(0, 10, old, true), segment(10, 20, old, false)], Ok(Some(10))),
        (
            "orders",
            vec![segment(0, 10, now, true), segment(10, 20, old, true), segment(20, 20, -1, true)],
            Ok(Some(20)),
        ),
        ("orders", vec![segment(5, 10, now - 1000, true), segment(10, 20, now, false)], Ok(None)),
        ("orders", vec![segment(5, (1 << 53) - 1, old, true)], Ok(Some((1 << 53) - 1))),
        ("retry", vec![segment(0, 10, old, true)], Err(Ok(Failure::Retriable("later".to_owned())))),
    ];
    for (topic, segments, want) in cases {
        let name = format!("{topic} with {segments:?}");
        let log = LogSummary { topic, partition: 2, now, start_offset: 0, high_watermark: 20, segments };
        both((make, HookKind::Retention, &name), &mut used, &want, |hook| {
            let Hook::Retention(hook) = hook else { wrong(hook) };
            hook.delete_before(&log)
        });
    }
}

/// The hook `assignor`.
pub(super) fn assignor(make: Make<'_>) {
    let mut used = make(HookKind::Assignor);
    let topic = |name, partitions| GroupTopic { name, id: TopicId::ZERO, partitions, racks: Vec::new() };
    let member = |member_id, topics: &[u32]| GroupMember { member_id, topics: topics.to_vec(), ..Default::default() };
    let owner = GroupMember {
        instance_id: Some("static"),
        rack: Some("r1"),
        owned: vec![TopicPartition { topic: 1, partition: 0 }],
        user_data: b"\0\xff",
        ..member("m3", &[0, 1])
    };
    let groups = [
        ("nobody", GroupSpec::new(vec![topic("a", 2)], vec![]), vec![]),
        ("one who wants nothing", GroupSpec::new(vec![topic("a", 2)], vec![member("m1", &[])]), vec![vec![]]),
        (
            "three members",
            GroupSpec::new(
                vec![topic("a", 4), topic("b", 3), topic("c", 1), topic("d", 0)],
                vec![owner, member("m2", &[1, 3]), member("m1", &[0])],
            ),
            // In the order of the members' ids; topic c has no subscriber, topic d no partition.
            vec![vec![(0, 0), (0, 2)], vec![(1, 0), (1, 2)], vec![(0, 1), (0, 3), (1, 1)]],
        ),
        (
            "more members than partitions",
            GroupSpec::new(vec![topic("a", 2)], ["m1", "m2", "m3"].map(|id| member(id, &[0])).to_vec()),
            vec![vec![(0, 0)], vec![(0, 1)], vec![]],
        ),
    ];
    for (name, group, want) in groups {
        both((make, HookKind::Assignor, name), &mut used, &Ok(want), |hook| {
            let Hook::Assignor(hook) = hook else { wrong(hook) };
            let given = assign_group(hook.as_mut(), &group)?.members;
            Ok(given.into_iter().map(|of| of.into_iter().map(|p| (p.topic, p.partition)).collect()).collect())
        });
    }
}

/// The hook `topic-policy`.
pub(super) fn topic_policy(make: Make<'_>) {
    let mut used = make(HookKind::TopicPolicy);
    let configs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let refuse = |reason: &str| TopicVerdict::Refuse(reason.to_owned());
    let audit = configs(&[("cleanup.policy", "delete"), ("retention.ms", "604800000")]);
    let compacted = configs(&[("cleanup.policy", "compact"), ("retention.ms", "-1")]);
    let cases = [
        (TopicAction::Create, "orders", configs(&[]), TopicVerdict::Accept),
        (TopicAction::Create, "tmp.x", configs(&[]), refuse("temporary topics are not allowed")),
        (TopicAction::Alter, "tmp", configs(&[]), TopicVerdict::Accept),
        (TopicAction::Create, "audit.log", compacted.clone(), TopicVerdict::AcceptWith(audit)),
        (TopicAction::Create, "tell.a", compacted, refuse("create 6 3 User:ann compact")),
        (TopicAction::Alter, "tell.a", configs(&[]), refuse("alter 6 3 User:ann -")),
        (TopicAction::Grow, "tell.a", configs(&[("cleanup.policy", "")]), refuse("grow 6 3 User:ann ")),
    ];
    for (action, topic, configs, want) in cases {
        let client = Client { principal: "User:ann", ..Client::default() };
        let change = TopicChange { action, topic, partitions: 6, replication_factor: 3, configs: &configs, client };
        let name = format!("{change:?}");
        both((make, HookKind::TopicPolicy, &name), &mut used, &Ok(want), |hook| {
            let Hook::TopicPolicy(hook) = hook else { wrong(hook) };
            hook.judge(&change)
        });
    }
}
