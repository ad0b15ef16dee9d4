//! Plugins as their authors and operators have them: files, a configuration, the built binary.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;

use common::{Broker, get, run};

const HOOKS: [&str; 8] = [
    "interceptor",
    "ordering-key",
    "partitioner",
    "fetch-filter",
    "retention",
    "record-retention",
    "assignor",
    "topic-policy",
];

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn what_new_writes_passes_its_own_tests_and_loads() {
    let dir = tempfile::tempdir().unwrap();
    for hook in HOOKS {
        let at = dir.path().join(format!("my-{hook}"));
        let at = at.to_str().unwrap();
        let made = run(&["plugin", "new", at, "--hook", hook], b"");
        assert!(made.status.success(), "{hook}: {}", said(&made));
        let script = format!("{at}/my-{hook}.luau");
        let tested = run(&["plugin", "test", &script], b"");
        assert!(tested.status.success(), "{hook}: {}", said(&tested));
        let config = format!("{at}/watershed.toml");
        let checked = run(&["check", "--config", &config], b"");
        assert!(checked.status.success(), "{hook}: {}", said(&checked));
        let inspected = run(&["--json", "plugin", "inspect", &script], b"");
        let facts: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
        assert_eq!((&facts["hooks"], &facts["imports"]), (&serde_json::json!([hook]), &serde_json::json!([])));
        let again = run(&["plugin", "new", at, "--hook", hook], b"");
        assert_eq!(again.status.code(), Some(8), "what is there is not overwritten");
    }
}

#[test]
fn a_fixture_that_does_not_hold_fails() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "p.luau",
        "return { name = 'p', version = '1', api = 1, ordering_key = function(b) return { 'x' } end }",
    );
    for (expect, problem) in [
        ("expect: [x]", None),
        ("expect: [y]", Some("it answered [\"x\"], expected was [\"y\"]")),
        ("expect_error: ouch", Some("a failure with \"ouch\" was expected")),
        ("{}", Some("expect")),
    ] {
        let expect = expect.trim_matches(['{', '}']);
        let fixture =
            format!("cases:\n  - name: c\n    hook: ordering-key\n    records: [{{ value: a }}]\n    {expect}\n");
        write(dir.path(), "fixtures.yaml", &fixture);
        let tested = run(&["plugin", "test", dir.path().join("p.luau").to_str().unwrap()], b"");
        assert_eq!(tested.status.success(), problem.is_none(), "{expect}: {}", said(&tested));
        assert!(problem.is_none_or(|problem| said(&tested).contains(problem)), "{expect}: {}", said(&tested));
    }
    let counts = "local n = 0 return { name = 'p', version = '1', api = 1, ordering_key = function(b) n += 1 \
                  return { tostring(n) } end }";
    write(dir.path(), "p.luau", counts);
    let fixture = "cases:\n  - { name: c, hook: ordering-key, records: [{ value: a }], expect: [\"1\"] }\n";
    write(dir.path(), "fixtures.yaml", fixture);
    let tested = run(&["plugin", "test", dir.path().join("p.luau").to_str().unwrap()], b"");
    assert!(!tested.status.success() && said(&tested).contains("not deterministic"), "{}", said(&tested));
}

const GOOD: &str = "return { name = 'good', version = '1', api = 1, reads = { 'values' },
config_schema = { type = 'object', properties = { n = { type = 'integer' } } },
init = function(c) if c.n == 13 then return nil, 'thirteen brings bad luck' end end,
intercept = function(b) return {} end }";

