//! Benches of Tidelog: `cargo bench -p tidelog-benches`. Figures of whole runs stand in RESULTS.md.

pub mod client;
