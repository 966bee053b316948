//! The command against a node with scripted answers.

use std::sync::{Arc, Mutex};

use futures_util::stream::{self, BoxStream, StreamExt};
use tidelog::clock::machine_time;
use tidelog::cluster::peers::{self, tcp};
use tidelog::shell::spawn_short;
use tidelog::tls::peer::{Own, PeerTls};
use tidelog_proto::cluster::cluster_server::{Cluster, ClusterServer};
use tidelog_proto::cluster::{
    AddNodeRequest, GroupStatus, MatchIndex, NodeStatus, Progress, RemoveNodeRequest, ReplaceNodeRequest,
    StatusRequest, StatusResponse, TransferLeaderRequest,
};
use tidelog_testkit::certificates::Authority;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

use super::*;

/// The calls that the node got, and its answers.
#[derive(Clone, Default)]
struct Script {
    asked: Arc<Mutex<Vec<String>>>,
    status: StatusResponse,
    lines: Vec<Result<Progress, Status>>,
}

type Lines = BoxStream<'static, Result<Progress, Status>>;

impl Script {
    fn answer(&self, asked: &impl std::fmt::Debug) -> Result<Response<Lines>, Status> {
        self.asked.lock().unwrap().push(format!("{asked:?}"));
        Ok(Response::new(stream::iter(self.lines.clone()).boxed()))
    }
}

#[tonic::async_trait]
impl Cluster for Script {
    type AddNodeStream = Lines;
    type RemoveNodeStream = Lines;
    type ReplaceNodeStream = Lines;
    type TransferLeaderStream = Lines;

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.status.clone()))
    }

    async fn add_node(&self, request: Request<AddNodeRequest>) -> Result<Response<Lines>, Status> {
        self.answer(request.get_ref())
    }

    async fn remove_node(&self, request: Request<RemoveNodeRequest>) -> Result<Response<Lines>, Status> {
        self.answer(request.get_ref())
    }

    async fn replace_node(&self, request: Request<ReplaceNodeRequest>) -> Result<Response<Lines>, Status> {
        self.answer(request.get_ref())
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<Lines>, Status> {
        self.answer(request.get_ref())
    }
}

/// Starts the node; returns its address. It ends with the test.
async fn node(script: Script, tls: Option<PeerTls>) -> String {
    let (address, incoming) = tcp::listen("127.0.0.1:0", tls).await.unwrap();
    let router = peers::server().add_service(ClusterServer::new(script));
    spawn_short(peers::serve(router, incoming, std::future::pending()));
    address.to_string()
}

/// The result, the progress, and the outcome of the command.
async fn ran(command: ClusterCommand) -> (String, String, Result<Outcome, String>) {
    let (mut results, mut progress) = (Vec::new(), Vec::new());
    let outcome = run(&command, &mut results, &mut progress).await.map_err(|error| error.to_string());
    (String::from_utf8(results).unwrap(), String::from_utf8(progress).unwrap(), outcome)
}

fn command(at: String, action: Action) -> ClusterCommand {
    ClusterCommand { at, tls: None, output: Output::Table, action }
}

fn line(text: &str, is_done: bool) -> Result<Progress, Status> {
    Ok(Progress { text: text.into(), is_done })
}

/// Three nodes of which the second is degraded and the third cannot be reached.
fn status() -> StatusResponse {
    let node = |id: u64, is_reachable: bool, reluctance: &str| NodeStatus {
        id,
        address: format!("tidelog-{id}.example:4568"),
        incarnation: format!("incarnation-{id}"),
        is_voter: id < 3,
        is_reachable,
        version: if is_reachable { "0.1.0".into() } else { String::new() },
        reluctance: reluctance.into(),
        ..NodeStatus::default()
    };
    let matched = [(1, 1_000), (2, 1_000), (3, 400)].map(|(node, index)| MatchIndex { node, index });
    let group = |group: u32, leader: u64, matched: &[MatchIndex]| GroupStatus {
        group,
        leader,
        term: 7,
        last_index: 1_000,
        applied_index: 999,
        purged_index: 10,
        match_indexes: matched.to_vec(),
    };
    StatusResponse {
        cluster: "c1f5ecbc-8d5e-4b0a-a9ee-67e0e4ebd0d5".into(),
        node: 1,
        nodes: vec![node(1, true, ""), node(2, true, "its disk is slow"), node(3, false, "")],
        groups: vec![group(0, 1, &matched), group(1, 2, &[]), group(2, 0, &[])],
    }
}

