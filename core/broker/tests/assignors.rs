//! Assignors that are plugins, in a running broker: one that takes its time holds its group's assignment and nothing else.
//!
//! All groups here have one coordinator, and all connections one thread.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "made for another test as well")]
#[path = "wire/stage.rs"]
mod stage;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use bytes::{BufMut, Bytes, BytesMut};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use watershed_broker::{BrokerParts, GroupParts, RunningBroker};
use watershed_controller::{ControllerHandle, ControllerOptions};
use watershed_coordinator::groups::Assignors;
use watershed_hooks::{Assignor, Failure, GroupAssignment, GroupSpec, TopicPartition};
use watershed_metadata::configs::{Assignment, BrokerConfig, GroupRule, GroupRules};
use watershed_model::{BrokerId, Clock, ManualClock, Timestamp};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatResponse;
use watershed_protocol::messages::find_coordinator::FindCoordinatorRequest;
use watershed_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use watershed_protocol::messages::list_groups::ListGroupsRequest;
use watershed_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use watershed_protocol::messages::{ConsumerGroupHeartbeatRequest, HeartbeatRequest};
use watershed_storage::LogStorage;
use watershed_storage_memory::MemoryStorage;

use stage::{CALM, Client, NOW, Sent, guarded, limits, random, registration, wanted};

/// Gives everything to the first member that subscribes.
struct First;

impl Assignor for First {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        let mut assignment = GroupAssignment::empty(group.members().len());
        for (topic, of_topic) in (0..).zip(group.topics()) {
            let owner = group.members().iter().position(|member| member.topics.contains(&topic)).unwrap();
            let all = (0..of_topic.partitions).map(|partition| TopicPartition { topic, partition });
            assignment.members[owner].extend(all);
        }
        Ok(assignment)
    }
}

enum Order {
    Answer,
    Panic,
}

/// Says that it was asked, and then does nothing until it is told what.
struct Slow {
    asked: UnboundedSender<String>,
    orders: mpsc::Receiver<Order>,
}

impl Assignor for Slow {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        let members: Vec<_> = group.members().iter().map(|member| member.member_id).collect();
        self.asked.send(members.join(" ")).unwrap();
        match self.orders.recv() {
            Ok(Order::Answer) => First.assign(group),
            Ok(Order::Panic) => panic!("a plugin's host has a bug"),
            Err(_) => Err(Failure::Permanent("the test is over".to_owned())),
        }
    }
}

struct Scene {
    _broker: RunningBroker,
    address: SocketAddr,
    asked: UnboundedReceiver<String>,
    orders: mpsc::Sender<Order>,
    _dir: TempDir,
}

impl Scene {
    /// The groups `slow-*` have the slow assignor, in both protocols; the others have `uniform`.
    async fn start() -> Self {
        let settings = [("offsets.topic.num.partitions", "1"), ("group.initial.rebalance.delay.ms", "0")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = BrokerConfig::new(BTreeMap::from(settings)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(NOW)));
        let controller = ControllerHandle::open(ControllerOptions {
            dir: dir.path().join("metadata"),
            node: BrokerId(1),
            cluster_id: None,
            voters: BTreeMap::new(),
            config: config.clone(),
            clock: Arc::clone(&clock),
            random: Box::new(random),
        })
        .await
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let epoch = controller.register_broker(registration(address.port())).await.unwrap();
        controller.create_topics(vec![wanted(CALM, 1, "memory")], false).await.unwrap().remove(0).unwrap();
        let storage: Arc<dyn LogStorage> = Arc::new(MemoryStorage::new(Arc::clone(&clock), None));
        let (tell, asked) = unbounded_channel();
        let (orders, told) = mpsc::channel();
        let uniform: (String, Box<dyn Assignor>) = ("uniform".to_owned(), Box::new(First));
        let slow: (String, Box<dyn Assignor>) = ("slow".to_owned(), Box::new(Slow { asked: tell, orders: told }));
        let rule = |pattern: &str, assignor: &str| GroupRule {
            pattern: pattern.parse().unwrap(),
            assignor: Some(assignor.to_owned()),
            assignment: Assignment::Broker,
        };
        let broker = RunningBroker::start(BrokerParts {
            node_id: BrokerId(1),
            epoch,
            listeners: vec!["PLAINTEXT".to_owned()],
            controller,
            config,
            limits: limits(),
            storages: ["disk", "memory"].map(|name| (name.to_owned(), Arc::clone(&storage))).into(),
            groups: GroupParts {
                rules: GroupRules { rules: vec![rule("slow-*", "slow"), rule("*", "uniform")] },
                partitions_max: 100,
                assignors: Assignors::new([uniform], [slow]),
            },
            plugins: Arc::default(),
            topic_policy: None,
            clock,
            random: Arc::new(random),
        })
        .await
        .unwrap();
        broker.serve(vec![listener]);
        let scene = Self { _broker: broker, address, asked, orders, _dir: dir };
        let mut client = scene.client().await;
        let find = FindCoordinatorRequest { coordinator_keys: vec!["g".to_owned()], ..Default::default() };
        while client.call(&find, 4).await.coordinators[0].error_code != 0 {}
        let load = ListGroupsRequest::default();
        while client.call(&load, 5).await.error_code != 0 {}
        scene
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Waits until the slow assignor is at work; gives the members it was shown.
    async fn asked(&mut self) -> String {
        guarded(self.asked.recv()).await.unwrap()
    }

    fn order(&self, order: Order) {
        self.orders.send(order).unwrap();
    }
}

/// A client in a group, under the group's name with a number.
struct Member {
    client: Client,
    group: String,
    id: String,
    epoch: i32,
    partitions: usize,
}

impl Member {
    async fn new(scene: &Scene, group: &str, number: u32) -> Self {
        let id = format!("{group}/{number}");
        Self { client: scene.client().await, group: group.to_owned(), id, epoch: 0, partitions: 0 }
    }

