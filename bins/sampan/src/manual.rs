//! The manual page, made of the command line's own description.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::Cli;
use crate::exit::Exit;

const ENVIRONMENT: [(&str, &str); 8] = [
    (
        "SAMPAN_INSTANCE",
        "The instance that is meant when --instance is not given; default when it is not set.",
    ),
    ("SAMPAN_STATE_DIR", "An absolute path: where instances keep their state, instead of /var/lib/sampan."),
    (
        "SAMPAN_WSLCONFIG",
        "The .wslconfig of the service that is started, instead of the one in root's home folder.",
    ),
    ("SAMPAN_RUN_DIR", "An absolute path: where instances keep their sockets, instead of /run/sampan."),
    (
        "XDG_STATE_HOME",
        "Where sampan context remembers the former docker context; ~/.local/state when it is not set.",
    ),
    (
        "DOCKER_HOST, DOCKER_CONTEXT",
        "Not used by sampan docker. For the host's own docker command they win over the context that sampan context \
         use makes current.",
    ),
    (
        "WSLENV",
        "Variables that go along into a session of wsl: NAME[/FLAGS]:NAME[/FLAGS] and so on. The flags p and l say that \
         the value is a path of the host or a list of them, u that the variable goes in, w that it does not.",
    ),
    ("WSL_DISABLE_WARNINGS", "Set to 1, it keeps wsl from printing warnings."),
];

const FILES: [(&str, &str); 9] = [
    ("/run/sampan/NAME/docker.sock", "The Docker API of the instance NAME."),
    ("/run/sampan/NAME/sampan.sock", "The API of its service."),
    ("/run/sampan/NAME/distros.sock", "What wsl asks its service by: requests with file descriptors."),
    ("/var/lib/sampan/NAME/settings.json", "Its settings."),
    ("/var/lib/sampan/NAME/registry.json", "Its distributions."),
    ("/var/lib/sampan/NAME/distros/GUID/ext4.img", "The disk of a distribution; it takes only what is used."),
    ("/var/lib/sampan/NAME/logs/UNIT.log", "The log of a unit."),
    ("/var/lib/sampan/NAME/cli/", "The Docker CLI of the engine image."),
    (
        "~/.local/state/sampan/NAME/former-context",
        "The docker context that sampan context restore goes back to.",
    ),
];

/// The page in roff.
pub(crate) fn page() -> String {
    let mut command = Cli::command().name("sampan");
    command.build();
    let mut page = Vec::new();
    render(&command, &mut page).expect("writing to memory does not fail");
    String::from_utf8(page).expect("the description is text")
}

fn render(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    // The date stays empty, so that the page is the same whenever it is made.
    writeln!(page, ".TH SAMPAN 1 \"\" \"Sampan {}\" \"Sampan\"", env!("CARGO_PKG_VERSION"))?;
    let man = Man::new(command.clone());
    man.render_name_section(page)?;
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    synopsis.text([roman("sampan [--instance NAME] [--format pretty|json] COMMAND [OPTIONS]")]);
    synopsis.control("br", []);
    synopsis.text([roman("wsl [ARGUMENTS]")]);
    synopsis.to_writer(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    let mut commands = Roff::new();
    commands.control("SH", ["COMMANDS"]);
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        describe(verb, verb.get_name(), &mut commands);
    }
    commands.to_writer(page)?;
    let exits = Exit::ALL.map(|(exit, meaning)| ((exit as u8).to_string(), meaning));
    let exits: Vec<(&str, &str)> = exits.iter().map(|(code, meaning)| (code.as_str(), *meaning)).collect();
    list("EXIT STATUS", &exits, page)?;
    let mut others = Roff::new();
    others.control("PP", []);
    others.text([roman(
        "sampan docker ends with the exit status of docker. wsl ends with that of the command which it ran, or with 255 \
         on every failure of its own, as wsl.exe does with -1.",
    )]);
    others.to_writer(page)?;
    list("ENVIRONMENT", &ENVIRONMENT, page)?;
    list("FILES", &FILES, page)
}

/// A verb with its own options; those of all verbs stand in the section OPTIONS.
fn describe(verb: &clap::Command, name: &str, page: &mut Roff) {
    for action in verb.get_subcommands().filter(|action| action.get_name() != "help") {
        describe(action, &format!("{name} {}", action.get_name()), page);
    }
    if verb.has_subcommands() {
        return;
    }
    let own = || verb.get_arguments().filter(|arg| !arg.is_global_set() && arg.get_id() != "help");
    let words: Vec<String> = own().map(synopsis).collect();
    page.control("SS", [format!("sampan {name} {}", words.join(" ")).trim_end()]);
    if let Some(about) = verb.get_long_about().or(verb.get_about()) {
        paragraphs(&about.to_string(), "PP", page);
    }
    for arg in own().filter(|arg| !arg.is_positional()) {
        page.control("TP", []);
        page.text([bold(option(arg))]);
        if let Some(help) = arg.get_long_help().or(arg.get_help()) {
            paragraphs(&help.to_string(), "IP", page);
        }
    }
}

fn synopsis(arg: &clap::Arg) -> String {
    match (arg.is_positional(), arg.is_required_set()) {
        (true, true) => value(arg),
        (true, false) => format!("[{}...]", value(arg)),
        (false, true) => option(arg),
        (false, false) => format!("[{}]", option(arg)),
    }
}

fn option(arg: &clap::Arg) -> String {
    let short = arg.get_short().map(|letter| format!("-{letter}"));
    let long = arg.get_long().map(|name| format!("--{name}"));
    let names = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    if arg.get_action().takes_values() { format!("{names} {}", value(arg)) } else { names }
}

fn value(arg: &clap::Arg) -> String {
    arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default()
}

/// Text with blank lines between its paragraphs; `request` is the one that begins a paragraph in this place.
fn paragraphs(text: &str, request: &str, page: &mut Roff) {
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            page.control(request, []);
        }
        page.text([roman(paragraph)]);
    }
}

fn list(title: &str, rows: &[(&str, &str)], page: &mut Vec<u8>) -> std::io::Result<()> {
    let mut section = Roff::new();
    section.control("SH", [title]);
    for (name, meaning) in rows {
        section.control("TP", []);
        section.text([bold(*name)]);
        section.text([roman(*meaning)]);
    }
    section.to_writer(page)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// With `UPDATE_GENERATED=1` the test writes the page.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a generated file is made again when it is half written")]
    fn generated_man_page_is_fresh() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/man/sampan.1");
        let page = page();
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &page).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == page,
            "docs/man/sampan.1 is not that of this command line: run the test with UPDATE_GENERATED=1"
        );
    }

    #[test]
    fn the_page_has_every_section_and_verb() {
        let page = page();
        for part in ["NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT", "FILES"] {
            assert!(page.contains(part), "{part}");
        }
        for verb in ["start", "stop", "logs", "context use", "context restore", "distro set", "docker", "wsl"]
        {
            assert!(page.contains(&format!("sampan {verb}")), "{verb}");
        }
    }
}
