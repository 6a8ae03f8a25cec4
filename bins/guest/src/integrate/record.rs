//! The journal on the host's disk.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sampan_model::document;
use sampan_model::integration::journal::{Change, Journal, Touched};

/// The journal of a distribution. What is in it is on the disk.
pub(super) struct Record {
    path: PathBuf,
    journal: Journal,
    /// Whether all of it is on the disk.
    is_saved: bool,
}

impl Record {
    /// Reads it; one that is not there is empty.
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        let journal = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Journal::default()),
            text => text.map_err(anyhow::Error::from).and_then(|text| Ok(document::parse(&text)?)),
        };
        let journal = journal.with_context(|| {
            format!("nothing was changed: {} (what integration has written) cannot be used", path.display())
        })?;
        Ok(Self { path: path.to_owned(), journal, is_saved: true })
    }

    pub(super) fn changes(&self) -> &[Change] {
        &self.journal.changes
    }

    /// What a file that was made may have in it; none: it was not made.
    pub(super) fn written(&self, file: &Path) -> Option<&[String]> {
        self.changes().iter().find_map(|change| match change {
            Change::File { path, sha256 } if path == file => Some(sha256.as_slice()),
            _ => None,
        })
    }

    /// The folder in which a change was cut off.
    pub(super) fn touched(&self) -> Option<&Touched> {
        self.journal.touched.as_ref()
    }

    /// Notes in which folder the next change is. It is on the disk with the change, or by [`Record::flush`].
    pub(super) fn touch(&mut self, folder: Touched) {
        let folder = Some(folder);
        self.is_saved &= self.journal.touched == folder;
        self.journal.touched = folder;
    }

    /// Notes that all changes are done. To be called at the end.
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        self.is_saved &= self.journal.touched.take().is_none();
        self.flush()
    }

    /// Notes what is about to be done.
    pub(super) fn add(&mut self, change: Change) -> anyhow::Result<()> {
        if !self.journal.changes.contains(&change) {
            self.journal.changes.push(change);
            self.is_saved = false;
        }
        self.flush()
    }

    /// Notes what a file that was made may have in it from now on.
    pub(super) fn set_written(&mut self, file: &Path, hashes: Vec<String>) -> anyhow::Result<()> {
        for change in &mut self.journal.changes {
            if let Change::File { path, sha256 } = change
                && path == file
            {
                self.is_saved &= *sha256 == hashes;
                *sha256 = hashes;
                return self.flush();
            }
        }
        self.add(Change::File { path: file.to_owned(), sha256: hashes })
    }

    /// Forgets a change that is undone.
    pub(super) fn forget(&mut self, index: usize) -> anyhow::Result<()> {
        self.journal.changes.remove(index);
        self.is_saved = false;
        self.flush()
    }

    /// Brings all of it to the disk.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        if !self.is_saved {
            self.save()?;
            self.is_saved = true;
        }
        Ok(())
    }

    fn save(&self) -> anyhow::Result<()> {
        let path = &self.path;
        let folder = path.parent().context("a journal has a folder")?;
        if self.changes().is_empty() {
            return match fs::remove_file(path) {
                Ok(()) => File::open(folder).and_then(|folder| folder.sync_all()),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            }
            .with_context(|| format!("cannot remove {}", path.display()));
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        sampan_sys::fs::write_atomic(path, document::render(&self.journal).as_bytes(), 0o600)?;
        Ok(())
    }
}
