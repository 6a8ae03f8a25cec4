//! Pure data and rules: what both sides of a socket agree on, and what needs no machine to be decided.
//!
//! No I/O and no async in this crate: a function here depends on its arguments only.
#![forbid(unsafe_code)]

pub mod api;
pub mod check;
pub mod config;
pub mod distro;
pub mod docker_cli;
pub mod document;
pub mod engine;
pub mod gateway;
pub mod guest;
pub mod instance;
pub mod integration;
pub mod network;
pub mod ports;
pub mod proxies;
pub mod registry;
pub mod session;
pub mod settings;
pub mod size;
pub mod views;
pub mod words;
pub mod working_tree;
pub mod wsl;
