//! Scripts that mean harm: each costs its caller an error of the right kind, in time and within its memory.
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, reason = "it is about time that passes")]

mod common;

use std::time::{Duration, Instant};

use common::{
    ask_filter, ask_interceptor, ask_partitioner, ask_retention, load, load_in, load_with, make, nowhere, plugin,
};
use watershed_hooks::FaultKind::{self, OutOfMemory, Timeout, Trap, WrongAnswer};
use watershed_hooks::{Failure, HookKind, Stay};
use watershed_plugin_host::Limits;

/// What a case may take on a busy machine; a loop that is not interrupted takes forever.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the body of an interceptor, twice on one instance: a faulted one must still be safe.
fn intercept(body: &str) -> Vec<Result<usize, Failure>> {
    intercept_in(Duration::from_millis(20), body)
}

fn intercept_in(budget: Duration, body: &str) -> Vec<Result<usize, Failure>> {
    let plugin = load_in(budget, &format!("local kept, co = nil, nil function P.intercept(b) {body} end"));
    let mut hook = make(&plugin, HookKind::Interceptor, &nowhere());
    let ask = |_| {
        let begin = Instant::now();
        let answer = ask_interceptor(&mut hook).map(|verdicts| verdicts.len());
        assert!(begin.elapsed() < PATIENCE, "{body}: it took {:?}", begin.elapsed());
        answer
    };
    (0..2).map(ask).collect()
}

fn check(want: FaultKind, bodies: &[&str]) {
    // Who is to run out of memory must have the time for it.
    let budget = Duration::from_millis(if want == OutOfMemory { 2000 } else { 20 });
    for body in bodies {
        for answer in intercept_in(budget, body) {
            let kind = answer.as_ref().err().and_then(Failure::fault);
            assert_eq!(kind, Some(want), "{body}: {answer:?}");
            let message = answer.unwrap_err().to_string();
            assert!(message.starts_with("test.luau"), "{body}: {message}");
            assert!(message.len() < 700 && !message.contains('\n'), "{body}: {message}");
        }
    }
}

#[test]
fn loops_are_stopped() {
    check(
        Timeout,
        &[
            "while true do end",
            "repeat until false",
            "for i = 1, math.huge do end",
            "local function f() end while true do f() end",
            "while true do pcall(error) end",
            "local function f() while true do end end while true do pcall(f) end",
            "local function f() while true do end end while true do xpcall(f, f) end",
            "local function f() while true do pcall(f) end end f()",
            "xpcall(error, function() while true do end end)",
            "local function h() xpcall(error, h) while true do end end xpcall(error, h)",
            "pcall(function() while true do end end) return {}",
            "local ok = pcall(function() while true do end end) while not ok do end return {}",
            "coroutine.wrap(function() while true do end end)()",
            "while true do coroutine.wrap(function() while true do end end)() end",
            "while true do local c = coroutine.create(function() while true do pcall(coroutine.yield) end end) \
             pcall(coroutine.resume, c) pcall(coroutine.close, c) end",
            "local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end",
            "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
            "local t t = setmetatable({}, {__index = function(_, k) return t[k .. ''] end}) while true do pcall(function() return t.x end) end",
            "local t = setmetatable({}, {__newindex = function() while true do end end}) t.x = 1",
            "local m = {__eq = function() while true do end end} return setmetatable({}, m) == setmetatable({}, m)",
            "local m = {__lt = function() while true do end end} return setmetatable({}, m) < setmetatable({}, m)",
            "local m = {__concat = function() while true do end end} return setmetatable({}, m) .. 'x'",
            "local m = {__len = function() while true do end end} return #setmetatable({}, m)",
            "local m = {__call = function() while true do end end} return setmetatable({}, m)()",
            "local m = {__iter = function() while true do end end} for _ in setmetatable({}, m) do end",
            "for _ in function() return 1 end do end",
            "tostring(setmetatable({}, {__tostring = function() while true do end end}))",
            "print(setmetatable({}, {__tostring = function() while true do end end}))",
            "string.format('%*', setmetatable({}, {__tostring = function() while true do end end}))",
            "error(setmetatable({}, {__tostring = function() while true do end end}))",
            "table.sort({3, 2, 1}, function() while true do end end)",
            "local t = table.create(100000, 1) while true do table.sort(t) end",
            "local t = {} for i = 1, 100000 do t[i] = (i * 7919) % 100003 end for i = 1, 100 do table.sort(table.clone(t)) end",
            "string.gsub('aaa', 'a', function() while true do end end)",
            "for _ in string.gmatch(string.rep('a', 100), '') do while true do end end",
            "while true do string.rep('x', 100000) end",
            "while true do table.concat(table.create(1000, 'x')) end",
            "while true do string.split(string.rep('a,', 1000), ',') end",
            "while true do buffer.create(1000) end",
            "while true do kafka.murmur2('x') end",
            "while true do kafka.json('{\"a\": 1}', 'a') end",
            "while true do kafka.log('x') end",
            "while true do b:key(1) end",
            "while true do pcall(b.key, b, 99) end",
            // Garbage is no reason to run out of memory.
            "while true do string.rep('1', 1000000) end",
            "coroutine.wrap(function() while true do string.rep('1', 1000000) end end)()",
            "string.gsub('a', 'a', function() while true do string.rep('1', 1000000) end end)",
            "while true do buffer.create(1000000) end",
            "while true do local s = string.rep('1', 1000000) .. 'x' end",
        ],
    );
}

