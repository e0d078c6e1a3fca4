//! SIGKILL while messages go back and forth between two queues as dead letters: each is in exactly
//! one of the two afterwards. By default a few rounds; a million dead letters with
//! `cargo test --release --test dead_letter_crash -- --ignored --nocapture`.

use std::collections::BTreeMap;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use warren::amqp::frame::FrameKind;
use warren::amqp::{method, write};
use warren_tests::crash::{Connection, Ended, Random};
use warren_tests::kit::{Broker, Channel, Options, durable};

const QUEUES: [&str; 2] = ["first", "second"];
const CHANNEL: u16 = 1;

/// So many go back and forth.
const MESSAGES: usize = 20_000;

/// Both queues refuse everything, which sends it to the other one.
async fn declare(channel: &Channel) {
    for (queue, other) in [("first", "second"), ("second", "first")] {
        let mut arguments = FieldTable::default();
        let text = |text: &str| AMQPValue::LongString(text.into());
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(other));
        let declared = channel
            .queue_declare(queue.into(), durable(), arguments)
            .await;
        declared.expect("a queue");
    }
}

/// Rejects what comes, in batches, until the broker is gone; says how many that were.
fn reject(address: &str, queue: &str, mut random: Random) -> JoinHandle<u64> {
    let mut connection = Connection::open(address).expect("a connection");
    connection.consume(queue, 500).expect("a consumer");
    thread::spawn(move || {
        let mut rejected = 0;
        loop {
            match reject_some(&mut connection, &mut random) {
                Ok(count) => rejected += count,
                Err(Ended::Lost(_)) => return rejected,
                Err(closed @ Ended::Closed { .. }) => panic!("{closed}"),
            }
        }
    })
}

fn reject_some(connection: &mut Connection, random: &mut Random) -> Result<u64, Ended> {
    let mut nacks = Vec::new();
    let mut count = 0;
    let mut open = None;
    while let Some(frame) = connection.frame()? {
        if frame.kind != FrameKind::Method {
            continue;
        }
        if let Some(deliver) = method::parse_deliver(frame.payload) {
            count += 1;
            open = Some(deliver.delivery_tag);
            if random.within(0..20) == 0 {
                write::nack(&mut nacks, CHANNEL, deliver.delivery_tag, true, false);
                open = None;
            }
        }
    }
    if let Some(last) = open {
        write::nack(&mut nacks, CHANNEL, last, true, false);
    }
    connection.write(&nacks)?;
    connection.wait()?;
    Ok(count)
}

async fn ready(channel: &Channel) -> u32 {
    channel.count(QUEUES[0]).await + channel.count(QUEUES[1]).await
}

/// Empties both queues; how often each message was there.
async fn drain(channel: &Channel) -> BTreeMap<u32, u32> {
    let mut found = BTreeMap::new();
    for queue in QUEUES {
        while let Some(message) = channel.get(queue).await {
            let number: [u8; 4] = message.data[..4].try_into().expect("a number");
            *found.entry(u32::from_be_bytes(number)).or_default() += 1;
        }
    }
    found
}

async fn back_and_forth(rounds: u64, letters: u64) {
    let seed = Random::seed();
    println!("WARREN_SEED={seed}");
    let mut random = Random::new(seed);
    let mut broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.confirming().await;
    declare(&channel).await;
    let bodies = (0..MESSAGES as u32).map(|number| number.to_be_bytes().to_vec());
    channel.fill("first", bodies).await;
    let (mut sent, mut round) = (0, 0);
    while round < rounds || sent < letters {
        let address = broker.address().to_owned();
        let consumers = QUEUES.map(|queue| reject(&address, queue, random.fork()));
        thread::sleep(Duration::from_millis(random.within(50..800)));
        broker.kill();
        sent += consumers
            .into_iter()
            .map(|one| one.join().expect("a consumer"))
            .sum::<u64>();
        broker.restart();
        let channel = broker.channel().await;
        let there = ready(&channel).await;
        assert_eq!(
            there, MESSAGES as u32,
            "round {round}, {sent} dead letters, seed {seed}"
        );
        round += 1;
    }
    let found = drain(&broker.channel().await).await;
    let doubled = found.values().filter(|count| **count > 1).count();
    let lost = MESSAGES - found.len();
    println!("{round} rounds, {sent} dead letters: {lost} lost, {doubled} doubled");
    assert_eq!((lost, doubled), (0, 0), "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_has_a_dead_letter_in_exactly_one_queue() {
    back_and_forth(4, 10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a million dead letters"]
async fn a_million_dead_letters_are_in_exactly_one_queue() {
    back_and_forth(30, 1_000_000).await;
}
