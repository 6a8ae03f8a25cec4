//! The Docker CLI of the engine image, where there is no place for it that docker itself would look into.
//!
//! Its programs are kept with the C library they need, and run by that library's own loader, so that the system they run
//! on may have another one, or none. Docker finds plugins in fixed folders only. Ours are elsewhere, so the plugin is run
//! directly, with the words and the environment that docker gives it (docker/cli `cli-plugins/manager`,
//! `cmd/docker/builder.go`). For that docker's command line is read as far as needed.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The folder of the CLI in a distribution.
pub const PLACE: &str = "/run/sampan/cli";

/// The folder in a distribution, the last one of every `PATH`, that has nothing but a `docker`.
pub const SHIM_PLACE: &str = "/run/sampan/bin";

/// A program of the Docker CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `docker` itself.
    Docker,
    /// `docker-buildx`.
    Buildx,
    /// `docker-compose`.
    Compose,
}

impl Program {
    /// Its file in the folder of the CLI.
    pub fn path(self, cli: &Path) -> PathBuf {
        cli.join(match self {
            Self::Docker => "bin/docker",
            Self::Buildx => "plugins/docker-buildx",
            Self::Compose => "plugins/docker-compose",
        })
    }
}

/// The folder of the libraries in that of the CLI.
pub fn libraries(cli: &Path) -> PathBuf {
    cli.join("lib")
}

/// The loader of the C library among the files of [`libraries`]: `ld-linux-x86-64.so.2`, `ld-musl-x86_64.so.1` …
pub fn loader(files: impl IntoIterator<Item = OsString>) -> Option<OsString> {
    let is_loader =
        |name: &OsString| name.to_str().is_some_and(|name| name.starts_with("ld-") && name.contains(".so."));
    files.into_iter().filter(is_loader).min()
}

/// What is executed to run a program of the CLI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// The file.
    pub file: PathBuf,
    /// Its words, from the zeroth on; those of the command line follow.
    pub words: Vec<OsString>,
}

/// How `program` is run, with the libraries it came with if there is a `loader` for them.
pub fn execution(cli: &Path, loader: Option<&OsStr>, program: Program) -> Execution {
    let path = program.path(cli);
    let name = if program == Program::Docker { "docker".into() } else { path.clone().into_os_string() };
    let Some(loader) = loader else { return Execution { file: path, words: vec![name] } };
    let lib = libraries(cli);
    let file = lib.join(loader);
    let words =
        vec![file.clone().into(), "--argv0".into(), name, "--library-path".into(), lib.into(), path.into()];
    Execution { file, words }
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The program.
    pub program: Program,
    /// Its words.
    pub args: Vec<OsString>,
    /// `BUILDX_BUILDER` for it: the builder that belongs to the docker context.
    pub builder: Option<OsString>,
}

impl Plan {
    /// The variables that docker sets for a plugin.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = Vec::new();
        if self.program != Program::Docker {
            variables.push(("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "docker".into()));
        }
        if let Some(builder) = &self.builder {
            variables.push(("BUILDX_BUILDER", builder.clone()));
        }
        variables
    }
}

/// The user's choices that come by the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildEnv {
    /// `DOCKER_BUILDKIT`.
    pub buildkit: Option<String>,
    /// `BUILDX_BUILDER`.
    pub builder: Option<String>,
}

/// Decides which program serves `args`. Where the CLI `has` not the plugin, docker itself says so, or builds the old way.
pub fn plan(args: Vec<OsString>, env: &BuildEnv, has: impl Fn(Program) -> bool) -> Plan {
    let plan = best_plan(args.clone(), env);
    if has(plan.program) { plan } else { Plan { program: Program::Docker, args, builder: None } }
}

/// Words with which shells ask what could be typed next (cobra, `ShellCompRequestCmd`).
const COMPLETIONS: [&str; 2] = ["__complete", "__completeNoDesc"];

/// The program that docker would choose.
fn best_plan(args: Vec<OsString>, env: &BuildEnv) -> Plan {
    if args.first().is_some_and(|word| COMPLETIONS.iter().any(|asks| word == asks)) {
        return completion_plan(args);
    }
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
        (Some("buildx"), _) => Plan { program: Program::Buildx, args, builder: None },
        (Some("compose"), _) => Plan { program: Program::Compose, args, builder: None },
        (_, Some((replaced, words))) if wants_buildkit(env) => {
            let chosen = env.builder.as_ref().is_some_and(|name| !name.is_empty()) || names_builder(&args);
            let builder = (!chosen).then(|| global.context.unwrap_or_else(|| "default".into()));
            let mut args = args;
            args.splice(global.end..global.end + replaced, words.iter().map(OsString::from));
            Plan { program: Program::Buildx, args, builder }
        }
        _ => Plan { program: Program::Docker, args, builder: None },
    }
}

