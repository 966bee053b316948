//! The example of a broker inside a program.

#[allow(dead_code, reason = "its main function is that of a program")]
#[path = "../../examples/embedded.rs"]
mod program;

use tidelog::Broker;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_reads_what_it_has_put() {
    assert_eq!(program::run().await.expect("it goes well"), "a click");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_kept_from_one_broker_to_the_next_and_each_has_a_port_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let builder = Broker::builder().data(directory.path().join("data")).stream("clicks", 1);
    let listening = builder.clone().listen("127.0.0.1:0".parse().unwrap()).listen("[::1]:0".parse().unwrap());
    let broker = listening.start().await.unwrap();
    assert_eq!(broker.addresses().len(), 2);
    assert!(broker.addresses().iter().all(|address| address.port() > 0), "{:?}", broker.addresses());
    let refused = builder.clone().start().await.unwrap_err().to_string();
    assert!(refused.contains("in use"), "{refused}");
    broker.stop().await.unwrap();
    let again = builder.start().await.unwrap();
    assert!(again.url().starts_with("http://127.0.0.1:"), "{}", again.url());
    again.stop().await.unwrap();
    let small = Broker::builder().memory(1 << 20).start().await.unwrap_err().to_string();
    assert!(small.contains("192 MiB"), "{small}");
}
