//! A controller that is killed in the middle of its work: everything it answered is there afterwards.
//!
//! The test starts itself again as the victim (the same binary, told by the environment), which creates topics as
//! fast as it can and says each one's name and id once its creation was answered. It is killed at a random moment
//! (SIGKILL), several times on the same directory.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use watershed_controller::{ControllerHandle, ControllerOptions, CreateTopic, RegisterBroker};
use watershed_metadata::{Endpoint, SecurityProtocol, supported_features};
use watershed_model::{BrokerId, SystemClock};

const DIRECTORY: &str = "WATERSHED_TEST_KILL_DIRECTORY";
const ROUND: &str = "WATERSHED_TEST_KILL_ROUND";

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

fn random_bytes() -> [u8; 16] {
    ((u128::from(random()) << 64) | u128::from(random())).to_be_bytes()
}

async fn open(dir: &Path) -> ControllerHandle {
    let options = ControllerOptions {
        dir: dir.to_owned(),
        node: BrokerId(1),
        cluster_id: None,
        voters: BTreeMap::new(),
        config: Default::default(),
        clock: Arc::new(SystemClock::new()),
        random: Box::new(random_bytes),
    };
    ControllerHandle::open(options).await.unwrap()
}

async fn register(handle: &ControllerHandle) {
    let endpoint = Endpoint {
        name: "PLAINTEXT".to_owned(),
        host: "localhost".to_owned(),
        port: 9092,
        security_protocol: SecurityProtocol::Plaintext,
    };
    let request = RegisterBroker {
        broker: BrokerId(1),
        incarnation: random_bytes(),
        listeners: vec![endpoint],
        rack: None,
        features: supported_features(),
    };
    handle.register_broker(request).await.unwrap();
}

/// The victim. Does nothing unless the killer started it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Some(dir) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let round = std::env::var(ROUND).unwrap();
    let handle = open(Path::new(&dir)).await;
    register(&handle).await;
    let creators: Vec<_> = (0..4)
        .map(|creator| {
            let (handle, round) = (handle.clone(), round.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let name = format!("round-{round}-{creator}-{number}");
                    let topic = CreateTopic { partitions: 2, ..CreateTopic::with_defaults(&name) };
                    let created = handle.create_topics(vec![topic], false).await.unwrap().remove(0).unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "\nANSWERED {name} {}", created.topic).unwrap();
                    out.flush().unwrap();
                }
            })
        })
        .collect();
    for creator in creators {
        creator.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut answered: Vec<(String, String)> = Vec::new();
    let mut epochs = 0;
    for round in 0..6 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["victim", "--exact", "--nocapture"])
            .env(DIRECTORY, dir.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let (enough, mut seen) = (1 + random() % 60, 0);
        let mut note = |line: String| {
            let mut words = line.split(' ');
            if words.next() == Some("ANSWERED") {
                answered.push((words.next().unwrap().to_owned(), words.next().unwrap().to_owned()));
                return true;
            }
            false
        };
        while seen < enough {
            let line = lines.next().expect("the victim ended by itself").unwrap();
            seen += u64::from(note(line));
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        // What it said before it died counts, whenever we read it; its last line may be cut.
        for line in lines.map_while(Result::ok) {
            if line.split(' ').next_back().is_some_and(|id| id.len() == 22) {
                note(line);
            }
        }

        let handle = open(dir.path()).await;
        let image = handle.image();
        for (name, id) in &answered {
            let topic = image.topic_by_name(name).unwrap_or_else(|| panic!("round {round}: {name} is lost"));
            assert_eq!(topic.id().to_string(), *id, "{name}");
            assert_eq!(topic.partition_count(), 2, "{name}");
        }
        assert!(image.topic_count() >= answered.len());
        let epoch = image.broker_epoch(BrokerId(1));
        assert!(epoch > epochs, "each process raised the epochs");
        epochs = epoch;
        handle.shutdown().await;
    }
}
