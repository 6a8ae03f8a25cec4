//! `sampand --detach`: the service in the background, without systemd.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;

use sampan_backend::Error;
use sampan_model::api::{ErrorBody, ErrorCode};
use sampan_model::instance::Instance;

use crate::tools;

/// Starts the service and returns when its API answers.
pub(crate) fn run(instance: &Instance) -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new(ErrorCode::Denied, "the service needs root", Some("sudo sampan start")));
    }
    let failed = |what: &str, source: std::io::Error| {
        let code = if source.kind() == std::io::ErrorKind::StorageFull {
            ErrorCode::DiskFull
        } else {
            ErrorCode::Failed
        };
        Error::new(code, format!("{what}: {source}"), Some("check free space and permissions"))
    };
    let path = instance.log("sampand");
    let log = fs::create_dir_all(instance.logs())
        .and_then(|()| File::options().create(true).append(true).open(&path))
        .map_err(|source| failed(&format!("cannot open the log {}", path.display()), source))?;
    let said = tools::start_self(&["--instance", instance.name(), "--detached"], log)
        .map_err(|source| failed("cannot start the service", source))?;
    if let Some(body) = said.lines().last().and_then(|line| serde_json::from_str::<ErrorBody>(line).ok()) {
        return Err(Error(body.error));
    }
    UnixStream::connect(instance.api_socket()).map(|_| ()).map_err(|source| {
        let log = format!("its log is {}", path.display());
        Error::new(ErrorCode::Failed, format!("the service ended at once: {source}"), Some(&log))
    })
}
