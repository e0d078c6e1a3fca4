//! Queues against a model of them: random publishes, gets, acknowledgements, returns and purges,
//! with SIGKILL and clean stops in between. What is certain is delivered, what is delivered was
//! certain or at least sent, in order, with the right redelivered flag. Many rounds with
//! `cargo test --release --test model -- --ignored --nocapture`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use warren_tests::crash::Random;
use warren_tests::kit::{Broker, Channel, DEADLINE, Options, durable, persistent};

type Id = u64;
type Confirm = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>;

/// Where a message stands: the highest priority first, then as published.
type Place = (Reverse<u8>, Id);

#[derive(Default)]
struct Line {
    /// The flag says whether it was delivered before.
    ready: BTreeMap<Place, bool>,
    /// Delivered and not settled, by delivery tag.
    held: BTreeMap<u64, Place>,
    /// Sent off and not known to have arrived, or settled and not known to be settled.
    uncertain: BTreeMap<Place, bool>,
}

struct World {
    broker: Broker,
    channel: Channel,
    lines: [Line; 3],
    random: Random,
    next: Id,
    seed: u64,
    steps: u64,
    delivered: u64,
}

const NAMES: [&str; 3] = ["plain", "priorities", "quorum"];
const HIGHEST: [u8; 3] = [0, 3, 0];

async fn declare(channel: &Channel) {
    let mut priorities = FieldTable::default();
    priorities.insert("x-max-priority".into(), AMQPValue::LongInt(3));
    let mut quorum = FieldTable::default();
    quorum.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    quorum.insert("x-delivery-limit".into(), AMQPValue::LongInt(-1));
    for (name, arguments) in NAMES
        .into_iter()
        .zip([FieldTable::default(), priorities, quorum])
    {
        let declared = channel.try_queue(name, durable(), arguments).await;
        declared.expect("a queue");
    }
}

fn place(body: &[u8]) -> Place {
    let (priority, id) = body.split_first().expect("a priority");
    let id = id
        .get(..8)
        .and_then(|id| id.try_into().ok())
        .expect("a number");
    (Reverse(*priority), Id::from_be_bytes(id))
}

impl World {
    async fn new(seed: u64) -> World {
        let broker = Broker::start(Options::default());
        let channel = broker.connect().await.confirming().await;
        declare(&channel).await;
        World {
            broker,
            channel,
            lines: Default::default(),
            random: Random::new(seed),
            next: 0,
            seed,
            steps: 0,
            delivered: 0,
        }
    }

    fn pick(&mut self) -> usize {
        self.random.within(0..NAMES.len() as u64) as usize
    }

    /// The bytes of a new message, and where it stands.
    fn message(&mut self, queue: usize) -> (Place, Vec<u8>, BasicProperties) {
        self.next += 1;
        let priority = self.random.within(0..u64::from(HIGHEST[queue]) + 1) as u8;
        let mut body = vec![priority];
        body.extend_from_slice(&self.next.to_be_bytes());
        // Now and then one that does not lie in a pack.
        if self.random.within(0..50) == 0 {
            body.resize(40_000, b'.');
        }
        let properties = persistent().with_priority(priority);
        ((Reverse(priority), self.next), body, properties)
    }

    async fn send(&mut self, count: u64) -> Vec<(usize, Place, Confirm)> {
        let mut sent = Vec::new();
        for _ in 0..count {
            let queue = self.pick();
            let (place, body, properties) = self.message(queue);
            let key = NAMES[queue].into();
            let publish =
                self.channel
                    .basic_publish("".into(), key, Default::default(), &body, properties);
            if let Ok(confirm) = publish.await {
                sent.push((queue, place, Box::pin(confirm) as Confirm));
            }
        }
        sent
    }

    async fn publish(&mut self) {
        let count = self.random.within(1..40);
        for (queue, place, confirm) in self.send(count).await {
            let confirm = tokio::time::timeout(DEADLINE, confirm)
                .await
                .expect("in time");
            assert!(confirm.expect("a confirm").is_ack());
            self.lines[queue].ready.insert(place, false);
        }
        // The same thread wrote and synced what was settled before.
        self.lines
            .iter_mut()
            .for_each(|line| line.uncertain.clear());
    }

    /// Gets messages and compares each with the one that is due.
    async fn get(&mut self) {
        let queue = self.pick();
        for _ in 0..self.random.within(1..15) {
            let got = self.channel.get(NAMES[queue]).await;
            let line = &mut self.lines[queue];
            let due = line.ready.pop_first();
            let seen = got.as_ref().map(|got| (place(&got.data), got.redelivered));
            assert_eq!(seen, due, "{}, seed {}", NAMES[queue], self.seed);
            let Some(got) = got else { return };
            assert_eq!(u64::from(got.message_count), line.ready.len() as u64);
            line.held.insert(got.delivery_tag, place(&got.data));
            self.delivered += 1;
        }
    }

