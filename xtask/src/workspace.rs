//! The workspace as the gates see it: what cargo says about it, and the text of its files.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::tools;

/// Folders whose content is made, not written.
const MADE: [&str; 4] = [".git", "target", "dist", "node_modules"];

/// Everything a gate may look at.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) metadata: Metadata,
    pub(crate) files: Vec<SourceFile>,
}

/// One text file of the repository.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Relative to the root of the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The part of `cargo metadata` that the gates read.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) workspace_root: PathBuf,
    pub(crate) resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) req: String,
    /// Where it lies, if it is one of our own.
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) features: Vec<String>,
}

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask lies in the folder of the workspace").to_owned()
}

impl Workspace {
    /// Asks cargo and reads the files.
    pub(crate) fn load() -> Result<Self> {
        let root = root();
        let output = tools::cargo(&root)
            .args(["metadata", "--format-version", "1"])
            .output()
            .context("cannot start cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata = serde_json::from_slice(&output.stdout).context("cannot read cargo's metadata")?;
        let mut files = Vec::new();
        collect(&root, &root, &mut files)
            .with_context(|| format!("cannot read the files below {}", root.display()))?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { metadata, files })
    }

    /// The packages of this workspace, without those they use.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        let ids = &self.metadata.workspace_members;
        self.metadata.packages.iter().filter(|package| ids.contains(&package.id))
    }

    /// The text of the file at `path`, absolute or relative to the root.
    pub(crate) fn text(&self, path: &Path) -> Option<&str> {
        let path = path.strip_prefix(&self.metadata.workspace_root).unwrap_or(path);
        self.files.iter().find(|file| Path::new(&file.path) == path).map(|file| file.text.as_str())
    }

    /// All Rust files.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| Path::new(&file.path).extension().is_some_and(|end| end == "rs"))
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        // Also files: `.git` is one in a second work tree of a repository.
        if MADE.iter().any(|made| entry.file_name() == *made) {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            // What is not text is not for the gates.
            let Ok(text) = String::from_utf8(fs::read(&path)?) else { continue };
            let relative = path.strip_prefix(root).unwrap_or(&path);
            files.push(SourceFile { path: relative.to_string_lossy().into_owned(), text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_not_read() {
        let root = tempfile::TempDir::new().unwrap();
        fs::create_dir_all(root.path().join("target/debug")).unwrap();
        for name in [".git", "target/debug/a.rs", "kept.rs"] {
            fs::File::create(root.path().join(name)).unwrap();
        }
        let mut files = Vec::new();
        collect(root.path(), root.path(), &mut files).unwrap();
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["kept.rs"]);
    }
}

#[cfg(test)]
pub(crate) mod sample {
    //! Small made-up workspaces with which each gate proves that it can fail.

    use std::path::Path;

    use serde_json::{Value, json};

    use super::{SourceFile, Workspace};

    /// A workspace of these packages (made by [`package`]) and files.
    pub(crate) fn workspace(packages: &[Value], files: &[(&str, &str)]) -> Workspace {
        let members: Vec<_> = packages
            .iter()
            .filter(|package| package["member"] == true)
            .map(|package| package["id"].clone())
            .collect();
        let nodes: Vec<_> = packages
            .iter()
            .map(|package| json!({"id": package["id"], "features": package["features"]}))
            .collect();
        let metadata = json!({
            "packages": packages,
            "workspace_members": members,
            "workspace_root": "/w",
            "resolve": {"nodes": nodes},
        });
        Workspace {
            metadata: serde_json::from_value(metadata).unwrap(),
            files: files
                .iter()
                .map(|(path, text)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() })
                .collect(),
        }
    }

    /// A member at `folder` that depends on `ours` (by name) and on `theirs` (name and requirement).
    pub(crate) fn package(folder: &str, name: &str, ours: &[&str], theirs: &[(&str, &str)]) -> Value {
        let ours = ours.iter().map(|name| json!({"name": name, "req": "*", "path": format!("/w/{name}")}));
        let theirs = theirs.iter().map(|(name, req)| json!({"name": name, "req": req, "path": null}));
        json!({
            "id": name,
            "member": true,
            "name": name,
            "features": [],
            "manifest_path": Path::new("/w").join(folder).join("Cargo.toml"),
            "dependencies": ours.chain(theirs).collect::<Vec<_>>(),
            "targets": [{"kind": ["lib"], "src_path": Path::new("/w").join(folder).join("src/lib.rs")}],
        })
    }

    /// A package from elsewhere, built with `features`.
    pub(crate) fn foreign(name: &str, features: &[&str]) -> Value {
        let mut package = package(name, name, &[], &[]);
        package["member"] = json!(false);
        package["features"] = json!(features);
        package
    }
}
