//! Kinds of failure.

use serde::{Deserialize, Serialize};

use crate::wsl::usage::USAGE;

macro_rules! codes {
    ($($name:ident $value:literal $word:literal $text:expr;)*) => {
        /// A kind of failure, with the name and value that wsl.exe gives it. Only those that can happen here.
        ///
        /// Names and values: microsoft/WSL `src/windows/service/inc/wslservice.idl` and `winerror.h`; texts:
        /// `localization/strings/en-US/Resources.resw` and those of the Windows API, which end with a blank.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = concat!("`", $word, "`.")] #[serde(rename = $word)] $name,)*
        }

        impl Code {
            /// All of them, WSL's own first, in order of their values.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The last word of the code path.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The value on Windows.
            pub fn hresult(self) -> u32 {
                match self { $(Self::$name => $value,)* }
            }

            /// The message when there is no better one.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    DefaultDistroNotFound 0x8004_0301 "WSL_E_DEFAULT_DISTRO_NOT_FOUND" "\
Windows Subsystem for Linux has no installed distributions.
You can resolve this by installing a distribution with the instructions below:

Use 'wsl --list --online' to list available distributions
and 'wsl --install <Distro>' to install.";
    DistroNotFound 0x8004_0302 "WSL_E_DISTRO_NOT_FOUND" "There is no distribution with the supplied name.";
    UserNotFound 0x8004_0308 "WSL_E_USER_NOT_FOUND" "User not found.";
    InvalidUsage 0x8004_0309 "WSL_E_INVALID_USAGE" USAGE;
    ExportFailed 0x8004_030a "WSL_E_EXPORT_FAILED" "Exporting the distribution failed.";
    ImportFailed 0x8004_030b "WSL_E_IMPORT_FAILED" "Importing the distribution failed.";
    DistroNotStopped 0x8004_030c "WSL_E_DISTRO_NOT_STOPPED"
        "The operation could not be completed because the VHD is currently in use. \
         To force WSL to stop use: wsl --shutdown";
    TtyLimit 0x8004_030d "WSL_E_TTY_LIMIT" "Too many terminals are open in the distribution.";
    UserVhdAlreadyAttached 0x8004_0312 "WSL_E_USER_VHD_ALREADY_ATTACHED"
        "VHD already mounted via wsl --mount, please unmount the disk before launching.";
    VmModeInvalidState 0x8004_0313 "WSL_E_VM_MODE_INVALID_STATE"
        "The distribution is already the requested version.";
    MountNameAlreadyExists 0x8004_0314 "WSL_E_VM_MODE_MOUNT_NAME_ALREADY_EXISTS"
        "A disk with that name is already mounted; please unmount the disk or choose a new name and try again.";
    DiskAlreadyAttached 0x8004_0318 "WSL_E_DISK_ALREADY_ATTACHED" "The disk is already attached.";
    DiskAlreadyMounted 0x8004_0319 "WSL_E_DISK_ALREADY_MOUNTED"
        "That volume is already mounted inside WSL2.";
    DiskMountFailed 0x8004_031a "WSL_E_DISK_MOUNT_FAILED" "The disk failed to mount.";
    DiskUnmountFailed 0x8004_031b "WSL_E_DISK_UNMOUNT_FAILED" "The disk failed to detach.";
    Wsl2Needed 0x8004_031c "WSL_E_WSL2_NEEDED" "This operation is only supported by WSL2.";
    InvalidMountName 0x8004_031d "WSL_E_VM_MODE_INVALID_MOUNT_NAME"
        "The mount name cannot be empty, '.', '..', or contain '/'. Please retry with a valid mount name.";
    OnlyAvailableFromStore 0x8004_031f "WSL_E_DISTRO_ONLY_AVAILABLE_FROM_STORE"
        "This distribution is only available from the Microsoft Store.";
    NotALinuxDistro 0x8004_0326 "WSL_E_NOT_A_LINUX_DISTRO"
        "The imported file is not a valid Linux distribution.";
    DiskCorrupted 0x8004_032f "WSL_E_DISK_CORRUPTED"
        "The distribution failed to start because its virtual disk is corrupted.";
    DistributionNameNeeded 0x8004_0330 "WSL_E_DISTRIBUTION_NAME_NEEDED"
        "This distribution doesn't contain a default name. Use --name to choose the distribution name.";
    InvalidJson 0x8004_0331 "WSL_E_INVALID_JSON" "Invalid JSON document.";

    InvalidArg 0x8007_0057 "E_INVALIDARG" "The parameter is incorrect. ";
    Fail 0x8000_4005 "E_FAIL" "Unspecified error ";
    AccessDenied 0x8007_0005 "E_ACCESSDENIED" "Access is denied. ";
    Abort 0x8000_4004 "E_ABORT" "Operation aborted ";
    NotImplemented 0x8000_4001 "E_NOTIMPL" "Not implemented ";
    Unexpected 0x8000_ffff "E_UNEXPECTED" "Catastrophic failure ";
    IllegalStateChange 0x8000_000d "E_ILLEGAL_STATE_CHANGE"
        "An install, uninstall, or conversion is in progress for this distribution.";
    FileNotFound 0x8007_0002 "ERROR_FILE_NOT_FOUND" "The system cannot find the file specified. ";
    PathNotFound 0x8007_0003 "ERROR_PATH_NOT_FOUND" "The system cannot find the path specified. ";
    SharingViolation 0x8007_0020 "ERROR_SHARING_VIOLATION"
        "The process cannot access the file because it is being used by another process. ";
    FileExists 0x8007_0050 "ERROR_FILE_EXISTS" "The file exists. ";
    DiskFull 0x8007_0070 "ERROR_DISK_FULL" "There is not enough space on the disk. ";
    Busy 0x8007_00aa "ERROR_BUSY" "The requested resource is in use. ";
    AlreadyExists 0x8007_00b7 "ERROR_ALREADY_EXISTS" "Cannot create a file when that file already exists. ";
    VersionParse 0x8007_0309 "ERROR_VERSION_PARSE_ERROR" "A version number could not be parsed. ";
    Timeout 0x8007_05b4 "ERROR_TIMEOUT" "This operation returned because the timeout period expired. ";
    CannotConnect 0x8007_2efd "WININET_E_CANNOT_CONNECT"
        "A connection with the server could not be established ";
    NameNotResolved 0x8007_2ee7 "WININET_E_NAME_NOT_RESOLVED"
        "The server name or address could not be resolved ";
    HttpNotFound 0x8019_0194 "HTTP_E_STATUS_NOT_FOUND" "Not found (404). ";
    BadDigest 0x8009_6010 "TRUST_E_BAD_DIGEST" "The digital signature of the object did not verify. ";
}
