//! How archives are compressed.

/// A compression that GNU tar can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    None,
    Gzip,
    Xz,
    Bzip2,
    Zstd,
}

/// Size of a tar header.
pub(super) const HEADER: usize = 512;

impl Filter {
    pub(super) fn program(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Xz => Some("xz"),
            Self::Bzip2 => Some("bzip2"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// By the first bytes ([`HEADER`], or all there are); never by the name, which the user may choose.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        Some(match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ if is_tar(head) => Self::None,
            _ => return None,
        })
    }
}

/// Whether this is the first header of a tar, by its checksum: tars older than POSIX have no magic. A block of zeroes is
/// the end of one, so of one with nothing in it. (tar(5) of libarchive: octal, of unsigned bytes, with the field itself
/// taken for blanks; some old writers took signed ones.)
fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..HEADER) else { return false };
    if header.iter().all(|byte| *byte == 0) {
        return true;
    }
    let field = String::from_utf8_lossy(&header[148..156]);
    let digits = field.trim_matches([' ', '\0']);
    let Ok(expected) = i32::from_str_radix(digits, 8) else { return false };
    let sum = |value: fn(u8) -> i32| -> i32 {
        let counted =
            |(place, byte): (usize, &u8)| value(if (148..156).contains(&place) { b' ' } else { *byte });
        header.iter().enumerate().map(counted).sum()
    };
    [sum(i32::from), sum(|byte| i32::from(byte.cast_signed()))].contains(&expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &[u8], magic: &[u8]) -> Vec<u8> {
        let mut header = vec![0; HEADER];
        header[..name.len()].copy_from_slice(name);
        header[257..257 + magic.len()].copy_from_slice(magic);
        header[148..156].fill(b' ');
        let sum: i32 = header.iter().map(|byte| i32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    }

    #[test]
    fn compression_is_known_by_content() {
        assert_eq!(Filter::of(&header(b"etc/", b"ustar\x0000")), Some(Filter::None));
        assert_eq!(Filter::of(&[0x28, 0xb5, 0x2f, 0xfd, 0]), Some(Filter::Zstd));
        assert_eq!(Filter::of(b"BZh9"), Some(Filter::Bzip2));
        for bad in [&b"P"[..], b"PK\x03\x04", b"#!/bin/sh", &[b'x'; HEADER]] {
            assert_eq!(Filter::of(bad), None);
        }
    }

    #[test]
    fn a_tar_is_known_by_its_checksum() {
        let old = header(b"etc/", b"");
        assert_eq!(Filter::of(&old), Some(Filter::None), "of 1979, without a magic");
        assert_eq!(Filter::of(&[0; HEADER]), Some(Filter::None), "nothing but the end");
        for place in [0, 100, 148, 511] {
            let mut bad = old.clone();
            bad[place] ^= 1;
            assert_eq!(Filter::of(&bad), None, "with another byte at {place}");
        }
        let mut signed = header(b"caf\xe9", b"ustar");
        let unsigned = i32::from_str_radix(std::str::from_utf8(&signed[148..154]).unwrap(), 8).unwrap();
        signed[148..154].copy_from_slice(format!("{:06o}", unsigned - 256).as_bytes());
        assert_eq!(Filter::of(&signed), Some(Filter::None));
        assert_eq!(Filter::of(&old[..511]), None, "cut off in the header");
    }
}
