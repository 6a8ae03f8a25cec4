//! The verbs, one file each: parse, call, print.

pub(crate) mod check;
pub(crate) mod context;
pub(crate) mod distro;
pub(crate) mod docker;
pub(crate) mod integration;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod ports;
pub(crate) mod reset;
pub(crate) mod restart;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod version;
pub(crate) mod wsl;

use sampan_model::instance::Instance;

use crate::cli::{self, Format};
use crate::exit::Problem;

/// What every verb is given.
#[derive(Debug)]
pub(crate) struct Session {
    /// The instance that is meant.
    pub(crate) instance: Instance,
    /// How results are printed.
    pub(crate) format: Format,
    /// When this program began, in microseconds of `CLOCK_MONOTONIC`.
    pub(crate) began_us: u64,
}

impl Session {
    /// Finds the instance that `name` or the environment means.
    pub(crate) fn new(name: Option<&str>, format: Format, began_us: u64) -> Result<Self, Problem> {
        let instance = Instance::from_env(name, |key| std::env::var_os(key))
            .map_err(|error| Problem::invalid(error.to_string()))?;
        Ok(Self { instance, format, began_us })
    }

    /// A command of ours as the user types it for this instance, e.g. `sampan --instance two start`.
    pub(crate) fn command(&self, verb: &str) -> String {
        let usual = cli::env("SAMPAN_INSTANCE").filter(|name| !name.is_empty());
        let usual = usual.as_deref().unwrap_or(sampan_model::instance::DEFAULT_NAME);
        let name = self.instance.name();
        if name == usual { format!("sampan {verb}") } else { format!("sampan --instance {name} {verb}") }
    }
}

/// Runs a verb that waits for sockets and programs.
pub(crate) fn wait<T>(verb: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::failed(format!("can't wait for events: {error}")))?;
    runtime.block_on(verb)
}
