//! Every target for a few seconds, from its seeds.
//!
//! `TIDELOG_FUZZ_SECONDS` makes it longer; `TIDELOG_FUZZ_SEED` repeats a run that failed.

use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use tidelog_fuzz::mutation::Mutation;
use tidelog_fuzz::targets::peer::is_taken;
use tidelog_fuzz::targets::{
    TARGETS, Target, aggregate, cbor, event_stream, grpc, json, lease_bytes, lease_call, peer, token,
};

/// Seconds for each target.
const SECONDS: u64 = 2;

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
    let mut paths = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect::<Vec<_>>();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn run((name, target): Target) {
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has seeds");
    seeds.iter().for_each(|seed| target(seed));
    let seed = setting("TIDELOG_FUZZ_SEED").unwrap_or_else(rand::random);
    let mut mutation = Mutation::new(seeds, seed);
    let end = Instant::now() + Duration::from_secs(setting("TIDELOG_FUZZ_SECONDS").unwrap_or(SECONDS));
    let mut count = 0_u64;
    while Instant::now() < end {
        let input = mutation.next_input();
        let outcome = catch_unwind(|| target(&input));
        count += 1;
        assert!(outcome.is_ok(), "{name}: TIDELOG_FUZZ_SEED={seed} fails with input {count}: {input:02x?}");
    }
    println!("{name}: {count} inputs");
    assert!(count > 50, "{name}: only {count} inputs");
}

#[test]
fn every_target_has_a_test() {
    assert_eq!(
        TARGETS.map(|(name, _)| name),
        ["json", "cbor", "token", "event_stream", "grpc", "peer", "aggregate", "lease_call", "lease_bytes"]
    );
}

#[test]
fn json_bodies() {
    run(("json", json));
}

#[test]
fn cbor_bodies() {
    run(("cbor", cbor));
}

#[test]
fn tokens() {
    run(("token", token));
}

#[test]
fn event_streams() {
    run(("event_stream", event_stream));
}

#[test]
fn bodies_of_grpc() {
    run(("grpc", grpc));
}

#[test]
fn messages_of_peers() {
    run(("peer", peer));
}

#[test]
fn every_seed_of_a_peer_is_a_message_that_a_node_takes() {
    let refused: Vec<_> = seeds("peer").into_iter().filter(|seed| !is_taken(seed)).collect();
    assert!(refused.is_empty(), "{refused:02x?}");
}

#[test]
fn aggregated_records() {
    run(("aggregate", aggregate));
}

#[test]
fn calls_of_lease_tables() {
    run(("lease_call", lease_call));
}

#[test]
fn bytes_of_lease_tables() {
    run(("lease_bytes", lease_bytes));
}

#[test]
fn the_same_seed_gives_the_same_inputs() {
    let inputs = |seed| {
        let mut mutation = Mutation::new(vec![b"ListStreams\n{}".to_vec()], seed);
        (0..1_000).map(|_| mutation.next_input()).collect::<Vec<_>>()
    };
    assert_eq!(inputs(7), inputs(7));
    assert_ne!(inputs(7), inputs(8));
}
