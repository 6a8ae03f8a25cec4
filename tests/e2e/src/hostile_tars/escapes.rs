//! Ways out of the new distribution: by name, by symbolic link, by hard link.

use super::Fate::{Either, Imported};
use super::tar::{BLOCK, Header, Tar, record};
use super::{Goals, HostileTar, add, up};

pub(super) fn names(all: &mut Vec<HostileTar>, goals: &Goals) {
    let Goals { outside, treasure, escaped, .. } = goals;
    let file = |name: &str| Tar::distro().file(name, b"loot").end();
    let long = |text: &[u8]| {
        Tar::distro().long(b'L', text).header(Header::new(b"x", b'0').gnu().size(4)).contents(b"loot")
    };
    add(all, "name-with-dot-dot", Either, file(&format!("../{escaped}")));
    add(all, "name-with-dot-dot-inside", Either, file(&format!("etc/../../../../../../tmp/{escaped}")));
    add(all, "name-up-to-the-outside", Either, long(format!("{}/{treasure}", up(outside)).as_bytes()).end());
    add(all, "name-absolute", Either, long(format!("{outside}/{treasure}").as_bytes()).end());
    add(all, "name-absolute-twice", Either, long(format!("//{outside}//{treasure}").as_bytes()).end());
    add(all, "name-dot-slash-absolute", Either, long(format!("./{outside}/{treasure}").as_bytes()).end());
    add(all, "name-empty", Either, file(""));
    add(all, "name-of-slashes", Either, file("////"));
    add(all, "name-dot-as-a-file", Either, file("."));
    add(all, "name-dot-dot-as-a-folder", Either, Tar::distro().folder("../").end());
    add(all, "name-with-control-characters", Imported, file("a\nb\u{1b}[2J\u{7f}"));
    add(all, "name-that-is-no-text", Imported, long(b"caf\xe9\xff\xfe").end());
    add(all, "name-too-long-for-a-file", Either, long(&[b'n'; 300]).end());
    add(all, "name-of-100-kb", Either, long(&vec![b'n'; 100_000]).end());
    add(all, "name-of-100-kb-in-folders", Either, long("d/".repeat(50_000).as_bytes()).end());
    add(all, "name-with-nul", Either, long(format!("a\0../../../../{escaped}\0").as_bytes()).end());
    add(all, "name-in-a-record-with-nul", Either, {
        Tar::distro().record("path", format!("a\0/../../{escaped}").as_bytes()).file("x", b"loot").end()
    });
    add(all, "name-in-a-record-of-100-kb", Either, {
        Tar::distro().record("path", &vec![b'p'; 100_000]).file("x", b"loot").end()
    });
    add(all, "name-in-a-record-absolute", Either, {
        Tar::distro().record("path", format!("{outside}/{treasure}").as_bytes()).file("x", b"loot").end()
    });
    add(all, "name-in-a-record-for-all", Either, {
        let records = record("path", format!("{}/{treasure}", up(outside)).as_bytes());
        Tar::distro().records(b'g', &records).file("x", b"loot").file("y", b"loot").end()
    });
    add(all, "names-in-all-forms-of-the-same", Imported, {
        ["a", "./a", "./././a", "a", ".//a"]
            .iter()
            .fold(Tar::distro(), |tar, name| tar.file(name, b"a"))
            .end()
    });
}

