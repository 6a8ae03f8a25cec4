//! Any bytes as `.wslconfig`, read and edited.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sampan_fuzz::wslconfig_edit(data));
