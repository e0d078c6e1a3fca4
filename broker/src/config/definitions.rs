//! What an empty store is filled with: virtual hosts, users, permissions. Policies are in
//! `policies.rs`. Not how they are kept or checked.

use std::fmt;

use super::section::Section;
use super::tree::Origin;
use super::{Config, values};
use crate::auth::{self, UserLimits};
use crate::vhost::{Metadata, VhostLimits};

pub const GUEST: &str = "guest";
pub const ROOT: &str = "/";

const QUEUE_TYPES: [&str; 3] = ["classic", "quorum", "stream"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vhost {
    pub name: String,
    pub metadata: Metadata,
    pub limits: VhostLimits,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    /// `None` cannot log in with a password.
    pub password: Option<Password>,
    pub tags: Vec<String>,
    pub limits: UserLimits,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    Plain(String),
    /// base64 of salt and SHA-256, as RabbitMQ's definitions have it.
    Hash(String),
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Password::Plain(_) => "Plain(..)",
            Password::Hash(_) => "Hash(..)",
        })
    }
}

/// Regular expressions; an empty one matches nothing but the empty name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    pub user: String,
    pub vhost: String,
    pub configure: String,
    pub write: String,
    pub read: String,
}

/// Regular expressions over the routing keys of one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermission {
    pub user: String,
    pub vhost: String,
    pub exchange: String,
    pub write: String,
    pub read: String,
}

impl Vhost {
    pub fn root() -> Self {
        Vhost::named(ROOT.to_owned())
    }

    fn named(name: String) -> Self {
        Vhost {
            name,
            ..Vhost::default()
        }
    }
}

impl User {
    pub fn guest() -> Self {
        User {
            name: GUEST.to_owned(),
            password: Some(Password::Plain(GUEST.to_owned())),
            tags: vec!["administrator".to_owned()],
            limits: UserLimits::default(),
        }
    }
}

impl Permission {
    pub fn all(user: &str, vhost: &str) -> Self {
        let all = || ".*".to_owned();
        Permission {
            user: user.to_owned(),
            vhost: vhost.to_owned(),
            configure: all(),
            write: all(),
            read: all(),
        }
    }
}

pub fn read(config: &mut Config, root: &mut Section<'_>, variables: &[(String, String)]) {
    let mut vhosts = Vec::new();
    let vhosts_given = root.list("vhosts", |section, origin| {
        vhosts.extend(vhost(section, origin));
    });
    let mut users = Vec::new();
    let users_given = root.list("users", |section, origin| {
        users.extend(user(section, origin));
    });
    let image = ImageDefaults::from(variables);
    config.vhosts = match vhosts_given {
        true => vhosts,
        false => vec![Vhost::named(image.vhost)],
    };
    config.users = match users_given {
        true => users,
        false => vec![User {
            name: image.user,
            password: Some(Password::Plain(image.password)),
            ..User::guest()
        }],
    };
    let mut permissions = Vec::new();
    let given = root.list("permissions", |section, origin| {
        permissions.extend(permission(section, origin, config));
    });
    config.permissions = match (given, users_given) {
        (true, _) => permissions,
        // Users of one's own without permissions have none.
        (false, true) => Vec::new(),
        (false, false) => default_permissions(config),
    };
    let mut topics = Vec::new();
    root.list("topic_permissions", |section, origin| {
        topics.extend(topic_permission(section, origin, config));
    });
    config.topic_permissions = topics;
}

fn default_permissions(config: &Config) -> Vec<Permission> {
    let mut permissions = Vec::new();
    for user in &config.users {
        for vhost in &config.vhosts {
            permissions.push(Permission::all(&user.name, &vhost.name));
        }
    }
    permissions
}

pub(super) fn name(node: &super::tree::Node) -> Result<String, String> {
    match values::text(node)? {
        empty if empty.is_empty() => Err("expected a name, found \"\"".to_owned()),
        name => Ok(name),
    }
}

fn vhost(section: &mut Section<'_>, origin: &Origin) -> Option<Vhost> {
    let name = section.require("name", origin, name);
    let mut metadata = Metadata::default();
    let mut limits = VhostLimits::default();
    section.read("description", &mut metadata.description, values::text);
    section.read("tags", &mut metadata.tags, values::texts);
    section.read(
        "default_queue_type",
        &mut metadata.default_queue_type,
        |node| match values::text(node)? {
            known if QUEUE_TYPES.contains(&known.as_str()) => Ok(Some(known)),
            other => Err(format!(
                "expected one of {}, found \"{other}\"",
                QUEUE_TYPES.join(", ")
            )),
        },
    );
    section.read(
        "protected_from_deletion",
        &mut metadata.protected_from_deletion,
        values::boolean,
    );
    section.read("max_connections", &mut limits.max_connections, limit);
    section.read("max_queues", &mut limits.max_queues, limit);
    Some(Vhost {
        name: name?,
        metadata,
        limits,
    })
}

