//! Descriptors that a process was started with.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags};

use super::set_cloexec;
use crate::error::{Result, SysError};

/// Takes over a descriptor that this process inherited when it was executed, by its number; it is close-on-exec
/// afterwards. Refused: standard streams, numbers that are not open, and (EBUSY) descriptors that were opened or
/// taken over since. Call it before any other thread exists.
pub fn inherited_fd(number: RawFd) -> Result<OwnedFd> {
    const WHAT: &str = "take over";
    let object = format!("descriptor {number}");
    if number <= libc::STDERR_FILENO {
        return Err(SysError::new(WHAT, object, Errno::BADF));
    }
    // SAFETY: only used to ask for the flags, which is harmless for any number but -1.
    let probed = unsafe { BorrowedFd::borrow_raw(number) };
    match rustix::io::fcntl_getfd(probed) {
        Err(errno) => return Err(SysError::new(WHAT, object, errno)),
        // What was there when the program was executed has not got the flag, all that std, rustix and tokio open has:
        // somebody in this process owns this one.
        Ok(flags) if flags.contains(FdFlags::CLOEXEC) => {
            return Err(SysError::new(WHAT, object, Errno::BUSY).because("it was not inherited"));
        }
        Ok(_) => {}
    }
    set_cloexec(probed)?;
    // SAFETY: the descriptor is open, was inherited and not taken over before (it had no close-on-exec flag, which it
    // has from now on), so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;
    use crate::process::clear_cloexec;

    #[test]
    fn what_was_not_inherited_is_refused() {
        assert_eq!(inherited_fd(2).unwrap_err().errno(), Errno::BADF);
        assert_eq!(inherited_fd(-1).unwrap_err().errno(), Errno::BADF);
        assert_eq!(inherited_fd(1_000_000).unwrap_err().errno(), Errno::BADF);
        let own = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(inherited_fd(own.as_raw_fd()).unwrap_err().errno(), Errno::BUSY);
    }

    #[test]
    fn an_inherited_one_is_taken_once() {
        let file = std::fs::File::open("/dev/null").unwrap();
        clear_cloexec(&file).unwrap();
        let number = file.into_raw_fd();
        let taken = inherited_fd(number).unwrap();
        assert_eq!(taken.as_raw_fd(), number);
        assert_eq!(inherited_fd(number).unwrap_err().errno(), Errno::BUSY);
    }
}