/// Who knows what could be typed next: a plugin, once its name is typed.
fn completion_plan(args: Vec<OsString>) -> Plan {
    let typed = &args[1..];
    let verb = global_options(typed).end;
    let program = match typed.get(verb).and_then(|word| word.to_str()) {
        // The last word is the one that is being typed.
        Some("buildx") if verb + 1 < typed.len() => Program::Buildx,
        Some("compose") if verb + 1 < typed.len() => Program::Compose,
        _ => Program::Docker,
    };
    Plan { program, args, builder: None }
}

/// Whether a command line makes docker talk to the engine it would talk to without being told: it names no other one, and
/// its verb is not one of those that stay on this side.
pub fn needs_engine(args: &[OsString]) -> bool {
    const LOCAL: [&str; 4] = ["completion", "context", "help", "plugin-metadata"];
    /// What plugins do on their own.
    const LOCAL_OF_PLUGINS: [&str; 4] = ["config", "convert", "help", "version"];
    let global = global_options(args);
    let Some(verb) = args.get(global.end) else { return false };
    let plugin = (verb == "buildx" || verb == "compose").then(|| &args[global.end + 1..]);
    let local = LOCAL.iter().chain(&COMPLETIONS).any(|local| verb == local)
        || plugin.is_some_and(|rest| {
            rest.is_empty() || rest.iter().any(|word| LOCAL_OF_PLUGINS.iter().any(|local| word == local))
        });
    !global.elsewhere && !local && !args.iter().any(|word| word == "--help")
}

/// Whether a command line is `docker run` or `docker container run`.
pub fn runs_a_container(args: &[OsString]) -> bool {
    let words = &args[global_options(args).end..];
    let words = if words.first().is_some_and(|word| word == "container") { &words[1..] } else { words };
    words.first().is_some_and(|word| word == "run")
}

/// Whether a command line may name folders of the caller for containers.
pub fn names_paths(args: &[OsString]) -> bool {
    const VERBS: [&str; 7] = ["compose", "container", "create", "run", "service", "stack", "volume"];
    let verb = args.get(global_options(args).end);
    needs_engine(args) && verb.is_some_and(|verb| VERBS.iter().any(|known| verb == known))
}

/// The value of `--config`: the folder of docker's settings.
pub fn config_folder(args: &[OsString]) -> Option<OsString> {
    global_options(args).config
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
    /// The value of `--config`.
    config: Option<OsString>,
}

