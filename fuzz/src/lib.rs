//! Fuzz targets for the bytes that anybody can send, one per codec: [`targets`] are functions that panic when
//! something does not hold.
//!
//! Two drivers call them: the test beside this crate for seconds, with [`mutation`]s of the seeds in `seeds/`, and
//! libFuzzer for as long as one likes (`libfuzzer/`, which CONTRIBUTING.md tells how to start).

pub mod mutation;
pub mod targets;
