//! Crates and features that must not be in the dependency tree, however they got there.
//!
//! - `openssl`, `openssl-sys`, `native-tls`: a C library of the host, which a static program cannot rely on.
//! - `nix`: rustix does the same without libc; one of them is enough.
//! - `serde_json/arbitrary_precision`: breaks floats in tagged, untagged and flattened types, and once one crate asks
//!   for it, all get it. Plain `Value` keeps 64-bit integers exactly.

use super::Finding;
use crate::workspace::Workspace;

const CRATES: [(&str, &str); 4] = [
    ("openssl", "static programs cannot rely on a C library of the host"),
    ("openssl-sys", "static programs cannot rely on a C library of the host"),
    ("native-tls", "static programs cannot rely on a C library of the host"),
    ("nix", "rustix is what this project uses"),
];

const FEATURES: [(&str, &str, &str); 1] =
    [("serde_json", "arbitrary_precision", "it breaks floats in tagged and flattened types")];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in &workspace.metadata.packages {
        for (name, why) in CRATES {
            if package.name == name {
                found.push(Finding::new("Cargo.lock", format!("{name} is in the tree: {why}")));
            }
        }
        let node = workspace.metadata.resolve.nodes.iter().find(|node| node.id == package.id);
        for (name, feature, why) in FEATURES {
            if package.name == name && node.is_some_and(|node| node.features.iter().any(|on| on == feature)) {
                found.push(Finding::new("Cargo.lock", format!("{name} has the feature {feature}: {why}")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::sample;

    #[test]
    fn finds_a_banned_crate_deep_in_the_tree() {
        let tree = [sample::foreign("nix", &[]), sample::foreign("rustix", &["fs"])];
        assert_eq!(check(&sample::workspace(&tree, &[])).len(), 1);
    }

    #[test]
    fn finds_a_banned_feature_and_leaves_the_others() {
        let fine = sample::workspace(&[sample::foreign("serde_json", &["preserve_order"])], &[]);
        assert_eq!(check(&fine), []);
        let bad = sample::workspace(&[sample::foreign("serde_json", &["std", "arbitrary_precision"])], &[]);
        assert_eq!(check(&bad).len(), 1);
    }
}
