//! Any bytes as a body of the Docker API, passed through the proxy.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::bodies(data));
