//! Only `sys` has `unsafe`, and every member keeps the workspace's lints.
//!
//! `unsafe` in one small crate can be reviewed; spread over ten it cannot. `forbid` (other than `deny`) cannot be
//! switched off again further down. `[lints] workspace = true` has to be said by each member: one that forgets it is not
//! linted at all, and nobody notices.

use std::path::Path;

use super::Finding;
use crate::workspace::{Package, Workspace};

const UNSAFE_MEMBER: &str = "sampan-sys";
const FORBID: &str = "#![forbid(unsafe_code)]";

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace.members().flat_map(|member| check_member(workspace, member)).collect()
}

fn check_member(workspace: &Workspace, member: &Package) -> Vec<Finding> {
    let mut found = Vec::new();
    let manifest = workspace.text(&member.manifest_path).unwrap_or_default();
    if !takes_the_lints(manifest) {
        found.push(Finding::new(&member.name, "its Cargo.toml lacks `[lints]` with `workspace = true`"));
    }
    if member.name == UNSAFE_MEMBER {
        return found;
    }
    for target in &member.targets {
        if !forbids_unsafe(workspace, &target.src_path) {
            let path = target.src_path.strip_prefix(&workspace.metadata.workspace_root);
            let path = path.unwrap_or(&target.src_path).display();
            found.push(Finding::new(
                path.to_string(),
                format!("lacks {FORBID} (root of a {})", target.kind.join(", ")),
            ));
        }
    }
    found
}

fn takes_the_lints(manifest: &str) -> bool {
    manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.replace(' ', "") == "workspace=true")
}

fn forbids_unsafe(workspace: &Workspace, root_file: &Path) -> bool {
    workspace.text(root_file).is_some_and(|text| text.lines().any(|line| line.trim_end() == FORBID))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::sample;

    const LINTED: &str = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n";

    #[test]
    fn lets_a_proper_member_and_sys_through() {
        let model = sample::package("crates/model", "sampan-model", &[], &[]);
        let sys = sample::package("crates/sys", "sampan-sys", &[], &[]);
        let files = [
            ("crates/model/Cargo.toml", LINTED),
            ("crates/model/src/lib.rs", "//! Pure.\n#![forbid(unsafe_code)]\n"),
            ("crates/sys/Cargo.toml", LINTED),
            ("crates/sys/src/lib.rs", "//! Calls.\n"),
        ];
        assert_eq!(check(&sample::workspace(&[model, sys], &files)), []);
    }

    #[test]
    fn finds_a_root_that_does_not_forbid() {
        let model = sample::package("crates/model", "sampan-model", &[], &[]);
        let files = [
            ("crates/model/Cargo.toml", LINTED),
            ("crates/model/src/lib.rs", "// #![forbid(unsafe_code)] is only talked about\n"),
        ];
        let found = check(&sample::workspace(&[model], &files));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "crates/model/src/lib.rs");
    }

    #[test]
    fn finds_a_member_without_the_lints() {
        let sys = sample::package("crates/sys", "sampan-sys", &[], &[]);
        let manifest = "[lints]\n[dependencies]\nlibc.workspace = true\n";
        assert_eq!(check(&sample::workspace(&[sys], &[("crates/sys/Cargo.toml", manifest)])).len(), 1);
    }
}
