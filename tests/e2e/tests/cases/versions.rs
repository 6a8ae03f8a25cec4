//! Versions 1 and 2: the listing of the specification, and conversion without loss.

use sampan_e2e::case::Case;
use sampan_e2e::held::Held;
use sampan_e2e::instance::Instance;
use sampan_e2e::processes::Process;
use sampan_e2e::tools::Tool;
use sampan_e2e::{files, roots, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("versions::q01_to_q05_the_listing_of_the_specification", listing),
        Case::new("versions::i44_conversion_keeps_every_file_as_it_is", conversion),
        Case::new("versions::a_conversion_that_is_cut_off_leaves_the_old_version", cut_off),
        Case::new("versions::what_only_version_2_can_is_refused_by_version_1", only_two),
    ]
}

fn listing() {
    let instance = Instance::started();
    instance.import("CentOS7", &roots::small(), 2);
    instance.import("CentOS8", &roots::small(), 1);
    let hold = |name: &str| {
        let job = instance.wsl_tool(&["-d", name, "-e", "sh", "-c", "echo ready; cat"]).input_open().spawn();
        job.wait_for_text("ready");
        job
    };
    let (seven, eight) = (hold("CentOS7"), hold("CentOS8"));
    instance.wsl(&["--set-default", "docker-desktop-data"]).expect(255).says("--force");
    instance.wsl(&["--set-default", "docker-desktop-data", "--force"]).expect(0);
    let expected = [
        "  NAME                   STATE           VERSION",
        "* docker-desktop-data    Running         2",
        "  docker-desktop         Running         2",
        "  CentOS7                Running         2",
        "  CentOS8                Running         1",
        "",
    ]
    .join("\n");
    assert_eq!(instance.wsl(&["-l", "-v"]).text(), expected);

    drop(eight);
    let converted = instance.wsl(&["--set-version", "CentOS8", "2"]);
    converted.expect(0);
    assert!(converted.text().ends_with("The operation completed successfully. \n"), "{converted}");
    let after = instance.wsl(&["-l", "-v"]).text();
    assert_eq!(
        after,
        expected
            .replace("CentOS8                Running         1", "CentOS8                Stopped         2")
    );
    instance.wsl(&["--set-version", "centos8", "2"]).expect(255).says("already the requested version");
    instance.wsl(&["--set-default-version", "2"]).expect(0);
    instance.wsl(&["--set-default", "centos7"]).expect(0);
    assert!(instance.wsl(&["-l"]).text().contains("CentOS7 (Default)"));
    drop(seven);
    // The engine is none the worse for all of it.
    assert!(instance.engine_runs());
}

/// Everything that can be said of the files below `/` of a distribution, written by Debian's own tools.
fn everything(instance: &Instance, name: &str) -> String {
    let script = "cd / && find . -xdev \\( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./mnt -o -path ./tmp \\) -prune \
                  -o -printf '%p|%y|%m|%U:%G|%T@|%l|%n' \\( -type f -printf '|%s' -o -true \\) -printf '\\n' | sort; \
                  find /odd -print0 | sort -z | xargs -0 getfattr -h -d -m - --absolute-names; find /odd ! -type l ! -type s -print0 | sort -z | xargs -0 getfacl -n -p; test $(du -k /odd/sparse | cut -f1) -lt 100 && echo small; \
                  find /odd -type f -print0 | sort -z | xargs -0 sha256sum; \
                  find /odd -links +1 -type f -printf '%i %p\\n' | sort | awk '{ if ($1 != last) { n++; last = $1 } print n, $2 }' ; \
                  find /odd \\( -type b -o -type c \\) -exec stat -c '%n %t:%T' {} + | sort; getcap -r /odd";
    instance.inside(name, script).ok()
}

/// Makes every odd kind of file in `/odd`. Devices can only be made where the host lets us: in the tarball.
const ODD: &str = "set -e; mkdir -p /odd/deep; cd /odd; echo text > plain; ln plain hard; ln plain deep/hard2; \
    ln -s nowhere dangling; ln -s plain link; mkfifo fifo; cp /bin/true capable; setcap cap_net_raw+ep capable; \
    setfattr -n user.note -v 'with blank' plain; setfacl -m u:1000:rw plain; setfacl -d -m g:2000:r deep; \
    truncate -s 3G sparse; printf x | dd of=sparse bs=1 seek=2147483647 conv=notrunc 2>/dev/null; \
    chown 1234:4321 plain; chown -h 77:88 link; cp /bin/true suid; chmod 6755 suid; mkdir sticky; chmod 1777 sticky; \
    touch \"$(printf 'name\\nwith\\tall')\" 'ünïcode'; touch -h -d '2001-02-03 04:05:06.123456789' plain link fifo dangling; \
    touch -d '1969-12-31 23:00:00' old; touch -d '2024-05-06 07:08:09.987654321' deep; \
    perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(\"/odd/socket\"))'";

