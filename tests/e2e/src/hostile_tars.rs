//! Archives that somebody made to do harm, or that came to harm: each is imported or refused, and nothing but the new
//! distribution changes.

mod escapes;
mod gzip;
mod lies;
mod tar;

use std::path::Path;

use self::tar::{BLOCK, Header, Tar, record};
use crate::random;

/// An archive, and what has to become of it.
#[derive(Debug, Clone)]
pub struct HostileTar {
    /// What it tries, in words that a file name can have.
    pub name: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// What has to become of it.
    pub fate: Fate,
}

/// What has to become of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is a distribution, if an odd one.
    Imported,
    /// It is refused.
    Refused,
    /// Either; archivers differ.
    Either,
}

use Fate::{Either, Imported, Refused};

/// What they try to reach or to make. The names are nobody else's: where they come to, others have files too.
#[derive(Debug)]
pub struct Goals {
    /// A folder of the host.
    pub outside: String,
    /// The name of a file in it.
    pub treasure: String,
    /// The name of one that is not there.
    pub new: String,
    /// The name of one that is not there, for archives that lead elsewhere.
    pub escaped: String,
}

impl Goals {
    /// With random names, in this folder.
    pub fn new(outside: &Path) -> Self {
        let outside = outside.to_str().expect("the tests choose plain paths").to_owned();
        let [treasure, new, escaped] =
            ["treasure", "new", "escaped"].map(|name| format!("{name}-{}", random::hex(4)));
        Self { outside, treasure, new, escaped }
    }
}

/// All of them.
pub fn all(goals: &Goals) -> Vec<HostileTar> {
    let mut all = Vec::new();
    escapes::names(&mut all, goals);
    escapes::symlinks(&mut all, goals);
    escapes::hard_links(&mut all, goals);
    kinds(&mut all, goals);
    lies::numbers(&mut all);
    lies::cut_off(&mut all);
    lies::records(&mut all);
    lies::sparse(&mut all, goals);
    attributes(&mut all);
    probed(&mut all, goals);
    containers(&mut all, goals);
    all
}

/// Steps up that lead to `/` from wherever something is unpacked.
fn up(outside: &str) -> String {
    format!("{}{}", "../".repeat(20), outside.trim_start_matches('/'))
}

fn add(all: &mut Vec<HostileTar>, name: &'static str, fate: Fate, bytes: Vec<u8>) {
    all.push(HostileTar { name, bytes, fate });
}

fn kinds(all: &mut Vec<HostileTar>, goals: &Goals) {
    let Goals { outside, .. } = goals;
    let node = |kind, major, minor| Tar::distro().header(Header::new(b"node", kind).device(major, minor));
    add(all, "block-device-that-is-then-written", Either, node(b'4', 7, 0).file("node", b"loot").end());
    add(all, "memory-that-is-then-written", Either, node(b'3', 1, 1).file("node", b"loot").end());
    add(all, "device-with-odd-numbers", Either, node(b'3', 0o777_7777, 0o777_7777).end());
    add(all, "fifo-that-is-then-written", Either, node(b'6', 0, 0).file("node", b"loot").end());
    add(all, "fifo-that-is-linked-and-written", Either, {
        node(b'6', 0, 0).hard_link("a", "node").file("a", b"loot").end()
    });
    add(
        all,
        "kind-unknown",
        Either,
        Tar::distro().header(Header::new(b"z", b'Z').size(4)).contents(b"abcd").end(),
    );
    add(all, "kind-that-is-no-letter", Either, Tar::distro().header(Header::new(b"z", 0xff)).end());
    add(all, "kind-contiguous", Imported, {
        Tar::distro().header(Header::new(b"z", b'7').size(4)).contents(b"abcd").end()
    });
    add(
        all,
        "kind-volume-name",
        Either,
        Tar::distro().header(Header::new(outside.as_bytes(), b'V').gnu()).end(),
    );
    add(all, "kind-continued-from-elsewhere", Either, {
        Tar::distro().header(Header::new(b"m", b'M').gnu().size(4)).contents(b"abcd").end()
    });
    add(all, "kind-list-of-a-folder-with-renames", Either, {
        let list = format!("Retc\0T{outside}/loot\0Yfile\0\0");
        let header = Header::new(b"etc/", b'D').gnu().size(list.len());
        Tar::distro().header(header).contents(list.as_bytes()).end()
    });
    add(all, "kind-old-list-of-long-names", Either, {
        let list = format!("Rename etc to {outside}/etc\nSymlink {outside} to a\n");
        Tar::distro().header(Header::new(b"n", b'N').gnu().size(list.len())).contents(list.as_bytes()).end()
    });
    add(all, "folder-with-contents", Either, {
        Tar::distro().header(Header::new(b"d/", b'5').size(BLOCK)).raw(&[b'x'; BLOCK]).end()
    });
    add(all, "root-without-any-permission", Either, {
        Tar::distro().header(Header::new(b"./", b'5').mode(0)).file("etc/late", b"late").end()
    });
    add(all, "every-bit-of-a-mode", Either, {
        Tar::distro().header(Header::new(b"suid", b'0').mode(0o777_7777).size(4)).contents(b"loot").end()
    });
    add(all, "folders-3000-deep", Either, {
        (1..=3000_usize)
            .fold(Tar::distro(), |tar, depth| {
                tar.long(b'L', "d/".repeat(depth).as_bytes()).header(Header::new(b"d/", b'5').gnu())
            })
            .end()
    });
    add(all, "the-same-file-2000-times", Imported, {
        (0..2000).fold(Tar::distro(), |tar, _| tar.file("again", b"and again")).end()
    });
}

