//! The platform `native`: distributions on Linux by namespaces, ext4 images and cgroups.
//!
//! Synchronous; knows no HTTP and nothing of Docker. Namespace work is done by `sampan-guest`, which this crate starts:
//! the service has threads, and a process with threads must not fork or change namespaces.
#![forbid(unsafe_code)]

mod cgroup;
mod check;
mod disk;
mod distro;
mod group;
mod hub;
mod image;
mod network;
mod platform;
mod process;
mod store;
mod tools;

pub use group::{GROUP, gid_of};
pub use platform::Native;
pub use store::StoreError;
