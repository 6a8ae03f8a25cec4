//! What `wsl` says when all goes well, each text complete with its newlines.
//!
//! Texts: microsoft/WSL `localization/strings/en-US/Resources.resw`; `wsl.exe` is called `wsl`, which is what has to be typed
//! here.

/// The end of most commands. Windows' own text of error 0, which ends with a blank.
pub const SUCCESS: &str = "The operation completed successfully. \n";

/// Printed before a conversion to version 2, and when version 2 becomes the default.
pub const CONVERSION_INFO: &str =
    "For information on key differences with WSL 2 please visit https://aka.ms/wsl2\n";

/// `wsl --list --running` when none runs.
pub const NONE_RUNNING: &str = "There are no running distributions.\n";

/// `wsl --install`: a file comes from the network.
pub fn downloading(file: &str) -> String {
    format!("Downloading: {file}\n")
}

/// `wsl --install`: a file or a distribution becomes a registered one.
pub fn installing(what: &str) -> String {
    format!("Installing: {what}\n")
}

/// `wsl --install`: the end.
pub fn installed(name: &str) -> String {
    format!("Distribution successfully installed. It can be launched via 'wsl -d {name}'\n")
}

/// `wsl --install`: the first shell follows.
pub fn launching(name: &str) -> String {
    format!("Launching {name}...\n")
}

/// An option was accepted and does nothing; a warning.
pub fn without_effect(option: &str) -> String {
    format!("{option} has no effect here.")
}

/// `wsl --mount --bare`: where the disk is. `device` is its path.
pub fn attached(device: &str) -> String {
    format!("The disk is attached as '{device}', which privileged distributions see.\n")
}

/// `wsl --mount`: the end. `disk` as the user wrote it.
pub fn mounted(name: &str, disk: &str) -> String {
    format!(
        "The disk was successfully mounted as '/mnt/wsl/{name}'.\n\
         Note: The location will be different if you have modified the automount.root setting in /etc/wsl.conf.\n\
         To unmount and detach the disk, run 'wsl --unmount {disk}'.\n"
    )
}

/// `wsl --mount`: attached, but no more. The exit code is 1.
pub fn mount_failed(reason: &str, disk: &str) -> String {
    format!(
        "The disk was attached but failed to mount: {reason}.\n\
         For more details, see 'sampan logs --unit sampand', and 'dmesg' on this machine.\n\
         To detach the disk, run 'wsl --unmount {disk}'.\n"
    )
}

/// `wsl --unmount`: still attached.
pub fn detach_failed(reason: &str) -> String {
    format!(
        "The disk failed to detach: {reason}. For more details, see 'sampan logs --unit sampand'.\n\
         To stop all distributions and detach the disk, run 'wsl --shutdown'.\n"
    )
}

/// `wsl --status`. `version` is that of new distributions.
pub fn status(default: Option<&str>, version: u8) -> String {
    let first = default.map(|name| format!("Default Distribution: {name}\n")).unwrap_or_default();
    format!("{first}Default Version: {version}\n")
}

/// `wsl --version`. The other lines of wsl.exe name parts that are not here.
pub fn version(package: &str, kernel: &str) -> String {
    format!("WSL version: {package}\nKernel version: {kernel}\n")
}

/// A line for standard error, unless `WSL_DISABLE_WARNINGS` is 1.
pub fn warning(text: &str) -> String {
    format!("wsl: {text}\n")
}

/// Labels of progress bars: on standard error, and only where that is a terminal.
pub mod progress {
    /// `wsl --set-version`.
    pub const CONVERTING: &str = "Conversion in progress, this may take a few minutes.";
    /// `wsl --export`.
    pub const EXPORTING: &str = "Export in progress, this may take a few minutes.";
    /// `wsl --import` and `wsl --install`.
    pub const IMPORTING: &str = "Import in progress, this may take a few minutes.";
    /// `wsl --install`: an archive comes from the network.
    pub const DOWNLOADING: &str = "Download in progress, this may take a few minutes.";
    /// `wsl --unregister`.
    pub const UNREGISTERING: &str = "Unregistering.";
}
