//! Table-driven: a file, variables or options in, the exact lines a user reads out.
#![allow(clippy::unwrap_used)]

use std::fs;

use watershed_metadata::configs::{Parts, TopicConfig};

use super::*;

mod groups;

struct Case {
    dir: tempfile::TempDir,
    inputs: Inputs,
}

impl Case {
    fn new(file: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.toml");
        fs::write(&path, file).unwrap();
        Self { dir, inputs: Inputs { file: Some(path), ..Inputs::default() } }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.inputs.env.push((name.into(), value.into()));
        self
    }

    fn set(mut self, option: &str) -> Self {
        self.inputs.set.push(option.to_owned());
        self
    }

    fn load(&self) -> Loaded {
        load(&self.inputs).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The problems as the user reads them, the file's directory cut off.
    fn problems(&self) -> Vec<String> {
        let problems = load(&self.inputs).expect_err("this configuration is wrong");
        let dir = format!("{}/", self.dir.path().display());
        problems.0.iter().map(|problem| problem.to_string().replace(&dir, "")).collect()
    }
}

fn check(file: &str, expected: &[&str]) {
    assert_eq!(Case::new(file).problems(), expected, "{file}");
}

#[test]
fn nothing_at_all_is_a_valid_configuration() {
    let loaded = Case::new("").load();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.config.listeners[0].address.to_string(), "127.0.0.1:9092");
    assert_eq!(loaded.config.http.address.to_string(), "127.0.0.1:9292");
    assert!(loaded.effective().iter().all(|value| value.place == Place::Default));
}

#[test]
fn every_setting_can_be_given_in_the_file() {
    let loaded = Case::new(
        r#"
data_dir = "/var/lib/w"

[[listeners]]
name = "INSIDE"
address = "[::1]:9092"

[[listeners]]
name = "OUTSIDE"
address = "0.0.0.0:9093"
advertised = "broker.example:9093"

[http]
address = "localhost:8080"

[log]
format = "json"
level = "info,watershed_log=debug"

[storage]
default = "memory"

[storage.disk]
flush = "relaxed"
sync_threads = 2
unsynced_bytes_max = 1_048_576

[limits]
in_flight_bytes_per_connection = 65536

[kafka]
"num.partitions" = 4
"auto.create.topics.enable" = false
"log.cleanup.policy" = ["compact", "delete"]
"log.cleaner.min.cleanable.ratio" = 0.25
"broker.rack" = "a"

[[groups]]
match = "orders-*"
assignor = "sticky"
assignment = "broker"

[[groups]]
match = "*"

[metrics]
group_partitions_max = 0

[[topics]]
name = "orders"
partitions = 6
config = { "retention.ms" = 86_400_000, "watershed.storage" = "disk" }

[[topics]]
name = "events"
"#,
    )
    .load();
    let config = &loaded.config;
    assert_eq!(config.listeners[0].address, HostPort::new("::1", 9092));
    assert_eq!(config.listeners[1].advertised, Some(HostPort::new("broker.example", 9093)));
    assert_eq!((config.log.format, config.storage.disk.flush), (LogFormat::Json, FlushSetting::Relaxed));
    assert_eq!(config.storage.disk.unsynced_bytes_max.get(), 1 << 20);
    assert_eq!(config.topics[0].partitions.map(Bounded::get), Some(6));
    assert_eq!(config.topics[1].config, TopicSettings::default());

    assert_eq!((config.groups.len(), config.metrics.group_partitions_max.get()), (2, 0));

    let broker = config.broker_config_with(Parts::default()).unwrap();
    assert_eq!((broker.settings().num_partitions, broker.settings().auto_create_topics_enable), (4, false));
    let topic = TopicConfig::resolve(&broker, &config.topics[0].config.0).unwrap();
    assert_eq!((topic.retention_ms, &*topic.storage), (Some(86_400_000), "disk"));
    let topic = TopicConfig::resolve(&broker, &config.topics[1].config.0).unwrap();
    assert!(topic.cleanup_policy.compact && topic.cleanup_policy.delete && &*topic.storage == "memory");
    assert_eq!(topic.flush, watershed_metadata::configs::Flush::Relaxed);
}

