//! A broker for tests, with the contract's behaviour of records, shards, producers and groups, in memory, with
//! failures on order. Nodes share one [`World`]; each has a runtime of its own, so that killing it breaks its
//! connections.

mod calls;
mod group;
mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tidelog_proto::v1::groups_server::GroupsServer;
use tidelog_proto::v1::records_server::RecordsServer;
use tidelog_proto::v1::streams_server::StreamsServer;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

pub use world::{Fault, World, shard_id};

use crate::connection::Connection;

/// Nodes with one state.
pub struct Broker {
    world: Arc<Mutex<World>>,
    nodes: Vec<(SocketAddr, Option<Runtime>)>,
}

impl Broker {
    /// Starts so many nodes, with a stream of so many shards.
    pub fn start(nodes: usize, shards: usize) -> Self {
        let world = Arc::new(Mutex::new(World::new(shards)));
        let nodes = (0..nodes).map(|_| start_node(&world)).collect();
        Self { world, nodes }
    }

    pub fn url(&self, node: usize) -> String {
        format!("http://{}", self.nodes[node].0)
    }

    pub fn connection(&self) -> Connection {
        let nodes = (0..self.nodes.len()).map(|node| self.url(node));
        let timeout = std::time::Duration::from_millis(500);
        Connection::to(nodes).request_timeout(timeout).build().expect("is valid")
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panicked while it held it")
    }

    /// Ends a node and breaks its connections.
    pub fn kill(&mut self, node: usize) {
        if let Some(runtime) = self.nodes[node].1.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.kill(node));
    }
}

fn start_node(world: &Arc<Mutex<World>>) -> (SocketAddr, Option<Runtime>) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = incoming.local_addr().expect("is bound");
    let calls = calls::Calls(world.clone());
    let server = Server::builder()
        .add_service(RecordsServer::new(calls.clone()).max_decoding_message_size(16 << 20))
        .add_service(StreamsServer::new(calls.clone()))
        .add_service(GroupsServer::new(calls))
        .serve_with_incoming(incoming);
    runtime.spawn(server);
    drop(_inside);
    (address, Some(runtime))
}
