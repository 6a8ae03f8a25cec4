//! Outside programs are started in `tools` modules only.
//!
//! There each gets a deadline, `LC_ALL=C` and its stderr kept. A `Command` made anywhere else is a program that can hang
//! for ever or fail without a word. `clippy.toml` forbids the same call; this gate refuses the `#[expect]` that would
//! switch it off elsewhere.

use super::Finding;
use crate::workspace::{SourceFile, Workspace};

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace
        .rust_files()
        .filter(|file| file.path.starts_with("crates/") || file.path.starts_with("bins/"))
        .filter(|file| !is_tools(&file.path) && !is_test(&file.path))
        .flat_map(check_file)
        .collect()
}

fn is_tools(path: &str) -> bool {
    path.ends_with("/tools.rs") || path.contains("/tools/")
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let clap_only = file.text.lines().any(imports_claps_command) && !file.text.contains("process::");
    if clap_only {
        return Vec::new();
    }
    file.text
        .lines()
        // Unit tests stand at the end of a file and may run what they like.
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .enumerate()
        .filter(|(_, line)| starts_a_program(line))
        .map(|(index, _)| {
            Finding::new(
                format!("{}:{}", file.path, index + 1),
                "starts an outside program: do it in a `tools` module, with a deadline",
            )
        })
        .collect()
}

/// `clap::Command` describes a command line and starts nothing.
fn imports_claps_command(line: &str) -> bool {
    line.starts_with("use clap::") && line.contains("Command")
}

fn starts_a_program(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices("Command::new").any(|(at, _)| {
        let before = &code[..at];
        let other_type = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        !other_type && !before.ends_with("clap::")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::sample;

    fn found(path: &str, text: &str) -> usize {
        check(&sample::workspace(&[], &[(path, text)])).len()
    }

    const SPAWN: &str = "fn f() {\n    std::process::Command::new(\"nft\");\n}\n";

    #[test]
    fn finds_a_program_started_outside_tools() {
        let found = check(&sample::workspace(&[], &[("crates/native/src/network.rs", SPAWN)]));
        assert_eq!(found[0].place, "crates/native/src/network.rs:2");
        assert_eq!(
            self::found("bins/sampand/src/main.rs", "use tokio::process::Command;\nlet c = Command::new(x);"),
            1
        );
    }

    #[test]
    fn tools_tests_and_xtask_may() {
        for path in [
            "crates/native/src/tools.rs",
            "crates/native/src/tools/mke2fs.rs",
            "crates/native/tests/disk.rs",
            "crates/native/src/disk/tests.rs",
            "xtask/src/bench.rs",
            "tests/e2e/src/instance.rs",
        ] {
            assert_eq!(found(path, SPAWN), 0, "{path}");
        }
        assert_eq!(
            found("crates/sys/src/pipe.rs", "fn f() {}\n#[cfg(test)]\nmod tests { Command::new(x) }"),
            0
        );
    }

    #[test]
    fn other_types_of_that_name_may() {
        assert_eq!(found("bins/sampan/src/args.rs", "let c = clap::Command::new(\"wsl\");"), 0);
        assert_eq!(found("bins/sampan/src/args.rs", "use clap::{Arg, Command};\nCommand::new(\"wsl\");"), 0);
        assert_eq!(found("bins/sampan/src/args.rs", "let c = EngineCommand::new();"), 0);
    }
}
