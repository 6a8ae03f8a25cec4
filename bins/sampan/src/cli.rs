//! The command line of `sampan`. The help texts are the manual: the man page is made of them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;

/// Docker containers on Linux, the way Docker Desktop does it with WSL 2
///
/// Sampan runs a Docker Engine in the distribution docker-desktop and keeps images, containers and volumes on the
/// disk of docker-desktop-data.
#[derive(Debug, Parser)]
#[command(name = "sampan", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// The instance that is meant
    ///
    /// Each instance has its own state, distributions and engine; several run side by side.
    /// Without this option, `SAMPAN_INSTANCE` names it, or else it is `default`.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub(crate) instance: Option<String>,

    /// How results are printed
    ///
    /// With json, standard output carries nothing but JSON: the result, or an object `error` with code, message, hint and log.
    #[arg(long, global = true, value_enum, default_value_t = Format::Pretty, help_heading = "Global options")]
    pub(crate) format: Format,

    /// What to do
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Pretty,
    /// For programs
    Json,
}

/// The verbs of `sampan`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start the engine, and all that it needs
    ///
    /// Starts the service when it does not run, makes the two internal distributions when they are missing, and returns
    /// when the Docker API answers. What runs already stays as it is. Starting the service needs root.
    Start(Start),
    /// Stop containers, engine and, when nothing else runs, the service
    Stop(Stop),
    /// Stop the engine and start it again; the service stays
    Restart(Restart),
    /// Show what runs
    ///
    /// Ends with 0 when the engine runs or is changing its state, 3 when it is stopped and 1 when it failed.
    /// The status is `unattended`, and the exit status 3, when the service is dead but what it started still runs.
    /// As JSON, `engine.state` is always there, and `servicePid` is null while the service is not running.
    Status,
    /// Show the versions of Sampan and of what is in the engine image
    Version,
    /// Show the logs of the service, the distributions and the engine
    Logs(Logs),
    /// Test whether this machine has all that Sampan needs, and say what mends it
    ///
    /// Needs root. Ends with 6 when something is missing without which Sampan can't work.
    Check,
    /// Delete the engine, with all images, containers and volumes
    ///
    /// Lists what is deleted, with sizes, and asks first.
    Reset(Reset),
    /// Let the host's own docker command use this engine, or no longer
    Context {
        /// What to do
        #[command(subcommand)]
        action: ContextAction,
    },
    /// Run the Docker CLI of the engine image against this engine
    ///
    /// All that follows is passed on as it is, e.g. `sampan docker run --rm -it IMAGE`.
    Docker {
        /// Words for docker
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
    /// Do with distributions what wsl.exe has no word for
    Distro {
        /// What to do
        #[command(subcommand)]
        action: DistroAction,
    },
    /// List the ports that containers publish
    Ports,
    /// Say in which distributions docker works
    Integration {
        /// What to do
        #[command(subcommand)]
        action: IntegrationAction,
    },
    /// Install, run, list and manage distributions the way wsl.exe does
    ///
    /// The same as the command `wsl`; `sampan wsl --help` shows its grammar.
    Wsl {
        /// Words for wsl
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
    /// Print the manual page
    #[command(hide = true)]
    Man,
}

/// Options of `start`.
#[derive(Debug, Default, Args)]
pub(crate) struct Start {
    /// Give up after this time
    ///
    /// Without this option, the setting `lifecycleTimeoutSeconds` counts.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) timeout: Option<u32>,

    /// Use this root file system for docker-desktop
    ///
    /// A tar archive, packed or not, with dockerd and containerd in it. Without this option, the image is built of
    /// signed Debian packages. Images, containers and volumes are kept when the engine image changes.
    #[arg(long, value_name = "FILE")]
    pub(crate) engine_image: Option<PathBuf>,

    /// Show where the time went
    #[arg(long)]
    pub(crate) timeline: bool,
}

/// Options of `stop`.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// How long containers get to end by themselves
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub(crate) timeout: Option<u32>,
}