fn attributes(all: &mut Vec<HostileTar>) {
    let with = |key: &str, value: &[u8]| Tar::distro().record(key, value).file("x", b"x").end();
    add(all, "attribute-without-name", Either, with("SCHILY.xattr.", b"v"));
    add(all, "attribute-of-no-kind", Either, with("SCHILY.xattr.nokind", b"v"));
    add(all, "attribute-of-an-unknown-kind", Either, with("SCHILY.xattr.no.kind", b"v"));
    add(all, "attribute-of-70-kb", Either, with("SCHILY.xattr.user.large", &vec![b'v'; 70_000]));
    add(all, "attribute-with-a-name-of-300-bytes", Either, {
        with(&format!("SCHILY.xattr.user.{}", "n".repeat(300)), b"v")
    });
    add(all, "attribute-that-is-no-capability", Either, with("SCHILY.xattr.security.capability", b"root"));
    add(all, "attribute-of-the-system", Either, with("SCHILY.xattr.system.posix_acl_access", b"garbage"));
    add(all, "attribute-with-bytes", Either, with("SCHILY.xattr.user.%00%3d", b"a\0b\n=\xff"));
    add(
        all,
        "attribute-of-acl-that-is-none",
        Either,
        with("SCHILY.acl.access", b"user:nobody-here:rwx,garbage"),
    );
    add(all, "attribute-of-acl-without-end", Either, with("SCHILY.acl.default", &vec![b'u'; 50_000]));
    add(all, "attribute-of-selinux", Either, with("RHT.security.selinux", b"no:such:label"));
    add(all, "attributes-by-the-thousand", Either, {
        let records: Vec<u8> =
            (0..2000).flat_map(|n| record(&format!("SCHILY.xattr.user.{n}"), &[b'v'; 100])).collect();
        Tar::distro().records(b'x', &records).file("x", b"x").end()
    });
}

/// What Sampan itself looks at after unpacking.
fn probed(all: &mut Vec<HostileTar>, goals: &Goals) {
    let Goals { outside, treasure, .. } = goals;
    let etc = || Tar::new().folder("etc/");
    add(all, "os-release-is-a-fifo", Imported, etc().header(Header::new(b"etc/os-release", b'6')).end());
    add(all, "os-release-is-an-endless-device", Imported, {
        etc().header(Header::new(b"etc/os-release", b'3').device(1, 5)).end()
    });
    add(
        all,
        "os-release-is-outside",
        Imported,
        etc().symlink("etc/os-release", &format!("{outside}/{treasure}")).end(),
    );
    add(all, "os-release-is-a-folder", Imported, etc().folder("etc/os-release/").end());
    add(all, "os-release-leads-to-itself", Imported, etc().symlink("etc/os-release", "os-release").end());
    add(all, "os-release-is-endless", Imported, {
        etc().file("etc/os-release", &[&b"ID="[..], &vec![b'a'; 3 << 20]].concat()).end()
    });
    add(
        all,
        "os-release-is-no-text",
        Imported,
        etc().file("etc/os-release", b"ID=\xff\xfe\nVERSION_ID=\x001\n").end(),
    );
    add(all, "wsl-distribution-conf-is-a-fifo", Imported, {
        etc().header(Header::new(b"etc/wsl-distribution.conf", b'6')).end()
    });
    add(all, "nothing-but-a-shell-that-is-outside", Refused, {
        Tar::new().folder("bin/").symlink("bin/sh", &format!("{outside}/{treasure}")).end()
    });
    add(all, "nothing-but-an-etc-that-is-outside", Refused, Tar::new().symlink("etc", outside).end());
    add(all, "nothing-but-a-file", Refused, Tar::new().file("readme", b"no distribution").end());
}