const TABLE: &str = "\
cluster c1f5ecbc-8d5e-4b0a-a9ee-67e0e4ebd0d5, as node 1 sees it

NODE  ADDRESS                 ROLE     STATE        VERSION  LEADS
   1  tidelog-1.example:4568  voter    up           0.1.0    0
   2  tidelog-2.example:4568  voter    degraded     0.1.0    1
   3  tidelog-3.example:4568  learner  unreachable

GROUP  LEADER  TERM  LAST  APPLIED  PURGED  BEHIND (NODE:ENTRIES)
    0       1     7  1000      999      10  2:0 3:600
    1       2     7  1000      999      10
    2    none     7  1000      999      10

Without an answer: node 3.
Groups without a leader right now: 2.
Node 2 is degraded: its disk is slow.
";

#[tokio::test]
async fn a_status_is_a_table_or_an_object() {
    let at = node(Script { status: status(), ..Script::default() }, None).await;
    let (table, _, outcome) = ran(command(at.clone(), Action::Status(None))).await;
    assert_eq!((table.as_str(), outcome), (TABLE, Ok(Outcome::Degraded)));
    assert!(table.lines().all(|line| line.len() <= 80));
    let as_json = ClusterCommand { output: Output::Json, ..command(at, Action::Status(None)) };
    let object: serde_json::Value = serde_json::from_str(&ran(as_json).await.0).unwrap();
    assert_eq!(object["cluster"], "c1f5ecbc-8d5e-4b0a-a9ee-67e0e4ebd0d5");
    assert_eq!(object["node"], 1);
    let third = serde_json::json!({
        "id": 3, "address": "tidelog-3.example:4568", "incarnation": "incarnation-3", "is_voter": false,
        "is_reachable": false, "version": "", "reluctance": "", "stands_still_in": []
    });
    assert_eq!(object["nodes"][2], third);
    let leaders = [0, 1, 2].map(|group: usize| object["groups"][group]["leader"].clone());
    assert_eq!(leaders, [1.into(), 2.into(), serde_json::Value::Null]);
    assert_eq!(object["groups"][0]["matched"][2], serde_json::json!({ "node": 3, "index": 400 }));
}

#[tokio::test]
async fn a_state_is_waited_for_as_long_as_it_may_take() {
    let waiting = |state| Action::Status(Some(Waiting { state, patience: Duration::from_millis(1_200) }));
    let well = StatusResponse {
        nodes: vec![NodeStatus { id: 1, is_voter: true, is_reachable: true, ..NodeStatus::default() }],
        groups: vec![GroupStatus { leader: 1, last_index: 7, ..GroupStatus::default() }],
        node: 1,
        ..StatusResponse::default()
    };
    let healthy = node(Script { status: well, ..Script::default() }, None).await;
    let degraded = node(Script { status: status(), ..Script::default() }, None).await;
    for state in [Wait::Healthy, Wait::CaughtUp] {
        assert_eq!(ran(command(healthy.clone(), waiting(state))).await.2, Ok(Outcome::Done), "{state:?}");
        let (table, _, outcome) = ran(command(degraded.clone(), waiting(state))).await;
        assert_eq!((table.as_str(), outcome), (TABLE, Ok(Outcome::Degraded)), "{state:?}");
    }
}

#[tokio::test]
async fn a_lost_majority_is_reported() {
    let mut status = status();
    status.nodes[1].is_reachable = false;
    let at = node(Script { status, ..Script::default() }, None).await;
    let (table, ..) = ran(command(at, Action::Status(None))).await;
    assert!(table.contains("No majority: 1 of 2 voters can be reached and 2 are needed."), "{table}");
}