#[test]
fn stronger_layers_win_and_every_value_knows_its_place() {
    let loaded =
        Case::new("[http]\naddress = \"h:1\"\n[storage.disk]\nsync_threads = 3\n[kafka]\n\"num.partitions\" = 2\n")
            .env("WATERSHED__HTTP__ADDRESS", "h:2")
            .env("WATERSHED__KAFKA__NUM_PARTITIONS", "3")
            .env("WATERSHED__KAFKA__LOG_RETENTION_HOURS", "1")
            .env("WATERSHED__LISTENERS", "[{ name = 'A', address = 'a:1' }]")
            .env("PATH", "/bin")
            .set("kafka.num.partitions=4")
            .set("kafka.\"log.cleanup.policy\"=compact,delete")
            .set("log.level=debug")
            .load();
    let value = |key: &str| {
        let found = loaded.effective().into_iter().find(|value| value.key == key).unwrap();
        let place = found.place.to_string();
        format!("{} ({})", found.value, place.rsplit('/').next().unwrap())
    };
    assert_eq!(value("http.address"), "h:2 (environment variable WATERSHED__HTTP__ADDRESS)");
    assert_eq!(value("storage.disk.sync_threads"), "3 (w.toml:4)");
    assert_eq!(value("kafka.\"num.partitions\""), "4 (--set kafka.num.partitions)");
    assert_eq!(
        value("kafka.\"log.retention.hours\""),
        "1 (environment variable WATERSHED__KAFKA__LOG_RETENTION_HOURS)"
    );
    assert_eq!(value("kafka.\"log.cleanup.policy\""), "compact,delete (--set kafka.\"log.cleanup.policy\")");
    assert_eq!(value("kafka.\"message.max.bytes\""), "1048588 (default)");
    assert_eq!(value("listeners[0].name"), "A (environment variable WATERSHED__LISTENERS)");
    assert_eq!(value("log.level"), "debug (--set log.level)");
    assert_eq!(value("log.format"), "text (default)");
    assert_eq!(value("data_dir"), "./data (default)");
}

#[test]
fn a_list_in_a_stronger_layer_replaces_the_whole_list() {
    let file = "[[listeners]]\nname = \"A\"\naddress = \"a:1\"\n[[listeners]]\nname = \"B\"\naddress = \"a:2\"\n";
    let loaded = Case::new(file).set("listeners=[{ name = \"C\", address = \"c:3\" }]").load();
    assert_eq!(loaded.config.listeners.len(), 1);
    assert_eq!(loaded.place("listeners[0].name"), Place::Set("listeners".to_owned()));
    assert_eq!(loaded.place("listeners[1].name"), Place::Default);
}

#[test]
fn unknown_names_are_found_with_the_nearest_known_one() {
    check(
        "dat_dir = \"x\"\n\n[storage.disk]\nflsh = \"sync\"\n",
        &[
            "w.toml:1: dat_dir: there is no such setting; known here: data_dir, listeners, http, log, storage, limits, \
             kafka, groups, plugins, topic_policy, metrics, topics; did you mean data_dir?",
            "w.toml:4: storage.disk.flsh: there is no such setting; known here: flush, sync_threads, read_threads, \
             unsynced_bytes_max, open_files_max; did you mean flush?",
        ],
    );
    check(
        "[kafka]\n\"num.partition\" = 4\n",
        &["w.toml:2: kafka.\"num.partition\": there is no such setting, or it does nothing here; did you mean \
           num.partitions?"],
    );
    check(
        "[[topics]]\nname = \"a\"\nconfig = { \"retention.msec\" = 1 }\n",
        &["w.toml:3: topics[0].config.\"retention.msec\": there is no such setting, or it does nothing here; did you \
           mean retention.ms?"],
    );
    check(
        "[kafka]\nnum.partitions = 4\n",
        &[
            "w.toml:2: kafka.\"num\": the name of a Kafka setting has to be in quotes, \"like.this\", because TOML reads \
           the dots as tables",
        ],
    );
    check(
        "num.partitions = 4\n",
        &["w.toml:1: num: Kafka's settings belong into the table [kafka], with their names in quotes"],
    );
    check(
        "[kafka]\n\"watershed.storage\" = \"memory\"\n",
        &["w.toml:2: kafka.\"watershed.storage\": set default in [storage] instead"],
    );
}

