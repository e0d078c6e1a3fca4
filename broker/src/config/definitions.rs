//! What an empty store is filled with: virtual hosts, users, permissions. Not how they are kept or
//! checked.

use std::fmt;

use super::section::Section;
use super::tree::Origin;
use super::{Config, values};

pub const GUEST: &str = "guest";
pub const ROOT: &str = "/";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vhost {
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    /// `None` cannot log in with a password.
    pub password: Option<Password>,
    pub tags: Vec<String>,
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

impl Vhost {
    pub fn root() -> Self {
        Vhost {
            name: ROOT.to_owned(),
        }
    }
}

impl User {
    pub fn guest() -> Self {
        User {
            name: GUEST.to_owned(),
            password: Some(Password::Plain(GUEST.to_owned())),
            tags: vec!["administrator".to_owned()],
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
        let name = section.require("name", origin, name);
        vhosts.extend(name.map(|name| Vhost { name }));
    });
    let mut users = Vec::new();
    let users_given = root.list("users", |section, origin| {
        users.extend(user(section, origin));
    });
    let image = ImageDefaults::from(variables);
    config.vhosts = match vhosts_given {
        true => vhosts,
        false => vec![Vhost { name: image.vhost }],
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

fn name(node: &super::tree::Node) -> Result<String, String> {
    match values::text(node)? {
        empty if empty.is_empty() => Err("expected a name, found \"\"".to_owned()),
        name => Ok(name),
    }
}

fn user(section: &mut Section<'_>, origin: &Origin) -> Option<User> {
    let name = section.require("name", origin, name);
    let mut plain = None;
    let mut hash = None;
    let mut tags = Vec::new();
    section.read("password", &mut plain, |node| {
        values::text(node).map(Password::Plain).map(Some)
    });
    section.read("password_hash", &mut hash, |node| {
        values::text(node).map(Password::Hash).map(Some)
    });
    section.read("tags", &mut tags, values::texts);
    if plain.is_some() && hash.is_some() {
        let text = "give either password or password_hash".to_owned();
        section.problem("password", origin.clone(), text);
    }
    Some(User {
        name: name?,
        password: plain.or(hash),
        tags,
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
    let user = user?;
    if !config.users.iter().any(|known| known.name == user) {
        section.problem("user", origin.clone(), format!("there is no user '{user}'"));
    }
    if !config.vhosts.iter().any(|known| known.name == vhost) {
        section.problem(
            "vhost",
            origin.clone(),
            format!("there is no vhost '{vhost}'"),
        );
    }
    Some(permission)
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
