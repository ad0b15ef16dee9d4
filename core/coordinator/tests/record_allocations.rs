//! Commits are frequent: writing one takes one allocation for its key and one for its value.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use watershed_coordinator::records::{GroupRecord, OffsetCommitKey, OffsetCommitValue};
use watershed_model::TopicId;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Counts how often each thread allocates.
struct Counting;

// SAFETY: it only passes on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_offset_takes_one_allocation_for_its_key_and_one_for_its_value() {
    for topic_id in [TopicId::ZERO, TopicId([9; 16])] {
        for expire_timestamp in [-1, 5000] {
            for text_bytes in [0, 1, 126, 127, 128, 16_382, 16_383, 32_767] {
                let key = OffsetCommitKey { group: "g".repeat(text_bytes), topic: "orders".to_owned(), partition: 3 };
                let metadata = "x".repeat(text_bytes);
                let value = OffsetCommitValue { metadata, expire_timestamp, topic_id, ..Default::default() };
                let record = GroupRecord::OffsetCommit { key, value: Some(value) };
                let before = ALLOCATIONS.get();
                let encoded = record.encode().unwrap();
                let taken = ALLOCATIONS.get() - before;
                assert_eq!(taken, 2, "{text_bytes} bytes, expires at {expire_timestamp}, {topic_id:?}");
                drop(encoded);
            }
        }
    }
}
