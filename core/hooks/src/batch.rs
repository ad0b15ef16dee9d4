//! A batch as hooks see it: [`Records`] hold the columns that somebody reads, [`Batch`] is one hook's view of them.

use crate::{Column, ColumnFull, Failure, HeaderReads, Reads, Replacement};

/// Which of several headers of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The first.
    First,
    /// The last, which is the one that counts where headers are used as a map.
    Last,
}

/// Who sent the records, or asks for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client<'a> {
    /// The authenticated principal, `User:ANONYMOUS` without authentication.
    pub principal: &'a str,
    /// What the client calls itself; empty where it does not.
    pub client_id: &'a str,
    /// The listener that it came through.
    pub listener: &'a str,
    /// Its address.
    pub host: &'a str,
}

/// Where the records of a batch belong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition that the client chose; `None` where nobody has chosen yet.
    pub partition: Option<u32>,
    /// The first record's sequence number, of an idempotent producer.
    pub base_sequence: Option<u32>,
}

/// The headers of all records, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderColumns {
    /// Where each record's headers end, counted in headers.
    ends: Vec<u32>,
    names: Column,
    values: Column,
}

impl HeaderColumns {
    /// Where each record's headers end in [`HeaderColumns::names`] and [`HeaderColumns::values`].
    #[must_use]
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The headers' names.
    #[must_use]
    pub fn names(&self) -> &Column {
        &self.names
    }

    /// Their values, which may be null.
    #[must_use]
    pub fn values(&self) -> &Column {
        &self.values
    }

    /// The headers of the record at `index`, in their order.
    pub fn of(&self, index: usize) -> impl DoubleEndedIterator<Item = (&[u8], Option<&[u8]>)> {
        let end = self.ends.get(index).map_or(0, |end| *end as usize);
        let begin = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        (begin.min(end)..end).map(|i| (self.names.get(i).unwrap_or_default(), self.values.get(i)))
    }

    /// The value of one header of the record at `index`; `None` where it is null or not there.
    #[must_use]
    pub fn get(&self, index: usize, name: &[u8], which: Pick) -> Option<&[u8]> {
        let mut headers = self.of(index).filter(|(found, _)| *found == name);
        match which {
            Pick::First => headers.next()?.1,
            Pick::Last => headers.next_back()?.1,
        }
    }

    fn clear(&mut self) {
        self.ends.clear();
        self.names.clear();
        self.values.clear();
    }
}

/// Records as columns: those columns that somebody reads, to be filled again and again.
#[derive(Clone, Debug, Default)]
pub struct Records {
    reads: Reads,
    record_bytes: Vec<u32>,
    keys: Column,
    values: Column,
    timestamps: Vec<i64>,
    headers: HeaderColumns,
    ordering_keys: Column,
    ranks: Vec<u32>,
    bytes: usize,
}

impl Records {
    /// No records yet, and room for the columns of `reads`.
    #[must_use]
    pub fn new(reads: Reads) -> Self {
        Self { reads, ..Self::default() }
    }

    /// Which columns are filled.
    #[must_use]
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Adds a record, with its timestamp in milliseconds since 1970.
    ///
    /// # Errors
    /// [`ColumnFull`]; the records are not to be used then.
    pub fn push<'r>(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: i64,
        headers: impl Iterator<Item = (&'r [u8], Option<&'r [u8]>)>,
    ) -> Result<(), ColumnFull> {
        let mut bytes = value.map_or(0, <[u8]>::len);
        if self.reads.values {
            self.values.push(value)?;
        }
        if self.reads.timestamps {
            self.timestamps.push(timestamp);
        }
        for (name, value) in headers {
            bytes += name.len() + value.map_or(0, <[u8]>::len);
            if self.reads.headers.takes(name) {
                self.headers.names.push(Some(name))?;
                self.headers.values.push(value)?;
            }
        }
        if self.reads.headers != HeaderReads::None {
            self.headers.ends.push(u32::try_from(self.headers.names.len()).map_err(|_| ColumnFull)?);
        }
        self.push_key(key, bytes)
    }

    /// Adds a record of which only the key is known, and how many bytes it has besides.
    ///
    /// # Errors
    /// [`ColumnFull`]; the records are not to be used then.
    pub fn push_key(&mut self, key: Option<&[u8]>, bytes_besides: usize) -> Result<(), ColumnFull> {
        let bytes = key.map_or(0, <[u8]>::len) + bytes_besides;
        if self.reads.keys {
            self.keys.push(key)?;
        }
        self.record_bytes.push(u32::try_from(bytes).map_err(|_| ColumnFull)?);
        self.bytes += bytes;
        Ok(())
    }

    /// Some of these records, in this order, each as it is or replaced.
    ///
    /// # Errors
    /// [`ColumnFull`] where replacements outgrow a column.
    pub fn pick<'r>(&self, picked: impl Iterator<Item = (usize, Option<&'r Replacement>)>) -> Result<Self, ColumnFull> {
        let mut records = Self::new(self.reads.clone());
        for (i, replacement) in picked {
            let value = match replacement.and_then(|new| new.value.as_ref()) {
                Some(value) => value.as_deref(),
                None => self.values.get(i),
            };
            let timestamp = self.timestamps.get(i).copied().unwrap_or_default();
            match replacement.and_then(|new| new.headers.as_ref()) {
                Some(headers) => {
                    let headers = headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
                    records.push(self.keys.get(i), value, timestamp, headers)?;
                }
                None => records.push(self.keys.get(i), value, timestamp, self.headers.of(i))?,
            }
            if replacement.is_none() {
                // Not every column may be there to count: the size is known all the same.
                let counted = records.record_bytes.last_mut().expect("one was pushed");
                records.bytes = records.bytes - *counted as usize + self.record_bytes[i] as usize;
                *counted = self.record_bytes[i];
            }
        }
        Ok(records)
    }

    /// Sets what stands for the records' keys; a record for which it is null keeps its key.
    pub fn set_ordering_keys(&mut self, ordering_keys: Column) {
        self.ordering_keys = ordering_keys;
    }

    /// Sets the records' ranks.
    pub fn set_ranks(&mut self, ranks: Vec<u32>) {
        self.ranks = ranks;
    }

    /// Takes the ordering keys out, to fill them anew.
    pub fn take_ordering_keys(&mut self) -> Column {
        std::mem::take(&mut self.ordering_keys)
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.record_bytes.clear();
        self.keys.clear();
        self.values.clear();
        self.timestamps.clear();
        self.headers.clear();
        self.ordering_keys.clear();
        self.ranks.clear();
        self.bytes = 0;
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.record_bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.record_bytes.is_empty()
    }

    /// The size of all keys, values and headers together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The records that a hook is asked about, in order.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    place: Place<'a>,
    client: Client<'a>,
    records: &'a Records,
    reads: &'a Reads,
}

