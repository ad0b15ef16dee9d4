//! Loading scripts: what is refused, and with which words; what `init` may say; the hooks that are not on records.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use common::{ask_filter, ask_interceptor, ask_partitioner, load, load_with, make, nowhere, plugin};
use serde_json::json;
use watershed_hooks::{
    Choice, Client, Failure, GroupMember, GroupSpec, GroupTopic, Hook, HookKind, LogSummary, Replacement,
    SegmentSummary, Settings, TopicAction, TopicChange, TopicPartition, TopicVerdict, Verdict, Visibility,
};
use watershed_plugin_host::Limits;

fn refused(script: &str) -> String {
    match load_with(script.as_bytes(), Limits::default()) {
        Ok(plugin) => panic!("{script}: {plugin:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_plugin_is_refused_with_a_remedy() {
    let manifest = "name = 'x', version = '1', api = 1";
    for (script, want) in [
        ("".to_owned(), "test.luau: the script must return the table of the plugin, not nil: end it with `return P`"),
        ("return 5".to_owned(), "must return the table of the plugin, not "),
        ("x = = 5".to_owned(), "test.luau:1: "),
        ("\n\nlocal x = nil\nx.y = 5".to_owned(), "test.luau:4: attempt to index nil with 'y'"),
        ("\nerror('no')".to_owned(), "test.luau:2: no"),
        ("\nkafka.murmur2(5)".to_owned(), "test.luau:2: invalid argument #1"),
        ("\nkafka.count('x')".to_owned(), "test.luau:2: there is no counter x"),
        (
            format!("return {{{manifest}}}"),
            "serves no hook: give its table one of the functions intercept (interceptor)",
        ),
        (plugin("P.intercpet = print"), "no function `intercpet`: did you mean `intercept`?"),
        (plugin("P.intercept = print P.raeds = {}"), "no field `raeds`: did you mean `reads`?"),
        (plugin("P.intercept = 5"), "`intercept` must be a function, not a number"),
        (plugin("P.intercept = print P.init = {}"), "`init` must be a function, not a table"),
        (plugin("P.intercept = print P.api = 2"), "wants version 2 of the plugin API"),
        (plugin("P.intercept = print P.name = nil"), "missing field `name`"),
        (plugin("P.intercept = print P.reads = {'valuse'}"), "reads names \"valuse\""),
        (plugin("P.intercept = print P.config_schema = {type = 5}"), "config_schema is no JSON schema"),
        (
            plugin("P.intercept = print P.config_schema = {x = print}"),
            "config_schema.x is a function, which is no JSON",
        ),
        (plugin("P.intercept = print P.deterministic = true"), "it serves none"),
        (plugin("P.intercept = print P[1] = 5"), "has a "),
        ("\u{1}\u{2}bytecode".to_owned(), "it is no text"),
        ("\u{6}".to_owned(), "it is no text"),
        ("return {}\0".to_owned(), "it is no text"),
        ("-".repeat((1 << 20) + 1), "the script has 1048577 bytes, 1048576 are allowed"),
    ] {
        let error = refused(&script);
        let short: String = script.chars().take(120).collect();
        assert!(error.contains(want) && error.starts_with("test.luau"), "{short}: {error}");
    }
    let error = load_with(b"return '\xff'", Limits::default()).unwrap_err().to_string();
    assert!(error.contains("it is no UTF-8 from byte 8 on"), "{error}");
}

#[test]
fn a_plugin_serves_the_hooks_that_it_has_functions_for() {
    let functions =
        "function P.partition(b, n) return {} end function P.filter(b) return {} end P.deterministic = true";
    let plugin = load(functions);
    assert_eq!(plugin.hooks(), [HookKind::Partitioner, HookKind::FetchFilter]);
    assert!(plugin.factories.iter().all(|factory| factory.name() == "test"));
    assert!(plugin.manifest.deterministic);
    let Hook::Partitioner(it) = make(&plugin, HookKind::Partitioner, &nowhere()) else { panic!("another hook") };
    assert!(it.deterministic() && it.reads().keys && !it.reads().timestamps);
}

fn settings(json: serde_json::Value) -> Settings {
    json.as_object().unwrap().clone()
}

#[test]
fn init_takes_the_settings_or_refuses_them() {
    let script = plugin(
        "P.config_schema = {type = 'object', properties = {field = {type = {'string', 'null'}}}} \
         function P.init(c) if c.field == 'no' then return nil, 'not no' end if c.field == 'trap' then error('x') end \
         if c.field == 'loop' then while true do end end if c.field == 'gone' then P.intercept = nil end P.field = c.field end \
         function P.intercept(b) return {{value = P.field or kafka.null}} end",
    );
    let plugin = load_with(script.as_bytes(), Limits::default()).unwrap();
    let factory = &plugin.factories[0];
    for (given, want) in [
        (json!({"field": 5}), "config.field"),
        (json!({"field": "no"}), "plugin test: not no"),
        (json!({"field": "trap"}), "test.luau:1: x"),
        (json!({"field": "loop"}), "stopped, because it took more than 1s"),
        (json!({"field": "gone"}), "`init` took the function `intercept` away"),
    ] {
        let validated = factory.validate(&settings(given.clone())).unwrap_err().to_string();
        assert!(validated.contains(want), "{given}: {validated}");
        let created = factory.create(&settings(given.clone()), &nowhere()).unwrap_err().to_string();
        assert_eq!(created, validated);
    }
    let value = |text: Option<&str>| {
        let value = Some(text.map(|text| text.as_bytes().to_vec()));
        Verdict::Replace(Replacement { value, headers: None })
    };
    // Each instance has a state of its own.
    let made = [json!({"field": "a"}), json!({"field": null}), json!({})].map(settings);
    let mut hooks = made.map(|settings| factory.create(&settings, &nowhere()).unwrap());
    for (hook, want) in hooks.iter_mut().zip([Some("a"), None, None]) {
        assert_eq!(ask_interceptor(hook).unwrap()[0], value(want));
    }
}

#[test]
fn counters_and_logs_arrive() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let (log, count) = (Arc::clone(&lines), Arc::clone(&lines));
    let mut environment = nowhere();
    environment.log = Arc::new(move |level, line| log.lock().unwrap().push(format!("{level:?} {line}")));
    environment.count = Arc::new(move |name, n| count.lock().unwrap().push(format!("{name} +{n}")));
    let plugin = load("function P.filter(b) kafka.count('seen', #b) print(b.topic, b.partition) return {} end");
    let mut hook = make(&plugin, HookKind::FetchFilter, &environment);
    assert_eq!(ask_filter(&mut hook), Ok(vec![Visibility::Show; 3]));
    assert_eq!(*lines.lock().unwrap(), ["seen +3", "Info orders\\t1"]);
}

#[test]
fn a_refusal_is_a_failure_and_no_fault() {
    for (answer, want) in [
        ("nil, 'why'", Failure::Permanent("why".to_owned())),
        ("nil, 'why', true", Failure::Retriable("why".to_owned())),
        ("nil, 'two\\nlines', false", Failure::Permanent("two\\nlines".to_owned())),
        ("nil, string.rep('x', 1000)", Failure::Permanent("x".repeat(512))),
    ] {
        let plugin = load(&format!("function P.intercept(b) return {answer} end P.partition = P.intercept"));
        let mut hook = make(&plugin, HookKind::Interceptor, &nowhere());
        assert_eq!(ask_interceptor(&mut hook), Err(want.clone()), "{answer}");
        let mut hook = make(&plugin, HookKind::Partitioner, &nowhere());
        assert_eq!(ask_partitioner(&mut hook), Err(want), "{answer}");
    }
}

#[test]
fn a_field_of_the_values_is_what_kafka_json_finds() {
    // The values are `v`, which is no JSON.
    let plugin = load(
        "function P.intercept(b) assert(b:value_field(3, 'a') == nil and b:value_field(1, '\\255') == nil) \
         assert(b:value_field(2, '') == nil) return {} end",
    );
    let mut hook = make(&plugin, HookKind::Interceptor, &nowhere());
    assert_eq!(ask_interceptor(&mut hook), Ok(vec![Verdict::Keep; 3]));
    let failing = |functions: &str, want: &str| {
        let plugin = load(functions);
        let mut hook = make(&plugin, HookKind::Interceptor, &nowhere());
        let _ = ask_interceptor(&mut hook);
        let error = ask_interceptor(&mut hook).unwrap_err().to_string();
        assert!(error.contains(want), "{functions}: {error}");
    };
    failing("function P.intercept(b) b:value_field(4, 'a') end", "there is no record 4, the batch has 3");
    failing("function P.intercept(b) b:value_field(1) end", "the path of a field is a string, not a nil");
    failing("P.reads = { 'keys' } function P.intercept(b) b:value_field(1, 'a') end", "values");
    failing(
        "local kept function P.intercept(b) kept = kept or b kept:value_field(1, 'a') end",
        "not the batch of the present call",
    );
}

#[test]
fn nil_leaves_the_choice_to_the_client() {
    let plugin = load("function P.partition(b, n) return { 3, [3] = 0, [4] = 99 } end");
    let mut hook = make(&plugin, HookKind::Partitioner, &nowhere());
    let want = vec![Choice::Partition(3), Choice::ClientStands, Choice::Partition(0)];
    assert_eq!(ask_partitioner(&mut hook), Ok(want));
}

fn retain(body: &str, end_offset: i64) -> Result<Option<i64>, String> {
    let plugin = load(&format!("function P.retain(log) {body} end"));
    let Hook::Retention(mut it) = make(&plugin, HookKind::Retention, &nowhere()) else { panic!("another hook") };
    let segment = SegmentSummary {
        base_offset: 5,
        end_offset,
        bytes: 99,
        records: 7,
        first_timestamp: 3,
        max_timestamp: -1,
        sealed: true,
    };
    let segments = vec![segment];
    let log = LogSummary { topic: "t", partition: 2, now: 1000, start_offset: 5, high_watermark: 9, segments };
    it.delete_before(&log).map_err(|failure| failure.to_string())
}

#[test]
fn retention_sees_the_log_and_answers_with_an_offset() {
    let all = "local s = log.segments[1] assert(log.topic == 't' and log.partition == 2 and log.now == 1000 \
               and log.start_offset == 5 and log.high_watermark == 9 and #log.segments == 1 and s.base_offset == 5 \
               and s.bytes == 99 and s.records == 7 and s.first_timestamp == 3 and s.max_timestamp == -1 and s.sealed) return s.end_offset";
    assert_eq!(retain(all, 7), Ok(Some(7)));
    assert_eq!(retain("", 7), Ok(None));
    for (body, end_offset, want) in [
        ("return 0.5", 7, "it returned 0.5, which is no offset"),
        ("return -1", 7, "it returned -1, which is no offset"),
        ("return 0/0", 7, "which is no offset"),
        ("return 2^53", 7, "which is no offset"),
        ("return '7'", 7, "it returned a string instead of an offset or nil"),
        ("return nil, 'later', true", 7, "later"),
        ("return 1", 1 << 53, "an offset is 9007199254740992, which no number of Luau's holds exactly"),
    ] {
        let seen = retain(body, end_offset).unwrap_err();
        assert!(seen.contains(want), "{body}: {seen}");
    }
}

fn assign(body: &str) -> Result<Vec<Vec<TopicPartition>>, String> {
    let plugin = load(&format!("function P.assign(group) {body} end"));
    let Hook::Assignor(mut it) = make(&plugin, HookKind::Assignor, &nowhere()) else { panic!("another hook") };
    let racks = vec![vec!["r1", "r2"], vec![]];
    let topics = vec![
        GroupTopic { name: "a", id: watershed_model::TopicId::ZERO, partitions: 2, racks },
        GroupTopic { name: "b", id: watershed_model::TopicId::ZERO, partitions: 1, racks: vec![] },
    ];
    let owned = vec![TopicPartition { topic: 0, partition: 1 }];
    let first = GroupMember { member_id: "m1", rack: Some("r1"), topics: vec![0, 1], owned, ..GroupMember::default() };
    let second = GroupMember { member_id: "m2", instance_id: Some("i"), user_data: b"\xff", ..GroupMember::default() };
    let group = GroupSpec::new(topics, vec![first, second]);
    watershed_hooks::assign_group(it.as_mut(), &group).map(|given| given.members).map_err(|error| error.to_string())
}

#[test]
fn an_assignor_sees_the_group_and_answers_by_name() {
    let all = "local m, n = group.members[1], group.members[2] \
               assert(#group.members == 2 and m.id == 'm1' and m.rack == 'r1' and m.instance_id == nil) \
               assert(m.topics[1] == 'a' and m.topics[2] == 'b' and m.owned.a[1] == 1 and m.owned.b == nil) \
               assert(n.instance_id == 'i' and n.user_data == '\\255' and #n.topics == 0) \
               assert(group.topic_names[1] == 'a' and group.topics.a.partitions == 2 and group.topics.b.racks == nil) \
               assert(group.topics.a.racks[1][2] == 'r2' and #group.topics.a.racks[2] == 0) \
               return { m1 = { a = {1, 0}, b = {0} } }";
    let at = |topic, partition| TopicPartition { topic, partition };
    assert_eq!(assign(all), Ok(vec![vec![at(0, 0), at(0, 1), at(1, 0)], vec![]]));
    for (body, want) in [
        ("return {}", "gave partition 0 of topic a to nobody"),
        ("return { m3 = {} }", "there is no member m3"),
        ("return { m1 = { c = {0} } }", "there is no topic c"),
        ("return { m1 = { a = {0.5} } }", "something else in it"),
        ("return { m1 = { a = {-1} } }", "something else in it"),
        ("return { m1 = { a = {'0'} } }", "something else in it"),
        ("return { m1 = { a = table.create(1000, 0) } }", "more partitions than there are"),
        ("return { m1 = { a = 5 } }", "holds no topics"),
        ("return { m1 = 5 }", "no table of members"),
        ("return { 5 }", "no table of members"),
        ("return { m1 = { a = {2} } }", "partition 2 of topic a, which has 2"),
        ("return", "it returned nothing instead of a table of members"),
        ("return nil, 'no'", "no"),
    ] {
        let seen = assign(body).unwrap_err();
        assert!(seen.contains(want), "{body}: {seen}");
    }
}

fn judge(body: &str) -> Result<TopicVerdict, String> {
    let plugin = load(&format!("function P.judge(change) {body} end"));
    let Hook::TopicPolicy(mut it) = make(&plugin, HookKind::TopicPolicy, &nowhere()) else { panic!("another hook") };
    let configs = BTreeMap::from([("retention.ms".to_owned(), "1".to_owned())]);
    let client = Client { principal: "User:a", client_id: "c", listener: "l", host: "h" };
    let action = TopicAction::Create;
    let change = TopicChange { action, topic: "t", partitions: 3, replication_factor: 2, configs: &configs, client };
    it.judge(&change).map_err(|failure| failure.to_string())
}

#[test]
fn a_topic_policy_sees_the_change_and_judges_it() {
    let all = "local c = change.client assert(change.action == 'create' and change.topic == 't' and change.partitions == 3 \
               and change.replication_factor == 2 and change.configs['retention.ms'] == '1' and c.principal == 'User:a' \
               and c.client_id == 'c' and c.listener == 'l' and c.host == 'h') return true";
    assert_eq!(judge(all), Ok(TopicVerdict::Accept));
    assert_eq!(judge(""), Ok(TopicVerdict::Accept));
    assert_eq!(judge("return 'no'"), Ok(TopicVerdict::Refuse("no".to_owned())));
    assert_eq!(judge("return false, 'no\\n'"), Ok(TopicVerdict::Refuse("no\\n".to_owned())));
    assert_eq!(judge("return false"), Ok(TopicVerdict::Refuse("the topic policy refuses it".to_owned())));
    let set = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
    assert_eq!(judge("return { a = '1' }"), Ok(TopicVerdict::AcceptWith(set)));
    for (body, want) in [
        ("return nil, 'broken'", "broken"),
        ("return 5", "it returned a number instead of"),
        ("return { a = 5 }", "must be strings"),
        ("return { '1' }", "must be strings"),
        ("return { a = '\\255' }", "must be UTF-8"),
        ("local t = {} for i = 1, 300 do t['c' .. i] = 'x' end return t", "more than 256 configs"),
    ] {
        let seen = judge(body).unwrap_err();
        assert!(seen.contains(want), "{body}: {seen}");
    }
}

#[test]
fn an_instance_moves_between_threads_and_outlives_its_plugin() {
    let plugin = load("local calls = 0 function P.partition(b, n) calls += 1 return { calls } end");
    let mut hook = make(&plugin, HookKind::Partitioner, &nowhere());
    plugin.factories.iter().for_each(|factory| factory.close());
    drop(plugin);
    for calls in 1..4 {
        let asked = std::thread::spawn(move || {
            let choices = ask_partitioner(&mut hook);
            (hook, choices)
        });
        let choices;
        (hook, choices) = asked.join().unwrap();
        assert_eq!(choices.unwrap()[0], Choice::Partition(calls));
    }
}