#[test]
fn types_are_strict() {
    check(
        "data_dir = 1\nlisteners = \"x\"\n[http]\naddress = \"nowhere\"\n[storage.disk]\nsync_threads = \"8\"\n\
         flush = \"always\"\n[limits]\nin_flight_bytes = -1\n",
        &[
            "w.toml:1: data_dir: a path as text is expected, not the number 1",
            "w.toml:2: listeners: a list of tables is expected, not the text \"x\"",
            "w.toml:4: http.address: \"nowhere\" is not an address: \"host:port\" is expected, an IPv6 host in brackets",
            "w.toml:6: storage.disk.sync_threads: a whole number from 1 to 256 is expected, not the text \"8\"",
            "w.toml:7: storage.disk.flush: \"sync\" or \"relaxed\" is expected, not \"always\"",
            "w.toml:9: limits.in_flight_bytes: a whole number, at least 1048576 is expected, not the number -1",
        ],
    );
    check(
        "[kafka]\n\"num.partitions\" = \"4\"\n\"auto.create.topics.enable\" = \"yes\"\n\"delete.topic.enable\" = 1\n\
         \"message.max.bytes\" = 1.5\n\"log.segment.bytes\" = 5\n\"log.flush.interval.messages\" = 1\n",
        &[
            "w.toml:2: kafka.\"num.partitions\": a 32-bit integer is expected, not the text \"4\"",
            "w.toml:3: kafka.\"auto.create.topics.enable\": true or false is expected, not the text \"yes\"",
            "w.toml:4: kafka.\"delete.topic.enable\": true or false is expected, not the number 1",
            "w.toml:5: kafka.\"message.max.bytes\": a 32-bit integer is expected, not the number 1.5",
            "w.toml:6: kafka.\"log.segment.bytes\": \"5\" is refused: it must be at least 1048576",
            "w.toml:7: kafka.\"log.flush.interval.messages\": \"1\" is refused: durability is decided by \
             watershed.flush, which covers every acknowledged record, not by counting or waiting; only the default, \
             9223372036854775807, is accepted",
        ],
    );
}

#[test]
fn what_a_list_item_needs_has_to_be_there() {
    check(
        "[[listeners]]\nname = \"A\"\n\n[[topics]]\npartitions = 0\n",
        &[
            "w.toml:1: listeners[0].address: it is missing; an address as \"host:port\" is expected",
            "w.toml:4: topics[0].name: it is missing; a text is expected",
            "w.toml:5: topics[0].partitions: a whole number from 1 to 10000 is expected, not the number 0",
        ],
    );
}