/// Row I44.
fn conversion() {
    let instance = Instance::new();
    // Devices as an image may have them.
    let tree = instance.scratch("tree");
    Tool::new("tar").arg("-xf").arg(roots::debian()).arg("-C").arg(&tree).run().ok();
    files::make_folder(&tree.join("odd"));
    Tool::new("mknod").arg(tree.join("odd/null")).args(["c", "1", "3"]).run().ok();
    Tool::new("mknod").arg(tree.join("odd/disk")).args(["b", "7", "0"]).run().ok();
    let tar = roots::pack(&tree, &instance.scratch("tar").join("odd.tar"));
    instance.import("odd", &tar, 2);
    instance.inside("odd", ODD).ok();
    let before = everything(&instance, "odd");
    for sign in ["user.note", "cap_net_raw", "sparse", "socket", "1:3", "default:group:2000", "small"] {
        assert!(before.contains(sign), "{sign} is missing before: {before}");
    }
    for version in ["1", "2"] {
        instance.wsl_tool(&["--set-version", "odd", version]).deadline(waiting::LONG * 3).run().expect(0);
        assert!(instance.wsl(&["-l", "-v"]).text().trim_end().ends_with(version));
        let after = everything(&instance, "odd");
        let differ: Vec<_> = before.lines().zip(after.lines()).filter(|(a, b)| a != b).take(10).collect();
        assert!(before == after, "version {version}: {differ:#?}");
    }
    // And through an archive.
    let archive = instance.scratch("tar").join("again.tar");
    instance.wsl_tool(&["--export", "odd"]).arg(&archive).deadline(waiting::LONG * 3).run().expect(0);
    instance.import("again", &archive, 2);
    let after = everything(&instance, "again");
    // A socket is the business of the program that made it; tar leaves it out.
    let lines = |text: &'_ str| -> Vec<String> {
        text.lines().filter(|line| !line.contains("odd/socket")).map(str::to_owned).collect()
    };
    let (before, after) = (lines(&before), lines(&after));
    let differ: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).take(10).collect();
    assert!(differ.is_empty() && before.len() == after.len(), "export and import: {differ:#?}");
}

fn cut_off() {
    let instance = Instance::new();
    let folder = instance.import("c", &roots::debian(), 1);
    let before =
        instance.inside("c", "cd /etc && find . -type f -exec sha256sum {} + | sort | sha256sum").ok();
    instance.wsl(&["--terminate", "c"]).expect(0);
    let held = Held::new(&folder.join("rootfs/fs/etc/debian_version"));
    let job = instance.wsl_tool(&["--set-version", "c", "2"]).spawn();
    held.wait_until_asked();
    assert!(instance.disk_of("c").exists());
    Process::find(instance.service().pid).expect("it runs").kill();
    job.finish().expect_failure();
    drop(held);
    assert_eq!(
        instance.inside("c", "cd /etc && find . -type f -exec sha256sum {} + | sort | sha256sum").ok(),
        before
    );
    let listing = instance.wsl(&["-l", "-v"]).text();
    assert!(listing.trim_end().ends_with('1'), "{listing}");
    assert!(!instance.disk_of("c").exists(), "what was begun is gone");
    instance.wsl_tool(&["--set-version", "c", "2"]).deadline(waiting::LONG * 3).run().expect(0);
}

fn only_two() {
    let instance = Instance::new();
    instance.import("one", &roots::small(), 1);
    let needed = "This operation is only supported by WSL2.";
    let file = instance.scratch("x").join("x.vhdx");
    let target = file.display().to_string();
    for words in
        [&["--manage", "one", "--resize", "10GB"][..], &["--export", "one", &target, "--format", "vhd"]]
    {
        let refused = instance.wsl(words);
        refused.expect(255).says(needed).says("Wsl/Service/WSL_E_WSL2_NEEDED");
    }
    assert!(!file.exists());
    let refused = instance
        .wsl_tool(&["--install", "--name", "q", "--version", "1", "--vhd-size", "3GB", "-n", "--from-file"])
        .arg(roots::small())
        .run();
    refused.expect(255).says(needed).says("Wsl/Service/RegisterDistro/WSL_E_WSL2_NEEDED");
    assert!(instance.registry().find("q").is_none());
}
