//! Reading into memory that nobody has written to yet.

use std::os::fd::AsFd;

use bytes::BufMut;
use rustix::io::Errno;

/// Reads once, into what `into` has ready next; how many bytes. 0: nothing more comes, or there is no room.
pub fn receive(socket: impl AsFd, into: &mut impl BufMut) -> Result<usize, Errno> {
    let room = into.chunk_mut();
    // SAFETY: the two types have the same layout, and nothing that was initialised is made uninitialised: `read` only writes.
    let room = unsafe { room.as_uninit_slice_mut() };
    let (read, _) = rustix::io::read(socket, room)?;
    let length = read.len();
    // SAFETY: so many bytes were written at the beginning of what `chunk_mut` gave.
    unsafe { into.advance_mut(length) };
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_there_is_appended() {
        let (mut from, to) = UnixStream::pair().unwrap();
        to.set_nonblocking(true).unwrap();
        let mut read = Vec::from(*b"a");
        assert_eq!(receive(&to, &mut read), Err(Errno::AGAIN));
        from.write_all(b"bc").unwrap();
        assert_eq!(receive(&to, &mut read), Ok(2));
        assert_eq!(read, b"abc");
        drop(from);
        assert_eq!(receive(&to, &mut read), Ok(0));
        let mut one = [0; 1];
        assert_eq!(receive(&to, &mut &mut one[..]), Ok(0));
    }
}
