//! A RabbitMQ of our own to compare with: its folder, its ports, its node, and its end. Nothing is
//! installed here.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::connection::{Address, Connection};

/// An Erlang runtime on a busy machine takes its time.
const START: Duration = Duration::from_secs(120);

pub struct RabbitMq {
    child: Child,
    folder: PathBuf,
    node: String,
    pub address: Address,
}

/// Whether it can be started here.
pub fn server() -> Option<PathBuf> {
    let known = [
        "/usr/sbin/rabbitmq-server",
        "/usr/lib/rabbitmq/bin/rabbitmq-server",
    ];
    let mut places: Vec<PathBuf> = known.iter().map(PathBuf::from).collect();
    if let Some(path) = std::env::var_os("PATH") {
        places.extend(std::env::split_paths(&path).map(|dir| dir.join("rabbitmq-server")));
    }
    places.into_iter().find(|place| place.is_file())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl RabbitMq {
    /// Starts it in `folder` and waits until it answers.
    pub fn start(server: &Path, folder: &Path) -> Result<RabbitMq> {
        let [port, distribution] = [free_port()?, free_port()?];
        for name in ["mnesia", "log"] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        let config = format!("listeners.tcp.default = 127.0.0.1:{port}\nloopback_users = none\n");
        std::fs::write(folder.join("rabbitmq.conf"), config)?;
        std::fs::write(folder.join("enabled_plugins"), "[].")?;
        // Debian's wrapper goes on as the user rabbitmq, which then must own the folder.
        let owned = Command::new("chown")
            .args(["-R", "rabbitmq"])
            .arg(folder)
            .status();
        let _ = owned.context("chown")?;
        let node = format!("differential-{port}@localhost");
        let child = Command::new(server)
            .env("RABBITMQ_NODENAME", &node)
            .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env(
                "RABBITMQ_ENABLED_PLUGINS_FILE",
                folder.join("enabled_plugins"),
            )
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(folder.join("out"))?)
            .stderr(Stdio::null())
            .spawn()
            .context("rabbitmq-server")?;
        let address = Address::parse(&format!("amqp://guest:guest@127.0.0.1:{port}"))?;
        let mut peer = RabbitMq {
            child,
            folder: folder.to_owned(),
            node,
            address,
        };
        peer.wait()?;
        Ok(peer)
    }

    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + START;
        while Connection::open(&self.address, 131_072).is_err() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > until {
                let out = std::fs::read_to_string(self.folder.join("out")).unwrap_or_default();
                bail!("RabbitMQ did not start: {ended:?}\n{out}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        let stop = Command::new("rabbitmqctl")
            .args(["-q", "-n", &self.node, "stop"])
            .status();
        if !stop.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
