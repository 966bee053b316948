//! Put and Read: where records go, from where they are read, and which calls are refused.

use std::time::{Duration, Instant};

use tidelog::limits::ShardLimits;
use tidelog::wire::Bounds;
use tidelog_proto::v1::*;
use tonic::{Code, Request};

use super::*;

fn put(stream: &str, records: Vec<NewRecord>) -> PutRequest {
    PutRequest { stream: stream.into(), records, producer: None }
}

#[tokio::test]
async fn records_are_read_from_every_position() {
    let grpc = Grpc::new(1).await;
    let before = grpc.read(0, horizon(), 0).await;
    assert_eq!((before.len(), before[0].records.len(), before[0].millis_behind_latest), (1, 0, 0));
    let placed = grpc.put(vec![record("a", "one"), record("b", "two"), record("c", vec![0xff, 0])]).await;
    assert!(placed.iter().all(|placed| placed.shard_id == shard_id(0)));
    assert!(placed.is_sorted_by(|a, b| a.sequence_number < b.sequence_number));
    let number = |at: usize| placed[at].sequence_number.clone();
    let all = grpc.read(0, horizon(), 0).await;
    let records: Vec<&Record> = all.iter().flat_map(|response| &response.records).collect();
    assert_eq!(
        records.iter().map(|own| own.partition_key.as_deref()).collect::<Vec<_>>(),
        [Some("a"), Some("b"), Some("c")]
    );
    assert_eq!(&*records[2].data, [0xff, 0]);
    assert_eq!(all.last().unwrap().continuation, number(2));
    let arrived = records[1].approximate_arrival.unwrap();
    let continuation = before[0].continuation.clone();
    for (from, count) in [
        (position::At::AtSequenceNumber(number(1)), 2),
        (position::At::AfterSequenceNumber(number(1)), 1),
        (position::At::AfterSequenceNumber(number(2)), 0),
        (position::At::AfterSequenceNumber(continuation), 3),
        (position::At::AtTimestamp(arrived), 3),
        (position::At::Latest(Latest {}), 0),
    ] {
        let read = grpc.read(0, from.clone(), 0).await;
        assert_eq!(data(&read).len(), count, "{from:?}");
        // Nothing was missed when there was nothing.
        let last = &read.last().unwrap().continuation;
        let rest = grpc.read(0, position::At::AfterSequenceNumber(last.clone()), 0).await;
        assert_eq!(data(&rest).len(), 0, "{from:?}");
    }
    let first = grpc.read(0, horizon(), 2).await;
    assert_eq!(data(&first), ["one", "two"]);
    assert_eq!(first.iter().rfind(|one| !one.records.is_empty()).unwrap().continuation, number(1));
    grpc.stop().await;
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request() {
    let grpc = Grpc::new(1).await;
    let mut records = grpc.records();
    let done = records.put(put("S", vec![record("a", "one")])).await.unwrap();
    let refused = records.put(put("none", vec![record("a", "one")])).await.unwrap_err();
    let ids = [done.metadata(), refused.metadata()].map(|metadata| {
        let id = metadata.get("x-amzn-requestid").expect("an id");
        id.to_str().unwrap().to_owned()
    });
    assert!(ids.iter().all(|id| id.len() == 36) && ids[0] != ids[1], "{ids:?}");
    grpc.stop().await;
}

#[tokio::test]
async fn a_closed_shard_ends_with_its_children() {
    let grpc = Grpc::new(1).await;
    grpc.put(vec![record("a", "one")]).await;
    grpc.split(0).await;
    let explicit = NewRecord { explicit_hash_key: Some("0".into()), ..record("a", "lower") };
    assert_eq!(grpc.put(vec![explicit]).await[0].shard_id, shard_id(1));
    let read = grpc.read(0, horizon(), 0).await;
    assert_eq!(data(&read), ["one"]);
    let child = |index| ChildShard { shard_id: shard_id(index), parents: vec![shard_id(0)] };
    assert_eq!(read.last().unwrap().end, Some(ShardEnd { children: vec![child(1), child(2)] }));
    assert_eq!(data(&grpc.read(1, horizon(), 0).await), ["lower"]);
    assert!(grpc.read(1, horizon(), 0).await.iter().all(|response| response.end.is_none()));
    grpc.stop().await;
}

#[tokio::test]
async fn a_large_shard_is_read_in_messages() {
    let grpc = Grpc::new(1).await;
    let large = "x".repeat(900_000);
    for _ in 0..3 {
        grpc.put((0..10).map(|_| record("k", large.clone())).collect()).await;
    }
    let read = grpc.read(0, horizon(), 0).await;
    assert_eq!(data(&read).len(), 30);
    assert!(read.len() > 10 && read[0].millis_behind_latest > 0, "{}", read.len());
    assert_eq!(read.iter().rfind(|one| !one.records.is_empty()).unwrap().millis_behind_latest, 0);
    grpc.stop().await;
}

#[tokio::test]
async fn a_put_is_refused_as_a_whole_when_it_is_out_of_bounds() {
    let grpc = Grpc::new(1).await;
    let mut records = grpc.records();
    let invalid = (Code::InvalidArgument, "INVALID_ARGUMENT".to_owned(), false);
    let missing = (Code::NotFound, "STREAM_NOT_FOUND".to_owned(), false);
    let without_key = NewRecord { partition_key: None, ..record("", "x") };
    for (request, expected) in [
        (put("S", vec![]), &invalid),
        (put("S", vec![record("k", "x"); 501]), &invalid),
        (put("S", vec![record("k", "x"), record("", "x")]), &invalid),
        (put("S", vec![without_key]), &invalid),
        (put("S", vec![NewRecord { explicit_hash_key: Some("-1".into()), ..record("k", "x") }]), &invalid),
        (put("S", vec![record("k", vec![0; 1 << 20])]), &invalid),
        (put("S", vec![record("k", vec![0; 1_000_000]); 11]), &invalid),
        (put("none", vec![record("k", "x")]), &missing),
        (put("arn:aws:kinesis", vec![record("k", "x")]), &invalid),
    ] {
        assert_eq!(&failure_of(records.put(request).await), expected);
    }
    for (id, batch, settled_below) in [(0, 1, 1), (1, 0, 0), (1, 1, 2)] {
        let producer = Some(Producer { id, batch, settled_below });
        let request = PutRequest { producer, ..put("S", vec![record("k", "x")]) };
        assert_eq!(failure_of(records.put(request).await), invalid, "{producer:?}");
    }
    // More than a message may have, though within the bound of the test's client.
    let request = put("S", vec![record("k", vec![0; 17 << 20])]);
    assert_eq!(failure_of(records.put(request).await), invalid);
    assert_eq!(data(&grpc.read(0, horizon(), 0).await).len(), 0, "nothing was written");
    grpc.broker.assert_health().await;
    grpc.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_answered_and_not_written_again() {
    let grpc = Grpc::new(2).await;
    let mut records = grpc.records();
    let batch = |batch, settled_below, keys: &[&str]| {
        let producer = Some(Producer { id: 7, batch, settled_below });
        let new = keys.iter().map(|key| record(key, "x")).collect();
        PutRequest { producer, ..put("S", new) }
    };
    let first = records.put(batch(1, 1, &["a", "b", "c"])).await.unwrap().into_inner();
    let again = records.put(batch(1, 1, &["a", "b", "c"])).await.unwrap().into_inner();
    assert_eq!(first, again);
    assert!(first.results.iter().all(|result| matches!(result.result, Some(put_result::Result::Record(_)))));
    records.put(batch(2, 2, &["a", "b", "c"])).await.unwrap();
    let stale = records.put(batch(1, 1, &["a"])).await.unwrap().into_inner();
    let Some(put_result::Result::Failure(stale)) = &stale.results[0].result else { panic!("{stale:?}") };
    assert_eq!(stale.reason, "PRODUCER_STALE");
    let mut written = 0;
    for shard in 0..2 {
        written += data(&grpc.read(shard, horizon(), 0).await).len();
    }
    assert_eq!(written, 6);
    grpc.stop().await;
}

#[tokio::test]
async fn a_read_is_refused_with_the_fault_of_its_position() {
    let grpc = Grpc::new(2).await;
    let placed = grpc.put(vec![NewRecord { explicit_hash_key: Some("0".into()), ..record("a", "x") }]).await;
    let number = placed[0].sequence_number.clone();
    let (invalid, out_of_range) =
        ((Code::InvalidArgument, "INVALID_ARGUMENT"), (Code::OutOfRange, "OUT_OF_RANGE"));
    let future = prost_types::Timestamp { seconds: 99_999_999_999, nanos: 0 };
    let broken = prost_types::Timestamp { seconds: 0, nanos: -1 };
    for (request, expected) in [
        (read(7, horizon(), 0), (Code::NotFound, "SHARD_NOT_FOUND")),
        (
            ReadRequest { stream: "none".into(), ..read(0, horizon(), 0) },
            (Code::NotFound, "STREAM_NOT_FOUND"),
        ),
        (ReadRequest { from: None, ..read(0, horizon(), 0) }, invalid),
        (read(0, position::At::AtSequenceNumber("x".into()), 0), invalid),
        (read(0, position::At::AtTimestamp(broken), 0), invalid),
        (read(1, position::At::AtSequenceNumber(number), 0), out_of_range),
        (read(0, position::At::AtTimestamp(future), 0), out_of_range),
    ] {
        let answer = match grpc.records().read(request.clone()).await {
            Ok(messages) => all(messages.into_inner()).await.map(drop),
            Err(status) => Err(status),
        };
        let (code, reason, _) = failure_of(answer);
        assert_eq!((code, &*reason), expected, "{request:?}");
    }
    grpc.stop().await;
}

#[tokio::test]
async fn limits_throttle_single_records_and_hold_readers_back() {
    let grpc = Grpc::with(1, Bounds::default(), ShardLimits::aws()).await;
    let large = || record("k", vec![0; 1_000_000]);
    let request = put("S", (0..4).map(|_| large()).collect());
    let results = grpc.records().put(request).await.unwrap().into_inner().results;
    let (written, throttled): (Vec<_>, Vec<_>) =
        results.into_iter().partition(|result| matches!(result.result, Some(put_result::Result::Record(_))));
    assert!(!written.is_empty() && !throttled.is_empty());
    for result in throttled {
        let failure = failed(result);
        assert_eq!(failure.reason, "THROTTLED");
        assert!(failure.message.contains(&shard_id(0)), "{}", failure.message);
    }
    // Six calls are one more than a second's worth: they wait and do not fail.
    let began = Instant::now();
    for _ in 0..12 {
        let read = grpc.read(0, horizon(), 1).await;
        assert_eq!(data(&read).len(), 1);
    }
    assert!(began.elapsed() > Duration::from_millis(1_000), "{:?}", began.elapsed());
    grpc.stop().await;
}

#[tokio::test]
async fn a_deadline_ends_a_call_that_waits() {
    let grpc = Grpc::with(1, Bounds::default(), ShardLimits::aws()).await;
    for _ in 0..3 {
        grpc.put(vec![record("k", vec![0; 1_000_000])]).await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
    for _ in 0..2 {
        grpc.read(0, horizon(), 3).await;
    }
    let mut request = Request::new(read(0, horizon(), 0));
    request.set_timeout(Duration::from_millis(300));
    // The client's own deadline is later than the one it tells.
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", grpc.broker.address()));
    let channel = channel.unwrap().connect().await.unwrap();
    let began = Instant::now();
    let answer = match records(&channel).read(request).await {
        Ok(messages) => all(messages.into_inner()).await.map(drop),
        Err(status) => Err(status),
    };
    assert!(matches!(answer.unwrap_err().code(), Code::DeadlineExceeded | Code::Cancelled));
    assert!(began.elapsed() < Duration::from_secs(2));
    grpc.stop().await;
}
