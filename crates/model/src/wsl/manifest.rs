//! Distributions that can be installed, as a list on the net offers them (`DistributionInfo.json`).
//!
//! Form and rules: microsoft/WSL `distributions/DistributionInfo.json` and
//! `src/windows/common/Distribution.cpp`.

mod checksum;
mod url;
mod wire;

pub use checksum::{ChecksumError, InvalidHex, bytes_of_hex, check, hex_of_bytes};
pub use url::{file_name, file_path};

/// The most entries of a flavour that `wsl --list --online` shows.
const SHOWN_PER_FLAVOR: usize = 4;

/// Text that is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid JSON document. Parse error: {0}")]
pub struct ManifestError(String);

/// A kind of processor that images are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `x86_64`.
    Amd64,
    /// `aarch64`.
    Arm64,
}

impl Architecture {
    /// That of this program; none where nobody makes images.
    pub fn current() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

/// What one list has for one architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    flavors: Vec<Flavor>,
    packages: Vec<Package>,
    default: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Flavor {
    name: String,
    versions: Vec<Version>,
}

/// A version of a flavour: a tar archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What to call it, e.g. `Ubuntu-24.04`.
    pub name: String,
    /// What people read, e.g. `Ubuntu 24.04 LTS`.
    pub friendly_name: String,
    /// Its archive.
    pub archive: Archive,
    default: bool,
}

/// Where an archive is, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Its address: `https://…`, or `file://…` ([`file_path`]).
    pub url: String,
    /// Its SHA-256 as the list writes it ([`check`]).
    pub sha256: String,
}

/// An entry from before there were archives: an application package for Windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// What to call it.
    pub name: String,
    /// What people read.
    pub friendly_name: String,
    /// Where the package is, if not in a store only.
    pub url: Option<String>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// An archive.
    Version(&'a Version),
    /// A package.
    Package(&'a Package),
}

impl Manifest {
    /// Reads a list and takes what is for `architecture`.
    pub fn parse(text: &[u8], architecture: Architecture) -> Result<Self, ManifestError> {
        wire::Document::parse(text)
            .map(|document| document.pick(architecture))
            .map_err(|error| ManifestError(error.to_string()))
    }

    /// Names are compared without regard to case. A flavour's name stands for its default version. `legacy`
    /// looks at packages only.
    fn find(&self, name: &str, legacy: bool) -> Option<Found<'_>> {
        let version = || {
            self.flavors.iter().find_map(|flavor| {
                let whole = flavor.name.eq_ignore_ascii_case(name);
                let wanted = |version: &&Version| {
                    (whole && version.default) || version.name.eq_ignore_ascii_case(name)
                };
                flavor.versions.iter().find(wanted)
            })
        };
        let package = || self.packages.iter().find(|package| package.name.eq_ignore_ascii_case(name));
        let version = if legacy { None } else { version() };
        version.map(Found::Version).or_else(|| package().map(Found::Package))
    }

    fn default_name(&self) -> Option<&str> {
        let first = || self.packages.first().map(|package| package.name.as_str());
        self.default.as_deref().or_else(first)
    }

    fn offers(&self) -> impl Iterator<Item = (&str, &str)> {
        let versions = self.flavors.iter().flat_map(|flavor| flavor.versions.iter().take(SHOWN_PER_FLAVOR));
        let packages = self.packages.iter().map(|package| (&*package.name, &*package.friendly_name));
        versions.map(|version| (&*version.name, &*version.friendly_name)).chain(packages)
    }
}

/// All that can be installed: the main list, and one of the user that goes before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The main list.
    pub main: Manifest,
    /// The user's list.
    pub overriding: Option<Manifest>,
}

impl Catalog {
    /// What `name` stands for, and whether it is the user's list that says so (worth a warning: `The
    /// distribution "…" is provided by an override manifest.`). With `legacy`, packages only.
    pub fn find(&self, name: &str, legacy: bool) -> Option<(Found<'_>, bool)> {
        let overriding = self.overriding.as_ref().and_then(|manifest| manifest.find(name, legacy));
        overriding
            .map(|found| (found, true))
            .or_else(|| self.main.find(name, legacy).map(|found| (found, false)))
    }

    /// What is installed when no name is given; with `legacy`, the first package.
    pub fn default_name(&self, legacy: bool) -> Option<&str> {
        if legacy {
            return self.main.packages.first().map(|package| package.name.as_str());
        }
        self.overriding.as_ref().and_then(Manifest::default_name).or_else(|| self.main.default_name())
    }

    /// Name and friendly name of each line of `wsl --list --online`: the user's list first, each name once,
    /// at most four versions of a flavour.
    pub fn offers(&self) -> Vec<(String, String)> {
        let mut offers: Vec<(String, String)> = Vec::new();
        for (name, friendly_name) in self.overriding.iter().chain([&self.main]).flat_map(Manifest::offers) {
            if !offers.iter().any(|(offered, _)| offered == name) {
                offers.push((name.to_owned(), friendly_name.to_owned()));
            }
        }
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text.as_bytes(), Architecture::Amd64).unwrap()
    }

    #[test]
    fn only_what_fits_the_processor_is_there() {
        let text = r#"{"ModernDistributions": {"a": [
            {"Name": "a-1", "Amd64Url": {"Url": "amd", "Sha256": "1"}, "Arm64Url": {"Url": "arm"}},
            {"Name": "a-2", "Arm64Url": {"Url": "arm", "Sha256": "2"}, "Default": null}]},
            "Distributions": [{"Name": "x", "Arm64": true},
                              {"Name": "y", "Amd64": true, "StoreAppId": "9"}]}"#;
        let names = |architecture| {
            let main = Manifest::parse(text.as_bytes(), architecture).unwrap();
            let catalog = Catalog { main, overriding: None };
            let names: Vec<String> = catalog.offers().into_iter().map(|(name, _)| name).collect();
            (names.join(" "), catalog.default_name(false).map(str::to_owned))
        };
        assert_eq!(names(Architecture::Amd64), ("a-1 y".to_owned(), Some("y".to_owned())));
        assert_eq!(names(Architecture::Arm64), ("a-1 a-2 x".to_owned(), Some("x".to_owned())));
        let catalog = Catalog { main: manifest(text), overriding: None };
        let Some((Found::Version(version), false)) = catalog.find("A-1", false) else {
            panic!("a-1 is there")
        };
        assert_eq!(version.archive, Archive { url: "amd".to_owned(), sha256: "1".to_owned() });
    }

    #[test]
    fn flavours_keep_the_order_of_the_list() {
        let flavors: Vec<String> =
            (0..20).map(|n| format!(r#""f{}": [{{"Name": "v{n}", "Amd64Url": {{}}}}]"#, 20 - n)).collect();
        let main = manifest(&format!(r#"{{"ModernDistributions": {{{}}}}}"#, flavors.join(",")));
        let names: Vec<String> =
            Catalog { main, overriding: None }.offers().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, (0..20).map(|n| format!("v{n}")).collect::<Vec<_>>());
    }

    #[test]
    fn documents_of_other_forms_are_errors_and_other_fields_are_not() {
        assert_eq!(
            manifest(r#"{"Future": 1, "Default": null, "ModernDistributions": null}"#),
            Manifest::default()
        );
        for text in
            ["", "[]", "1", r#"{"Distributions": {}}"#, r#"{"ModernDistributions": {"a": [{"Name": 1}]}}"#]
        {
            let error = Manifest::parse(text.as_bytes(), Architecture::Amd64).unwrap_err();
            assert!(error.to_string().starts_with("Invalid JSON document. Parse error: "), "{text}: {error}");
        }
    }
}
