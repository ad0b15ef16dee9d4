//! Bad days: a broker in this process on the disk backend, whose file system fills up, fails, stalls, or whose clock jumps.
//!
//! Each test says what those who are hit are told, and shows that nobody else notices: metadata, fetches, other
//! storages and other connections go on.

mod clock;
mod disk;
mod world;
