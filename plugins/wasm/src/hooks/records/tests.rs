//! Answers of guests on records, well-formed and not.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn column(values: &[Option<&[u8]>]) -> OwnColumn {
    let mut column = Column::new();
    for value in values {
        column.push(*value).unwrap();
    }
    OwnColumn { data: column.data().to_vec(), ends: column.ends().to_vec(), valid: column.valid().to_vec() }
}

type HeadersOf<'h> = &'h [(&'h [u8], Option<&'h [u8]>)];

fn headers(of_records: &[HeadersOf<'_>]) -> OwnHeaders {
    let all: Vec<_> = of_records.iter().flat_map(|headers| headers.iter()).collect();
    let names: Vec<_> = all.iter().map(|(name, _)| Some(*name)).collect();
    let values: Vec<_> = all.iter().map(|(_, value)| *value).collect();
    let mut end = 0;
    let ends = of_records.iter().map(|headers| {
        end += headers.len() as u32;
        end
    });
    OwnHeaders { ends: ends.collect(), names: column(&names), values: column(&values) }
}

fn read(each: Verdicts, records: usize) -> Result<Vec<Verdict>, String> {
    let mut verdicts = Vec::new();
    read_verdicts(each, records, &mut verdicts).map(|()| verdicts).map_err(|failure| {
        assert_eq!(failure.fault(), Some(watershed_hooks::FaultKind::WrongAnswer));
        failure.to_string()
    })
}

fn good() -> Verdicts {
    Verdicts {
        codes: vec![0, 1, 2, 3, 4, 5, 6],
        reasons: column(&[Some(b"no"), Some(b"later")]),
        values: column(&[None, Some(b"v")]),
        headers: headers(&[&[], &[(b"a", Some(b"1")), (b"b", None)]]),
    }
}

#[test]
fn each_code_takes_its_part() {
    let value = |value: Option<&[u8]>| Some(value.map(<[u8]>::to_vec));
    let two = vec![(b"a".to_vec(), Some(b"1".to_vec())), (b"b".to_vec(), None)];
    assert_eq!(
        read(good(), 7).unwrap(),
        [
            Verdict::Keep,
            Verdict::Drop,
            Verdict::Reject("no".to_owned()),
            Verdict::DeadLetter("later".to_owned()),
            Verdict::Replace(Replacement { value: value(None), headers: None }),
            Verdict::Replace(Replacement { value: None, headers: Some(Vec::new()) }),
            Verdict::Replace(Replacement { value: value(Some(b"v")), headers: Some(two) }),
        ]
    );
}

type Case<'c> = (&'c dyn Fn(&mut Verdicts), &'c str);

#[test]
fn what_does_not_fit_is_refused() {
    let with = |change: &dyn Fn(&mut Verdicts)| {
        let mut verdicts = good();
        change(&mut verdicts);
        read(verdicts, 7).unwrap_err()
    };
    let cases: &[Case<'_>] = &[
        (&|v| v.codes.truncate(6), "the interceptor answered for 6 of 7 records"),
        (&|v| v.codes[0] = 7, "record 0: 7 is no code of a verdict"),
        (&|v| v.codes[0] = 2, "the reasons: there are 2, and 3 are needed"),
        (&|v| v.reasons = column(&[Some(b"no"), None]), "a reason is null or not UTF-8"),
        (&|v| v.reasons = column(&[Some(b"no"), Some(b"\xff")]), "a reason is null or not UTF-8"),
        (&|v| v.values = column(&[None]), "the replaced values: there are 1, and 2 are needed"),
        (&|v| v.values.ends = vec![1, 0], "the replaced values: the ends of a column must not fall"),
        (
            &|v| v.values.ends = vec![0, 9],
            "the replaced values: a column of 1 bytes says that its last value ends at 9",
        ),
        (
            &|v| v.values.valid = vec![0, 0],
            "the replaced values: a column of 2 values has 2 bytes of validity, it takes 1",
        ),
        (&|v| v.headers.ends = vec![2], "the headers: there are those of 1 records, and 2 are needed"),
        (&|v| v.headers.ends = vec![2, 0], "the headers: the ends must not fall"),
        (&|v| v.headers.ends = vec![0, 3], "the headers: there are 2 names, and the last end is 3"),
        (&|v| v.headers.names = column(&[Some(b"a"), None]), "the headers: a name is null"),
        (&|v| v.headers.values = column(&[None]), "the headers' values: there are 1, and 2 are needed"),
    ];
    for (change, want) in cases {
        assert_eq!(with(change), *want);
    }
}

fn any_column() -> impl Strategy<Value = OwnColumn> {
    let small = |n| prop::collection::vec(0_u32..n, 0..4);
    let bytes = || prop::collection::vec(any::<u8>(), 0..4);
    (bytes(), small(5), bytes()).prop_map(|(data, ends, valid)| OwnColumn { data, ends, valid })
}

fn any_headers() -> impl Strategy<Value = OwnHeaders> {
    let ends = prop::collection::vec(0_u32..4, 0..4);
    (ends, any_column(), any_column()).prop_map(|(ends, names, values)| OwnHeaders { ends, names, values })
}

proptest! {
    #[test]
    fn any_answer_is_survived(
        codes in prop::collection::vec(0_u8..8, 0..5),
        reasons in any_column(),
        values in any_column(),
        headers in any_headers(),
        records in 0_usize..5,
    ) {
        let each = Verdicts { codes: codes.clone(), reasons, values: values.clone(), headers: headers.clone() };
        if let Ok(verdicts) = read(each, records) {
            prop_assert_eq!(verdicts.len(), records);
        }
        let mut visibilities = Vec::new();
        if read_visibilities(Visibilities { codes, values, headers }, records, &mut visibilities).is_ok() {
            prop_assert_eq!(visibilities.len(), records);
        }
    }
}

#[test]
fn a_record_stays_or_goes() {
    let read = |codes: &[u8], records| {
        let mut stays = Vec::new();
        read_stays(codes, records, &mut stays).map(|()| stays).map_err(|failure| {
            assert_eq!(failure.fault(), Some(watershed_hooks::FaultKind::WrongAnswer));
            failure.to_string()
        })
    };
    assert_eq!(read(&[0, 1, 0], 3), Ok(vec![Stay::Keep, Stay::Drop, Stay::Keep]));
    assert_eq!(read(&[], 0), Ok(vec![]));
    for (codes, records, part) in [
        (&[0, 1][..], 3, "answered for 2 of 3 records"),
        (&[0, 1, 1, 1], 3, "answered for 4 of 3 records"),
        (&[], 1, "answered for 0 of 1 records"),
        (&[0, 2, 0], 3, "record 1: 2 is no code"),
        (&[255], 1, "record 0: 255 is no code"),
    ] {
        let message = read(codes, records).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
}