/// Negative is no limit.
fn limit(node: &super::tree::Node) -> Result<Option<i64>, String> {
    values::number(node).map(Some)
}

fn user(section: &mut Section<'_>, origin: &Origin) -> Option<User> {
    let name = section.require("name", origin, name);
    let mut plain = None;
    let mut hash = None;
    let mut tags = Vec::new();
    let mut limits = UserLimits::default();
    section.read("password", &mut plain, |node| {
        values::text(node).map(Password::Plain).map(Some)
    });
    section.read("password_hash", &mut hash, |node| {
        values::text(node).map(Password::Hash).map(Some)
    });
    section.read("tags", &mut tags, values::texts);
    section.read("max_connections", &mut limits.max_connections, limit);
    section.read("max_channels", &mut limits.max_channels, limit);
    if plain.is_some() && hash.is_some() {
        let text = "give either password or password_hash".to_owned();
        section.problem("password", origin.clone(), text);
    }
    Some(User {
        name: name?,
        password: plain.or(hash),
        tags,
        limits,
    })
}

fn permission(section: &mut Section<'_>, origin: &Origin, config: &Config) -> Option<Permission> {
    let user = section.require("user", origin, name);
    let mut vhost = ROOT.to_owned();
    section.read("vhost", &mut vhost, name);
    let mut permission = Permission::all(user.as_deref().unwrap_or_default(), &vhost);
    section.read("configure", &mut permission.configure, expression);
    section.read("write", &mut permission.write, expression);
    section.read("read", &mut permission.read, expression);
    check_user(section, origin, config, &user?);
    check_vhost(section, origin, config, &vhost);
    Some(permission)
}

fn topic_permission(
    section: &mut Section<'_>,
    origin: &Origin,
    config: &Config,
) -> Option<TopicPermission> {
    let user = section.require("user", origin, name);
    let exchange = section.require("exchange", origin, name);
    let mut vhost = ROOT.to_owned();
    section.read("vhost", &mut vhost, name);
    let mut write = ".*".to_owned();
    let mut read = ".*".to_owned();
    section.read("write", &mut write, topic_expression);
    section.read("read", &mut read, topic_expression);
    let user = user?;
    check_user(section, origin, config, &user);
    check_vhost(section, origin, config, &vhost);
    Some(TopicPermission {
        user,
        vhost,
        exchange: exchange?,
        write,
        read,
    })
}

fn check_user(section: &mut Section<'_>, origin: &Origin, config: &Config, user: &str) {
    if !config.users.iter().any(|known| known.name == user) {
        section.problem("user", origin.clone(), format!("there is no user '{user}'"));
    }
}

pub(super) fn check_vhost(
    section: &mut Section<'_>,
    origin: &Origin,
    config: &Config,
    vhost: &str,
) {
    if !config.vhosts.iter().any(|known| known.name == vhost) {
        let text = format!("there is no vhost '{vhost}'");
        section.problem("vhost", origin.clone(), text);
    }
}

fn topic_expression(node: &super::tree::Node) -> Result<String, String> {
    let text = values::text(node)?;
    match auth::is_topic_pattern(&text) {
        true => Ok(text),
        false => Err(format!("\"{text}\" is not a regular expression")),
    }
}

fn expression(node: &super::tree::Node) -> Result<String, String> {
    let text = values::text(node)?;
    match regex::Regex::new(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(format!("\"{text}\" is not a regular expression")),
    }
}

/// What RabbitMQ's container image reads; only where the file names no users or vhosts.
struct ImageDefaults {
    user: String,
    password: String,
    vhost: String,
}

impl ImageDefaults {
    fn from(variables: &[(String, String)]) -> Self {
        let variable = |name: &str, default: &str| {
            variables
                .iter()
                .find(|(found, _)| found == name)
                .map_or(default, |(_, value)| value)
                .to_owned()
        };
        ImageDefaults {
            user: variable("RABBITMQ_DEFAULT_USER", GUEST),
            password: variable("RABBITMQ_DEFAULT_PASS", GUEST),
            vhost: variable("RABBITMQ_DEFAULT_VHOST", ROOT),
        }
    }
}
