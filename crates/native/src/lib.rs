//! The platform `native`: distributions on Linux by namespaces, ext4 images and cgroups.
//!
//! Synchronous; knows no HTTP and nothing of Docker. Namespace work is done by `sampan-guest`, which this crate starts:
//! the service has threads, and a process with threads must not fork or change namespaces. The one exception is a thread
//! that ends where it went, into the hub's mounts with a disk (`layer`).
#![forbid(unsafe_code)]

mod archive;
mod cancel;
mod cgroup;
mod check;
mod debootstrap;
mod digest;
mod disk;
mod distro;
pub mod distros;
mod gateway;
mod group;
mod hub;
mod image;
pub mod integration;
mod layer;
mod network;
mod platform;
mod process;
mod proxies;
mod resolver;
mod stamp;
mod store;
mod ticks;
mod tools;
mod tree;
mod working_trees;
mod wslconfig;

pub use group::{GROUP, gid_of};
pub use platform::Native;
pub use store::StoreError;
