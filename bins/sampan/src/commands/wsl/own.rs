//! What is about Sampan itself: its version, how it is updated and removed.

use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::message;

use super::Wsl;
use super::halt::Halt;
use crate::commands::version::CLIENT;

/// `--version`.
pub(super) fn version(wsl: &mut Wsl<'_>) -> Result<u8, Halt> {
    let kernel = rustix::system::uname();
    wsl.say(&message::version(CLIENT, &kernel.release().to_string_lossy()))
}

/// `--update`. There is no server to ask.
pub(super) fn update(wsl: &mut Wsl<'_>) -> Result<u8, Halt> {
    wsl.say(&format!(
        "Sampan {CLIENT} is installed. It does not look for newer versions: install one the way this one was \
         installed, then type `sampan stop` and `sampan start`. Distributions and data stay.\n"
    ))
}

/// `--uninstall`.
pub(super) fn uninstall() -> Failure {
    Failure::new(Code::NotImplemented).with_message("Sampan does not remove itself.").hint(
        "`sampan reset --all` deletes all distributions with their data; then remove the programs the way they were \
         installed",
    )
}

/// `--debug-shell`.
pub(super) fn debug_shell() -> Failure {
    Failure::new(Code::NotImplemented)
        .with_message("There is no virtual machine here in which a debug shell could be opened.")
        .hint("`sampan logs` shows what all parts say, and `sampan check` tests this machine")
}
