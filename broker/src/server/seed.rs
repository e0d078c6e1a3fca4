//! Users, permissions, virtual hosts and policies out of the configuration, for a store that has
//! none yet.

use anyhow::Context as _;

use crate::auth::{PasswordHash, PermissionRow, Row, TopicPermissionRow, UserRow};
use crate::config::{Config, Password, User};
use crate::vhost::Seed;

pub(super) fn vhosts(config: &Config) -> Seed {
    let vhosts = config.vhosts.iter();
    let policies = config.policies.iter();
    Seed {
        vhosts: vhosts
            .map(|vhost| (vhost.name.clone(), vhost.metadata.clone(), vhost.limits))
            .collect(),
        policies: policies
            .map(|policy| {
                let vhost = policy.vhost.clone();
                (vhost, policy.origin, policy.stated.clone())
            })
            .collect(),
    }
}

pub(super) fn users(config: &Config) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for user in &config.users {
        rows.push(Row::User(UserRow {
            name: user.name.clone(),
            password_hash: password_hash(user)?,
            tags: user.tags.clone(),
            limits: user.limits,
        }));
    }
    for permission in &config.permissions {
        rows.push(Row::Permission(PermissionRow {
            user: permission.user.clone(),
            vhost: permission.vhost.clone(),
            configure: permission.configure.clone(),
            write: permission.write.clone(),
            read: permission.read.clone(),
        }));
    }
    for topic in &config.topic_permissions {
        rows.push(Row::TopicPermission(TopicPermissionRow {
            user: topic.user.clone(),
            vhost: topic.vhost.clone(),
            exchange: topic.exchange.clone(),
            write: topic.write.clone(),
            read: topic.read.clone(),
        }));
    }
    Ok(rows)
}

fn password_hash(user: &User) -> anyhow::Result<Option<String>> {
    match &user.password {
        None => Ok(None),
        Some(Password::Plain(text)) => Ok(Some(
            PasswordHash::new(text.as_bytes(), rand::random()).encode(),
        )),
        Some(Password::Hash(encoded)) => {
            let hash = PasswordHash::decode(encoded);
            hash.with_context(|| format!("password_hash of user '{}' is none", user.name))?;
            Ok(Some(encoded.clone()))
        }
    }
}
