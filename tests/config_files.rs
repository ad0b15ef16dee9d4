//! Every configuration that is shown or shipped is one the broker would start with.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use watershed::Registry;
use watershed::config::{Inputs, load};

fn check(what: &str, file: PathBuf) {
    let parts = Registry::standard().parts();
    let loaded = load(&Inputs { file: Some(file), parts, ..Inputs::default() });
    assert!(loaded.is_ok(), "{what}:\n{}", loaded.unwrap_err());
}

fn find(dir: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, name, found);
        } else if path.file_name().is_some_and(|file| file == name) {
            found.push(path);
        }
    }
}

#[test]
fn what_the_readme_shows_is_valid() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let shown: Vec<_> = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!shown.is_empty(), "the readme shows no configuration any more");
    for text in shown {
        let file = dir.path().join("shown.toml");
        fs::write(&file, text).unwrap();
        check(text, file);
    }
}

#[test]
fn the_examples_are_valid() {
    let mut files = Vec::new();
    find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"), "watershed.toml", &mut files);
    for file in files {
        check(&file.display().to_string(), file.clone());
    }
}
