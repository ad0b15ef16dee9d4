//! The orders of Java: of its strings, and of what its hash tables give back.
//!
//! Kafka's `uniform` walks over hash tables (`HashMap`, `HashSet`), so that its result depends on the hash codes of member ids,
//! topic ids and partition numbers, and on the tables' sizes. A table is an array of buckets; whoever iterates it sees bucket
//! after bucket, and within one the order in which they came. Absent: a bucket that became a tree, which takes nine entries of
//! one bucket in a table of 64 or more. The sizes are those of Java 17; later versions make a set of exactly 12, 24, 48, ...
//! others half as large.

use std::cmp::Ordering;

use watershed_hooks::{GroupMember, GroupSpec};
use watershed_model::TopicId;

/// The size of a table about which nothing is known.
const CAPACITY_DEFAULT: u32 = 16;

/// A bucket of this many that gets one more makes a small table grow.
const BUCKET_LONG: usize = 8;

/// The size from which a table no longer grows on account of one bucket.
const CAPACITY_LONG_BUCKETS: u32 = 64;

/// `String.compareTo`: by UTF-16 code units, which differs from ours beyond U+FFFF only.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

/// `String.hashCode`.
pub(super) fn string_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// `Uuid.hashCode` of Kafka: the four words of the id, folded.
pub(super) fn topic_hash(id: TopicId) -> u32 {
    id.0.chunks_exact(4).fold(0, |hash, word| hash ^ word.iter().fold(0, |n, byte| (n << 8) | u32::from(*byte)))
}

/// `Uuid.compareTo` of Kafka: both halves as signed numbers.
pub(super) fn compare_topics(a: TopicId, b: TopicId) -> Ordering {
    let halves = |id: TopicId| {
        let bits = u128::from_be_bytes(id.0);
        ((bits >> 64) as i64, bits as i64)
    };
    halves(a).cmp(&halves(b))
}

/// The order that Kafka's assignors sort members into: static members by instance id, then the others by member id.
pub(super) fn member_order(group: &GroupSpec<'_>) -> Vec<u32> {
    let by_name = |a: &GroupMember<'_>, b: &GroupMember<'_>| match (a.instance_id, b.instance_id) {
        (Some(a), Some(b)) => compare(a, b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => compare(a.member_id, b.member_id),
    };
    let members = group.members();
    let mut order: Vec<u32> = (0..members.len() as u32).collect();
    order.sort_by(|a, b| by_name(&members[*a as usize], &members[*b as usize]));
    order
}

/// How large a hash table begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Table {
    /// `new HashMap<>()`: it grows with what is put into it.
    Default,
    /// `new HashSet<>(collection)`: large enough for what the collection holds.
    Copy,
}

/// Indexes of these hash codes, in the order in which a table gives back entries that were put into it in the given order.
pub(super) fn table_order(hashes: &[u32], table: Table) -> Vec<u32> {
    let capacity = capacity(hashes, table);
    let mut order: Vec<u32> = (0..hashes.len() as u32).collect();
    order.sort_by_key(|index| bucket(hashes[*index as usize], capacity));
    order
}

fn bucket(hash: u32, capacity: u32) -> u32 {
    (hash ^ (hash >> 16)) & (capacity - 1)
}

/// The size of a table once these are in it.
fn capacity(hashes: &[u32], table: Table) -> u32 {
    let mut capacity = match table {
        Table::Default => CAPACITY_DEFAULT,
        Table::Copy => ((hashes.len() as u64 * 4 / 3 + 1) as u32).next_power_of_two().max(CAPACITY_DEFAULT),
    };
    for (before, hash) in hashes.iter().enumerate() {
        if capacity < CAPACITY_LONG_BUCKETS {
            let own = bucket(*hash, capacity);
            let neighbours = hashes[..before].iter().filter(|other| bucket(**other, capacity) == own).count();
            if neighbours >= BUCKET_LONG {
                capacity *= 2;
            }
        }
        if before as u64 + 1 > u64::from(capacity) / 4 * 3 {
            capacity *= 2;
        }
    }
    capacity
}

#[cfg(test)]
mod tests {
    use super::*;

    // What Java 17 gives for the same.

    #[test]
    fn hash_codes_are_javas() {
        for (text, hash) in [("", 0), ("a", 97), ("orders", 0xc3df_62e5_u32), ("\u{1f600}", 0x001b_0d63)] {
            assert_eq!(string_hash(text), hash, "{text}");
        }
        let id = TopicId([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4, 0xff, 0, 0, 8]);
        assert_eq!(topic_hash(id), 0xff00_000f);
    }

    #[test]
    fn tables_have_javas_order() {
        let by_sixteen: Vec<u32> = (0..10).map(|n| n * 16).collect();
        let odd: Vec<u32> = (0..12).map(|n| 31 - n * 2).collect();
        let names: Vec<String> = (0..14u8).map(|n| format!("member-{}", char::from(b'a' + n * 3 % 26))).collect();
        let names: Vec<u32> = names.iter().map(|name| string_hash(name)).collect();
        let cases: &[(&[u32], Table, &[u32])] = &[
            (&by_sixteen, Table::Copy, &[0, 2, 4, 6, 8, 1, 3, 5, 7, 9]),
            (&odd, Table::Copy, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
            (&names, Table::Default, &[0, 9, 7, 6, 8, 4, 13, 12, 5, 10, 1, 3, 2, 11]),
        ];
        for (hashes, table, want) in cases {
            assert_eq!(table_order(hashes, *table), *want, "{hashes:?}");
        }
    }
}
