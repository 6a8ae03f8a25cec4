//! Whether a test elsewhere in the workspace names a row.

use std::fs;
use std::path::{Path, PathBuf};

/// Requires that `file` (below the workspace, without `.rs`, its folder with it) has a string that names the row `id`.
///
/// Only strings count, which are what a test prints as its name or when it fails: a comment proves nothing. In them the row
/// is a word of its own, of either case.
#[track_caller]
pub(crate) fn assert_named(id: &str, file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let text = |file: &PathBuf| fs::read_to_string(file).expect("sources are text");
    assert!(sources(&path).iter().any(|file| names(&text(file), id)), "{id}: no test in {file} names it");
}

/// The file and all below the folder of its name.
fn sources(path: &Path) -> Vec<PathBuf> {
    let below = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let below = below.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let deeper = below.flat_map(|path| sources(&path.with_extension("")));
    let own = Some(path.with_extension("rs")).filter(|file| file.is_file());
    deeper.chain(own).collect()
}

fn names(source: &str, id: &str) -> bool {
    let words = |text: &str| {
        text.split(|sign: char| !sign.is_ascii_alphanumeric()).any(|word| word.eq_ignore_ascii_case(id))
    };
    strings(source).into_iter().any(words)
}

/// The string literals of a source, as they are written there.
fn strings(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['/', '\'', '"', 'r']) {
        let before = rest[..at].chars().next_back();
        rest = &rest[at..];
        let raw = (1..4).find(|length| rest.starts_with(RAW[*length]));
        let (text, length) = if rest.starts_with("//") {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if let Some(sign) =
            ["'\"'", "'\\\"'", "'\\''", "'/'", "'r'"].iter().find(|sign| rest.starts_with(**sign))
        {
            (None, sign.len())
        } else if rest.starts_with('"') {
            quoted(rest, 1, end_of_plain(rest))
        } else if let Some(hashes) = raw.filter(|_| !before.is_some_and(char::is_alphanumeric)) {
            let start = RAW[hashes].len();
            let end = format!("\"{}", "#".repeat(hashes - 1));
            quoted(rest, start, rest[start..].find(&end).map(|at| start + at))
        } else {
            (None, 1)
        };
        found.extend(text);
        rest = &rest[length..];
    }
    found
}

/// How a raw string begins, by the count of its hash signs and one.
const RAW: [&str; 4] = ["", "r\"", "r#\"", "r##\""];

/// Where the string that begins `text` has its last quotation mark.
fn end_of_plain(text: &str) -> Option<usize> {
    let mut signs = text.char_indices().skip(1);
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => drop(signs.next()),
            '"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// The string between, and where to go on.
fn quoted(text: &str, start: usize, end: Option<usize>) -> (Option<&str>, usize) {
    let end = end.unwrap_or(text.len());
    (Some(&text[start..end]), (end + 1).min(text.len()))
}

#[test]
fn only_whole_words_of_strings_name_a_row() {
    let source = "// \"Z01\"\nlet a = \"in \\\" z02_is\"; let b = '\"'; // Z03\nZ04(r#\"Z05: \"# , \"AZ06 Z070\", 'r', \"Z08\");";
    let named: Vec<u8> = (1..=8).filter(|n| names(source, &format!("Z{n:02}"))).collect();
    assert_eq!(named, [2, 5, 8]);
}
