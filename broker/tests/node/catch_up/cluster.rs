//! Three nodes in one process, each with a directory of its own, over TCP.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use tidelog::clock::Clock;
use tidelog::cluster::peers::{BoxedIo, Dial, tcp};
use tidelog::node::{ClusterNode, Node, NodeConfig};
use tidelog::ops::api::Operation;
use tidelog::ops::dispatch;
use tidelog::replication::{Groups, Leader, ProposeError, RepairPace, Sizes, SubBatch};
use tidelog_storage::record::RecordRef;
use tidelog_storage::shard::{ReadLimit, ShardKey, StoreOptions};
use tidelog_testkit::node::{call, unlimited};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{sleep, timeout};

/// How long anything may take here.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub struct Cluster {
    directory: tempfile::TempDir,
    addresses: BTreeMap<u64, String>,
    pub sizes: Sizes,
    nodes: BTreeMap<u64, Node>,
    /// The shard that is written to, and its group.
    pub shard: (ShardKey, u8),
    written: u64,
}

impl Cluster {
    /// Three nodes that have formed a cluster with one stream of one shard.
    pub async fn form(sizes: Sizes) -> Self {
        let mut addresses = BTreeMap::new();
        for node in 1..=3 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
            addresses.insert(node, free.expect("a free port").to_string());
        }
        let mut cluster = Self {
            directory: tempfile::tempdir().expect("a directory"),
            addresses,
            sizes,
            nodes: BTreeMap::new(),
            shard: (ShardKey { stream_uid: 0, shard: 0 }, 1),
            written: 0,
        };
        let started = join_all((1..=3).map(|node| start(cluster.config(node, sizes), node, &cluster, None)));
        cluster.nodes = (1..=3).zip(started.await).collect();
        cluster.create_stream("events").await;
        cluster
    }

    /// Goes on with an empty shard of another stream; returns the shard before with the records that were written
    /// to it, for [`Cluster::turn_to`].
    pub async fn turn_to_new(&mut self, stream: &str) -> ((ShardKey, u8), u64) {
        let before = (self.shard, self.written);
        self.create_stream(stream).await;
        self.written = 0;
        before
    }

    /// Goes back to a shard.
    pub fn turn_to(&mut self, (shard, written): ((ShardKey, u8), u64)) {
        (self.shard, self.written) = (shard, written);
    }

    pub fn dir(&self, node: u64) -> PathBuf {
        self.directory.path().join(node.to_string())
    }

    pub fn groups(&self, node: u64) -> Arc<Groups> {
        self.nodes[&node].service().groups().clone()
    }

    fn config(&self, node: u64, sizes: Sizes) -> NodeConfig {
        NodeConfig { sizes, ..unlimited(&self.dir(node)) }
    }

    async fn create_stream(&mut self, name: &str) {
        let call = call(format!(r#"{{"StreamName": "{name}", "ShardCount": 1}}"#));
        dispatch(&self.nodes[&1].service(), &call, Some(Operation::CreateStream)).await.expect("a stream");
        self.until("the stream is active", || {
            let catalog = self.groups(1).catalog();
            let stream = catalog.streams().values().find(|stream| &*stream.key.name == name)?.clone();
            let shard = stream.shards.first()?;
            Some((ShardKey { stream_uid: stream.uid, shard: 0 }, shard.group))
        })
        .await
        .clone_into(&mut self.shard);
        let key = self.shard.0;
        self.until("every node has the shard", || {
            self.nodes.keys().all(|node| self.groups(*node).shard(key).is_some()).then_some(())
        })
        .await;
    }

    /// Waits until something is so.
    pub async fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(found) = look() {
                    return found;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not in time: {what}"))
    }

    /// Writes records that tell their number, each of so many bytes, through the present leader.
    pub async fn write(&mut self, records: u64, bytes: usize) {
        let ends = self.written + records;
        while self.written < ends {
            let (key, group) = self.shard;
            let leads = |node: &u64| self.groups(*node).leadership().leader(group) == Leader::Here;
            let leader = self.until("a leader", || self.nodes.keys().copied().find(leads)).await;
            let mut body = Vec::new();
            RecordRef { key: None, data: &data(self.written, bytes) }.encode(&mut body);
            let batch = SubBatch::new(key, Clock::System.wall_ms(), 1, Bytes::from(body));
            let placed =
                timeout(PATIENCE, self.groups(leader).appends().append(group, vec![batch]).await).await;
            match placed.expect("an answer in time").expect("an answer") {
                Ok(_) => self.written += 1,
                // The leader has changed.
                Err(ProposeError::NotProposed) => {}
                Err(ProposeError::Unknown) => panic!("nothing fails while this is written"),
            }
        }
    }

    pub async fn stop(&mut self, node: u64) {
        self.nodes.remove(&node).expect("it runs").shutdown().await.expect("a checkpoint");
    }

    pub async fn start(&mut self, node: u64, dial: Option<Dial>) {
        let started = Box::pin(start(self.config(node, self.sizes), node, self, dial)).await;
        self.nodes.insert(node, started);
    }

    /// Starts all of them; none is there for the others before.
    pub async fn start_all(&mut self, nodes: &[u64]) {
        let starting = nodes.iter().map(|node| start(self.config(*node, self.sizes), *node, self, None));
        let started = timeout(PATIENCE, join_all(starting)).await.expect("they start in time");
        self.nodes.extend(nodes.iter().copied().zip(started));
    }

    pub async fn checkpoint(&self, nodes: &[u64]) {
        for node in nodes {
            self.groups(*node).checkpoints().make().await.expect("a checkpoint");
        }
    }

    /// Waits until this node has every record, and checks them all.
    pub async fn check(&self, node: u64, bytes: usize) {
        let key = self.shard.0;
        self.until("every record is there", || {
            let log = self.groups(node).shard(key)?;
            (log.bounds().next_ordinal == self.written + 1).then_some(())
        })
        .await;
        let limit = ReadLimit { records: usize::MAX, bytes: 1 << 20 };
        let mut next = 1;
        while next <= self.written {
            let log = self.groups(node).shard(key).expect("the shard is there");
            let batch = log.read(next, limit).expect("readable");
            for record in batch.records {
                assert_eq!(record.ordinal, next);
                assert_eq!(record.record.data, data(next - 1, bytes), "record {next} of node {node}");
                next += 1;
            }
        }
    }

    /// The shard's files on a node, by name.
    pub fn files(&self, node: u64) -> BTreeMap<String, PathBuf> {
        let (key, _) = self.shard;
        let dir = self.dir(node).join(format!("shards/{}/{}", key.stream_uid, key.shard));
        let entries = std::fs::read_dir(dir).expect("a directory").flatten();
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect()
    }

    pub async fn end(mut self) {
        for (_, node) in std::mem::take(&mut self.nodes) {
            node.shutdown().await.expect("a checkpoint");
        }
    }
}

pub fn data(number: u64, bytes: usize) -> Vec<u8> {
    let mut data = format!("record {number} ").into_bytes();
    data.resize(bytes, number as u8);
    data
}

async fn start(config: NodeConfig, id: u64, cluster: &Cluster, dial: Option<Dial>) -> Node {
    let members = cluster.addresses.clone();
    let (_, incoming) = tcp::listen(&members[&id], None).await.expect("the port is free");
    let dial = dial.unwrap_or_else(|| tcp::dial(None));
    let place = ClusterNode { id, members, dial, incoming };
    Node::start(NodeConfig { cluster: Some(place), ..config }).await.expect("a node")
}

/// Small segments and a small log, so that little data is a lot.
pub fn small(segment_bytes: u64) -> Sizes {
    Sizes {
        wal_file_bytes: 1 << 20,
        wal_first_file_bytes: 1 << 20,
        wal_live_bytes_max_in_cluster: 4 << 20,
        store: StoreOptions { segment_bytes, tail_bytes_max: 0, ..StoreOptions::default() },
        repair_pace: RepairPace { look_every: Duration::from_millis(100), ..RepairPace::default() },
        ..Sizes::default()
    }
}

/// Connections that break after so many bytes were read from them.
pub fn brittle(bytes: usize) -> Dial {
    let dial = tcp::dial(None);
    Arc::new(move |destination| {
        let connecting = dial(destination);
        async move { Ok(Box::new(Brittle { io: connecting.await?, bytes }) as BoxedIo) }.boxed()
    })
}

struct Brittle {
    io: BoxedIo,
    bytes: usize,
}

impl AsyncRead for Brittle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        self.bytes = self.bytes.saturating_sub(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Brittle {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

pub fn flip_bit(path: &Path, bit: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().read(true).write(true).open(path).expect("the file is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).expect("the bit is in the file");
    file.write_all_at(&[byte[0] ^ (1 << (bit % 8))], bit / 8).expect("written");
}
