//! Where partitions are, for kernels that do not read the table of a disk.
//!
//! Tables: UEFI Specification 2.10, §5.2 and §5.3; the chain of logical partitions as in Linux `block/partitions/msdos.c`.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

/// The first partition number in a chain.
const LOGICAL: u32 = 5;
/// Whoever writes a longer chain, or one in a ring, wants to keep us busy.
const LONGEST_CHAIN: u32 = 128;

/// A part of a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) length: u64,
}

/// Partition `number` of a disk of `size` bytes with sectors of `sector` bytes; none: there is no such partition.
pub(super) fn find(disk: &File, sector: u64, size: u64, number: u32) -> io::Result<Option<Extent>> {
    let table = Table { disk, sector, size };
    let Some(slots) = table.slots(0)? else { return Ok(None) };
    if slots.iter().any(|slot| slot.kind == Slot::PROTECTIVE) {
        return table.guid(number);
    }
    match number {
        0 => Ok(None),
        1..LOGICAL => Ok(slots[number as usize - 1].extent(&table, 0)),
        _ => match slots.iter().find(|slot| slot.is_extended()) {
            Some(extended) => table.logical(u64::from(extended.start), number),
            None => Ok(None),
        },
    }
}

struct Table<'a> {
    disk: &'a File,
    sector: u64,
    size: u64,
}

/// One of the four entries of a boot record.
#[derive(Debug, Clone, Copy)]
struct Slot {
    kind: u8,
    start: u32,
    sectors: u32,
}

impl Slot {
    /// The disk has a GUID partition table.
    const PROTECTIVE: u8 = 0xee;

    fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    /// What it describes, seen from sector `base`.
    fn extent(self, table: &Table<'_>, base: u64) -> Option<Extent> {
        if self.kind == 0 || self.sectors == 0 || self.is_extended() {
            return None;
        }
        table.extent(base + u64::from(self.start), u64::from(self.sectors))
    }
}

