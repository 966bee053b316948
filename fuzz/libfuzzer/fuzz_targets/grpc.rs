//! See `tidelog_fuzz::targets::grpc`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::targets::grpc(data));
