use std::os::unix::ffi::OsStringExt;

use super::options::OptionError;
use super::*;
use crate::distro::Guid;
use crate::words::Word;

const ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

fn parsed(words: &[&str]) -> Result<Command, UsageError> {
    parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
}

fn run(words: &[&str]) -> RunOptions {
    match parsed(words) {
        Ok(Command::Run(options)) => options,
        other => panic!("{words:?}: {other:?}"),
    }
}

fn line(text: &str) -> Program {
    Program::Line { line: Word::from(text), login: false }
}

fn exec(words: &[&str]) -> Program {
    Program::Exec { words: words.iter().map(|word| Word::from(*word)).collect() }
}

fn inside(path: &str) -> Folder {
    Folder::Inside { path: Word::from(path) }
}

fn named(name: &str) -> Target {
    Target::Name { name: name.to_owned() }
}

#[test]
fn nothing_is_a_login_shell_in_the_default_distribution() {
    let expected = RunOptions {
        target: Target::Default,
        user: None,
        folder: None,
        program: Program::Shell { login: true },
        system: false,
    };
    assert_eq!(run(&[]), expected);
    assert_eq!(run(&["--"]), expected);
    assert_eq!(run(&["--shell-type", "login"]), expected);
    assert_eq!(run(&["--shell-type", "standard"]).program, Program::Shell { login: false });
}

#[test]
fn options_stand_in_any_order_until_the_command() {
    let options = run(&["-u", "ann", "--cd", "/srv", "--system", "-d", "Ubuntu", "ls", "-d", "Debian"]);
    assert_eq!(
        options,
        RunOptions {
            target: named("Ubuntu"),
            user: Some("ann".to_owned()),
            folder: Some(inside("/srv")),
            program: line("ls -d Debian"),
            system: true,
        }
    );
    assert_eq!(run(&["--distribution", "Ubuntu", "--user", "ann"]).target, named("Ubuntu"));
}

#[test]
fn what_ends_the_options() {
    assert_eq!(run(&["--", "--list"]).program, line("--list"));
    assert_eq!(run(&["-e", "ls", "--", "-l"]).program, exec(&["ls", "--", "-l"]));
    assert_eq!(run(&["--exec", "--list"]).program, exec(&["--list"]));
    assert_eq!(run(&["~"]).program, Program::Shell { login: true });
    assert_eq!(run(&["-u", "ann", "~"]).program, line("~"));
}

#[test]
fn shell_types() {
    assert_eq!(run(&["--shell-type", "none", "ls", "a b"]).program, exec(&["ls", "a b"]));
    assert_eq!(
        run(&["--shell-type", "login", "ls", "a b"]).program,
        Program::Line { line: Word::from("ls 'a b'"), login: true }
    );
    assert_eq!(run(&["--shell-type", "login", "--exec", "ls"]).program, exec(&["ls"]));
    for words in
        [&["--shell-type", "none"][..], &["-e"], &["--shell-type", "foo", "ls"], &["--cd"], &["--cd", ""]]
    {
        let error = parsed(words).unwrap_err();
        assert!(matches!(error, UsageError::Invalid(Some(_))), "{words:?}: {error:?}");
    }
}

#[test]
fn bytes_of_the_command_survive() {
    let bytes = OsString::from_vec(b"\xff\xfe".to_vec());
    let words = [OsString::from("--exec"), OsString::from("cat"), bytes.clone()];
    let Ok(Command::Run(RunOptions { program: Program::Exec { words }, .. })) = parse(&words) else {
        panic!("no program");
    };
    assert_eq!(words[1].as_os_str(), bytes);
    let Ok(Command::Run(options)) = parse(&[OsString::from("--cd"), bytes.clone(), bytes.clone()]) else {
        panic!("no command");
    };
    assert_eq!(options.folder, Some(Folder::Host { path: Word::from(bytes.clone()) }));
    assert_eq!(options.program, Program::Line { line: Word::from(bytes), login: false });
}

#[test]
fn folders_are_those_of_the_distribution() {
    for (word, folder) in [
        ("~", Folder::Home),
        ("~/", Folder::Home),
        ("~/src", inside("~/src")),
        ("/etc", inside("/etc")),
        ("relative", Folder::Host { path: "relative".into() }),
        ("~ann", Folder::Host { path: "~ann".into() }),
    ] {
        assert_eq!(run(&["--cd", word]).folder, Some(folder), "{word}");
    }
}

