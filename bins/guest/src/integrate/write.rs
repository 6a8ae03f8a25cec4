//! Writing: the program, the completions, and the group.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sampan_model::guest::Answer;
use sampan_model::integration::PROGRAM;
use sampan_model::integration::journal::Change;

use super::record::Record;
use super::tree::{Folder, Found, Likeness, Tree, sha256};
use super::{group, undo};

/// Where users have their programs.
const PROGRAM_FOLDERS: [&str; 7] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/snap/bin"];

/// What is written, but for the group.
pub(super) struct Content<'a> {
    program: Vec<u8>,
    completions: &'a [(PathBuf, String)],
}

impl<'a> Content<'a> {
    /// Reads it, with the host's own files.
    pub(super) fn read(shim: &Path, completions: &'a [(PathBuf, String)]) -> anyhow::Result<Self> {
        let program = fs::read(shim).with_context(|| format!("cannot read {}", shim.display()))?;
        Ok(Self { program, completions })
    }
}

/// Writes what is not there, or all of it `anew`. When something fails, what this call has added is undone.
pub(super) fn write(
    tree: &Tree,
    record: &mut Record,
    content: &Content<'_>,
    default_uid: u32,
    anew: bool,
) -> anyhow::Result<Answer> {
    if anew {
        undo::forget_lost(tree, record)?;
    }
    let before = record.changes().len();
    let mut writer = Writer { tree, record, anew };
    writer.write_all(content, default_uid).map_err(|error| match undo::since(tree, record, before) {
        Ok(_) => error,
        Err(left) if left.to_string() == format!("{error:#}") => error,
        Err(left) => error.context(format!("{left:#}; and before that")),
    })
}

/// A tree, and where changes of it are noted.
pub(super) struct Writer<'a> {
    pub(super) tree: &'a Tree,
    pub(super) record: &'a mut Record,
    /// Whether what is there is written, too.
    anew: bool,
}

impl Writer<'_> {
    fn write_all(&mut self, content: &Content<'_>, default_uid: u32) -> anyhow::Result<Answer> {
        let foreign = self.foreign(&sha256(&content.program))?;
        // Beside another docker ours could be the one that is found first.
        if foreign.is_empty() {
            self.folder(Path::new("/usr/bin"))?;
            self.file(Path::new(PROGRAM), &content.program, 0o755)?;
            self.require(Path::new(PROGRAM), &content.program)?;
            for (path, text) in content.completions {
                // Where the folder cannot be used, the shell cannot either.
                if let Ok(Some(_)) = self.tree.folder_of(path) {
                    self.file(path, text.as_bytes(), 0o644)?;
                }
            }
        }
        let (gid, warnings) = group::join(self, default_uid)?;
        self.record.settle()?;
        Ok(Answer::Written { gid, foreign, warnings })
    }

    /// The programs called `docker` that are not ours.
    fn foreign(&self, ours: &str) -> anyhow::Result<Vec<PathBuf>> {
        let written = self.record.written(Path::new(PROGRAM)).unwrap_or_default();
        let mut seen = Vec::new();
        let mut foreign = Vec::new();
        for path in PROGRAM_FOLDERS {
            // One that cannot be opened has no programs; the one that we need is opened again.
            let Ok(Some(folder)) = self.tree.folder(Path::new(path)) else { continue };
            // `/bin` is `/usr/bin` in most.
            let identity = folder.identity()?;
            if seen.contains(&identity) {
                continue;
            }
            seen.push(identity);
            let name = Path::new("docker");
            if matches!(folder.find(name)?, Found::Nothing) {
                continue;
            }
            let is_ours = folder.sha256(name)?.is_some_and(|hash| hash == ours || written.contains(&hash));
            let path = Path::new(path).join(name);
            // A shell passes over what cannot be run.
            if !is_ours && self.tree.is_program(&path) {
                foreign.push(path);
            }
        }
        Ok(foreign)
    }

    /// Opens a folder, made with those above it where it is not there.
    pub(super) fn folder(&mut self, path: &Path) -> anyhow::Result<Folder> {
        if let Some(folder) = self.tree.folder(path)? {
            return Ok(folder);
        }
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            bail!("the distribution has no root folder")
        };
        let above = self.folder(above)?;
        self.record.touch(above.touched()?);
        self.record.add(Change::Folder { path: path.to_owned() })?;
        above.make_folder(Path::new(name))?;
        self.tree.folder(path)?.with_context(|| format!("{} of the distribution is gone", path.display()))
    }

    /// Writes a file that is not there, or brings one of ours up to date. One of somebody else's stays.
    pub(super) fn file(&mut self, path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
        let Some((folder, name)) = self.tree.folder_of(path)? else {
            bail!("the folder of {} of the distribution is gone", path.display())
        };
        let new = sha256(bytes);
        let ours = self.record.written(path).unwrap_or_default().to_vec();
        let found = match folder.find(name)? {
            Found::Nothing => None,
            Found::Other(_) => return Ok(()),
            Found::File(mut found) => match found.read() {
                Ok(bytes) => Some((sha256(&bytes), bytes, found.mode())),
                Err(_) => return Ok(()),
            },
        };
        match found {
            None => {
                self.record.touch(folder.touched()?);
                self.record.set_written(path, vec![new])?;
                folder.make(name, bytes, &Likeness::new(mode))
            }
            Some((hash, _, now)) if hash == new && now == mode && !self.anew => {
                self.record.set_written(path, vec![new])
            }
            Some((hash, old, _)) if hash == new || ours.contains(&hash) => {
                self.record.touch(folder.touched()?);
                self.record.set_written(path, vec![hash, new.clone()])?;
                folder.replace(name, &old, bytes, &Likeness::new(mode))?;
                self.record.set_written(path, vec![new])
            }
            Some(_) => Ok(()),
        }
    }

    /// An error if there is anything else than this program at a path.
    fn require(&self, path: &Path, program: &[u8]) -> anyhow::Result<()> {
        let Some((folder, name)) = self.tree.folder_of(path)? else {
            bail!("the folder of {} of the distribution is gone", path.display())
        };
        if folder.sha256(name)?.is_some_and(|hash| hash == sha256(program)) {
            return Ok(());
        }
        let what = match folder.find(name)? {
            Found::File(_) => "a file that nobody may run",
            Found::Other("a link") => "a link to no program",
            Found::Other(kind) => kind,
            Found::Nothing => "gone",
        };
        bail!("{} of the distribution is {what}: remove it", path.display())
    }
}
