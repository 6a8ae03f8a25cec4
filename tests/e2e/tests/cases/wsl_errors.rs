//! Rows E, I and Q of the behaviour tables: what `wsl` says and how it ends when it can't do what is asked.

use std::fs;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{files, roots, shared};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("wsl_errors::rows_of_the_tables", rows),
        Case::new("wsl_errors::e35_q17_q19_q23_without_any_distribution", nothing),
        Case::new("wsl_errors::an_import_that_fails_leaves_nothing", imports),
        Case::new("wsl_errors::internal_distributions_are_guarded", internal),
    ]
}

/// Id, words, what is said, last line (`Error code: …`); `$T` is a folder for files.
const ROWS: &[(&str, &[&str], &str, &str)] = &[
    (
        "E01",
        &["-d", "DoesNotExist", "echo", "foo"],
        "There is no distribution with the supplied name.",
        "Wsl/Service/WSL_E_DISTRO_NOT_FOUND",
    ),
    (
        "E02",
        &["--export", "DoesNotExist", "$T/FileName"],
        "There is no distribution with the supplied name.",
        "Wsl/Service/WSL_E_DISTRO_NOT_FOUND",
    ),
    (
        "E04",
        &["--manage", "nonexistent", "--set-default-user", "root"],
        "There is no distribution with the supplied name.",
        "Wsl/Service/WSL_E_DISTRO_NOT_FOUND",
    ),
    ("E05", &["--distribution-id", "InvalidGuid"], "The parameter is incorrect. ", "Wsl/E_INVALIDARG"),
    (
        "E08",
        &["--import", "a", "$T/b", "$T/c"],
        "The system cannot find the file specified. ",
        "Wsl/ERROR_FILE_NOT_FOUND",
    ),
    ("E10", &["--set-default-version", "3"], "", "Wsl/ERROR_VERSION_PARSE_ERROR"),
    ("E11", &["--manage", "two", "--resize", "foo"], "Invalid size: foo", "Wsl/E_INVALIDARG"),
    ("E13", &["--manage", "--move", "."], "Usage:", ""),
    (
        "E14",
        &["--install", "--distribution", "debian", "--no-distribution"],
        "Arguments --no-distribution and --distribution can't be specified at same time.",
        "Wsl/E_INVALIDARG",
    ),
    (
        "E16",
        &["--install", "foo", "--fixed-vhd"],
        "Argument --fixed-vhd requires the --vhd-size argument.",
        "Wsl/E_INVALIDARG",
    ),
    (
        "E23",
        &["--unmount", "$T/DoesNotExist"],
        "The system cannot find the file specified. ",
        "Wsl/Service/DetachDisk/ERROR_FILE_NOT_FOUND",
    ),
    (
        "E28",
        &["--manage", "one", "--resize", "10GB"],
        "This operation is only supported by WSL2.",
        "Wsl/Service/WSL_E_WSL2_NEEDED",
    ),
    (
        "I05",
        &["--export", "one", "$T/x.vhdx", "--format", "vhd"],
        "This operation is only supported by WSL2.",
        "Wsl/Service/WSL_E_WSL2_NEEDED",
    ),
    (
        "I10",
        &["--import", "dummy", "$T/with-disk", "$T/small.tar", "--version", "2"],
        "The file exists. ",
        "Wsl/Service/RegisterDistro/ERROR_FILE_EXISTS",
    ),
    (
        "I11",
        &["--import", "dummy", "$T/with-folder", "$T/small.tar", "--version", "1"],
        "The file exists. ",
        "Wsl/Service/RegisterDistro/ERROR_FILE_EXISTS",
    ),
    (
        "I13",
        &["--import", "dummy", "$T/new", "$T/small.tar", "--vhd", "--version", "1"],
        "This operation is only supported by WSL2.",
        "Wsl/Service/RegisterDistro/WSL_E_WSL2_NEEDED",
    ),
    (
        "I14",
        &["--import", "other", "$TWO", "$T/small.tar"],
        "The supplied install location is already in use.",
        "Wsl/Service/RegisterDistro/ERROR_FILE_EXISTS",
    ),
    (
        "I16",
        &["--import", "dummy", "$T/new", "$T/text"],
        "Importing the distribution failed.",
        "Wsl/Service/RegisterDistro/WSL_E_IMPORT_FAILED",
    ),
    (
        "I17",
        &["--import", "broken", "$T/new", "$T/empty.tar"],
        "The imported file is not a valid Linux distribution.",
        "Wsl/Service/RegisterDistro/WSL_E_NOT_A_LINUX_DISTRO",
    ),
    (
        "I35",
        &["--manage", "two", "--resize", "1500GB"],
        "currently in use",
        "Wsl/Service/WSL_E_DISTRO_NOT_STOPPED",
    ),
    (
        "N29",
        &["--import", "TWO", "$T/new", "$T/small.tar"],
        "A distribution with the supplied name already exists.\n",
        "ERROR_ALREADY_EXISTS",
    ),
    ("Q26", &["--set-version", "two"], "", "Wsl/ERROR_VERSION_PARSE_ERROR"),
    ("Q25", &["--set-default-version", "2abc"], "", "Wsl/ERROR_VERSION_PARSE_ERROR"),
    ("Q28", &["-d", "two", "-d", "one"], "The distribution name has already been set.", ""),
    (
        "Q29",
        &["--bogus"],
        "Invalid command line argument: --bogus\nPlease use 'wsl --help' to get a list of supported arguments.",
        "",
    ),
    ("Q32", &["--shell-type", "foo"], "The parameter is incorrect. ", "Wsl/E_INVALIDARG"),
    ("Q34", &["--import", "D", "$T/sub/deep/er", "$T/small.tar"], "", "ERROR_PATH_NOT_FOUND"),
    ("Q37", &["--export", "two", "$T/f", "--format", "tar.gz", "--vhd"], "Usage:", ""),
    ("name", &["--import", "bad name", "$T/new", "$T/small.tar"], "", "E_INVALIDARG"),
    ("name", &["--import", "../up", "$T/new", "$T/small.tar"], "", "E_INVALIDARG"),
    (
        "version",
        &["--set-version", "two", "2"],
        "The distribution is already the requested version.",
        "WSL_E_VM_MODE_INVALID_STATE",
    ),
    (
        "terminate",
        &["--terminate", "nope"],
        "There is no distribution with the supplied name.",
        "WSL_E_DISTRO_NOT_FOUND",
    ),
    (
        "unregister",
        &["--unregister", "nope"],
        "There is no distribution with the supplied name.",
        "WSL_E_DISTRO_NOT_FOUND",
    ),
    (
        "default",
        &["--set-default", "nope"],
        "There is no distribution with the supplied name.",
        "WSL_E_DISTRO_NOT_FOUND",
    ),
    ("extra", &["--terminate", "nope", "more"], "Invalid command line argument: more", "Wsl/E_INVALIDARG"),
    ("missing", &["--terminate"], "missing a required parameter", ""),
];