#[test]
fn what_may_stand_before_all_options() {
    let id: Guid = ID.parse().unwrap();
    let braces = format!("{{{}}}", ID.to_uppercase());
    for words in [&[ID, "~", "-u", "ann", "ls"][..], &[braces.as_str(), "~", "-u", "ann", "ls"]] {
        let options = run(words);
        assert_eq!(options.target, Target::Id { id });
        assert_eq!((options.folder, options.program), (Some(Folder::Home), line("ls")));
    }
    assert_eq!(run(&["~", "-d", "X"]).target, named("X"));
    assert_eq!(run(&["--distribution-id", &braces]).target, Target::Id { id });
    assert_eq!(parsed(&[ID, "-d", "X"]), Err(UsageError::DistributionAlreadySet));
    assert_eq!(parsed(&["-d", "X", "--distribution-id", ID]), Err(UsageError::DistributionAlreadySet));
}

#[test]
fn options_that_lack_their_parameter() {
    for (words, option) in [
        (&["-d"][..], "--distribution"),
        (&["-d", ""], "--distribution"),
        (&["--distribution-id"], "--distribution-id"),
        (&["-u"], "--user"),
        (&["--shell-type"], "--shell-type"),
        (&["-s"], "--set-default"),
        (&["--setdefault"], "--set-default"),
        (&["-t"], "--terminate"),
        (&["--unregister", "--force"], "--unregister"),
        (&["--set-version"], "--set-version"),
    ] {
        let error = parsed(words).unwrap_err();
        assert_eq!(error, UsageError::ParameterMissing(option), "{words:?}");
        assert_eq!(error.render(), format!("Argument {option} is missing a required parameter.\n"));
    }
}

#[test]
fn verbs_without_options() {
    for (words, command) in [
        (&["--help"][..], Command::Help),
        (&["-d", "X", "--help"], Command::Help),
        (&["-v"], Command::Version),
        (&["--version"], Command::Version),
        (&["--status"], Command::Status),
        (&["--debug-shell"], Command::DebugShell),
        (&["--uninstall"], Command::Uninstall),
        (&["-t", "X"], Command::Terminate { name: "X".into() }),
        (&["--terminate", "--", "-X"], Command::Terminate { name: "-X".into() }),
        (&["--set-default-version", "1"], Command::SetDefaultVersion { version: 1 }),
        (&["--unmount"], Command::Unmount { disk: None }),
        (&["--unmount", "/dev/sdb"], Command::Unmount { disk: Some("/dev/sdb".into()) }),
        (&["--update", "--web-download", "--confirm"], Command::Update),
        (&["--update", "--pre-release"], Command::Update),
    ] {
        assert_eq!(parsed(words), Ok(command), "{words:?}");
    }
}

#[test]
fn an_internal_distribution_takes_force() {
    let name = || "docker-desktop".to_owned();
    for force in [false, true] {
        let with = |words: &[&'static str]| {
            let flag = force.then_some("--force");
            parsed(&words.iter().copied().chain(flag).collect::<Vec<_>>()).unwrap()
        };
        assert_eq!(with(&["-s", "docker-desktop"]), Command::SetDefault { name: name(), force });
        assert_eq!(with(&["--unregister", "docker-desktop"]), Command::Unregister { name: name(), force });
        assert_eq!(with(&["--shutdown"]), Command::Shutdown { force });
    }
}

#[test]
fn force_is_refused_where_nothing_is_forced() {
    for words in [&["--set-version", "X", "1", "--force"][..], &["--set-version", "--force", "X", "1"]] {
        let error = parsed(words).unwrap_err();
        assert!(error.render().starts_with("Invalid command line argument: --force\n"), "{error}");
    }
}

#[test]
fn a_word_too_many_is_refused() {
    for words in [
        &["-t", "X", "Y"][..],
        &["-s", "X", "Y"],
        &["--unregister", "X", "Y"],
        &["--set-default-version", "2", "Y"],
        &["--set-version", "X", "2", "Y"],
        &["--status", "Y"],
        &["--version", "Y"],
        &["-l", "Y"],
        &["--shutdown", "Y"],
        &["--unmount", "X", "Y"],
        &["--import", "N", "D", "F", "Y"],
        &["--help", "Y"],
        &["--export", "N", "F", "Y"],
        &["--install", "N", "Y"],
        &["--manage", "N", "Y", "--resize", "1G"],
        &["--mount", "D", "Y"],
    ] {
        let error = parsed(words).unwrap_err();
        assert_eq!(
            error.render(),
            "Invalid command line argument: Y\nPlease use 'wsl --help' to get a list of supported arguments.\n\
             Error code: Wsl/E_INVALIDARG\n",
            "{words:?}"
        );
    }
    assert_eq!(parsed(&["--import-in-place", "N", "F", "Y"]), Err(UsageError::Usage));
    let error = parsed(&["--uninstall", "X"]).unwrap_err().render();
    assert!(error.starts_with("--uninstall does not take any arguments.") && !error.contains("Error code"));
}

