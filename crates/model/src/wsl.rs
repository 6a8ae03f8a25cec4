//! The grammar and the output layout of `wsl.exe`.

pub mod account;
pub mod args;
pub mod disk;
pub mod environment;
pub mod error;
pub mod hostname;
pub mod hosts;
pub mod info;
pub mod list;
pub mod locale;
pub mod manifest;
pub mod message;
pub mod os_release;
pub mod path;
pub mod resolv_conf;
pub mod service;
pub mod tool;
pub mod usage;
pub mod value;
