//! A running broker process of one test.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Instant;

use tempfile::TempDir;

use super::start::{self, NotStarted, Options, Started};
use super::{Channel, Client, DEADLINE, Http, eventually};

/// A file of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

pub struct Broker {
    /// What the next [`Broker::restart`] starts with.
    pub options: Options,
    home: TempDir,
    started: Started,
    ended: Option<ExitStatus>,
}

impl Broker {
    /// Starts a broker and waits until it is ready.
    #[track_caller]
    pub fn start(options: Options) -> Broker {
        match Self::try_start(options) {
            Ok(broker) => broker,
            Err(failed) => panic!("the broker did not start: {failed:#?}"),
        }
    }

    /// As `start`, for a broker that may refuse to.
    pub fn try_start(options: Options) -> Result<Broker, NotStarted> {
        let home = tempfile::Builder::new()
            .prefix("warren-test-")
            .tempdir()
            .expect("a temporary folder");
        let started = start::start(&options, home.path(), options.port.unwrap_or(0))?;
        Ok(Broker {
            options,
            home,
            started,
            ended: None,
        })
    }

    /// `host:port`
    pub fn address(&self) -> &str {
        &self.started.address
    }

    pub fn port(&self) -> u16 {
        let port = self.address().rsplit(':').next();
        port.and_then(|port| port.parse().ok())
            .expect("an address with a port")
    }

    /// As guest, in `/`.
    pub fn url(&self) -> String {
        self.url_of("guest", "guest", "%2f")
    }

    /// `vhost` is percent-encoded.
    pub fn url_of(&self, user: &str, password: &str, vhost: &str) -> String {
        format!("amqp://{user}:{password}@{}/{vhost}", self.address())
    }

    pub fn pid(&self) -> u32 {
        self.started.child.id()
    }

    pub fn data_dir(&self) -> PathBuf {
        let given = self.options.data_dir.clone();
        given.unwrap_or_else(|| self.home.path().join("data"))
    }

    pub fn plugins_dir(&self) -> PathBuf {
        let given = self.options.plugins_dir.clone();
        given.unwrap_or_else(|| self.home.path().join("plugins"))
    }

    /// The management API as guest; the broker must have been started with it.
    #[track_caller]
    pub fn http(&self) -> Http {
        Http {
            address: self.listener("http"),
            user: "guest".to_owned(),
            password: "guest".to_owned(),
        }
    }

    /// `host:port` of the listener for this protocol, as the log tells it.
    #[track_caller]
    pub fn listener(&self, protocol: &str) -> String {
        let wanted = format!("listening protocol=\"{protocol}\" address=");
        self.logs(&wanted);
        let lines = self.log_lines();
        let line = lines.iter().find_map(|line| line.split_once(&wanted));
        line.map(|(_, address)| address.trim().to_owned())
            .expect("a line that was there")
    }

    /// What this process has logged since it was started.
    pub fn log_lines(&self) -> Vec<String> {
        self.started.log.all()
    }

    /// The log is written by another process: waits for the line.
    #[track_caller]
    pub fn logs(&self, text: &str) {
        let until = Instant::now() + DEADLINE;
        while !self.has_logged(text) {
            let log = self.started.log.tail(40);
            assert!(Instant::now() < until, "nothing about '{text}' in {log:#?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    pub fn has_logged(&self, text: &str) -> bool {
        self.started.log.any(text)
    }

    /// Resident memory in bytes.
    pub fn resident_memory(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The part of it that stands in no file.
    pub fn anonymous_memory(&self) -> u64 {
        self.memory("RssAnon:")
    }

    /// Processor time in hundredths of a second.
    pub fn processor_ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.pid());
        let stat = std::fs::read_to_string(path).expect("the process runs");
        // The name before it may hold anything; utime and stime are the 14th and 15th field.
        let (_, after_name) = stat.rsplit_once(')').expect("a name in brackets");
        let times = after_name.split_whitespace().skip(11).take(2);
        times
            .map(|ticks| ticks.parse::<u64>().expect("ticks"))
            .sum()
    }

    fn memory(&self, of: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with(of));
        let kibibytes: Option<u64> = line
            .and_then(|line| line.split_whitespace().nth(1))
            .and_then(|number| number.parse().ok());
        kibibytes.expect("a size in kB") * 1024
    }

    /// SIGKILL: the broker has no time for last words.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            self.started.child.kill().expect("SIGKILL");
            self.ended = Some(self.started.child.wait().expect("the end"));
        }
    }

    /// SIGTERM, and how the process ended.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait()
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        assert!(self.ended.is_none(), "the broker runs");
        // SAFETY: no memory is involved, and the child has not been waited for, so that the number
        // is still its own.
        let sent = unsafe { libc::kill(self.pid() as libc::pid_t, libc::SIGTERM) };
        assert_eq!(sent, 0, "SIGTERM");
    }

    /// The end of a process that was told to end, or that ends by itself.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        let child = &mut self.started.child;
        eventually(DEADLINE, || child.try_wait().expect("state").is_some());
        let status = child.wait().expect("the end");
        self.ended = Some(status);
        status
    }

    /// Starts again in the same folder and on the same port, with `self.options`, after `kill` or
    /// `stop`.
    #[track_caller]
    pub fn restart(&mut self) {
        if let Err(failed) = self.try_restart() {
            panic!("the broker did not start again: {failed:#?}");
        }
    }

    pub fn try_restart(&mut self) -> Result<(), NotStarted> {
        assert!(self.ended.is_some(), "kill or stop it first");
        let port = self.port();
        let until = Instant::now() + DEADLINE;
        loop {
            match start::start(&self.options, self.home.path(), port) {
                Ok(started) => {
                    self.started = started;
                    self.ended = None;
                    return Ok(());
                }
                // A client's own end of a connection may sit on the port for a moment.
                Err(failed)
                    if Instant::now() < until
                        && failed
                            .log
                            .iter()
                            .any(|line| line.contains("cannot listen on")) => {}
                Err(failed) => return Err(failed),
            }
        }
    }

    /// A connection as guest.
    pub async fn connect(&self) -> Client {
        Client::connect(&self.url()).await
    }

    /// A channel on a connection of its own.
    pub async fn channel(&self) -> Channel {
        self.connect().await.channel().await
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let crashed = match self.ended {
            Some(_) => None,
            None => self.started.child.try_wait().ok().flatten(),
        };
        if let Some(status) = crashed {
            eprintln!(
                "the broker ended by itself: {status}, {:?}",
                status.signal()
            );
        }
        if std::thread::panicking() {
            for line in self.started.log.tail(60) {
                eprintln!("broker: {line}");
            }
        }
        let _ = self.started.child.kill();
        let _ = self.started.child.wait();
    }
}
