//! Reading docker's command line as far as needed to do what docker does with its plugins.
//!
//! Docker finds plugins in fixed folders only. Ours are elsewhere, so the plugin is run directly, with the words and
//! the environment that docker gives it (docker/cli `cli-plugins/manager`, `cmd/docker/builder.go`).

use std::ffi::{OsStr, OsString};

use crate::tools::DockerProgram;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The program.
    pub(crate) program: DockerProgram,
    /// Its words.
    pub(crate) args: Vec<OsString>,
    /// `BUILDX_BUILDER` for it: the builder that belongs to the docker context.
    pub(crate) builder: Option<OsString>,
}

/// The user's choices that come by the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BuildEnv {
    /// `DOCKER_BUILDKIT`.
    pub(crate) buildkit: Option<String>,
    /// `BUILDX_BUILDER`.
    pub(crate) builder: Option<String>,
}

/// Decides which program serves `args`.
pub(crate) fn plan(args: Vec<OsString>, env: &BuildEnv) -> Plan {
    let global = global_options(&args);
    let word = |offset: usize| args.get(global.end + offset).and_then(|word| word.to_str());
    let (first, second) = (word(0), word(1));
    // Words that stand for buildx: how many are replaced, and by what (`forwardBuilder` of docker/cli).
    let alias: Option<(usize, &[&str])> = match (first, second) {
        (Some("build"), _) => Some((1, &["buildx", "build"])),
        (Some("builder"), _) => Some((1, &["buildx"])),
        (Some("image"), Some("build")) => Some((2, &["buildx", "build"])),
        _ => None,
    };
    match (first, alias) {
        (Some("buildx"), _) => Plan { program: DockerProgram::Buildx, args, builder: None },
        (Some("compose"), _) => Plan { program: DockerProgram::Compose, args, builder: None },
        (_, Some((replaced, words))) if wants_buildkit(env) => {
            let chosen = env.builder.as_ref().is_some_and(|name| !name.is_empty()) || names_builder(&args);
            let builder = (!chosen).then(|| global.context.unwrap_or_else(|| "default".into()));
            let mut args = args;
            args.splice(global.end..global.end + replaced, words.iter().map(OsString::from));
            Plan { program: DockerProgram::Buildx, args, builder }
        }
        _ => Plan { program: DockerProgram::Docker, args, builder: None },
    }
}

/// Whether a command line makes docker talk to the engine of the instance: it names no other one, and its verb is not one
/// of those that stay on this side.
pub(crate) fn needs_engine(args: &[OsString]) -> bool {
    const LOCAL: [&str; 4] = ["completion", "context", "help", "plugin-metadata"];
    let global = global_options(args);
    let Some(verb) = args.get(global.end) else { return false };
    !global.elsewhere && !LOCAL.iter().any(|local| verb == local) && !args.iter().any(|word| word == "--help")
}

/// Docker's global options at the head of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Global {
    /// Index of the first word that is none.
    end: usize,
    /// Whether a host or a context is named.
    elsewhere: bool,
    /// The value of `--context`.
    context: Option<OsString>,
}

fn global_options(args: &[OsString]) -> Global {
    let mut global = Global { end: 0, elsewhere: false, context: None };
    while let Some(word) = args.get(global.end) {
        let bytes = word.as_encoded_bytes();
        if bytes == b"--" || !bytes.starts_with(b"-") || bytes == b"-" {
            break;
        }
        match option(word) {
            Flag::Alone => global.end += 1,
            Flag::Attached { name, value } => {
                global.elsewhere |= matches!(name, "context" | "c" | "host" | "H");
                if matches!(name, "context" | "c") {
                    global.context = Some(value);
                }
                global.end += 1;
            }
            Flag::NextWord(name) => {
                global.elsewhere |= matches!(name, "context" | "c" | "host" | "H");
                if matches!(name, "context" | "c") {
                    global.context = args.get(global.end + 1).cloned();
                }
                global.end = (global.end + 2).min(args.len());
            }
        }
    }
    global
}

