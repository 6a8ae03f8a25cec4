//! The client's side of `wsl` against a service that says what a test wants. IDs are those of the table of WSL's
//! behaviour that the project is tested by.

mod fake;
mod rows;
mod sessions;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use sampan_model::distro::{DistroState, Guid};
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::message::SUCCESS;
use sampan_model::wsl::service::{Format, Install, Mount, Reply, Request, Target};

use self::fake::{Fake, Run, failed};

fn distribution(name: &str, default: bool) -> sampan_model::api::Distribution {
    let (guid, state) = (Guid::NIL, DistroState::Stopped);
    sampan_model::api::Distribution { name: name.to_owned(), guid, state, version: 2, default }
}

/// Makes a file that nobody keeps.
fn write(path: impl AsRef<Path>, text: &str) {
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn nothing_is_started_to_say_that_nothing_runs() {
    let list = || Reply::Distributions { distributions: vec![distribution("a", true)] };
    let status = Reply::Status { default: Some("a".to_owned()), version: 1 };
    for (words, offline, out, code) in [
        (&["-l", "-v"][..], list(), "  NAME    STATE           VERSION\n* a       Stopped         2\n", 0),
        (&["-l", "--running"], list(), "There are no running distributions.\n", 255),
        (&["--status"], status, "Default Distribution: a\nDefault Version: 1\n", 0),
        (&["--terminate", "A"], list(), SUCCESS, 0),
        (
            &["--terminate", "b"],
            list(),
            "There is no distribution with the supplied name.\nError code: Wsl/Service/WSL_E_DISTRO_NOT_FOUND\n",
            255,
        ),
        (&["--shutdown"], list(), "", 0),
    ] {
        let said = Run::new(words).with(Fake::stopped(offline));
        assert_eq!((said.out.as_str(), said.code), (out, code), "{words:?}");
        assert_eq!((said.started, said.heard.len()), (0, 0), "{words:?}");
    }
}

#[test]
fn what_a_dead_service_left_is_taken_over() {
    for (words, request) in [
        (&["--terminate", "a"][..], Request::Terminate { name: "a".to_owned() }),
        (&["--shutdown", "--force"], Request::Shutdown { force: true }),
    ] {
        let said = Run::new(words).with(Fake::dead(vec![Reply::Done { installed: None }]));
        assert_eq!((said.started, said.code, said.heard), (1, 0, vec![request]));
    }
}

#[test]
fn a_question_is_asked_again_when_the_service_died_over_it() {
    let list = Reply::Distributions { distributions: vec![distribution("a", true)] };
    let status = Reply::Status { default: Some("a".to_owned()), version: 1 };
    let done = || Reply::Done { installed: None };
    for (words, reply, out) in [
        (&["-l", "-q"][..], list, "a\n"),
        (&["--status"], status, "Default Distribution: a\nDefault Version: 1\n"),
        (&["--terminate", "a"], done(), SUCCESS),
        (&["--set-default", "a"], done(), SUCCESS),
        (&["--shutdown"], done(), ""),
    ] {
        let said = Run::new(words).with(Fake::answering(vec![]).replies(vec![reply]));
        assert_eq!((said.out.as_str(), said.code, said.heard.len()), (out, 0, 2), "{words:?}");
    }
    // What may have been begun is not begun a second time.
    for words in [&["--unregister", "a"][..], &["--set-version", "a", "1"], &["--manage", "a", "-r", "1TB"]] {
        let said = Run::new(words).with(Fake::answering(vec![]).replies(vec![done()]));
        assert_eq!((said.code, said.heard.len()), (255, 1), "{words:?}");
    }
}

#[test]
fn lines_warnings_and_the_end_go_where_they_belong() {
    let replies = || {
        vec![
            Reply::Line { text: "one".to_owned() },
            Reply::Warning { message: "two".to_owned() },
            Reply::Progress { label: "three".to_owned(), permille: Some(500) },
            Reply::Done { installed: None },
        ]
    };
    let words = ["--set-default", "x"];
    let said = Run::new(&words).with(Fake::answering(replies()));
    assert_eq!((said.out, said.err, said.code), (format!("one\n{SUCCESS}"), "wsl: two\n".to_owned(), 0));
    let quiet = Run::new(&words).variable("WSL_DISABLE_WARNINGS", "1").with(Fake::answering(replies()));
    assert_eq!(quiet.err, "", "S28");
    let not_quiet = Run::new(&words).variable("WSL_DISABLE_WARNINGS", "2").with(Fake::answering(replies()));
    assert_eq!(not_quiet.err, "wsl: two\n");
}

#[test]
fn a_service_that_ends_or_babbles_is_a_failure() {
    for (replies, message) in [
        (vec![], "The service ended before the work was done.\n"),
        (vec![Reply::Online { rows: vec![] }], "The service's answer can't be understood.\n"),
    ] {
        let said = Run::new(&["--set-default", "x"]).with(Fake::answering(replies));
        assert!(said.out.starts_with(message), "{}", said.out);
        assert!(
            said.out.contains("\nTo mend it: ") && said.out.ends_with("Wsl/Service/E_UNEXPECTED\n"),
            "{}",
            said.out
        );
        assert_eq!(said.code, 255);
    }
}

#[test]
fn a_failure_has_its_way_out_before_the_code() {
    let failure = Failure::new(Code::Busy).in_context(Context::Service).hint("try again");
    let said = Run::new(&["--set-default", "x"]).with(Fake::answering(failed(failure)));
    assert_eq!(
        said.out,
        "The requested resource is in use. \nTo mend it: try again\nError code: Wsl/Service/ERROR_BUSY\n"
    );
}

#[test]
fn an_import_brings_its_file() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("x.tar"), "tar");
    let said = Run::new(&["--import", "a", "new", "x.tar", "--version", "1"])
        .folder(folder.path())
        .with(Fake::reading(0, vec![Reply::Done { installed: None }]));
    assert_eq!((said.out.as_str(), said.code, said.read.as_str()), (SUCCESS, 0, "tar"));
    let request = Request::Import {
        name: "a".to_owned(),
        location: folder.path().join("new"),
        version: Some(1),
        vhd: false,
        source: "x.tar".to_owned(),
    };
    assert_eq!(said.heard, [request]);
    let piped = Run::new(&["--import", "a", "/x", "-"])
        .input("piped")
        .with(Fake::reading(0, vec![Reply::Done { installed: None }]));
    assert_eq!((piped.out.as_str(), piped.read.as_str()), (SUCCESS, "piped"));
    assert!(matches!(&piped.heard[..], [Request::Import { source, .. }] if source == "<stdin>"));
}

