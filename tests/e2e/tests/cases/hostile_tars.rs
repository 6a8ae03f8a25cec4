//! Archives made to do harm: each is imported or refused, and nothing but the new distribution changes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sampan_e2e::case::Case;
use sampan_e2e::hostile_tars::{self, Fate, Goals, HostileTar};
use sampan_e2e::instance::Instance;
use sampan_e2e::{files, traces};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("hostile_tars::each_is_imported_as_version_1_or_refused", || try_all(1, |_| true)),
        Case::new("hostile_tars::each_is_imported_as_version_2_or_refused", || {
            // How an archive is read is the same for both versions; where it can write is not.
            let paths = [
                "name", "names", "symlink", "hard", "folder", "full", "sparse", "size", "kind", "os", "gzip",
            ];
            try_all(2, |tar| paths.iter().any(|path| tar.name.split('-').next() == Some(*path)));
        }),
    ]
}

fn try_all(version: u8, chosen: impl Fn(&HostileTar) -> bool) {
    let instance = Instance::new();
    let outside = instance.scratch("outside");
    let goals = Goals::new(&outside);
    files::write(&outside.join(&goals.treasure), "ID=treasure\n");
    files::make_folder(&outside.join("folder"));
    let temporary = [&goals.escaped, &goals.new, &goals.treasure].map(|name| Path::new("/tmp").join(name));
    for tar in hostile_tars::all(&goals).iter().filter(|tar| chosen(tar)) {
        let archive = instance.scratch("archives").join(format!("{}.tar", tar.name));
        files::write(&archive, &tar.bytes);
        let before = (listing(&outside), listing(archive.parent().expect("it is in a folder")));

        let folder = instance.scratch("distributions").join("hostile");
        let version = version.to_string();
        let import = instance.wsl_tool(&["--import", "hostile"]).arg(&folder).arg(&archive);
        let output = import.args(["--version", &version]).run();
        let what = format!("{} as version {version}: {output}", tar.name);

        let after = (listing(&outside), listing(archive.parent().expect("it is in a folder")));
        assert_eq!(before, after, "something else was changed by {what}");
        assert!(temporary.iter().all(|path| !path.exists()), "something was written by {what}");
        let imported = match output.code() {
            Some(0) => true,
            Some(255) => false,
            _ => panic!("neither imported nor refused: {what}"),
        };
        assert!(tar.fate != Fate::Imported || imported, "not imported: {what}");
        assert!(tar.fate != Fate::Refused || !imported, "not refused: {what}");
        let registry = instance.registry();
        if imported {
            let entry = registry.find("hostile").unwrap_or_else(|| panic!("not registered: {what}"));
            assert_ne!(entry.flavor.as_deref(), Some("treasure"), "it was told from a file outside: {what}");
            instance.wsl(&["--unregister", "hostile"]).expect(0);
        } else {
            assert!(output.text().contains("Error code: Wsl/Service/RegisterDistro/"), "{what}");
            assert!(registry.distributions.is_empty(), "it is registered: {what}");
        }
        assert!(!folder.exists(), "something is left of {what}");
        let loops = traces::loops(instance.identity());
        assert!(loops.is_empty(), "a disk is left of {what}: {loops:?}");
        fs::remove_file(&archive).expect("it was there before");
    }
}

/// A file with all that could be changed of it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    content: Option<Vec<u8>>,
}

/// Everything below a folder.
fn listing(folder: &Path) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in files::entries(&folder).into_iter().chain([folder.clone()]) {
            let meta = fs::symlink_metadata(&path).expect("nobody removes it meanwhile");
            if meta.is_dir() && path != folder {
                folders.push(path.clone());
            }
            seen.push(Seen {
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
                links: meta.nlink(),
                modified: (meta.mtime(), meta.mtime_nsec()),
                changed: (meta.ctime(), meta.ctime_nsec()),
                content: meta.is_file().then(|| files::read(&path)),
                path,
            });
        }
    }
    seen
}
