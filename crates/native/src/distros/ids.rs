//! Ids of the host for distributions: a range of its own for each that runs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sampan_model::distro::Guid;
use sampan_model::guest::IdRange;

/// How many ids a distribution has: every one of 16 bits.
const COUNT: u32 = 1 << 16;

/// Where ranges may begin, every [`COUNT`]: what systemd sets aside for containers (systemd.io, "Users, Groups, UIDs and
/// GIDs on systemd Systems"), so that no user of the host is among them. What users have for containers of their own may be,
/// and is left out.
const FIRST: u32 = 524_288;
const LAST: u32 = 1_878_982_656 - COUNT;

/// The ranges of distributions that are being started: those that run are known by their records.
#[derive(Debug, Default)]
pub(super) struct Ranges(Mutex<Vec<IdRange>>);

/// A range that nobody else gets as long as this lives.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    pub(super) range: IdRange,
    ranges: &'a Ranges,
}

impl Ranges {
    /// Reserves a range for `guid`; none when all are taken. `running` is asked for those of running distributions.
    pub(super) fn reserve(
        &self,
        guid: &Guid,
        running: impl FnOnce() -> Vec<IdRange>,
    ) -> Option<Reserved<'_>> {
        let mut starting = self.starting();
        let mut taken = running();
        taken.extend(
            ["/etc/subuid", "/etc/subgid"]
                .iter()
                .flat_map(|file| subordinate(&std::fs::read_to_string(file).unwrap_or_default())),
        );
        taken.extend(starting.iter());
        let range = choose(guid, &taken)?;
        starting.push(range);
        Some(Reserved { range, ranges: self })
    }

    fn starting(&self) -> MutexGuard<'_, Vec<IdRange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.ranges.starting().retain(|range| *range != self.range);
    }
}

/// The ranges in a file of subuid(5).
fn subordinate(text: &str) -> Vec<IdRange> {
    let range = |line: &str| {
        let mut fields = line.split(':').skip(1).map(|field| field.trim().parse().ok());
        Some(IdRange { base: fields.next()??, count: fields.next()?? })
    };
    text.lines().filter_map(range).collect()
}

/// A range for `guid`, the same each time unless one that runs has some of it; none when all are taken.
fn choose(guid: &Guid, taken: &[IdRange]) -> Option<IdRange> {
    const PLACES: u32 = (LAST - FIRST) / COUNT + 1;
    let mut hash: u32 = 0x811c_9dc5; // FNV-1a, 32 bits
    for byte in guid.to_string().bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    let place = |step: u32| (hash % PLACES + step) % PLACES;
    (0..PLACES)
        .map(|step| IdRange { base: FIRST + place(step) * COUNT, count: COUNT })
        .find(|range| !taken.iter().any(|other| overlap(*range, *other)))
}

fn overlap(one: IdRange, other: IdRange) -> bool {
    let end = |range: IdRange| u64::from(range.base) + u64::from(range.count);
    u64::from(one.base) < end(other) && u64::from(other.base) < end(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_keeps_its_range_unless_another_has_it() {
        let guid = Guid::from_random([7; 16]);
        let first = choose(&guid, &[]).unwrap();
        assert_eq!(choose(&guid, &[]), Some(first));
        assert!(first.base >= FIRST && first.base <= LAST && (first.base - FIRST).is_multiple_of(COUNT));
        let second = choose(&guid, &[first]).unwrap();
        assert!(!overlap(first, second));
        // One that is not on the grid takes two places.
        let across = IdRange { base: first.base + 1, count: COUNT };
        let third = choose(&guid, &[across]).unwrap();
        assert!(!overlap(across, third));
    }

    #[test]
    fn ranges_of_users_are_read() {
        let text = "# made by useradd\nann:524288:65536\nbob:x:1\n1000:600000:65536\n\ncut:1\n";
        let range = |base| IdRange { base, count: 65536 };
        assert_eq!(subordinate(text), [range(524_288), range(600_000)]);
    }

    #[test]
    fn two_starts_at_once_never_get_the_same() {
        let (ranges, guid) = (Ranges::default(), Guid::from_random([7; 16]));
        let first = ranges.reserve(&guid, Vec::new).unwrap();
        let second = ranges.reserve(&guid, Vec::new).unwrap();
        assert!(!overlap(first.range, second.range));
        let range = first.range;
        drop(first);
        assert_eq!(ranges.reserve(&guid, Vec::new).unwrap().range, range);
        assert_ne!(ranges.reserve(&guid, || vec![range]).unwrap().range, range);
    }

    #[test]
    fn every_place_is_found_and_then_there_is_none() {
        let all = IdRange { base: 0, count: u32::MAX };
        assert_eq!(choose(&Guid::NIL, &[all]), None);
        let but_the_last = IdRange { base: FIRST, count: LAST - FIRST };
        assert_eq!(choose(&Guid::NIL, &[but_the_last]).unwrap().base, LAST);
        let but_the_first = IdRange { base: FIRST + COUNT, count: LAST - FIRST };
        assert_eq!(choose(&Guid::NIL, &[but_the_first]).unwrap().base, FIRST);
    }
}
