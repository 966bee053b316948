//! Consumers in the states on the way: they take their time, and a process that ends in between resumes them.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tidelog::ops::Fault;
use tidelog::service::Transitions;

use crate::START_MS;
use crate::broker::Broker;

const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/events";
/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3_600);

fn named(name: &str) -> Value {
    json!({"StreamARN": STREAM, "ConsumerName": name})
}

/// A broker whose consumers stay in the states on the way, with one that is ACTIVE already.
async fn slow(directory: &Path) -> Broker {
    let broker = Broker::start(directory, START_MS).await;
    broker.create("events").await;
    broker.ok("RegisterStreamConsumer", named("old")).await;
    broker.stop().await;
    let transitions =
        Transitions { register_consumer: FOR_EVER, deregister_consumer: FOR_EVER, ..Transitions::default() };
    Broker::start_with(directory, START_MS, |config| config.transitions = transitions).await
}

/// Status by name.
async fn listed(broker: &Broker) -> Vec<(String, String)> {
    let listed = broker.ok("ListStreamConsumers", json!({"StreamARN": STREAM})).await;
    let text = |consumer: &Value, member: &str| consumer[member].as_str().expect("a text").to_owned();
    let consumers = listed["Consumers"].as_array().expect("consumers").iter();
    consumers.map(|own| (text(own, "ConsumerName"), text(own, "ConsumerStatus"))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, status)| ((*name).to_owned(), (*status).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_under_way_are_finished_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = slow(directory.path()).await;
    broker.ok("RegisterStreamConsumer", named("new")).await;
    broker.ok("DeregisterStreamConsumer", named("old")).await;
    assert_eq!(listed(&broker).await, pairs(&[("new", "CREATING"), ("old", "DELETING")]));
    let taken = broker.call("RegisterStreamConsumer", named("old")).await.expect_err("a name that is going");
    assert!(matches!(taken, Fault::ResourceInUse(_)), "{taken:?}");
    broker.stop().await;

    let broker = Broker::start(directory.path(), START_MS).await;
    let done = pairs(&[("new", "ACTIVE")]);
    let finished = async {
        while listed(&broker).await != done {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), finished).await.expect("the changes are finished");
    broker.ok("RegisterStreamConsumer", named("old")).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_not_active_can_be_let_go_with_its_stream() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = slow(directory.path()).await;
    let registered = broker.ok("RegisterStreamConsumer", named("new")).await;
    let arn = &registered["Consumer"]["ConsumerARN"];
    let tags = json!({"ResourceARN": arn, "Tags": {"a": "b"}});
    let fault = broker.call("TagResource", tags).await.expect_err("a consumer in creation");
    assert!(matches!(fault, Fault::ResourceInUse(_)), "{fault:?}");
    broker.ok("DeregisterStreamConsumer", named("old")).await;
    let fault = broker.call("DeleteStream", json!({"StreamName": "events"})).await.expect_err("consumers");
    assert!(matches!(fault, Fault::ResourceInUse(_)), "{fault:?}");
    broker.ok("DeregisterStreamConsumer", named("new")).await;
    broker.ok("DeleteStream", json!({"StreamName": "events"})).await;
    broker.stop().await;
}
