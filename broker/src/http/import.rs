//! Reads definitions: files that RabbitMQ 3.8 to 4 and LavinMQ have written, and our own. Whatever
//! the order in the file, what others stand on comes first; what is there already stays.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::answer::Failure;
use super::call::Fields;
use super::request::Request;
use super::{Management, fields, permissions, policies, users, vhosts};
use crate::names::{ConnectionId, Destination};
use crate::vhost::policy::Origin;
use crate::vhost::{
    BindingRequest, ExchangeRequest, Metadata, Parameter, QueueRequest, Saved, Vhost, VhostLimits,
};

/// Where a file's contents go.
pub(super) enum Into {
    Broker,
    /// Only what belongs into a vhost, whatever vhost the file names.
    Vhost(Arc<Vhost>),
}

pub(super) struct Import {
    pub house: Arc<Management>,
    pub into: Into,
    /// Who asked, for the log.
    pub user: String,
}

type Done = Result<(), Failure>;

/// What stands on what: the first come first.
const SECTIONS: [&str; 11] = [
    "users",
    "vhosts",
    "permissions",
    "topic_permissions",
    "global_parameters",
    "parameters",
    "policies",
    "exchanges",
    "queues",
    "bindings",
    "operator_policies",
];

/// The body, or the file in the form that a browser sends.
pub(super) fn read(request: &Request) -> Result<Map<String, Value>, Failure> {
    let body = request.body.as_slice();
    let kind = request.header("content-type").unwrap_or_default();
    let text = match kind.split_once("boundary=") {
        Some((kind, boundary)) if kind.trim_start().starts_with("multipart/form-data") => {
            part(body, boundary.trim_matches('"')).unwrap_or_default()
        }
        Some(_) | None => body,
    };
    match serde_json::from_slice(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) | Err(_) => Err(Failure::bad("not_json")),
    }
}

/// The first part of a form that is a JSON object.
fn part<'a>(body: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    let from = position(body, b"\r\n\r\n{")? + 4;
    let rest = body.get(from..)?;
    let end = position(rest, format!("\r\n--{boundary}").as_bytes())?;
    rest.get(..end)
}

fn position(body: &[u8], wanted: &[u8]) -> Option<usize> {
    body.windows(wanted.len())
        .position(|window| window == wanted)
}

impl Import {
    pub fn run(&self, file: &Map<String, Value>) -> Result<Vec<Saved>, Failure> {
        let mut saved = Vec::new();
        let mut count = 0;
        for section in SECTIONS {
            let Some(rows) = file.get(section) else {
                continue;
            };
            for row in rows.as_array().map(Vec::as_slice).unwrap_or_default() {
                let Value::Object(row) = row else {
                    return Err(Failure::bad(format!(
                        "{section} should be a list of objects"
                    )));
                };
                let fields = Fields(row.clone());
                self.take(section, &fields, &mut saved)
                    .map_err(|failure| name(failure, row))?;
                count += 1;
            }
        }
        if let Into::Vhost(vhost) = &self.into {
            self.take_vhost_itself(vhost, file, &mut saved)?;
        }
        tracing::info!(target: "warren::audit", user = self.user, count, "definitions imported");
        // All of it stands in the store's mailbox by now, in order: the last is enough to wait for.
        Ok(saved.pop().into_iter().collect())
    }

    fn take(&self, section: &str, row: &Fields, saved: &mut Vec<Saved>) -> Done {
        let everywhere = matches!(self.into, Into::Broker);
        match section {
            "users" if everywhere => self.take_user(row, saved),
            "vhosts" if everywhere => self.take_vhost(row, saved),
            "permissions" if everywhere => self.take_permission(row, saved),
            "topic_permissions" if everywhere => self.take_topic_permission(row, saved),
            "global_parameters" if everywhere => self.take_global(row, saved),
            "parameters" => self.take_parameter(row, saved),
            "policies" => self.take_policy(row, Origin::User, saved),
            "operator_policies" => self.take_policy(row, Origin::Operator, saved),
            "exchanges" => self.take_exchange(row, saved),
            "queues" => self.take_queue(row, saved),
            "bindings" => self.take_binding(row, saved),
            _ => Ok(()),
        }
    }

