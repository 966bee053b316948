//! Compiles the .proto files with a pure-Rust compiler, so that no `protoc` has to be installed.

use std::path::Path;
use std::{env, fs};

use prost::Message;
use prost_types::FileDescriptorSet;

/// What nodes store and say to each other.
const INTERNAL: [&str; 3] = ["stored.proto", "peer.proto", "cluster.proto"];

/// What clients see.
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
    // Kept whole, for clients that ask the broker for its API.
    let described = Path::new(&env::var("OUT_DIR")?).join("tidelog.v1.bin");
    let public = protox::compile(PUBLIC, ["."])?;
    fs::write(described, public.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(public.clone())?;
    let served = Path::new(&env::var("OUT_DIR")?).join("served");
    fs::create_dir_all(&served)?;
    tonic_prost_build::configure()
        .build_client(false)
        .extern_path(".tidelog.v1", "crate::v1")
        .out_dir(served)
        .compile_fds(without_put_stream(public))?;
    Ok(())
}

/// The service Records without PutStream, whose messages the broker takes from the connection itself.
fn without_put_stream(mut files: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut files.file {
        file.service.retain(|service| service.name() == "Records");
        for service in &mut file.service {
            service.method.retain(|method| method.name() != "PutStream");
        }
    }
    files
}
