//! Who may use whom inside the workspace.
//!
//! A crate boundary that anyone may cross is a folder. The cut that matters most: nothing in `backend` knows a platform
//! and nothing in a platform knows Docker, so that a further platform is added without touching `backend`. The table is
//! the "may use" column of ARCHITECTURE.md, for ordinary, build and test dependencies alike.

use super::Finding;
use crate::workspace::{Dependency, Package, Workspace};

/// A member and the members that it may use. A new member gets its line here, with its reason in ARCHITECTURE.md.
const MAY_USE: [(&str, &[&str]); 10] = [
    ("sampan-model", &[]),
    ("sampan-sys", &[]),
    ("sampan-relay", &["sampan-model", "sampan-sys"]),
    ("sampan-backend", &["sampan-model", "sampan-relay"]),
    ("sampan-native", &["sampan-model", "sampan-sys", "sampan-backend"]),
    ("sampand", &["sampan-model", "sampan-sys", "sampan-relay", "sampan-backend", "sampan-native"]),
    ("sampan-guest", &["sampan-model", "sampan-sys", "sampan-relay"]),
    ("sampan", &["sampan-model", "sampan-sys", "sampan-relay"]),
    ("xtask", &["sampan-model"]),
    ("sampan-e2e", &["sampan-model"]),
];

/// Crates that only one member may use. `libc` comes with `unsafe`, and only `sys` has that.
const ONLY: [(&str, &str); 1] = [("libc", "sampan-sys")];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace.members().flat_map(check_member).collect()
}

fn check_member(member: &Package) -> Vec<Finding> {
    let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == member.name) else {
        return vec![Finding::new(
            &member.name,
            "is a member that no rule knows: say in gates/dependencies.rs what it may use",
        )];
    };
    member.dependencies.iter().filter_map(|used| check_dependency(&member.name, may_use, used)).collect()
}

fn check_dependency(member: &str, may_use: &[&str], used: &Dependency) -> Option<Finding> {
    let name = used.name.as_str();
    if used.path.is_some() {
        let list = if may_use.is_empty() { "no other member".to_owned() } else { may_use.join(", ") };
        return (!may_use.contains(&name))
            .then(|| Finding::new(member, format!("must not use {name}; it may use {list}")));
    }
    let (_, owner) = ONLY.iter().find(|(only, _)| *only == name)?;
    (*owner != member).then(|| Finding::new(member, format!("must not use {name}: only {owner} does")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::sample;

    #[test]
    fn lets_the_table_through() {
        let backend = sample::package("crates/backend", "sampan-backend", &["sampan-model"], &[]);
        let sys = sample::package("crates/sys", "sampan-sys", &[], &[("libc", "^0.2")]);
        assert_eq!(check(&sample::workspace(&[backend, sys], &[])), []);
    }

    #[test]
    fn refuses_a_direction_that_is_not_in_the_table() {
        let backend = sample::package("crates/backend", "sampan-backend", &["sampan-native"], &[]);
        let found = check(&sample::workspace(&[backend], &[]));
        assert_eq!(
            found[0].to_string(),
            "sampan-backend: must not use sampan-native; it may use sampan-model, sampan-relay"
        );
    }

    #[test]
    fn refuses_an_unknown_member() {
        let found =
            check(&sample::workspace(&[sample::package("crates/misc", "sampan-misc", &[], &[])], &[]));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn refuses_libc_outside_sys() {
        let native = sample::package("crates/native", "sampan-native", &[], &[("libc", "^0.2")]);
        let found = check(&sample::workspace(&[native], &[]));
        assert_eq!(found[0].to_string(), "sampan-native: must not use libc: only sampan-sys does");
    }
}