    /// The vhost that a row is for.
    fn vhost(&self, row: &Fields) -> Result<Arc<Vhost>, Failure> {
        match &self.into {
            Into::Vhost(vhost) => Ok(Arc::clone(vhost)),
            Into::Broker => {
                let name = text(row, "vhost")?;
                let missing = || Failure::bad(format!("vhost '{name}' does not exist"));
                self.house.broker.vhost(name).ok_or_else(missing)
            }
        }
    }

    fn take_user(&self, row: &Fields, saved: &mut Vec<Saved>) -> Done {
        let name = text(row, "name")?;
        let before = self.house.users.user(name);
        let salt = self.house.node.salt();
        let mut with_tags = row.0.clone();
        with_tags.entry("tags").or_insert_with(|| Value::from(""));
        let user = match users::read(name, &Fields(with_tags.clone()), before.clone(), salt) {
            Ok(user) => user,
            Err(_) if row.0.contains_key("password_hash") => {
                tracing::warn!(user = name, "imported without its password: unknown hash");
                with_tags.insert("password_hash".to_owned(), Value::from(""));
                users::read(name, &Fields(with_tags), before.clone(), salt)?
            }
            Err(failure) => return Err(failure),
        };
        if before.as_ref() != Some(&user) {
            saved.push(self.house.users.put_user(user)?);
        }
        Ok(())
    }

    fn take_vhost(&self, row: &Fields, saved: &mut Vec<Saved>) -> Done {
        let name = text(row, "name")?;
        let broker = &self.house.broker;
        match broker.vhost(name) {
            None => {
                let metadata = vhosts::read_metadata(row, Metadata::default())?;
                saved.push(broker.create_vhost(name, metadata)?);
            }
            Some(vhost) => {
                let metadata = vhosts::read_metadata(row, vhost.metadata())?;
                if metadata != vhost.metadata() {
                    saved.push(broker.set_vhost_metadata(name, metadata)?);
                }
            }
        }
        match row.get("limits") {
            Some(limits @ Value::Object(_)) => self.set_limits(name, limits, saved),
            Some(_) | None => Ok(()),
        }
    }