#[test]
fn a_broker_with_a_wrong_plugin_does_not_start_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "good.luau", GOOD);
    write(dir.path(), "broken.luau", "return {\n  name = ");
    write(dir.path(), "old.luau", "return { name = 'o', version = '1', api = 7, intercept = function() end }");
    write(dir.path(), "idle.luau", "return { name = 'o', version = '1', api = 1 }");
    write(dir.path(), "loop.luau", "while true do end");
    write(dir.path(), "p.txt", GOOD);
    let plugin = |rest: &str| format!("\n[[plugins]]\nname = \"p\"\n{rest}\n");
    for (config, want) in [
        (plugin("file = \"none.luau\""), "watershed.toml:4: plugins[0].file: "),
        (plugin("file = \"none.luau\""), "cannot be read"),
        (plugin("file = \"p.txt\""), "the name of a plugin's file ends in .luau"),
        (plugin("file = \"broken.luau\""), "broken.luau:2"),
        (plugin("file = \"old.luau\""), "wants version 7 of the plugin API, this broker has 1"),
        (plugin("file = \"idle.luau\""), "intercept"),
        (plugin("file = \"loop.luau\""), "loop.luau"),
        (plugin("file = \"good.luau\"\nsha256 = \"00\""), "64 hexadecimal digits"),
        (plugin(&format!("file = \"good.luau\"\nsha256 = \"{}\"", "0".repeat(64))), "is not the file that was pinned"),
        (plugin("file = \"good.luau\"\nconfig = { n = \"x\" }"), "watershed.toml:5: plugins[0].config"),
        (plugin("file = \"good.luau\"\nconfig = { n = 13 }"), "thirteen brings bad luck"),
        (
            plugin("file = \"good.luau\"\nconfig = { n = { env = \"WATERSHED_NO_SUCH\" } }"),
            "WATERSHED_NO_SUCH is not set",
        ),
        (plugin("file = \"good.luau\"\nlimits = { memory = \"1KiB\" }"), "memory must be from 1MiB to 1GiB"),
        (plugin("file = \"good.luau\"\nlimits = { budget = \"5\" }"), "a time such as"),
        (plugin("file = \"good.luau\"\non_error = \"shrug\""), "\"closed\", \"open\" or \"dlq:TOPIC\""),
        (plugin("sha256 = \"00\""), "a native plugin has no file"),
        (plugin(""), "there is no native plugin \"p\""),
        ("\n[[plugins]]\nname = \"sticky\"\nconfig = { batch_bytes = 0 }\n".to_owned(), "batch_bytes"),
        ("\ntopic_policy = \"nobody\"\n".to_owned(), "there is no plugin \"nobody\" for the hook topic-policy"),
        (
            "\n[[topics]]\nname = \"t\"\nconfig = { \"watershed.interceptors\" = \"q\" }\n".to_owned(),
            "there is no plugin \"q\" for the hook interceptor; loaded are: none",
        ),
        (
            "\n[[groups]]\nmatch = \"*\"\nassignor = \"p\"\n".to_owned() + &plugin("file = \"good.luau\""),
            "\"p\" is no assignor",
        ),
    ] {
        write(dir.path(), "watershed.toml", &config);
        let file = dir.path().join("watershed.toml");
        for command in ["check", "serve"] {
            let output = run(&[command, "--config", file.to_str().unwrap()], b"");
            assert_eq!(output.status.code(), Some(10), "{command} {config}: {}", said(&output));
            assert!(said(&output).contains(want), "{command} {config}: {}", said(&output));
        }
    }
    write(dir.path(), "watershed.toml", &plugin("file = \"good.luau\"\nconfig = { n = 1 }"));
    let output = run(&["check", "--config", dir.path().join("watershed.toml").to_str().unwrap()], b"");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn plugins_decide_what_enters_and_what_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "strict.luau",
        "return { name = 'strict', version = '1', api = 1, reads = { 'values' }, \
        intercept = function(b) local v = {} for i = 1, #b do if b:value(i) == 'bad' then v[i] = { reject = 'no bad ones' } \
        elseif b:value(i) == 'odd' then v[i] = { dlq = 'odd' } end end return v end }",
    );
    write(
        dir.path(),
        "mask.luau",
        "return { name = 'mask', version = '1', api = 1, reads = { 'values' }, \
        filter = function(b) local v = {} for i = 1, #b do if b:value(i) == 'secret' then v[i] = { value = '***' } end end \
        return v end }",
    );
    write(
        dir.path(),
        "loop.luau",
        "return { name = 'loop', version = '1', api = 1, intercept = function() while true do end end }",
    );
    let config = r#"