#[test]
fn an_export_puts_its_file_in_place_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.tar.gz");
    let words = ["--export", "a", "x.tar.gz", "--format", "tar.gz"];
    write(&file, "former");
    let failure = Failure::new(Code::DiskFull).in_context(Context::Service);
    let said = Run::new(&words).folder(folder.path()).with(Fake::writing(0, "half", failed(failure)));
    assert_eq!((said.code, fs::read_to_string(&file).unwrap().as_str()), (255, "former"));
    assert_eq!(files(folder.path()), ["x.tar.gz"]);
    let done = vec![Reply::Done { installed: None }];
    let said = Run::new(&words).folder(folder.path()).with(Fake::writing(0, "whole", done));
    assert_eq!((said.code, fs::read_to_string(&file).unwrap().as_str()), (0, "whole"));
    let request =
        Request::Export { name: "a".to_owned(), format: Format::TarGz, file: "x.tar.gz".to_owned() };
    assert_eq!((said.out.as_str(), said.heard), (SUCCESS, vec![request]));
}

#[test]
fn an_export_to_standard_output_has_nothing_but_the_archive_there() {
    let done = vec![Reply::Line { text: "a word".to_owned() }, Reply::Done { installed: None }];
    let said = Run::new(&["--export", "a", "-"]).with(Fake::writing(0, "archive", done));
    assert_eq!((said.out.as_str(), said.err.as_str(), said.code), ("archive", "a word\n", 0));
    let failure = Failure::new(Code::DistroNotFound).in_context(Context::Service);
    let said = Run::new(&["--export", "a", "-"]).with(Fake::answering(failed(failure)));
    assert_eq!((said.out.as_str(), said.code), ("", 255));
    assert!(said.err.contains("Error code: Wsl/Service/WSL_E_DISTRO_NOT_FOUND"));
}

#[test]
fn an_installation_is_followed_by_a_shell() {
    let installed = || {
        vec![
            Reply::Line { text: "Installing: Debian".to_owned() },
            Reply::Done { installed: Some("Debian".to_owned()) },
        ]
    };
    let ended = vec![Reply::Ended { end: sampan_model::session::End::Exited { code: 3 } }];
    let said = Run::new(&["--install", "debian", "--name", "Debian"])
        .with(Fake::answering(installed()).replies(ended));
    let text = "Installing: Debian\n\
                Distribution successfully installed. It can be launched via 'wsl -d Debian'\n";
    assert_eq!((said.out, said.code), (format!("{text}Launching Debian...\n"), 3));
    let [Request::Install(install), Request::Session { target, .. }] = &said.heard[..] else {
        panic!("{:?}", said.heard)
    };
    assert_eq!(install.distribution.as_deref(), Some("debian"));
    assert_eq!(target, &Target::Name { name: "Debian".to_owned() });
    let said = Run::new(&["--install", "debian", "--no-launch"]).with(Fake::answering(installed()));
    assert_eq!((said.out.as_str(), said.code, said.heard.len()), (text, 0, 1));
}

