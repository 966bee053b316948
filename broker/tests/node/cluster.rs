//! Three nodes in one process, each with a runtime of its own that can be ended at once, on loopback TCP.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidelog::cluster::peers::{Incoming, tcp};
use tidelog::model::producer::Stamp;
use tidelog::node::{ClusterNode, Node, NodeConfig, NodeError};
use tidelog::ops::api::Operation;
use tidelog::ops::{Call, Fault, Reply, dispatch};
use tidelog::replication::Leader;
use tidelog::room::AnswerRoom;
use tidelog::service::{AppendFailure, AppendedRecord};
use tidelog_testkit::node::{self as testkit, call, unlimited};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::producers::send;

/// Groups of a node: 0 is that of metadata.
const GROUPS: u8 = 7;
/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes by place; the id of the one at place 0 is 1.
pub struct Cluster {
    members: Vec<ClusterMember>,
    change: fn(&mut NodeConfig),
}

struct ClusterMember {
    address: String,
    directory: TempDir,
    running: Option<(Node, Runtime)>,
}

impl Cluster {
    /// Three nodes, once they have formed a cluster and every node knows each group's leader.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With settings of their own: limits are off and nothing is delayed unless it changes that.
    pub async fn start_with(change: fn(&mut NodeConfig)) -> Self {
        let cluster = Self::formed_with(change).await;
        cluster.spread().await;
        cluster
    }