#[test]
fn what_is_not_toml_is_reported_with_its_line() {
    let problems = Case::new("data_dir = \"x\"\n[http\naddress = \"h:1\"\n").problems();
    assert!(problems[0].starts_with("w.toml:2: this is not TOML: "), "{problems:?}");
    let problems = Case::new("data_dir = \"x\"\ndata_dir = \"y\"\n").problems();
    assert!(problems[0].starts_with("w.toml:2: this is not TOML: duplicate key"), "{problems:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_reported() {
    let mut case = Case::new("");
    case.inputs.file = Some(case.dir.path().join("absent.toml"));
    assert_eq!(case.problems(), ["absent.toml: the file cannot be read: No such file or directory (os error 2)"]);
    fs::write(case.dir.path().join("absent.toml"), b"\xff").unwrap();
    assert_eq!(case.problems(), ["absent.toml: the file is not UTF-8 text"]);
}

#[test]
fn combinations_that_cannot_work_are_refused() {
    check(
        "[[listeners]]\nname = \"A\"\naddress = \"0.0.0.0:9092\"\n\n[[listeners]]\nname = \"a\"\naddress = \"[::]:1\"\n\
         advertised = \"0.0.0.0:1\"\n\n[[listeners]]\nname = \"C\"\naddress = \"127.0.0.1:9092\"\nadvertised = \"c:0\"\n",
        &[
            "w.toml:3: listeners[0].address: 0.0.0.0:9092 binds every address, and clients cannot be told to connect \
             to that; give `advertised` as well",
            "w.toml:6: listeners[1].name: listeners[0] has this name already",
            "w.toml:8: listeners[1].advertised: clients cannot connect to 0.0.0.0:1",
            "w.toml:12: listeners[2].address: 127.0.0.1:9092 is bound by listeners[0].address already",
            "w.toml:13: listeners[2].advertised: clients cannot connect to port 0",
        ],
    );
    check("listeners = []\n", &["w.toml:1: listeners: at least one listener is needed"]);
    check(
        "[http]\naddress = \"127.0.0.1:9092\"\n",
        &["w.toml:2: http.address: 127.0.0.1:9092 is bound by listeners[0].address already"],
    );
    check(
        "[log]\nlevel = \"inf\"\n[storage]\ndefault = \"tape\"\n[limits]\nin_flight_bytes = 1048576\n",
        &[
            "w.toml:2: log.level: \"inf\" is not a level; off, error, warn, info, debug, trace are; did you mean info?",
            "w.toml:4: storage.default: \"tape\" is refused: this broker has the storage backends disk, memory",
            "w.toml:6: limits.in_flight_bytes: one connection may not have more in work than all together \
             (limits.in_flight_bytes)",
        ],
    );
    check(
        "[limits]\nin_flight_bytes = 268435456\n[kafka]\n\"queued.max.request.bytes\" = 268435456\n",
        &[
            "w.toml:4: kafka.\"queued.max.request.bytes\": it means the same as limits.in_flight_bytes; give only one of \
           them",
        ],
    );
    check(
        "[kafka]\n\"queued.max.request.bytes\" = 1000\n",
        &["w.toml:2: kafka.\"queued.max.request.bytes\": Configurations queued.max.request.bytes and \
           socket.request.max.bytes contradict each other: the first must not be smaller, or the largest request could \
           never be read"],
    );
}

#[test]
fn declared_topics_are_checked() {
    check(
        "[[topics]]\nname = \"a b\"\n[[topics]]\nname = \"a.b\"\n[[topics]]\nname = \"a_b\"\n[[topics]]\nname = \"c\"\n\
         config = { \"min.compaction.lag.ms\" = 2, \"max.compaction.lag.ms\" = 1 }\n[[topics]]\nname = \"c\"\n\
         config = { \"watershed.storage\" = \"tape\" }\n",
        &[
            "w.toml:2: topics[0].name: Topic name is invalid: 'a b' contains one or more characters other than ASCII \
             alphanumerics, '.', '_' and '-'",
            "w.toml:6: topics[2].name: it collides with topics[1], a.b: '.' and '_' are the same in metrics",
            "w.toml:9: topics[3].config.\"min.compaction.lag.ms\": Configurations min.compaction.lag.ms and \
             max.compaction.lag.ms contradict each other: 2 is larger than 1",
            "w.toml:11: topics[4].name: topics[3] has this name already",
            "w.toml:12: topics[4].config.\"watershed.storage\": \"tape\" is refused: this broker has the storage \
             backends disk, memory",
        ],
    );
}

#[test]
fn unknown_variables_and_options_are_errors() {
    let problems = Case::new("")
        .env("WATERSHED__HTTP__ADRESS", "h:1")
        .env("WATERSHED__ZZZ", "h:1")
        .env("WATERSHED__KAFKA__NUM_PARTITION", "1")
        .env("WATERSHED__LISTENERS__0__NAME", "A")
        .env("WATERSHED__STORAGE", "{}")
        .env("WATERSHED__STORAGE__DISK__SYNC_THREADS", "many")
        .env("WATERSHED__LOG__FORMAT", "xml")
        .set("http.adress=h:1")
        .set("nonsense")
        .set("kafka.num.partitions=four")
        .set("kafka.delete.topic.enable=yes")
        .problems();
    assert_eq!(
        problems,
        [
            "environment variable WATERSHED__HTTP__ADRESS: there is no such setting; did you mean \
             WATERSHED__HTTP__ADDRESS?",
            "environment variable WATERSHED__KAFKA__NUM_PARTITION: there is no such setting; did you mean \
             WATERSHED__KAFKA__NUM_PARTITIONS?",
            "environment variable WATERSHED__LISTENERS__0__NAME: a list is set as a whole, as a TOML value",
            "environment variable WATERSHED__LOG__FORMAT: log.format: \"text\" or \"json\" is expected, not \"xml\"",
            "environment variable WATERSHED__STORAGE: this is a table; its settings are set one by one, such as \
             WATERSHED__STORAGE__DEFAULT",
            "environment variable WATERSHED__STORAGE__DISK__SYNC_THREADS: storage.disk.sync_threads: a whole number \
             from 1 to 256 is expected, not the text \"many\"",
            "environment variable WATERSHED__ZZZ: there is no such setting",
            "--set http.adress: there is no such setting; did you mean http.address?",
            "--set kafka.delete.topic.enable: kafka.\"delete.topic.enable\": true or false is expected, not the text \
             \"yes\"",
            "--set kafka.num.partitions: kafka.\"num.partitions\": a 32-bit integer is expected, not the text \"four\"",
            "--set nonsense: \"key=value\" is expected, such as http.address=127.0.0.1:9292",
        ]
    );
}

#[test]
fn all_problems_are_reported_at_once() {
    let problems =
        Case::new("x = 1\n[log]\nlevel = \"loud\"\n[kafka]\n\"a\" = 1\n").env("WATERSHED__Y", "1").problems();
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn the_file_in_the_working_directory_is_optional() {
    let loaded = load(&Inputs::default()).unwrap();
    assert_eq!((loaded.file, loaded.config), (None, Config::default()));
}

mod reconcile {
    use std::collections::BTreeMap;

    use watershed_metadata::{ConfigResource, MetadataImage, MetadataRecord, PartitionRun};
    use watershed_model::{BrokerId, LeaderEpoch, TopicId};

    use super::*;

    fn declared(file: &str) -> Vec<DeclaredTopic> {
        Case::new(file).load().config.topics
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// An image with the topic `orders`, three partitions, one config of its own.
    fn image() -> MetadataImage {
        let topic = TopicId([7; 16]);
        let run = PartitionRun {
            count: 3,
            replicas: vec![BrokerId(1)],
            isr: None,
            leader: BrokerId(1),
            leader_epoch: LeaderEpoch(0),
        };
        let config = |name: &str, value: &str| MetadataRecord::ConfigChanged {
            resource: ConfigResource::Topic(topic),
            name: name.to_owned(),
            value: Some(value.to_owned()),
        };
        let records = [
            MetadataRecord::TopicCreated { topic, name: "orders".to_owned(), partitions: vec![run] },
            config("retention.ms", "5"),
            config("retention.bytes", "100"),
        ];
        MetadataImage::default().apply_batch(&records).unwrap().0
    }

    fn file(name: &str, partitions: &str, config: &str) -> String {
        format!("[[topics]]\nname = \"{name}\"\n{partitions}\nconfig = {{ {config} }}\n")
    }

    fn check(file: &str, expected: &[TopicAction]) {
        assert_eq!(reconcile_topics(&declared(file), &image()).unwrap(), expected, "{file}");
    }

    #[test]
    fn only_what_differs_is_done() {
        let name = || "orders".to_owned();
        check(&file("orders", "partitions = 3", "\"retention.ms\" = 5"), &[]);
        check(&file("orders", "", ""), &[]);
        check("", &[]);
        check(
            &file("orders", "partitions = 5", "\"retention.ms\" = 6, \"segment.ms\" = 7"),
            &[
                TopicAction::Grow { name: name(), partitions: 5 },
                TopicAction::Alter { name: name(), configs: texts(&[("retention.ms", "6"), ("segment.ms", "7")]) },
            ],
        );
        check(
            &file("fresh", "partitions = 2", ""),
            &[TopicAction::Create { name: "fresh".to_owned(), partitions: Some(2), configs: texts(&[]) }],
        );
        check(
            &file("fresh", "", "\"retention.ms\" = 6"),
            &[TopicAction::Create {
                name: "fresh".to_owned(),
                partitions: None,
                configs: texts(&[("retention.ms", "6")]),
            }],
        );
    }

    #[test]
    fn what_cannot_be_done_names_its_topic() {
        let both = file("orders", "partitions = 2", "") + &file("fresh", "", "");
        let problems = reconcile_topics(&declared(&both), &image()).unwrap_err();
        assert_eq!(
            problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "topic orders is declared with 2 partitions and has 3: partitions cannot be removed; declare 3 or more, or \
              delete the topic"
            ]
        );
    }
}
