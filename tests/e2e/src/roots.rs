//! Root file systems for distributions, each made once per run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::images::{self, fresh};
use crate::tools::Tool;
use crate::{files, waiting, workspace};

/// The variable that names a Debian root file system to use instead of one built in this run.
pub const DEBIAN_VARIABLE: &str = "SAMPAN_TEST_DEBIAN";

/// A tarball of a small distribution: static busybox, users `root` and `ann` (1000), 64 groups.
#[track_caller]
pub fn small() -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let folder = fresh("small");
        let tree = folder.join("tree");
        files::make_folder(&tree);
        Tool::new("tar").arg("-xf").arg(images::busybox()).arg("-C").arg(&tree).run().ok();
        fill(&tree);
        pack(&tree, &folder.join("small.tar"))
    })
    .clone()
}

/// A tarball of Debian stable with systemd, built by `scripts/debian-root`, unless one was given.
#[track_caller]
pub fn debian() -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        if let Some(given) = std::env::var_os(DEBIAN_VARIABLE) {
            return PathBuf::from(given);
        }
        let folder = fresh("debian");
        let tar = folder.join("debian.tar");
        Tool::new(workspace::root().join("scripts/debian-root"))
            .arg(&tar)
            // Other tests look at what appears in the usual folder.
            .env("TMPDIR", &folder)
            .deadline(waiting::LONG * 5)
            .run()
            .ok();
        tar
    })
    .clone()
}

/// What [`small`] has beyond busybox.
fn fill(tree: &Path) {
    let write = |path: &str, text: &str| files::write(&tree.join(path), text);
    write(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    );
    let extra: Vec<String> = (0..64).map(|n| format!("g{n}:x:{}:ann\n", 2000 + n)).collect();
    write("etc/group", &format!("root:x:0:\ntty:x:5:\nann:x:1000:\nnogroup:x:65534:\n{}", extra.concat()));
    write("etc/os-release", "ID=small\nVERSION_ID=\"1\"\n");
    write("root/.profile", "");
    files::set_mode(&tree.join("root"), 0o700);
    files::make_folder(&tree.join("home/ann"));
    std::os::unix::fs::chown(tree.join("home/ann"), Some(1000), Some(1000))
        .expect("tests of distributions run as root");
    files::set_mode(&tree.join("tmp"), 0o1777);
}

/// The tree as a tarball, which replaces it.
#[track_caller]
pub fn pack(tree: &Path, tar: &Path) -> PathBuf {
    Tool::new("tar").args(["--numeric-owner", "-C"]).arg(tree).arg("-cf").arg(tar).arg(".").run().ok();
    fs::remove_dir_all(tree).expect("it was just packed");
    tar.to_owned()
}