#[tokio::test]
async fn changes_send_their_arguments_and_show_their_progress() {
    let lines = vec![line("half of it", false), line("all of it", true)];
    let address = || "d:4568".to_owned();
    let cases = [
        (Change::Add { id: 4, address: address() }, r#"NodeAddress { id: 4, address: "d:4568" }"#),
        (Change::Remove { id: 3 }, "RemoveNodeRequest { id: 3 }"),
        (
            Change::Replace { old_id: 3, id: 4, address: address() },
            "old_id: 3, new_node: Some(NodeAddress { id: 4",
        ),
        (Change::Transfer { groups: vec![2, 5], to: 1, from: None }, "{ groups: [2, 5], to: 1, from: 0 }"),
        (Change::Transfer { groups: vec![], to: 1, from: Some(2) }, "{ groups: [], to: 1, from: 2 }"),
    ];
    for (change, asked) in cases {
        let script = Script { lines: lines.clone(), ..Script::default() };
        let at = node(script.clone(), None).await;
        let command = command(at, Action::Change(change));
        let (results, progress, outcome) = ran(command.clone()).await;
        assert_eq!(
            (results.as_str(), progress.as_str(), outcome),
            ("all of it\n", "half of it\n", Ok(Outcome::Done))
        );
        let heard = script.asked.lock().unwrap().join("");
        assert!(heard.contains(asked), "{heard}");
        let (results, ..) = ran(ClusterCommand { output: Output::Json, ..command }).await;
        assert_eq!(results, "{\"done\":\"all of it\"}\n");
    }
}

#[tokio::test]
async fn a_refused_change_names_the_reason_and_the_remedy() {
    let cases = [
        (vec![Err(Status::failed_precondition("3 is known"))], "refused: 3 is known"),
        (
            vec![line("begun", false), Err(Status::unavailable("no leader"))],
            "not done: no leader. The command may",
        ),
        (vec![line("begun", false)], "ended the call before it was done"),
        (vec![Err(Status::unimplemented("what?"))], "is not the cluster port"),
    ];
    for (lines, part) in cases {
        let at = node(Script { lines, ..Script::default() }, None).await;
        let (results, _, outcome) = ran(command(at, Action::Change(Change::Remove { id: 3 }))).await;
        let error = outcome.unwrap_err();
        assert!(error.contains(part), "{error}");
        assert_eq!(results, "");
    }
}

#[tokio::test]
async fn where_no_node_answers_it_says_where_to_look() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = ran(command(closed, Action::Status(None))).await.2.unwrap_err();
    assert!(
        error.contains("cannot reach a node at 127.0.0.1:") && error.contains("TIDELOG_CLUSTER_AT"),
        "{error}"
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    spawn_short(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        }
    });
    let error = ran(command(at, Action::Status(None))).await.2.unwrap_err();
    assert!(error.contains("is not the cluster port of a node of Tidelog"), "{error}");
}

/// Files of node 1 by that authority.
fn certificates(authority: &Authority) -> PeerCertificates {
    let issued = authority.issue("node-1", &["tidelog:node:1"]);
    PeerCertificates { certificate: issued.certificate, key: issued.key, ca: authority.ca() }
}

#[tokio::test]
async fn with_certificates_both_ends_need_them() {
    let authority = Authority::new("one");
    let files = certificates(&authority);
    let tls = PeerTls::with_files(&files, Own::Node { id: 1, host: None }, machine_time()).unwrap();
    let script = || Script { status: status(), ..Script::default() };
    let secured = node(script(), Some(tls)).await;
    let with_files = |at: &str, tls: &PeerCertificates| ClusterCommand {
        tls: Some(tls.clone()),
        ..command(at.into(), Action::Status(None))
    };
    assert_eq!(ran(with_files(&secured, &files)).await.2, Ok(Outcome::Degraded));
    let bare = ran(command(secured.clone(), Action::Status(None))).await.2.unwrap_err();
    assert!(bare.contains("where the nodes have --cluster-certificate, this command needs it too"), "{bare}");
    let plain = node(script(), None).await;
    let mixed = ran(with_files(&plain, &files)).await.2.unwrap_err();
    assert!(mixed.contains("does not speak TLS: give --cluster-certificate to every node"), "{mixed}");
    let other = Authority::new("two");
    let foreign = certificates(&other);
    let error = ran(with_files(&secured, &foreign)).await.2.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
}