#[test]
fn the_string_library_is_stopped() {
    check(
        Timeout,
        &[
            // Backtracking.
            "return string.find(string.rep('a', 40), string.rep('a?', 40) .. string.rep('a', 40))",
            "return string.match(string.rep('a', 5000), '.-.-.-.-.-b')",
            "return string.gsub(string.rep('a', 5000), '(.*)(.*)(.*)(.*)b', '')",
            "for _ in string.gmatch(string.rep('a', 5000), '.*.*.*.*b') do end",
            "return string.find(string.rep('(', 100000), '%b()')",
            // Searches that are quadratic in Luau's own library, in a loop: each is linear here.
            "local s, p = string.rep('a', 1000000), string.rep('a', 500000) .. 'b' while true do string.find(s, p, 1, true) end",
            "local s, p = string.rep('a', 1000000), string.rep('a', 500000) .. 'b' while true do string.find(s, p) end",
            "local s, p = string.rep('a', 1000000), string.rep('a', 500000) .. 'b' while true do string.split(s, p) end",
            "local s, p = string.rep('a', 1000000), string.rep('a', 5000) .. 'b' while true do s:find(p, 1, true) end",
            "while true do table.move({}, 1, 2^30, 2) end",
            "while true do table.move({1}, 1, 2^30, 1, {}) end",
            "while true do tonumber(string.rep('1', 1000000)) end",
            "while true do string.find(string.rep('a', 200000), '[bcd]*x') end",
        ],
    );
}

#[test]
fn one_step_of_a_pattern_is_bounded() {
    check(
        Trap,
        &[
            "return string.find(string.rep('a', 1000000), '[' .. string.rep('b', 100000) .. 'a]*')",
            "return string.match(string.rep('a', 1000000), '[^' .. string.rep('b', 100000) .. ']-x')",
            "return string.gsub(string.rep('a', 1000000), '%%[' .. string.rep('b', 100000) .. ']+', '')",
            "for _ in string.gmatch(string.rep('a', 1000000), '[' .. string.rep('%%b', 100000) .. ']+') do end",
            "return string.find(string.rep('a', 300000), string.rep('a?', 300000))",
        ],
    );
}