    /// A file of one vhost says at its top what the vhost is like.
    fn take_vhost_itself(
        &self,
        vhost: &Vhost,
        file: &Map<String, Value>,
        saved: &mut Vec<Saved>,
    ) -> Done {
        let metadata = vhosts::read_metadata(&Fields(file.clone()), vhost.metadata())?;
        if metadata != vhost.metadata() {
            saved.push(
                self.house
                    .broker
                    .set_vhost_metadata(&vhost.name, metadata)?,
            );
        }
        match file.get("limits") {
            Some(limits @ Value::Object(map)) if !map.is_empty() => {
                self.set_limits(&vhost.name, limits, saved)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn set_limits(&self, vhost: &str, limits: &Value, saved: &mut Vec<Saved>) -> Done {
        let limits: VhostLimits = serde_json::from_value(limits.clone())
            .map_err(|error| Failure::bad(error.to_string()))?;
        saved.push(self.house.broker.set_vhost_limits(vhost, limits)?);
        Ok(())
    }

    fn take_permission(&self, row: &Fields, saved: &mut Vec<Saved>) -> Done {
        let read = permissions::read(text(row, "user")?, text(row, "vhost")?, row)?;
        saved.push(self.house.users.set_permissions(read)?);
        Ok(())
    }

    fn take_topic_permission(&self, row: &Fields, saved: &mut Vec<Saved>) -> Done {
        let read = permissions::read_topic(text(row, "user")?, text(row, "vhost")?, row)?;
        saved.push(self.house.users.set_topic_permissions(read)?);
        Ok(())
    }

    fn take_global(&self, row: &Fields, saved: &mut Vec<Saved>) -> Done {
        let value = row.get("value").cloned().unwrap_or(Value::Null);
        let broker = &self.house.broker;
        saved.push(broker.set_global_parameter(text(row, "name")?, value)?);
        Ok(())
    }

    /// Limits and operator policies stand among the parameters. What nothing here reads is kept
    /// all the same: a shovel waits for its plugin.
    fn take_parameter(&self, row: &Fields, saved: &mut Vec<Saved>) -> Done {
        let vhost = self.vhost(row)?;
        let (component, name) = (text(row, "component")?, text(row, "name")?);
        let value = row.get("value").cloned().unwrap_or(Value::Null);
        match component {
            "vhost-limits" => self.set_limits(&vhost.name, &value, saved),
            "operator_policy" => {
                let Value::Object(value) = value else {
                    return Err(Failure::bad("an operator policy should be an object"));
                };
                let policy = policies::read(name, &Fields(value))?;
                saved.push(vhost.set_policy(Origin::Operator, policy)?);
                Ok(())
            }
            _ => {
                saved.push(vhost.set_parameter(Parameter {
                    component: component.to_owned(),
                    name: name.to_owned(),
                    value,
                })?);
                Ok(())
            }
        }
    }

    fn take_policy(&self, row: &Fields, origin: Origin, saved: &mut Vec<Saved>) -> Done {
        let vhost = self.vhost(row)?;
        let policy = policies::read(text(row, "name")?, row)?;
        saved.push(vhost.set_policy(origin, policy)?);
        Ok(())
    }

    fn take_exchange(&self, row: &Fields, saved: &mut Vec<Saved>) -> Done {
        let vhost = self.vhost(row)?;
        let name = text(row, "name")?;
        // Every vhost has these.
        if name.is_empty() || name.starts_with("amq.") {
            return Ok(());
        }
        let arguments = fields::encode(&row.table("arguments")?)?;
        saved.push(vhost.declare_exchange(ExchangeRequest {
            name,
            type_name: text(row, "type")?,
            durable: row.flag("durable")?,
            auto_delete: row.flag("auto_delete")?,
            internal: row.flag("internal")?,
            arguments,
        })?);
        Ok(())
    }

    fn take_queue(&self, row: &Fields, saved: &mut Vec<Saved>) -> Done {
        let vhost = self.vhost(row)?;
        let mut arguments = row.table("arguments")?;
        // Newer files say the type beside the arguments.
        if let Some(queue_type) = row.text("type")? {
            arguments
                .entry("x-queue-type")
                .or_insert_with(|| Value::from(queue_type));
        }
        let name = text(row, "name")?;
        let request = QueueRequest {
            name,
            // Names that another broker has made up are taken over.
            server_named: name.starts_with("amq."),
            durable: row.flag("durable")?,
            exclusive: false,
            auto_delete: row.flag("auto_delete")?,
            arguments: fields::encode(&arguments)?,
        };
        let (_, kept) = vhost.declare_queue(request, ConnectionId(0))?;
        saved.push(kept);
        Ok(())
    }

    fn take_binding(&self, row: &Fields, saved: &mut Vec<Saved>) -> Done {
        let vhost = self.vhost(row)?;
        let source = text(row, "source")?.to_owned();
        if source.is_empty() {
            return Ok(());
        }
        let name = text(row, "destination")?.to_owned();
        let destination = match text(row, "destination_type")? {
            "queue" => Destination::Queue(name),
            "exchange" => Destination::Exchange(name),
            other => return Err(Failure::bad(format!("unknown destination_type '{other}'"))),
        };
        let routing_key = row.text("routing_key")?.unwrap_or_default();
        let bound = vhost.bind(&BindingRequest {
            source,
            destination,
            routing_key: routing_key.into(),
            arguments: fields::encode(&row.table("arguments")?)?,
        });
        // 404 would be about the request.
        saved.push(bound.map_err(|refusal| Failure::bad(refusal.into_text()))?);
        Ok(())
    }
}

fn text<'a>(row: &'a Fields, key: &str) -> Result<&'a str, Failure> {
    row.text(key)?.ok_or_else(|| Failure::missing(&[key]))
}

/// Which row it is that was refused.
fn name(failure: Failure, row: &Map<String, Value>) -> Failure {
    let named = ["name", "user", "source"]
        .iter()
        .find_map(|key| row.get(*key));
    match (failure, named) {
        (Failure::BadRequest(Value::String(reason)), Some(Value::String(name))) => {
            Failure::bad(format!("{reason} ({name})"))
        }
        (Failure::NotFound, Some(Value::String(name))) => {
            Failure::bad(format!("'{name}' names something that does not exist"))
        }
        (failure, _) => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_the_file_between_its_boundaries() {
        let body =
            b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n{\"a\":1}\r\n--x--";
        assert_eq!(part(body, "x"), Some(&b"{\"a\":1}"[..]));
        assert_eq!(part(b"--x--", "x"), None);
    }
}
