//! The hash over everything that a component is made of, so that a test can tell, without a wasm
//! toolchain, whether a committed component was built from the committed source. Not the
//! compiler: another one may build another component from the same source.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What a crate depends on that is a service.
const SERVICE_SDK: &str = "warren-service-sdk";

/// The hash of the built-in plugin `workspace/plugins/<plugin>`.
pub fn source_hash(workspace: &Path, plugin: &str) -> Result<String> {
    source_hash_of(workspace, &workspace.join("plugins").join(plugin))
}

/// The hash of any plugin crate in this workspace: its files, those of `plugin-sdk` and of
/// `wit` where the workspace has them, what the workspace's manifest decides for it, and
/// the locked versions of its own dependencies. Nothing else of the lock file: a dependency of the
/// broker must not make the plugins stale.
pub fn source_hash_of(workspace: &Path, crate_dir: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let sdk = workspace.join("plugin-sdk");
    for (label, folder) in [("plugin", crate_dir), ("sdk", &sdk)] {
        if folder.is_dir() {
            let manifest = folder.join("Cargo.toml");
            // A service outside of Warren's workspace has two files of it without the crate.
            if manifest.is_file() {
                add_file(&mut hash, label, folder, &manifest)?;
            }
            add_folder(&mut hash, label, folder, &folder.join("src"))?;
            let described = folder.join("plugin.toml");
            if described.is_file() {
                add_file(&mut hash, label, folder, &described)?;
            }
        }
    }
    let is_service = std::fs::read_to_string(crate_dir.join("Cargo.toml"))?.contains(SERVICE_SDK);
    if is_service {
        let service_sdk = sdk.join("service");
        if service_sdk.is_dir() {
            add_folder(&mut hash, "sdk", &sdk, &service_sdk)?;
        }
    }
    let packages: &[&str] = match is_service {
        true => &["service"],
        false => &["exchange", "plugin", "tracer", "interceptor"],
    };
    for package in packages {
        let wit = workspace.join("wit").join(package);
        if wit.is_dir() {
            add_folder(&mut hash, "wit", &wit, &wit)?;
        }
    }
    let manifest: toml::Table = read_toml(&workspace.join("Cargo.toml"))?;
    if let Some(profile) = manifest.get("profile").and_then(|all| all.get("plugin")) {
        add(&mut hash, "profile", profile.to_string().as_bytes());
    }
    let package: toml::Table = read_toml(&crate_dir.join("Cargo.toml"))?;
    let name = package
        .get("package")
        .and_then(|package| package.get("name"));
    let name = name.and_then(toml::Value::as_str);
    let name = name.with_context(|| format!("{} names no package", crate_dir.display()))?;
    let lock: Lock = read_toml(&workspace.join("Cargo.lock"))?;
    let closure = lock.closure(name);
    add_shared_dependencies(&mut hash, &manifest, &closure);
    for locked in closure {
        // A crate without a checksum lies in the workspace: its version says nothing of it.
        if let Some(checksum) = &locked.checksum {
            add(&mut hash, "locked", locked.name.as_bytes());
            add(&mut hash, &locked.version, checksum.as_bytes());
        }
    }
    let mut hex = String::new();
    for octet in hash.finalize() {
        write!(hex, "{octet:02x}")?;
    }
    Ok(hex)
}

/// Features of dependencies are chosen in the workspace's manifest and stand in no lock file.
fn add_shared_dependencies(hash: &mut Sha256, manifest: &toml::Table, closure: &BTreeSet<&Locked>) {
    let shared = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(toml::Value::as_table);
    for (name, chosen) in shared.into_iter().flatten() {
        if closure.iter().any(|locked| &locked.name == name) {
            add(hash, name, chosen.to_string().as_bytes());
        }
    }
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Lock {
    /// The package of this name and all it depends on.
    fn closure(&self, name: &str) -> BTreeSet<&Locked> {
        let mut found = BTreeSet::new();
        let mut todo: Vec<&Locked> = self.named(name, None).collect();
        while let Some(locked) = todo.pop() {
            if found.insert(locked) {
                for dependency in &locked.dependencies {
                    // "name", or "name version" where the lock file holds several.
                    let mut words = dependency.split(' ');
                    let name = words.next().unwrap_or_default();
                    todo.extend(self.named(name, words.next()));
                }
            }
        }
        found
    }

    fn named(&self, name: &str, version: Option<&str>) -> impl Iterator<Item = &Locked> {
        self.package.iter().filter(move |locked| {
            locked.name == name && version.is_none_or(|version| locked.version == version)
        })
    }
}

fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{}", path.display()))
}

fn add_folder(hash: &mut Sha256, label: &str, base: &Path, folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            add_folder(hash, label, base, &path)?;
        } else {
            add_file(hash, label, base, &path)?;
        }
    }
    Ok(())
}

fn add_file(hash: &mut Sha256, label: &str, base: &Path, path: &Path) -> Result<()> {
    add(hash, "folder", label.as_bytes());
    for part in path.strip_prefix(base)?.components() {
        add(hash, "part", part.as_os_str().as_encoded_bytes());
    }
    let content = std::fs::read(path).with_context(|| format!("{}", path.display()))?;
    add(hash, "content", &content);
    Ok(())
}

/// Lengths in front, so that no two lists of parts give the same bytes.
fn add(hash: &mut Sha256, label: &str, bytes: &[u8]) {
    for part in [label.as_bytes(), bytes] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
}
