//! Users. A password comes in and never goes out; its hash does where RabbitMQ shows it.

use serde_json::{Value, json};

use super::answer::{Answer, Failure};
use super::call::{Call, Fields, Handled, Outcome, after};
use super::listing::{all, listed, one};
use super::vhosts::words;
use crate::auth::{PasswordHash, UserLimits, UserRow};

/// As in lists and in definitions.
pub(super) fn row(user: &UserRow) -> Value {
    json!({
        "name": user.name,
        "password_hash": user.password_hash.as_deref().unwrap_or_default(),
        "hashing_algorithm": algorithm(user),
        "tags": user.tags,
        "limits": user.limits,
    })
}

fn algorithm(user: &UserRow) -> &'static str {
    let hash = user.password_hash.as_deref().and_then(PasswordHash::decode);
    hash.map_or("rabbit_password_hashing_sha256", |hash| {
        hash.algorithm_name()
    })
}

pub(super) fn list(call: &Call) -> Handled {
    listed(call, call.house.users.users(), |user| &user.name, row)
}

pub(super) fn without_permissions(call: &Call) -> Handled {
    let permitted = call.house.users.permissions();
    let mut users = call.house.users.users();
    users.retain(|user| !permitted.iter().any(|row| row.user == user.name));
    all(call, users.iter().map(row).collect())
}

pub(super) fn show(call: &Call) -> Handled {
    let user = call.house.users.user(call.part(0));
    one(call, row(&user.ok_or(Failure::NotFound)?))
}

pub(super) fn put(call: &Call) -> Handled {
    let name = call.part(0);
    let fields = call.fields()?;
    let before = call.house.users.user(name);
    let is_new = before.is_none();
    let user = read(name, &fields, before, call.house.node.salt())?;
    let saved = call.house.users.put_user(user)?;
    after(saved, Answer::put(is_new))
}

/// A user as an API or a file of definitions says it is.
pub(super) fn read(
    name: &str,
    fields: &Fields,
    before: Option<UserRow>,
    salt: [u8; 4],
) -> Result<UserRow, Failure> {
    let tags = fields.get("tags").or_else(|| fields.get("administrator"));
    let tags = match tags {
        // The form of RabbitMQ 1.
        Some(Value::Bool(administrator)) => administrator
            .then(|| "administrator".to_owned())
            .into_iter()
            .collect(),
        Some(tags) => words(tags),
        None => return Err(Failure::bad("tags_not_present")),
    };
    let password_hash = match (fields.text("password")?, fields.text("password_hash")?) {
        (Some(password), None) => Some(PasswordHash::new(password.as_bytes(), salt).encode()),
        (None, Some("")) => None,
        (None, Some(hash)) => Some(read_hash(hash, fields.text("hashing_algorithm")?)?),
        (Some(_), Some(_)) => return Err(Failure::bad("both_password_and_password_hash_are_set")),
        // Only the tags change.
        (None, None) => before.as_ref().and_then(|user| user.password_hash.clone()),
    };
    let limits = match fields.get("limits") {
        Some(limits @ Value::Object(_)) => serde_json::from_value(limits.clone())
            .map_err(|error| Failure::bad(error.to_string()))?,
        Some(_) | None => before.map_or_else(UserLimits::default, |user| user.limits),
    };
    Ok(UserRow {
        name: name.to_owned(),
        password_hash,
        tags,
        limits,
    })
}

fn read_hash(hash: &str, algorithm: Option<&str>) -> Result<String, Failure> {
    let decoded = PasswordHash::decode_as(hash, algorithm);
    match decoded {
        Some(decoded) => Ok(decoded.encode()),
        None => Err(Failure::bad(
            "password_hash is not one of a known algorithm",
        )),
    }
}

pub(super) fn delete(call: &Call) -> Handled {
    let saved = call.house.users.delete_user(call.part(0))?;
    after(saved, Answer::no_content())
}

pub(super) fn bulk_delete(call: &Call) -> Handled {
    let fields = call.fields()?;
    fields.require(&["users"])?;
    let names = fields.get("users").map(words).unwrap_or_default();
    if let Some(missing) = names
        .iter()
        .find(|name| call.house.users.user(name).is_none())
    {
        return Err(Failure::bad(json!(["no_such_user", missing])));
    }
    let mut saved = Vec::new();
    for name in &names {
        saved.push(call.house.users.delete_user(name)?);
    }
    Ok(Outcome::After(saved, Answer::no_content()))
}