#[test]
fn memory_is_bounded() {
    check(
        OutOfMemory,
        &[
            "local t = {} while true do t[#t + 1] = {} end",
            "local t = {} for i = 1, 1e9 do t[i] = i end",
            "local s = 'x' while true do s = s .. s end",
            "return string.rep('x', 1e9)",
            "return {string.rep('x', 7e6), string.rep('y', 7e6)}",
            "return buffer.create(1e9)",
            "local t = {} while true do table.insert(t, buffer.create(1000)) end",
            "local t = {} while true do table.insert(t, function() return t end) end",
            "local t = {} while true do table.insert(t, coroutine.create(function() end)) end",
            "return table.create(1e7, 0)",
            "return table.concat(table.create(1000, string.rep('x', 100000)))",
            "return string.gsub(string.rep('x', 1000), 'x', string.rep('y', 100000))",
            "return string.format(string.rep('%s', 100), table.unpack(table.create(100, string.rep('x', 1000000))))",
            "return string.split(string.rep(',', 1000000), ',')",
            "return string.rep('x', 5e6):upper()",
            "local t = {} while true do t[#t + 1] = tostring(#t) .. 'x' end",
        ],
    );
}

#[test]
fn caught_memory_errors_are_the_scripts_business() {
    let answers = intercept("for i = 1, 3 do pcall(string.rep, 'x', 1e9) end return {}");
    assert_eq!(answers, [Ok(3), Ok(3)]);
}

#[test]
fn recursion_is_bounded() {
    check(
        Trap,
        &[
            "local function f() return 1 + f() end return f()",
            "local function f() f() end f()",
            // Luau has no tail calls.
            "local function f() return f() end return f()",
            "local function f() pcall(f) error('x') end f()",
            "local t t = setmetatable({}, {__index = function(_, k) return t[k] end}) return t.x",
            "local t t = setmetatable({}, {__tostring = function() return tostring(t) end}) return tostring(t)",
            "local function f() return (string.gsub('a', 'a', f)) end return f()",
            "local function f() table.sort({2, 1}, f) end f()",
            "local function f() coroutine.wrap(f)() end f()",
            "return table.unpack({}, 1, 1e8)",
            "return string.byte(string.rep('x', 1e6), 1, -1)",
            "return string.match('a', string.rep('(', 100) .. 'a')",
            "return string.match(string.rep('a', 300), string.rep('a-', 300) .. 'b')",
        ],
    );
}

#[test]
fn errors_are_traps() {
    check(
        Trap,
        &[
            "error('no')",
            "error()",
            "error({})",
            "error(string.rep('x', 100000))",
            "error('two\\nlines\\27[31m')",
            "local x = nil; x.y = 1",
            "return b:nothing()",
            "return b:key(0)",
            "return b:key(4)",
            "return b:key(1.5)",
            "return b:key(0/0)",
            "return b:key()",
            "return b.key(1)",
            "return b.key({}, 1)",
            "return b:timestamp(1)",
            "return b:headers(1)",
            "return b:header(1, 'other')",
            "return b:header(1, 'h', 'middle')",
            "b.topic = 'x'",
            "b.key = print",
            "getmetatable(b).__index = nil",
            "setmetatable(b, {})",
            "rawset(b, 'x', 1)",
            "return b.nothing",
            "b.client.principal = 'root'",
            "coroutine.yield()",
            "kafka.count('other')",
            "kafka.count('seen', -1)",
            "kafka.count('seen', 0.5)",
            "kafka.json({}, 'a')",
            "kafka.murmur2(nil)",
            "kafka.log('loud', 'x')",
            "assert(false, 'x')",
        ],
    );
}

