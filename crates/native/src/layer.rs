//! The layer of a user's distribution: its disk, mounted in the hub at [`crate::hub::Hub::view`].
//!
//! Mounting a large file system takes longer than all other steps of a start together. So it is begun first, on a thread of
//! its own, and the guest takes the layer when everything else stands.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sampan_backend::error::chain;
use sampan_model::guest::{ATTACHED, ProcessId};
use sampan_sys::loopdev::{self, LoopError};
use sampan_sys::mount;
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::{Errno, SysError};

use crate::process;

/// Why a layer could not be attached.
#[derive(Debug, thiserror::Error)]
enum LayerError {
    #[error(transparent)]
    Loop(#[from] LoopError),
    #[error(transparent)]
    Sys(#[from] SysError),
    #[error("the hub is gone: `sampan restart` builds a new one")]
    NoHub,
    #[error("cannot make {path} in the hub")]
    Folder { path: PathBuf, source: io::Error },
    #[error("no thread can be started to mount the disk")]
    Thread(#[source] io::Error),
    #[error("the disk was not mounted in time")]
    Late,
}

/// What went wrong with a layer, as one sentence.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    /// Whether something else uses the disk.
    pub(crate) busy: bool,
}

impl From<LayerError> for Refusal {
    fn from(error: LayerError) -> Self {
        let busy = match &error {
            LayerError::Loop(LoopError::ImageInUse { .. }) => true,
            LayerError::Loop(LoopError::Sys(error)) | LayerError::Sys(error) => error.errno() == Errno::BUSY,
            _ => false,
        };
        Self { message: chain(&error), busy }
    }
}

/// A layer that is being attached.
#[derive(Debug)]
pub(crate) struct Layer {
    outcome: Receiver<Result<(), LayerError>>,
    refusal: Arc<OnceLock<Refusal>>,
}

impl Layer {
    /// Begins. Nothing to do when it is attached already.
    pub(crate) fn begin(hub: &ProcessId, image: &Path, at: &Path, read_only: bool) -> Self {
        let (tell, outcome) = mpsc::sync_channel(1);
        let (hub, image, at) = (hub.clone(), image.to_owned(), at.to_owned());
        let thread = std::thread::Builder::new().name("layer".to_owned());
        let failed = tell.clone();
        // Nobody may be left to tell: the layer stays then, and the next start finds it.
        let spawned = thread.spawn(move || {
            let _ = tell.send(attach(&hub, &image, &at, read_only));
        });
        if let Err(error) = spawned {
            let _ = failed.send(Err(LayerError::Thread(error)));
        }
        Self { outcome, refusal: Arc::default() }
    }

    /// Waits until it is attached, no longer than `limit`.
    pub(crate) fn wait(self, limit: Duration) -> Result<(), Refusal> {
        match self.outcome.recv_timeout(limit).unwrap_or(Err(LayerError::Late)) {
            Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What tells the guest, at the end of its input, that the layer is there: nothing if it is not within `limit`. And where
    /// the reason for that will be.
    pub(crate) fn news(self, limit: Duration) -> (impl Read + Send, Arc<OnceLock<Refusal>>) {
        let refusal = Arc::clone(&self.refusal);
        (News { layer: self, until: Instant::now().checked_add(limit), text: None }, refusal)
    }
}

struct News {
    layer: Layer,
    until: Option<Instant>,
    text: Option<&'static [u8]>,
}

impl News {
    fn wait(&self) -> &'static [u8] {
        let outcome = match self.until {
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                self.layer.outcome.recv_timeout(left).unwrap_or(Err(LayerError::Late))
            }
            None => self.layer.outcome.recv().unwrap_or(Err(LayerError::Late)),
        };
        match outcome {
            Ok(()) => ATTACHED.as_bytes(),
            Err(error) => {
                let _ = self.layer.refusal.set(error.into());
                b""
            }
        }
    }
}

impl Read for News {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.text.is_none() {
            self.text = Some(self.wait());
        }
        self.text.as_mut().map_or(Ok(0), |text| text.read(to))
    }
}

fn attach(hub: &ProcessId, image: &Path, at: &Path, read_only: bool) -> Result<(), LayerError> {
    let pidfd = process::open(hub)?.ok_or(LayerError::NoHub)?;
    // Its root from outside: nothing of the hub's can be opened there, only looked at.
    let seen =
        Path::new("/proc").join(hub.pid.to_string()).join("root").join(at.strip_prefix("/").unwrap_or(at));
    if mount::is_mount_point(&seen)? {
        return Ok(());
    }
    // What a start reads was read by the start before: it is in the host's cache, if it goes through that.
    let device = loopdev::attach_cached(image)?;
    let tree = mount::new_ext4(&device.path, mount::DISK, read_only)?;
    // Clears itself on last close: its descriptor must live until the file system is open.
    drop(device);
    namespace::part_from_threads()?;
    namespace::enter(&pidfd, Namespaces::MOUNT)?;
    fs::create_dir_all(at).map_err(|source| LayerError::Folder { path: at.to_owned(), source })?;
    Ok(mount::attach(&tree, at)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_cannot_be_had_is_told_by_silence_and_a_reason() {
        let hub = ProcessId { pid: 1, start_time: 0, boot_id: "another".to_owned() };
        let layer = Layer::begin(&hub, Path::new("/no/such/image"), Path::new("/views/x"), false);
        let (mut news, refusal) = layer.news(Duration::MAX);
        let mut text = String::new();
        news.read_to_string(&mut text).unwrap();
        assert_eq!(text, "");
        let refusal = refusal.get().expect("a reason");
        assert!(refusal.message.contains("the hub is gone") && !refusal.busy, "{refusal:?}");
    }

    #[test]
    fn one_that_hangs_is_late() {
        let (_tell, outcome) = mpsc::sync_channel(1);
        let (mut news, refusal) = Layer { outcome, refusal: Arc::default() }.news(Duration::ZERO);
        assert_eq!(news.read(&mut [0; 8]).unwrap(), 0);
        assert!(refusal.get().expect("a reason").message.contains("in time"));
    }
}
