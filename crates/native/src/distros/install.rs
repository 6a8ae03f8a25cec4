//! `wsl --install`: of a file, of an archive that a list offers, or, for Debian, of its packages.

mod debian;
mod download;
mod online;

use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::manifest::{self, ChecksumError, Found, Version};
use sampan_model::wsl::message;
use sampan_model::wsl::service::{Install, Reply};

use self::download::Address;
use self::online::NoCatalog;
use super::defaults::VERSION;
use super::failure::failure;
use super::import::{Import, require_disk, require_name};
use super::progress::Progress;
use super::storage::cannot;
use super::{Asker, Distros};
use crate::platform::fresh_guid;
use crate::wslconfig::HostConfig;

impl Distros {
    /// Makes a distribution, of `file` if that came with the request; its name. The first shell runs the image's first-run
    /// command.
    pub(super) fn install(
        &self,
        request: &Install,
        file: Option<OwnedFd>,
        asker: Asker<'_>,
    ) -> Result<String, Failure> {
        let chosen = || self.native.store.current().map(|registry| registry.default_version);
        let version = request.version.map_or_else(chosen, |version| Ok(Some(version))).map_err(failure)?;
        // Before minutes are spent on an archive.
        require_disk(version.unwrap_or(VERSION), request.vhd_size)
            .map_err(|failure| failure.in_context(Context::RegisterDistro).in_context(Context::Service))?;
        match (&request.from_file, file) {
            (Some(source), Some(file)) => {
                say(asker, &message::installing(source));
                self.register_new(request, request.name.as_deref(), file, source, asker)
            }
            (None, None) => self
                .install_offered(request, asker)
                .map_err(|failure| failure.in_context(Context::InstallDistro)),
            _ => Err(Failure::new(Code::InvalidArg)),
        }
    }

    fn install_offered(&self, request: &Install, asker: Asker<'_>) -> Result<String, Failure> {
        let is_debian = request.distribution.as_deref().is_some_and(debian::is_meant);
        let catalog = match self.catalog(asker.cancel) {
            Err(NoCatalog::Unreachable(failure)) if is_debian && !request.legacy => {
                asker.tell(Reply::Warning { message: failure.message.trim_end().to_owned() });
                return self.install_debian(request, asker);
            }
            catalog => catalog?,
        };
        let wanted = request.distribution.as_deref().or_else(|| catalog.default_name(request.legacy));
        let wanted = wanted.ok_or_else(no_default)?;
        match catalog.find(wanted, request.legacy) {
            Some((found, overriding)) => {
                if overriding {
                    let message =
                        format!("The distribution \"{wanted}\" is provided by an override manifest.");
                    asker.tell(Reply::Warning { message });
                }
                match found {
                    Found::Version(version) => self.install_version(request, version, asker),
                    Found::Package(package) => Err(only_a_package(&package.name)),
                }
            }
            None if is_debian && !request.legacy => self.install_debian(request, asker),
            None => Err(Failure::not_in_manifest(wanted)),
        }
    }

    fn install_version(
        &self,
        request: &Install,
        version: &Version,
        asker: Asker<'_>,
    ) -> Result<String, Failure> {
        let name = request.name.as_deref().unwrap_or(&version.name);
        self.require_new(name)?;
        let url = &version.archive.url;
        let what =
            |code, why: &str| Failure::new(code).with_message(format!("Failed to download '{url}'. {why}"));
        let address = Address::of(url).map_err(|error| error.failure(what))?;
        let from_web = matches!(address, Address::Web(_));
        let installing = || say(asker, &message::installing(&version.friendly_name));
        if from_web {
            say(asker, &message::downloading(&version.friendly_name));
        } else {
            installing();
        }
        // Before minutes are spent on what can't be right.
        manifest::bytes_of_hex(&version.archive.sha256).map_err(ChecksumError::Invalid)?;
        let progress = Progress::new(asker, message::progress::DOWNLOADING);
        let fetched = download::archive(&address, &self.native.instance.cache(), &progress);
        let fetched = fetched.map_err(|error| error.failure(what))?;
        if from_web {
            installing();
        }
        manifest::check(&version.archive.sha256, &fetched.sha256)?;
        self.register_new(request, Some(name), fetched.file.into(), &version.friendly_name, asker)
    }

    /// An error when no new distribution can be called `name`: said before minutes are spent on it.
    fn require_new(&self, name: &str) -> Result<(), Failure> {
        let registry = self.native.store.current().map_err(failure)?;
        if registry.find(name).is_some() {
            let hint = format!("`--name` gives it another name than {name}, which is installed");
            return Err(Failure::new(Code::AlreadyExists).hint(hint));
        }
        require_name(&registry, name)
    }

    /// Makes a distribution of an archive; without a name it has the image's own.
    fn register_new(
        &self,
        request: &Install,
        name: Option<&str>,
        file: OwnedFd,
        source: &str,
        asker: Asker<'_>,
    ) -> Result<String, Failure> {
        let register = || {
            let usual = || usual_location(&HostConfig::read().values.distribution_install_path);
            let location = match &request.location {
                Some(location) => Some(location.clone()),
                None => usual()?,
            };
            let import = Import {
                name,
                location: location.as_deref(),
                version: request.version,
                vhd: false,
                file,
                source,
                size_bytes: request.vhd_size,
                first_run: true,
                of_container: request.of_container,
            };
            self.import(import, asker)
        };
        let entry = register().map_err(|failure| failure.in_context(Context::Service))?;
        Ok(entry.name)
    }
}

/// A folder for one distribution where `.wslconfig` wants new ones; none when it does not say.
fn usual_location(above: &str) -> Result<Option<PathBuf>, Failure> {
    if above.is_empty() {
        return Ok(None);
    }
    let above = Path::new(above);
    if !above.is_absolute() {
        let message =
            format!("general.distributionInstallPath in .wslconfig is no absolute path: {}", above.display());
        return Err(Failure::new(Code::InvalidArg).with_message(message).in_context(Context::RegisterDistro));
    }
    let made = DirBuilder::new().recursive(true).mode(0o755).create(above);
    made.map_err(|error| cannot("make", above, &error).in_context(Context::RegisterDistro))?;
    let guid = fresh_guid().map_err(failure)?;
    Ok(Some(above.join(guid.to_string())))
}

fn say(asker: Asker<'_>, text: &str) {
    asker.tell(Reply::Line { text: text.trim_end_matches('\n').to_owned() });
}

fn no_default() -> Failure {
    Failure::new(Code::Unexpected).with_message(
        "No default distribution has been configured. Please provide a distribution to install.",
    )
}

fn only_a_package(name: &str) -> Failure {
    let message = format!("{name} is offered as an application package for Windows only.");
    let hint = "`wsl --list --online` shows what else there is; `wsl --install --from-file FILE` takes a root file \
                system as a tar archive";
    Failure::new(Code::OnlyAvailableFromStore).with_message(message).hint(hint)
}