[[plugins]]
name = "strict"
file = "strict.luau"
dead_letter_topic = "dead"
[[plugins]]
name = "mask"
file = "mask.luau"
[[plugins]]
name = "loop"
file = "loop.luau"
[[topics]]
name = "t"
partitions = 1
config = { "watershed.interceptors" = "strict", "watershed.fetch.filter" = "mask" }
[[topics]]
name = "loops"
partitions = 1
config = { "watershed.interceptors" = "loop" }
"#;
    let broker = Broker::start_with(dir.path(), config);
    broker.ok(&["produce", "t"], b"one\nodd\nsecret\n");
    let refused = broker.run_with(&["produce", "t"], b"bad\n");
    assert!(!refused.status.success() && said(&refused).contains("no bad ones"), "{}", said(&refused));
    let stuck = broker.run_with(&["produce", "loops", "--timeout", "2"], b"x\n");
    assert!(!stuck.status.success(), "{}", said(&stuck));
    let text = |topic: &str| String::from_utf8(broker.ok(&["consume", topic], b"")).unwrap();
    assert_eq!(text("t"), "one\n***\n");
    assert_eq!(text("dead"), "odd\n");
    broker.ok(&["topic", "alter", "t", "-c", "watershed.fetch.filter=mask:off"], b"");
    assert_eq!(text("t"), "one\nsecret\n", "stored is what was sent");
    let http = format!("http://{}", broker.http);
    let status = String::from_utf8(run(&["plugin", "status", "--http", &http], b"").stdout).unwrap();
    let of_loop = status.lines().find(|line| line.starts_with("loop ")).unwrap();
    assert!(of_loop.contains("timeout"), "{status}");
}

#[test]
fn a_component_decides_as_a_script_does_and_is_compiled_once() {
    let dir = tempfile::tempdir().unwrap();
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/wasm/guests/keyed.wasm");
    std::fs::copy(guest, dir.path().join("keyed.wasm")).unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let config = r#"
[[plugins]]
name = "keyed"
file = "keyed.wasm"
limits = { budget = "1s" }
[[topics]]
name = "t"
partitions = 1
config = { "watershed.interceptors" = "keyed" }
"#;
    for round in 0..2 {
        let broker = Broker::start_with(dir.path(), config);
        broker.ok(&["produce", "t", "--key", "k"], b"a record\n");
        let refused = broker.run_with(&["produce", "t"], b"no key\n");
        assert!(!refused.status.success(), "{round}: {}", said(&refused));
        assert!(said(&refused).contains("key"), "{}", said(&refused));
    }
    let cached = std::fs::read_dir(dir.path().join("data/plugin-cache")).unwrap().count();
    assert_eq!(cached, 1, "the compiled code is kept");
    let text = "(component";
    write(dir.path(), "broken.wat", text);
    write(dir.path(), "watershed.toml", "[[plugins]]\nname = \"p\"\nfile = \"broken.wat\"\n");
    let output = run(&["check", "--config", dir.path().join("watershed.toml").to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(10), "{}", said(&output));
    assert!(said(&output).contains("broken.wat"), "{}", said(&output));
}

/// Runs the program with these variables instead of what the test has.
fn run_in(path: &Path, variables: &[(&str, &Path)], arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_watershed"));
    for tool in ["CARGO", "RUSTC", "CLANG", "WASM_LD", "WASM_TOOLS", "COMPONENTIZE_JS", "COMPONENTIZE_PY"] {
        command.env_remove(tool);
    }
    command.env("PATH", path).envs(variables.iter().copied()).args(arguments).output().unwrap()
}

#[test]
fn projects_come_with_all_that_their_tools_want() {
    let dir = tempfile::tempdir().unwrap();
    let wit = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/wasm/wit").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    for (language, source, tool) in [
        ("rust", "src/lib.rs", "cargo is missing"),
        ("c", "plugin.c", "clang is missing"),
        ("js", "plugin.js", "componentize-js is missing: npm install"),
        ("python", "src/plugin.py", "componentize-py is missing"),
    ] {
        for hook in HOOKS {
            let name = format!("my-{language}-{hook}");
            let at = dir.path().join(&name);
            let made = run(&["plugin", "new", at.to_str().unwrap(), "--lang", language, "--hook", hook], b"");
            if matches!(hook, "retention" | "record-retention" | "assignor" | "topic-policy") {
                assert_eq!(made.status.code(), Some(2), "{}", said(&made));
                let there = "there are interceptor, ordering-key, partitioner, fetch-filter";
                assert!(said(&made).contains(there), "{}", said(&made));
                assert!(!at.exists());
                continue;
            }
            assert!(made.status.success(), "{language} {hook}: {}", said(&made));
            let read = |file: &str| std::fs::read_to_string(at.join(file)).unwrap();
            assert!(read(source).contains(&format!("\"{name}")) || read(source).contains(&format!("\\\"{name}")));
            assert!(read("watershed.toml").contains(&format!("{name}.wasm")));
            for file in ["hooks.wit", "host.wit", "types.wit", "worlds.wit"] {
                assert_eq!(read(&format!("wit/{file}")), wit(file));
            }
            let built = run_in(dir.path(), &[], &["plugin", "build", at.to_str().unwrap()]);
            assert_eq!(built.status.code(), Some(4), "{}", said(&built));
            assert!(said(&built).contains(tool), "{}", said(&built));
        }
    }
    let nothing = run(&["plugin", "build", dir.path().to_str().unwrap()], b"");
    assert_eq!(nothing.status.code(), Some(4), "{}", said(&nothing));
    let script = dir.path().join("script");
    let script = script.to_str().unwrap();
    assert!(run(&["plugin", "new", script, "--hook", "interceptor"], b"").status.success());
    let built = run(&["plugin", "build", script], b"");
    assert!(built.status.success() && said(&built).contains("hooks      interceptor"), "{}", said(&built));
}

