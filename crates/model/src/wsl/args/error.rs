//! Why a command line is refused.

use super::options::OptionError;
use crate::wsl::error::{Code, Context, Failure};
use crate::wsl::usage::USAGE;

/// Why a command line is refused. Each is printed on standard output, the exit code is 255.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// An option that is not known.
    #[error(
        "Invalid command line argument: {0}\nPlease use 'wsl --help' to get a list of supported arguments."
    )]
    Unknown(String),
    /// An option without its parameter.
    #[error("Argument {0} is missing a required parameter.")]
    ParameterMissing(&'static str),
    /// Two distributions at once.
    #[error("The distribution name has already been set.")]
    DistributionAlreadySet,
    /// `--uninstall` with a word more.
    #[error(
        "--uninstall does not take any arguments. To unregister a distribution, use --unregister instead."
    )]
    UninstallTakesNothing,
    /// `--import` of a disk without saying so.
    #[error("This looks like a VHD file. Use --vhd to import a VHD instead of a tar.")]
    LooksLikeVhd,
    /// Options that exclude one another, or something that must be there is not: the usage text is the message.
    #[error("{}", USAGE.trim_end())]
    Usage,
    /// Options and words of a verb.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// Two options that exclude one another.
    #[error("Arguments {0} and {1} can't be specified at same time.")]
    Exclusive(String, String),
    /// An option without the one it belongs to.
    #[error("Argument {0} requires the {1} argument.")]
    Requires(&'static str, &'static str),
    /// Neither 1 nor 2.
    #[error("{}", Code::VersionParse.text())]
    Version,
    /// Something else is wrong with a value; the field says what is right, if there is more to say.
    #[error("{}", Code::InvalidArg.text())]
    Invalid(Option<String>),
}

impl UsageError {
    /// The code, for those that have one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Unknown(_)
            | Self::ParameterMissing(_)
            | Self::DistributionAlreadySet
            | Self::UninstallTakesNothing
            | Self::LooksLikeVhd => None,
            Self::Usage => Some(Code::InvalidUsage),
            Self::Version => Some(Code::VersionParse),
            Self::Option(_) | Self::Exclusive(..) | Self::Requires(..) | Self::Invalid(_) => {
                Some(Code::InvalidArg)
            }
        }
    }

    /// What is printed, newline included.
    pub fn render(&self) -> String {
        let Some(code) = self.code() else {
            return format!("{self}\n");
        };
        let failure = Failure::new(code).with_message(self.to_string()).in_context(Context::Wsl);
        match self {
            Self::Invalid(Some(hint)) => failure.hint(hint.as_str()).render(),
            _ => failure.render(),
        }
    }
}