    /// Forms a cluster of nodes with changed settings, whichever node leads. Settings are asked for in the
    /// order of places.
    pub async fn formed_with(change: fn(&mut NodeConfig)) -> Self {
        let (mut members, mut listening) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let runtime = runtime();
            let listen = runtime.spawn(tcp::listen("127.0.0.1:0", None)).await.expect("no panic");
            let (address, incoming) = listen.expect("a port");
            let directory = tempfile::tempdir().expect("a directory");
            members.push(ClusterMember { address: address.to_string(), directory, running: None });
            listening.push((runtime, incoming));
        }
        let mut cluster = Self { members, change };
        let launching =
            (0..).zip(listening).map(|(at, (runtime, incoming))| cluster.launch(at, runtime, incoming));
        let launched = tokio::time::timeout(PATIENCE, join_all(launching)).await.expect("a cluster in time");
        for (member, running) in cluster.members.iter_mut().zip(launched) {
            member.running = Some(running);
        }
        cluster.settled().await;
        cluster
    }

    async fn launch(&self, at: usize, runtime: Runtime, incoming: Incoming) -> (Node, Runtime) {
        self.try_launch(at, runtime, incoming).await.unwrap_or_else(|error| panic!("a node: {error}"))
    }

    async fn try_launch(
        &self,
        at: usize,
        runtime: Runtime,
        incoming: Incoming,
    ) -> Result<(Node, Runtime), NodeError> {
        let (id, own) = (at as u64 + 1, &self.members[at]);
        let addresses = self.members.iter().map(|member| member.address.clone());
        let members: BTreeMap<u64, String> = (1..).zip(addresses).collect();
        let mut config = unlimited(own.directory.path());
        (self.change)(&mut config);
        config.cluster = Some(ClusterNode { id, members, dial: tcp::dial(None), incoming });
        let started = runtime.spawn(Node::start(config)).await.expect("no panic");
        match started {
            Ok(node) => Ok((node, runtime)),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// The data directory of the node at a place.
    pub fn directory(&self, at: usize) -> &Path {
        self.members[at].directory.path()
    }

    /// The node at a place, which runs.
    pub fn node(&self, at: usize) -> &Node {
        &self.members[at].running.as_ref().expect("a node that runs").0
    }

    /// Places of the nodes that run.
    pub fn running(&self) -> Vec<usize> {
        (0..3).filter(|at| self.members[*at].running.is_some()).collect()
    }

    /// The place of a group's leader, as the node at `by` knows; `None` while it knows none.
    pub fn leader_by(&self, by: usize, group: u8) -> Option<usize> {
        match self.node(by).service().groups().leadership().leader(group) {
            Leader::Here => Some(by),
            Leader::At(node) => Some(node as usize - 1),
            Leader::Unknown => None,
        }
    }

    /// The place of a group's leader, once all that run agree on one that runs.
    pub async fn leader(&self, group: u8) -> usize {
        let running = self.running();
        let agreed = async {
            loop {
                let mut known = running.iter().map(|by| self.leader_by(*by, group));
                let first = known.next().flatten().filter(|leader| running.contains(leader));
                if let Some(leader) = first
                    && known.all(|other| other == first)
                {
                    return leader;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, agreed).await.unwrap_or_else(|_| panic!("no leader of group {group}"))
    }

    /// Returns once all that run agree on the leaders of all groups, and have the key of the cluster's tokens.
    pub async fn settled(&self) {
        for group in 0..GROUPS {
            self.leader(group).await;
        }
        for at in self.running() {
            let service = self.node(at).service();
            let mut catalogs = service.groups().watch_catalog();
            let keyed = catalogs.wait_for(|catalog| catalog.sealing_key.is_some());
            tokio::time::timeout(PATIENCE, keyed).await.expect("a key in time").expect("groups that run");
        }
    }

    /// Has the node at place `group mod 3` lead each group.
    pub async fn spread(&self) {
        for group in 0..GROUPS {
            let to = usize::from(group) % 3;
            let ends = Instant::now() + PATIENCE;
            while self.leader(group).await != to {
                assert!(Instant::now() < ends, "group {group} does not come to the node at {to}");
                let groups = self.node(0).service().groups().clone();
                groups.leadership().transfer(group, to as u64 + 1).await;
            }
        }
    }

    /// The outcome of a call to the node at a place.
    pub async fn reply(&self, at: usize, operation: &str, body: Value) -> Result<Reply, Fault> {
        self.reply_in(AnswerRoom::default(), at, operation, body).await
    }

    /// The outcome of a call to the node at a place, with that room for its answer.
    pub async fn reply_in(
        &self,
        answers: AnswerRoom,
        at: usize,
        operation: &str,
        body: Value,
    ) -> Result<Reply, Fault> {
        let (node, runtime) = self.members[at].running.as_ref().expect("a node that runs");
        let service = node.service();
        let call = Call { answers, ..call(body.to_string()) };
        let operation = Operation::named(operation);
        runtime.spawn(async move { dispatch(&service, &call, operation).await }).await.expect("no panic")
    }

    /// Sends a producer's batch of records under those keys to the node at a place, until the outcome of each is known.
    pub async fn append(&self, at: usize, (keys, stamp): ([&'static str; 8], Stamp)) -> Vec<AppendedRecord> {
        let (node, runtime) = self.members[at].running.as_ref().expect("a node that runs");
        for _ in 0..100 {
            let service = node.service();
            let sending = runtime.spawn(async move { send(&service, &keys, stamp).await });
            let results: Result<Vec<_>, _> = sending.await.expect("no panic").into_iter().collect();
            match results {
                Err(AppendFailure::Unknown | AppendFailure::Unavailable) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                placed => return placed.unwrap_or_else(|refusal| panic!("at {at}: {refusal:?}")),
            }
        }
        panic!("a batch at {at} never succeeds");
    }

    /// Starts work of a test in the runtime of the node at a place.
    pub fn spawn<T: Send + 'static>(
        &self,
        at: usize,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.members[at].running.as_ref().expect("a node that runs").1.spawn(work)
    }

    /// The answer of the node at a place.
    pub async fn call(&self, at: usize, operation: &str, body: Value) -> Result<Value, Fault> {
        let Some(body) = testkit::body(self.reply(at, operation, body).await?) else {
            panic!("{operation} answered with an event stream");
        };
        Ok(if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") })
    }

    /// The answer of the node at a place, at the first attempt.
    pub async fn ok(&self, at: usize, operation: &str, body: Value) -> Value {
        let answer = self.call(at, operation, body).await;
        answer.unwrap_or_else(|fault| panic!("{operation} at {at}: {fault:?}"))
    }

    /// Creates a stream through the node at a place, and returns once that node serves it.
    pub async fn create_stream(&self, at: usize, name: &str, shards: u32) {
        self.persist(at, "CreateStream", json!({"StreamName": name, "ShardCount": shards})).await;
        let began = Instant::now();
        let summary = json!({"StreamName": name});
        while self.persist(at, "DescribeStreamSummary", summary.clone()).await["StreamDescriptionSummary"]["StreamStatus"]
            != "ACTIVE"
        {
            assert!(began.elapsed() < PATIENCE, "{name} is never active");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The answer of the node at a place, tried again as clients do while it is one that may succeed later.
    pub async fn persist(&self, at: usize, operation: &str, body: Value) -> Value {
        for _ in 0..100 {
            match self.call(at, operation, body.clone()).await {
                Err(Fault::Unavailable(_) | Fault::Internal) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                answer => return answer.unwrap_or_else(|fault| panic!("{operation} at {at}: {fault:?}")),
            }
        }
        panic!("{operation} at {at} never succeeds");
    }

    /// Ends a node without giving it time for anything.
    pub async fn kill(&mut self, at: usize) {
        let (node, runtime) = self.members[at].running.take().expect("a node that runs");
        // Tasks of the node end where they are; only then it is gone for its peers.
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5)))
            .await
            .expect("an end");
        drop(node);
    }

    /// Makes a node hand over the groups that it leads, like a node that stops.
    pub async fn retire(&self, at: usize) {
        self.node(at).retire().await;
    }

    /// Stops a node that has retired.
    pub async fn stop(&mut self, at: usize) {
        let (node, runtime) = self.members[at].running.take().expect("a node that runs");
        let stopping = runtime.spawn(async move { node.shutdown().await.expect("a checkpoint") });
        stopping.await.expect("no panic");
        runtime.shutdown_background();
    }

    /// Starts the node of a place again with its data, which may be refused: gives the reason then.
    pub async fn try_restart(&mut self, at: usize) -> Option<String> {
        let (runtime, incoming) = self.listening(at).await;
        match self.try_launch(at, runtime, incoming).await {
            Ok(running) => {
                self.members[at].running = Some(running);
                None
            }
            Err(error) => Some(error.to_string()),
        }
    }

    /// Starts the node of a place again, which has to be refused; gives the reason.
    pub async fn refused_restart(&mut self, at: usize) -> String {
        self.try_restart(at).await.unwrap_or_else(|| panic!("the node at {at} starts"))
    }

    /// Starts the node of a place again with its data.
    pub async fn restart(&mut self, at: usize) {
        let (runtime, incoming) = self.listening(at).await;
        let running = self.launch(at, runtime, incoming).await;
        self.members[at].running = Some(running);
    }

    async fn listening(&self, at: usize) -> (Runtime, Incoming) {
        let runtime = runtime();
        let began = Instant::now();
        loop {
            let address = self.members[at].address.clone();
            let listening = runtime.spawn(async move { tcp::listen(&address, None).await });
            match listening.await.expect("no panic") {
                Ok((_, incoming)) => return (runtime, incoming),
                // The life before is letting go of it.
                Err(error) => assert!(began.elapsed() < PATIENCE, "the port of the node at {at}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops every node that runs.
    pub async fn end(mut self) {
        for at in self.running() {
            let (node, runtime) = self.members[at].running.take().expect("a node that runs");
            let stopping =
                runtime.spawn(async move { node.shutdown().await.map_err(|error| error.to_string()) });
            // The nodes that stop last have no majority left for anything.
            let _ = stopping.await.expect("no panic");
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}