impl<'a> Batch<'a> {
    /// `records` at `place`, for a hook that reads the columns of `reads`.
    #[must_use]
    pub fn new(place: Place<'a>, client: Client<'a>, records: &'a Records, reads: &'a Reads) -> Self {
        Self { place, client, records, reads }
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        self.place.topic
    }

    /// The partition that the client chose; `None` where nobody has chosen yet.
    #[must_use]
    pub fn partition(&self) -> Option<u32> {
        self.place.partition
    }

    /// The first record's sequence number, of an idempotent producer.
    #[must_use]
    pub fn base_sequence(&self) -> Option<u32> {
        self.place.base_sequence
    }

    /// Who sent the records, or asks for them.
    #[must_use]
    pub fn client(&self) -> Client<'a> {
        self.client
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records' sizes in bytes: key, value and headers together.
    #[must_use]
    pub fn record_bytes(&self) -> &'a [u32] {
        &self.records.record_bytes
    }

    /// The records' keys.
    ///
    /// # Errors
    /// [`Failure::Permanent`] where the plugin has not said that it reads them; so for the other columns.
    pub fn keys(&self) -> Result<&'a Column, Failure> {
        declared(self.reads.keys, "keys")?;
        Ok(&self.records.keys)
    }

    /// The records' values.
    ///
    /// # Errors
    /// As [`Batch::keys`].
    pub fn values(&self) -> Result<&'a Column, Failure> {
        declared(self.reads.values, "values")?;
        Ok(&self.records.values)
    }

    /// The records' timestamps, in milliseconds since 1970.
    ///
    /// # Errors
    /// As [`Batch::keys`].
    pub fn timestamps(&self) -> Result<&'a [i64], Failure> {
        declared(self.reads.timestamps, "timestamps")?;
        Ok(&self.records.timestamps)
    }

    /// What the hook `ordering-key` said; null, or shorter than the batch, where it said nothing.
    ///
    /// # Errors
    /// As [`Batch::keys`].
    pub fn ordering_keys(&self) -> Result<&'a Column, Failure> {
        declared(self.reads.ordering_keys, "ordering_keys")?;
        Ok(&self.records.ordering_keys)
    }

    /// How many newer records of its ordering key (or else its key) a partition holds, for each record: 0 for the newest, and
    /// for a record without either. Only the hook `record-retention` is told.
    ///
    /// # Errors
    /// As [`Batch::keys`], or there are none here.
    pub fn ranks(&self) -> Result<&'a [u32], Failure> {
        declared(self.reads.ranks, "ranks")?;
        if self.records.ranks.len() != self.len() {
            return Err(Failure::Permanent("ranks are only known to the hook record-retention".to_owned()));
        }
        Ok(&self.records.ranks)
    }

    /// What defines the order of each record: its ordering key, or else its key.
    ///
    /// # Errors
    /// As [`Batch::keys`]; both columns must be declared.
    pub fn order_keys(&self) -> Result<impl ExactSizeIterator<Item = Option<&'a [u8]>> + use<'a>, Failure> {
        let (ordering_keys, keys) = (self.ordering_keys()?, self.keys()?);
        Ok((0..self.len()).map(|i| ordering_keys.get(i).or_else(|| keys.get(i))))
    }

    /// All headers of all records, or those that the plugin said it reads.
    ///
    /// # Errors
    /// As [`Batch::keys`].
    pub fn headers(&self) -> Result<&'a HeaderColumns, Failure> {
        declared(self.reads.headers == HeaderReads::All, "headers")?;
        Ok(&self.records.headers)
    }

    /// One header of each record.
    ///
    /// # Errors
    /// As [`Batch::keys`], where this header is not declared.
    pub fn header(
        &self,
        name: &str,
        which: Pick,
    ) -> Result<impl ExactSizeIterator<Item = Option<&'a [u8]>> + use<'a>, Failure> {
        if !self.reads.headers.takes(name.as_bytes()) {
            return Err(Failure::Permanent(format!("the plugin does not declare that it reads the header {name}")));
        }
        let (headers, name) = (&self.records.headers, name.to_owned());
        Ok((0..self.len()).map(move |i| headers.get(i, name.as_bytes(), which)))
    }
}

