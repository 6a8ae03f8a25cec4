//! WSL integration: `docker` in the user's distributions.

pub mod files;
