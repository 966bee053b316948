//! Endpoints that are accepted, and the change to another node.

use super::*;

#[test]
fn bounds_and_addresses_are_checked() {
    let none: [&str; 0] = [];
    let cases = [
        Connection::to(none),
        Connection::to(["127.0.0.1:4567"]),
        Connection::to(["http://"]),
        Connection::to(["http://a:65536"]),
        Connection::to(["http://a"]).request_timeout(Duration::from_millis(99)),
        Connection::to(["https://a"]).ca_pem("no certificate").account("\u{7f}"),
    ];
    for case in cases {
        let named = format!("{case:?}");
        assert_eq!(case.build().expect_err(&named).reason(), Reason::Invalid, "{named}");
    }
}

#[tokio::test]
async fn a_failed_node_is_left_once() {
    let connection = Connection::to(["http://127.0.0.1:1", "http://127.0.0.1:2"]).build().expect("is valid");
    let (one, same) = (connection.node(), connection.node());
    one.blame(&Error::new(Reason::Unavailable, ""));
    same.blame(&Error::new(Reason::Unavailable, ""));
    assert_eq!(connection.node().changes, one.changes + 1);
    connection.node().blame(&Error::new(Reason::Throttled, ""));
    assert_eq!(connection.node().changes, one.changes + 1);
}

#[tokio::test]
async fn long_calls_are_spread_over_connections() {
    let connection = Connection::to(["http://127.0.0.1:1"]).build().expect("is valid");
    let held: Vec<Node> = (0..=STREAMS_PER_CONNECTION).map(|_| connection.node_for_stream()).collect();
    assert_eq!(connection.now().streams.len(), 2);
    drop(held);
    let _again = connection.node_for_stream();
    assert_eq!(connection.now().streams.len(), 2);
}

#[tokio::test]
async fn nobody_there_means_that_nothing_was_done() {
    let connection = Connection::to(["http://127.0.0.1:1"]).build().expect("is valid");
    let node = connection.node();
    let request = node.request(tidelog_proto::v1::PutRequest::default());
    let failed = node.answer(node.records().put(request)).await.expect_err("nobody listens");
    assert_eq!(failed.reason(), Reason::Unavailable, "{failed}");
}