#[test]
fn build_calls_the_tool_and_shows_what_it_made() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("mine");
    let at = at.to_str().unwrap();
    assert!(run(&["plugin", "new", at, "--lang", "python", "--hook", "interceptor"], b"").status.success());
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/wasm/guests/keyed.wasm");
    let tool = dir.path().join("tool");
    let path = Path::new("/usr/bin:/bin");
    for (script, code, want) in [
        // What follows `-o` is where the component goes.
        (
            "echo \"$*\" >&2; while [ \"$1\" != -o ]; do shift; done; cp GUEST \"$2\"",
            0,
            &[
                "-d wit -w interceptor-plugin",
                "-p src",
                "keyed 1.0.0",
                "imports    watershed:plugin/types@1.0.0",
                "sha256     a9f0bdd1ce89",
            ][..],
        ),
        ("echo ouch >&2; exit 3", 1, &["ouch", "failed: exit status: 3"]),
        ("rm -f mine.wasm", 10, &["mine.wasm cannot be read"]),
        ("echo nonsense > mine.wasm", 10, &["mine.wasm"]),
    ] {
        let script = format!("#!/bin/sh\n{}\n", script.replace("GUEST", guest.to_str().unwrap()));
        std::fs::write(&tool, script).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let built = run_in(path, &[("COMPONENTIZE_PY", &tool)], &["plugin", "build", at]);
        assert_eq!(built.status.code(), Some(code), "{}", said(&built));
        for want in want {
            assert!(said(&built).contains(want), "{want}: {}", said(&built));
        }
    }
}

#[test]
fn limits_stand_beside_a_plugin_or_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let hungry =
        "return { name = 'p', version = '1', api = 1, init = function() kept = string.rep('x', 24 * 1048576) end,
        ordering_key = function() return {} end }";
    write(dir.path(), "p.luau", &hungry.replace("kept =", "local kept ="));
    let cases = "cases:\n  - { name: c, hook: ordering-key, records: [{ value: a }], expect: [null] }\n";
    let file = dir.path().join("p.luau");
    let test = |fixtures: &str, arguments: &[&str]| {
        write(dir.path(), "fixtures.yaml", &format!("{fixtures}{cases}"));
        run(&[&["plugin", "test", file.to_str().unwrap()], arguments].concat(), b"")
    };
    let poor = test("", &[]);
    assert!(!poor.status.success() && said(&poor).contains("memory"), "{}", said(&poor));
    for (fixtures, arguments) in [("limits: { memory: 64MiB }\n", &[][..]), ("", &["--memory", "64MiB"])] {
        let rich = test(fixtures, arguments);
        assert!(rich.status.success(), "{}", said(&rich));
    }
    let wrong = test("limits: { memory: much }\n", &[]);
    assert!(!wrong.status.success() && said(&wrong).contains("a size such as"), "{}", said(&wrong));
}

const OF_STATES: &str = "return { name = 'p', version = '1', api = 1, reads = { 'values' }, \
    intercept = function(b) local v = {} for i = 1, #b do if b:value(i) == 'trap' then error('ouch') end v[i] = false end \
    return v end }";

/// The value of a series of which these labels, in any order, are all; `None` where there is no such series.
fn series(metrics: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let of_name = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
    let mut matching = of_name.filter(|(text, _)| {
        let mut seen: Vec<_> = text.split(',').collect();
        seen.sort_unstable();
        seen == labels
    });
    matching.next().map(|(_, value)| value.parse().unwrap())
}

