//! A service that misbehaves as its configuration tells it to: `mode`, how many tasks (`tasks`), and
//! what `http` sends (`request`).
//! Committed as a component in `tests/fixtures`.

use serde_json::{Value, json};
use warren_service_sdk::amqp::{Connection, Opening};
use warren_service_sdk::http::{self, Error, Header, Request};
use warren_service_sdk::{Service, Task, host, state};

struct Faulty;

fn configuration() -> Value {
    serde_json::from_str(&host::configuration()).unwrap_or_default()
}

impl Service for Faulty {
    fn plan() -> Vec<Task> {
        let configuration = configuration();
        let mode = configuration["mode"].as_str().unwrap_or("wait");
        let tasks = configuration["tasks"].as_u64().unwrap_or(1);
        let task = |number| Task {
            vhost: String::new(),
            name: format!("{mode} {number}"),
            settings: mode.to_owned(),
        };
        (0..tasks).map(task).collect()
    }

    fn run(task: Task) -> Result<(), String> {
        match task.settings.as_str() {
            "trap" => panic!("trapped on purpose"),
            "trap-later" => {
                host::running();
                host::sleep(50);
                panic!("trapped on purpose")
            }
            "loop" => {
                host::running();
                let mut number: u64 = 0;
                loop {
                    number = std::hint::black_box(number.wrapping_add(1));
                }
            }
            "memory" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 1 << 20]);
                    std::hint::black_box(&hoard);
                }
            }
            "fail" => Err("failed on purpose".to_owned()),
            "done" => Ok(()),
            "stubborn" => {
                host::running();
                // Does not end when it is to.
                loop {
                    host::sleep(1);
                    host::now();
                }
            }
            "connect" => {
                let uri = configuration()["uri"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                let opened = Connection::open(&Opening {
                    uri,
                    name: task.name,
                    confirms: false,
                });
                match opened {
                    Ok(connection) => {
                        host::running();
                        while host::stopping().is_none() {
                            host::sleep(1_000);
                        }
                        connection.close();
                        Ok(())
                    }
                    Err(error) => Err(format!("{error:?}")),
                }
            }
            "http" => {
                host::running();
                host::show(&asked().to_string());
                wait()
            }
            "count" => {
                let before = state::get("runs")
                    .and_then(|kept| kept.first().copied())
                    .unwrap_or(0);
                state::put("runs", &[before + 1])?;
                host::show(&format!("{{\"runs\": {}}}", before + 1));
                wait()
            }
            _ => wait(),
        }
    }
}

/// Sends the request of the configuration, and says what came of it.
fn asked() -> Value {
    let configuration = configuration();
    let request = &configuration["request"];
    let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
    let size = |key: &str| request[key].as_u64().unwrap_or(0);
    let sent = http::send(&Request {
        method: text("method"),
        url: text("url"),
        headers: vec![Header {
            name: "X-Task".to_owned(),
            value: text("header"),
        }],
        body: vec![b'b'; size("length") as usize],
        timeout: size("timeout") as u32,
    });
    match sent {
        Ok(response) => json!({"status": response.status, "length": response.body.len()}),
        Err(Error::Denied(text)) => json!({"denied": text}),
        Err(Error::Invalid(text)) => json!({"invalid": text}),
        Err(Error::Failed(text)) => json!({"failed": text}),
        Err(Error::Stopping) => json!({"stopping": true}),
    }
}

fn wait() -> Result<(), String> {
    host::running();
    while host::stopping().is_none() {
        host::sleep(3_600_000);
    }
    Ok(())
}

warren_service_sdk::export!(Faulty);