/// `wsl -d X --shutdown` stops every distribution; it must not look as if it stopped X.
#[test]
fn a_verb_behind_options_of_a_command_is_refused() {
    let error = parsed(&["-d", "X", "--shutdown"]).unwrap_err();
    assert_eq!(
        error.render(),
        "Arguments --shutdown and -d can't be specified at same time.\nError code: Wsl/E_INVALIDARG\n"
    );
    assert!(matches!(parsed(&["~", "--list"]), Err(UsageError::Exclusive(..))));
}

#[test]
fn list() {
    let verbose = Command::List(ListOptions { verbose: true, ..ListOptions::default() });
    for words in [&["-l", "-v"][..], &["--list", "--verbose"], &["-l", "--verbose"]] {
        assert_eq!(parsed(words).as_ref(), Ok(&verbose));
    }
    assert_eq!(
        parsed(&["-l", "-qo"]),
        Ok(Command::List(ListOptions { quiet: true, online: true, ..ListOptions::default() }))
    );
    assert_eq!(parsed(&["-lv"]), Err(UsageError::Unknown("-lv".into())));
}

#[test]
fn import_and_export() {
    let import = ImportOptions {
        name: "N".into(),
        location: "dir".into(),
        source: Source::File("x.tar".into()),
        version: None,
        vhd: false,
    };
    assert_eq!(parsed(&["--import", "N", "dir", "x.tar"]), Ok(Command::Import(import.clone())));
    assert_eq!(
        parsed(&["--import", "--version", "1", "N", "dir", "-"]),
        Ok(Command::Import(ImportOptions { version: Some(1), source: Source::Stdin, ..import.clone() }))
    );
    assert_eq!(
        parsed(&["--import", "N", "dir", "x.vhdx", "--vhd"]),
        Ok(Command::Import(ImportOptions {
            source: Source::File("x.vhdx".into()),
            vhd: true,
            ..import.clone()
        }))
    );
    assert_eq!(parsed(&["--import", "N", "dir", "x.VHD"]), Err(UsageError::LooksLikeVhd));
    assert_eq!(
        parsed(&["--import", "N", "dir"]).unwrap_err().code(),
        Some(crate::wsl::error::Code::InvalidArg)
    );
    assert_eq!(parsed(&["--import", "N", "dir", "f", "--version", "2abc"]), Err(UsageError::Version));
    assert_eq!(
        parsed(&["--import-in-place", "N", "x.vhdx"]),
        Ok(Command::ImportInPlace { name: "N".into(), disk: "x.vhdx".into() })
    );
    assert_eq!(parsed(&["--import-in-place", "N"]), Err(UsageError::Usage));

    let export = |format| ExportOptions { name: "N".into(), sink: Sink::File("f".into()), format };
    for (words, format) in [
        (&["--export", "N", "f"][..], Format::Tar),
        (&["--export", "N", "f", "--format", "tar.gz"], Format::TarGz),
        (&["--export", "N", "f", "--format", "tar.xz"], Format::TarXz),
        (&["--export", "N", "f", "--format", "vhd"], Format::Vhd),
        (&["--export", "--vhd", "N", "f"], Format::Vhd),
        (&["--export", "--vhd", "N", "f", "--format", "vhd"], Format::Vhd),
    ] {
        assert_eq!(parsed(words), Ok(Command::Export(export(format))), "{words:?}");
    }
    assert_eq!(
        parsed(&["--export", "N", "-"]),
        Ok(Command::Export(ExportOptions { sink: Sink::Stdout, ..export(Format::Tar) }))
    );
    for words in
        [&["--export", "N"][..], &["--export"], &["--export", "N", "f", "--vhd", "--format", "tar.xz"]]
    {
        assert_eq!(parsed(words), Err(UsageError::Usage), "{words:?}");
    }
    let text = parsed(&["--export", "N", "f", "--format", "zip"]).unwrap_err().render();
    assert_eq!(
        text,
        "The parameter is incorrect. \n'zip' is no format of an export; use tar, tar.gz, tar.xz or vhd.\n\
         Error code: Wsl/E_INVALIDARG\n"
    );
}

