//! Safe Linux primitives: processes, namespaces, mounts, loop devices, sockets, locks.
//!
//! The only crate of the workspace with `unsafe`. It is synchronous and knows nothing of distributions or
//! Docker: each function is one operation of the kernel, or a few that only make sense together. Calls that
//! `rustix` has are taken from there; what is written here by hand is what it lacks (clone3, `mount_setattr`,
//! the loop ioctls).
#![deny(unsafe_op_in_unsafe_fn)]

pub mod block;
pub mod capability;
pub mod device;
pub mod error;
pub mod fs;
pub mod inotify;
pub mod lock;
pub mod loopdev;
pub mod mount;
pub mod namespace;
pub mod nftables;
pub mod poll;
pub mod process;
pub mod pty;
pub mod seccomp;
pub mod signals;
pub mod socket;

pub use error::{Result, SysError};
pub use rustix::io::Errno;
