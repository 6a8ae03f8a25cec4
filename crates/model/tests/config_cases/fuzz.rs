//! The checks of the fuzz targets, on bytes made here: they hold on every `cargo test`, without a fuzzer.

use proptest::prelude::*;

use super::{wsl_conf, wslconfig};

#[path = "../../../../fuzz/checks.rs"]
pub mod checks;

/// Pieces of both files: right, wrong, and such that change how what follows is read.
const PIECES: &[&str] = &[
    "[wsl2]",
    "[experimental] # c",
    "[general]",
    "[network]",
    "[user]\t",
    "[boot]",
    "[automount",
    "[=",
    "memory=",
    "memory = 4GB",
    "  swap=0 # c",
    "networkingMode=mirrored",
    "ignoredPorts=1,2",
    "kernel=a\\\\b",
    "hostname=\"a # b\"",
    "default=x\\qy",
    "command=sh -c \\\"a\\\"",
    "systemd=true",
    "bogus=1",
    "cgroups=\"v1",
    "# comment",
    "key",
    "\"",
    "\\",
    "#",
    "=",
    " ",
    "\t",
    "\r",
    "\n",
    "\n\n",
    "\r\n",
    "\\\n",
    "\\\r\n",
    "\0",
    "é",
    "\u{feff}",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        checks::wsl_conf(&data);
        checks::wslconfig_edit(&data);
    }

    #[test]
    fn anything_like_a_file(data in text()) {
        checks::wsl_conf(&data);
        checks::wslconfig_edit(&data);
    }
}

/// 20 000 mutations of the inputs of the case tables, the same on every run.
#[test]
fn mutated_cases() {
    let inputs: Vec<&[u8]> = wsl_conf::ROWS.iter().chain(wslconfig::ROWS).map(|row| row.input).collect();
    let mut dice = Dice(0x5eed_0f5a_0bad_cafe);
    for _ in 0..20_000 {
        let mut data = inputs[dice.below(inputs.len())].to_vec();
        for _ in 0..=dice.below(4) {
            let at = dice.below(data.len() + 1);
            let until = at + dice.below((data.len() - at).min(8) + 1);
            match dice.below(4) {
                0 => data.truncate(at),
                1 => _ = data.splice(at..until, []),
                2 => _ = data.splice(at..until, PIECES[dice.below(PIECES.len())].bytes()),
                _ => _ = data.splice(at..at, inputs[dice.below(inputs.len())].iter().copied()),
            }
        }
        checks::wsl_conf(&data);
        checks::wslconfig_edit(&data);
    }
}

/// Xorshift: numbers without order, from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).expect("32 bits fit") % limit
    }
}
