//! What Sampan does whatever runs below it: the engine's life cycle over a [`platform::Platform`].
//!
//! Nothing here says namespace, loop device or `wsl.exe`; a platform knows nothing of Docker.
#![forbid(unsafe_code)]

pub mod clock;
pub mod engine;
pub mod error;
pub mod image;
pub mod platform;
pub mod settings;
pub mod supervisor;

pub use error::{Error, Explain};