#[test]
fn nothing_outside_is_reached() {
    check(
        Trap,
        &[
            "return require('x')",
            "return loadstring('x')",
            "return load('x')",
            "return debug.info(1, 'f')",
            "return os.time()",
            "return io.open('/etc/passwd')",
            "return getfenv()",
            "return setfenv(1, {})",
            "return newproxy(true)",
            "return gcinfo()",
            "return collectgarbage('count')",
            "return math.random()",
            "return math.randomseed(1)",
            "_G.x = 1",
            "string.find = print",
            "rawset(string, 'find', print)",
            "getmetatable('').__index = {}",
            "getmetatable('').__index.rep = print",
            "setmetatable(string, {})",
            "table.clear(math)",
            "kafka.murmur2 = print",
            "rawset(kafka, 'null', 1)",
            "return vector.create(1, 2, 3).x + nil",
            "setmetatable(kafka.null, {})",
            "getmetatable(kafka.null).__index = {}",
            "local _, e = pcall(kafka.json, 'x', 1) getmetatable(e).__index = {}",
            "local _, e = pcall(b.key, b, 99) return e.x.y",
        ],
    );
}

#[test]
fn a_batch_that_was_kept_is_an_error() {
    let keeps = [
        "if kept then return kept:key(1) end kept = b return {}",
        "if kept then return #kept end kept = b return {}",
        "if kept then return kept.topic end kept = b return {}",
        "if kept then return kept() end kept = function() return b:key(1) end return {}",
        "if kept then return kept.key(kept, 1) end kept = b return {}",
        "if kept then kept = b.value(kept, 1) end kept = b return {}",
        "if co then co() end co = coroutine.wrap(function() while true do coroutine.yield(b:key(1)) end end) co() return {}",
    ];
    for body in keeps {
        let answers = intercept(body);
        assert_eq!(answers[0], Ok(3), "{body}");
        let kind = answers[1].as_ref().err().and_then(Failure::fault);
        assert_eq!(kind, Some(Trap), "{body}: {answers:?}");
    }
}

#[test]
fn answers_of_the_wrong_kind_are_wrong() {
    check(
        WrongAnswer,
        &[
            "return",
            "return nil",
            "return nil, 5",
            "return 5",
            "return 'keep'",
            "return b",
            "return true",
            "return kafka.null",
            "return table.unpack(table.create(5000, 1))",
            "return {5}",
            "return {'other'}",
            "return {'hide'}",
            "return {{}}",
            "return {{drop = false}}",
            "return {{reject = 5}}",
            "return {{dlq = {}}}",
            "return {{drop = true, reject = 'x'}}",
            "return {{value = 5}}",
            "return {{value = 'x', drop = true}}",
            "return {{headers = 5}}",
            "return {{headers = {5}}}",
            "return {{headers = {{}}}}",
            "return {{headers = {{'a', 5}}}}",
            "return {{headers = {{kafka.null, 'x'}}}}",
            "return {{vaule = 'x'}}",
            "return {[2] = {'x'}}",
            "return {print}",
        ],
    );
}

#[test]
fn answers_beyond_the_batch_are_not_read() {
    for body in [
        "return {}",
        "return {nil, nil, nil, 5, 'nonsense'}",
        "return table.create(100000, true)",
        "return setmetatable({}, {__index = function() error('x') end, __len = function() error('y') end})",
        "return {x = 5}",
    ] {
        assert_eq!(intercept(body), [Ok(3), Ok(3)], "{body}");
    }
}

#[test]
fn partitions_that_do_not_exist_are_wrong_answers() {
    for answer in ["4", "-1", "0.5", "0/0", "math.huge", "-math.huge", "2^32", "2^53", "'1'", "true", "{}"] {
        let plugin = load(&format!("function P.partition(b, n) return {{ [2] = {answer} }} end"));
        let mut hook = make(&plugin, HookKind::Partitioner, &nowhere());
        let failure = ask_partitioner(&mut hook).unwrap_err();
        assert_eq!(failure.fault(), Some(WrongAnswer), "{answer}: {failure}");
    }
}

#[test]
fn a_filter_knows_no_verdicts_of_an_interceptor() {
    for answer in ["{drop = true}", "{reject = 'x'}", "'drop'", "'keep'", "{value = 'x', reject = 'x'}", "5"] {
        let plugin = load(&format!("function P.filter(b) return {{ {answer} }} end"));
        let mut hook = make(&plugin, HookKind::FetchFilter, &nowhere());
        let failure = ask_filter(&mut hook).unwrap_err();
        assert_eq!(failure.fault(), Some(WrongAnswer), "{answer}: {failure}");
    }
}

