//! A plugin's component is replaced while messages flow through its exchanges: nothing is lost,
//! nothing is closed, and a version that does not work is rolled back. The long form:
//! `cargo test --release --test hot_replacement -- --ignored --nocapture`.

mod load;

use std::path::Path;

use lapin::Confirmation;
use lapin::types::FieldTable;
use load::Load;
use warren_tests::kit::{
    Broker, Channel, DEADLINE, Options, durable, fixture, headers, persistent, soon,
};

/// The exact exchange of the examples with other bytes: a custom section of its own behind it, so
/// that it is a new component each time.
fn version(number: u32) -> Vec<u8> {
    let mut component = std::fs::read(fixture("exact.wasm")).expect("the fixture");
    let name = b"version";
    let content = number.to_be_bytes();
    component.push(0);
    component.push((1 + name.len() + content.len()) as u8);
    component.push(name.len() as u8);
    component.extend(name);
    component.extend(content);
    component
}

/// A component of the same exchange type that panics in `open`, for exchanges that ask for it.
fn panics_in_open() -> Vec<u8> {
    let mut component = std::fs::read(fixture("fault.wasm")).expect("the fixture");
    let (old, new) = (b"x-fault", b"x-exact");
    for at in 0..component.len() - old.len() {
        if component[at..].starts_with(old) {
            component[at..at + new.len()].copy_from_slice(new);
        }
    }
    component
}

/// As an author does it: next to the old one, then over it.
fn put(folder: &Path, component: &[u8]) {
    let scratch = folder.join("exact.wasm.new");
    std::fs::write(&scratch, component).expect("writes");
    std::fs::rename(&scratch, folder.join("exact.wasm")).expect("renames");
}

fn times(broker: &Broker, text: &str) -> usize {
    let lines = broker.log_lines();
    lines.iter().filter(|line| line.contains(text)).count()
}

async fn logged(broker: &Broker, text: &str, count: usize) {
    soon(text, DEADLINE, async || times(broker, text) >= count).await;
}

const IN_FORCE: &str = "plugin in force";
const ROLLED_BACK: &str = "new version rolled back";

/// A broker with an exchange `x` of type `x-exact` that a hundred queues are bound to. The new
/// versions that panic do so because of its arguments.
async fn broker(options: Options) -> (tempfile::TempDir, Broker) {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), &version(0));
    let broker = Broker::start(Options {
        plugins_dir: Some(folder.path().to_owned()),
        ..options
    });
    let channel = broker.channel().await;
    let arguments = headers([("x-exact", "trap-in-open")]);
    let options = lapin::options::ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let declared = channel.try_exchange("x", "x-exact", options, arguments);
    declared.await.expect("exchange.declare");
    channel.queue("q", durable()).await;
    for number in 0..100 {
        channel.bind("q", "x", &format!("key-{number}")).await;
    }
    (folder, broker)
}

