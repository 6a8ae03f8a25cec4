//! Archives that somebody made to do harm, or that came to harm: each is imported or refused, and nothing but the new
//! distribution changes.

mod gzip;
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
    names(&mut all, goals);
    symlinks(&mut all, goals);
    hard_links(&mut all, goals);
    kinds(&mut all, goals);
    numbers(&mut all);
    cut_off(&mut all);
    records(&mut all);
    sparse(&mut all, goals);
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

fn names(all: &mut Vec<HostileTar>, goals: &Goals) {
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

fn symlinks(all: &mut Vec<HostileTar>, goals: &Goals) {
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

fn hard_links(all: &mut Vec<HostileTar>, goals: &Goals) {
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

fn numbers(all: &mut Vec<HostileTar>) {
    let with = |offset, bytes: &[u8]| Tar::distro().header(Header::new(b"x", b'0').with(offset, bytes));
    let base_256 = |value: i128| {
        let mut field = [0; 12];
        field.copy_from_slice(&value.to_be_bytes()[4..]);
        if value >= 0 {
            field[0] = 0x80;
        }
        field
    };
    add(all, "size-of-8-gb-without-contents", Refused, with(124, b"77777777777\0").cut());
    add(all, "size-of-8-gb-and-an-end", Refused, with(124, b"77777777777\0").end());
    add(all, "size-of-8-eb", Refused, with(124, &base_256(i128::from(i64::MAX))).end());
    add(all, "size-beyond-64-bits", Refused, with(124, &base_256(1 << 80)).end());
    add(all, "size-below-zero", Either, with(124, &base_256(-512)).end());
    add(all, "size-that-is-no-number", Either, with(124, b"zzzzzzzzzzz\0").end());
    add(all, "size-larger-than-the-contents", Refused, {
        Tar::distro().header(Header::new(b"x", b'0').size(100_000)).contents(b"short").cut()
    });
    add(all, "size-smaller-than-the-contents", Either, {
        Tar::distro().header(Header::new(b"x", b'0').size(1)).contents(&[b'x'; 3000]).end()
    });
    add(all, "owner-beyond-31-bits", Either, with(108, &base_256(0x8000_0001)[4..]).end());
    add(
        all,
        "owner-beyond-32-bits",
        Either,
        Tar::distro().record("uid", b"4294967296").file("x", b"x").end(),
    );
    add(all, "owner-nobody-can-be", Either, Tar::distro().record("uid", b"4294967295").file("x", b"x").end());
    add(
        all,
        "owner-below-zero",
        Either,
        Tar::distro().record("uid", b"-1").record("gid", b"-1").file("x", b"x").end(),
    );
    add(all, "owner-that-is-no-number", Either, with(108, b"zzzzzzz\0").end());
    add(all, "time-before-the-epoch", Imported, with(136, &base_256(-1_000_000_000)).end());
    add(all, "time-at-the-end-of-days", Either, with(136, &base_256(i128::from(i64::MAX))).end());
    add(all, "time-at-the-beginning", Either, with(136, &base_256(i128::from(i64::MIN))).end());
    add(all, "time-that-is-no-number", Either, Tar::distro().record("mtime", b"1.9e9").file("x", b"x").end());
    add(all, "time-with-endless-digits", Either, {
        Tar::distro().record("mtime", &[b"1.", &[b'9'; 5000][..]].concat()).file("x", b"x").end()
    });
    add(all, "checksum-wrong-at-once", Refused, {
        let mut bytes = Tar::distro().end();
        bytes[148..156].copy_from_slice(b"000001\0 ");
        bytes
    });
    add(all, "checksum-wrong-later", Either, {
        let mut header = Header::new(b"x", b'0').sealed();
        header[0] = b'y';
        Tar::distro().raw(&*header).end()
    });
    add(all, "checksum-of-signed-bytes", Either, {
        let mut header = Header::new(b"caf\xe9", b'0').sealed();
        let sum: i32 = header.iter().map(|byte| i32::from(byte.cast_signed())).sum();
        let own: i32 = header[148..156].iter().map(|byte| i32::from(*byte)).sum();
        let text = format!("{:06o}\0 ", sum - own + 8 * 32);
        header[148..156].copy_from_slice(text.as_bytes());
        Tar::new().raw(&*header).raw(&Tar::distro().end()).cut()
    });
}

fn cut_off(all: &mut Vec<HostileTar>) {
    let whole = Tar::distro().file("x", &[b'x'; 2000]).end();
    let inside = whole.len() - 2 * BLOCK;
    let cut = |at: usize| whole[..at].to_vec();
    add(all, "cut-off-in-the-first-header", Refused, cut(300));
    add(all, "cut-off-in-a-header", Either, cut(BLOCK * 3 + 100));
    add(all, "cut-off-after-a-header", Refused, cut(BLOCK * 4));
    add(all, "cut-off-in-contents", Refused, cut(inside - 700));
    add(all, "cut-off-before-the-end", Either, cut(inside));
    add(all, "cut-off-in-the-end", Either, cut(inside + BLOCK));
    let long = Tar::distro().long(b'L', &[b'n'; 2000]).cut();
    add(all, "cut-off-in-a-long-name", Refused, long[..long.len() - 1000].to_vec());
    add(all, "cut-off-after-a-long-name", Either, long);
    let target = Tar::distro().long(b'K', &[b'n'; 2000]).cut();
    add(all, "cut-off-in-a-long-target", Refused, target[..target.len() - 1000].to_vec());
    let records = Tar::distro().record("comment", &[b'c'; 2000]).cut();
    add(all, "cut-off-in-records", Refused, records[..records.len() - 1000].to_vec());
    add(all, "cut-off-after-records", Either, records);
    let global = Tar::distro().records(b'g', &record("comment", &[b'c'; 2000])).cut();
    add(all, "cut-off-in-records-for-all", Refused, global[..global.len() - 1000].to_vec());
    let map = Tar::distro().header(old_sparse(&[(0, 512)], 512, 1 << 30).with(482, &[1])).cut();
    add(all, "cut-off-before-more-of-a-sparse-map", Refused, map);
}

fn records(all: &mut Vec<HostileTar>) {
    let malformed: [(&'static str, &[u8]); 9] = [
        ("record-of-no-length", b"0 path=x\n"),
        ("record-without-length", b"path=x\n"),
        ("record-longer-than-all", b"99999 path=x\n"),
        ("record-longer-than-64-bits", b"99999999999999999999999 path=x\n"),
        ("record-of-negative-length", b"-10 path=x\n"),
        ("record-without-end", b"10 path=xy"),
        ("record-without-value", b"7 path\n"),
        ("record-of-zeroes", &[0; 600]),
        ("record-without-key", b"5 =x\n"),
    ];
    for (name, records) in malformed {
        add(all, name, Either, Tar::distro().records(b'x', records).file("x", b"x").end());
    }
    add(all, "record-with-a-larger-size", Refused, {
        Tar::distro().record("size", b"8589934592").file("x", b"x").end()
    });
    add(all, "record-with-a-smaller-size", Either, {
        Tar::distro().record("size", b"1").file("x", &[b'x'; 3000]).end()
    });
    add(all, "record-with-a-negative-size", Either, {
        Tar::distro().record("size", b"-1").file("x", &[b'x'; 3000]).end()
    });
    add(all, "records-of-8-gb", Refused, {
        Tar::distro().header(Header::new(b"r", b'x').with(124, b"77777777777\0")).raw(&[b'1'; 5000]).cut()
    });
    add(all, "records-about-records", Either, {
        Tar::distro().record("path", b"a").record("path", b"b").record("linkpath", b"c").file("x", b"x").end()
    });
    add(all, "records-about-nothing", Either, Tar::distro().record("path", b"a").end());
    add(all, "size-for-all-by-a-record", Either, {
        Tar::distro().records(b'g', &record("size", b"1000000")).file("x", b"x").file("y", b"y").end()
    });
}

/// A header with a sparse map as GNU tar had it before POSIX: pieces of data as (offset, length).
fn old_sparse(pieces: &[(u64, u64)], size: usize, real: u64) -> Header {
    let mut header = Header::new(b"sparse", b'S').gnu().size(size);
    for (index, (offset, length)) in pieces.iter().enumerate() {
        header.put(386 + 24 * index, format!("{offset:011o}\0{length:011o}\0").as_bytes());
    }
    header.with(483, format!("{real:011o}\0").as_bytes())
}

fn sparse(all: &mut Vec<HostileTar>, goals: &Goals) {
    let Goals { escaped, .. } = goals;
    let old = |pieces: &[(u64, u64)], size: usize, real: u64| {
        Tar::distro().header(old_sparse(pieces, size, real)).contents(&vec![b's'; size]).end()
    };
    add(all, "sparse-honest", Imported, old(&[(4096, 512)], 512, 1 << 30));
    add(all, "sparse-overlapping", Either, old(&[(0, 512), (100, 512)], 1024, 4096));
    add(all, "sparse-backwards", Either, old(&[(4096, 512), (0, 512)], 1024, 8192));
    add(all, "sparse-beyond-its-size", Either, old(&[(1 << 30, 512)], 512, 1024));
    add(all, "sparse-with-more-than-there-is", Refused, old(&[(0, 8_000_000_000)], 512, 8_000_000_000));
    add(all, "sparse-with-less-than-there-is", Either, old(&[(0, 1)], 5120, 4096));
    add(all, "sparse-of-8-eb", Either, {
        let mut real = [0xff; 12];
        real[..5].copy_from_slice(&[0x80, 0, 0, 0, 0x7f]);
        let header = old_sparse(&[(0, 512)], 512, 0).with(483, &real);
        Tar::distro().header(header).contents(&[b's'; 512]).end()
    });
    add(all, "sparse-map-without-end", Refused, {
        let header = old_sparse(&[(0, 512)], 512, 4096).with(482, &[1]);
        let mut more = [0; BLOCK];
        more[504] = 1;
        (0..200).fold(Tar::distro().header(header), |tar, _| tar.raw(&more)).cut()
    });
    let new = |map: &str, real: &str| {
        let records = [
            record("GNU.sparse.major", b"1"),
            record("GNU.sparse.minor", b"0"),
            record("GNU.sparse.name", b"sparse"),
            record("GNU.sparse.realsize", real.as_bytes()),
        ];
        let contents =
            [map.as_bytes(), &vec![0; map.len().next_multiple_of(BLOCK) - map.len()], &[b's'; BLOCK]]
                .concat();
        Tar::distro().records(b'x', &records.concat()).file("GNUSparseFile.0/sparse", &contents).end()
    };
    add(all, "sparse-record-honest", Imported, new("1\n4096\n512\n", "1048576"));
    add(all, "sparse-record-with-a-billion-pieces", Either, new("1000000000\n0\n512\n", "1048576"));
    add(all, "sparse-record-with-negative-pieces", Either, new("1\n-4096\n512\n", "1048576"));
    add(all, "sparse-record-that-is-no-map", Either, new("one\ntwo\nthree\n", "1048576"));
    add(all, "sparse-record-of-8-eb", Either, new("1\n9223372036854775000\n512\n", "9223372036854775807"));
    add(all, "sparse-record-up-to-the-outside", Either, {
        let records = [
            record("GNU.sparse.size", b"1048576"),
            record("GNU.sparse.numblocks", b"1"),
            record("GNU.sparse.map", b"0,512"),
            record("GNU.sparse.name", format!("../../../../../../tmp/{escaped}").as_bytes()),
        ];
        Tar::distro().records(b'x', &records.concat()).file("x", &[b's'; 512]).end()
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
