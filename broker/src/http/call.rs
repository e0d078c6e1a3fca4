//! One request on its way to its handler: who asks, for what, with which body. And what a handler
//! may come to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Management;
use super::answer::{Answer, Failure};
use super::login::User;
use super::request::Request;
use crate::auth::Access;
use crate::vhost::{Saved, Vhost};

pub(super) struct Call {
    pub house: Arc<Management>,
    pub user: User,
    pub request: Request,
    /// What stands where the route has names in braces.
    pub captured: Vec<String>,
}

pub(super) enum Outcome {
    Now(Answer),
    /// Told once all of this is on disk.
    After(Vec<Saved>, Answer),
    Later(Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>),
}

pub(super) type Handled = Result<Outcome, Failure>;

pub(super) type Handler = fn(&Call) -> Handled;

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Outcome {
        Outcome::Now(answer)
    }
}

pub(super) fn shown(value: &Value) -> Handled {
    Ok(Outcome::Now(Answer::json(value)))
}

pub(super) fn after(saved: Saved, answer: Answer) -> Handled {
    Ok(Outcome::After(vec![saved], answer))
}

/// A body that is an object, and what it says.
pub(super) struct Fields(pub Map<String, Value>);

impl Management {
    pub(super) fn visible_vhosts(&self, user: &User) -> Vec<Arc<Vhost>> {
        let mut vhosts = self.broker.vhosts();
        vhosts.retain(|vhost| self.shows_vhost(user, &vhost.name));
        vhosts
    }

    fn shows_vhost(&self, user: &User, name: &str) -> bool {
        user.is_monitoring() || self.users.may_enter(&user.name, name)
    }
}

impl Call {
    /// The name at this place of the path.
    pub fn part(&self, index: usize) -> &str {
        self.captured.get(index).map_or("", String::as_str)
    }

    /// The vhost that the path names first.
    pub fn vhost(&self) -> Result<Arc<Vhost>, Failure> {
        self.vhost_at(0)
    }

    pub fn vhost_at(&self, index: usize) -> Result<Arc<Vhost>, Failure> {
        let found = self.house.broker.vhost(self.part(index));
        found.ok_or(Failure::NotFound)
    }

    /// Of the vhosts there are, those whose contents this user may see.
    pub fn visible_vhosts(&self) -> Vec<Arc<Vhost>> {
        self.house.visible_vhosts(&self.user)
    }

    pub fn sees_vhost(&self, name: &str) -> bool {
        self.house.shows_vhost(&self.user, name)
    }

    pub fn check_access(&self, vhost: &str, access: Access, name: &str) -> Result<(), Failure> {
        let name = if name.is_empty() { "amq.default" } else { name };
        match self
            .house
            .users
            .allows(&self.user.name, vhost, access, name)
        {
            true => Ok(()),
            false => Err(Failure::refused()),
        }
    }

    /// No body at all is an empty object.
    pub fn fields(&self) -> Result<Fields, Failure> {
        if self.request.body.is_empty() {
            return Ok(Fields(Map::new()));
        }
        match serde_json::from_slice(&self.request.body) {
            Ok(Value::Object(map)) => Ok(Fields(map)),
            Ok(_) | Err(_) => Err(Failure::bad("not_json")),
        }
    }
}

impl Fields {
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// All of these must be there.
    pub fn require(&self, keys: &[&str]) -> Result<(), Failure> {
        let missing: Vec<&str> = keys
            .iter()
            .copied()
            .filter(|key| !self.0.contains_key(*key))
            .collect();
        match missing.as_slice() {
            [] => Ok(()),
            missing => Err(Failure::missing(missing)),
        }
    }

    pub fn flag(&self, key: &str) -> Result<bool, Failure> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(Failure::bad(json!(["not_boolean", other]))),
        }
    }

    pub fn integer(&self, key: &str) -> Result<Option<i64>, Failure> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => integer(value).map(Some),
        }
    }

    pub fn text(&self, key: &str) -> Result<Option<&str>, Failure> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Failure::bad(json!(["not_a_string", other]))),
        }
    }

    pub fn table(&self, key: &str) -> Result<Map<String, Value>, Failure> {
        match self.get(key) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            // Some tools write an empty table as an empty list.
            Some(Value::Array(list)) if list.is_empty() => Ok(Map::new()),
            Some(_) => Err(Failure::bad(format!("{key} should be an object"))),
        }
    }
}

pub(super) fn integer(value: &Value) -> Result<i64, Failure> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.ok_or_else(|| Failure::bad(json!(["not_an_integer", value])))
}
