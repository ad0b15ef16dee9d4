//! The house rules that a machine can check. Each test says which rule of ARCHITECTURE.md or STYLE.md it holds.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// STYLE.md, rule 6.
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the project with one of these endings, relative to its root, sorted.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    fn walk(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
            let name = name.to_str().unwrap().to_owned();
            let skipped = ["target", "data", "node_modules", "__pycache__", ".git"];
            if path.is_dir() && !skipped.contains(&name.as_str()) {
                walk(&path, endings, found);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), endings, &mut found);
    found.sort();
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Whether a Rust file holds tests only.
fn is_test(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
    let of_tests = |part: &&str| {
        matches!(*part, "tests" | "tests.rs" | "benches" | "fuzz" | "build.rs") || part.ends_with("_tests.rs")
    };
    parts.iter().any(of_tests) || parts.starts_with(&["core", "testkit"]) || path.ends_with("conformance.rs")
}

/// The part of a Rust file that is not its test module.
fn without_tests(source: &str) -> &str {
    source.split("\n#[cfg(test)]").next().unwrap_or(source)
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// The crates: package name to folder.
fn crates() -> BTreeMap<String, String> {
    let manifests = files(&["Cargo.toml"]).into_iter().filter_map(|path| {
        let manifest: toml::Table = text(&path).parse().unwrap();
        let name = manifest.get("package")?.get("name")?.as_str()?.to_owned();
        let dir = path.parent().unwrap().to_str().unwrap().to_owned();
        Some((name, dir.strip_prefix("core/").map(str::to_owned).unwrap_or(dir)))
    });
    manifests.collect()
}

/// ARCHITECTURE.md, Dependencies: edges between our crates are listed there.
#[test]
fn dependencies_point_down() {
    let page = text(Path::new("ARCHITECTURE.md"));
    let list = page.split("```edges\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut allowed = BTreeSet::new();
    for line in list.lines() {
        let (from, to) = line.split_once(" -> ").unwrap_or_else(|| panic!("not an edge: {line}"));
        allowed.extend(to.split(", ").map(|to| (from.to_owned(), to.to_owned())));
    }
    let crates = crates();
    let mut wrong = Vec::new();
    for from in crates.values().filter(|dir| !dir.is_empty() && *dir != "fuzz") {
        let core = root().join("core").join(from).join("Cargo.toml");
        let path = if core.exists() { core } else { root().join(from).join("Cargo.toml") };
        let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
        for (section, is_dev) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
            let names = manifest.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
            for to in names.filter_map(|name| crates.get(name)) {
                // An example's tests may run it inside a whole broker.
                let whole = is_dev && to.is_empty() && from.starts_with("examples/");
                let for_tests =
                    whole || is_dev && (to == "testkit" || to.starts_with("storage-backends/") || to == from);
                if to != "model" && !for_tests && !allowed.contains(&(from.clone(), to.clone())) {
                    wrong.push(format!("{from} -> {to} ({section})"));
                }
            }
        }
    }
    assert_none("edges that ARCHITECTURE.md does not list (is the layer below the right place instead?)", &wrong);
}

/// ARCHITECTURE.md, Invariants: only `src/registry.rs` names concrete parts.
#[test]
fn only_the_registry_names_concrete_parts() {
    let concrete: Vec<String> = crates()
        .into_iter()
        .filter(|(_, dir)| dir.starts_with("storage-backends/") || dir.starts_with("plugins/"))
        .map(|(name, _)| name.replace('-', "_"))
        .collect();
    let mut wrong = Vec::new();
    for path in files(&[".rs"]) {
        let own = path.starts_with("storage-backends") || path.starts_with("plugins");
        if own
            || is_test(&path)
            || path == Path::new("src/registry.rs")
            || path.starts_with("src/registry")
            || path.starts_with("examples")
        {
            continue;
        }
        let source = text(&path);
        for name in concrete.iter().filter(|name| without_tests(&source).contains(name.as_str())) {
            wrong.push(format!("{} names {name}", path.display()));
        }
    }
    assert_none("concrete parts outside src/registry.rs", &wrong);
}

/// STYLE.md, rule 2.
#[test]
fn modules_say_what_they_are_for() {
    let silent = |path: &PathBuf| !text(path).trim_start().starts_with("//!");
    let wrong: Vec<_> = files(&[".rs"]).into_iter().filter(silent).map(|path| path.display().to_string()).collect();
    assert_none("modules that do not begin with //!", &wrong);
}

/// STYLE.md, rule 11 and its last paragraph.
#[test]
fn no_shortcuts_outside_tests() {
    let forbidden =
        [".unwrap()", concat!("to", "do!("), concat!("unimpl", "emented!("), "dbg!(", concat!("allow(dead", "_code)")];
    let mut wrong = Vec::new();
    for path in files(&[".rs"]).into_iter().filter(|path| !is_test(path)) {
        let source = text(&path);
        for (number, line) in without_tests(&source).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in forbidden.iter().filter(|word| code.contains(**word)) {
                wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert_none("shortcuts", &wrong);
}

/// The repository builds anywhere: no path of somebody's machine, no note to nobody.
#[test]
fn nothing_is_left_lying_about() {
    let forbidden = [
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/ho", "me/"),
        concat!("/tmp/ka", "fka"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    let mut wrong = Vec::new();
    for path in files(&[".rs", ".toml", ".md", ".py", ".sh", ".js", ".go", ".java", "justfile", "run"]) {
        for (number, line) in text(&path).lines().enumerate() {
            for word in forbidden.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert_none("left lying about", &wrong);
}

/// STYLE.md, rule 15: what keeps time and randomness out stays in force everywhere.
#[test]
fn time_and_randomness_are_forbidden() {
    let clippy: toml::Table = text(Path::new("clippy.toml")).parse().unwrap();
    let methods = clippy["disallowed-methods"].as_array().unwrap();
    let listed: BTreeSet<_> = methods.iter().filter_map(|method| method.get("path")?.as_str()).collect();
    for needed in ["std::time::SystemTime::now", "std::time::Instant::now", "std::thread::sleep"] {
        assert!(listed.contains(needed), "clippy.toml no longer forbids {needed}");
    }
    let mut wrong = Vec::new();
    for path in files(&["Cargo.toml"]) {
        let manifest: toml::Table = text(&path).parse().unwrap();
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        if manifest.contains_key("package") && lints != Some(true) {
            wrong.push(path.display().to_string());
        }
    }
    assert_none("crates without the workspace's lints", &wrong);
}

/// The lines of each function of a file, by name; rustfmt puts a function's closing brace under its first word.
fn functions(source: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = source.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let words: Vec<&str> = code.split_whitespace().collect();
        let keywords = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "\"C\""];
        let first = words.iter().position(|word| !keywords.contains(word));
        let Some(name) = first.filter(|at| words[*at] == "fn").and_then(|at| words.get(at + 1)) else { continue };
        let name = name.split(['(', '<']).next().unwrap_or_default();
        let close = format!("{}}}", &line[..line.len() - code.len()]);
        let length = lines[start..].iter().position(|line| *line == close);
        // A function without a body ends where the next begins; such are short.
        if let Some(length) = length.filter(|_| !line.trim_end().ends_with(';')) {
            found.push((name.to_owned(), length + 1));
        }
    }
    found
}

/// STYLE.md, rule 6: what is too long already may not grow, and nothing new gets too long.
#[test]
fn long_files_and_functions_only_get_shorter() {
    let list = root().join("tests/tidy-ratchet.txt");
    let stored: BTreeMap<String, usize> = fs::read_to_string(&list)
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' ').map(|(what, lines)| (what.to_owned(), lines.parse().unwrap())))
        .collect();
    let mut long = BTreeMap::new();
    for path in files(&[".rs"]) {
        let source = text(&path);
        let lines = source.lines().count();
        if lines > FILE_LINES_MAX {
            long.insert(path.display().to_string(), lines);
        }
        if is_test(&path) {
            continue;
        }
        for (name, lines) in functions(without_tests(&source)) {
            if lines > FUNCTION_LINES_MAX {
                long.insert(format!("{} {name}", path.display()), lines);
            }
        }
    }
    if std::env::var_os("BLESS").is_some() {
        let lines: Vec<String> = long.iter().map(|(what, lines)| format!("{what} {lines}\n")).collect();
        let head =
            "# What is longer than STYLE.md wants, with its lines. This list only gets shorter (`just ratchet`).\n";
        fs::write(&list, head.to_owned() + &lines.concat()).unwrap();
        return;
    }
    let wrong: Vec<String> = long
        .iter()
        .filter(|(what, lines)| stored.get(*what).is_none_or(|max| *lines > max))
        .map(|(what, lines)| format!("{what}: {lines} lines"))
        .collect();
    assert_none("longer than 500 (files) or 70 (functions) lines and longer than before: split them", &wrong);
}
