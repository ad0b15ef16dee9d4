//! The configuration: a file, then `--set` options, then environment variables, through the loader that the program uses.
//!
//! Whatever is in it, the answer is a valid configuration or problems that can be shown. A valid one, written down as
//! the loader says what is in force, loads again.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use watershed_fuzz::config::{Inputs, load};
use watershed_fuzz::seeds;

/// Between the file and what is beside it.
const SEPARATOR: u8 = 0;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("watershed-fuzz-config-{}.toml", std::process::id()))
});

fn inputs(data: &[u8]) -> Inputs {
    let mut parts = data.split(|byte| *byte == SEPARATOR);
    std::fs::write(&*FILE, parts.next().unwrap_or_default()).expect("a temporary file can be written");
    let mut inputs = Inputs { file: Some(FILE.clone()), ..Inputs::default() };
    for part in parts {
        match part.strip_prefix(b"WATERSHED__") {
            Some(_) => {
                let at = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
                let (name, value) = (part[..at].to_vec(), part[at..].iter().skip(1).copied().collect());
                inputs.env.push((OsString::from_vec(name), OsString::from_vec(value)));
            }
            None => inputs.set.push(String::from_utf8_lossy(part).into_owned()),
        }
    }
    inputs
}

fn honest() -> Vec<Vec<u8>> {
    let whole = include_str!("../../docs/config.md");
    let blocks = whole.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut found: Vec<Vec<u8>> = blocks.map(|block| block.as_bytes().to_vec()).collect();
    let files = [
        "node_id = 1\ndata_dir = \"data\"\n\0log.level=debug\0WATERSHED__HTTP__ADDRESS=127.0.0.1:0",
        "[[listeners]]\nname = \"PLAINTEXT\"\naddress = \"127.0.0.1:9092\"\nadvertised = \"localhost:9092\"\n",
        "[kafka]\n\"num.partitions\" = 3\n\"log.retention.hours\" = 1\n\"auto.create.topics.enable\" = false\n",
        "[storage]\ndefault = \"memory\"\n[storage.disk]\nflush = \"relaxed\"\n[storage.memory]\nmax_bytes = \"1GiB\"\n",
        "[[topics]]\nname = \"orders\"\npartitions = 6\n[topics.configs]\n\"retention.ms\" = 60000\n",
        "[[groups]]\nmatch = \"orders-*\"\nassignor = \"sticky\"\nassignment = \"broker\"\n",
        "[limits]\nconnections = 10\nconnections_per_ip = 5\nin_flight_bytes = \"64MiB\"\n",
    ];
    found.extend(files.iter().map(|file| file.as_bytes().to_vec()));
    found
}

fuzz_target!(init: seeds::write_if_asked(honest()), |data: &[u8]| {
    match load(&inputs(data)) {
        Ok(loaded) => {
            assert!(loaded.effective().iter().all(|value| !value.key.is_empty()));
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a reason");
            assert!(problems.0.iter().all(|problem| !problem.to_string().is_empty()));
        }
    }
});
