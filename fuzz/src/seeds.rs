//! The first inputs of a target, made from what honest peers send: `WATERSHED_SEEDS=folder <target>` writes them there.

use std::path::PathBuf;

/// Writes the seeds and ends the process if it was asked for that.
pub fn write_if_asked(seeds: impl IntoIterator<Item = Vec<u8>>) {
    let Some(folder) = std::env::var_os("WATERSHED_SEEDS").map(PathBuf::from) else { return };
    for (number, seed) in seeds.into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:04}")), seed).expect("the folder of seeds can be written");
    }
    std::process::exit(0);
}
