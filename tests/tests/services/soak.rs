//! A million messages through a shovel while links are cut and brokers are killed at random. Not part
//! of the suite: `cargo test --release --test services soak -- --ignored --nocapture --test-threads 1`.
//!
//! `SHOVEL_RABBITMQ` is the URL of a RabbitMQ for the two ways that lead through one, and
//! `SHOVEL_RABBITMQ_KILL` a command that kills it and starts it again (`tests/interop/rabbitmq.sh kill`);
//! `SHOVEL_MESSAGES` is how many, `SHOVEL_SEED` makes the same choices again.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use warren_tests::kit::{Broker, Client, Options, durable};

use super::broker;
use super::proxy::Proxy;

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

    fn rabbitmq() -> End {
        End::RabbitMq {
            url: std::env::var("SHOVEL_RABBITMQ").expect("SHOVEL_RABBITMQ, a RabbitMQ's URL"),
            kill: std::env::var("SHOVEL_RABBITMQ_KILL").ok(),
        }
    }

    fn url(&self) -> String {
        match self {
            End::Warren(broker) => broker.url(),
            End::RabbitMq { url, .. } => url.clone(),
        }
    }

    fn address(&self) -> String {
        match self {
            End::Warren(broker) => broker.address().to_owned(),
            End::RabbitMq { url, .. } => {
                let rest = url.rsplit('@').next().unwrap_or_default();
                rest.split('/').next().unwrap_or_default().to_owned()
            }
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

/// What happens next is drawn from this (xorshift).
struct Dice(u64);

impl Dice {
    fn thrown() -> Dice {
        let given = std::env::var("SHOVEL_SEED").ok();
        let now = || std::time::UNIX_EPOCH.elapsed().expect("after 1970");
        let seed = given.and_then(|text| text.parse().ok());
        Dice(seed.unwrap_or_else(|| now().as_nanos() as u64) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The two ends, who runs the shovel if it is neither, and the links that it goes through.
struct Stage {
    from: End,
    to: End,
    host: Option<Broker>,
    from_link: Proxy,
    to_link: Proxy,
}

impl Stage {
    async fn new(from: End, to: End, host: Option<Broker>) -> Stage {
        Stage {
            from_link: Proxy::to(from.address()).await,
            to_link: Proxy::to(to.address()).await,
            from,
            to,
            host,
        }
    }

    fn disturb(&mut self, dice: &mut Dice) -> &'static str {
        match dice.below(if self.host.is_some() { 5 } else { 4 }) {
            0 => {
                self.from_link.cut();
                "cut the source's link"
            }
            1 => {
                self.to_link.cut();
                "cut the destination's link"
            }
            2 => self.from.kill(),
            3 => self.to.kill(),
            _ => {
                if let Some(host) = &mut self.host {
                    host.kill();
                    host.restart();
                }
                "killed the shovel's broker"
            }
        }
    }

    fn runner(&self) -> &Broker {
        runner(&self.from, &self.to, &self.host)
    }

    fn start(&self, queue: &str, target: &str) {
        let value = json!({
            "src-uri": format!("amqp://guest:guest@{}", self.from_link.address()),
            "src-queue": queue,
            "dest-uri": format!("amqp://guest:guest@{}", self.to_link.address()),
            "dest-queue": target,
            "reconnect-delay": 0.2,
        });
        let set = self
            .runner()
            .http()
            .put("/parameters/shovel/%2F/soak", &json!({"value": value}));
        assert!([201, 204].contains(&set.status), "{set:?}");
    }
}

/// Moves all messages from one end to the other, and tells what has become of them.
async fn soak(name: &str, from: End, to: End, host: Option<Broker>) {
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
    let mut dice = Dice::thrown();
    println!("{name}: SHOVEL_SEED={}", dice.0);
    let mut stage = Stage::new(from, to, host).await;
    let begun = Instant::now();
    stage.start(&queue, &target);
    let mut disturbed = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_millis(200 + dice.below(1_000))).await;
        if left(&stage.from, &queue).await == 0 {
            break;
        }
        disturbed.push(stage.disturb(&mut dice));
    }
    let took = begun.elapsed();
    let http = stage.runner().http();
    http.delete("/parameters/shovel/%2F/soak").is(204);
    let (lost, twice) = arrived(&stage.to, &target, count).await;
    let mut kinds: Vec<&str> = disturbed.clone();
    kinds.sort_unstable();
    let kinds = kinds.chunk_by(|one, other| one == other);
    let kinds: Vec<String> = kinds
        .map(|kind| format!("{} x {}", kind.len(), kind[0]))
        .collect();
    println!(
        "{name}: {count} messages in {took:.1?}, {} disturbances ({}): lost {lost}, twice {twice}",
        disturbed.len(),
        kinds.join(", ")
    );
    assert_eq!(lost, 0);
    let source = Client::connect(&stage.from.url()).await.channel().await;
    assert_eq!(source.count(&queue).await, 0, "all was acknowledged");
    for (end, queue) in [(&stage.from, &queue), (&stage.to, &target)] {
        let channel = Client::connect(&end.url()).await.channel().await;
        let deleted = channel.queue_delete(queue.as_str().into(), Default::default());
        deleted.await.expect("queue.delete");
    }
}

/// How many did not arrive, and how many came once too often.
async fn arrived(to: &End, target: &str, count: usize) -> (usize, usize) {
    let mut times = vec![0_u32; count];
    let consumer = Client::connect(&to.url()).await.channel().await;
    let arrived = consumer.count(target).await as usize;
    let mut deliveries = consumer.consume_no_ack(target).await;
    for _ in 0..arrived {
        let text = deliveries.next_text().await;
        times[text.parse::<usize>().expect("a number")] += 1;
    }
    let lost = times.iter().filter(|times| **times == 0).count();
    (lost, arrived - (count - lost))
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
    let rabbitmq = End::rabbitmq();
    soak("Warren -> RabbitMQ", End::warren(), rabbitmq, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and needs a RabbitMQ"]
async fn soak_from_rabbitmq_to_warren() {
    let rabbitmq = End::rabbitmq();
    soak("RabbitMQ -> Warren", rabbitmq, End::warren(), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn soak_through_a_third_broker() {
    let host = Some(broker());
    let name = "Warren -> Warren by a third";
    soak(name, End::warren(), End::warren(), host).await;
}
