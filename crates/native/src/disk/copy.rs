//! Copying images without their holes, and making holes where there are only zeroes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

/// How much is read at once. What is all zeroes in one of the smaller units is left out.
const PIECE: usize = 1 << 20;
const UNIT: usize = 64 << 10;

/// Makes the empty file `to` a copy of `from`: the blocks of the same, where the file system can do that, or all bytes
/// that are not zero. `told` hears how many bytes of the file are done; an error of it ends the copying.
pub(crate) fn copy(from: &File, to: &File, told: &dyn Fn(u64) -> io::Result<()>) -> io::Result<()> {
    let length = from.metadata()?.len();
    if rustix::fs::ioctl_ficlone(to, from).is_err() {
        to.set_len(length)?;
        each_piece(from, length, |offset, bytes| {
            for (index, unit) in bytes.chunks(UNIT).enumerate() {
                if unit.iter().any(|byte| *byte != 0) {
                    to.write_all_at(unit, offset + (index * UNIT) as u64)?;
                }
            }
            told(offset + bytes.len() as u64)
        })?;
    }
    to.sync_all()
}

/// Gives the space of zeroes back.
pub(crate) fn dig_holes(file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    each_piece(file, length, |offset, bytes| {
        for (index, unit) in bytes.chunks(UNIT).enumerate() {
            if unit.len() == UNIT && unit.iter().all(|byte| *byte == 0) {
                let at = offset + (index * UNIT) as u64;
                let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                match fallocate(file, hole, at, UNIT as u64) {
                    // It stays larger, no more.
                    Ok(()) | Err(Errno::OPNOTSUPP) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        Ok(())
    })
}

/// Reads all that is no hole. Pieces begin at multiples of [`PIECE`], so that equal files are cut equally.
fn each_piece(
    file: &File,
    length: u64,
    mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut offset = 0;
    while offset < length {
        offset = match seek(file, SeekFrom::Data(offset)) {
            Ok(data) => data - data % PIECE as u64,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => return Ok(()),
            // A file system without holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => offset,
            Err(errno) => return Err(errno.into()),
        };
        let wanted = usize::try_from(length - offset).unwrap_or(PIECE).min(PIECE);
        file.read_exact_at(&mut buffer[..wanted], offset)?;
        each(offset, &buffer[..wanted])?;
        offset += wanted as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::sync::Mutex;

    use super::*;

    const LENGTH: u64 = (1 << 34) + 12_345;

    /// A byte in the middle of a hole, one in allocated zeroes, and one at the very end.
    fn sparse() -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(LENGTH).unwrap();
        file.write_all_at(b"a", 5_000_000_001).unwrap();
        file.write_all_at(&vec![0; 8 << 20], 1 << 30).unwrap();
        file.write_all_at(b"b", (1 << 30) + 100).unwrap();
        file.write_all_at(b"z", LENGTH - 1).unwrap();
        file
    }

    fn byte(file: &File, at: u64) -> u8 {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        byte[0]
    }

    #[test]
    fn holes_stay_holes_and_bytes_stay_bytes() {
        let (from, to) = (sparse(), tempfile::tempfile().unwrap());
        let told = Mutex::new(Vec::new());
        let tell = |done| {
            told.lock().unwrap().push(done);
            Ok(())
        };
        copy(&from, &to, &tell).unwrap();
        assert_eq!(to.metadata().unwrap().len(), LENGTH);
        for (at, expected) in [(5_000_000_001, b'a'), ((1 << 30) + 100, b'b'), (LENGTH - 1, b'z'), (0, 0)] {
            assert_eq!(byte(&to, at), expected, "at {at}");
        }
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20, "zeroes are left out");
        let told = told.into_inner().unwrap();
        assert!(told.is_sorted() && told.iter().all(|done| *done <= LENGTH), "{told:?}");
    }

    #[test]
    fn a_copy_that_is_called_off_ends() {
        let (from, to) = (sparse(), tempfile::tempfile().unwrap());
        // Where the blocks are shared there is nothing to be called off.
        if rustix::fs::ioctl_ficlone(&to, &from).is_err() {
            let (from, told) = (sparse(), Mutex::new(0));
            let tell = |_| {
                *told.lock().unwrap() += 1;
                Err(io::ErrorKind::BrokenPipe.into())
            };
            assert_eq!(copy(&from, &to, &tell).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(*told.lock().unwrap(), 1);
        }
    }

    #[test]
    fn zeroes_become_holes() {
        let file = sparse();
        assert!(file.metadata().unwrap().blocks() * 512 > 8 << 20);
        dig_holes(&file).unwrap();
        assert!(file.metadata().unwrap().blocks() * 512 < 1 << 20);
        assert_eq!((file.metadata().unwrap().len(), byte(&file, (1 << 30) + 100)), (LENGTH, b'b'));
    }
}
