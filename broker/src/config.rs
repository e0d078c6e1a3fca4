//! The broker's configuration as plain data, out of a TOML file, the environment and the command
//! line. Pure: files and variables are read by the caller. What a setting does is said where it is
//! used.

mod definitions;
mod policies;
mod section;
mod tls;
mod tree;
mod values;
mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::amqp::frame::FRAME_MIN_SIZE;
use crate::auth::{Anonymous, Mechanism};
use crate::plugin::{Intercepts, PluginSettings};
use crate::tls::TlsOptions;

pub use definitions::{Password, Permission, TopicPermission, User, Vhost};
pub use policies::VhostPolicy;
use section::{Problems, Section};
pub use tree::Origin;

/// What the configuration is made of; later ones override earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Name (for messages) and text.
    pub file: Option<(String, String)>,
    /// All variables of the environment; those that are ours are picked out.
    pub variables: Vec<(String, String)>,
    /// `section.key=value`, in order.
    pub set: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub plugins_dir: PathBuf,
    /// These users may log in from this machine only.
    pub loopback_users: Vec<String>,
    pub amqp: Amqp,
    pub management: Listener,
    /// Names under which browsers may ask for the management pages, besides addresses and the
    /// machine's own name.
    pub management_hosts: Vec<String>,
    pub prometheus: Listener,
    pub limits: Limits,
    /// One for each `[plugins.<name>]`.
    pub plugins: BTreeMap<String, PluginSettings>,
    /// Used only while the store is empty, as is everything below but the unknown variables.
    pub vhosts: Vec<Vhost>,
    pub users: Vec<User>,
    pub permissions: Vec<Permission>,
    pub topic_permissions: Vec<TopicPermission>,
    pub policies: Vec<VhostPolicy>,
    /// Variables that look like ours and are not: worth a line in the log, but no error, since
    /// container platforms invent such names.
    pub unknown_variables: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Amqp {
    /// `host:port`; empty is off.
    pub listen: Vec<String>,
    /// The same, behind TLS.
    pub tls_listen: Vec<String>,
    pub tls: TlsOptions,
    /// Offered in this order; EXTERNAL behind TLS only.
    pub auth_mechanisms: Vec<Mechanism>,
    /// Who ANONYMOUS is.
    pub anonymous: Anonymous,
    /// Seconds; what the server proposes. 0 is off.
    pub heartbeat: u16,
    /// Envelope included. 0 is no limit.
    pub frame_max: u32,
    /// 0 is no limit.
    pub channel_max: u16,
    /// 0 is no limit.
    pub consumer_max_per_channel: u32,
    pub max_message_size: u64,
    pub handshake_timeout: Duration,
    pub max_connections: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    pub listen: Vec<String>,
    /// The same, behind TLS.
    pub tls_listen: Vec<String>,
    pub tls: TlsOptions,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Above this publishers are stopped.
    pub memory_high_watermark: Watermark,
    /// Below this publishers are stopped.
    pub disk_free_limit: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Watermark {
    /// Of the memory that this machine (or container) has.
    Fraction(f64),
    Bytes(u64),
}

impl Watermark {
    pub fn of(self, total: u64) -> u64 {
        match self {
            Watermark::Fraction(fraction) => (total as f64 * fraction) as u64,
            Watermark::Bytes(bytes) => bytes,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let listen = |address: &str| vec![address.to_owned()];
        Config {
            data_dir: "warren-data".into(),
            plugins_dir: "plugins".into(),
            loopback_users: vec![definitions::GUEST.to_owned()],
            amqp: Amqp {
                listen: listen("127.0.0.1:5672"),
                tls_listen: Vec::new(),
                tls: TlsOptions::default(),
                // RabbitMQ 4's, and EXTERNAL, which takes a certificate that somebody has vouched for.
                auth_mechanisms: vec![
                    Mechanism::Plain,
                    Mechanism::Amqplain,
                    Mechanism::Anonymous,
                    Mechanism::External,
                ],
                anonymous: Anonymous::default(),
                heartbeat: 60,
                frame_max: 131_072,
                channel_max: 2047,
                consumer_max_per_channel: 0,
                max_message_size: 16 << 20,
                handshake_timeout: Duration::from_secs(10),
                // A connection costs a file descriptor and some ten KiB: this is where one machine
                // ends, not where a careful user would set it.
                max_connections: 65_536,
            },
            management: Listener::on("127.0.0.1:15672"),
            management_hosts: Vec::new(),
            prometheus: Listener::on("127.0.0.1:15692"),
            limits: Limits {
                memory_high_watermark: Watermark::Fraction(0.6),
                disk_free_limit: 1 << 30,
            },
            plugins: BTreeMap::new(),
            vhosts: vec![Vhost::root()],
            users: vec![User::guest()],
            permissions: vec![Permission::all(definitions::GUEST, definitions::ROOT)],
            topic_permissions: Vec::new(),
            policies: Vec::new(),
            unknown_variables: Vec::new(),
        }
    }
}

impl Listener {
    fn on(address: &str) -> Listener {
        Listener {
            listen: vec![address.to_owned()],
            tls_listen: Vec::new(),
            tls: TlsOptions::default(),
        }
    }

    fn read(&mut self, section: &mut Section<'_>) {
        section.read("listen", &mut self.listen, values::addresses);
        section.read("tls_listen", &mut self.tls_listen, values::addresses);
        section.section("tls", |section| tls::read(&mut self.tls, section));
    }
}

/// Everything that is wrong, one problem a line.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub origin: Option<Origin>,
    /// The full path of the key; empty when it is no key that is wrong.
    pub key: String,
    pub text: String,
}

impl ConfigError {
    pub fn one(problem: Problem) -> Self {
        ConfigError {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(formatter, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.text)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            if position > 0 {
                formatter.write_str("\n")?;
            }
            problem.fmt(formatter)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
        let mut entries = match &sources.file {
            Some((name, text)) => tree::parse_file(name, text)?,
            None => tree::Entries::new(),
        };
        let mut config = Config::default();
        let mut problems = Problems {
            unknown_variables: variables::lay_over(&mut entries, &sources.variables),
            ..Problems::default()
        };
        for text in &sources.set {
            problems.list.extend(lay_over_set(&mut entries, text));
        }
        let mut root = Section::new(String::new(), entries, &mut problems);
        config.read(&mut root);
        definitions::read(&mut config, &mut root, &sources.variables);
        policies::read(&mut config, &mut root);
        root.finish();
        problems.list.extend(tls::missing(&config));
        if problems.list.is_empty() {
            config.unknown_variables = problems.unknown_variables;
            Ok(config)
        } else {
            Err(ConfigError {
                problems: problems.list,
            })
        }
    }

    fn read(&mut self, root: &mut Section<'_>) {
        root.read("data_dir", &mut self.data_dir, |node| {
            values::text(node).map(PathBuf::from)
        });
        root.read("plugins_dir", &mut self.plugins_dir, |node| {
            values::text(node).map(PathBuf::from)
        });
        root.read("loopback_users", &mut self.loopback_users, values::texts);
        let mut options = TlsOptions::default();
        root.section("tls", |section| tls::read(&mut options, section));
        self.amqp.tls = options.clone();
        self.management.tls = options.clone();
        self.prometheus.tls = options;
        root.section("amqp", |section| self.amqp.read(section));
        root.section("management", |section| {
            section.read("hosts", &mut self.management_hosts, values::texts);
            self.management.read(section);
        });
        root.section("prometheus", |section| self.prometheus.read(section));
        root.section("limits", |section| self.limits.read(section));
        root.named("plugins", |name, section| {
            let mut plugin = PluginSettings::default();
            read_plugin(&mut plugin, section);
            self.plugins.insert(name.to_owned(), plugin);
        });
    }
}

fn lay_over_set(entries: &mut tree::Entries, text: &str) -> Option<Problem> {
    let origin = Origin::CommandLine(text.to_owned());
    match text.split_once('=') {
        Some((path, value)) if !path.trim().is_empty() => {
            let path: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
            tree::lay_over(entries, &path, value, &origin);
            None
        }
        Some(_) | None => Some(Problem {
            origin: Some(origin),
            key: String::new(),
            text: "expected section.key=value".to_owned(),
        }),
    }
}

impl Amqp {
    fn read(&mut self, section: &mut Section<'_>) {
        section.read("listen", &mut self.listen, values::addresses);
        section.read("tls_listen", &mut self.tls_listen, values::addresses);
        section.section("tls", |section| tls::read(&mut self.tls, section));
        section.read("auth_mechanisms", &mut self.auth_mechanisms, mechanisms);
        let Anonymous { user, password } = &mut self.anonymous;
        section.read("anonymous_login_user", user, values::text);
        section.read("anonymous_login_pass", password, values::text);
        section.read("heartbeat", &mut self.heartbeat, values::heartbeat);
        section.read(
            "frame_max",
            &mut self.frame_max,
            |node| match values::bytes_u32(node)? {
                small @ 1..FRAME_MIN_SIZE => Err(format!(
                    "expected 0 or at least {FRAME_MIN_SIZE}, found {small}"
                )),
                size => Ok(size),
            },
        );
        section.read("channel_max", &mut self.channel_max, values::number);
        section.read(
            "consumer_max_per_channel",
            &mut self.consumer_max_per_channel,
            values::number,
        );
        section.read(
            "max_message_size",
            &mut self.max_message_size,
            values::bytes,
        );
        section.read(
            "handshake_timeout",
            &mut self.handshake_timeout,
            values::duration,
        );
        section.read("max_connections", &mut self.max_connections, values::number);
    }
}

impl Limits {
    fn read(&mut self, section: &mut Section<'_>) {
        section.read(
            "memory_high_watermark",
            &mut self.memory_high_watermark,
            values::watermark,
        );
        section.read("disk_free_limit", &mut self.disk_free_limit, values::bytes);
    }
}

fn mechanisms(node: &tree::Node) -> Result<Vec<Mechanism>, String> {
    let names = values::texts(node)?;
    let parse = |name: &String| {
        Mechanism::parse(name).ok_or_else(|| {
            let known = Mechanism::ALL.map(Mechanism::name).join(", ");
            format!("expected some of {known}, found \"{name}\"")
        })
    };
    names.iter().map(parse).collect()
}

fn read_plugin(plugin: &mut PluginSettings, section: &mut Section<'_>) {
    section.read("enabled", &mut plugin.enabled, values::boolean);
    section.read("memory", &mut plugin.memory, |node| {
        values::bytes(node).map(Some)
    });
    section.read("route_timeout", &mut plugin.route_timeout, |node| {
        values::duration(node).map(Some)
    });
    section.read("bind_timeout", &mut plugin.bind_timeout, |node| {
        values::duration(node).map(Some)
    });
    section.read("result_bytes", &mut plugin.result_bytes, |node| {
        values::bytes(node).map(Some)
    });
    section.read("stack", &mut plugin.stack, |node| {
        values::number_of_bytes(node).map(Some)
    });
    section.read("max_instances", &mut plugin.max_instances, |node| {
        values::number(node).map(Some)
    });
    section.read("max_exchanges", &mut plugin.max_exchanges, |node| {
        values::number(node).map(Some)
    });
    section.read("max_bindings", &mut plugin.max_bindings, |node| {
        values::number(node).map(Some)
    });
    section.read("state_keys", &mut plugin.state_keys, |node| {
        values::number(node).map(Some)
    });
    section.read("state_bytes", &mut plugin.state_bytes, |node| {
        values::bytes(node).map(Some)
    });
    section.read("log_lines", &mut plugin.log_lines, |node| {
        values::number(node).map(Some)
    });
    section.read("observe_timeout", &mut plugin.observe_timeout, |node| {
        values::duration(node).map(Some)
    });
    section.read("observe_every", &mut plugin.observe_every, |node| {
        values::duration(node).map(Some)
    });
    section.read("file_bytes", &mut plugin.file_bytes, |node| {
        values::bytes(node).map(Some)
    });
    section.read("file_count", &mut plugin.file_count, |node| {
        values::number(node).map(Some)
    });
    section.list("intercepts", |section, origin| {
        let vhost = section.require("vhost", origin, values::text);
        let mut exchange = None;
        section.read("exchange", &mut exchange, |node| {
            values::text(node).map(Some)
        });
        if let Some(vhost) = vhost {
            plugin.intercepts.push(Intercepts { vhost, exchange });
        }
    });
    section.read("on_failure", &mut plugin.on_failure, values::on_failure);
    section.read("unavailable", &mut plugin.unavailable, values::unavailable);
    section.read("grants", &mut plugin.grants, values::texts);
    section.read("config", &mut plugin.config, |node| Ok(node.to_json()));
}

#[cfg(test)]
mod tests;