    /// Settles one held message, or all up to it, on all queues.
    async fn settle(&mut self) {
        let tags: BTreeSet<u64> = self
            .lines
            .iter()
            .flat_map(|line| line.held.keys().copied())
            .collect();
        let Some(&tag) = tags
            .iter()
            .nth(self.random.within(0..tags.len().max(1) as u64) as usize)
        else {
            return;
        };
        let multiple = self.random.within(0..3) == 0;
        let back = self.random.within(0..2) == 0;
        let named = |held: &u64| *held == tag || multiple && *held < tag;
        for line in &mut self.lines {
            let tags: Vec<u64> = line.held.keys().copied().filter(named).collect();
            for tag in tags {
                let place = line.held.remove(&tag).expect("held");
                match back {
                    true => line.ready.insert(place, true),
                    false => line.uncertain.insert(place, true),
                };
            }
        }
        match back {
            true => self.channel.requeue(tag, multiple).await,
            false => self.channel.ack(tag, multiple).await,
        }
    }

    async fn purge(&mut self) {
        let queue = self.pick();
        let purged = self
            .channel
            .queue_purge(NAMES[queue].into(), Default::default())
            .await;
        let line = &mut self.lines[queue];
        assert_eq!(
            u64::from(purged.expect("purge-ok")),
            line.ready.len() as u64
        );
        line.ready.clear();
    }

    async fn step(&mut self) {
        self.steps += 1;
        match self.random.within(0..20) {
            0..7 => self.publish().await,
            7..13 => self.get().await,
            13..19 => self.settle().await,
            _ => self.purge().await,
        }
    }

    /// Killed while publishes and acknowledgements are under way.
    async fn kill(&mut self) {
        let count = self.random.within(0..60);
        let sent = self.send(count).await;
        self.settle().await;
        tokio::time::sleep(Duration::from_micros(self.random.within(0..4000))).await;
        self.broker.kill();
        for (queue, place, confirm) in sent {
            let line = &mut self.lines[queue];
            match tokio::time::timeout(DEADLINE, confirm)
                .await
                .expect("an end")
            {
                Ok(Confirmation::Ack(_)) => line.ready.insert(place, false),
                Ok(_) | Err(_) => line.uncertain.insert(place, false),
            };
        }
        self.restart().await;
        for queue in 0..NAMES.len() {
            self.look(queue).await;
        }
    }

    /// What is held comes back, delivered before; what was only waiting was not.
    async fn stop(&mut self) {
        self.channel.fence().await;
        self.broker.stop();
        self.restart().await;
        for line in &mut self.lines {
            line.uncertain.clear();
        }
    }

    async fn restart(&mut self) {
        self.broker.restart();
        self.channel = self.broker.connect().await.confirming().await;
        for line in &mut self.lines {
            for place in std::mem::take(&mut line.held).into_values() {
                line.ready.insert(place, true);
            }
        }
    }

    /// After a kill: certain ⊆ delivered ⊆ certain and uncertain, in order, all of it redelivered.
    async fn look(&mut self, queue: usize) {
        let mut found: Vec<Place> = Vec::new();
        let mut last = 0;
        while let Some(got) = self.channel.get(NAMES[queue]).await {
            assert!(
                got.redelivered,
                "{:?}, seed {}",
                place(&got.data),
                self.seed
            );
            found.push(place(&got.data));
            last = got.delivery_tag;
        }
        self.delivered += found.len() as u64;
        let line = &mut self.lines[queue];
        let (name, seed) = (NAMES[queue], self.seed);
        assert!(found.is_sorted(), "{name}: order, seed {seed}: {found:?}");
        let once: BTreeSet<Place> = found.iter().copied().collect();
        assert_eq!(once.len(), found.len(), "{name}: doubled, seed {seed}");
        for place in line.ready.keys() {
            assert!(once.contains(place), "{name}: lost {place:?}, seed {seed}");
        }
        for place in &once {
            let known = line.ready.contains_key(place) || line.uncertain.contains_key(place);
            assert!(known, "{name}: {place:?} out of nothing, seed {seed}");
        }
        line.uncertain.clear();
        line.ready = once.into_iter().map(|place| (place, true)).collect();
        if last > 0 {
            // Everything that is held on this channel so far goes back to where it was.
            self.channel.requeue(last, true).await;
        }
    }
}

async fn rounds(rounds: u64) {
    let seed = Random::seed();
    println!("WARREN_SEED={seed}");
    let mut world = World::new(seed).await;
    let (mut kills, mut stops) = (0, 0);
    for _ in 0..rounds {
        for _ in 0..world.random.within(5..60) {
            world.step().await;
        }
        if world.random.within(0..3) == 0 {
            stops += 1;
            world.stop().await;
        } else {
            kills += 1;
            world.kill().await;
        }
    }
    println!(
        "{rounds} rounds ({kills} kills, {stops} clean stops), {} steps, {} messages published, {} \
         deliveries compared: no difference",
        world.steps, world.next, world.delivered
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_do_what_their_model_does_through_kills_and_stops() {
    rounds(12).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "many rounds"]
async fn queues_do_what_their_model_does_for_long() {
    rounds(300).await;
}
