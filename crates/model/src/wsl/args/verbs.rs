//! Verbs: what `wsl` does other than to run a command. Each has its own options and words behind it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::options::{Found, Grammar, Opt};
use super::{
    Command, ExportOptions, ImportOptions, InstallOptions, ListOptions, ManageAction, Sink, Source,
    UsageError,
};
use crate::wsl::service::{Format, Install, Mount};
use crate::wsl::value;

/// Parses the words behind a verb.
pub(super) type Verb = fn(&[OsString]) -> Result<Command, UsageError>;

const FORCE: Opt = Opt::flag("--force");

/// The verb called `word`.
pub(super) fn find(word: &str) -> Option<Verb> {
    Some(match word {
        "--help" => |words| nothing(words, Command::Help),
        "-v" | "--version" => |words| nothing(words, Command::Version),
        "--status" => |words| nothing(words, Command::Status),
        "--debug-shell" => |words| nothing(words, Command::DebugShell),
        "--uninstall" => |words| match words {
            [] => Ok(Command::Uninstall),
            _ => Err(UsageError::UninstallTakesNothing),
        },
        "-l" | "--list" => list,
        "--update" => update,
        "-s" | "--set-default" | "--setdefault" => set_default,
        "--set-default-version" => set_default_version,
        "--set-version" => set_version,
        "-t" | "--terminate" => terminate,
        "--unregister" => unregister,
        "--shutdown" => shutdown,
        "--import" => import,
        "--import-in-place" => import_in_place,
        "--export" => export,
        "--install" => install,
        "--manage" => manage,
        "--mount" => mount,
        "--unmount" => unmount,
        _ => return None,
    })
}

const fn grammar(options: &'static [Opt], words: usize) -> Grammar {
    Grammar { program: "wsl", options, words }
}

fn nothing(words: &[OsString], command: Command) -> Result<Command, UsageError> {
    grammar(&[], 0).parse(words)?;
    Ok(command)
}

fn list(words: &[OsString]) -> Result<Command, UsageError> {
    const GRAMMAR: Grammar = grammar(
        &[
            Opt::flag("--all"),
            Opt::flag("--running"),
            Opt::flag("--quiet").or('q'),
            Opt::flag("--verbose").or('v'),
            Opt::flag("--online").or('o'),
        ],
        0,
    );
    let found = GRAMMAR.parse(words)?;
    let options = ListOptions {
        all: found.has("--all"),
        running: found.has("--running"),
        quiet: found.has("--quiet"),
        verbose: found.has("--verbose"),
        online: found.has("--online"),
    };
    let exclusive = (options.quiet && options.verbose)
        || (options.all && options.running)
        || ((options.verbose || options.all) && options.online);
    if exclusive { Err(UsageError::Usage) } else { Ok(Command::List(options)) }
}

fn update(words: &[OsString]) -> Result<Command, UsageError> {
    // The last three are what older versions asked for; wsl.exe takes and ignores them. The first has no effect either: nothing
    // is updated here.
    const GRAMMAR: Grammar = grammar(
        &[
            Opt::flag("--pre-release"),
            Opt::flag("--web-download"),
            Opt::flag("--confirm"),
            Opt::flag("--prompt-before-exit"),
        ],
        0,
    );
    GRAMMAR.parse(words)?;
    Ok(Command::Update)
}

fn set_default(words: &[OsString]) -> Result<Command, UsageError> {
    let found = grammar(&[FORCE], 1).parse(words)?;
    Ok(Command::SetDefault { name: required(&found, "--set-default")?, force: found.has("--force") })
}

fn set_default_version(words: &[OsString]) -> Result<Command, UsageError> {
    let found = grammar(&[], 1).parse(words)?;
    Ok(Command::SetDefaultVersion { version: version(found.words().first().copied())? })
}

fn set_version(words: &[OsString]) -> Result<Command, UsageError> {
    let found = grammar(&[], 2).parse(words)?;
    Ok(Command::SetVersion {
        name: required(&found, "--set-version")?,
        version: version(found.words().get(1).copied())?,
    })
}

fn terminate(words: &[OsString]) -> Result<Command, UsageError> {
    let found = grammar(&[], 1).parse(words)?;
    Ok(Command::Terminate { name: required(&found, "--terminate")? })
}

fn unregister(words: &[OsString]) -> Result<Command, UsageError> {
    let found = grammar(&[FORCE], 1).parse(words)?;
    Ok(Command::Unregister { name: required(&found, "--unregister")?, force: found.has("--force") })
}

