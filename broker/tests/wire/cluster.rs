//! A cluster from its first node to its last, by the commands that an operator gives.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tidelog::clock::Clock;
use tidelog::cluster::client::{Change, ClusterClientError, NodeClient};
use tidelog::config::{ClusterConfig, Config, DataLocation};
use tidelog::server::{Server, StartError};
use tidelog::wire::Bounds;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::broker::config;

/// For one step, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// The directories and addresses of four nodes.
pub struct Nodes {
    directory: TempDir,
    addresses: BTreeMap<u64, String>,
}

impl Nodes {
    pub fn new() -> Self {
        // All at once, so that no port is given twice.
        let held: Vec<TcpListener> = (1..=4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
        let addresses = (1..).zip(held.iter().map(address)).collect();
        Self { directory: tempfile::tempdir().unwrap(), addresses }
    }

    fn data(&self, node: u64) -> PathBuf {
        self.directory.path().join(node.to_string())
    }

    /// The settings of a node of a cluster of these, itself among them.
    fn settings(&self, node: u64, members: &[u64]) -> Config {
        let members = members.iter().map(|member| (*member, self.addresses[member].clone())).collect();
        let cluster = ClusterConfig { node_id: node, members, listen: None, tls: None, is_insecure: false };
        Config { cluster: Some(cluster), ..config(DataLocation::Directory(self.data(node))) }
    }

    /// Starts a node; it may have to be added before it runs.
    pub fn start(&self, node: u64, members: &[u64]) -> JoinHandle<Result<Server, StartError>> {
        let settings = self.settings(node, members);
        tokio::spawn(async move { Server::start(&settings, Bounds::default(), Clock::System).await })
    }

    /// Has node 1 answer, again and again as long as that may help.
    async fn ask<T>(
        &self,
        question: impl AsyncFn(&mut NodeClient) -> Result<T, ClusterClientError>,
    ) -> Result<T, String> {
        let ends = Instant::now() + PATIENCE;
        loop {
            let answer = match NodeClient::reach(&self.addresses[&1], None).await {
                Ok(mut node) => question(&mut node).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) if !error.may_pass() || Instant::now() > ends => return Err(error.to_string()),
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    pub async fn change(&self, change: Change) -> Result<String, String> {
        self.ask(async |node| node.change(&change, |_| ()).await).await
    }

    async fn add(&self, id: u64) -> Result<String, String> {
        self.change(Change::Add { id, address: self.addresses[&id].clone() }).await
    }

    /// The voters, and those of them that answer.
    async fn voters(&self) -> (Vec<u64>, Vec<u64>) {
        let status = self.ask(async |node| node.status().await).await.unwrap();
        let nodes = status.nodes.iter().filter(|node| node.is_voter);
        let up = nodes.clone().filter(|node| node.is_reachable).map(|node| node.id).collect();
        (nodes.map(|node| node.id).collect(), up)
    }
}

pub async fn running(starting: JoinHandle<Result<Server, StartError>>) -> Server {
    timeout(PATIENCE, starting).await.expect("the node starts").unwrap().unwrap()
}

async fn refusal(starting: JoinHandle<Result<Server, StartError>>) -> String {
    timeout(PATIENCE, starting).await.expect("the node ends").unwrap().unwrap_err().to_string()
}

pub async fn stop(server: Server) {
    timeout(PATIENCE, server.shutdown()).await.expect("the node stops").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_becomes_three_and_one_is_replaced() {
    let place = Nodes::new();
    let alone = config(DataLocation::Directory(place.data(1)));
    stop(Server::start(&alone, Bounds::default(), Clock::System).await.unwrap()).await;

    let first = running(place.start(1, &[1])).await;
    assert_eq!(place.voters().await, (vec![1], vec![1]));
    let mut others = BTreeMap::new();
    for node in [2, 3] {
        let starting = place.start(node, &[1, node]);
        place.add(node).await.unwrap();
        others.insert(node, running(starting).await);
    }
    assert_eq!(place.voters().await, (vec![1, 2, 3], vec![1, 2, 3]));
    assert!(place.add(3).await.is_ok(), "what is done already is no error");
    let led = place.change(Change::Transfer { groups: vec![0, 4], to: 3, from: None }).await.unwrap();
    assert!(led.contains("node 3 leads the groups 0, 4"), "{led}");

    stop(others.remove(&3).unwrap()).await;
    let starting = place.start(4, &[1, 2, 4]);
    let replace = Change::Replace { old_id: 3, id: 4, address: place.addresses[&4].clone() };
    place.change(replace.clone()).await.unwrap();
    let fourth = running(starting).await;
    place.change(replace).await.unwrap();
    assert_eq!(place.voters().await, (vec![1, 2, 4], vec![1, 2, 4]));

    let reused = place.add(3).await.unwrap_err();
    assert!(reused.contains("ids are not used again"), "{reused}");
    let returned = refusal(place.start(3, &[1, 2, 3])).await;
    assert!(returned.contains("node 3 was taken out of the cluster"), "{returned}");

    stop(fourth).await;
    std::fs::remove_dir_all(place.data(4)).unwrap();
    let wiped = refusal(place.start(4, &[1, 2, 4])).await;
    assert!(wiped.contains("tidelog cluster replace 4"), "{wiped}");

    place.change(Change::Remove { id: 4 }).await.unwrap();
    place.change(Change::Remove { id: 2 }).await.unwrap();
    assert_eq!(place.voters().await, (vec![1], vec![1]));
    let own = place.change(Change::Remove { id: 1 }).await.unwrap_err();
    assert!(own.contains("does not take itself out"), "{own}");
    stop(others.remove(&2).unwrap()).await;
    stop(first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_would_cost_the_majority_is_refused() {
    let place = Nodes::new();
    let members = [1, 2, 3];
    let starting: Vec<_> = members.iter().map(|node| place.start(*node, &members)).collect();
    let mut servers = BTreeMap::new();
    for (node, starting) in (1..).zip(starting) {
        servers.insert(node, running(starting).await);
    }
    stop(servers.remove(&3).unwrap()).await;
    let refused = place.change(Change::Remove { id: 2 }).await.unwrap_err();
    assert!(refused.contains("2 of the 2 nodes that would be left have to be up, and 1 are"), "{refused}");
    assert_eq!(place.voters().await, (vec![1, 2, 3], vec![1, 2]));
    let unknown = place.change(Change::Transfer { groups: vec![], to: 9, from: None }).await.unwrap_err();
    assert!(unknown.contains("node 9 is no voter"), "{unknown}");
    for server in servers.into_values() {
        stop(server).await;
    }
}
