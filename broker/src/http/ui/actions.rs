//! What a form does: each is one call of the API, made as the user who sent it. Nothing is changed
//! in any other way.

use serde_json::{Map, Value, json};

use super::super::request::Method;
use super::form::Form;
use super::page::Page;
use super::show::{count, list, number, path};
use super::visit::{Failed, Visit};
use super::{policies, queues, services};

/// A call to make, and what to say when it is done.
struct Deed {
    method: Method,
    path: String,
    body: Option<Value>,
    done: String,
    /// Where to go instead of back: the page may be one of what is gone.
    to: Option<&'static str>,
}

pub(super) enum Done {
    /// Said on the page to go to.
    To(String, String),
    Page(Page),
}

fn put(path: String, body: Value, done: String) -> Deed {
    Deed {
        method: Method::Put,
        path,
        body: Some(body),
        done,
        to: None,
    }
}

fn post(path: String, body: Value, done: String) -> Deed {
    Deed {
        method: Method::Post,
        path,
        body: Some(body),
        done,
        to: None,
    }
}

fn delete(path: String, done: String) -> Deed {
    Deed {
        method: Method::Delete,
        path,
        body: None,
        done,
        to: None,
    }
}

impl Deed {
    fn then(mut self, to: &'static str) -> Deed {
        self.to = Some(to);
        self
    }
}

pub(super) async fn run(visit: &Visit, action: &str, form: &Form) -> Result<Done, Failed> {
    match action {
        "close-connection" => return close(visit, form).await,
        "publish" => return publish(visit, form).await,
        "get" => return get(visit, form).await,
        "move" => return move_messages(visit, form).await,
        "preview-policy" => {
            let draft = policies::draft(visit, form).await?;
            return Ok(Done::Page(policies::show(visit, Some(draft)).await?));
        }
        _ => {}
    }
    let deed = of_topology(action, form)
        .or_else(|| of_administration(action, form))
        .or_else(|| of_services(action, form))
        .unwrap_or_else(|| Err(Failed::not_found()))?;
    visit
        .ask(deed.method, &deed.path, deed.body.as_ref())
        .await?;
    let to = deed.to.map_or_else(|| back(form), str::to_owned);
    Ok(Done::To(to, deed.done))
}

fn back(form: &Form) -> String {
    form.text("back").to_owned()
}

type Wanted = Option<Result<Deed, Failed>>;

fn of_services(action: &str, form: &Form) -> Wanted {
    let (vhost, name) = (form.text("vhost"), form.text("name"));
    let shovel = || path(&["shovels", "vhost", vhost, name]);
    let none = || serde_json::json!({});
    let parameter = |component| path(&["parameters", component, vhost, name]);
    Some(match action {
        "set-shovel" => services::shovel(form)
            .map(|body| put(parameter("shovel"), body, format!("Shovel {name} is set."))),
        "set-upstream" => services::upstream(form).map(|body| {
            let done = format!("Upstream {name} is set.");
            put(parameter("federation-upstream"), body, done)
        }),
        "delete-shovel" => Ok(delete(shovel(), format!("Shovel {name} is deleted."))),
        "restart-shovel" => Ok(delete(
            format!("{}/restart", shovel()),
            format!("Shovel {name} is started anew."),
        )),
        "pause-shovel" => Ok(put(
            format!("{}/pause", shovel()),
            none(),
            format!("Shovel {name} is paused."),
        )),
        "resume-shovel" => Ok(put(
            format!("{}/resume", shovel()),
            none(),
            format!("Shovel {name} is resumed."),
        )),
        "restart-link" => {
            let link = path(&["federation-links", "vhost", vhost, form.text("id")]);
            let done = "The link is started anew.".to_owned();
            Ok(delete(format!("{link}/restart"), done))
        }
        _ => return None,
    })
}

fn of_topology(action: &str, form: &Form) -> Wanted {
    let vhost = form.text("vhost");
    let name = form.text("name");
    Some(match action {
        "declare-queue" => declare_queue(form),
        "delete-queue" => Ok(delete(
            path(&["queues", vhost, name]),
            format!("Queue {name} is deleted."),
        )
        .then("/queues")),
        "purge" => Ok(delete(
            format!("{}/contents", path(&["queues", vhost, name])),
            format!("Queue {name} is purged."),
        )),
        "declare-exchange" => declare_exchange(form),
        "delete-exchange" => Ok(delete(
            path(&["exchanges", vhost, name]),
            format!("Exchange {name} is deleted."),
        )
        .then("/exchanges")),
        "bind" => bind(form),
        "unbind" => Ok(delete(
            path(&[
                "bindings",
                vhost,
                "e",
                form.text("source"),
                form.text("kind"),
                form.text("destination"),
                form.text("props"),
            ]),
            "The binding is gone.".to_owned(),
        )),
        "enable-plugin" | "disable-plugin" | "reload-plugin" => {
            let verb = action.trim_end_matches("-plugin");
            let plugin = form.text("plugin");
            Ok(post(
                path(&["warren", "plugins", plugin, verb]),
                json!({}),
                format!("Plugin {plugin}: {verb}d.").replace("reloadd", "reloaded"),
            ))
        }
        _ => return None,
    })
}

