//! What holds for any input: nothing panics, and what goes there comes back.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sampan_model::wsl::account::{Accounts, User};
use sampan_model::wsl::environment::wslenv::{Direction, HostPaths, apply, select};
use sampan_model::wsl::environment::{Session, session};
use sampan_model::wsl::manifest::{Architecture, Manifest, bytes_of_hex, file_name, file_path, hex_of_bytes};
use sampan_model::wsl::path::{Form, MountTable, Place, SharedFolders, run, translate};
use sampan_model::wsl::{hostname, hosts, info, locale, os_release, resolv_conf};

const DRIVE: &[u8] = b"80 60 0:60 / /mnt/c rw - 9p C:\\134 rw,aname=drvfs;path=C:\\;uid=0\n";

fn not_found(_: &Path) -> io::Result<PathBuf> {
    Err(io::ErrorKind::NotFound.into())
}

fn word() -> impl Strategy<Value = OsString> {
    prop_oneof![
        prop::collection::vec(1u8..=255, 0..20).prop_map(OsString::from_vec),
        r"[-/\\.:CcUu?$a ]{0,16}".prop_map(OsString::from),
    ]
}

/// Text with the characters that files below /etc are made of, and any other.
fn lines() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r#"((ID|VERSION_ID|LANG|nameserver|search|root|1.1.1.1|::1|x)?[=: \t,"'\\#/0-9a-z-]{0,12}\n?){0,12}"#
    ]
}

fn mountinfo() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        r"(1 2 0:1 / /(mnt/c)? r -  ?(9p|drvfs) [C:/\\0-9]{0,6} r,(aname=drvfs;path=[CUN:\\]{0,6})?\n?){0,4}"
            .prop_map(String::into_bytes),
    ]
}

/// A name of a file that means the same on both sides: no dots alone, nothing that stands for another
/// character.
fn name() -> impl Strategy<Value = String> {
    "[^/\0\u{f000}-\u{f07f}]{1,12}".prop_filter("a dot is no name", |name| name != "." && name != "..")
}

fn path(names: &[String]) -> String {
    names.iter().flat_map(|name| ["/", name]).collect()
}

