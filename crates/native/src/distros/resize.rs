//! The size of a distribution's disk, and whether it gives back what is deleted.

use sampan_model::wsl::error::{Code, Failure};

use super::failure::failure;
use super::progress::Progress;
use super::storage::Storage;
use super::turns::Doing;
use super::{Asker, Distros, guard};
use crate::disk::resize::{ResizeError, resize};

/// What is said meanwhile.
const RESIZING: &str = "Resize in progress, this may take a few minutes.";

impl Distros {
    /// Changes how large the disk of a stopped distribution may grow.
    pub(super) fn resize(&self, name: &str, bytes: u64, asker: Asker<'_>) -> Result<(), Failure> {
        let entry = self.find_whole(name)?;
        if entry.version != 2 {
            return Err(Failure::new(Code::Wsl2Needed));
        }
        guard::stopped(&entry.name, self.engine_runs()?)?;
        let _turn = self.turns.take(entry.guid, Doing::Converting)?;
        let entry = self.find_again(&entry)?;
        if entry.version != 2 {
            return Err(Failure::new(Code::Wsl2Needed));
        }
        self.require_stopped(&entry)?;
        let image = Storage::of(&self.native.instance, &entry).path();
        let progress = Progress::new(asker, RESIZING);
        resize(&image, bytes, &|permille| progress.told(permille, 1000)).map_err(|error| match error {
            ResizeError::InUse { .. } => Failure::new(Code::DistroNotStopped),
            error => not_resized(failure(error)),
        })
    }

    /// Disks are always sparse, and what is deleted in them goes back to the host at once.
    pub(super) fn set_sparse(&self, name: &str, sparse: bool) -> Result<(), Failure> {
        let entry = self.find_whole(name)?;
        if entry.version != 2 {
            return Err(Failure::new(Code::Wsl2Needed));
        }
        let _turn = self.turns.take(entry.guid, Doing::Briefly)?;
        if sparse {
            return Ok(());
        }
        let message = "Disks of distributions are always sparse here: what is deleted in one goes back to the host at \
                       once, and nothing that is kept is at risk by it.";
        Err(Failure::new(Code::NotImplemented).with_message(message))
    }
}

fn not_resized(error: Failure) -> Failure {
    let resized = Failure::disk_not_resized();
    let message = format!("{}\n{}", resized.message, sentence(&error.message));
    Failure { code: error.code, hint: error.hint, ..resized.with_message(message) }
}

/// `text` as a sentence of its own. Those of [`ResizeError`] begin with a word.
fn sentence(text: &str) -> String {
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    format!("{}{}.", first.to_uppercase(), rest.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_are_sentences() {
        let error = ResizeError::TooSmall { path: "/d/ext4.img".into(), bytes: 1 << 20, smallest: 1 << 30 };
        let told = not_resized(failure(error));
        assert_eq!(
            told.message,
            "Failed to resize disk.\nThe content of the disk /d/ext4.img takes more than 1 MiB."
        );
        assert_eq!(told.hint.as_deref(), Some("give it at least 1 GiB"));
    }
}
