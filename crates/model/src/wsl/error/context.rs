//! What was being done when something failed.

use serde::{Deserialize, Serialize};

macro_rules! contexts {
    ($($name:ident)*) => {
        /// A step of an operation, as the code path names it. The order is that of printing (microsoft/WSL
        /// `src/windows/common/ExecutionContext.h`): an outer step is smaller than the steps inside it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Context {
            $(#[doc = concat!("`", stringify!($name), "`.")] $name,)*
        }

        impl Context {
            /// The word in the code path.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

contexts! {
    Wsl Wslg Bash WslConfig InstallDistro EnumerateDistros Service RegisterDistro CreateInstance AttachDisk DetachDisk
    CreateVm ParseConfig ConfigureNetworking ConfigureGpu LaunchProcess ConfigureDistro CreateLxProcess
    UnregisterDistro ExportDistro GetDistroConfiguration GetDistroId SetDefaultDistro SetVersion TerminateDistro
    RegisterLxBus MountDisk Plugin MoveDistro GetDefaultDistro DebugShell HCS HNS CallMsi Install ReadDistroConfig
    UpdatePackage QueryLatestGitHubRelease VerifyChecksum WslC
}