pub(super) fn symlinks(all: &mut Vec<HostileTar>, goals: &Goals) {
    let Goals { outside, treasure, new, escaped } = goals;
    let link = |target: &str| Tar::distro().long(b'K', target.as_bytes()).symlink("a", target);
    let through =
        |tar: Tar| tar.file(&format!("a/{treasure}"), b"loot").file(&format!("a/{new}"), b"loot").end();
    let targets: [(&'static str, String); 6] = [
        ("symlink-absolute-and-a-file-through-it", outside.to_owned()),
        ("symlink-upwards-and-a-file-through-it", up(outside)),
        ("symlink-to-proc-root-and-a-file-through-it", format!("/proc/1/root{outside}")),
        ("symlink-to-proc-cwd-and-a-file-through-it", "/proc/1/cwd/../../../../../tmp".to_owned()),
        ("symlink-to-dev-and-a-file-through-it", "/dev".to_owned()),
        ("symlink-to-usr-and-a-file-through-it", "/usr/bin".to_owned()),
    ];
    for (name, target) in targets {
        add(all, name, Either, through(link(&target)));
    }
    add(all, "symlink-chain-and-a-file-through-it", Either, {
        through(Tar::distro().symlink("c", outside).symlink("b", "c").symlink("a", "./b/."))
    });
    add(all, "symlink-chain-step-by-step-upwards", Either, {
        let mut tar =
            Tar::distro().folder("d/").folder("d/d/").symlink("d/d/u", "..").symlink("d/u", "d/u/..");
        tar = tar.symlink("a", "d/u/../../../../../../../../../../../../tmp");
        through(tar)
    });
    add(all, "symlink-to-a-file-that-is-then-written", Either, {
        link(&format!("{outside}/{treasure}")).file("a", b"loot").end()
    });
    add(all, "symlink-to-the-archive-itself", Either, {
        link("/proc/self/fd/0").file("a", b"loot").hard_link("b", "a").file("b", b"loot").end()
    });
    add(all, "symlink-to-the-archiver-itself", Either, {
        link("/proc/self/exe").header(Header::new(b"a", b'0').mode(0o6777)).end()
    });
    add(all, "symlink-then-a-folder-of-its-name", Either, {
        link(outside).header(Header::new(b"a/", b'5').mode(0o777)).file(&format!("a/{new}"), b"loot").end()
    });
    add(all, "symlink-and-a-folder-through-it", Either, {
        link(outside).header(Header::new(b"a/sub/", b'5').mode(0o777)).symlink("a/sub/l", "x").end()
    });
    add(all, "symlink-to-itself", Imported, Tar::distro().symlink("a", "a").symlink("b", "b/b").end());
    add(all, "symlink-to-itself-and-a-file-through-it", Either, through(Tar::distro().symlink("a", "a")));
    add(all, "symlink-of-100-kb", Either, {
        Tar::distro().long(b'K', &vec![b't'; 100_000]).symlink("a", "x").end()
    });
    add(all, "symlink-to-nothing", Either, Tar::distro().symlink("a", "").end());
    add(all, "symlink-with-contents", Either, {
        let header = Header::new(b"a", b'2').link(b"etc").size(2 * BLOCK);
        Tar::distro()
            .header(header)
            .raw(&*Header::new(format!("../{escaped}").as_bytes(), b'0').sealed())
            .raw(&[0; BLOCK])
            .end()
    });
    add(
        all,
        "symlink-as-the-root",
        Either,
        Tar::distro().symlink(".", outside).file(treasure, b"loot").end(),
    );
    add(all, "folder-then-symlink-then-file", Either, {
        Tar::distro()
            .folder("a/")
            .symlink("a", outside)
            .file(&format!("a/{treasure}"), b"loot")
            .file("a", b"x")
            .end()
    });
    add(all, "full-folder-then-symlink", Either, {
        Tar::distro()
            .folder("a/")
            .file("a/b", b"b")
            .symlink("a", outside)
            .file(&format!("a/{treasure}"), b"loot")
            .end()
    });
    add(all, "file-then-folder-then-file", Either, {
        Tar::distro().file("a", b"1").folder("a/").file("a/b", b"2").file("a", b"3").end()
    });
}

pub(super) fn hard_links(all: &mut Vec<HostileTar>, goals: &Goals) {
    let Goals { outside, treasure, .. } = goals;
    let treasure = format!("{outside}/{treasure}");
    let link = |target: &str| Tar::distro().long(b'K', target.as_bytes()).hard_link("a", target);
    add(all, "hard-link-absolute", Either, link(&treasure).file("a", b"loot").end());
    add(all, "hard-link-upwards", Either, link(&up(&treasure)).file("a", b"loot").end());
    add(all, "hard-link-through-a-symlink", Either, {
        Tar::distro().symlink("s", outside).hard_link("a", &format!("s/{treasure}")).file("a", b"loot").end()
    });
    add(all, "hard-link-to-a-symlink-that-is-then-written", Either, {
        Tar::distro().symlink("s", &treasure).hard_link("a", "s").file("a", b"loot").end()
    });
    add(all, "hard-link-with-contents", Either, {
        let header = Header::new(b"a", b'1').link(b"etc/os-release").size(4);
        Tar::distro().header(header).contents(b"loot").end()
    });
    add(all, "hard-link-to-itself", Either, link("a").end());
    add(all, "hard-link-to-nothing", Either, link("missing").end());
    add(all, "hard-link-to-a-folder", Either, link("etc").end());
    add(all, "hard-link-to-a-later-file", Either, link("later").file("later", b"x").end());
    add(all, "hard-link-into-the-process", Either, link("/proc/1/exe").end());
    add(all, "hard-link-of-100-kb", Either, {
        Tar::distro().long(b'K', &vec![b't'; 100_000]).hard_link("a", "x").end()
    });
}
