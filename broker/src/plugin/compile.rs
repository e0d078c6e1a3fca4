//! From a component to machine code: what was compiled before is taken from the cache, everything else
//! is compiled by a process of its own. Not what may be compiled (see `check`).

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::Cache;
use super::{engine, service};

/// Machine code serves only the kind of engine that it was made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineKind {
    /// Calls that end: exchange types, tracers.
    Calls,
    /// Services, which wait.
    Services,
}

impl EngineKind {
    fn word(self) -> &'static str {
        match self {
            EngineKind::Calls => "calls",
            EngineKind::Services => "services",
        }
    }

    fn engine(self, stack: usize) -> wasmtime::Result<Engine> {
        match self {
            EngineKind::Calls => engine::new_engine(stack),
            EngineKind::Services => service::new_engine(stack),
        }
    }
}

/// A process that compiles, and puts what it has made into the cache. What it takes of memory, half a
/// gigabyte for an interpreter, goes with it, and so does a compiler that ends badly.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere {
    /// `warren` itself.
    pub program: PathBuf,
    pub kind: EngineKind,
    pub stack: usize,
}

/// How the process ends when the component is at fault. Another end that is not a good one is its own
/// fault (a full disk, another version of the program): then it is compiled here.
const REFUSED: u8 = 3;

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// It is in the cache.
    Well,
    /// The component is at fault.
    Refused(String),
    /// There was no such process, or it made nothing that could be used here.
    NotAtAll,
}

impl Ended {
    fn by(status: ExitStatus, text: &str) -> Ended {
        match status.code() {
            Some(0) => Ended::Well,
            Some(code) if code == i32::from(REFUSED) => Ended::Refused(text.to_owned()),
            Some(code) => {
                tracing::debug!(code, text, "the broker compiles by itself");
                Ended::NotAtAll
            }
            None => Ended::Refused(format!("the compiler gave up ({status})")),
        }
    }
}

impl Elsewhere {
    fn compile(&self, bytes: &[u8], folder: &Path) -> Ended {
        match self.run(bytes, folder) {
            Ok((status, text)) => Ended::by(status, text.trim()),
            Err(error) => {
                tracing::debug!(%error, "no process to compile in");
                Ended::NotAtAll
            }
        }
    }

    fn run(&self, bytes: &[u8], folder: &Path) -> io::Result<(ExitStatus, String)> {
        let mut child = Command::new(&self.program)
            .args(["plugin", "compile", "--engine", self.kind.word()])
            .args(["--stack", &self.stack.to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // It reads all of it before it says anything, or it has ended, which its status tells.
            let _ = input.write_all(bytes);
        }
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status, text))
    }
}

/// What is not in the cache. An error is the reason for the refusal.
pub(super) fn compile(
    engine: &Engine,
    bytes: &[u8],
    cache: Option<&Cache>,
    elsewhere: Option<&Elsewhere>,
) -> Result<Component, String> {
    if let (Some(cache), Some(elsewhere)) = (cache, elsewhere) {
        match elsewhere.compile(bytes, cache.folder()) {
            Ended::Well => {
                if let Some(component) = cache.get(engine, bytes) {
                    return Ok(component);
                }
            }
            Ended::Refused(reason) => return Err(reason),
            Ended::NotAtAll => {}
        }
    }
    let component = compile_here(engine, bytes)?;
    if let Some(cache) = cache
        && let Err(error) = cache.put(engine, bytes, &component)
    {
        tracing::warn!(%error, "a compiled plugin cannot be kept");
    }
    Ok(component)
}

fn compile_here(engine: &Engine, bytes: &[u8]) -> Result<Component, String> {
    let compile = || Component::new(engine, bytes);
    // A bug of the compiler must not end the broker.
    catch_unwind(AssertUnwindSafe(compile))
        .map_err(|_| "the compiler gave up".to_owned())?
        .map_err(|error| format!("it cannot be compiled: {error:#}"))
}

/// `warren plugin compile`: the component comes from `input`. What is wrong with it goes to stderr.
pub fn compile_into(
    folder: &Path,
    kind: EngineKind,
    stack: usize,
    mut input: impl Read,
) -> anyhow::Result<ExitCode> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    let cache = Cache::open(folder)?;
    let engine = kind.engine(stack).map_err(anyhow::Error::msg)?;
    match compile_here(&engine, &bytes) {
        Ok(component) => {
            cache.put(&engine, &bytes, &component)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(reason) => {
            io::stderr().write_all(reason.as_bytes())?;
            Ok(ExitCode::from(REFUSED))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn exited(code: i32, text: &str) -> Ended {
        Ended::by(ExitStatus::from_raw(code << 8), text)
    }

    #[test]
    fn where_the_process_fails_for_reasons_of_its_own_the_broker_compiles() {
        let full = exited(1, "warren: No space left on device");
        assert_eq!(full, Ended::NotAtAll);
        let other_version = exited(2, "error: unrecognized subcommand 'compile'");
        assert_eq!(other_version, Ended::NotAtAll);
    }

    #[test]
    fn a_component_that_is_at_fault_is_not_tried_again_by_the_broker() {
        let refused = exited(REFUSED.into(), "it cannot be compiled");
        assert_eq!(refused, Ended::Refused("it cannot be compiled".to_owned()));
        let killed = Ended::by(ExitStatus::from_raw(9), "");
        assert!(matches!(killed, Ended::Refused(text) if text.starts_with("the compiler gave up")));
    }
}
