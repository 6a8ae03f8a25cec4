//! The group `docker` and its members, in the distribution's files.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, bail};
use sampan_model::config::distro::{self, WslConf};
use sampan_model::integration::group::{self, GROUP, TABLE_MAX, Table};
use sampan_model::integration::journal::{Change, Version};
use sampan_model::wsl::account::Accounts;

use super::tree::{Found, Original, Tree, sha256};
use super::write::Writer;

const GROUPS: &str = "/etc/group";
const SHADOW: &str = "/etc/gshadow";
const USERS: &str = "/etc/passwd";

/// Makes the group and the default user a member. Root needs no group. The group's number, and what the user should know.
pub(super) fn join(writer: &mut Writer<'_>, default_uid: u32) -> anyhow::Result<(u32, Vec<String>)> {
    let (users, groups) = (read(writer.tree, USERS)?, read(writer.tree, GROUPS)?);
    let accounts = Accounts::parse(&users, &groups);
    let conf = WslConf::parse(&read(writer.tree, distro::PATH)?).config;
    let user = accounts.default_user(conf.user.default.as_deref().map(OsStr::new), default_uid);
    let (mut member, mut warnings) = (None, Vec::new());
    if user.uid != 0 {
        // What the file cannot hold is no member of anything.
        member = user.name.to_str().filter(|name| !name.contains([',', '\r']));
        if member.is_none() {
            warnings.push(format!(
                "the user {} cannot be made a member of the group {GROUP}: the name has letters that {GROUPS} cannot hold",
                user.name.display()
            ));
        }
    }
    let there = accounts.gid_by_name(OsStr::new(GROUP));
    let free = || group::free_gid(&groups, &users);
    let Some(gid) = there.or_else(free) else {
        bail!("{GROUPS} of the distribution has no number left for the group {GROUP}")
    };
    let joined = there.is_some() && accounts.groups_of(&user).contains(&gid);
    if !edit(writer, GROUPS, Table::Group(gid), member.filter(|_| !joined))? {
        writer.folder(Path::new("/etc"))?;
        let (text, _) = group::add(b"", Table::Group(gid), member).context("an empty file has no group")?;
        writer.file(Path::new(GROUPS), &text, 0o644)?;
    }
    // Where the group was there and the user in it, this file is right too.
    if writer.record.changes().iter().any(|change| is_of(change, Path::new(GROUPS))) {
        edit(writer, SHADOW, Table::Shadow, member)?;
    }
    Ok((gid, warnings))
}

/// Adds to a file; whether there is one.
fn edit(writer: &mut Writer<'_>, path: &str, table: Table, member: Option<&str>) -> anyhow::Result<bool> {
    let path = Path::new(path);
    let Some((folder, name)) = writer.tree.folder_of(path)? else { return Ok(false) };
    let mut found = match folder.find(name)? {
        Found::Nothing => return Ok(false),
        Found::Other(kind) => bail!("{} of the distribution is {kind}: it is not edited", path.display()),
        Found::File(found) => found,
    };
    let old = content(&mut found, path)?;
    let Some((new, added)) = group::add(&old, table, member) else { return Ok(true) };
    let like = found.likeness().with_context(|| unreadable(path))?;
    let (seconds, nanoseconds) = found.modified();
    writer.record.touch(folder.touched()?);
    writer.record.add(Change::Edit {
        path: path.to_owned(),
        added,
        before: Version { sha256: sha256(&old), seconds, nanoseconds },
        after: sha256(&new),
    })?;
    folder.replace(name, &old, &new, &like)?;
    Ok(true)
}

/// A file that is only looked at; nothing for one that is not there, or no file.
fn read(tree: &Tree, path: &str) -> anyhow::Result<Vec<u8>> {
    let path = Path::new(path);
    let Some((folder, name)) = tree.folder_of(path)? else { return Ok(Vec::new()) };
    match folder.find(name)? {
        Found::File(mut file) => content(&mut file, path),
        _ => Ok(Vec::new()),
    }
}

fn content(file: &mut Original, path: &Path) -> anyhow::Result<Vec<u8>> {
    match file.read_up_to(TABLE_MAX) {
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            bail!("{} of the distribution has more than {} MiB", path.display(), TABLE_MAX >> 20)
        }
        other => other.with_context(|| unreadable(path)),
    }
}

fn unreadable(path: &Path) -> String {
    format!("cannot read {} of the distribution", path.display())
}

fn is_of(change: &Change, file: &Path) -> bool {
    match change {
        Change::Folder { path } | Change::File { path, .. } | Change::Edit { path, .. } => path == file,
    }
}
