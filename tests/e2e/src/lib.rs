//! The harness of the black-box tests: instances with folders of their own, machines to put them on, and a look at what
//! they leave behind.
//!
//! A test owns an [`instance::Instance`]. When that goes, everything of it must have gone by the product's own commands;
//! what has not is removed by identity, and the test fails for it.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "what a test says while it runs is read on the terminal")]

pub mod case;
pub mod cleanup;
pub mod disk;
pub mod files;
pub mod held;
pub mod host;
pub mod hostile_tars;
pub mod http;
pub mod images;
pub mod instance;
pub mod kernel;
pub mod listing;
pub mod netns;
pub mod processes;
pub mod proxy_server;
pub mod random;
pub mod resolver;
pub mod roots;
pub mod shared;
pub mod tools;
pub mod traces;
pub mod waiting;
pub mod web;
pub mod workspace;
