//! The state of the machine that an instance must leave as it found it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::netns::Wan;
use crate::{files, kernel};

/// What the machine looks like, one line per fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(BTreeSet<String>);

impl Host {
    /// Looks at the machine `wan.host`. What other tests change at the same time is left out.
    #[track_caller]
    pub fn look(wan: &Wan) -> Self {
        let mut facts = BTreeSet::new();
        for (what, program, args) in [
            ("rules", "nft", &["-s", "list", "ruleset"][..]),
            ("links", "ip", &["-o", "-4", "address"]),
            ("links", "ip", &["-o", "-6", "address", "show", "scope", "global"]),
            ("routes", "ip", &["-o", "route", "show", "table", "all"]),
            ("policy", "ip", &["-o", "rule"]),
        ] {
            let text = wan.host.tool(program, args).run().ok();
            facts.extend(text.lines().map(|line| format!("{what}: {line}")));
        }
        // Written by the kernel for the whole namespace: forwarding, and what changes with it.
        let settings =
            "cd /proc/sys/net && grep -rs . ipv4/ip_forward ipv4/conf ipv6/conf | grep -v -e stable_secret";
        let text = wan.host.tool("sh", &["-c", settings]).run().ok();
        facts.extend(text.lines().map(|line| format!("setting: {line}")));

        let others = |text: &str| text.contains("/e2e/") || text.contains("smpn-");
        let mounts = kernel::mounts("self").into_iter().filter(|mount| !others(&mount.line));
        facts.extend(mounts.map(|mount| format!("mount: {}", mount.line)));
        let hierarchies = kernel::mounts("self").into_iter().filter(|m| m.kind.starts_with("cgroup"));
        for hierarchy in hierarchies {
            let names = files::names(&hierarchy.at).into_iter().filter(|name| !name.starts_with("sampan-t"));
            facts.extend(names.map(|name| format!("cgroup: {}/{name}", hierarchy.at.display())));
        }
        for folder in ["/tmp", "/run", "/var/lib", "/var/run", "/etc"] {
            let product = |name: &String| {
                ["sampan", "docker", "containerd", "mmdebstrap"].iter().any(|word| name.contains(word))
            };
            let names = files::names(Path::new(folder)).into_iter().filter(product);
            facts.extend(names.map(|name| format!("file: {folder}/{name}")));
        }
        Self(facts)
    }

    /// Requires that nothing differs.
    #[track_caller]
    pub fn assert_same(&self, later: &Self) {
        let list = |one: &Self, other: &Self, sign: &str| -> Vec<String> {
            one.0.difference(&other.0).map(|fact| format!("{sign} {fact}")).collect()
        };
        let changes = [list(self, later, "-"), list(later, self, "+")].concat();
        assert!(changes.is_empty(), "the machine is not as it was:\n{}", changes.join("\n"));
    }
}
