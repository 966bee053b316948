//! Clients that end their sending side get their answers.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::broker::post;
use crate::scene::{Scene, horizon};

#[tokio::test]
async fn a_client_that_sends_no_more_gets_its_answers() {
    let scene = Scene::new().await;
    for data in ["one", "two", "three", "four", "five"] {
        let mut client = scene.broker.client().await;
        let data = base64_simd::STANDARD.encode_to_string(data);
        let put = json!({"StreamName": "S", "PartitionKey": "k", "Data": data}).to_string();
        client.send(&(post("PutRecord", &put) + &post("DescribeLimits", "{}"))).await;
        client.stream.shutdown().await.unwrap();
        let placed = client.answer().await;
        assert!(placed.status == 200 && placed.body.contains("SequenceNumber"), "{placed:?}");
        assert_eq!(client.answer().await.status, 200, "the one behind it, too");
        client.assert_closed(Duration::from_secs(5)).await;
    }
    assert_eq!(scene.subscribe(false, "a", horizon()).await.event().await.data().len(), 5);
    scene.broker.stop().await;
}
