//! Users and groups by `/etc/passwd` and `/etc/group` of a distribution (passwd(5), group(5)).
//!
//! Static programs have no name service, so these files are all there is. Their content is the
//! distribution's: lines that make no sense are skipped, whatever they are.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The shell of a user who has none.
const DEFAULT_SHELL: &str = "/bin/sh";

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: OsString,
    /// Number.
    pub uid: u32,
    /// Number of the primary group.
    pub gid: u32,
    /// Home folder, absolute.
    pub home: PathBuf,
    /// Program of a login, `/bin/sh` where the file has none.
    pub shell: PathBuf,
}

impl User {
    /// Root where no file tells more.
    pub fn root() -> Self {
        Self { name: "root".into(), uid: 0, gid: 0, home: "/".into(), shell: DEFAULT_SHELL.into() }
    }

    /// The name of the user's shell as a login shell: `-bash`.
    pub fn login_name_of_shell(&self) -> OsString {
        let name = self.shell.file_name().unwrap_or(OsStr::new("sh"));
        OsString::from_vec([b"-", name.as_bytes()].concat())
    }
}

/// The users and groups of a distribution.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: OsString,
    gid: u32,
    members: Vec<OsString>,
}

impl Accounts {
    /// Reads both files. An empty one stands for one that is not there.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        Self {
            users: lines(passwd).filter_map(user).collect(),
            groups: lines(group).filter_map(read_group).collect(),
        }
    }

    /// The user with this name. Of two, the first counts, as for getpwnam(3).
    pub fn user_by_name(&self, name: &OsStr) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The user with this number.
    pub fn user_by_uid(&self, uid: u32) -> Option<&User> {
        self.users.iter().find(|user| user.uid == uid)
    }

    /// Who a session runs as that names nobody: `name` (`user.default` of `wsl.conf`), else `uid` (of the
    /// registry), else root.
    pub fn default_user(&self, name: Option<&OsStr>, uid: u32) -> User {
        let named = name.and_then(|name| self.user_by_name(name));
        let root = || self.user_by_uid(0).cloned();
        named.or_else(|| self.user_by_uid(uid)).cloned().or_else(root).unwrap_or_else(User::root)
    }

    /// The number of the group with this name.
    pub fn gid_by_name(&self, name: &OsStr) -> Option<u32> {
        self.groups.iter().find(|group| group.name == name).map(|group| group.gid)
    }

    /// The numbers of all groups of `user`, the primary one first, each once. As many as there are: it is
    /// setgroups(2) that knows a limit (65536).
    pub fn groups_of(&self, user: &User) -> Vec<u32> {
        let supplementary = self.groups.iter().filter(|group| group.members.contains(&user.name));
        let mut seen = BTreeSet::new();
        std::iter::once(user.gid)
            .chain(supplementary.map(|group| group.gid))
            .filter(|gid| seen.insert(*gid))
            .collect()
    }
}

/// `name:password:uid:gid:comment:home:shell`
fn user(line: &[u8]) -> Option<User> {
    let [name, _password, uid, gid, _comment, home, shell] = fields(line)?;
    let home = Path::new(OsStr::from_bytes(home));
    Some(User {
        name: login_name(name)?,
        uid: id(uid)?,
        gid: id(gid)?,
        home: if home.is_absolute() { home.to_owned() } else { "/".into() },
        shell: if shell.is_empty() { DEFAULT_SHELL.into() } else { OsStr::from_bytes(shell).into() },
    })
}

/// `name:password:gid:member,member`
fn read_group(line: &[u8]) -> Option<Group> {
    let [name, _password, gid, members] = fields(line)?;
    let members = members.split(|&byte| byte == b',').filter_map(login_name).collect();
    Some(Group { name: login_name(name)?, gid: id(gid)?, members })
}

/// Lines without a zero byte: no name or path can have one.
fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|&byte| byte == b'\n').filter(|line| !line.contains(&0))
}