/// Options of `restart`.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// Give up after this time
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) timeout: Option<u32>,
}

/// Options of `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Go on with new lines until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// How many of each unit's last lines to show, or `all`
    #[arg(short = 'n', long, value_name = "N", default_value = "all")]
    pub(crate) tail: Tail,

    /// Only these units or distributions
    ///
    /// Units: sampand, hub, gateway, docker-desktop, engine, containerd, dockerd, api, ports. Any other name is that of one of your
    /// distributions.
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// The same, by an option; can be given more than once
    #[arg(long = "unit", value_name = "NAME")]
    pub(crate) units: Vec<String>,
}

/// How many lines of a log to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// The whole log.
    All,
    /// That many lines from its end.
    Lines(usize),
}

impl FromStr for Tail {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse().map(Self::Lines).map_err(|_| "expected a number of lines or `all`".to_owned())
    }
}

/// Options of `reset`.
#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// Settings, logs, the cached engine image and all your distributions too: nothing of the instance is left
    #[arg(long)]
    pub(crate) all: bool,

    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// What to do with docker contexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum ContextAction {
    /// Make the docker context of this instance the current one, and remember the one before
    Use,
    /// Go back to the context that was current before, and remove that of this instance
    Restore,
}

/// What to do with a distribution.
#[derive(Debug, Subcommand)]
pub(crate) enum DistroAction {
    /// Give a distribution more freedom than others have, or take it away
    ///
    /// A distribution has user ids of its own: root inside is nobody on the host. Some programs need more, such as
    /// iptables. With --privileged, root inside is root of the host. Counts from the
    /// distribution's next start on.
    #[command(group = clap::ArgGroup::new("freedom").required(true))]
    Set(DistroSet),
    /// Make a distribution of a Docker image of the engine
    ///
    /// The engine must run and have the image, e.g. after `sampan docker pull IMAGE`.
    FromImage(DistroFromImage),
}

/// What to do with WSL integration.
#[derive(Debug, Subcommand)]
pub(crate) enum IntegrationAction {
    /// List distributions and whether docker works in them
    Ls,
    /// Let docker work in a distribution, and show that it does
    Enable {
        /// The distribution
        #[arg(value_name = "DISTRIBUTION")]
        name: String,
    },
    /// Take docker out of a distribution: every file that was written there is as it was
    Disable {
        /// The distribution
        #[arg(value_name = "DISTRIBUTION")]
        name: String,
    },
    /// Let docker work in whichever distribution is the default one, or not
    Default {
        /// Which
        #[arg(value_name = "on|off")]
        state: OnOff,
    },
    /// Write everything anew in a distribution in which docker is to work, and show that it does
    Repair {
        /// The distribution
        #[arg(value_name = "DISTRIBUTION")]
        name: String,
    },
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnOff {
    /// It is to be so.
    On,
    /// It is not.
    Off,
}

/// Options of `distro set`.
#[derive(Debug, Args)]
pub(crate) struct DistroSet {
    /// The distribution
    #[arg(value_name = "DISTRIBUTION")]
    pub(crate) name: String,

    /// Root inside is root of this host
    ///
    /// Asks first.
    #[arg(long, group = "freedom")]
    pub(crate) privileged: bool,

    /// Root inside is nobody on this host, as for every new distribution
    #[arg(long, group = "freedom")]
    pub(crate) no_privileged: bool,

    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// Options of `distro from-image`.
#[derive(Debug, Args)]
pub(crate) struct DistroFromImage {
    /// The image, as docker names it
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,