#[test]
fn scripts_that_never_load() {
    let limits = || Limits::new(Some(4 << 20), Some(Duration::from_millis(10))).unwrap();
    for (script, want) in [
        ("while true do end".to_owned(), "stopped, because it took more than"),
        ("local t = {} while true do t[#t + 1] = {} end".to_owned(), "more memory"),
        ("local function f() return 1 + f() end f()".to_owned(), "stack overflow"),
        ("error('x')".to_owned(), "x"),
        ("coroutine.yield()".to_owned(), "yield"),
        ("return setmetatable({}, {__index = function() while true do end end})".to_owned(), "serves no hook"),
        (plugin("P.intercept = setmetatable({}, {__call = print})"), "must be a function"),
        ("(".repeat(100_000), "recursion depth"),
        ("x = {".repeat(100_000), "recursion depth"),
        (
            plugin(&format!("function P.intercept() local x = {} end", "{".repeat(900) + &"}".repeat(900))),
            "Out of registers",
        ),
    ] {
        let begin = Instant::now();
        let error = load_with(script.as_bytes(), limits()).map(|plugin| format!("{plugin:?}")).unwrap_err();
        let short: String = script.chars().take(60).collect();
        let (file, reason) = (error.file.display().to_string(), &error.reason);
        assert!(reason.contains(want), "{short}: {error}");
        assert!(file.starts_with("test.luau"), "{short}: {error}");
        assert!(begin.elapsed() < 3 * PATIENCE, "{short}: {:?}", begin.elapsed());
    }
}

#[test]
fn a_record_retention_says_keep_or_drop_and_nothing_else() {
    let ask = |answer: &str, now: i64| {
        let plugin = load(&format!("P.reads = {{ 'ranks' }} function P.record_retention(b, now) return {answer} end"));
        let mut hook = make(&plugin, HookKind::RecordRetention, &nowhere());
        ask_retention(&mut hook, now).map_err(|failure| failure.to_string())
    };
    let (keep, drop) = (Stay::Keep, Stay::Drop);
    let fine = [
        ("{}", [keep, keep, keep]),
        ("{ false, 'drop', 'keep', false, 17 }", [drop, drop, keep]),
        ("{ b:rank(1) < 2, b:rank(2) < 2, true }", [drop, keep, keep]),
        ("setmetatable({}, { __index = function() return false end })", [keep, keep, keep]),
    ];
    for (answer, stays) in fine {
        assert_eq!(ask(answer, 5), Ok(stays.to_vec()), "{answer}");
    }
    let wrong = [
        ("nil", "nothing"),
        ("true", "a boolean"),
        ("'drop'", "a string"),
        ("{ 'hide' }", "record 1: this text is no verdict"),
        ("{ 0 }", "record 1: a number is no verdict"),
        ("{ true, { drop = true } }", "record 2: a table is no verdict"),
        ("{ true, true, function() end }", "record 3: a function is no verdict"),
        ("{ b:rank(0) < 1 }", "there is no record 0"),
        ("{ b:rank(4) < 1 }", "there is no record 4"),
        ("{ b:value(1) == nil }", "does not declare that it reads values"),
        ("nil, 'not today', true", "not today"),
        ("error('no')", "no"),
    ];
    for (answer, part) in wrong {
        let failure = ask(answer, 5).unwrap_err();
        assert!(failure.contains(part), "{answer}: {failure}");
    }
    assert!(ask("{}", 1 << 53).unwrap_err().contains("exactly"), "a time that no number holds");
    let plugin = load("function P.record_retention(b) while true do end end");
    let failure = ask_retention(&mut make(&plugin, HookKind::RecordRetention, &nowhere()), 0).unwrap_err();
    assert_eq!(failure.fault(), Some(FaultKind::Timeout));
}
