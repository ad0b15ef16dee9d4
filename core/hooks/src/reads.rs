//! [`Reads`]: which columns a plugin reads, so that others are not made.

/// Which headers a plugin reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HeaderReads {
    /// None.
    #[default]
    None,
    /// Those with these names.
    Named(Vec<String>),
    /// All.
    All,
}

impl HeaderReads {
    pub(crate) fn takes(&self, name: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::Named(names) => names.iter().any(|known| known.as_bytes() == name),
            Self::All => true,
        }
    }
}

/// Which columns a plugin reads. Others are not made, and reading one fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The records' keys.
    pub keys: bool,
    /// Their values.
    pub values: bool,
    /// Their timestamps.
    pub timestamps: bool,
    /// What the hook `ordering-key` said.
    pub ordering_keys: bool,
    /// How many newer records of their ordering key there are, which only the hook `record-retention` is told.
    pub ranks: bool,
    /// Their headers.
    pub headers: HeaderReads,
}

impl Reads {
    /// Nothing but how many records there are and how large they are.
    pub const NOTHING: Self = Self {
        keys: false,
        values: false,
        timestamps: false,
        ordering_keys: false,
        ranks: false,
        headers: HeaderReads::None,
    };

    /// Keys, and what stands for them.
    pub const KEYS: Self = Self { keys: true, ordering_keys: true, ..Self::NOTHING };

    /// What either reads.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let headers = match (self.headers, &other.headers) {
            (HeaderReads::All, _) | (_, HeaderReads::All) => HeaderReads::All,
            (headers, HeaderReads::None) => headers,
            (HeaderReads::None, headers) => headers.clone(),
            (HeaderReads::Named(mut names), HeaderReads::Named(more)) => {
                let new: Vec<_> = more.iter().filter(|name| !names.contains(name)).cloned().collect();
                names.extend(new);
                HeaderReads::Named(names)
            }
        };
        Self {
            keys: self.keys || other.keys,
            values: self.values || other.values,
            timestamps: self.timestamps || other.timestamps,
            ordering_keys: self.ordering_keys || other.ordering_keys,
            ranks: self.ranks || other.ranks,
            headers,
        }
    }

    /// Whether a column of the record itself is read.
    #[must_use]
    pub fn is_record(&self) -> bool {
        self.keys || self.values || self.timestamps || self.headers != HeaderReads::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_two_plugins_are_those_of_either() {
        let named = |names: &[&str]| HeaderReads::Named(names.iter().map(|name| (*name).to_owned()).collect());
        let cases = [
            (HeaderReads::None, HeaderReads::None, HeaderReads::None),
            (HeaderReads::None, named(&["a"]), named(&["a"])),
            (named(&["a", "b"]), named(&["b", "c"]), named(&["a", "b", "c"])),
            (named(&["a"]), HeaderReads::All, HeaderReads::All),
        ];
        for (a, b, both) in cases {
            let with = |headers| Reads { headers, ..Reads::NOTHING };
            assert_eq!(with(a.clone()).and(&with(b.clone())), with(both.clone()));
            assert_eq!(with(b).and(&with(a)).headers == HeaderReads::All, both == HeaderReads::All);
        }
    }
}