fn containers(all: &mut Vec<HostileTar>, goals: &Goals) {
    let Goals { escaped, .. } = goals;
    let distro = Tar::distro().file("x", &vec![b'x'; 20_000]).end();
    let zipped = gzip::stored(&distro);
    add(all, "empty", Refused, Vec::new());
    add(all, "one-byte", Refused, vec![b'x']);
    add(all, "one-block-of-zeroes", Refused, vec![0; BLOCK]);
    add(all, "an-end-and-nothing-before", Refused, Tar::new().end());
    add(all, "text", Refused, b"this is no archive\n".repeat(100));
    add(all, "zip", Refused, [b"PK\x03\x04".as_slice(), &[0; 2000]].concat());
    add(all, "program", Refused, [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 2000]].concat());
    add(all, "magic-without-anything-else", Refused, {
        let mut block = [0; BLOCK];
        block[257..262].copy_from_slice(b"ustar");
        block.repeat(20)
    });
    add(
        all,
        "two-archives-in-one",
        Either,
        [distro.clone(), Tar::new().file(&format!("../{escaped}"), b"loot").end()].concat(),
    );
    add(all, "rubbish-after-the-end", Either, [distro.clone(), vec![0xaa; 50_000]].concat());
    add(all, "form-of-1979", Imported, {
        let header = Header::new(b"etc/os-release", 0).v7().size(7);
        Tar::new().header(Header::new(b"etc/", 0).v7().mode(0o755)).header(header).contents(b"ID=old\n").end()
    });
    add(all, "gzip-cut-off", Refused, zipped[..zipped.len() / 2].to_vec());
    add(all, "gzip-head-only", Refused, zipped[..10].to_vec());
    add(all, "gzip-magic-only", Refused, zipped[..2].to_vec());
    add(all, "gzip-with-a-wrong-checksum", Refused, {
        let mut bytes = zipped.clone();
        let at = bytes.len() - 8;
        bytes[at] ^= 0xff;
        bytes
    });
    add(all, "gzip-in-gzip", Refused, gzip::stored(&zipped));
    add(all, "gzip-of-text", Refused, gzip::stored(&b"this is no archive\n".repeat(100)));
    add(all, "gzip-of-nothing", Refused, gzip::stored(b""));
    add(all, "gzip-bomb-cut-off", Refused, {
        let size = 64_usize << 20;
        let start = Tar::distro().header(Header::new(b"zeroes", b'0').size(4 * size)).cut();
        gzip::bomb(&start, size)
    });
    for (name, magic) in [
        ("xz-head-only", b"\xfd7zXZ\0\0\x04".as_slice()),
        ("bzip2-head-only", b"BZh9"),
        ("zstd-head-only", b"\x28\xb5\x2f\xfd"),
    ] {
        add(all, name, Refused, magic.to_vec());
    }
    for (name, magic) in [
        ("xz-of-rubbish", b"\xfd7zXZ\0\0\x04".as_slice()),
        ("bzip2-of-rubbish", b"BZh91AY&SY"),
        ("zstd-of-rubbish", b"\x28\xb5\x2f\xfd"),
    ] {
        add(all, name, Refused, [magic, &[0x5a; 5000]].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::{Goals, all};

    #[test]
    fn names_are_distinct_and_can_be_file_names() {
        let all = all(&Goals::new("/outside".as_ref()));
        let mut names: Vec<&str> = all.iter().map(|tar| tar.name).collect();
        assert!(names.len() >= 60, "{}", names.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }
}
