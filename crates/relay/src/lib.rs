//! Moves bytes: between two streams, from the host's Docker socket to the engine's, from published ports to containers, in
//! small HTTP exchanges over unix sockets, questions for names, and the way to the web. The only crate that knows Docker's API.
#![forbid(unsafe_code)]

mod connection;
pub mod docker;
pub mod forward;
pub mod names;
pub mod proxy;
pub mod pump;
mod quiet;
mod splice;
pub mod unix_http;
pub mod web;
