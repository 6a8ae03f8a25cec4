//! What runs distributions. One implementation per system; the engine's life cycle is written against this.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_model::api::{Disk, Distribution, Event};
use sampan_model::check::Check;
use sampan_model::guest::{CopyOut, ServiceSpec};
use sampan_model::network::Subnet;
use sampan_model::registry::{Entry, ImageRecord};
use sampan_model::settings::Settings;

use crate::error::Error;

/// Where an operation tells how far it is.
pub type Sink<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// What runs distributions.
pub trait Platform: Send + Sync {
    /// Removes what unfinished operations and dead processes left, by identity.
    fn recover(&self) -> Result<(), Error>;

    /// Every installed distribution with its state.
    fn distributions(&self) -> Result<Vec<Distribution>, Error>;

    /// The registry's entry of a distribution.
    fn entry(&self, name: &str) -> Result<Option<Entry>, Error>;

    /// The disks of all distributions.
    fn disks(&self) -> Result<Vec<Disk>, Error>;

    /// The image that [`Platform::build_image`] built before, if it is still there.
    fn cached_image(&self) -> Option<PathBuf>;

    /// Builds a root file system of signed packages into a compressed archive.
    fn build_image(&self, recipe: &ImageRecipe<'_>, sink: Sink<'_>) -> Result<PathBuf, Error>;

    /// Identity of an archive, for comparing it with the one a distribution was made of.
    fn identify(&self, archive: &Path) -> Result<ImageRecord, Error>;

    /// Makes a distribution of an archive. If the name is taken, the new storage stands beside the old until
    /// [`Platform::settle`].
    fn import(&self, import: &Import<'_>, sink: Sink<'_>) -> Result<(), Error>;

    /// Ends an upgrade: keeps the new storage, or goes back to the one before.
    fn settle(&self, name: &str, keep: Keep) -> Result<(), Error>;

    /// Makes a distribution that is nothing but an empty disk.
    fn create_disk(&self, name: &str, size_bytes: u64) -> Result<(), Error>;

    /// Makes sure that a distribution's storage is where the registry says.
    fn verify_storage(&self, name: &str) -> Result<(), Error>;

    /// Brings up what all distributions stand on, or mends what is missing of it.
    fn prepare(&self, sink: Sink<'_>) -> Result<(), Error>;

    /// Shares `tree`, in which somebody works, with containers, now and from each [`Platform::prepare`] on. Nothing to do
    /// when it is shared.
    fn share(&self, tree: &Path, sink: Sink<'_>) -> Result<(), Error>;

    /// Connects distributions to the network as `settings` want it; without a wish on the first subnet that is free. Nothing
    /// to do when they are.
    fn connect(&self, settings: &Settings, sink: Sink<'_>) -> Result<(), Error>;

    /// Starts a distribution; returns when its init is ready.
    fn start(&self, boot: &Boot<'_>, sink: Sink<'_>) -> Result<(), Error>;

    /// Whether a distribution runs.
    fn is_running(&self, name: &str) -> Result<bool, Error>;

    /// The path of a socket that a service of a distribution serves.
    fn socket(&self, name: &str, socket: &str) -> Result<Option<PathBuf>, Error>;

    /// Tells the user's distributions whether the engine is being started; if not, it runs or it does not. What could
    /// not be done, one sentence each.
    fn announce(&self, starting: bool) -> Vec<String>;

    /// Stops a distribution: in order within `deadline`, then by force.
    fn terminate(&self, name: &str, deadline: Duration) -> Result<(), Error>;

    /// Takes down what [`Platform::prepare`], [`Platform::connect`] and [`Platform::start`] brought up. Goes on after a
    /// failure and reports all of them.
    fn shut_down(&self, extent: Extent, deadline: Duration) -> Down;

    /// Removes a stopped distribution and its storage.
    fn unregister(&self, name: &str) -> Result<(), Error>;

    /// Undoes what is in the user's distributions for an engine that is not installed any more. What could not be done,
    /// one sentence each: it is tried again when the distribution is started.
    fn withdraw(&self) -> Vec<String>;

    /// Removes everything of the instance, whatever state it is in; nothing of it may run.
    fn erase(&self) -> Result<(), Error>;

    /// The network between host and distributions, while it is up.
    fn subnet(&self) -> Option<String>;

    /// Tests every prerequisite.
    fn check(&self) -> Vec<Check>;
}

/// What goes into a root file system.
#[derive(Debug, Clone, Copy)]
pub struct ImageRecipe<'a> {
    /// Debian suite.
    pub suite: &'a str,
    /// Packages to install besides the essential ones.
    pub packages: &'a [&'a str],
    /// Where in the root to record the versions of `packages`, as JSON.
    pub manifest: &'a str,
}

/// An archive to make a distribution of.
#[derive(Debug, Clone)]
pub struct Import<'a> {
    /// Name of the distribution.
    pub name: &'a str,
    /// The archive: tar, plain or compressed by gzip, xz or zstd.
    pub archive: &'a Path,
    /// Identity of the archive.
    pub record: ImageRecord,
    /// The size its disk may grow to, in bytes.
    pub size_bytes: u64,
    /// Files that must be in it, or that the host wants copies of.
    pub files: Vec<CopyOut>,
}

/// Which storage stays after an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The new one.
    New,
    /// The one before.
    Previous,
}

/// How much is taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What only the engine uses; everything when no distribution of the user runs.
    Engine,
    /// Everything, the user's distributions too.
    Everything,
}

/// What became of taking things down.
#[derive(Debug, Default)]
pub struct Down {
    /// Everything that failed.
    pub errors: Vec<Error>,
    /// What failed with the disks of the user's distributions when only the engine was taken down: it is in nobody's way.
    pub warnings: Vec<Error>,
    /// The user's distributions that run or are worked on, by name: what they stand on goes on.
    pub remaining: Vec<String>,
}

/// How to start a distribution.
#[derive(Debug, Clone)]
pub struct Boot<'a> {
    /// Its name.
    pub name: &'a str,
    /// Disks of other distributions to mount inside: name and place.
    pub disks: &'a [(&'a str, &'a str)],
    /// The network that it is to be in; none: the first one that is free.
    pub subnet: Option<Subnet>,
    /// Where the instance's log folder appears inside.
    pub logs: &'a str,
    /// Sockets served inside, bound outside.
    pub sockets: Vec<BootSocket>,
    /// Programs to keep running.
    pub services: Vec<ServiceSpec>,
}

/// A socket that a distribution serves.
#[derive(Debug, Clone)]
pub struct BootSocket {
    /// Its name for services.
    pub name: String,
    /// Where; in the distribution's own folder when none.
    pub path: Option<PathBuf>,
    /// Whether members of the instance's group may use it.
    pub group: bool,
}
