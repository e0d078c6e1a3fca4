//! The shovel: consumes from a queue of one broker and publishes to another one, each task for
//! itself. Settings as RabbitMQ's runtime parameter `shovel` has them.

mod moving;
mod patience;
mod posting;
mod request;
mod settings;
mod validate;

use serde_json::{Value, json};
use warren_service_sdk::{Parameter, Service, Task, amqp, broker, host, http};

use moving::End;
use patience::Patience;
use settings::{Settings, is_web};

const COMPONENT: &str = "shovel";

struct Shovel;

/// The destination may be a web server.
fn check_uri(key: &str, uri: &str) -> Result<(), String> {
    match key == "dest-uri" && is_web(uri) {
        // As RabbitMQ has it of its own URIs; a term of Erlang, which a text of ours is not.
        true => http::check_url(uri).map_err(|_| "unable_to_parse_uri".to_owned()),
        false => amqp::check_uri(uri),
    }
}

impl Service for Shovel {
    fn check(parameter: &Parameter) -> Result<(), Vec<String>> {
        let errors = match serde_json::from_str(&parameter.value) {
            Ok(value) => validate::shovel(&parameter.name, &value, &check_uri),
            Err(error) => vec![error.to_string()],
        };
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    fn plan() -> Vec<Task> {
        let dynamic = broker::parameters(COMPONENT).into_iter().map(|parameter| {
            let value: Value = serde_json::from_str(&parameter.value).unwrap_or_default();
            Task {
                vhost: parameter.vhost,
                name: parameter.name,
                settings: json!({"type": "dynamic", "value": value}).to_string(),
            }
        });
        let configuration: Value = serde_json::from_str(&host::configuration()).unwrap_or_default();
        let fixed = configuration.get("shovels").and_then(Value::as_object);
        let fixed = fixed.into_iter().flatten().map(|(name, value)| Task {
            vhost: String::new(),
            name: name.clone(),
            settings: json!({"type": "static", "value": value}).to_string(),
        });
        dynamic.chain(fixed).collect()
    }

    fn run(task: Task) -> Result<(), String> {
        let given: Value = serde_json::from_str(&task.settings).map_err(|e| e.to_string())?;
        let is_dynamic = given["type"] == "dynamic";
        if !is_dynamic {
            let errors = validate::shovel(&task.name, &given["value"], &check_uri);
            if !errors.is_empty() {
                return Err(errors.join("; "));
            }
        }
        let settings = Settings::parse(&given["value"], &task, is_dynamic)?;
        let mut patience = settings.reconnect_delay.map(Patience::new);
        loop {
            let began = host::now();
            match moving::run(&settings) {
                End::Finished => break,
                End::Stopping => return Ok(()),
                End::Failed(why) => {
                    // What ran for a while has nothing to do with the failures before.
                    let Some(patience) = &mut patience else {
                        return Err(why);
                    };
                    if host::now().saturating_sub(began) > 60_000 {
                        patience.recovered();
                    }
                    let delay = patience.failed();
                    host::log(host::Level::Warn, &format!("{why}; again in {delay} ms"));
                    host::waiting_for(&why);
                    host::count("reconnects", 1);
                    host::sleep(delay);
                }
            }
            if host::stopping().is_some() {
                return Ok(());
            }
        }
        if is_dynamic {
            broker::clear_parameter(&task.vhost, COMPONENT, &task.name);
        }
        Ok(())
    }
}

warren_service_sdk::export!(Shovel);
