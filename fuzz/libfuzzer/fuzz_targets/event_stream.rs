//! Runs the target `tidelog_fuzz::targets::event_stream` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::targets::event_stream(data));