/// One word with a leading `-`.
#[derive(Debug, PartialEq, Eq)]
enum Flag {
    /// It has no value.
    Alone,
    /// Its value is in the same word.
    Attached { name: &'static str, value: OsString },
    /// Its value is the next word.
    NextWord(&'static str),
}

/// Docker's global options that take a value, by their long names.
const LONG: [&str; 7] = ["config", "context", "host", "log-level", "tlscacert", "tlscert", "tlskey"];
/// The same, by their letters.
const SHORT: [&str; 3] = ["c", "H", "l"];

/// Reads an option the way pflag does: `--name value`, `--name=value`, `-Nvalue`, `-N=value`, `-DN value`.
fn option(word: &OsStr) -> Flag {
    // A word that is no text can only be `--name=bytes` or `-Nbytes`; its name is text.
    let text = word.to_string_lossy();
    if let Some(long) = text.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        return match (LONG.into_iter().find(|known| *known == name), value) {
            (Some(name), Some(value)) => Flag::Attached { name, value: value.into() },
            (Some(name), None) => Flag::NextWord(name),
            (None, _) => Flag::Alone,
        };
    }
    for (index, letter) in text.char_indices().skip(1) {
        let Some(name) = SHORT.into_iter().find(|known| known.starts_with(letter)) else { continue };
        let rest = &text[index + letter.len_utf8()..];
        return match rest.strip_prefix('=').unwrap_or(rest) {
            "" if rest.is_empty() => Flag::NextWord(name),
            value => Flag::Attached { name, value: value.into() },
        };
    }
    Flag::Alone
}

fn names_builder(args: &[OsString]) -> bool {
    args.iter().any(|word| {
        let bytes = word.as_encoded_bytes();
        bytes == b"--builder" || bytes.starts_with(b"--builder=")
    })
}

/// Whether builds go to buildx. The words for "no" are those of Go's `strconv.ParseBool`.
fn wants_buildkit(env: &BuildEnv) -> bool {
    !matches!(env.buildkit.as_deref(), Some("0" | "f" | "F" | "false" | "FALSE" | "False"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(words: &str) -> (DockerProgram, String, Option<OsString>) {
        let plan = plan(words.split(' ').map(OsString::from).collect(), &BuildEnv::default());
        let args: Vec<_> = plan.args.iter().map(|word| word.to_str().unwrap()).collect();
        (plan.program, args.join(" "), plan.builder)
    }

    #[test]
    fn the_first_word_is_found_behind_any_global_options() {
        for (options, count) in [
            ("", 0),
            ("-D", 1),
            ("-H x", 2),
            ("-Hx", 1),
            ("-H=x", 1),
            ("-DH x", 2),
            ("--host=x", 1),
            ("--host x", 2),
            ("-c ctx --config d -l debug", 6),
            ("--tls --tlsverify --tlscacert ca --tlscert=c --tlskey k", 7),
            ("--debug --log-level info", 3),
        ] {
            let words = format!("{options} ps -a");
            let args: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
            assert_eq!(global_options(&args).end, count, "{options}");
        }
    }

    #[test]
    fn plugins_get_the_whole_command_line() {
        assert_eq!(plan_of("-D buildx ls"), (DockerProgram::Buildx, "-D buildx ls".into(), None));
        assert_eq!(plan_of("compose up -d"), (DockerProgram::Compose, "compose up -d".into(), None));
        assert_eq!(plan_of("-H compose ps"), (DockerProgram::Docker, "-H compose ps".into(), None));
        assert_eq!(plan_of("run compose"), (DockerProgram::Docker, "run compose".into(), None));
    }

    #[test]
    fn builds_go_to_buildx_with_the_builder_of_the_context() {
        let default = Some("default".into());
        assert_eq!(
            plan_of("build -t a ."),
            (DockerProgram::Buildx, "buildx build -t a .".into(), default.clone())
        );
        assert_eq!(
            plan_of("-D image build ."),
            (DockerProgram::Buildx, "-D buildx build .".into(), default.clone())
        );
        assert_eq!(plan_of("builder prune"), (DockerProgram::Buildx, "buildx prune".into(), default));
        assert_eq!(
            plan_of("-c two build ."),
            (DockerProgram::Buildx, "-c two buildx build .".into(), Some("two".into()))
        );
        assert_eq!(
            plan_of("build --builder=b ."),
            (DockerProgram::Buildx, "buildx build --builder=b .".into(), None)
        );
        assert_eq!(plan_of("image ls").0, DockerProgram::Docker);
    }

    #[test]
    fn the_old_builder_can_be_chosen() {
        let env = BuildEnv { buildkit: Some("0".into()), builder: None };
        assert_eq!(plan(vec!["build".into(), ".".into()], &env).program, DockerProgram::Docker);
    }

    #[test]
    fn odd_ends_do_not_confuse() {
        for words in [&["-H"][..], &["--"], &["-"], &[], &["--", "build"]] {
            let args: Vec<OsString> = words.iter().map(OsString::from).collect();
            let plan = plan(args.clone(), &BuildEnv::default());
            assert_eq!((plan.program, plan.args), (DockerProgram::Docker, args));
        }
    }
}