impl Table<'_> {
    /// The entries of the boot record in a sector; none: there is no such record.
    fn slots(&self, sector: u64) -> io::Result<Option<[Slot; 4]>> {
        let Some(record) = self.read::<512>(sector.checked_mul(self.sector))? else { return Ok(None) };
        if record[510..] != [0x55, 0xaa] {
            return Ok(None);
        }
        let slot = |index: usize| {
            let slot = &record[446 + 16 * index..];
            Slot { kind: slot[4], start: number(slot, 8), sectors: number(slot, 12) }
        };
        Ok(Some([slot(0), slot(1), slot(2), slot(3)]))
    }

    /// A logical partition: each is described in a record of its own, which names the next record, too.
    fn logical(&self, extended: u64, wanted: u32) -> io::Result<Option<Extent>> {
        let mut at = extended;
        let mut found = LOGICAL;
        for _ in 0..LONGEST_CHAIN {
            let Some(slots) = self.slots(at)? else { return Ok(None) };
            for extent in slots.iter().filter_map(|slot| slot.extent(self, at)) {
                if found == wanted {
                    return Ok(Some(extent));
                }
                found += 1;
            }
            let Some(next) = slots.iter().find(|slot| slot.is_extended()) else { return Ok(None) };
            at = extended + u64::from(next.start);
        }
        Ok(None)
    }

    fn guid(&self, wanted: u32) -> io::Result<Option<Extent>> {
        let Some(header) = self.read::<92>(Some(self.sector))? else { return Ok(None) };
        let (first, count, size) = (long(&header, 72), number(&header, 80), number(&header, 84));
        if &header[..8] != b"EFI PART" || !(1..=count).contains(&wanted) || size < 128 {
            return Ok(None);
        }
        let at = first
            .checked_mul(self.sector)
            .and_then(|first| first.checked_add(u64::from(wanted - 1) * u64::from(size)));
        let Some(entry) = self.read::<48>(at)? else { return Ok(None) };
        if entry[..16] == [0; 16] {
            return Ok(None);
        }
        let (first, last) = (long(&entry, 32), long(&entry, 40));
        Ok(last.checked_sub(first).and_then(|less| self.extent(first, less.checked_add(1)?)))
    }

    /// An extent, if it is on the disk.
    fn extent(&self, start: u64, sectors: u64) -> Option<Extent> {
        let (start, length) = (start.checked_mul(self.sector)?, sectors.checked_mul(self.sector)?);
        (start > 0 && start.checked_add(length)? <= self.size).then_some(Extent { start, length })
    }

    /// Bytes of the disk; none: it ends before.
    fn read<const N: usize>(&self, at: Option<u64>) -> io::Result<Option<[u8; N]>> {
        let Some(at) = at.filter(|at| *at < self.size) else { return Ok(None) };
        let mut bytes = [0; N];
        match self.disk.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 64 << 20;

    fn disk(parts: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE).unwrap();
        for (at, bytes) in parts {
            file.write_all_at(bytes, *at).unwrap();
        }
        file
    }

    /// A boot record with these entries: type, first sector, sectors.
    fn record(slots: &[(u8, u32, u32)]) -> [u8; 512] {
        let mut record = [0; 512];
        for (index, (kind, start, sectors)) in slots.iter().enumerate() {
            let slot = &mut record[446 + 16 * index..][..16];
            slot[4] = *kind;
            slot[8..12].copy_from_slice(&start.to_le_bytes());
            slot[12..].copy_from_slice(&sectors.to_le_bytes());
        }
        record[510..].copy_from_slice(&[0x55, 0xaa]);
        record
    }

    fn at(disk: &File, number: u32) -> Option<(u64, u64)> {
        find(disk, 512, SIZE, number).unwrap().map(|extent| (extent.start / 512, extent.length / 512))
    }

    #[test]
    fn primary_and_logical_partitions() {
        let disk = disk(&[
            (0, &record(&[(0x83, 2048, 100), (0x05, 10_000, 50_000), (0, 1, 1), (0x83, 70_000, u32::MAX)])),
            (10_000 * 512, &record(&[(0x83, 64, 200), (0x05, 300, 400)])),
            (10_300 * 512, &record(&[(0x83, 64, 300)])),
        ]);
        assert_eq!(at(&disk, 1), Some((2048, 100)));
        assert_eq!((at(&disk, 0), at(&disk, 2), at(&disk, 3)), (None, None, None));
        assert_eq!(at(&disk, 4), None, "longer than the disk");
        assert_eq!((at(&disk, 5), at(&disk, 6)), (Some((10_064, 200)), Some((10_364, 300))));
        assert_eq!((at(&disk, 7), at(&disk, u32::MAX)), (None, None));
    }

    #[test]
    fn a_chain_in_a_ring_ends() {
        let ring = record(&[(0x05, 0, 10)]);
        let disk = disk(&[(0, &record(&[(0x05, 100, 10)])), (100 * 512, &ring)]);
        assert_eq!(at(&disk, 5), None);
    }

    #[test]
    fn guid_tables() {
        let mut header = [0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[72..80].copy_from_slice(&2_u64.to_le_bytes());
        header[80..84].copy_from_slice(&4_u32.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        let entry = |first: u64, last: u64| {
            let mut entry = [0; 128];
            entry[0] = 1;
            entry[32..40].copy_from_slice(&first.to_le_bytes());
            entry[40..48].copy_from_slice(&last.to_le_bytes());
            entry
        };
        let mut parts = vec![
            (0, record(&[(0xee, 1, u32::MAX)]).to_vec()),
            (512, header.to_vec()),
            (1024, entry(2048, 4095).to_vec()),
            (1024 + 2 * 128, entry(4096, 4095 - 10).to_vec()),
            (1024 + 3 * 128, entry(1, u64::MAX).to_vec()),
        ];
        let made = |parts: &[(u64, Vec<u8>)]| {
            disk(&parts.iter().map(|(at, bytes)| (*at, bytes.as_slice())).collect::<Vec<_>>())
        };
        let whole = made(&parts);
        assert_eq!(at(&whole, 1), Some((2048, 2048)));
        for none in [0, 2, 3, 4, 5, u32::MAX] {
            assert_eq!(at(&whole, none), None, "{none}");
        }
        parts[1].1[72..80].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(at(&made(&parts), 1), None, "the table is not on the disk");
        parts[1].1[0] = 0;
        assert_eq!(at(&made(&parts), 1), None, "no header");
    }

    #[test]
    fn what_has_no_table_has_no_partitions() {
        assert_eq!(at(&disk(&[]), 1), None);
        let empty = tempfile::tempfile().unwrap();
        assert_eq!(find(&empty, 512, 0, 1).unwrap(), None);
        assert_eq!(find(&empty, 512, SIZE, 1).unwrap(), None);
    }

    #[test]
    fn sectors_may_be_longer() {
        let disk = disk(&[(0, &record(&[(0x83, 256, 16)]))]);
        let found = find(&disk, 4096, SIZE, 1).unwrap();
        assert_eq!(found, Some(Extent { start: 1 << 20, length: 16 << 12 }));
    }
}
