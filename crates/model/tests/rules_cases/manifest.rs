//! Section 6: the manifest of distributions, as far as it is text.

use std::path::PathBuf;

use sampan_model::wsl::manifest::{
    Architecture, Archive, Catalog, Found, Manifest, check, file_name, file_path, hex_of_bytes,
};

use crate::Section;

fn manifest(text: &str) -> Manifest {
    Manifest::parse(text.as_bytes(), Architecture::Amd64).expect("a manifest of the table")
}

fn entry(name: &str, friendly_name: &str, url: &str, default: bool) -> String {
    format!(
        r#"{{"Name": "{name}", "FriendlyName": "{friendly_name}", "Default": {default},
            "Amd64Url": {{"Url": "{url}", "Sha256": "0x12"}}}}"#
    )
}

fn debian(entries: &[String]) -> String {
    format!(r#""ModernDistributions": {{"debian": [{}]}}"#, entries.join(","))
}

/// The address behind `name`, and whether the user's list has it; `package` for a package.
fn found(catalog: &Catalog, name: &str, legacy: bool) -> Option<(String, bool)> {
    catalog.find(name, legacy).map(|(found, overridden)| {
        let url = match found {
            Found::Version(version) => version.archive.url.clone(),
            Found::Package(_) => "package".to_owned(),
        };
        (url, overridden)
    })
}

#[test]
fn section_6() {
    let mut section = Section::new(
        6,
        "N01 N02 N04 N05 N07 N08 N10 N11 N17 N19 N20 N22 N23 N25 N26 N28 N29 N31 N32 N34 N35 N37 N38 N40 N41",
    );

    let one = manifest(&format!("{{{}}}", debian(&[entry("debian-12", "DebianFriendlyName", "u12", true)])));
    let catalog = Catalog { main: one, overriding: None };
    for name in ["debian", "Debian", "debian-12", "Debian-12"] {
        section.check("N17", found(&catalog, name, false), Some(("u12".to_owned(), false)));
    }
    section.check("N19", found(&catalog, "DoesNotExists", false), None);

    let two =
        [entry("debian-nondefault", "", "", false), entry("debian-default", "DebianFriendlyName", "u", true)];
    let main = manifest(&format!(r#"{{"Default": "debian", {}}}"#, debian(&two)));
    let catalog = Catalog { main, overriding: None };
    let default = catalog.default_name(false).and_then(|name| catalog.find(name, false));
    let Some((Found::Version(version), false)) = default else { panic!("a version is the default") };
    section.check("N20", version.friendly_name.as_str(), "DebianFriendlyName");
    section.check("N20", &version.archive, &Archive { url: "u".to_owned(), sha256: "0x12".to_owned() });

    let both = format!(
        r#"{{{}, "Distributions": [{{"Name": "debian-12", "Amd64": true, "Arm64": true}}]}}"#,
        debian(&[entry("debian-12", "d", "u12", false)])
    );
    let catalog = Catalog { main: manifest(&both), overriding: None };
    section.check("N22", found(&catalog, "debian-12", false), Some(("u12".to_owned(), false)));
    section.check("N22", found(&catalog, "debian-12", true), Some(("package".to_owned(), false)));
    section.check("N22", catalog.default_name(false), Some("debian-12"));

    let main = debian(&[entry("debian-12", "d", "unusable", false), entry("debian-base", "d", "base", true)]);
    let own = debian(&[entry("debian-12", "overridden", "own", false)]);
    let catalog =
        Catalog { main: manifest(&format!("{{{main}}}")), overriding: Some(manifest(&format!("{{{own}}}"))) };
    section.check("N23", found(&catalog, "debian-12", false), Some(("own".to_owned(), true)));
    section.check("N23", found(&catalog, "debian-base", false), Some(("base".to_owned(), false)));
    section.check("N23", found(&catalog, "debian", false), Some(("base".to_owned(), false)));

    let actual = [0xa1; 32];
    let mismatch =
        format!("The distribution hash doesn't match. Expected: 0x12, actual hash: 0x{}", "a1".repeat(32));
    section.check("N25", check("0x12", &actual).unwrap_err().to_string(), mismatch);
    section.check("N25", check(&hex_of_bytes(&actual), &actual).is_ok(), true);
    let wrong = "Invalid hex string: wrongformat".to_owned();
    section.check("N26", check("wrongformat", &actual).unwrap_err().to_string(), wrong);

    let bad = Manifest::parse(b"Bad json", Architecture::Amd64).unwrap_err().to_string();
    section.check("N31", bad.starts_with("Invalid JSON document. Parse error: "), true);

    section.check("N32", file_name("http://127.0.0.1:6666/distro.tar?foo=bar&key=value"), Some("distro.tar"));

    // On Linux paths have slashes and no drives, and the third slash is the root.
    let path = |text: &str| Some(PathBuf::from(text));
    section.check("N35", file_path("file://C:/File"), path("C:/File"));
    section.check("N35", file_path("file://srv/File"), path("srv/File"));
    section.check("N37", file_path(r"file:///srv/C:\File"), path(r"/srv/C:\File"));
    section.check("N38", file_path("file:///RelativeFile"), path("/RelativeFile"));
    section.check("N40", file_path(r"notfile:///C:\File"), None);

    section.end_to_end(&["N01", "N02", "N04", "N05", "N07", "N08", "N11", "N28", "N29", "N34"], "install");
    section.not_met(&["N10"], "a distribution has no icon: there is no start menu to put it in");
    section.not_met(&["N41"], "the update of Sampan itself is not among these rules");
    section.finish([13, 2, 10]);
}

/// Part of the layout of section 15: at most four versions of a flavour, the user's list first, each name
/// once.
#[test]
fn what_is_offered() {
    let versions: Vec<String> =
        (1..=6).map(|n| entry(&format!("debian-{n}"), &format!("Debian {n}"), "u", n == 1)).collect();
    let main = format!(
        r#"{{{}, "Distributions": [{{"Name": "old", "FriendlyName": "Old", "Amd64": true}}]}}"#,
        debian(&versions)
    );
    let own = format!("{{{}}}", debian(&[entry("debian-2", "Mine", "u", false)]));
    let catalog = Catalog { main: manifest(&main), overriding: Some(manifest(&own)) };
    let expected = [
        ("debian-2", "Mine"),
        ("debian-1", "Debian 1"),
        ("debian-3", "Debian 3"),
        ("debian-4", "Debian 4"),
        ("old", "Old"),
    ];
    assert_eq!(catalog.offers(), expected.map(|(name, friendly)| (name.to_owned(), friendly.to_owned())));
}