async fn replaced_under_load(versions: u32, rate: u64) {
    let (folder, broker) = broker(Options::default()).await;
    let load = Load::start(&broker, 5, rate, ("x", "key-7", "q")).await;
    for number in 1..=versions {
        put(folder.path(), &version(number));
        logged(&broker, IN_FORCE, number as usize).await;
    }
    put(folder.path(), &panics_in_open());
    logged(&broker, ROLLED_BACK, 1).await;
    let before = load.delivered();
    soon("messages flow on", DEADLINE, async || {
        load.delivered() > before + rate
    })
    .await;
    let outcome = load.stop().await;
    println!(
        "{versions} versions, asked for {rate} msg/s, came to {:.0}: published {}, refused {}, \
         delivered {}, out of order {}, connections closed {}; confirms: median {:?}, p99 {:?}, \
         worst {:?}",
        outcome.per_second,
        outcome.published,
        outcome.refused,
        outcome.delivered,
        outcome.out_of_order,
        outcome.connections_closed,
        outcome.median,
        outcome.p99,
        outcome.worst,
    );
    for line in broker
        .log_lines()
        .iter()
        .filter(|line| line.contains("rolled back"))
    {
        println!("{line}");
    }
    assert_eq!(outcome.refused, 0);
    assert_eq!(
        outcome.delivered, outcome.published,
        "lost or delivered twice"
    );
    assert_eq!(outcome.out_of_order, 0);
    assert_eq!(outcome.connections_closed, 0);
    assert_eq!(times(&broker, IN_FORCE), versions as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_replaced_under_load_and_nothing_is_lost() {
    replaced_under_load(3, 2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "100 replacements take minutes"]
async fn a_plugin_is_replaced_a_hundred_times_at_ten_thousand_a_second() {
    replaced_under_load(100, 10_000).await;
}

async fn publish(channel: &Channel, key: &str) -> Confirmation {
    channel
        .confirmed("x", key, key.as_bytes(), persistent())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_written_component_is_not_taken_and_a_broken_one_is_rolled_back() {
    let (folder, broker) = broker(Options::default()).await;
    let channel = broker.connect().await.confirming().await;
    let whole = version(1);
    // Every look finds it longer than the one before.
    for length in [whole.len() / 4, whole.len() / 2, whole.len() * 3 / 4] {
        std::fs::write(folder.path().join("exact.wasm"), &whole[..length]).expect("writes");
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        assert!(publish(&channel, "key-1").await.is_ack());
    }
    put(folder.path(), &whole);
    logged(&broker, IN_FORCE, 1).await;
    assert_eq!(times(&broker, ROLLED_BACK), 0);
    // One that is no component at all, and one that has another type.
    put(folder.path(), &whole[..whole.len() / 2]);
    logged(&broker, ROLLED_BACK, 1).await;
    let other = std::fs::read(fixture("fault.wasm")).expect("the fixture");
    put(folder.path(), &other);
    logged(&broker, ROLLED_BACK, 2).await;
    broker.logs("exchange 'x' in vhost '/': no plugin offers 'x-exact'");
    assert!(publish(&channel, "key-2").await.is_ack());
    assert_eq!(
        channel.drain("q").await,
        ["key-1", "key-1", "key-1", "key-2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_taken_away_fails_publishes_until_it_is_back() {
    let (folder, broker) = broker(Options::default()).await;
    let client = broker.connect().await;
    let channel = client.confirming().await;
    assert!(publish(&channel, "key-1").await.is_ack());
    std::fs::remove_file(folder.path().join("exact.wasm")).expect("removes");
    broker.logs("plugin is out of force");
    assert!(publish(&channel, "key-1").await.is_nack());
    let plain = client.channel().await;
    plain.publish("x", "key-1", b"x").await;
    let text = "INTERNAL_ERROR - exchange 'x' could not route the message";
    client.refusal().await.is(541, text);
    // Bindings change while nobody is there to hear of it.
    channel.bind("q", "x", "late").await;
    let unbound = channel.queue_unbind(
        "q".into(),
        "x".into(),
        "key-1".into(),
        FieldTable::default(),
    );
    unbound.await.expect("queue.unbind");
    put(folder.path(), &version(1));
    broker.logs(IN_FORCE);
    assert!(publish(&channel, "late").await.is_ack());
    assert!(matches!(
        publish(&channel, "key-1").await,
        Confirmation::Ack(Some(_))
    ));
    assert_eq!(channel.drain("q").await, ["key-1", "late"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_type_holds_while_it_is_away_is_routed_when_it_is_back() {
    let options = Options::default().set("plugins.exact.unavailable=hold:2");
    let (folder, mut broker) = broker(options).await;
    std::fs::remove_file(folder.path().join("exact.wasm")).expect("removes");
    broker.logs("plugin is out of force");
    let channel = broker.connect().await.confirming().await;
    for key in ["key-1", "key-2"] {
        assert!(publish(&channel, key).await.is_ack());
    }
    // Two are held: a third is refused rather than lost.
    assert!(publish(&channel, "key-3").await.is_nack());
    // What is held was confirmed, so it is there after a crash too.
    broker.kill();
    broker.restart();
    let channel = broker.connect().await.confirming().await;
    assert_eq!(channel.count("q").await, 0);
    put(folder.path(), &version(1));
    broker.logs(IN_FORCE);
    soon("both arrive", DEADLINE, async || {
        channel.count("q").await == 2
    })
    .await;
    let mut held = channel.drain("q").await;
    held.sort();
    assert_eq!(held, ["key-1", "key-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_type_stands_in_while_one_is_away() {
    let options = Options::default().set("plugins.exact.unavailable=fallback:fanout");
    let (folder, broker) = broker(options).await;
    let channel = broker.connect().await.confirming().await;
    assert!(matches!(
        publish(&channel, "nobody").await,
        Confirmation::Ack(Some(_))
    ));
    std::fs::remove_file(folder.path().join("exact.wasm")).expect("removes");
    broker.logs("plugin is out of force");
    assert!(matches!(
        publish(&channel, "nobody").await,
        Confirmation::Ack(None)
    ));
    put(folder.path(), &version(1));
    broker.logs(IN_FORCE);
    assert!(matches!(
        publish(&channel, "nobody").await,
        Confirmation::Ack(Some(_))
    ));
    assert_eq!(channel.drain("q").await, ["nobody"]);
}

fn hang_up(broker: &Broker) {
    // SAFETY: no memory is involved; the broker's process has not been waited for.
    let sent = unsafe { libc::kill(broker.pid() as libc::pid_t, libc::SIGHUP) };
    assert_eq!(sent, 0, "SIGHUP");
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_disables_enables_and_limits_plugins() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("warren.toml");
    let configure = |text: &str| std::fs::write(&file, text).expect("writes");
    configure("");
    let options = Options {
        env: vec![("WARREN_CONFIG".to_owned(), file.display().to_string())],
        ..Options::default()
    };
    let (_folder, broker) = broker(options).await;
    let channel = broker.connect().await.confirming().await;
    assert!(publish(&channel, "key-1").await.is_ack());
    configure("[plugins.exact]\nenabled = false\n");
    hang_up(&broker);
    broker.logs("plugin is out of force");
    assert!(publish(&channel, "key-1").await.is_nack());
    configure("[plugins.exact]\nroute_timeout = \"20ms\"\n");
    hang_up(&broker);
    logged(&broker, IN_FORCE, 1).await;
    assert!(publish(&channel, "key-1").await.is_ack());
    // A limit that nothing fits in: the one before stays.
    configure("[plugins.exact]\nmemory = 1000\n");
    hang_up(&broker);
    logged(&broker, ROLLED_BACK, 1).await;
    assert!(publish(&channel, "key-1").await.is_ack());
    configure("[plugins.exact]\nenabeld = false\n");
    hang_up(&broker);
    broker.logs("did you mean 'enabled'?");
    assert!(publish(&channel, "key-1").await.is_ack());
}