fn declare_queue(form: &Form) -> Result<Deed, Failed> {
    let name = form.required("name")?;
    let mut arguments = form.table("arguments")?;
    let texts = [
        ("type", "x-queue-type"),
        ("dead_letter", "x-dead-letter-exchange"),
    ];
    for (field, key) in texts {
        let value = form.text(field);
        if !value.is_empty() {
            arguments.insert(key.to_owned(), json!(value));
        }
    }
    for (field, key) in [("ttl", "x-message-ttl"), ("max_length", "x-max-length")] {
        if let Some(value) = form.number(field)? {
            arguments.insert(key.to_owned(), json!(value));
        }
    }
    let body = json!({
        "durable": form.is_ticked("durable"),
        "auto_delete": form.is_ticked("auto_delete"),
        "arguments": arguments,
    });
    let to = path(&["queues", form.required("vhost")?, name]);
    Ok(put(to, body, format!("Queue {name} is declared.")))
}

fn declare_exchange(form: &Form) -> Result<Deed, Failed> {
    let name = form.required("name")?;
    let mut arguments = form.table("arguments")?;
    let alternate = form.text("alternate");
    if !alternate.is_empty() {
        arguments.insert("alternate-exchange".to_owned(), json!(alternate));
    }
    let body = json!({
        "type": form.required("type")?,
        "durable": form.is_ticked("durable"),
        "auto_delete": form.is_ticked("auto_delete"),
        "internal": form.is_ticked("internal"),
        "arguments": arguments,
    });
    let to = path(&["exchanges", form.required("vhost")?, name]);
    Ok(put(to, body, format!("Exchange {name} is declared.")))
}

fn bind(form: &Form) -> Result<Deed, Failed> {
    let (source, destination) = (form.required("source")?, form.required("destination")?);
    let body = json!({
        "routing_key": form.text("routing_key"),
        "arguments": form.table("arguments")?,
    });
    let to = path(&[
        "bindings",
        form.required("vhost")?,
        "e",
        source,
        form.required("kind")?,
        destination,
    ]);
    Ok(post(
        to,
        body,
        format!("{destination} is bound to {source}."),
    ))
}

fn of_administration(action: &str, form: &Form) -> Wanted {
    let (vhost, user) = (form.text("vhost"), form.text("user"));
    let (of, limit) = (form.text("of"), form.text("limit"));
    let limited = |kind: &str| {
        let value = form.number("value")?;
        let value = value.ok_or_else(|| Failed::wrong("how many is missing"))?;
        let to = path(&[kind, form.required("of")?, limit]);
        Ok(put(
            to,
            json!({"value": value}),
            format!("{limit} of {of} is set."),
        ))
    };
    let unlimited = |kind: &str| {
        Ok(delete(
            path(&[kind, of, limit]),
            format!("{limit} of {of} is cleared."),
        ))
    };
    Some(match action {
        "set-user" => set_user(form),
        "delete-user" => Ok(delete(path(&["users", user]), format!("User {user} is deleted.")).then("/admin/users")),
        "set-permissions" => {
            let body = json!({"configure": form.text("configure"), "write": form.text("write"), "read": form.text("read")});
            Ok(put(path(&["permissions", vhost, user]), body, format!("Permissions of {user} in {vhost} are set.")))
        }
        "clear-permissions" => Ok(delete(path(&["permissions", vhost, user]), format!("{user} may not enter {vhost} any more."))),
        "set-topic-permissions" => {
            let body = json!({"exchange": form.text("exchange"), "write": form.text("write"), "read": form.text("read")});
            Ok(put(path(&["topic-permissions", vhost, user]), body, format!("Topic permissions of {user} in {vhost} are set.")))
        }
        "clear-topic-permissions" => Ok(delete(
            path(&["topic-permissions", vhost, user, form.text("exchange")]),
            format!("Topic permissions of {user} in {vhost} are cleared."),
        )),
        "set-vhost" => form.required("vhost").map(|name| {
            let body = json!({"description": form.text("description"), "tags": form.text("tags"), "default_queue_type": form.text("default_queue_type")});
            put(path(&["vhosts", name]), body, format!("Virtual host {name} is there."))
        }),
        "trace-on" | "trace-off" => {
            let on = action == "trace-on";
            let state = if on { "on" } else { "off" };
            Ok(put(path(&["vhosts", vhost]), json!({"tracing": on}), format!("Tracing of {vhost} is {state}.")))
        }
        "add-trace" => add_trace(form),
        "delete-trace" => Ok(delete(path(&["traces", vhost, form.text("name")]), format!("Trace {} is stopped.", form.text("name")))),
        "delete-trace-file" => Ok(delete(path(&["trace-files", form.text("file")]), format!("{} is deleted.", form.text("file")))),
        "delete-vhost" => Ok(delete(path(&["vhosts", vhost]), format!("Virtual host {vhost} is deleted.")).then("/admin/vhosts")),
        "protect-vhost" => Ok(post(format!("{}/deletion/protection", path(&["vhosts", vhost])), json!({}), format!("Virtual host {vhost} is protected."))),
        "unprotect-vhost" => Ok(delete(format!("{}/deletion/protection", path(&["vhosts", vhost])), format!("Virtual host {vhost} may be deleted."))),
        "set-policy" => set_policy(form),
        "clear-policy" => {
            let name = form.text("name");
            Ok(delete(path(&[policy_kind(form), vhost, name]), format!("Policy {name} is cleared.")))
        }
        "set-vhost-limit" => limited("vhost-limits"),
        "set-user-limit" => limited("user-limits"),
        "clear-vhost-limit" => unlimited("vhost-limits"),
        "clear-user-limit" => unlimited("user-limits"),
        "import" => match serde_json::from_str(form.text("definitions")) {
            Ok(definitions) => Ok(post("/definitions".to_owned(), definitions, "The definitions are imported.".to_owned())),
            Err(error) => Err(Failed::wrong(format!("This is not JSON: {error}"))),
        },
        _ => return None,
    })
}