fn folder() -> impl Strategy<Value = PathBuf> {
    prop::collection::vec("[ab]", 0..4).prop_map(|names| Path::new("/").join(names.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wslpath_never_panics(
        table in mountinfo(),
        words in prop::collection::vec(word(), 0..4),
        distribution in "[a-z]{0,3}",
        exists in any::<bool>(),
    ) {
        let table = MountTable::parse(&table);
        for cwd in ["/", "/mnt/c", "/mnt/c/x", "/root"] {
            let place = Place { mounts: &table, distribution: &distribution, cwd: Path::new(cwd) };
            let realpath = |path: &Path| if exists { Ok(path.to_owned()) } else { not_found(path) };
            let answer = run(&words, place, realpath);
            prop_assert!(answer.code <= 1);
            prop_assert_eq!(answer.code == 0, answer.stderr.is_empty());
            for word in &words {
                for form in [Form::Linux, Form::Windows, Form::Mixed] {
                    let translated = translate(word, form, true, place, realpath);
                    if let (Form::Linux, Ok(path)) = (form, translated) {
                        let absolute = Path::new(&path).is_absolute();
                        prop_assert!(absolute, "{} is {}", word.display(), path.display());
                    }
                }
            }
        }
    }

    #[test]
    fn paths_of_the_distribution_come_back(
        names in prop::collection::vec(name(), 0..5),
        slash in any::<bool>(),
    ) {
        let table = MountTable::parse(DRIVE);
        let place = Place { mounts: &table, distribution: "Deb", cwd: Path::new("/") };
        let path = format!("/data{}{}", path(&names), if slash { "/" } else { "" });
        let windows = translate(OsStr::new(&path), Form::Windows, false, place, not_found).unwrap();
        prop_assert!(!windows.to_str().unwrap().contains('/'));
        let back = translate(&windows, Form::Linux, false, place, not_found).unwrap();
        prop_assert_eq!(back, OsString::from(path));
    }

    #[test]
    fn paths_of_a_drive_come_back(names in prop::collection::vec(name(), 1..5), slash in any::<bool>()) {
        let table = MountTable::parse(DRIVE);
        let place = Place { mounts: &table, distribution: "Deb", cwd: Path::new("/") };
        // On a drive the characters that Windows does not have stay what they became.
        let illegal = |c: char| c < ' ' || "\"*:<>?\\|".contains(c);
        let names: Vec<String> = names.iter().map(|name| name.replace(illegal, "_")).collect();
        let path = format!("/mnt/c{}{}", path(&names), if slash { "/" } else { "" });
        for form in [Form::Windows, Form::Mixed] {
            let windows = translate(OsStr::new(&path), form, false, place, not_found).unwrap();
            prop_assert!(windows.to_str().unwrap().starts_with("C:"));
            let back = translate(&windows, Form::Linux, false, place, not_found).unwrap();
            prop_assert_eq!(back, OsString::from(&path));
        }
    }

    #[test]
    fn shared_folders_lead_back(
        folders in prop::collection::vec((folder(), folder()), 0..4),
        path in folder(),
    ) {
        let shared = SharedFolders::new(folders.clone());
        if let Some(inside) = shared.to_inside(&path) {
            prop_assert_eq!(shared.to_host(&inside), Some(path.clone()));
        }
        if let Some(host) = shared.to_host(&path) {
            // Another place may show the same file, but there is one.
            let inside = shared.to_inside(&host);
            prop_assert_eq!(inside.and_then(|inside| shared.to_host(&inside)), Some(host));
        } else {
            prop_assert!(!folders.iter().any(|(_, inside)| path.starts_with(inside)));
        }
    }

    #[test]
    fn shared_folders_never_panic(folders in prop::collection::vec((word(), word()), 0..4), path in word()) {
        let shared = SharedFolders::new(folders.into_iter().map(|(a, b)| (a.into(), b.into())));
        for other in [shared.to_inside(path.as_ref()), shared.to_host(path.as_ref())].into_iter().flatten() {
            prop_assert!(other.is_absolute());
        }
    }

    #[test]
    fn host_names_are_valid(wanted in prop_oneof![any::<String>(), "[a-z.-]{0,80}"]) {
        let name = hostname::clean(&wanted);
        prop_assert!((1..=64).contains(&name.len()));
        prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-'));
        prop_assert!(name.matches('.').count() <= 1);
        let odd = name.starts_with(['.', '-']) || name.ends_with(['.', '-']);
        prop_assert!(!odd && !["--", ".-", "-."].iter().any(|pair| name.contains(pair)), "{}", name);
        prop_assert_eq!(hostname::clean(&name), name);
    }

    #[test]
    fn files_below_etc_never_panic(
        text in lines(),
        more in lines(),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        if let Some(value) = os_release::Release::probe(&text).flavor {
            prop_assert!(value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.,".contains(c)));
        }
        let _ = locale::lang([Some(&text), None]);
        let resolvers = resolv_conf::ResolvConf::parse(&text);
        prop_assert_eq!(resolv_conf::ResolvConf::parse(&resolvers.render()), resolvers);
        for file in [text.as_bytes(), &bytes] {
            let entries = hosts::Entries::parse(file).unwrap();
            prop_assert_eq!(hosts::Entries::parse(entries.to_string().as_bytes()).unwrap(), entries.clone());
            prop_assert!(hosts::render("box", None, entries).starts_with("# This file"));
            let accounts = Accounts::parse(file, more.as_bytes());
            let user = accounts.default_user(Some(OsStr::new("x")), 0);
            prop_assert!(user.home.is_absolute());
            prop_assert_eq!(accounts.groups_of(&user)[0], user.gid);
        }
    }

    #[test]
    fn manifests_never_panic(
        text in any::<String>(),
        json in r#"[\[\]{}":, a1]{0,30}"#,
        hash in "(0x)?[0-9a-fA-Fx ]{0,8}",
    ) {
        for text in [&text, &json] {
            let _ = Manifest::parse(text.as_bytes(), Architecture::Arm64);
            let _ = file_path(text);
            let url = format!("https://host/{text}");
            prop_assert!(file_name(&url).is_none_or(|name| !name.contains('/') && !name.is_empty()));
        }
        if let Ok(bytes) = bytes_of_hex(&hash) {
            let digits = hash.strip_prefix("0x").unwrap_or(&hash).to_lowercase();
            prop_assert_eq!(hex_of_bytes(&bytes), format!("0x{digits}"));
        }
    }

    #[test]
    fn environments_can_be_passed_on(
        list in r"([a-d=]{0,2}(/[puwlx]{0,3})?:?){0,6}",
        value in word(),
        distribution in any::<String>(),
    ) {
        let lookup = |name: &OsStr| Some(if name == "WSLENV" { (&list).into() } else { value.clone() });
        for direction in [Direction::IntoLinux, Direction::OutOfLinux] {
            for host in [HostPaths::Windows, HostPaths::Linux] {
                let variables = select(direction, lookup);
                prop_assert_eq!(variables[0].name.as_os_str(), "WSLENV");
                let (imported, _) = apply(&variables, direction, host, |path| Some(path.to_owned()));
                let facts = Session {
                    user: &User::root(),
                    distribution: &distribution,
                    hostname: "box",
                    lang: None,
                    term: None,
                    imported: &imported,
                    login_session: true,
                };
                let environment = session(&facts);
                let mut names: Vec<_> = environment.iter().map(|(name, _)| name).collect();
                for name in &names {
                    prop_assert!(!name.is_empty() && !name.as_encoded_bytes().contains(&b'='));
                }
                prop_assert!(!environment.iter().any(|(_, value)| value.as_encoded_bytes().contains(&0)));
                names.sort();
                names.dedup();
                prop_assert_eq!(names.len(), environment.len());
            }
        }
    }

    #[test]
    fn wslinfo_never_panics(words in prop::collection::vec(word(), 0..4)) {
        let info = info::Info { networking_mode: Some("nat"), vm_id: None, version: "1" };
        prop_assert!(info::run(&words, &info).code <= 1);
    }
}
