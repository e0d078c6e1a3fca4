//! Users and permissions out of the configuration.

use anyhow::Context as _;

use crate::auth::{PasswordHash, User, Users};
use crate::config::{Config, Password};

pub(super) fn from_config(config: &Config) -> anyhow::Result<Users> {
    let mut users = Users::default();
    for user in &config.users {
        let password = match &user.password {
            None => None,
            Some(Password::Plain(text)) => Some(PasswordHash::new(text.as_bytes(), rand::random())),
            Some(Password::Hash(encoded)) => Some(
                PasswordHash::decode(encoded)
                    .with_context(|| format!("password_hash of user '{}' is none", user.name))?,
            ),
        };
        users.add_user(
            &user.name,
            User {
                password,
                tags: user.tags.clone(),
            },
        );
    }
    for permission in &config.permissions {
        let (user, vhost) = (&permission.user, &permission.vhost);
        users
            .permit(
                user,
                vhost,
                &permission.configure,
                &permission.write,
                &permission.read,
            )
            .with_context(|| format!("permission of user '{user}' in vhost '{vhost}'"))?;
    }
    for user in &config.loopback_users {
        users.restrict_to_loopback(user);
    }
    Ok(users)
}