#[test]
fn install() {
    let all = [
        "--install",
        "-d",
        "Debian",
        "-n",
        "--name",
        "deb",
        "-l",
        "dir",
        "--version",
        "2",
        "--vhd-size",
        "64GB",
        "--fixed-vhd",
        "--legacy",
        "--prompt-before-exit",
        "--web-download",
    ];
    assert_eq!(
        parsed(&all),
        Ok(Command::Install(InstallOptions {
            install: Install {
                distribution: Some("Debian".into()),
                name: Some("deb".into()),
                location: Some("dir".into()),
                version: Some(2),
                vhd_size: Some(64 << 30),
                from_file: None,
                legacy: true,
                of_container: false,
            },
            source: None,
            fixed_vhd: true,
            no_launch: true,
            no_distribution: false,
            without_effect: vec!["--web-download", "--prompt-before-exit"],
        }))
    );
    assert_eq!(parsed(&["--install"]), Ok(Command::Install(InstallOptions::default())));
    assert_eq!(
        parsed(&["--install", "--from-file", "-"]),
        Ok(Command::Install(InstallOptions { source: Some(Source::Stdin), ..InstallOptions::default() }))
    );
    for (words, one, other) in [
        (&["--install", "X", "--no-distribution"][..], "--no-distribution", "--distribution"),
        (&["--install", "X", "-f", "f"], "--from-file", "--distribution"),
        (&["--install", "--no-distribution", "-f", "f"], "--no-distribution", "--from-file"),
    ] {
        assert_eq!(parsed(words), Err(UsageError::Exclusive(one.into(), other.into())), "{words:?}");
    }
    assert_eq!(parsed(&["--install", "X", "-d", "Y"]), Err(UsageError::DistributionAlreadySet));
    assert_eq!(parsed(&["--install", "--vhd-size", "1GiB"]), Err(OptionError::Size("1GiB".into()).into()));
}

#[test]
fn manage() {
    for (words, action) in [
        (&["-s", "false"][..], ManageAction::SetSparse(false)),
        (&["--set-sparse", "1", "--allow-unsafe"], ManageAction::SetSparse(true)),
        (&["-m", "dir"], ManageAction::Move("dir".into())),
        (&["--set-default-user", "ann"], ManageAction::SetDefaultUser("ann".into())),
        (&["-r", "2GB"], ManageAction::Resize(2 << 30)),
    ] {
        let words: Vec<&str> = ["--manage", "X"].iter().chain(words).copied().collect();
        assert_eq!(parsed(&words), Ok(Command::Manage { name: "X".into(), action }), "{words:?}");
    }
    for words in [&["--manage", "X"][..], &["--manage"], &["--manage", "X", "-r", "1G", "-m", "dir"]] {
        assert_eq!(parsed(words), Err(UsageError::Usage), "{words:?}");
    }
    let error = parsed(&["--manage", "X", "-s", "maybe"]).unwrap_err().render();
    assert_eq!(error, "maybe is not a valid boolean, <true|false>\nError code: Wsl/E_INVALIDARG\n");
    assert_eq!(
        parsed(&["--manage", "X", "-m", "dir", "--allow-unsafe"]),
        Err(UsageError::Requires("--allow-unsafe", "--set-sparse"))
    );
}

#[test]
fn mount() {
    let plain = Mount { disk: "/dev/sdb".into(), ..Mount::default() };
    for (words, expected) in [
        (&["/dev/sdb"][..], plain.clone()),
        (&["/dev/sdb", "--bare", "--vhd"], Mount { bare: true, vhd: true, ..plain.clone() }),
        (&["/dev/sdb", "-p", "0"], plain.clone()),
        (&["--name", "", "/dev/sdb"], Mount { name: Some(String::new()), ..plain.clone() }),
        (
            &["/dev/sdb", "-n", "N", "-t", "ext4", "-o", "ro,sync", "-p", "2"],
            Mount {
                name: Some("N".into()),
                fstype: Some("ext4".into()),
                options: Some("ro,sync".into()),
                partition: Some(2),
                ..plain.clone()
            },
        ),
    ] {
        let words: Vec<&str> = std::iter::once(&"--mount").chain(words).copied().collect();
        assert_eq!(parsed(&words), Ok(Command::Mount(expected)), "{words:?}");
    }
    assert_eq!(parsed(&["--mount"]), Err(UsageError::Usage));
    assert_eq!(parsed(&["--mount", "d", "-p", "1a"]), Err(OptionError::Integer("1a".into()).into()));
    assert_eq!(
        parsed(&["--mount", "d", "-b"]).unwrap_err().code(),
        Some(crate::wsl::error::Code::InvalidArg)
    );
}
