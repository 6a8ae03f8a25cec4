//! What instances are made of: engine images and a small image for containers. Each is made once per run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::tools::Tool;
use crate::{cleanup, files, random, shared, workspace};

/// The variable that names an engine image to use instead of one built in this run.
pub const ENGINE_VARIABLE: &str = "SAMPAN_TEST_ENGINE_IMAGE";

/// A file that only [`engine_variant`] has.
pub const VARIANT_MARK: &str = "/etc/sampan-e2e-variant";

/// The engine image that was given from outside.
pub fn given_engine() -> Option<PathBuf> {
    std::env::var_os(ENGINE_VARIABLE).map(PathBuf::from)
}

/// The engine image: built by the first start of [`shared::main`], which every run of the tests does anew.
#[track_caller]
pub fn engine() -> PathBuf {
    given_engine().unwrap_or_else(shared::built_engine)
}

/// Another engine image: the same with one more file.
#[track_caller]
pub fn engine_variant() -> PathBuf {
    static IMAGE: Made = Made::new();
    IMAGE.get(|| repacked("variant", |tree, _| files::write(&tree.join(&VARIANT_MARK[1..]), "variant\n")))
}

/// An engine image whose dockerd ends at once with an error.
#[track_caller]
pub fn engine_broken() -> PathBuf {
    static IMAGE: Made = Made::new();
    IMAGE.get(|| {
        repacked("broken", |tree, list| {
            let dockerd = list.lines().find(|line| line.ends_with("bin/dockerd"));
            let dockerd = dockerd.expect("the engine image has a dockerd").trim_start_matches("./");
            let program = tree.join(dockerd);
            files::write(&program, "#!/bin/sh\necho this dockerd is broken >&2\nexit 1\n");
            files::set_mode(&program, 0o755);
        })
    })
}

/// A root file system without any engine.
#[track_caller]
pub fn not_an_engine() -> PathBuf {
    busybox()
}

/// A tarball of a small root file system: busybox, statically linked, under all its names.
#[track_caller]
pub fn busybox() -> PathBuf {
    static IMAGE: Made = Made::new();
    IMAGE.get(make_busybox)
}

/// A file that is made by the first who needs it.
struct Made(OnceLock<PathBuf>);

impl Made {
    const fn new() -> Self {
        Self(OnceLock::new())
    }

    #[track_caller]
    fn get(&self, make: impl FnOnce() -> PathBuf) -> PathBuf {
        self.0.get_or_init(make).clone()
    }
}

/// A fresh folder that no other run of the tests uses.
pub(crate) fn fresh(name: &str) -> PathBuf {
    let folder = workspace::scratch().join(format!("images-{}", random::hex(4))).join(name);
    files::make_folder(&folder);
    let above = folder.parent().expect("it was just joined");
    cleanup::own(above);
    shared::remove_at_the_end(above);
    folder
}

/// The engine image with the files that `add` puts into a folder appended; `add` also gets the list of what is in it.
fn repacked(name: &str, add: impl FnOnce(&Path, &str)) -> PathBuf {
    let folder = fresh(name);
    let (tar, tree, packed) = (folder.join("image.tar"), folder.join("tree"), folder.join("image.tar.zst"));
    let image = engine();
    if Tool::new("zstd").args(["-q", "-t"]).arg(&image).run().code() == Some(0) {
        Tool::new("zstd").args(["-q", "-d"]).arg(&image).arg("-o").arg(&tar).run().ok();
    } else {
        fs::copy(&image, &tar).expect("an image that is not compressed is a tarball");
    }
    let list = Tool::new("tar").arg("-tf").arg(&tar).run().ok();
    add(&tree, &list);
    let prefix = if list.lines().any(|line| line.starts_with("./")) { "./" } else { "" };
    // Only files, so that no folder of the image changes its owner or mode.
    let added = Tool::new("find").args([".", "-type", "f"]).folder(&tree).run().ok();
    let added = added.lines().map(|line| format!("{prefix}{}", line.trim_start_matches("./")));
    Tool::new("tar")
        .args(["--owner=0", "--group=0", "-C"])
        .arg(&tree)
        .arg("-rf")
        .arg(&tar)
        .args(added)
        .run()
        .ok();
    Tool::new("zstd").args(["-q", "-1"]).arg(&tar).arg("-o").arg(&packed).run().ok();
    fs::remove_file(&tar).expect("it was made just above");
    packed
}

/// The files of a Debian package, in `unpacked` below `folder`, where no other package is.
#[track_caller]
pub(crate) fn package(name: &str, folder: &Path) -> PathBuf {
    files::make_folder(folder);
    let download = || Tool::new("apt-get").args(["download", name]).folder(folder).run();
    let mut downloaded = download();
    if downloaded.code() != Some(0) {
        // A fresh machine has no package lists.
        Tool::new("apt-get").args(["update"]).run();
        downloaded = download();
    }
    downloaded.ok();
    let package =
        files::entries(folder).into_iter().find(|path| path.extension().is_some_and(|e| e == "deb"));
    let package = package.expect("apt-get download puts the package into the folder it runs in");
    let unpacked = folder.join("unpacked");
    Tool::new("dpkg").arg("-x").arg(&package).arg(&unpacked).run().ok();
    unpacked
}

fn make_busybox() -> PathBuf {
    let folder = fresh("busybox");
    let unpacked = package("busybox-static", &folder);

    let root = folder.join("root");
    for name in ["bin", "tmp", "etc", "proc", "sys", "dev", "run", "var"] {
        files::make_folder(&root.join(name));
    }
    let program = root.join("bin/busybox");
    let found = ["bin/busybox", "usr/bin/busybox"].map(|name| unpacked.join(name));
    let found = found.iter().find(|path| path.is_file()).expect("the package has a program busybox");
    // Not copied by ourselves: a child of another thread could hold it open for writing, and it is run next.
    Tool::new("cp").arg(found).arg(&program).run().ok();
    for applet in Tool::new(&program).arg("--list").run().ok().lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).expect("busybox lists each of its names once");
    }
    files::write(&root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
    files::write(&root.join("etc/group"), "root:x:0:\n");
    let tar = folder.join("busybox.tar");
    Tool::new("tar")
        .args(["--owner=0", "--group=0", "-C"])
        .arg(&root)
        .arg("-cf")
        .arg(&tar)
        .arg(".")
        .run()
        .ok();
    tar
}
