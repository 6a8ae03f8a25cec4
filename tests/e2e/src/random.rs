//! Randomness: names that meet nobody else's, and a seeded sequence that a failed run can be repeated with.

use std::fs::File;
use std::io::Read;

/// `2 * bytes` random hex digits.
pub fn hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut buffer))
        .expect("/dev/urandom can be read on every Linux");
    buffer.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// A sequence of pseudo-random numbers (splitmix64).
#[derive(Debug)]
pub struct Sequence(u64);

impl Sequence {
    /// Starts with `SAMPAN_TEST_SEED`, else anywhere; prints which.
    pub fn announced(what: &str) -> Self {
        let given = std::env::var("SAMPAN_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given
            .unwrap_or_else(|| u64::from_str_radix(&hex(4), 16).expect("hex digits are a number of base 16"));
        eprintln!("{what}: SAMPAN_TEST_SEED={seed}");
        Self(seed)
    }

    /// How often to draw from it: `SAMPAN_TEST_ROUNDS`, else `usual`.
    pub fn rounds(usual: usize) -> usize {
        std::env::var("SAMPAN_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
    }

    /// The next number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }

    /// `length` bytes of every value.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256).to_le_bytes()[0]).collect()
    }
}
