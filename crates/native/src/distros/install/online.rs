//! What can be installed.

use sampan_backend::settings;
use sampan_model::wsl::error::Failure;
use sampan_model::wsl::manifest::{Architecture, Catalog, Manifest};

use super::download::{Address, FetchError, list};
use crate::cancel::Cancel;
use crate::distros::Distros;
use crate::distros::failure::failure;

/// Why nobody knows what can be installed.
#[derive(Debug)]
pub(super) enum NoCatalog {
    /// A list can't be fetched.
    Unreachable(Failure),
    /// The settings or a list can't be understood.
    Unusable(Failure),
}

impl From<NoCatalog> for Failure {
    fn from(error: NoCatalog) -> Self {
        match error {
            NoCatalog::Unreachable(failure) | NoCatalog::Unusable(failure) => failure,
        }
    }
}

impl Distros {
    /// Name and friendly name of everything that is offered.
    pub(in crate::distros) fn online(&self) -> Result<Vec<(String, String)>, Failure> {
        Ok(self.catalog(&Cancel::default())?.offers())
    }

    /// Everything that is offered for this machine's processor.
    pub(super) fn catalog(&self, cancel: &Cancel) -> Result<Catalog, NoCatalog> {
        let settings = settings::load(&self.native.instance.settings());
        let settings = settings.map_err(|error| NoCatalog::Unusable(failure(error)))?;
        let Some(architecture) = Architecture::current() else { return Ok(Catalog::default()) };
        let read = |url: &str| read(url, architecture, cancel);
        Ok(Catalog {
            main: read(&settings.distribution_list_url)?,
            overriding: settings.distribution_list_url_append.as_deref().map(read).transpose()?,
        })
    }
}

fn read(url: &str, architecture: Architecture, cancel: &Cancel) -> Result<Manifest, NoCatalog> {
    let text = Address::of(url)
        .and_then(|address| list(&address, cancel))
        .map_err(|error| unreachable(url, &error))?;
    Manifest::parse(&text, architecture).map_err(|error| NoCatalog::Unusable(error.into()))
}

fn unreachable(url: &str, error: &FetchError) -> NoCatalog {
    NoCatalog::Unreachable(error.failure(|code, why| Failure::manifest_not_fetched(url, code, why)))
}
