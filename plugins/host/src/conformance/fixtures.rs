//! The batches that instances are asked about.

use watershed_hooks::{Batch, Client, Column, HeaderReads, Place, Reads, Records};

/// A header: name and value.
pub(super) type Header = (&'static str, Option<&'static str>);

/// A record: key, value, timestamp, headers, and what stands for its key.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp: i64,
    pub(super) headers: Vec<Header>,
    pub(super) ordering_key: Option<Vec<u8>>,
}

impl Record {
    /// A record with this key and value, and nothing else.
    pub(super) fn new(key: Option<&str>, value: Option<&str>) -> Self {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Self { key: key.map(bytes), value: value.map(bytes), ..Self::default() }
    }

    fn at(self, timestamp: i64) -> Self {
        Self { timestamp, ..self }
    }

    fn headers(self, headers: &[Header]) -> Self {
        Self { headers: headers.to_vec(), ..self }
    }

    fn ordered_by(self, ordering_key: &str) -> Self {
        Self { ordering_key: Some(ordering_key.as_bytes().to_vec()), ..self }
    }
}

/// Records, and where they belong.
pub(super) struct Fixture {
    pub(super) name: &'static str,
    pub(super) records: Vec<Record>,
    place: Place<'static>,
    client: Client<'static>,
}

const READS: Reads =
    Reads { keys: true, values: true, timestamps: true, ordering_keys: true, ranks: true, headers: HeaderReads::All };

impl Fixture {
    fn new(name: &'static str, records: Vec<Record>) -> Self {
        let place = Place { topic: "orders", partition: Some(3), base_sequence: Some(7) };
        let client = Client { principal: "User:ann", client_id: "app", listener: "PLAIN", host: "10.0.0.9" };
        Self { name, records, place, client }
    }

