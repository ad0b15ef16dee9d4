//! Puts the version, with the commit where there is one, into `WATERSHED_VERSION`. Works without git and without `.git`, and
//! reads only git's own files, so that it depends on nothing.

use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rerun-if-changed=build.rs");
    // A release built from an archive can say what it was made of.
    println!("cargo::rerun-if-env-changed=WATERSHED_COMMIT");
    let commit =
        std::env::var("WATERSHED_COMMIT").ok().filter(|c| !c.is_empty()).or_else(|| commit(&root.join(".git")));
    let text = match commit {
        Some(commit) => format!("{version} ({})", commit.get(..12).unwrap_or(&commit)),
        None => version,
    };
    println!("cargo::rustc-env=WATERSHED_VERSION={text}");
}

/// The commit that HEAD points to.
fn commit(git: &Path) -> Option<String> {
    // In a linked work tree `.git` is a file that names the directory.
    let git = match fs::read_to_string(git) {
        Ok(text) => git.parent()?.join(text.trim().strip_prefix("gitdir: ")?),
        Err(_) => git.to_path_buf(),
    };
    let watched = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok()?;
        println!("cargo::rerun-if-changed={}", path.display());
        Some(text)
    };
    let head = watched(git.join("HEAD"))?;
    let Some(name) = head.trim().strip_prefix("ref: ") else {
        return Some(head.trim().to_owned());
    };
    let common = fs::read_to_string(git.join("commondir")).map_or(git.clone(), |c| git.join(c.trim()));
    if let Some(commit) = watched(common.join(name)) {
        return Some(commit.trim().to_owned());
    }
    let packed = watched(common.join("packed-refs"))?;
    packed.lines().find_map(|line| line.strip_suffix(name).and_then(|l| l.strip_suffix(' ')).map(str::to_owned))
}