#[test]
fn an_installation_from_a_file_brings_it_and_says_what_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("x.wsl"), "image");
    let words =
        ["--install", "--from-file", "x.wsl", "--location", "l", "--web-download", "--vhd-size", "1GB", "-n"];
    let done = vec![Reply::Done { installed: Some("x".to_owned()) }];
    let said = Run::new(&words).folder(folder.path()).with(Fake::reading(0, done));
    assert_eq!((said.code, said.read.as_str()), (0, "image"));
    assert_eq!(said.err, "wsl: --web-download has no effect here.\n");
    let install = Install {
        from_file: Some("x.wsl".to_owned()),
        location: Some(folder.path().join("l")),
        vhd_size: Some(1 << 30),
        ..Install::default()
    };
    assert_eq!(said.heard, [Request::Install(Box::new(install))]);
    let nothing = Run::new(&["--install", "--no-distribution"]).with(Fake::answering(vec![]));
    assert_eq!((nothing.out.as_str(), nothing.code, nothing.heard.len()), (SUCCESS, 0, 0));
    let fixed = ["--install", "x", "--vhd-size", "1GB", "--fixed-vhd"];
    let fixed = Run::new(&fixed).with(Fake::answering(vec![]));
    assert!(fixed.out.ends_with("Error code: Wsl/E_NOTIMPL\n"), "{}", fixed.out);
    assert_eq!((fixed.code, fixed.heard.len()), (255, 0));
}

#[test]
fn a_disk_has_one_name_whatever_way_leads_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().canonicalize().unwrap().join("disk.img");
    write(&real, "");
    std::os::unix::fs::symlink("disk.img", folder.path().join("link")).unwrap();
    for name in ["disk.img", "./disk.img", "link", real.to_str().unwrap()] {
        let mounted = vec![Reply::Line { text: "mounted".to_owned() }, Reply::Done { installed: None }];
        let words = ["--mount", name, "--vhd", "-o", "ro"];
        let said = Run::new(&words).folder(folder.path()).with(Fake::answering(mounted));
        assert_eq!((said.out.as_str(), said.code), ("mounted\n", 0));
        let mount =
            Mount { disk: real.clone(), vhd: true, options: Some("ro".to_owned()), ..Mount::default() };
        assert_eq!(said.heard, [Request::Mount(Box::new(mount))]);
        let done = vec![Reply::Done { installed: None }];
        let said = Run::new(&["--unmount", name]).folder(folder.path()).with(Fake::answering(done));
        assert_eq!(
            (said.out.as_str(), said.heard),
            (SUCCESS, vec![Request::Unmount { disk: Some(real.clone()) }])
        );
    }
}

#[test]
fn no_distribution_at_all_is_a_failure_without_a_code() {
    for words in [&["-l"][..], &["-l", "-v"]] {
        let none = vec![Reply::Distributions { distributions: Vec::new() }];
        let said = Run::new(words).with(Fake::answering(none));
        assert_eq!((said.out, said.code), (format!("{}\n", Code::DefaultDistroNotFound.text()), 255));
    }
}

#[test]
fn what_id_says_of_a_user_is_for_the_caller() {
    let words = ["--manage", "D", "--set-default-user", "Nonexistent"];
    let ended = vec![Reply::Ended { end: sampan_model::session::End::Exited { code: 1 } }];
    let said = Run::new(&words).with(Fake::writing(2, "id: no such user\n", ended));
    assert_eq!((said.out.as_str(), said.err.as_str(), said.code), ("", "id: no such user\n", 1));
}

#[test]
fn what_became_of_a_mount_is_told_without_a_code() {
    for (code, words, exit) in [
        (Code::DiskMountFailed, ["--mount", "/dev/null"], 1),
        (Code::DiskUnmountFailed, ["--unmount", "/dev/null"], 255),
    ] {
        let failure = Failure::new(code).with_message("It did not work.\nSo.\n").in_context(Context::Service);
        let said = Run::new(&words).with(Fake::answering(failed(failure)));
        assert_eq!((said.out.as_str(), said.code), ("It did not work.\nSo.\n", exit));
    }
}

#[test]
fn sampan_s_own_verbs_need_no_service() {
    for (words, begins, code) in [
        (&["--version"][..], "WSL version: ", 0),
        (&["--help"], "Usage: wsl ", 0),
        (&["--update"], "Sampan ", 0),
        (&["--uninstall"], "Sampan does not remove itself.\nTo mend it: ", 255),
        (&["--debug-shell"], "There is no virtual machine here", 255),
    ] {
        let said = Run::new(words).with(Fake::stopped(Reply::Terminal));
        assert!(said.out.starts_with(begins), "{}", said.out);
        assert_eq!((said.code, said.started), (code, 0));
    }
}
