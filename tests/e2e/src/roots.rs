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

/// A tarball of [`small`] with the C library musl, and `/usr/bin/through-musl`, which needs it and runs its arguments.
#[track_caller]
pub fn musl() -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let folder = fresh("musl");
        let tree = folder.join("tree");
        files::make_folder(&tree);
        Tool::new("tar").arg("-xf").arg(small()).arg("-C").arg(&tree).run().ok();
        let library = images::package("musl", &folder.join("library"));
        Tool::new("cp").args(["-a", "--"]).args(files::entries(&library)).arg(&tree).run().ok();
        compile_for_musl(&tree, &folder);
        pack(&tree, &folder.join("musl.tar"))
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

/// Makes `/usr/bin/through-musl` in a tree that has the C library musl. `folder` is for what that needs.
fn compile_for_musl(tree: &Path, folder: &Path) {
    let source = folder.join("through.c");
    files::write(
        &source,
        "int execvp(const char *, char *const *); void perror(const char *);\n\
         int main(int count, char **words) { execvp(words[1], words + 1); perror(words[1]); return 127; }\n",
    );
    let found = files::names(&tree.join("lib")).into_iter().find(|name| name.starts_with("ld-musl-"));
    let loader = format!("lib/{}", found.expect("the package has a loader"));
    let library = fs::canonicalize(tree.join(&loader)).expect("it leads to the library");
    let library = library.parent().expect("it is in a folder");
    let begin = images::package("musl-dev", &folder.join("begin")).join("usr/lib");
    let begin = begin.join(library.file_name().expect("it has the name of the machine"));
    let program = tree.join("usr/bin/through-musl");
    files::make_folder(&tree.join("usr/bin"));
    // Of the host's compiler nothing but its code goes in.
    Tool::new("cc")
        .args(["-nostdinc", "-nostdlib", "-fno-stack-protector", "-no-pie", "-fno-pie", "-o"])
        .arg(&program)
        .args(["crt1.o", "crti.o"].map(|name| begin.join(name)))
        .arg(&source)
        .arg("-L")
        .arg(library)
        .arg("-l:libc.so")
        .arg(begin.join("crtn.o"))
        .arg(format!("-Wl,--dynamic-linker=/{loader}"))
        .run()
        .ok();
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
