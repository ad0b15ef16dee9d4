//! What scripts reach, and what the replaced functions do.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use super::*;

fn sandbox() -> Sandbox {
    make(16 << 20, &Environment::with_random(|| 0), &Arc::from([]), true).unwrap()
}

/// Walks everything that a script reaches, and names it by the first path that leads there.
const WALK: &str = r#"
    local seen, found = {}, {}
    local function walk(path, x)
        if x == nil or type(x) == "boolean" or type(x) == "number" or type(x) == "string" then
            table.insert(found, path)
            return
        end
        if seen[x] then return end
        seen[x] = true
        table.insert(found, path)
        local meta = getmetatable(x)
        if meta ~= nil then walk(path .. "<meta>", meta) end
        if type(x) == "table" then
            local keys = {}
            for k in next, x do table.insert(keys, k) end
            table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
            for _, k in keys do walk(path .. "." .. tostring(k), x[k]) end
        end
    end
    for _, name in names do walk(name, globals[name]) end
    walk("string<meta>", getmetatable(""))
    walk("nil<meta>", getmetatable(nil))
    walk("number<meta>", getmetatable(1))
    walk("function<meta>", getmetatable(print))
    walk("thread<meta>", getmetatable(coroutine.create(print)))
    walk("buffer<meta>", getmetatable(buffer.create(1)))
    local _, hosted = pcall(host_error)
    walk("host_error<meta>", getmetatable(hosted))
    return found
"#;

#[test]
fn every_reachable_global_is_known() {
    let Sandbox { lua, .. } = sandbox();
    // The walk is given the globals, which a script cannot list, and an error that the host raises.
    let globals: Table = lua.globals().metatable().unwrap().get("__index").unwrap();
    let mut names: Vec<String> = globals.pairs::<String, Value>().map(|pair| pair.unwrap().0).collect();
    names.sort();
    let raise = lua.create_function(|_, ()| Err::<(), _>(mlua::Error::RuntimeError("x".to_owned()))).unwrap();
    let environment = lua.create_table().unwrap();
    for (name, value) in
        [("names", Value::Nil), ("globals", Value::Table(globals)), ("host_error", Value::Function(raise))]
    {
        environment.raw_set(name, value).unwrap();
    }
    environment.raw_set("names", names).unwrap();
    for pair in environment.pairs::<String, Value>() {
        let (name, value) = pair.unwrap();
        lua.globals().raw_set(name, value).unwrap();
    }
    let found: Vec<String> = lua.load(WALK).eval().unwrap();

    let mut want = Vec::new();
    for (library, allowed) in ALLOWED {
        match *library {
            "" => want.extend(allowed.iter().map(ToString::to_string)),
            library => {
                want.push(library.to_owned());
                want.extend(allowed.iter().map(|name| format!("{library}.{name}")));
            }
        }
    }
    want.extend(
        ["kafka", "kafka.count", "kafka.json", "kafka.log", "kafka.murmur2", "kafka.null", "print"].map(str::to_owned),
    );
    // A string's metatable holds the library that is there already; no other type has one, and errors hide theirs.
    want.extend(
        ["string<meta>", "nil<meta>", "number<meta>", "function<meta>", "thread<meta>", "buffer<meta>"]
            .map(str::to_owned),
    );
    want.push("host_error<meta>".to_owned());
    let mut found = found;
    found.sort();
    want.sort();
    assert_eq!(found, want);
}

#[test]
fn nothing_that_is_there_can_be_changed() {
    let Sandbox { lua, .. } = sandbox();
    for script in [
        "string.find = nil",
        "table.x = 1",
        "kafka.x = 1",
        "getmetatable('').__index = nil",
        "rawset(math, 'random', print)",
        "table.clear(string)",
        "setmetatable(kafka, {})",
        "table.insert(utf8, 1)",
    ] {
        let error = lua.load(script).exec().unwrap_err().to_string();
        assert!(error.contains("readonly"), "{script}: {error}");
    }
    // A script's own globals are its own.
    lua.load("x = 1 print = 5 assert(x == 1 and print == 5)").exec().unwrap();
}

fn holds(script: &str) {
    let Sandbox { lua, .. } = sandbox();
    lua.load(script).exec().unwrap_or_else(|error| panic!("{script}: {error}"));
}

