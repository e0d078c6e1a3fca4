//! How a broker process is started: its options, its folders, the wait for its ready line.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::DEADLINE;

/// What to start. `Default` is a broker on a free port with a temporary folder.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Instead of a temporary one.
    pub data_dir: Option<PathBuf>,
    /// Instead of an empty one.
    pub plugins_dir: Option<PathBuf>,
    /// Text of the configuration file.
    pub config: Option<String>,
    /// `section.key=value`
    pub set: Vec<String>,
    pub env: Vec<(String, String)>,
    /// A free one without.
    pub port: Option<u16>,
    /// Soft and hard limit of file descriptors.
    pub descriptors: Option<u64>,
}

impl Options {
    /// With one more `section.key=value`.
    pub fn set(mut self, setting: impl Into<String>) -> Self {
        self.set.push(setting.into());
        self
    }

    /// With the management API and the metrics, on free ports.
    pub fn managed(self) -> Self {
        self.set("management.listen=127.0.0.1:0")
            .set("prometheus.listen=127.0.0.1:0")
    }

    pub fn config(mut self, text: impl Into<String>) -> Self {
        self.config = Some(text.into());
        self
    }
}

/// A process that ended, or said nothing, instead of getting ready.
#[derive(Debug)]
pub struct NotStarted {
    /// None: it ran on without a ready line and was killed.
    pub status: Option<ExitStatus>,
    pub log: Vec<String>,
}

/// Lines a process has written.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn all(&self) -> Vec<String> {
        self.lock().clone()
    }

    pub fn any(&self, text: &str) -> bool {
        self.lock().iter().any(|line| line.contains(text))
    }

    /// The last ones, for the output of a test that fails.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lock();
        let tail: VecDeque<&String> = lines.iter().rev().take(count).collect();
        tail.into_iter().rev().cloned().collect()
    }

    fn collect(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                lines.lock().push(line);
            }
        })
    }
}

pub(super) struct Started {
    pub child: Child,
    /// `host:port`
    pub address: String,
    pub log: Lines,
}

/// The broker of the same profile as this test.
pub fn binary() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this test");
    let profile = this.parent().and_then(Path::parent).expect("target folder");
    let binary = profile.join("warren");
    assert!(
        binary.is_file(),
        "there is no {}: run `cargo build --release` first, and the tests with --release",
        binary.display()
    );
    binary
}

fn command(options: &Options, home: &Path, port: u16) -> Command {
    let within = |given: &Option<PathBuf>, name: &str| match given {
        Some(dir) => dir.clone(),
        None => home.join(name),
    };
    let data = within(&options.data_dir, "data");
    let plugins = within(&options.plugins_dir, "plugins");
    std::fs::create_dir_all(&plugins).expect("a folder for plugins");
    let mut command = Command::new(binary());
    command.arg("--data-dir").arg(data);
    command.arg("--plugins-dir").arg(plugins);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    if let Some(text) = &options.config {
        let file = home.join("warren.toml");
        std::fs::write(&file, text).expect("a configuration file");
        command.arg("--config").arg(file);
    }
    // Brokers side by side would meet on these ports.
    for setting in ["management.listen=", "prometheus.listen="] {
        command.args(["--set", setting]);
    }
    for setting in &options.set {
        command.args(["--set", setting]);
    }
    for (name, _) in std::env::vars().filter(|(name, _)| is_ours(name)) {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1");
    command.envs(options.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(home);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    if let Some(count) = options.descriptors {
        limit_descriptors(&mut command, count);
    }
    command
}

/// What is set in the environment of the tests is not meant for their brokers; the log level is.
fn is_ours(name: &str) -> bool {
    let prefixes = ["WARREN_", "RABBITMQ_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) && name != "WARREN_LOG"
}

fn limit_descriptors(command: &mut Command, count: u64) {
    let limit = libc::rlimit {
        rlim_cur: count,
        rlim_max: count,
    };
    let set = move || {
        // SAFETY: a system call that reads one struct, which lives as long as this closure.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec only `setrlimit` is called, which is async-signal-safe and
    // allocates nothing.
    unsafe { command.pre_exec(set) };
}

/// Starts the process and waits for its ready line.
pub(super) fn start(options: &Options, home: &Path, port: u16) -> Result<Started, NotStarted> {
    let mut child = command(options, home, port).spawn().expect("warren starts");
    let log = Lines::default();
    let said = Lines::default();
    let mut readers = Vec::new();
    readers.extend(child.stderr.take().map(|stream| log.collect(stream)));
    readers.extend(child.stdout.take().map(|stream| said.collect(stream)));
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(address) = said.all().iter().find_map(|line| ready(line)) {
            let started = Started {
                child,
                address,
                log,
            };
            return Ok(started);
        }
        let status = child.try_wait().expect("the state of the process");
        if status.is_some() || Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            for reader in readers {
                let _ = reader.join();
            }
            let log = [said.all(), log.all()].concat();
            return Err(NotStarted { status, log });
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// The address in `Warren 0.1.0 is ready on 127.0.0.1:5672 with plugins ...`.
fn ready(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" is ready on ")?;
    let (address, _) = rest.split_once(' ')?;
    Some(address.trim_end_matches(',').to_owned())
}