fn shutdown(words: &[OsString]) -> Result<Command, UsageError> {
    Ok(Command::Shutdown { force: grammar(&[FORCE], 0).parse(words)?.has("--force") })
}

fn import(words: &[OsString]) -> Result<Command, UsageError> {
    const GRAMMAR: Grammar = grammar(&[Opt::value("--version"), Opt::flag("--vhd")], 3);
    let found = GRAMMAR.parse(words)?;
    let version = option_version(&found)?;
    let vhd = found.has("--vhd");
    let (Some(name), Some(location), Some(file)) = (word(&found, 0), word(&found, 1), word(&found, 2)) else {
        return Err(UsageError::Invalid(Some("--import needs a name, a folder and a file.".to_owned())));
    };
    let source = source(file);
    if let Source::File(path) = &source
        && !vhd
        && is_vhd(path)
    {
        return Err(UsageError::LooksLikeVhd);
    }
    Ok(Command::Import(ImportOptions {
        name: name_of(name),
        location: location.into(),
        source,
        version,
        vhd,
    }))
}

fn import_in_place(words: &[OsString]) -> Result<Command, UsageError> {
    let found = grammar(&[], usize::MAX).parse(words)?;
    let [name, disk] = found.words() else {
        return Err(UsageError::Usage);
    };
    Ok(Command::ImportInPlace { name: name_of(name), disk: PathBuf::from(disk) })
}

fn export(words: &[OsString]) -> Result<Command, UsageError> {
    const GRAMMAR: Grammar = grammar(&[Opt::value("--format"), Opt::flag("--vhd")], 2);
    let found = GRAMMAR.parse(words)?;
    let format = found.text("--format").map(|text| format(&text)).transpose()?;
    let (Some(name), Some(file)) = (word(&found, 0), word(&found, 1)) else {
        return Err(UsageError::Usage);
    };
    let format = match (format, found.has("--vhd")) {
        (None | Some(Format::Vhd), true) => Format::Vhd,
        (Some(_), true) => return Err(UsageError::Usage),
        (format, false) => format.unwrap_or_default(),
    };
    let sink = if file == "-" { Sink::Stdout } else { Sink::File(file.into()) };
    Ok(Command::Export(ExportOptions { name: name_of(name), sink, format }))
}

fn format(text: &str) -> Result<Format, UsageError> {
    match text {
        "tar" => Ok(Format::Tar),
        "tar.gz" => Ok(Format::TarGz),
        "tar.xz" => Ok(Format::TarXz),
        "vhd" => Ok(Format::Vhd),
        other => Err(UsageError::Invalid(Some(format!(
            "'{other}' is no format of an export; use tar, tar.gz, tar.xz or vhd."
        )))),
    }
}

fn install(words: &[OsString]) -> Result<Command, UsageError> {
    const WITHOUT_EFFECT: [Opt; 4] = [
        Opt::flag("--web-download"),
        Opt::flag("--enable-wsl1"),
        Opt::flag("--pre-release"),
        Opt::flag("--prompt-before-exit"),
    ];
    const GRAMMAR: Grammar = grammar(
        &[
            Opt::value("--distribution").or('d'),
            Opt::value("--from-file").or('f'),
            Opt::value("--name"),
            Opt::value("--location").or('l'),
            Opt::value("--version"),
            Opt::value("--vhd-size"),
            Opt::flag("--fixed-vhd"),
            Opt::flag("--no-launch").or('n'),
            Opt::flag("--no-distribution"),
            Opt::flag("--legacy"),
            WITHOUT_EFFECT[0],
            WITHOUT_EFFECT[1],
            WITHOUT_EFFECT[2],
            WITHOUT_EFFECT[3],
        ],
        1,
    );
    let found = GRAMMAR.parse(words)?;
    let install = Install {
        distribution: found.text("--distribution").or_else(|| word(&found, 0).map(name_of)),
        name: found.text("--name"),
        location: found.path("--location"),
        version: option_version(&found)?,
        vhd_size: found.size("--vhd-size")?,
        from_file: None,
        legacy: found.has("--legacy"),
        of_container: false,
    };
    let options = InstallOptions {
        install,
        source: found.value("--from-file").map(source),
        fixed_vhd: found.has("--fixed-vhd"),
        no_launch: found.has("--no-launch"),
        no_distribution: found.has("--no-distribution"),
        without_effect: WITHOUT_EFFECT.iter().map(Opt::name).filter(|name| found.has(name)).collect(),
    };
    let exclusive = |one: &str, other: &str| Err(UsageError::Exclusive(one.to_owned(), other.to_owned()));
    if found.has("--distribution") && word(&found, 0).is_some() {
        return Err(UsageError::DistributionAlreadySet);
    }
    if options.no_distribution && options.install.distribution.is_some() {
        return exclusive("--no-distribution", "--distribution");
    }
    if options.no_distribution && options.source.is_some() {
        return exclusive("--no-distribution", "--from-file");
    }
    if options.source.is_some() && options.install.distribution.is_some() {
        return exclusive("--from-file", "--distribution");
    }
    if options.fixed_vhd && options.install.vhd_size.is_none() {
        return Err(UsageError::Requires("--fixed-vhd", "--vhd-size"));
    }
    Ok(Command::Install(options))
}

