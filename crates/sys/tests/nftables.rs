//! The packet filter as nft sees it, in a network namespace of its own.
#![expect(clippy::disallowed_methods, reason = "tests start nft")]

#[path = "support/single.rs"]
mod single;

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use sampan_sys::namespace::Namespaces;
use sampan_sys::nftables::{Changes, has_table};
use single::{in_child, need_root};

fn main() -> ExitCode {
    single::run(&[
        ("tables_are_found_by_name_and_family", tables_are_found_by_name_and_family),
        ("changes_are_heard_of", changes_are_heard_of),
    ])
}

fn tables_are_found_by_name_and_family() {
    need_root();
    in_child(Namespaces::NET, || {
        let nft = |words: &[&str]| assert!(Command::new("nft").args(words).status().expect("nft").success());
        assert_eq!(has_table(&"x".repeat(1 << 16)).expect_err("no name").errno(), Errno::NAMETOOLONG);
        assert!(!has_table("sampan_1").expect("a new namespace"));
        nft(&["add", "table", "ip", "sampan_1"]);
        nft(&["add", "table", "inet", "sampan_12"]);
        assert!(!has_table("sampan_1").expect("others"), "another family, a longer name");
        nft(&["add", "table", "inet", "sampan_1"]);
        assert!(has_table("sampan_1").expect("there"));
        nft(&["flush", "ruleset"]);
        assert!(!has_table("sampan_1").expect("flushed"));
    });
}

fn changes_are_heard_of() {
    need_root();
    in_child(Namespaces::NET, || {
        let nft = |words: &[&str]| assert!(Command::new("nft").args(words).status().expect("nft").success());
        let changes = Changes::subscribe().expect("a socket");
        for words in [&["add", "table", "inet", "sampan_1"][..], &["flush", "ruleset"]] {
            nft(words);
            changes.wait(Duration::from_millis(10), None).expect("there was one");
        }
        // Far more than the socket holds: it is heard of all the same.
        let many: Vec<String> = (0..2000).map(|number| format!("add table inet t{number}")).collect();
        let mut load = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft");
        load.stdin.take().expect("a pipe").write_all(many.join("\n").as_bytes()).expect("nft reads");
        assert!(load.wait().expect("nft").success());
        changes.wait(Duration::from_millis(10), None).expect("there were some");
    });
}
