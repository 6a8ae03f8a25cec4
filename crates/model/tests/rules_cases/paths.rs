//! Section 1: `wslpath`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use sampan_model::wsl::path::{MountTable, Place, run};
use sampan_model::wsl::tool::Answer;

use crate::Section;

/// The mounts of the original test machine: the root, and `C:` by 9p.
const MOUNTS: &str = "\
60 50 8:16 / / rw,relatime - ext4 /dev/sdb rw,discard
70 60 0:5 / /proc rw,nosuid - proc proc rw
80 60 0:60 / /mnt/c rw,noatime - 9p C:\\134 rw,dirsync,aname=drvfs;path=C:\\;uid=0;gid=0;symlinkroot=/mnt/
";
/// A tmpfs with an empty source: two blanks in a row.
const MALFORMED: &str = "90 60 0:61 / /data/wslpath_mount rw,relatime -  tmpfs  rw\n";
/// A FAT volume of version 1.
const FAT: &str = "80 60 0:60 / /mnt/c rw,noatime - drvfs C:/lxss_fat rw,case=off\n";

/// What exists: one link. Everything else is not there.
fn realpath(path: &Path) -> io::Result<PathBuf> {
    match path.to_str() {
        Some("/mnt/c/symlink_test_dir/link") => Ok("/mnt/c/symlink_test_dir/target".into()),
        Some("/mnt/c" | "/mnt/c/" | "/" | "/root" | "/proc/1/") => Ok(path.components().collect()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn wslpath(mounts: &str, option: &str, path: &str) -> Answer {
    let table = MountTable::parse(mounts.as_bytes());
    let place = Place { mounts: &table, distribution: "test_distro", cwd: Path::new("/data") };
    run(&[OsString::from(option), OsString::from(path)], place, realpath)
}

#[test]
fn section_1() {
    let mut section = Section::new(
        1,
        "P01 P02 P04 P05 P07 P08 P10 P11 P13 P14 P16 P17 P19 P20 P22 P23 P25 P26 P28 P29 P31 P32 P34 P35 P37 \
         P38 P40 P41 P43 P44 P46 P47",
    );
    let malformed = format!("{MOUNTS}{MALFORMED}");
    let user_bin = r"C:\Users\Test User\AppData\Local\Programs\Microsoft VS Code\bin";
    let linux_user_bin = "/mnt/c/Users/Test User/AppData/Local/Programs/Microsoft VS Code/bin";
    let translated = [
        ("P01", MOUNTS, "-u", r"C:\", "/mnt/c/"),
        ("P02", MOUNTS, "-u", r"C:\Foo", "/mnt/c/Foo"),
        ("P04", MOUNTS, "-u", r"C:\Foo\bar", "/mnt/c/Foo/bar"),
        ("P05", MOUNTS, "-u", "C:/Foo/bar", "/mnt/c/Foo/bar"),
        ("P07", MOUNTS, "-u", r"foo\", "foo/"),
        ("P08", MOUNTS, "-u", r"C:\Program Files\Git", "/mnt/c/Program Files/Git"),
        (
            "P10",
            MOUNTS,
            "-u",
            r"C:\Program Files (x86)\Common Files",
            "/mnt/c/Program Files (x86)/Common Files",
        ),
        ("P11", MOUNTS, "-u", user_bin, linux_user_bin),
        ("P13", MOUNTS, "-w", "/mnt/c/", r"C:\"),
        ("P14", MOUNTS, "-w", "/mnt/c/Users", r"C:\Users"),
        ("P16", MOUNTS, "-w", "/mnt/c/DOESNOTEXIST/", r"C:\DOESNOTEXIST\"),
        ("P17", MOUNTS, "-w", "/mnt/c/Program Files/Git", r"C:\Program Files\Git"),
        (
            "P19",
            MOUNTS,
            "-w",
            "/mnt/c/Program Files (x86)/Common Files",
            r"C:\Program Files (x86)\Common Files",
        ),
        ("P20", MOUNTS, "-w", linux_user_bin, user_bin),
        ("P22", MOUNTS, "-u", "C:\\wslpath_foo\u{f05c}\u{f03a}bar", "/mnt/c/wslpath_foo\u{f05c}\u{f03a}bar"),
        ("P23", MOUNTS, "-w", "/mnt/c/symlink_test_dir/link", r"C:\symlink_test_dir\target"),
        ("P25", &malformed, "-w", "/mnt/c", r"C:\"),
        ("P26", MOUNTS, "-u", r"\\wsl.localhost\test_distro", "/"),
        ("P28", MOUNTS, "-u", r"\\wsl.localhost\test_distro\root", "/root"),
        ("P29", MOUNTS, "-u", r"\\wsl.localhost\test_distro\proc\stat", "/proc/stat"),
        ("P31", MOUNTS, "-u", r"\\wsl$\test_distro\proc\stat", "/proc/stat"),
        ("P32", MOUNTS, "-u", r"\\wsl$\test_distro", "/"),
        ("P34", MOUNTS, "-u", r"\\?\C:\Users\", "/mnt/c/Users/"),
        ("P35", MOUNTS, "-u", ".", "."),
        ("P40", MOUNTS, "-w", "/", r"\\wsl.localhost\test_distro\"),
        ("P41", MOUNTS, "-w", "/root", r"\\wsl.localhost\test_distro\root"),
        ("P43", MOUNTS, "-w", "/proc/1/", r"\\wsl.localhost\test_distro\proc\1\"),
        (
            "P44",
            MOUNTS,
            "-w",
            r"/data/wslpath_foo\:bar",
            "\\\\wsl.localhost\\test_distro\\data\\wslpath_foo\u{f05c}\u{f03a}bar",
        ),
        ("P46", FAT, "-u", "C:/lxss_fat", "/mnt/c"),
        ("P47", FAT, "-w", "/mnt/c", r"C:\lxss_fat"),
    ];
    for (id, mounts, option, path, expected) in translated {
        section.check(id, wslpath(mounts, option, path), Answer::success(format!("{expected}\n")));
    }
    for (id, path) in [("P37", r"\\wsl.localhost\test_distroX\foo"), ("P38", r"\\wsl$\test_distro-other\foo")]
    {
        let message = format!("wslpath: {path}: Invalid argument");
        section.check(id, wslpath(MOUNTS, "-u", path), Answer::failure(message));
    }
    section.finish([32, 0, 0]);
}