fn policy_kind(form: &Form) -> &'static str {
    match form.text("origin") {
        "operator" => "operator-policies",
        _ => "policies",
    }
}

fn set_policy(form: &Form) -> Result<Deed, Failed> {
    let name = form.required("name")?;
    let to = path(&[policy_kind(form), form.required("vhost")?, name]);
    Ok(put(
        to,
        policies::body(form)?,
        format!("Policy {name} is set."),
    ))
}

fn add_trace(form: &Form) -> Result<Deed, Failed> {
    let (vhost, name) = (form.required("vhost")?, form.required("name")?);
    let mut body = json!({
        "format": form.required("format")?,
        "pattern": form.required("pattern")?,
    });
    if let Some(most) = form.number("max_payload_bytes")? {
        body["max_payload_bytes"] = json!(most);
    }
    let done = format!("Trace {name} is started.");
    Ok(put(path(&["traces", vhost, name]), body, done))
}

fn set_user(form: &Form) -> Result<Deed, Failed> {
    let name = form.required("user")?;
    let mut body = Map::new();
    let tags: Vec<&str> = form.texts("tag").collect();
    body.insert("tags".to_owned(), json!(tags));
    let password = form.text("password");
    if !password.is_empty() {
        body.insert("password".to_owned(), json!(password));
    }
    Ok(put(
        path(&["users", name]),
        Value::Object(body),
        format!("User {name} is set."),
    ))
}

async fn close(visit: &Visit, form: &Form) -> Result<Done, Failed> {
    let name = form.required("connection")?;
    let to = path(&["connections", name]);
    visit.close(&to, form.text("reason")).await?;
    Ok(Done::To(
        back(form),
        format!("Connection {name} is told to close."),
    ))
}

async fn publish(visit: &Visit, form: &Form) -> Result<Done, Failed> {
    let mut properties = form.table("properties")?;
    let headers = form.table("headers")?;
    if !headers.is_empty() {
        properties.insert("headers".to_owned(), Value::Object(headers));
    }
    if form.is_ticked("persistent") {
        properties.insert("delivery_mode".to_owned(), json!(2));
    }
    let body = json!({
        "properties": properties,
        "routing_key": form.text("routing_key"),
        "payload": form.text("payload"),
        "payload_encoding": form.text("encoding"),
    });
    let to = format!(
        "{}/publish",
        path(&["exchanges", form.text("vhost"), form.text("exchange")])
    );
    let answer = visit.ask(Method::Post, &to, Some(&body)).await?;
    let said = match super::show::is(&answer, "routed") {
        true => "The message is published and routed.",
        false => "The message is published, but no queue has got it.",
    };
    Ok(Done::To(back(form), said.to_owned()))
}

/// A page is put together in memory.
const MOST: i64 = 1_000;
const PAYLOAD_BYTES: u64 = 50_000;

async fn get(visit: &Visit, form: &Form) -> Result<Done, Failed> {
    let (vhost, name) = (form.text("vhost"), form.required("name")?);
    let body = json!({
        "count": form.number("count")?.unwrap_or(1).clamp(1, MOST),
        "ackmode": form.text("ackmode"),
        "encoding": form.text("encoding"),
        "truncate": PAYLOAD_BYTES,
    });
    let to = format!("{}/get", path(&["queues", vhost, name]));
    let messages = visit.ask(Method::Post, &to, Some(&body)).await?;
    Ok(Done::Page(queues::got(vhost, name, list(&messages))))
}

async fn move_messages(visit: &Visit, form: &Form) -> Result<Done, Failed> {
    let name = form.required("name")?;
    let to = form.required("to")?;
    let mut body = Map::new();
    body.insert("to".to_owned(), json!(to));
    if let Some(count) = form.number("count")? {
        body.insert("count".to_owned(), json!(count));
    }
    let api = path(&["warren", "queues", form.text("vhost"), name, "move"]);
    let answer = visit
        .ask(Method::Post, &api, Some(&Value::Object(body)))
        .await?;
    let moved = count(number(&answer, "moved"));
    Ok(Done::To(back(form), format!("Moved to {to}: {moved}.")))
}
