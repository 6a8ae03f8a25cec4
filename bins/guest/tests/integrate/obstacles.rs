//! What is in the way of integration: somebody's files, a full disk, and programs that hold others up.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::disk::{self, Disk, refused};
use crate::single::Test;
use crate::{BASH, SHIM, written};

pub(crate) const TESTS: &[Test] = &[
    ("what_is_in_the_way_is_no_docker", what_is_in_the_way_is_no_docker),
    ("a_repair_takes_nothing_away_that_works", a_repair_takes_nothing_away_that_works),
    ("a_lease_is_not_waited_for", a_lease_is_not_waited_for),
    ("tables_of_any_length_are_not_edited", tables_of_any_length_are_not_edited),
    ("names_that_are_taken_are_passed_over", names_that_are_taken_are_passed_over),
];

/// Holds a lease on a file, until it is dropped.
struct Lease(Child);

impl Lease {
    /// Whoever opens the file without a word of not waiting waits for `/proc/sys/fs/lease-break-time`.
    fn on(path: &Path) -> Self {
        // F_SETLEASE and F_WRLCK (Linux, `include/uapi/linux/fcntl.h`, `include/uapi/asm-generic/fcntl.h`).
        let script = "$SIG{IO} = 'IGNORE'; open(my $file, '+<', $ARGV[0]) or die; fcntl($file, 1024, 1) or die $!; \
                      $| = 1; print \"held\\n\"; <STDIN>;";
        let mut perl = Command::new("perl");
        perl.args(["-e", script]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = perl.spawn().expect("perl");
        let mut line = String::new();
        let said = child.stdout.as_mut().expect("a pipe");
        BufReader::new(said).read_line(&mut line).expect("a line");
        assert_eq!(line, "held\n");
        Self(child)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn what_is_in_the_way_is_no_docker() {
    type Make<'a> = &'a dyn Fn(&Path);
    let shim = "/usr/bin/docker of the distribution is";
    let kinds: [(&str, Make<'_>); 5] = [
        ("a folder", &|path| fs::create_dir(path).expect("folder")),
        ("no plain file", &|path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o755.into(), 0)
                .expect("pipe");
        }),
        ("a file that nobody may run", &|path| fs::write(path, "text").expect("file")),
        ("a link to no program", &|path| symlink("/usr", path).expect("link")),
        ("a link to no program", &|path| {
            symlink("/mnt/wsl/docker-desktop/cli-tools/usr/bin/docker", path).expect("link");
        }),
    ];
    for (kind, make) in kinds {
        let disk = Disk::new(16 << 20, |tree| {
            disk::usual(tree);
            make(&tree.join(SHIM));
        });
        let before = disk.listing();
        assert_eq!(refused(disk.write()), format!("{shim} {kind}: remove it"));
        assert_eq!(disk.listing(), before);
        assert!(!disk.journal().exists());
        // Where shells look before ours, it is passed over by them.
        let elsewhere = disk.path("usr/local/bin");
        fs::create_dir_all(&elsewhere).expect("folder");
        fs::rename(disk.path(SHIM), elsewhere.join("docker")).expect("rename");
        assert_eq!(disk.write(), written(998));
        assert_eq!(disk.text(SHIM), "the program");
    }
}

fn a_repair_takes_nothing_away_that_works() {
    let disk = Disk::new(8 << 20, disk::usual);
    fs::write(&disk.shim, vec![7; 1 << 20]).expect("shim");
    assert_eq!(disk.write(), written(998));
    // What something inside has done to it.
    let (program, group) = (disk.path(SHIM), disk.path("etc/group"));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o600)).expect("mode");
    fs::remove_file(disk.path(BASH)).expect("remove");
    fs::write(&group, "root:x:0:\nann:x:1000:\nlast:x:999:ann\n").expect("group");
    assert_eq!(disk.repair(), written(998));
    assert_eq!(fs::metadata(&program).expect("program").permissions().mode() & 0o7777, 0o755);
    assert!(disk.text(BASH).starts_with("# "));
    assert_eq!(disk.text("etc/group"), "root:x:0:\nann:x:1000:\nlast:x:999:ann\ndocker:x:998:ann\n");
    disk.undo_all();

    assert_eq!(disk.write(), written(998));
    let filler = disk.path("filler");
    let mut file = fs::File::create(&filler).expect("file");
    while file.write_all(&[1; 4096]).is_ok() {}
    let after = disk.listing();
    let told = refused(disk.repair());
    assert!(told.contains("/usr/bin/docker") && told.contains("No space left on device"), "{told}");
    assert!(disk.listing() == after, "all that there was is there");
    drop(file);
    fs::remove_file(&filler).expect("remove");
    assert_eq!(disk.repair(), written(998), "there is room again");
    disk.undo_all();
    assert_eq!(disk.text("etc/group"), "root:x:0:\nann:x:1000:\nlast:x:999:ann\n");
    assert!(!program.exists());
}

fn a_lease_is_not_waited_for() {
    let disk = Disk::usual();
    let before = disk.listing();
    for file in ["etc/group", "etc/passwd", "etc/gshadow"] {
        let lease = Lease::on(&disk.path(file));
        let told = refused(disk.write());
        assert!(told.contains(&format!("cannot read /{file} of the distribution")), "{told}");
        assert!(told.contains("keeps it from all others"), "{told}");
        drop(lease);
        assert_eq!(disk.listing(), before);
    }
    assert_eq!(disk.write(), written(998));
    let lease = Lease::on(&disk.path("etc/group"));
    assert!(refused(disk.undo()).contains("keeps it from all others"));
    drop(lease);
    disk.undo_all();
    assert_eq!(disk.listing(), before);
}

fn tables_of_any_length_are_not_edited() {
    let disk = Disk::usual();
    for file in ["etc/group", "etc/gshadow", "etc/passwd"] {
        let text = disk.text(file);
        let long = text.clone() + &"#".repeat(1 << 20);
        fs::write(disk.path(file), long).expect("write");
        let before = disk.listing();
        assert_eq!(refused(disk.write()), format!("/{file} of the distribution has more than 1 MiB"));
        assert_eq!(disk.listing(), before);
        fs::write(disk.path(file), text).expect("write");
    }
    // What was made can be undone whatever it has become.
    assert_eq!(disk.write(), written(998));
    let group = disk.text("etc/group");
    fs::write(disk.path("etc/group"), group + &"#".repeat(1 << 20)).expect("write");
    disk.undo_all();
}

fn names_that_are_taken_are_passed_over() {
    let disk = Disk::new(16 << 20, |tree| {
        disk::usual(tree);
        for folder in [".docker.sampan", ".docker.sampan.1/full"] {
            fs::create_dir_all(tree.join("usr/bin").join(folder)).expect("folder");
        }
        symlink("docker", tree.join("usr/bin/.docker.sampan.2")).expect("link");
    });
    let before = disk.listing();
    assert_eq!(disk.write(), written(998));
    assert_eq!(disk.text(SHIM), "the program");
    assert_eq!(disk.repair(), written(998));
    disk.undo_all();
    assert_eq!(disk.listing(), before);
    // All of them.
    for number in 3..16 {
        fs::create_dir(disk.path(&format!("usr/bin/.docker.sampan.{number}"))).expect("folder");
    }
    let told = refused(disk.write());
    assert_eq!(told.matches("/usr/bin/.docker.sampan").count(), 1, "{told}");
    assert!(!disk.journal().exists());
    fs::remove_dir(disk.path("usr/bin/.docker.sampan.9")).expect("remove");
    assert_eq!(disk.write(), written(998));
}
