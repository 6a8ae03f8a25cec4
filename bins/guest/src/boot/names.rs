//! The host name, `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sampan_model::config::distro::WslConf;
use sampan_model::guest::BootSpec;
use sampan_model::wsl::{hostname, hosts};
use sampan_sys::namespace;

use super::settings::read_regular;
use crate::filesystems::{make_folder, write_fresh};
use crate::verb;

/// What `/etc/resolv.conf` leads to: on a tmpfs, for addresses are of no use in the next start.
const RESOLVER: &str = "/run/sampan/resolv.conf";

/// The most that is read of a file to see whether it has to be written.
const LIMIT: u64 = 16 << 20;

/// Sets the host name and writes the files; returns the name. A file that can't be written (a full or read-only disk) is
/// no reason not to start.
pub(super) fn set(spec: &BootSpec, conf: &WslConf, warnings: &mut Vec<String>) -> anyhow::Result<String> {
    // The host's own name may come with its domain; one that was chosen is taken as it is.
    let (wanted, domain) = match (&conf.network.hostname, spec.hostname.split_once('.')) {
        (Some(wanted), _) => (wanted.as_str(), None),
        (None, Some((name, domain))) => (name, Some(domain)),
        (None, None) => (spec.hostname.as_str(), None),
    };
    let name = hostname::clean(wanted);
    namespace::sethostname(&name)?;
    write_fresh(Path::new(RESOLVER), &spec.resolv_conf)?;
    let mut unwritten = Vec::new();
    let mut note = |path: &str, written: anyhow::Result<()>| {
        if let Err(error) = written {
            unwritten.push(format!("{path} ({})", verb::chain(&error)));
        }
    };
    note("/etc/hostname", replace(Path::new("/etc/hostname"), &format!("{name}\n")));
    if conf.network.generate_hosts {
        let entries = hosts::Entries::parse(spec.hosts.as_bytes()).unwrap_or_else(|error| {
            warnings.push(error.to_string());
            hosts::Entries::default()
        });
        note("/etc/hosts", replace(Path::new("/etc/hosts"), &hosts::render(&name, domain, entries)));
    }
    note("/etc/resolv.conf", resolver(Path::new("/etc/resolv.conf"), conf.network.generate_resolv_conf));
    if !unwritten.is_empty() {
        warnings.push(format!("what could not be written stays as it is: {}", unwritten.join(", ")));
    }
    Ok(name)
}

/// Writes the file unless it is like that already.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    if read_regular(path, LIMIT).is_ok_and(|now| now.as_deref() == Some(text.as_bytes())) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    Ok(sampan_sys::fs::write_atomic(path, text.as_bytes(), 0o644)?)
}

/// Makes `conf` a link to [`RESOLVER`], or takes that link away. What somebody else put there and leads somewhere is never
/// touched; an empty file is what containers leave behind.
fn resolver(conf: &Path, generate: bool) -> anyhow::Result<()> {
    let ours = fs::read_link(conf).is_ok_and(|target| target == Path::new(RESOLVER));
    if ours && !generate {
        return fs::remove_file(conf).context("cannot remove the link");
    }
    if ours || !generate || !is_free(conf) {
        return Ok(());
    }
    if let Some(folder) = conf.parent() {
        make_folder(folder)?;
    }
    let new = PathBuf::from(format!("{}.sampan", conf.display()));
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(RESOLVER, &new).context("cannot make a link")?;
    fs::rename(&new, conf).context("cannot put the link into its place")
}

/// Nothing, an empty file, or a link to nothing.
fn is_free(conf: &Path) -> bool {
    match fs::metadata(conf) {
        Ok(found) => found.is_file() && found.len() == 0,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What `resolver` makes of `/etc/resolv.conf`.
    fn made(generate: bool, before: impl FnOnce(&Path)) -> Option<PathBuf> {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("etc/resolv.conf");
        fs::create_dir(folder.path().join("etc")).unwrap();
        before(&conf);
        resolver(&conf, generate).unwrap();
        let left = fs::read_dir(folder.path().join("etc")).unwrap().count();
        assert!(left <= 1, "nothing else is left there");
        let text = fs::read_to_string(&conf).ok();
        fs::read_link(&conf).ok().or(text.map(PathBuf::from))
    }

    #[test]
    fn only_what_leads_nowhere_becomes_a_link() {
        let ours = Some(PathBuf::from(RESOLVER));
        assert_eq!(made(true, |_| {}), ours);
        assert_eq!(made(true, |conf| symlink(RESOLVER, conf).unwrap()), ours);
        assert_eq!(made(true, |conf| symlink("../run/nothing/stub-resolv.conf", conf).unwrap()), ours);
        assert_eq!(made(true, |conf| write_fresh(conf, "").unwrap()), ours);
        assert_eq!(made(true, |conf| write_fresh(conf, "mine").unwrap()), Some("mine".into()));
        let theirs = made(true, |conf| {
            write_fresh(&conf.with_file_name("../theirs"), "theirs").unwrap();
            symlink("../theirs", conf).unwrap();
        });
        assert_eq!(theirs, Some("../theirs".into()));
    }

    #[test]
    fn without_generation_only_our_link_goes() {
        assert_eq!(made(false, |_| {}), None);
        assert_eq!(made(false, |conf| symlink(RESOLVER, conf).unwrap()), None);
        assert_eq!(made(false, |conf| write_fresh(conf, "mine").unwrap()), Some("mine".into()));
        assert_eq!(made(false, |conf| symlink("nothing", conf).unwrap()), Some("nothing".into()));
    }

    #[test]
    fn a_file_is_written_only_if_it_differs() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc/hosts");
        let inode = || fs::metadata(&path).unwrap().ino();
        replace(&path, "one").unwrap();
        let first = inode();
        replace(&path, "one").unwrap();
        assert_eq!(inode(), first);
        replace(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
    }
}