#[test]
fn metrics_tell_a_bindings_state_and_what_followed_from_its_faults() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "p.luau", OF_STATES);
    let plugin = |name: &str, on_error: &str| {
        format!("[[plugins]]\nname = \"{name}\"\nfile = \"p.luau\"\non_error = \"{on_error}\"\n")
    };
    let topic = |name: &str, interceptor: &str| {
        format!(
            "[[topics]]\nname = \"{name}\"\npartitions = 1\nconfig = {{ \"watershed.interceptors\" = \"{interceptor}\" }}\n"
        )
    };
    let config = [plugin("opened", "open"), plugin("closed", "closed")].concat()
        + &[topic("dropped", "opened"), topic("shown", "closed:shadow"), topic("refused", "closed")].concat();
    let broker = Broker::start_with(dir.path(), &config);
    for (topic, input, passes) in [
        ("dropped", "a\nb\n", true),
        ("dropped", "trap\n", true),
        ("shown", "a\nb\nc\n", true),
        ("shown", "trap\n", true),
        ("refused", "trap\n", false),
    ] {
        let sent = broker.run_with(&["produce", topic, "--timeout", "2"], input.as_bytes());
        assert_eq!(sent.status.success(), passes, "{topic} {input}: {}", said(&sent));
    }
    let text = |topic: &str| String::from_utf8(broker.ok(&["consume", topic], b"")).unwrap();
    assert_eq!(
        (text("dropped"), text("shown"), text("refused")),
        ("trap\n".into(), "a\nb\nc\ntrap\n".into(), String::new())
    );
    let (_, metrics) = get(&broker.http, "/metrics");
    let hook = "hook=\"interceptor\"";
    let verdicts = |plugin: &str, state: &str| {
        let (plugin, state) = (format!("plugin=\"{plugin}\""), format!("state=\"{state}\""));
        series(&metrics, "watershed_plugin_verdicts_total", &[hook, &plugin, &state, "verdict=\"drop\""])
    };
    assert_eq!((verdicts("opened", "on"), verdicts("opened", "shadow")), (Some(2.0), None), "{metrics}");
    assert_eq!((verdicts("closed", "on"), verdicts("closed", "shadow")), (None, Some(3.0)), "{metrics}");
    let failed_open =
        |plugin: &str| series(&metrics, "watershed_plugin_failed_open_total", &[hook, &format!("plugin=\"{plugin}\"")]);
    assert_eq!((failed_open("opened"), failed_open("closed")), (Some(1.0), Some(0.0)), "{metrics}");
    let faults = |plugin: &str| {
        let labels = [hook, "kind=\"trap\"", &format!("plugin=\"{plugin}\"")];
        series(&metrics, "watershed_plugin_faults_total", &labels).unwrap()
    };
    assert_eq!(faults("opened"), 1.0, "{metrics}");
    assert!(faults("closed") >= 2.0, "in shadow and where it holds: {metrics}");
}

#[test]
fn health_names_topics_whose_plugin_is_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "p.luau", OF_STATES);
    let plugin = "[[plugins]]\nname = \"dropper\"\nfile = \"p.luau\"\n";
    let broker = Broker::start_with(dir.path(), plugin);
    for (topic, binding) in [("held", "dropper"), ("watched", "dropper:shadow")] {
        broker.ok(&["topic", "create", topic, "-p", "1", "-c", &format!("watershed.interceptors={binding}")], b"");
    }
    let ready = ("HTTP/1.1 200 OK".to_owned(), "ready\n".to_owned());
    assert_eq!(get(&broker.http, "/health/ready"), ready);
    broker.stop();
    let broker = Broker::start_with(dir.path(), "");
    let (status, said) = get(&broker.http, "/health/ready");
    let lines = "ready\ntopic held: the plugin dropper (interceptor) is not loaded, so the hook fails\n";
    assert_eq!((status, said.as_str()), (ready.0.clone(), lines));
    let (_, metrics) = get(&broker.http, "/metrics");
    assert!(metrics.contains("\nwatershed_plugin_bindings_missing 1\n"), "{metrics}");
    assert!(!broker.run_with(&["produce", "held", "--timeout", "2"], b"x\n").status.success());
    broker.ok(&["produce", "watched"], b"x\n");
    broker.ok(&["topic", "alter", "held", "--delete-config", "watershed.interceptors"], b"");
    assert_eq!(get(&broker.http, "/health/ready"), ready);
}
