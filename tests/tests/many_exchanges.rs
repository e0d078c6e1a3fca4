//! Ten thousand exchanges of a component type, a thousand bindings each on a hundred of them:
//! memory, bind rate, publish rate.
//! `cargo test --release --test many_exchanges -- --ignored --nocapture`.

use std::time::Instant;

use lapin::Confirmation;
use lapin::options::BasicPublishOptions;
use warren_tests::kit::{Broker, Channel, Options, durable, fixture, persistent};

struct Size {
    exchanges: usize,
    bound: usize,
    bindings: usize,
}

async fn many(size: Size) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(fixture("exact.wasm"), folder.path().join("exact.wasm")).expect("a plugin");
    let broker = Broker::start(Options {
        plugins_dir: Some(folder.path().to_owned()),
        ..Options::default()
    });
    let mebibytes = || broker.resident_memory() as f64 / f64::from(1 << 20);
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    let empty = mebibytes();
    let begun = Instant::now();
    for number in 0..size.exchanges {
        let name = format!("x-{number}");
        channel.exchange(&name, "x-exact", Default::default()).await;
        channel.bind("q", &name, "all").await;
    }
    let rate = size.exchanges as f64 / begun.elapsed().as_secs_f64();
    let declared = mebibytes();
    println!(
        "{} exchanges with a binding each: {rate:.0}/s, {empty:.0} to {declared:.0} MiB",
        size.exchanges
    );
    let begun = Instant::now();
    for number in 0..size.bound {
        for key in 0..size.bindings {
            let exchange = format!("x-{number}");
            channel.bind("q", &exchange, &format!("key-{key}")).await;
        }
    }
    let rate = (size.bound * size.bindings) as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{} bindings on each of {} of them: {rate:.0} binds/s, {:.0} MiB",
        size.bindings,
        size.bound,
        mebibytes()
    );
    let begun = Instant::now();
    let mut published = 0_u32;
    for number in (0..size.exchanges).step_by(7) {
        let exchange = format!("x-{number}");
        let confirm = channel.confirmed(&exchange, "all", b"x", persistent());
        assert_eq!(confirm.await, Confirmation::Ack(None), "{exchange}");
        published += 1;
    }
    let rate = f64::from(published) / begun.elapsed().as_secs_f64();
    println!(
        "one message to every seventh, one at a time: {rate:.0} confirms/s, {:.0} MiB",
        mebibytes()
    );
    assert_eq!(channel.count("q").await, published);
    // A thousand under way at a time. Where more exchanges take turns than may have an instance, the
    // instance is rebuilt for the first message of each, and its answer remembered for the second.
    for (what, exchanges, key) in [
        ("the first to each exchange in turn", size.exchanges, "all"),
        ("the second to each", size.exchanges, "all"),
        ("to those with many bindings in turn", size.bound, "key-50"),
    ] {
        let names: Vec<String> = (0..exchanges).map(|number| format!("x-{number}")).collect();
        let messages = exchanges.max(10_000);
        let in_turn: Vec<&String> = names.iter().cycle().take(messages).collect();
        let begun = Instant::now();
        for thousand in in_turn.chunks(1000) {
            publish_all(&channel, thousand, key).await;
        }
        let rate = messages as f64 / begun.elapsed().as_secs_f64();
        println!("{what}: {rate:.0} confirms/s, {:.0} MiB", mebibytes());
    }
}

async fn publish_all(channel: &Channel, exchanges: &[&String], key: &str) {
    let mut confirms = Vec::with_capacity(exchanges.len());
    for exchange in exchanges {
        let (exchange, key) = (exchange.as_str().into(), key.into());
        let options = BasicPublishOptions::default();
        let publishing = channel.basic_publish(exchange, key, options, b"x", persistent());
        confirms.push(publishing.await.expect("basic.publish"));
    }
    for confirm in confirms {
        assert_eq!(confirm.await.expect("a confirm"), Confirmation::Ack(None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_of_a_component_type_may_be_many() {
    // More than may be live at once: the least used are rebuilt when they are needed.
    let exchanges = 1_200;
    let bound = 2;
    let bindings = 100;
    many(Size {
        exchanges,
        bound,
        bindings,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a hundred thousand binds take a minute"]
async fn ten_thousand_exchanges_of_a_component_type() {
    let exchanges = 10_000;
    let bound = 100;
    let bindings = 1_000;
    many(Size {
        exchanges,
        bound,
        bindings,
    })
    .await;
}
