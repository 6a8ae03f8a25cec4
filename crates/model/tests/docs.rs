//! What `docs/wsl.md` says of options, codes and keys is what there is.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use sampan_model::config::ConfigFile;
use sampan_model::config::distribution::DistributionConf;
use sampan_model::config::distro::WslConf;
use sampan_model::config::host::WslConfig;
use sampan_model::wsl::error::Code;
use sampan_model::wsl::usage::USAGE;

const PAGE: &str = include_str!("../../../docs/wsl.md");

/// The cells of every row of the tables below a heading.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let start = PAGE.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let below = &PAGE[start + 1..];
    let section = below.find("\n## ").map_or(below, |end| &below[..end]);
    let cells = |line: &'static str| line.strip_prefix('|')?.strip_suffix('|').map(|row| row.split(" | "));
    section
        .lines()
        .filter_map(cells)
        .map(|row| row.map(str::trim).collect::<Vec<_>>())
        .filter(|row| row[0].starts_with('`'))
        .collect()
}

/// The names in backticks of a cell.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn assert_keys<C: ConfigFile>(heading: &str) {
    let rows = rows(heading);
    let told: Vec<&str> = rows.iter().flat_map(|row| names(row[0])).collect();
    let known: BTreeSet<&str> = C::KEYS.iter().flat_map(|key| key.names).copied().collect();
    assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), known, "{heading}");
    assert_eq!(told.len(), known.len(), "a key has two rows below {heading}");
}

#[test]
fn every_key_has_its_row_and_every_row_its_key() {
    assert_keys::<WslConf>("/etc/wsl.conf");
    assert_keys::<DistributionConf>("/etc/wsl-distribution.conf");
    assert_keys::<WslConfig>(".wslconfig");
}

#[test]
fn codes_have_their_values_and_messages() {
    let rows = rows("Codes");
    assert!(rows.len() > 30, "{rows:?}");
    for row in rows {
        let [name, value, message, _] = row[..] else { panic!("four cells: {row:?}") };
        let name = names(name).next().unwrap_or_default();
        let code = Code::ALL.iter().find(|code| code.name() == name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(value, format!("{:#010x}", code.hresult()), "{name}");
        let text = match code {
            Code::InvalidUsage => "the usage text",
            code => code.text().lines().next().unwrap_or_default().trim_end(),
        };
        assert_eq!(message, text, "{name}");
    }
}

#[test]
fn every_option_of_the_usage_text_is_explained() {
    let options = |text: &'static str| -> BTreeSet<&'static str> {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let words = text.split(|c: char| !is_part(c));
        words.filter(|word| word.starts_with("--") && word.len() > 2).collect()
    };
    let missing: Vec<_> = options(USAGE).difference(&options(PAGE)).copied().collect();
    assert!(missing.is_empty(), "{missing:?}");
}
