//! Any bytes as `/etc/wsl.conf` and `/etc/wsl-distribution.conf`, read and edited.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sampan_fuzz::wsl_conf(data));
