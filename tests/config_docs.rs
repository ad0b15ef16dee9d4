//! `docs/config.md` is what the program says of itself. `BLESS=1 cargo test --test config_docs` writes it anew.
#![allow(clippy::unwrap_used)]

use std::path::Path;

#[test]
fn the_configuration_page_is_not_stale() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
    let page = watershed::config::docs::markdown();
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page).unwrap();
        return;
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let line = stored.lines().zip(page.lines()).position(|(stored, page)| stored != page);
    assert!(
        stored == page,
        "docs/config.md is stale from line {}: run `just docs` and commit it",
        line.unwrap_or_else(|| stored.lines().count().min(page.lines().count())) + 1
    );
}