    /// Name of the new distribution
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
}

/// Whether the program is called as `wsl` or `wsl.exe`.
///
/// Asked before anything else is done with the words: a session is to begin within milliseconds.
pub(crate) fn is_wsl(words: &[OsString]) -> bool {
    let program = words.first().and_then(|word| Path::new(word).file_stem());
    program.is_some_and(|stem| stem.eq_ignore_ascii_case("wsl"))
}

/// Puts a `--` behind `docker` and `wsl`, so that clap takes no word that belongs to them, not even one of its own
/// global options.
pub(crate) fn normalise(mut words: Vec<OsString>) -> Vec<OsString> {
    let mut index = 1;
    while let Some(word) = words.get(index) {
        if word == "--instance" || word == "--format" {
            index += 2;
        } else if word.as_encoded_bytes().starts_with(b"-") {
            index += 1;
        } else {
            if word == "docker" || word == "wsl" {
                words.insert(index + 1, OsString::from("--"));
            }
            break;
        }
    }
    words
}

/// Prints help, version or the complaint about the command line.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    // Nothing is left to be said when even this can't be printed.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() }
}

/// The value of an environment variable, when it is text.
pub(crate) fn env(key: &str) -> Option<String> {
    std::env::var_os(key).as_deref().and_then(OsStr::to_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(words: &[&str]) -> Cli {
        Cli::try_parse_from(normalise(words.iter().map(OsString::from).collect())).unwrap()
    }

    #[test]
    fn the_description_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn words_for_docker_pass_untouched() {
        for words in [
            &["run", "--rm", "-it", "x", "--format", "json", "--", "ls"][..],
            &["--help"],
            &["-H", "tcp://x", "ps"],
            &["--format", "json", "ps"],
            &["--", "ps"],
            &["--version"],
            &[],
        ] {
            let cli = parse(&[&["sampan", "--instance", "two", "docker"], words].concat());
            assert_eq!(cli.instance.as_deref(), Some("two"));
            let Verb::Docker { args } = cli.verb else { panic!("{words:?}") };
            assert_eq!(args, words);
        }
    }

    #[test]
    fn the_name_wsl_selects_the_grammar() {
        let is_wsl = |program: &str| is_wsl(&[program.into(), "-l".into()]);
        assert!(is_wsl("/usr/bin/wsl") && is_wsl("wsl.exe") && is_wsl("WSL"));
        assert!(!is_wsl("sampan") && !is_wsl("/opt/wsl/sampan") && !super::is_wsl(&[]));
        let Verb::Wsl { args } = parse(&["sampan", "wsl", "-l", "-v"]).verb else {
            panic!("it is the verb wsl")
        };
        assert_eq!(args, ["-l", "-v"]);
    }

    #[test]
    fn global_options_stand_before_or_behind_the_verb() {
        assert_eq!(parse(&["sampan", "--format", "json", "status"]).format, Format::Json);
        assert_eq!(parse(&["sampan", "status", "--format=json"]).format, Format::Json);
    }

    #[test]
    fn tail_is_a_number_or_all() {
        assert_eq!("all".parse(), Ok(Tail::All));
        assert_eq!("20".parse(), Ok(Tail::Lines(20)));
        assert!("-1".parse::<Tail>().is_err());
    }

    #[test]
    fn the_help_lists_every_verb() {
        let help = Cli::command().term_width(100).render_help().to_string();
        let verbs: Vec<&str> = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(
            verbs,
            [
                "start",
                "stop",
                "restart",
                "status",
                "version",
                "logs",
                "check",
                "reset",
                "context",
                "docker",
                "distro",
                "ports",
                "integration",
                "wsl",
                "help"
            ]
        );
    }

    #[test]
    fn the_help_of_start() {
        let mut command = Cli::command();
        let start = command.find_subcommand_mut("start").unwrap();
        let help = start.render_help().to_string();
        let expected = "\
Start the engine, and all that it needs

Usage: start [OPTIONS]

Options:
      --timeout <SECONDS>    Give up after this time
      --engine-image <FILE>  Use this root file system for docker-desktop
      --timeline             Show where the time went
  -h, --help                 Print help (see more with '--help')
";
        assert_eq!(help, expected);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert!(Cli::try_parse_from(["sampan", "start", "--timeout", "0"]).is_err());
        assert!(Cli::try_parse_from(["sampan", "start", "--timeout", "1.5"]).is_err());
    }
}
