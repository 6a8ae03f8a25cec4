//! No Rust file grows past what one can hold in mind, and none is called `mod.rs`.
//!
//! One concept per file: a file of 800 lines has more than one. `mod.rs` makes ten tabs of the same name; a module
//! `name` lies in `name.rs`, beside its folder.

use super::Finding;
use crate::workspace::{SourceFile, Workspace};

const LIMIT: usize = 800;
const WORTH_A_LOOK: usize = 600;

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let too_long = workspace
        .rust_files()
        .filter(|file| lines(file) > LIMIT)
        .map(|file| Finding::new(&file.path, format!("has {} lines; {LIMIT} is the limit", lines(file))));
    let misnamed = workspace.rust_files().filter(|file| file.path.ends_with("/mod.rs")).map(|file| {
        Finding::new(&file.path, "is called mod.rs: name it after its module, beside the folder")
    });
    too_long.chain(misnamed).collect()
}

/// Files that are allowed, but near the limit.
pub(super) fn notes(workspace: &Workspace) -> Vec<Finding> {
    workspace
        .rust_files()
        .filter(|file| (WORTH_A_LOOK + 1..=LIMIT).contains(&lines(file)))
        .map(|file| Finding::new(&file.path, format!("has {} lines; {LIMIT} is the limit", lines(file))))
        .collect()
}

fn lines(file: &SourceFile) -> usize {
    file.text.lines().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::sample;

    #[test]
    fn finds_a_long_file_and_names_one_on_the_way() {
        let long = "\n".repeat(801);
        let longish = "\n".repeat(601);
        let fine = "\n".repeat(600);
        let files = [("a.rs", long.as_str()), ("b.rs", &longish), ("c.rs", &fine), ("long.md", &long)];
        let workspace = sample::workspace(&[], &files);
        assert_eq!(check(&workspace), [Finding::new("a.rs", "has 801 lines; 800 is the limit")]);
        assert_eq!(notes(&workspace), [Finding::new("b.rs", "has 601 lines; 800 is the limit")]);
    }

    #[test]
    fn finds_mod_rs() {
        let workspace = sample::workspace(&[], &[("crates/sys/src/mount/mod.rs", "")]);
        assert_eq!(check(&workspace).len(), 1);
    }
}
