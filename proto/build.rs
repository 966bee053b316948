//! Compiles the .proto files with a pure-Rust compiler, so that no `protoc` has to be installed.

use std::path::Path;
use std::{env, fs};

use prost::Message;

/// Messages that nodes store and exchange.
const INTERNAL: [&str; 3] = ["stored.proto", "peer.proto", "cluster.proto"];

/// Messages of the public API.
const PUBLIC: [&str; 4] = [
    "tidelog/v1/streams.proto",
    "tidelog/v1/records.proto",
    "tidelog/v1/groups.proto",
    "tidelog/v1/cluster.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in INTERNAL.iter().chain(&PUBLIC) {
        println!("cargo:rerun-if-changed={file}");
    }
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .compile_fds(protox::compile(INTERNAL, ["."])?)?;
    // The descriptor set, for clients that ask the broker for its API.
    let described = Path::new(&env::var("OUT_DIR")?).join("tidelog.v1.bin");
    let public = protox::compile(PUBLIC, ["."])?;
    fs::write(described, public.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(public)?;
    Ok(())
}