fn rows() {
    let instance = shared::distributions();
    let folder = instance.scratch("errors");
    fs::copy(roots::small(), folder.join("small.tar")).expect("there is room for it");
    files::write(&folder.join("text"), "this is no archive\n".repeat(100));
    // Two blocks of zeroes: an archive with nothing in it.
    files::write(&folder.join("empty.tar"), vec![0; 10240]);
    files::write(&folder.join("with-disk/ext4.img"), "mine");
    files::write(&folder.join("with-folder/rootfs/mine"), "mine");
    instance.inside("two", "true").ok();
    let before = files::names(&folder);
    let two = instance.scratch("distributions").join("two");
    for (id, words, said, code) in ROWS {
        let path = |word: &&str| {
            word.replace("$TWO", &two.display().to_string()).replace("$T", &folder.display().to_string())
        };
        let words: Vec<String> = words.iter().map(path).collect();
        let output = instance.wsl_tool(&[]).args(&words).run();
        assert_eq!(output.code(), Some(255), "{id}: {output}");
        assert!(output.text().contains(said), "{id}: no `{said}` in {output}");
        let last = output.text().lines().last().unwrap_or_default().to_owned();
        if code.is_empty() {
            assert!(!output.text().contains("Error code:"), "{id}: {output}");
        } else {
            assert!(last.starts_with("Error code: Wsl/") && last.contains(code), "{id}: {output}");
        }
    }
    assert_eq!(files::names(&folder), before, "nothing was left behind or taken away");
    assert_eq!(files::read(&folder.join("with-disk/ext4.img")), b"mine");
    assert_eq!(files::names(&folder.join("with-folder/rootfs")), ["mine"]);
    assert_eq!(instance.wsl(&["-l", "-q"]).ok(), "two\none");
}

/// Rows Q17, Q19, Q23 and E35.
fn nothing() {
    let instance = Instance::new();
    let none = "Windows Subsystem for Linux has no installed distributions.";
    for words in [&[][..], &["echo", "x"], &["-l"], &["-l", "-v"]] {
        let output = instance.wsl(words);
        output.expect(255).says(none);
    }
    assert_eq!(instance.wsl(&["-l", "-q"]).expect(0).text(), "");
    assert_eq!(instance.wsl(&["-l", "--running", "-q"]).expect(0).text(), "");
    assert_eq!(instance.wsl(&["--status"]).expect(0).text(), "Default Version: 2\n");
    instance.wsl(&["-l", "--running"]).expect(255).says("There are no running distributions.");
    instance.wsl(&["--shutdown"]).expect(0);
}

fn imports() {
    let instance = Instance::new();
    let folder = instance.scratch("imports");
    let whole = files::read(&roots::small());
    files::write(&folder.join("cut.tar"), &whole[..whole.len() / 2 + 100]);
    let target = folder.join("new").display().to_string();
    for version in ["1", "2"] {
        let tar = folder.join("cut.tar").display().to_string();
        let failed = instance.wsl(&["--import", "x", &target, &tar, "--version", version]);
        failed.expect(255).says("Wsl/Service/RegisterDistro/");
        assert!(!folder.join("new").exists(), "the folder it made is gone again: {failed}");
        assert_eq!(instance.wsl(&["-l", "-q", "--all"]).text(), "");
    }
    // A folder that was there stays, as empty as it was.
    files::make_folder(&folder.join("new"));
    let tar = folder.join("cut.tar").display().to_string();
    instance.wsl(&["--import", "x", &target, &tar]).expect(255);
    assert!(files::names(&folder.join("new")).is_empty());
}

fn internal() {
    let instance = shared::main();
    for name in ["docker-desktop", "docker-desktop-data"] {
        for words in [
            &["-d", name][..],
            &["-d", name, "-e", "true"],
            &["--unregister", name],
            &["--set-version", name, "1"],
            &["--set-default", name],
            &["--import", name, "/tmp/never-made", "/dev/null"],
            &["--export", name, "/tmp/never-made.tar"],
        ] {
            if words[0] == "--export" && name == "docker-desktop" {
                continue;
            }
            let refused = instance.wsl(words);
            refused.expect(255);
            assert!(refused.text().contains(name), "it says which: {refused}");
        }
    }
    instance.wsl(&["-d", "docker-desktop-data", "--system"]).expect(255);
    assert!(instance.engine_runs());
}
