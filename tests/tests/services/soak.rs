//! A million messages through a shovel while links are cut and brokers are killed. Not part of the
//! suite: `cargo test --release --test services soak -- --ignored --nocapture`.
//!
//! `SHOVEL_RABBITMQ` is the URL of a RabbitMQ for the two ways that lead through one, and
//! `SHOVEL_RABBITMQ_KILL` a command that kills it and starts it again; `SHOVEL_MESSAGES` is how many.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use warren_tests::kit::{Broker, Client, Options, durable};

use super::broker;

fn wanted() -> usize {
    let given = std::env::var("SHOVEL_MESSAGES").ok();
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000)
}

/// One end of the shovel.
enum End {
    Warren(Box<Broker>),
    RabbitMq { url: String, kill: Option<String> },
}

impl End {
    fn warren() -> End {
        let mut broker = broker();
        broker.options = Options {
            port: Some(broker.port()),
            ..broker.options.clone()
        };
        End::Warren(Box::new(broker))
    }

    fn rabbitmq() -> Option<End> {
        Some(End::RabbitMq {
            url: std::env::var("SHOVEL_RABBITMQ").ok()?,
            kill: std::env::var("SHOVEL_RABBITMQ_KILL").ok(),
        })
    }

    fn url(&self) -> String {
        match self {
            End::Warren(broker) => broker.url(),
            End::RabbitMq { url, .. } => url.clone(),
        }
    }

    fn kill(&mut self) -> &'static str {
        match self {
            End::Warren(broker) => {
                broker.kill();
                broker.restart();
                "killed Warren"
            }
            End::RabbitMq {
                kill: Some(kill), ..
            } => {
                let status = Command::new("sh").args(["-c", kill.as_str()]).status();
                assert!(status.expect("runs").success());
                "killed RabbitMQ"
            }
            End::RabbitMq { kill: None, .. } => "left RabbitMQ alone",
        }
    }
}

fn cut_links(host: &Broker) -> usize {
    let connections = host.http().json("/connections");
    let connections = connections.as_array().cloned().unwrap_or_default();
    for connection in &connections {
        let name = connection["name"].as_str().unwrap_or_default();
        let name = name
            .replace(' ', "%20")
            .replace(':', "%3A")
            .replace('>', "%3E");
        host.http().delete(&format!("/connections/{name}"));
    }
    connections.len()
}

/// Moves all messages from one end to the other, with a shovel that runs on `host` or on one of the
/// ends, and tells what has become of them.
async fn soak(name: &str, mut from: End, mut to: End, mut host: Option<Broker>) {
    let count = wanted();
    let queue = format!("soak-{}", std::process::id());
    let publisher = Client::connect(&from.url()).await.confirming().await;
    publisher.queue(&queue, durable()).await;
    let body = |number: usize| format!("{number:08}").into_bytes();
    for first in (0..count).step_by(50_000) {
        let last = (first + 50_000).min(count);
        publisher.fill(&queue, (first..last).map(body)).await;
    }
    let target = format!("{queue}-to");
    let consumer = Client::connect(&to.url()).await.confirming().await;
    consumer.queue(&target, durable()).await;
    let value = json!({"src-uri": from.url(), "src-queue": queue, "dest-uri": to.url(),
        "dest-queue": target, "reconnect-delay": 0.2});
    let begun = Instant::now();
    let parameter = json!({"value": value});
    runner(&from, &to, &host)
        .http()
        .put("/parameters/shovel/%2F/soak", &parameter)
        .is(201);
    let mut disturbed = Vec::new();
    for round in 0.. {
        std::thread::sleep(Duration::from_millis(700));
        if left(&from, &queue).await == 0 {
            break;
        }
        disturbed.push(match round % 3 {
            0 => to.kill(),
            1 => {
                cut_links(runner(&from, &to, &host));
                "cut links"
            }
            _ => match &mut host {
                Some(host) => {
                    host.kill();
                    host.restart();
                    "killed the shovel's broker"
                }
                None => from.kill(),
            },
        });
    }
    let took = begun.elapsed();
    runner(&from, &to, &host)
        .http()
        .delete("/parameters/shovel/%2F/soak");
    let mut times = vec![0_u32; count];
    let consumer = Client::connect(&to.url()).await.channel().await;
    let arrived = consumer.count(&target).await as usize;
    let mut deliveries = consumer.consume_no_ack(&target).await;
    for _ in 0..arrived {
        let text = deliveries.next_text().await;
        times[text.parse::<usize>().expect("a number")] += 1;
    }
    let lost = times.iter().filter(|times| **times == 0).count();
    let duplicates = arrived - (count - lost);
    println!(
        "{name}: {count} messages in {took:.1?}, {} disturbances ({}): lost {lost}, twice {duplicates}",
        disturbed.len(),
        disturbed.join(", ")
    );
    assert_eq!(lost, 0);
}

fn runner<'a>(from: &'a End, to: &'a End, host: &'a Option<Broker>) -> &'a Broker {
    match (host, from, to) {
        (Some(host), _, _) => host,
        (None, End::Warren(broker), _) | (None, _, End::Warren(broker)) => broker,
        (None, End::RabbitMq { .. }, End::RabbitMq { .. }) => panic!("nobody runs the shovel"),
    }
}

/// What is still at the source.
async fn left(from: &End, queue: &str) -> u64 {
    match from {
        End::Warren(broker) => {
            let row = broker.http().json(&format!("/queues/%2F/{queue}"));
            row["messages"].as_u64().unwrap_or(u64::MAX)
        }
        End::RabbitMq { url, .. } => match Client::try_connect(url).await {
            // Those that are not acknowledged are not seen: asked twice with a pause between.
            Ok(client) => {
                let channel = client.channel().await;
                let mut most = 0;
                for _ in 0..3 {
                    most = most.max(channel.count(queue).await);
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                most.into()
            }
            Err(_) => u64::MAX,
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn soak_from_warren_to_warren() {
    soak("Warren -> Warren", End::warren(), End::warren(), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and needs a RabbitMQ"]
async fn soak_from_warren_to_rabbitmq() {
    if let Some(rabbitmq) = End::rabbitmq() {
        soak("Warren -> RabbitMQ", End::warren(), rabbitmq, None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and needs a RabbitMQ"]
async fn soak_from_rabbitmq_to_warren() {
    if let Some(rabbitmq) = End::rabbitmq() {
        soak("RabbitMQ -> Warren", rabbitmq, End::warren(), None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn soak_through_a_third_broker() {
    let host = Some(broker());
    soak(
        "Warren -> Warren by a third",
        End::warren(),
        End::warren(),
        host,
    )
    .await;
}