    async fn heartbeat(&mut self) -> ConsumerGroupHeartbeatResponse {
        let joins = self.epoch == 0;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: if joins { 60_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec![CALM.to_owned()]),
            topic_partitions: joins.then(Vec::new),
            ..Default::default()
        };
        let reply = self.client.call(&request, 1).await;
        assert_eq!(reply.error_code, 0, "{:?}", reply.error_message);
        self.epoch = reply.member_epoch;
        if let Some(assignment) = &reply.assignment {
            self.partitions = assignment.topic_partitions.iter().map(|topic| topic.partitions.len()).sum();
        }
        reply
    }

    /// Sends heartbeats until it has come to an epoch.
    async fn comes_to(&mut self, epoch: i32) {
        guarded(async {
            while self.epoch < epoch {
                self.heartbeat().await;
            }
        })
        .await;
    }

    async fn join(&mut self) -> JoinGroupResponse {
        let subscription = consumer_message(|message| message.put_i32(-1));
        let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: subscription };
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            ..Default::default()
        };
        let reply = self.client.call(&request, 3).await;
        assert_eq!(reply.error_code, 0);
        (self.id, self.epoch) = (reply.member_id.clone(), reply.generation_id);
        reply
    }

    async fn send_sync(&mut self) -> Sent {
        let (group_id, generation_id, member_id) = (self.group.clone(), self.epoch, self.id.clone());
        let request = SyncGroupRequest { group_id, generation_id, member_id, ..Default::default() };
        self.client.send(&request, 3).await
    }

    /// The classic protocol's heartbeat, on a connection of its own: the first one may wait for another answer.
    async fn beat(&self, scene: &Scene) -> i16 {
        let request = HeartbeatRequest {
            group_id: self.group.as_str().into(),
            generation_id: self.epoch,
            member_id: self.id.as_str().into(),
            group_instance_id: None,
        };
        scene.client().await.call(&request, 4).await.error_code
    }
}

/// Version 0 of what consumers tell each other: a list with the one topic, then what `rest` adds.
fn consumer_message(rest: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut message = BytesMut::new();
    message.put_i16(0);
    message.put_i32(1);
    message.put_i16(i16::try_from(CALM.len()).unwrap());
    message.put_slice(CALM.as_bytes());
    rest(&mut message);
    message.freeze()
}

/// The topic's one partition.
fn everything() -> Bytes {
    consumer_message(|message| {
        message.put_i32(1);
        message.put_i32(0);
        message.put_i32(-1);
    })
}

async fn states(client: &mut Client) -> Vec<(String, String)> {
    let listed = client.call(&ListGroupsRequest::default(), 5).await;
    listed.groups.into_iter().map(|group| (group.group_id, group.group_state)).collect()
}

fn pairs(states: &[(&str, &str)]) -> Vec<(String, String)> {
    states.iter().map(|(group, state)| ((*group).to_owned(), (*state).to_owned())).collect()
}

