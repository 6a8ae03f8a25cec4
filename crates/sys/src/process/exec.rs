//! Replacing the calling process by a program.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{SysError, last_errno};

const WHAT: &str = "execute";

/// Executes the program behind `fd`; returns only on failure. `env` holds `NAME=value` entries. With
/// close-on-exec set on `fd` a script (`#!`) cannot be started, a binary can.
pub fn exec_fd<A: AsRef<OsStr>, E: AsRef<OsStr>>(fd: impl AsFd, argv: &[A], env: &[E]) -> SysError {
    let name = argv.first().map_or_else(|| OsStr::new("a program without a name"), AsRef::as_ref);
    let (argv, env) = match (Strings::new(argv), Strings::new(env)) {
        (Ok(argv), Ok(env)) => (argv, env),
        (Err(errno), _) | (_, Err(errno)) => return SysError::new(WHAT, name, errno),
    };
    let (fd, empty) = (fd.as_fd(), c"");
    // SAFETY: the path is a C string; both lists end with a null pointer and, with what they point to,
    // outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            CStr::as_ptr(empty),
            argv.pointers.as_ptr(),
            env.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    SysError::new(WHAT, name, last_errno())
}

/// Executes the program at `path` (not looked for in PATH); returns only on failure. `env` holds `NAME=value`
/// entries.
pub fn exec<A: AsRef<OsStr>, E: AsRef<OsStr>>(path: &Path, argv: &[A], env: &[E]) -> SysError {
    let (Ok(program), Ok(argv), Ok(env)) =
        (c_string(path.as_os_str()), Strings::new(argv), Strings::new(env))
    else {
        return SysError::new(WHAT, path, Errno::INVAL);
    };
    // SAFETY: the path is a C string; both lists end with a null pointer and, with what they point to,
    // outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.pointers.as_ptr(), env.pointers.as_ptr()) };
    SysError::new(WHAT, path, last_errno())
}

/// A list of C strings as the kernel wants it.
struct Strings {
    pointers: Vec<*const c_char>,
    /// What `pointers` points to.
    _owned: Vec<CString>,
}

impl Strings {
    fn new<S: AsRef<OsStr>>(strings: &[S]) -> Result<Self, Errno> {
        let owned = strings.iter().map(|s| c_string(s.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let pointers = owned.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Ok(Self { pointers, _owned: owned })
    }
}

fn c_string(text: &OsStr) -> Result<CString, Errno> {
    CString::new(text.as_bytes()).map_err(|_| Errno::INVAL)
}