fn manage(words: &[OsString]) -> Result<Command, UsageError> {
    const GRAMMAR: Grammar = grammar(
        &[
            Opt::value("--set-sparse").or('s'),
            Opt::flag("--allow-unsafe"),
            Opt::value("--move").or('m'),
            Opt::value("--set-default-user"),
            Opt::value("--resize").or('r'),
        ],
        1,
    );
    let found = GRAMMAR.parse(words)?;
    let sparse = found.boolean("--set-sparse")?;
    let actions = [
        sparse.map(ManageAction::SetSparse),
        found.path("--move").map(ManageAction::Move),
        found.text("--set-default-user").map(ManageAction::SetDefaultUser),
        found.size("--resize")?.map(ManageAction::Resize),
    ];
    let mut actions = actions.into_iter().flatten();
    let (Some(name), Some(action), None) = (word(&found, 0), actions.next(), actions.next()) else {
        return Err(UsageError::Usage);
    };
    if found.has("--allow-unsafe") && sparse.is_none() {
        return Err(UsageError::Requires("--allow-unsafe", "--set-sparse"));
    }
    Ok(Command::Manage { name: name_of(name), action })
}

fn mount(words: &[OsString]) -> Result<Command, UsageError> {
    const GRAMMAR: Grammar = grammar(
        &[
            Opt::flag("--vhd"),
            Opt::flag("--bare"),
            Opt::value("--name").or('n'),
            Opt::value("--type").or('t'),
            Opt::value("--options").or('o'),
            Opt::value("--partition").or('p'),
        ],
        1,
    );
    let found = GRAMMAR.parse(words)?;
    let partition = found.integer("--partition")?;
    let Some(disk) = word(&found, 0) else {
        return Err(UsageError::Usage);
    };
    Ok(Command::Mount(Mount {
        disk: disk.into(),
        vhd: found.has("--vhd"),
        bare: found.has("--bare"),
        name: found.text("--name"),
        fstype: found.text("--type"),
        options: found.text("--options"),
        partition: partition.filter(|index| *index != 0),
    }))
}

fn unmount(words: &[OsString]) -> Result<Command, UsageError> {
    let found = grammar(&[], 1).parse(words)?;
    Ok(Command::Unmount { disk: word(&found, 0).map(PathBuf::from) })
}

/// The word at `index`; an empty one counts as none.
fn word<'w>(found: &Found<'w>, index: usize) -> Option<&'w OsStr> {
    found.words().get(index).copied().filter(|word| !word.is_empty())
}

/// The first word, which is the name of a distribution.
fn required(found: &Found, verb: &'static str) -> Result<String, UsageError> {
    word(found, 0).map(name_of).ok_or(UsageError::ParameterMissing(verb))
}

/// What is no text gets replacement characters, which no distribution has in its name.
fn name_of(word: &OsStr) -> String {
    word.to_string_lossy().into_owned()
}

fn version(word: Option<&OsStr>) -> Result<u8, UsageError> {
    word.and_then(OsStr::to_str).and_then(value::version).ok_or(UsageError::Version)
}

fn option_version(found: &Found) -> Result<Option<u8>, UsageError> {
    found.value("--version").map(|value| version(Some(value))).transpose()
}

fn source(word: &OsStr) -> Source {
    if word == "-" { Source::Stdin } else { Source::File(word.into()) }
}

fn is_vhd(path: &Path) -> bool {
    let ends = |ending| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    ends("vhd") || ends("vhdx")
}
