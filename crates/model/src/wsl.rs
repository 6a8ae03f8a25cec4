//! The grammar and the output layout of `wsl.exe`.

pub mod args;
pub mod list;
