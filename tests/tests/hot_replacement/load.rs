//! A steady load with confirms through one exchange: what was published, confirmed and delivered,
//! in which order, and how long the slowest confirm took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lapin::Confirmation;
use lapin::options::BasicPublishOptions;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinHandle;
use warren_tests::kit::{Broker, Client, Deliveries, persistent};

/// A publisher sends its share once in this time.
const BEAT: Duration = Duration::from_millis(5);

pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<Client>,
    publishers: Vec<JoinHandle<Published>>,
    consumer: JoinHandle<Deliveries>,
    received: Arc<parking::Received>,
    begun: Instant,
}

/// What one publisher saw.
struct Published {
    sent: u64,
    refused: u64,
    /// Microseconds.
    latencies: Vec<u32>,
}

#[derive(Debug)]
pub struct Outcome {
    pub published: u64,
    pub refused: u64,
    pub delivered: u64,
    pub out_of_order: u64,
    pub connections_closed: usize,
    pub per_second: f64,
    pub median: Duration,
    pub p99: Duration,
    pub worst: Duration,
}

mod parking {
    use std::sync::Mutex;

    /// The next number expected of each publisher.
    #[derive(Default)]
    pub struct Received(Mutex<State>);

    #[derive(Default, Clone)]
    pub struct State {
        pub next: Vec<u64>,
        pub total: u64,
        pub out_of_order: u64,
    }

    impl Received {
        pub fn note(&self, publisher: usize, number: u64) {
            let mut state = self.0.lock().expect("not poisoned");
            if state.next.len() <= publisher {
                state.next.resize(publisher + 1, 0);
            }
            state.total += 1;
            if state.next[publisher] != number {
                state.out_of_order += 1;
            }
            state.next[publisher] = number + 1;
        }

        pub fn state(&self) -> State {
            self.0.lock().expect("not poisoned").clone()
        }
    }
}

impl Load {
    /// `rate` messages a second in all, through `exchange` to `queue`, which it is bound to by `key`.
    pub async fn start(
        broker: &Broker,
        publishers: usize,
        rate: u64,
        (exchange, key, queue): (&str, &str, &str),
    ) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let received = Arc::new(parking::Received::default());
        let consumers = broker.connect().await;
        let deliveries = consumers.channel().await.consume_no_ack(queue).await;
        let mut clients = vec![consumers];
        let noted = Arc::clone(&received);
        let stopped = Arc::clone(&stop);
        let consumer = tokio::spawn(consume(deliveries, noted, stopped));
        let mut tasks = Vec::new();
        let beats = 1000 / BEAT.as_millis() as u64;
        let share = rate / beats / publishers as u64;
        assert_eq!(
            share * beats * publishers as u64,
            rate,
            "does not come out even"
        );
        for publisher in 0..publishers {
            let client = broker.connect().await;
            let channel = client.confirming().await;
            clients.push(client);
            let (exchange, key) = (exchange.to_owned(), key.to_owned());
            let stop = Arc::clone(&stop);
            tasks.push(tokio::spawn(async move {
                publish(channel, publisher as u8, share, (&exchange, &key), &stop).await
            }));
        }
        Load {
            stop,
            clients,
            publishers: tasks,
            consumer,
            received,
            begun: Instant::now(),
        }
    }

    pub fn delivered(&self) -> u64 {
        self.received.state().total
    }

    pub async fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let took = self.begun.elapsed();
        let (mut published, mut refused, mut latencies) = (0, 0, Vec::new());
        for publisher in self.publishers {
            let one = publisher.await.expect("a publisher");
            published += one.sent;
            refused += one.refused;
            latencies.extend(one.latencies);
        }
        let until = Instant::now() + Duration::from_secs(10);
        while self.received.state().total < published - refused && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.consumer.abort();
        let state = self.received.state();
        let alive = self
            .clients
            .iter()
            .filter(|client| client.status().connected());
        let connections_closed = self.clients.len() - alive.count();
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = ((latencies.len() as f64 - 1.0) * share) as usize;
            Duration::from_micros(latencies.get(index).copied().unwrap_or(0).into())
        };
        Outcome {
            published,
            refused,
            delivered: state.total,
            out_of_order: state.out_of_order,
            connections_closed,
            per_second: published as f64 / took.as_secs_f64(),
            median: at(0.5),
            p99: at(0.99),
            worst: at(1.0),
        }
    }
}

async fn consume(
    mut deliveries: Deliveries,
    received: Arc<parking::Received>,
    stop: Arc<AtomicBool>,
) -> Deliveries {
    loop {
        let delivery = deliveries.next_or_end().await;
        let Some(delivery) = delivery else {
            assert!(stop.load(Ordering::Relaxed), "the consumer was cancelled");
            return deliveries;
        };
        let (publisher, number) = delivery.data.split_first().expect("a body");
        let number = u64::from_be_bytes(number.try_into().expect("eight octets"));
        received.note(usize::from(*publisher), number);
    }
}

async fn publish(
    channel: warren_tests::kit::Channel,
    publisher: u8,
    share: u64,
    (exchange, key): (&str, &str),
    stop: &AtomicBool,
) -> Published {
    let (sender, confirms) = mpsc::unbounded_channel();
    let collected = tokio::spawn(collect(confirms));
    let mut beat = tokio::time::interval(BEAT);
    let mut sent = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        beat.tick().await;
        for _ in 0..share {
            let mut body = vec![publisher];
            body.extend(sent.to_be_bytes());
            let now = Instant::now();
            let published = channel
                .basic_publish(
                    exchange.into(),
                    key.into(),
                    BasicPublishOptions::default(),
                    &body,
                    persistent(),
                )
                .await;
            let _ = sender.send((now, published.expect("basic.publish")));
            sent += 1;
        }
    }
    drop(sender);
    let (refused, latencies) = collected.await.expect("the confirms");
    Published {
        sent,
        refused,
        latencies,
    }
}

/// How many were refused, and how long each took.
async fn collect<F: Future<Output = lapin::Result<Confirmation>>>(
    mut confirms: UnboundedReceiver<(Instant, F)>,
) -> (u64, Vec<u32>) {
    let (mut refused, mut latencies) = (0, Vec::new());
    while let Some((sent, confirm)) = confirms.recv().await {
        match confirm.await {
            Ok(confirm) if confirm.is_ack() => {}
            Ok(_) | Err(_) => refused += 1,
        }
        latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    (refused, latencies)
}
