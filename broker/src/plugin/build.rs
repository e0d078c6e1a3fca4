//! Builds components from crates that use `plugin-sdk`, and stamps them with a hash of their
//! sources. Not loading or running them. A development command: nothing here runs in a broker
//! that serves.

mod component;
mod contract;
mod described;
mod languages;
mod sources;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

pub use component::{INTERCEPTOR_WIT, PLUGIN_WIT, SERVICE_WIT, TRACER_WIT, WIT, embedded_hash};
pub use described::Kind;
use described::Otherwise;
pub use languages::{Language, build};
pub use sources::{source_hash, source_hash_of};

const TARGET: &str = "wasm32-unknown-unknown";
/// The name of the custom section with the hash of the sources.
const SECTION: &str = "warren:sources";
/// For crates outside of Warren's workspace; inside, `[profile.plugin]` of its manifest counts.
const PROFILE: [&str; 6] = [
    "inherits='release'",
    "debug=false",
    "lto=true",
    "codegen-units=1",
    "panic='abort'",
    "strip=true",
];

/// A component that was built.
#[derive(Debug)]
pub struct Built {
    /// The file's stem, which is the plugin's name.
    pub name: String,
    pub path: PathBuf,
    pub bytes: usize,
    pub source_hash: String,
}

/// Builds every crate below `workspace/plugins` into `out`, as `<name>.wasm`.
pub fn build_builtin(workspace: &Path, out: &Path) -> Result<Vec<Built>> {
    let plugins = workspace.join("plugins");
    let entries = std::fs::read_dir(&plugins).with_context(|| format!("{}", plugins.display()))?;
    let mut crates = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            crates.push(path);
        }
    }
    crates.sort();
    let named = |dir: &PathBuf| {
        // The folder's name: a package may have to be called something else.
        let name = dir.file_name().unwrap_or_default();
        build_as(dir, &out.join(name).with_extension("wasm"))
    };
    crates.iter().map(named).collect()
}

/// Builds the crate in `crate_dir` into `out`, named after its package.
pub fn build_one(crate_dir: &Path, out: &Path) -> Result<Built> {
    let package = Package::read(crate_dir)?;
    let path = out.join(format!("{}.wasm", package.name));
    build_as(crate_dir, &path)
}

/// Builds the crate in `crate_dir` into the file `path`.
pub fn build_as(crate_dir: &Path, path: &Path) -> Result<Built> {
    let crate_dir = crate_dir
        .canonicalize()
        .with_context(|| format!("no crate in {}", crate_dir.display()))?;
    let package = Package::read(&crate_dir)?;
    let module = compile(&package)?;
    let hash = source_hash_of(&package.workspace, &crate_dir)?;
    let mut wrapped = component::wrap(&module, &hash)
        .with_context(|| format!("{} is no Warren plugin", package.name))?;
    let otherwise = Otherwise {
        name: &package.name,
        version: &package.version,
        description: &package.description,
    };
    let manifest = described::manifest(&crate_dir, &otherwise)?;
    component::with_manifest(&mut wrapped, &manifest)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, &wrapped).with_context(|| format!("{}", path.display()))?;
    let stem = path.file_stem().unwrap_or_default();
    Ok(Built {
        name: stem.to_string_lossy().into_owned(),
        path: path.to_owned(),
        bytes: wrapped.len(),
        source_hash: hash,
    })
}

/// The core module of the crate in `crate_dir`, not yet a component.
pub fn core_module(crate_dir: &Path) -> Result<Vec<u8>> {
    compile(&Package::read(crate_dir)?)
}

/// What cargo knows of the crate.
struct Package {
    name: String,
    version: String,
    description: String,
    /// The library's name, which is the built file's stem.
    library: String,
    workspace: PathBuf,
    target: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    version: String,
    description: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<MetadataTarget>,
}

#[derive(Deserialize)]
struct MetadataTarget {
    name: String,
    crate_types: Vec<String>,
}

impl Package {
    fn read(crate_dir: &Path) -> Result<Package> {
        let manifest = crate_dir.join("Cargo.toml").canonicalize();
        let manifest = manifest.with_context(|| format!("no crate in {}", crate_dir.display()))?;
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--no-deps", "--format-version=1"]);
        cargo.arg("--manifest-path").arg(&manifest);
        let output = cargo.output().context("cargo could not be started")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
        let found = metadata
            .packages
            .into_iter()
            .find(|package| package.manifest_path == manifest)
            .with_context(|| format!("{} holds no package", manifest.display()))?;
        let library = found
            .targets
            .into_iter()
            .find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))
            .with_context(|| {
                let name = &found.name;
                format!("{name} needs `crate-type = [\"cdylib\"]` in its [lib] table")
            })?;
        Ok(Package {
            name: found.name,
            version: found.version,
            description: found.description.unwrap_or_default(),
            library: library.name.replace('-', "_"),
            workspace: metadata.workspace_root,
            target: metadata.target_directory.join("warren-plugins"),
        })
    }
}

/// Runs cargo and hands back the core module.
fn compile(package: &Package) -> Result<Vec<u8>> {
    require_target()?;
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&package.workspace)
        .args(["build", "--profile=plugin", "--target", TARGET])
        .arg("--package")
        .arg(&package.name)
        .arg("--target-dir")
        .arg(&package.target)
        .env("CARGO_ENCODED_RUSTFLAGS", rustc_flags(&package.workspace))
        // Flags of this machine's user would make the component differ from everybody else's.
        .env_remove("RUSTFLAGS");
    let manifest = std::fs::read_to_string(package.workspace.join("Cargo.toml"))?;
    if !manifest.contains("[profile.plugin]") {
        for setting in PROFILE {
            cargo
                .arg("--config")
                .arg(format!("profile.plugin.{setting}"));
        }
    }
    if !cargo
        .status()
        .context("cargo could not be started")?
        .success()
    {
        bail!("{} does not compile", package.name);
    }
    let file = package.target.join(TARGET).join("plugin");
    let file = file.join(format!("{}.wasm", package.library));
    std::fs::read(&file).with_context(|| format!("{}", file.display()))
}

/// Flags that keep this machine's paths out of the component: panic messages name source files.
fn rustc_flags(workspace: &Path) -> OsString {
    let mut flags = Vec::new();
    let mut remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    };
    remap(workspace, "workspace");
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    if let Some(cargo_home) = cargo_home {
        remap(&cargo_home, "cargo");
        // The folder below is named after the registry, which need not be the same everywhere.
        let sources = std::fs::read_dir(cargo_home.join("registry/src"));
        for registry in sources.into_iter().flatten().flatten() {
            remap(&registry.path(), "registry");
        }
    }
    flags.join(OsString::from("\u{1f}").as_os_str())
}

fn require_target() -> Result<()> {
    let mut rustc = Command::new("rustc");
    let output = rustc
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("rustc could not be started")?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || !Path::new(&folder).is_dir() {
        bail!("the tool chain is missing: rustup target add {TARGET}");
    }
    Ok(())
}
