//! Tars, byte by byte: whatever a writer of archives would never write can be written here.

/// Size of a header, and of the blocks that contents are padded to.
pub(super) const BLOCK: usize = 512;

/// An archive under construction. Nothing closes it but [`Tar::end`].
#[derive(Debug, Clone, Default)]
pub(super) struct Tar(Vec<u8>);

/// One header, in the form of POSIX.1-1988 ("ustar").
#[derive(Debug, Clone)]
pub(super) struct Header(Box<[u8; BLOCK]>);

impl Header {
    /// A member of root's, `kind` being its type flag.
    pub(super) fn new(name: &[u8], kind: u8) -> Self {
        let mut header = Self(Box::new([0; BLOCK]));
        let length = name.len().min(100);
        header.put(0, &name[..length]);
        header.put(100, if kind == b'5' { b"0000755\0" } else { b"0000644\0" });
        header.put(108, b"0000000\0");
        header.put(116, b"0000000\0");
        header.put(124, b"00000000000\0");
        header.put(136, b"14000000000\0");
        header.put(156, &[kind]);
        header.put(257, b"ustar\x0000");
        header
    }

    /// Bytes at an offset.
    pub(super) fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// The same with these bytes at `offset`.
    #[must_use]
    pub(super) fn with(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.put(offset, bytes);
        self
    }

    /// The same with the target of a link.
    #[must_use]
    pub(super) fn link(self, target: &[u8]) -> Self {
        let length = target.len().min(100);
        self.with(157, &target[..length])
    }

    /// The same with the size of the contents that follow.
    #[must_use]
    pub(super) fn size(self, bytes: usize) -> Self {
        self.with(124, format!("{bytes:011o}\0").as_bytes())
    }

    /// The same with permissions.
    #[must_use]
    pub(super) fn mode(self, mode: u32) -> Self {
        self.with(100, format!("{mode:07o}\0").as_bytes())
    }

    /// The same with a device's numbers.
    #[must_use]
    pub(super) fn device(self, major: u32, minor: u32) -> Self {
        self.with(329, format!("{major:07o}\0{minor:07o}\0").as_bytes())
    }

    /// The same in the form that GNU tar had before POSIX.
    #[must_use]
    pub(super) fn gnu(self) -> Self {
        self.with(257, b"ustar  \0")
    }

    /// The same in the form of 1979, without any magic.
    #[must_use]
    pub(super) fn v7(self) -> Self {
        self.with(257, &[0; 8])
    }

    /// The block, with its checksum.
    pub(super) fn sealed(mut self) -> Box<[u8; BLOCK]> {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

impl Tar {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// What every distribution has: `etc/os-release`.
    pub(super) fn distro() -> Self {
        Self::new().folder("etc/").file("etc/os-release", b"ID=hostile\nVERSION_ID=1\n")
    }

    /// Appends bytes as they are.
    #[must_use]
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends contents, padded to whole blocks.
    #[must_use]
    pub(super) fn contents(self, bytes: &[u8]) -> Self {
        let padding = bytes.len().next_multiple_of(BLOCK) - bytes.len();
        self.raw(bytes).raw(&vec![0; padding])
    }

    /// Appends a header.
    #[must_use]
    pub(super) fn header(self, header: Header) -> Self {
        self.raw(&*header.sealed())
    }

    /// Appends a file.
    #[must_use]
    pub(super) fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.header(Header::new(name.as_bytes(), b'0').size(bytes.len())).contents(bytes)
    }

    /// Appends a folder.
    #[must_use]
    pub(super) fn folder(self, name: &str) -> Self {
        self.header(Header::new(name.as_bytes(), b'5'))
    }

    /// Appends a symbolic link.
    #[must_use]
    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.header(Header::new(name.as_bytes(), b'2').link(target.as_bytes()))
    }

    /// Appends a hard link.
    #[must_use]
    pub(super) fn hard_link(self, name: &str, target: &str) -> Self {
        self.header(Header::new(name.as_bytes(), b'1').link(target.as_bytes()))
    }

    /// Appends a block of records about the next member (`kind` `x`), or about all that follow (`g`).
    #[must_use]
    pub(super) fn records(self, kind: u8, records: &[u8]) -> Self {
        self.header(Header::new(b"PaxHeaders/records", kind).size(records.len())).contents(records)
    }

    /// Appends one well-formed record about the next member.
    #[must_use]
    pub(super) fn record(self, key: &str, value: &[u8]) -> Self {
        self.records(b'x', &record(key, value))
    }

    /// Appends a name (`L`) or link target (`K`) as GNU tar writes long ones.
    #[must_use]
    pub(super) fn long(self, kind: u8, text: &[u8]) -> Self {
        self.header(Header::new(b"././@LongLink", kind).gnu().size(text.len())).contents(text)
    }

    /// The archive, closed as it should be.
    #[must_use]
    pub(super) fn end(self) -> Vec<u8> {
        self.raw(&[0; 2 * BLOCK]).0
    }

    /// The archive, cut off here.
    #[must_use]
    pub(super) fn cut(self) -> Vec<u8> {
        self.0
    }
}

/// A record `LENGTH KEY=VALUE\n`, whose length counts itself.
pub(super) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::record;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record("path", b"x"), b"9 path=x\n");
        for length in [0, 1, 80, 89, 90, 91, 980, 990] {
            let record = record("k", &vec![b'v'; length]);
            let text = String::from_utf8(record.clone()).unwrap();
            assert_eq!(text.split_once(' ').unwrap().0.parse(), Ok(record.len()));
        }
    }
}