    /// Calls `ask` with the batch.
    pub(super) fn with<T>(&self, ask: impl FnOnce(&Batch<'_>) -> T) -> T {
        let (mut records, mut ordering_keys) = (Records::new(READS), Column::new());
        for record in &self.records {
            let headers = record.headers.iter().map(|(name, value)| (name.as_bytes(), value.map(str::as_bytes)));
            let pushed = records.push(record.key.as_deref(), record.value.as_deref(), record.timestamp, headers);
            pushed.expect("fixtures are small");
            ordering_keys.push(record.ordering_key.as_deref()).expect("fixtures are small");
        }
        if self.records.iter().any(|record| record.ordering_key.is_some()) {
            records.set_ordering_keys(ordering_keys);
        }
        // What they are is the host's business: here, the older a record, the more often up to 4.
        let behind = (0..self.records.len()).rev();
        records.set_ranks(behind.map(|n| u32::try_from(n % 5).expect("it is below 5")).collect());
        ask(&Batch::new(self.place, self.client, &records, &READS))
    }
}

/// All batches.
pub(super) fn batches() -> Vec<Fixture> {
    let mut batches = vec![
        Fixture::new("no records", Vec::new()),
        Fixture::new("one record", vec![Record::new(Some("k"), Some("v"))]),
        Fixture::new("one record of nulls", vec![Record::new(None, None)]),
        nulls_and_empties(),
        verdicts(),
        ordering(),
        ordered(),
        lived(),
        who(Place { topic: "audit", partition: None, base_sequence: None }, Client::default()),
        who(
            Place { topic: "orders", partition: Some(0), base_sequence: Some(i32::MAX.unsigned_abs()) },
            Client { principal: "User:ann", client_id: "", listener: "TLS", host: "::1" },
        ),
        Fixture::new("a wrong partition", vec![Record::new(Some("a"), None), Record::new(Some("beyond"), None)]),
        Fixture::new("a large value", vec![large()]),
        Fixture::new("255 records", generated(255)),
        Fixture::new("256 records", generated(256)),
    ];
    batches.extend(["retry", "refuse", "trap"].map(|key| {
        let records = vec![Record::new(Some(key), Some("v")), Record::new(Some("k"), Some("v"))];
        Fixture::new(key, records)
    }));
    let second = vec![Record::new(Some("k"), Some("v")), Record::new(Some("trap"), Some("v"))];
    batches.push(Fixture::new("not the first record's key", second));
    batches
}

fn nulls_and_empties() -> Fixture {
    let records = vec![
        Record::new(None, Some("")).at(-1),
        Record::new(Some(""), None).headers(&[("", None), ("", Some(""))]),
        Record::new(Some(""), Some("")).headers(&[("order", None), ("secret", None)]).at(1),
    ];
    Fixture::new("nulls and empties", records)
}

fn verdicts() -> Fixture {
    let twice: &[Header] = &[("order", Some("x")), ("a", None), ("order", Some("y")), ("a", Some(""))];
    let null_last: &[Header] = &[("order", Some("x")), ("order", None)];
    let value = |text| Record::new(Some("k"), Some(text));
    let records = vec![
        value("plain"),
        Record::new(Some("k"), None),
        value("reject:no tenant"),
        value("reject:"),
        value("dlq:poison"),
        value("dlq:\u{fc}ber"),
        value("replace:new").headers(twice),
        value("replace:"),
        value("null").headers(twice),
        value("bare").headers(twice),
        value("first").headers(twice),
        value("last").headers(twice),
        value("first").headers(null_last),
        value("last").headers(null_last),
        value("first"),
        value("size").headers(twice),
        value("who"),
        value("Reject:case matters"),
        value("when").at(1_700_000_000_123),
        value("when").at(-1),
        value("the password is 1234"),
        value("passwor").headers(&[("secret", Some(""))]),
        value("password").headers(&[("secret", Some("s"))]),
        value("when").headers(&[("secret", Some("s")), ("secret", None)]),
        value("pass\0word"),
        value("\0password\0"),
    ];
    Fixture::new("every verdict", records)
}

fn ordering() -> Fixture {
    let value = |text| Record::new(None, Some(text));
    let order: &[Header] = &[("order", Some("first")), ("order", Some("second"))];
    let records = vec![
        value(r#"{"tenant": "acme"}"#).headers(order),
        value(r#"{"tenant": "acme"}"#).headers(&[("order", Some("first")), ("order", None)]),
        value(r#"{"id": 1, "tenant": 17.50}"#).headers(&[("Order", Some("no"))]),
        value(r#"{"tenant": "\u00fc\n"}"#),
        value(r#"{"tenant": {"a": [1, 2]}}"#),
        value(r#"{"tenant": null}"#),
        value(r#"{"tenant": ""}"#),
        value(r#"{"tenant": true, "tenant": false}"#),
        value(r#"{"tenant"#),
        value("{}"),
        Record::new(None, None),
        Record::new(None, None).headers(&[("order", Some(""))]),
    ];
    Fixture::new("ordering keys", records)
}

fn ordered() -> Fixture {
    let records = vec![
        Record::new(Some("a"), None).ordered_by("b"),
        Record::new(Some("a"), None),
        Record::new(None, None).ordered_by(""),
        Record::new(None, None),
        Record::new(Some("21"), None),
        Record { key: Some(vec![0, 0xff, 0x80]), ..Record::default() },
    ];
    Fixture::new("records that have ordering keys", records)
}

/// The time of those who ask which records stay.
pub(super) const NOW: i64 = 1_700_000_010_000;

fn lived() -> Fixture {
    let at = |timestamp, ttls: &[Header]| Record::new(Some("k"), Some("v")).at(timestamp).headers(ttls);
    let ttl = |ttl| ("ttl", Some(ttl));
    let records = vec![
        at(NOW, &[]),
        at(NOW - 1_000, &[ttl("999")]),
        at(NOW - 1_000, &[ttl("1000")]),
        at(NOW - 1_000, &[ttl("00000999")]),
        at(NOW - 1_000, &[ttl("0000000999")]),
        at(NOW - 1_000, &[ttl("0")]),
        at(NOW - 1_000, &[ttl("")]),
        at(NOW - 1_000, &[ttl("-5")]),
        at(NOW - 1_000, &[ttl("+5")]),
        at(NOW - 1_000, &[ttl(" 5")]),
        at(NOW - 1_000, &[ttl("5x")]),
        at(NOW - 1_000, &[ttl("\u{665}")]),
        at(NOW - 1_000, &[ttl("1e2")]),
        at(NOW - 1_000, &[("ttl", None)]),
        at(NOW - 1_000, &[ttl("5"), ("ttl", None)]),
        at(NOW - 1_000, &[ttl("5"), ttl("5000")]),
        at(NOW - 1_000, &[ttl("5000"), ttl("5")]),
        at(0, &[ttl("999999999")]),
        at(-1, &[ttl("1")]),
        at(NOW + 1_000, &[ttl("1")]),
        at(NOW - 1_000, &[("TTL", Some("1"))]),
    ];
    Fixture::new("records with a time to live", records)
}

fn who(place: Place<'static>, client: Client<'static>) -> Fixture {
    Fixture { place, client, ..Fixture::new("who", vec![Record::new(None, Some("who"))]) }
}

fn large() -> Record {
    let mut value = vec![b'x'; 900 << 10];
    value.extend_from_slice(b"password");
    Record { key: Some(vec![0xff; 70_000]), value: Some(value), ..Record::default() }
}

/// Records of every kind in turn.
fn generated(count: usize) -> Vec<Record> {
    let kinds = verdicts().records.into_iter().chain(ordering().records).chain(ordered().records);
    let kinds: Vec<Record> = kinds.collect();
    let record = |i: usize| {
        let mut record = kinds[i % kinds.len()].clone();
        record.timestamp = record.timestamp.max(i64::try_from(i).expect("there are few"));
        if let Some(key) = &mut record.key {
            key.extend_from_slice(i.to_string().as_bytes());
        }
        record
    };
    (0..count).map(record).collect()
}
