//! The document as it is written. Fields that are not there are empty; unknown ones are not looked at.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Architecture, Archive, Flavor, Manifest, Package, Version};

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Document {
    modern_distributions: Option<Flavors>,
    distributions: Option<Vec<WirePackage>>,
    default: Option<String>,
}

/// A map whose order counts.
struct Flavors(Vec<(String, Vec<WireVersion>)>);

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WireVersion {
    name: String,
    friendly_name: String,
    default: Option<bool>,
    amd64_url: Option<WireArchive>,
    arm64_url: Option<WireArchive>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WireArchive {
    url: String,
    sha256: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WirePackage {
    name: String,
    friendly_name: String,
    amd64: bool,
    arm64: bool,
    amd64_package_url: Option<String>,
    arm64_package_url: Option<String>,
}

impl<'de> Deserialize<'de> for Flavors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Flavors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("flavours with their versions")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Flavors, A::Error> {
                let mut flavors = Vec::new();
                while let Some(flavor) = map.next_entry()? {
                    flavors.push(flavor);
                }
                Ok(Flavors(flavors))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// A document as an object: serde takes an array for a struct as well, and an empty one for an empty
/// document.
struct Object(Document);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsObject;

        impl<'de> Visitor<'de> for AsObject {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object, A::Error> {
                Document::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(AsObject)
    }
}

impl Document {
    pub(super) fn parse(text: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice::<Object>(text).map(|object| object.0)
    }

    pub(super) fn pick(self, architecture: Architecture) -> Manifest {
        let version = |version: WireVersion| {
            let archive = match architecture {
                Architecture::Amd64 => version.amd64_url,
                Architecture::Arm64 => version.arm64_url,
            }?;
            Some(Version {
                name: version.name,
                friendly_name: version.friendly_name,
                archive: Archive { url: archive.url, sha256: archive.sha256 },
                default: version.default.unwrap_or_default(),
            })
        };
        let package = |package: WirePackage| {
            let (fits, url) = match architecture {
                Architecture::Amd64 => (package.amd64, package.amd64_package_url),
                Architecture::Arm64 => (package.arm64, package.arm64_package_url),
            };
            fits.then_some(Package { name: package.name, friendly_name: package.friendly_name, url })
        };
        let flavors = self.modern_distributions.map(|flavors| flavors.0).unwrap_or_default();
        let flavor = |(name, versions): (String, Vec<WireVersion>)| Flavor {
            name,
            versions: versions.into_iter().filter_map(version).collect(),
        };
        Manifest {
            flavors: flavors.into_iter().map(flavor).collect(),
            packages: self.distributions.into_iter().flatten().filter_map(package).collect(),
            default: self.default,
        }
    }
}
