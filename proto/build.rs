//! Compiles the .proto files with a pure-Rust compiler, so that no `protoc` has to be installed.

const FILES: [&str; 3] = ["stored.proto", "peer.proto", "cluster.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