#[test]
fn searches_find_what_luau_finds() {
    // Once where Luau's own function answers, once where ours does.
    holds(
        r#"
        for _, n in { 10, 300000 } do
            local a = string.rep("a", n)
            local s = a .. "b%" .. a
            assert(s:find(a .. "b", 1, true) == 1)
            local i, j = s:find("b%" .. a, 1, true)
            assert(i == n + 1 and j == #s)
            assert(s:find("b%" .. a, -n - 2, true) == n + 1)
            assert(s:find("b%" .. a, -n - 1, true) == nil)
            assert(s:find(a, n + 2, true) == n + 3)
            assert(s:find(a, #s + 2, true) == nil)
            assert(s:find("", #s + 1, true) == #s + 1)
            assert(s:find("x" .. a, 1, true) == nil)
            assert(string.find(s, a .. "b") == 1)
            local parts = string.split(a .. "--" .. a .. "--", "--")
            assert(#parts == 3 and parts[1] == a and parts[2] == a and parts[3] == "")
            assert(#string.split(s, s) == 2 and #string.split("", s) == 1)
            assert(s:match("^a+b") == a .. "b" and s:gsub("[ab]", "") == "%")
            local count = 0
            for w in s:gmatch("[^%%]+") do count += 1 end
            assert(count == 2)
        end
        assert(string.find(1234, 23) == 2 and ("x"):find("x", 1, true) == 1)
        assert(not pcall(string.find) and not pcall(string.find, {}, "x") and not pcall(string.split))
        "#,
    );
}

#[test]
fn sorting_sorts() {
    holds(
        r#"
        for _, n in { 0, 1, 2, 7, 8, 9, 16, 17, 100, 1000 } do
            for _, factor in { 1, 7919, -1, 0 } do
                local t, u = {}, {}
                for i = 1, n do t[i] = (i * factor) % 1009 u[i] = t[i] end
                table.sort(t)
                for i = 2, n do assert(t[i - 1] <= t[i]) end
                table.sort(u, function(a, b) return a > b end)
                for i = 1, n do assert(u[i] == t[n + 1 - i]) end
            end
        end
        local t = { "b", "a" } table.sort(t) assert(t[1] == "a")
        local s = {} for i = 1, 100 do s[i] = { i % 3, i } end
        table.sort(s, function(a, b) return a[1] < b[1] end)
        for i = 2, 100 do assert(s[i - 1][1] < s[i][1] or s[i - 1][2] < s[i][2], "it is stable") end
        table.sort({ 3, 1, 2 }, function() return true end) -- an order that is none does no harm
        assert(not pcall(table.sort, { 1, "x" }) and not pcall(table.sort, table.freeze({ 2, 1 })))
        assert(not pcall(table.sort, nil) and not pcall(table.sort, { 1 }, 5))
        "#,
    );
}

#[test]
fn moving_moves() {
    holds(
        r#"
        for _, n in { 10, 70000 } do
            local t = {} for i = 1, n do t[i] = i end
            table.move(t, 1, n, 3)
            assert(t[1] == 1 and t[2] == 2 and t[3] == 1 and t[n + 2] == n)
            table.move(t, 3, n + 2, 1)
            assert(t[1] == 1 and t[n] == n)
            local u = table.move(t, 1, n, 1, {})
            assert(#u == n and u[n] == n)
        end
        assert(not pcall(table.move, 1, 1, 100000, 1))
        "#,
    );
}

#[test]
fn the_longest_set_of_a_pattern_is_found() {
    for (pattern, want) in [
        ("abc", 1),
        ("[abc]*", 4),
        ("[]abc]", 5),
        ("[^]a]", 4),
        ("%[abc", 1),
        ("x[a][bcd%]e]", 7),
        ("[abc", 4),
        ("[", 1),
    ] {
        assert_eq!(longest_set(pattern.as_bytes()), want, "{pattern}");
    }
    assert!(is_plain(b"a]b)\0") && !is_plain(b"a.b") && !is_plain(b"%d"));
}

#[test]
fn the_library_does_what_it_says() {
    let logged: Arc<Mutex<Vec<String>>> = Arc::default();
    let (of_log, of_count) = (Arc::clone(&logged), Arc::clone(&logged));
    let mut environment = Environment::with_random(|| 0);
    environment.log = Arc::new(move |level, line| of_log.lock().unwrap().push(format!("{level:?} {line}")));
    environment.count = Arc::new(move |name, n| of_count.lock().unwrap().push(format!("{name} +{n}")));
    let Sandbox { lua, .. } = make(16 << 20, &environment, &Arc::from(["seen".to_owned()]), true).unwrap();
    let script = r#"
        assert(kafka.json('{"a": {"b": "x"}}', "a.b") == "x" and kafka.json("{}", "a") == nil and kafka.json(nil, "a") == nil)
        assert(kafka.json("{}", "\255") == nil)
        assert(kafka.murmur2("21") == 4294967296 - 973932308)
        kafka.log("one")
        kafka.log("warn", "two\nlines")
        kafka.log("error", 3)
        kafka.log("debug", string.rep("x", 1000))
        print("a", 1, nil, true)
        kafka.count("seen")
        kafka.count("seen", 5)
        local _, message = pcall(kafka.count, "other")
        assert(string.find(message, "there is no counter other; the manifest declares: seen", 1, true), message)
    "#;
    lua.load(script).exec().unwrap();
    let long = format!("Debug {}", "x".repeat(256));
    let want = ["Info one", "Warn two\\nlines", "Error 3", &long, "Info a\t1\tnil\ttrue", "seen +1", "seen +5"];
    assert_eq!(*logged.lock().unwrap(), want.map(|line| line.replace('\t', "\\t")));
}

#[test]
fn memory_stays_below_its_limit() {
    let limit = 4 << 20;
    for script in [
        "local t = {} while true do t[#t + 1] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = buffer.create(100000) end",
        "string.rep('x', 1e9)",
        "while true do pcall(string.rep, 'x', 1e9) pcall(table.create, 1e8, 0) t = {t} end",
    ] {
        let Sandbox { lua, .. } = make(limit, &Environment::with_random(|| 0), &Arc::from([]), true).unwrap();
        let error = lua.load(script).exec().unwrap_err();
        assert!(matches!(error, mlua::Error::MemoryError(_)), "{script}: {error}");
        assert!(lua.used_memory() <= limit, "{script}: {}", lua.used_memory());
        // What was in use can be used again.
        lua.globals().raw_set("t", Value::Nil).unwrap();
        lua.gc_collect().unwrap();
        assert!(lua.used_memory() < limit / 2, "{script}: {}", lua.used_memory());
        lua.load("assert(#string.rep('x', 1000000) == 1000000)").exec().unwrap();
    }
}
