//! Archives that lie about sizes, end early, or contradict themselves.

use super::Fate::{Either, Imported, Refused};
use super::tar::{BLOCK, Header, Tar, record};
use super::{Goals, HostileTar, add};

pub(super) fn numbers(all: &mut Vec<HostileTar>) {
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

pub(super) fn cut_off(all: &mut Vec<HostileTar>) {
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

pub(super) fn records(all: &mut Vec<HostileTar>) {
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

pub(super) fn sparse(all: &mut Vec<HostileTar>, goals: &Goals) {
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