fn global_options(args: &[OsString]) -> Global {
    let mut global = Global { end: 0, elsewhere: false, context: None, config: None };
    while let Some(word) = args.get(global.end) {
        let bytes = word.as_encoded_bytes();
        if bytes == b"--" || !bytes.starts_with(b"-") || bytes == b"-" {
            break;
        }
        let (name, value) = match option(word) {
            Flag::Alone => {
                global.end += 1;
                continue;
            }
            Flag::Attached { name, value } => {
                global.end += 1;
                (name, Some(value))
            }
            Flag::NextWord(name) => {
                let value = args.get(global.end + 1).cloned();
                global.end = (global.end + 2).min(args.len());
                (name, value)
            }
        };
        global.elsewhere |= matches!(name, "context" | "c" | "host" | "H");
        match name {
            "context" | "c" => global.context = value,
            "config" => global.config = value,
            _ => {}
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

    fn plan_of(words: &str) -> (Program, String, Option<OsString>) {
        let plan = best_plan(words.split(' ').map(OsString::from).collect(), &BuildEnv::default());
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
        assert_eq!(plan_of("-D buildx ls"), (Program::Buildx, "-D buildx ls".into(), None));
        assert_eq!(plan_of("compose up -d"), (Program::Compose, "compose up -d".into(), None));
        assert_eq!(plan_of("-H compose ps"), (Program::Docker, "-H compose ps".into(), None));
        assert_eq!(plan_of("run compose"), (Program::Docker, "run compose".into(), None));
    }

    #[test]
    fn plugins_complete_their_own_words() {
        for (words, program) in [
            ("__complete compose up --no", Program::Compose),
            ("__completeNoDesc -c two buildx ", Program::Buildx),
            ("__complete compose", Program::Docker),
            ("__complete run compose ", Program::Docker),
            ("__complete", Program::Docker),
        ] {
            assert_eq!(plan_of(words), (program, words.to_owned(), None), "{words}");
        }
    }

    #[test]
    fn builds_go_to_buildx_with_the_builder_of_the_context() {
        let default = Some("default".into());
        assert_eq!(plan_of("build -t a ."), (Program::Buildx, "buildx build -t a .".into(), default.clone()));
        assert_eq!(
            plan_of("-D image build ."),
            (Program::Buildx, "-D buildx build .".into(), default.clone())
        );
        assert_eq!(plan_of("builder prune"), (Program::Buildx, "buildx prune".into(), default));
        assert_eq!(
            plan_of("-c two build ."),
            (Program::Buildx, "-c two buildx build .".into(), Some("two".into()))
        );
        assert_eq!(
            plan_of("build --builder=b ."),
            (Program::Buildx, "buildx build --builder=b .".into(), None)
        );
        assert_eq!(plan_of("image ls").0, Program::Docker);
    }

    #[test]
    fn the_old_builder_can_be_chosen() {
        let env = BuildEnv { buildkit: Some("0".into()), builder: None };
        assert_eq!(best_plan(vec!["build".into(), ".".into()], &env).program, Program::Docker);
    }

    #[test]
    fn odd_ends_do_not_confuse() {
        for words in [&["-H"][..], &["--"], &["-"], &[], &["--", "build"]] {
            let args: Vec<OsString> = words.iter().map(OsString::from).collect();
            let plan = best_plan(args.clone(), &BuildEnv::default());
            assert_eq!((plan.program, plan.args), (Program::Docker, args));
        }
    }

    #[test]
    fn without_its_plugin_docker_builds_the_old_way() {
        let args = vec![OsString::from("build"), ".".into()];
        let old = plan(args.clone(), &BuildEnv::default(), |program| program == Program::Docker);
        assert_eq!((old.program, old.args, old.builder), (Program::Docker, args, None));
    }

    #[test]
    fn what_stays_on_this_side_needs_no_engine() {
        let needs =
            |words: &str| needs_engine(&words.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        for words in [
            "",
            "--version",
            "-v",
            "--help",
            "run --help",
            "completion bash",
            "__complete ps ",
            "context ls",
            "-H tcp://x ps",
            "--context two ps",
            "-ctwo ps",
            "compose",
            "compose version",
            "compose -f x.yaml config",
            "buildx version",
        ] {
            assert!(!needs(words), "{words}");
        }
        for words in ["ps", "version", "-D ps", "--config d ps", "compose up", "buildx ls", "run -h x image"]
        {
            assert!(needs(words), "{words}");
        }
    }

    #[test]
    fn a_container_is_run_by_two_commands() {
        let runs =
            |words: &str| runs_a_container(&words.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        assert!(runs("run x") && runs("-D run --rm x") && runs("container run x"));
        assert!(!runs("") && !runs("container") && !runs("exec x run") && !runs("compose run x"));
    }

    #[test]
    fn the_folder_of_settings_is_found() {
        let folder = |words: &str| config_folder(&words.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(folder("--config /a ps"), Some("/a".into()));
        assert_eq!(folder("-D --config=/b ps"), Some("/b".into()));
        assert_eq!(folder("ps --config /c"), None);
    }

    #[test]
    fn programs_run_by_the_loader_they_came_with() {
        let cli = Path::new("/cli");
        let names = |names: &[&str]| names.iter().map(OsString::from).collect::<Vec<_>>();
        for name in ["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "ld-musl-x86_64.so.1"] {
            assert_eq!(loader(names(&["libc.so.6", name, "libz.so.1"])), Some(name.into()));
        }
        assert_eq!(loader(names(&["libc.so.6", "ld.so.conf", "libld-x.so.1"])), None);
        let by_loader = execution(cli, Some(OsStr::new("ld-x.so.1")), Program::Docker);
        let words =
            ["/cli/lib/ld-x.so.1", "--argv0", "docker", "--library-path", "/cli/lib", "/cli/bin/docker"];
        assert_eq!(by_loader, Execution { file: words[0].into(), words: names(&words) });
        let alone = execution(cli, None, Program::Compose);
        assert_eq!(alone.file, Path::new("/cli/plugins/docker-compose"));
        assert_eq!(alone.words, ["/cli/plugins/docker-compose"]);
    }
}