fn declared(is: bool, column: &str) -> Result<(), Failure> {
    let message = || Failure::Permanent(format!("the plugin does not declare that it reads {column}"));
    is.then_some(()).ok_or_else(message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    type Headers<'a> = &'a [(&'a [u8], Option<&'a [u8]>)];

    type Fields = (Option<&'static [u8]>, Option<&'static [u8]>, Headers<'static>);

    const RECORDS: [Fields; 3] = [
        (Some(b"k1"), Some(b"value"), &[(b"a", Some(b"1")), (b"b", None), (b"a", Some(b"2"))]),
        (None, None, &[]),
        (Some(b""), Some(b""), &[(b"b", Some(b"3"))]),
    ];

    fn filled(reads: Reads) -> Records {
        let mut records = Records::new(reads);
        for round in 0..2 {
            records.clear();
            for (at, (key, value, headers)) in (7..).zip(RECORDS) {
                records.push(key, value, at, headers.iter().copied()).unwrap();
            }
            records.set_ordering_keys(Column::new());
            assert_eq!(records.len(), 3, "round {round}");
        }
        records
    }

    #[test]
    fn what_is_read_is_there_and_nothing_else() {
        let headers = HeaderReads::Named(vec!["a".to_owned()]);
        let some = Reads { keys: true, headers, ..Reads::NOTHING };
        let records = filled(some.clone());
        let batch = Batch::new(Place::default(), Client::default(), &records, &some);
        assert_eq!(batch.record_bytes(), [12, 0, 2]);
        assert_eq!(batch.keys().unwrap().iter().collect::<Vec<_>>(), [Some(&b"k1"[..]), None, Some(b"")]);
        let first: Vec<_> = batch.header("a", Pick::First).unwrap().collect();
        let last: Vec<_> = batch.header("a", Pick::Last).unwrap().collect();
        assert_eq!((first, last), (vec![Some(&b"1"[..]), None, None], vec![Some(&b"2"[..]), None, None]));
        for refused in [
            batch.values().err(),
            batch.timestamps().err(),
            batch.ordering_keys().err(),
            batch.headers().err(),
            batch.header("b", Pick::First).map(drop).err(),
        ] {
            let message = refused.unwrap().to_string();
            assert!(message.starts_with("the plugin does not declare that it reads "), "{message}");
        }
    }

    #[test]
    fn all_headers_come_in_their_order() {
        let all = Reads { headers: HeaderReads::All, values: true, timestamps: true, ..Reads::NOTHING };
        let records = filled(all.clone());
        let batch = Batch::new(Place::default(), Client::default(), &records, &all);
        let headers = batch.headers().unwrap();
        assert_eq!(headers.of(0).collect::<Vec<_>>(), RECORDS[0].2);
        assert_eq!(headers.of(1).count(), 0);
        assert_eq!(headers.of(2).collect::<Vec<_>>(), RECORDS[2].2);
        assert_eq!(headers.of(3).count(), 0, "there is no such record");
        assert_eq!(batch.timestamps().unwrap(), [7, 8, 9]);
        assert_eq!(headers.get(0, b"b", Pick::Last), None, "it is null");
    }

    #[test]
    fn an_ordering_key_stands_for_the_key_where_there_is_one() {
        let mut records = filled(Reads::KEYS);
        let orders = |records: &Records| {
            let batch = Batch::new(Place::default(), Client::default(), records, &Reads::KEYS);
            batch.order_keys().unwrap().map(|key| key.map(<[u8]>::to_vec)).collect::<Vec<_>>()
        };
        assert_eq!(orders(&records), [Some(b"k1".to_vec()), None, Some(Vec::new())]);
        let mut ordering = Column::new();
        for key in [None, Some(&b"o"[..]), None] {
            ordering.push(key).unwrap();
        }
        records.set_ordering_keys(ordering);
        assert_eq!(orders(&records), [Some(b"k1".to_vec()), Some(b"o".to_vec()), Some(Vec::new())]);
    }
}
