//! What happens once at the start of a distribution, before its first session.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use sampan_model::wsl::environment::{self, Session};
use sampan_sys::fs::write_atomic;

use crate::inside::{self, Facts};
use crate::session::Distribution;
use crate::session::login::{Login, read};
use crate::{tools, verb};

/// This program, as distributions see it.
const PROGRAM: &str = "/run/sampan/guest";
/// How long `mount -a` may take.
const MOUNT_LIMIT: Duration = Duration::from_secs(30);

/// The tools `wslpath` and `wslinfo`, and what they know. A file of the same name that is not ours stays.
pub(super) fn install_tools(facts: &Facts, warnings: &mut Vec<String>) {
    let bytes = serde_json::to_vec(facts).expect("facts are plain data");
    if let Err(error) = write_atomic(Path::new(inside::FACTS), &bytes, 0o644) {
        verb::log(&format!("wslpath and wslinfo will not work: {error}"));
    }
    let folders = ["/usr/bin", "/bin"].map(Path::new);
    let Some(folder) = folders.into_iter().find(|folder| folder.is_dir()) else { return };
    for name in inside::TOOLS {
        // The first folder may be there only since the last start, and may go again.
        if folders.iter().any(|folder| folder.join(name).symlink_metadata().is_ok()) {
            continue;
        }
        let link = folder.join(name);
        if let Err(error) = symlink(PROGRAM, &link) {
            warnings.push(format!("Cannot install {}: {error}", link.display()));
        }
    }
}

/// Mounts what `/etc/fstab` lists.
pub(super) fn mount_fstab(warnings: &mut Vec<String>) {
    let fstab = read("/etc/fstab");
    let is_entry =
        |line: &[u8]| !line.trim_ascii_start().is_empty() && !line.trim_ascii_start().starts_with(b"#");
    if !fstab.split(|byte| *byte == b'\n').any(is_entry) {
        return;
    }
    if let Err(error) = tools::run("mount", &["-a"], MOUNT_LIMIT) {
        verb::log(&verb::chain(&error));
        warnings.push("Processing /etc/fstab with mount -a failed.".to_owned());
    }
}

/// Starts `boot.command`; its process number.
pub(super) fn start_command(distribution: &Distribution) -> Option<i32> {
    let line = distribution.conf.boot.command.as_deref().filter(|line| !line.is_empty())?;
    let environment = environment::session(&Session {
        user: &Login::read().root(),
        distribution: &distribution.name,
        hostname: &distribution.hostname,
        lang: None,
        term: None,
        imported: &[],
        login_session: false,
    });
    match tools::start_line(line, &environment) {
        Ok(pid) => Some(pid),
        Err(error) => {
            verb::log(&format!("boot.command: {}", verb::chain(&error)));
            None
        }
    }
}
