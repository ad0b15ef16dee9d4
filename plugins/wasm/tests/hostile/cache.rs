//! A cache of compiled code that others have been at.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use watershed_plugin_host::{Limits, PluginSource};
use watershed_wasm::{WasmHost, WasmOptions};

use crate::guest::guest;
use crate::{ask, check, create};

fn host(dir: &Path) -> Result<WasmHost, String> {
    WasmHost::new(WasmOptions { cache_dir: Some(dir.to_owned()) }).map_err(|error| error.to_string())
}

/// Loads the plain guest through the cache and asks it.
fn works(host: &WasmHost) {
    let (contents, limits) = (guest().text().into_bytes(), Limits::default());
    let source = PluginSource::new("p", "p.wat", contents, limits);
    assert!(ask(create(&host.load(source).unwrap()).unwrap().as_mut()).is_ok());
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_was_tampered_with_is_compiled_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    let host = host(&dir).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    works(&host);
    let [file] = &files(&dir)[..] else { panic!("there is one file: {:?}", files(&dir)) };
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let whole = fs::read(file).unwrap();
    works(&host);
    assert!(fs::read(file).unwrap() == whole, "what is whole is used and not written again");
    let flip = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let last = whole.len() - 1;
    let half = whole[..whole.len() / 2].to_vec();
    for bytes in [vec![], b"\x7fELF".to_vec(), half, whole[..last].to_vec(), flip(0), flip(20), flip(60), flip(last)] {
        fs::write(file, &bytes).unwrap();
        works(&host);
        let again = fs::read(file).unwrap();
        assert!(again != bytes && again.len() > whole.len() / 2, "{} bytes were not written again", bytes.len());
        works(&host);
        assert!(fs::read(file).unwrap() == again, "what was written again is whole");
    }
    // Whole, and yet for anyone to write: it may be another's work.
    fs::set_permissions(file, Permissions::from_mode(0o666)).unwrap();
    works(&host);
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "it was written again");
    // A link out of the directory, though to the right bytes.
    let elsewhere = parent.path().join("elsewhere");
    fs::rename(file, &elsewhere).unwrap();
    symlink(&elsewhere, file).unwrap();
    works(&host);
    assert!(fs::symlink_metadata(file).unwrap().file_type().is_file(), "the link was replaced");
    // What cannot be replaced, a directory: no cache, and no harm.
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
    works(&host);
    assert_eq!(files(&dir).len(), 1, "nothing half written stays");
}

#[test]
fn a_directory_that_others_can_enter_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    for mode in [0o777, 0o755, 0o710, 0o701] {
        let dir = parent.path().join(format!("{mode:o}"));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(mode)).unwrap();
        check("mode", &host(&dir).unwrap_err(), "nobody else may enter it: chmod 700");
    }
    let link = parent.path().join("link");
    symlink(parent.path(), &link).unwrap();
    check("a link", &host(&link).unwrap_err(), "cannot be used");
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    check("a file", &host(&file).unwrap_err(), "cannot be used");
    check("no parent", &host(&parent.path().join("a/b")).unwrap_err(), "it cannot be made");
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("theirs");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
    if std::os::unix::fs::chown(&dir, Some(12345), None).is_err() {
        // Only the superuser can give a directory away; there is nothing to see then.
        return;
    }
    check("theirs", &host(&dir).unwrap_err(), "it belongs to user 12345");
}
