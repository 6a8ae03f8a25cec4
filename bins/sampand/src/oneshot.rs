//! `sampand oneshot`: answers without a service, for when none runs.

use std::process::ExitCode;

use sampan_backend::Error;
use sampan_model::api::{Distributions, ErrorCode, Event};
use sampan_model::check::Check;
use sampan_model::distro::DistroState;
use sampan_model::document;
use sampan_model::instance::Instance;
use sampan_model::registry::Registry;
use sampan_model::wsl::service::Reply;
use sampan_sys::lock::FileLock;
use serde::Serialize;

use crate::failure;

/// What can be done without a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// Test every prerequisite.
    Check,
    /// List distributions.
    List,
    /// The default distribution and the version of new ones.
    Status,
    /// Versions.
    Version,
    /// What a reset deletes.
    ResetPlan,
    /// Delete.
    Reset,
}

#[derive(Serialize)]
struct Checks {
    checks: Vec<Check>,
}

/// Does `what` and prints the result.
pub(crate) fn run(instance: &Instance, what: What, all: bool) -> ExitCode {
    match answer(instance, what, all) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::print(&error),
    }
}

fn answer(instance: &Instance, what: What, all: bool) -> Result<(), Error> {
    let (engine, _) = crate::engine(instance.clone(), false)?;
    match what {
        What::Check => failure::line(&Checks { checks: engine.platform().check() }),
        What::List => {
            let mut distributions = engine.platform().distributions()?;
            // Nobody is at work on what was cut off: the next service removes it first of all.
            distributions
                .retain(|one| !matches!(one.state, DistroState::Installing | DistroState::Uninstalling));
            failure::line(&Distributions { distributions });
        }
        What::Status => {
            let all = engine.platform().distributions()?.into_iter();
            let default = all.filter(|one| one.default).map(|one| one.name).next();
            failure::line(&Reply::Status { default, version: default_version(instance) });
        }
        What::Version => failure::line(&engine.version(env!("CARGO_PKG_VERSION"))),
        What::ResetPlan => failure::line(&engine.reset_plan(all)?),
        What::Reset => {
            // A service that came up in the meantime must not lose its files under its feet.
            let _lock = if instance.state().is_dir() { Some(lock(instance)?) } else { None };
            let sink = |event: Event| failure::line(&event);
            match engine.reset(all, &sink) {
                Ok(remaining) => failure::line(&Event::Done {
                    message: "everything was deleted".to_owned(),
                    already: false,
                    marks: Vec::new(),
                    remaining,
                }),
                Err(error) => failure::line(&Event::Failed { error: error.0 }),
            }
        }
    }
    Ok(())
}

/// The version of new distributions. To be asked after the registry was found to be sound.
fn default_version(instance: &Instance) -> u8 {
    let text = std::fs::read_to_string(instance.registry()).ok();
    let registry = text.and_then(|text| document::parse::<Registry>(&text).ok()).unwrap_or_default();
    registry.default_version.unwrap_or(2)
}

/// The instance's lock, which only one process has.
pub(crate) fn lock(instance: &Instance) -> Result<FileLock, Error> {
    std::fs::create_dir_all(instance.state()).map_err(|source| {
        let code = match source.kind() {
            std::io::ErrorKind::StorageFull => ErrorCode::DiskFull,
            _ => ErrorCode::Failed,
        };
        let message = format!("cannot make the folder {}: {source}", instance.state().display());
        Error::new(code, message, Some("check free space and permissions above it"))
    })?;
    match FileLock::try_exclusive(&instance.lock()) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(Error::new(
            ErrorCode::Busy,
            format!("another service of the instance {instance} uses {}", instance.state().display()),
            Some(
                "`sampan status` tells about it; it is reached through the same SAMPAN_RUN_DIR it was started with",
            ),
        )),
        Err(error) => Err(Error::new(ErrorCode::Failed, sampan_backend::error::chain(&error), None)),
    }
}