#[tokio::test]
async fn a_consumer_group_waits_for_its_plugin_and_nobody_waits_for_the_group() {
    let mut scene = Scene::start().await;
    let mut slow = Member::new(&scene, "slow-1", 1).await;
    assert_eq!(slow.heartbeat().await.heartbeat_interval_ms, 500);
    assert_eq!((slow.epoch, slow.partitions), (1, 0));
    assert_eq!(scene.asked().await, "slow-1/1");

    // The assignor is at work, and goes on being that.
    let mut fast = Member::new(&scene, "fast", 1).await;
    assert_eq!(fast.heartbeat().await.heartbeat_interval_ms, 5_000);
    assert_eq!((fast.epoch, fast.partitions), (1, 1));
    slow.heartbeat().await;
    assert_eq!((slow.epoch, slow.partitions), (1, 0));
    // Someone else joins the group that waits, and is answered.
    let mut second = Member::new(&scene, "slow-1", 2).await;
    second.heartbeat().await;
    assert_eq!((second.epoch, second.partitions), (1, 0));
    // So does a group with the same assignor, which waits for its turn.
    let mut queued = Member::new(&scene, "slow-2", 1).await;
    queued.heartbeat().await;
    let assigning = pairs(&[("fast", "Stable"), ("slow-1", "Assigning"), ("slow-2", "Assigning")]);
    assert_eq!(states(&mut fast.client).await, assigning);
    assert!(scene.asked.try_recv().is_err());

    // The group has moved on: the answer is not for it, and the assignor is asked anew, after the other group.
    scene.order(Order::Answer);
    assert_eq!(scene.asked().await, "slow-2/1");
    scene.order(Order::Answer);
    assert_eq!(scene.asked().await, "slow-1/1 slow-1/2");
    queued.comes_to(2).await;
    assert_eq!(queued.partitions, 1);
    slow.heartbeat().await;
    assert_eq!((slow.epoch, slow.partitions), (1, 0));
    scene.order(Order::Answer);
    slow.comes_to(3).await;
    second.comes_to(3).await;
    assert_eq!((slow.partitions, second.partitions), (1, 0));
    let stable = pairs(&[("fast", "Stable"), ("slow-1", "Stable"), ("slow-2", "Stable")]);
    assert_eq!(states(&mut fast.client).await, stable);
}

#[tokio::test]
async fn a_classic_group_waits_for_its_plugin_and_nobody_waits_for_the_group() {
    let mut scene = Scene::start().await;
    let mut slow = Member::new(&scene, "slow-1", 1).await;
    slow.join().await;
    let sent = slow.send_sync().await;
    assert_eq!(scene.asked().await, slow.id);

    assert_eq!(slow.beat(&scene).await, 0);
    let mut fast = Member::new(&scene, "fast", 1).await;
    fast.join().await;
    let fast_sent = fast.send_sync().await;
    let synced: SyncGroupResponse = fast.client.receive(fast_sent).await;
    assert_eq!((synced.error_code, synced.assignment), (0, everything()));
    assert_eq!(states(&mut fast.client).await, pairs(&[("fast", "Stable"), ("slow-1", "CompletingRebalance")]));

    // Someone joins: the usual rebalance, and the answer comes too late.
    let mut second = Member::new(&scene, "slow-1", 2).await;
    let joining = tokio::spawn(async move {
        second.join().await;
        second
    });
    let synced: SyncGroupResponse = slow.client.receive(sent).await;
    assert_eq!(synced.error_code, ErrorCode::RebalanceInProgress.code());
    let request = JoinGroupRequest {
        group_id: "slow-1".to_owned(),
        member_id: slow.id.clone(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: consumer_message(|message| message.put_i32(-1)),
        }],
        ..Default::default()
    };
    slow.epoch = slow.client.call(&request, 3).await.generation_id;
    let mut second = guarded(joining).await.unwrap();
    let sent = [slow.send_sync().await, second.send_sync().await];
    scene.order(Order::Answer);
    let members = scene.asked().await;
    assert!(members.contains(&slow.id) && members.contains(&second.id), "{members}");
    scene.order(Order::Answer);
    let synced: [SyncGroupResponse; 2] = [slow.client.receive(sent[0]).await, second.client.receive(sent[1]).await];
    assert_eq!(synced.each_ref().map(|reply| reply.error_code), [0, 0]);
    assert_eq!(synced.iter().filter(|reply| reply.assignment == everything()).count(), 1);
}

#[tokio::test]
async fn a_plugin_that_panics_is_replaced_and_can_be_asked_again() {
    let mut scene = Scene::start().await;
    let mut slow = Member::new(&scene, "slow-1", 1).await;
    slow.heartbeat().await;
    scene.asked().await;
    scene.order(Order::Panic);
    slow.comes_to(2).await;
    assert_eq!(slow.partitions, 1);

    let mut classic = Member::new(&scene, "slow-2", 1).await;
    classic.join().await;
    let sent = classic.send_sync().await;
    scene.asked().await;
    scene.order(Order::Panic);
    let synced: SyncGroupResponse = classic.client.receive(sent).await;
    assert_eq!((synced.error_code, synced.assignment), (0, everything()));

    let mut third = Member::new(&scene, "slow-3", 1).await;
    third.heartbeat().await;
    scene.asked().await;
    scene.order(Order::Answer);
    third.comes_to(2).await;
    assert_eq!(third.partitions, 1);
}
