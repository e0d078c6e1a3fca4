//! One page for one user: what the pages ask the API, in this process and as this user.

use std::sync::Arc;

use serde_json::Value;

use super::super::Management;
use super::super::answer::Body;
use super::super::login::User;
use super::super::request::{Method, Request};

pub(super) struct Visit {
    pub house: Arc<Management>,
    pub user: User,
    pub form_token: String,
    pub request: Request,
    pub notice: Option<String>,
}

/// The API said no.
#[derive(Debug)]
pub(super) struct Failed {
    pub status: u16,
    pub reason: String,
}

impl Failed {
    pub fn not_found() -> Failed {
        Failed {
            status: 404,
            reason: "There is no such page.".to_owned(),
        }
    }

    pub fn wrong(reason: impl Into<String>) -> Failed {
        Failed {
            status: 400,
            reason: reason.into(),
        }
    }
}

impl Visit {
    pub async fn get(&self, path: &str) -> Result<Value, Failed> {
        self.ask(Method::Get, path, None).await
    }

    /// `path` begins behind `/api`. No body is null.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failed> {
        let target = format!("/api{path}");
        self.ask_with(method, &target, body, Vec::new()).await
    }

    /// The same with the reason that a client is told when it loses its connection.
    pub async fn close(&self, path: &str, reason: &str) -> Result<Value, Failed> {
        let target = format!("/api{path}");
        let mut headers = Vec::new();
        if !reason.is_empty() {
            headers.push(("x-reason".to_owned(), reason.to_owned()));
        }
        self.ask_with(Method::Delete, &target, None, headers).await
    }

    async fn ask_with(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
        headers: Vec<(String, String)>,
    ) -> Result<Value, Failed> {
        let mut request = Request::new(method, target, headers, self.request.peer);
        request.body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let answer = self.house.answer_to(Some(self.user.clone()), request).await;
        let value = match answer.body {
            Body::Some { octets, .. } => serde_json::from_slice(&octets).unwrap_or_default(),
            Body::None | Body::Events(_) => Value::Null,
        };
        match answer.status {
            200..=299 => Ok(value),
            status => Err(Failed {
                status,
                reason: reason(&value),
            }),
        }
    }

    /// The names of those whose contents this user may see.
    pub fn vhosts(&self) -> Vec<String> {
        let vhosts = self.house.visible_vhosts(&self.user);
        vhosts.iter().map(|vhost| vhost.name.to_string()).collect()
    }

    /// Those that the plugins of now offer.
    pub fn exchange_types(&self) -> Vec<String> {
        let types = self.house.plugins.types();
        types.into_iter().map(|(name, _)| name).collect()
    }

    pub fn query(&self, name: &str) -> &str {
        self.request.query(name).unwrap_or_default()
    }
}

fn reason(value: &Value) -> String {
    match value.get("reason") {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "The broker gave no reason.".to_owned(),
    }
}