fn fields<const COUNT: usize>(line: &[u8]) -> Option<[&[u8]; COUNT]> {
    let fields: Vec<&[u8]> = line.splitn(COUNT + 1, |&byte| byte == b':').collect();
    fields.try_into().ok()
}

/// A name that is one: comments and the `+` and `-` lines of NIS are not.
fn login_name(name: &[u8]) -> Option<OsString> {
    (!name.is_empty() && !name.starts_with(b"#") && !name.starts_with(b"+") && !name.starts_with(b"-"))
        .then(|| OsStr::from_bytes(name).to_owned())
}

/// A number of a user or group. The highest one means "no change" to setuid(2) and is nobody's.
fn id(digits: &[u8]) -> Option<u32> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n\
        ann:x:1000:1000:Ann,,,:/home/ann:/bin/zsh\n\
        ann:x:1001:1001::/other:/bin/sh\n\
        bare:x:1002:1002:::\n\
        odd:x:1003:1003::home:/bin/sh\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let accounts = Accounts::parse(PASSWD, b"");
        let ann = accounts.user_by_name(OsStr::new("ann")).unwrap();
        assert_eq!((ann.uid, ann.gid), (1000, 1000));
        assert_eq!(
            (ann.home.as_path(), ann.shell.as_path()),
            (Path::new("/home/ann"), Path::new("/bin/zsh"))
        );
        assert_eq!(ann.login_name_of_shell(), "-zsh");
        let bare = accounts.user_by_uid(1002).unwrap();
        assert_eq!((bare.home.as_path(), bare.shell.as_path()), (Path::new("/"), Path::new("/bin/sh")));
        assert_eq!(accounts.user_by_uid(1003).unwrap().home, Path::new("/"));
        assert_eq!(accounts.user_by_name(OsStr::new("Ann")), None);
    }

    #[test]
    fn the_default_user_is_named_or_numbered_or_root() {
        let accounts = Accounts::parse(PASSWD, b"");
        let name = |name: Option<&str>, uid| accounts.default_user(name.map(OsStr::new), uid).name;
        assert_eq!(name(Some("ann"), 0), "ann");
        assert_eq!(name(Some("nobody-there"), 1000), "ann");
        assert_eq!(name(None, 1000), "ann");
        assert_eq!(name(None, 77), "root");
        assert_eq!(Accounts::default().default_user(None, 1000), User::root());
    }

    #[test]
    fn there_are_as_many_groups_as_there_are() {
        let mut file = b"ann:x:1000:ann\nother:x:7:bob,annika\n".to_vec();
        for number in 0..100 {
            file.extend(format!("g{number}:x:{}:bob,ann\n", 2000 + number).into_bytes());
        }
        let accounts = Accounts::parse(PASSWD, &file);
        let groups = accounts.groups_of(accounts.user_by_uid(1000).unwrap());
        assert_eq!(groups.len(), 101);
        assert_eq!(groups[..2], [1000, 2000]);
        assert_eq!(accounts.gid_by_name(OsStr::new("g99")), Some(2099));
    }

    #[test]
    fn odd_lines_are_skipped() {
        for line in [
            &b"x:x:1:1:::/bin/sh:more"[..],
            b"x:x:1:1::/",
            b":x:1:1::/:/bin/sh",
            b"x:x:-1:1::/:/bin/sh",
            b"x:x:+1:1::/:/bin/sh",
            b"x:x:4294967295:1::/:/bin/sh",
            b"x:x:4294967296:1::/:/bin/sh",
            b"x:x::1::/:/bin/sh",
            b"x\0:x:1:1::/:/bin/sh",
            b"+@nis::1:1:::",
            b"#x:x:1:1::/:/bin/sh",
        ] {
            assert_eq!(Accounts::parse(line, line), Accounts::default(), "{}", line.escape_ascii());
        }
    }
}
