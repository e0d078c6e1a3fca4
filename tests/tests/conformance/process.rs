//! The broker as a process: what it refuses to start with, and how it ends.

use warren_tests::kit::{Broker, NotStarted, Options, durable};

/// The log of a broker that must not start.
#[track_caller]
fn refused(options: Options) -> String {
    match Broker::try_start(options) {
        Ok(_) => panic!("it started"),
        Err(NotStarted { status, log }) => {
            let status = status.expect("the process ended by itself");
            assert!(!status.success() && status.code().is_some(), "{status}");
            log.join("\n")
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let log = refused(Options::default().config("[amqp]\nheartbeet = 5\n"));
    let text = "warren.toml:2: amqp.heartbeet: unknown key, did you mean 'heartbeat'?";
    assert!(log.contains(text), "{log}");
    let log = refused(Options::default().set("amqp.frame_maxx=4096"));
    assert!(log.contains("did you mean 'frame_max'?"), "{log}");
    let log = refused(Options::default().set("amqp.heartbeat=soon"));
    assert!(log.contains("found \"soon\""), "{log}");
}

#[test]
fn a_folder_has_one_broker() {
    let mut first = Broker::start(Options::default());
    let same_folder = || Options {
        data_dir: Some(first.data_dir()),
        ..Options::default()
    };
    let log = refused(same_folder());
    assert!(log.contains("is in use by another process"), "{log}");
    // The lock dies with its owner.
    first.kill();
    first.restart();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_takes_leave_of_clients_and_ends_well() {
    let mut broker = Broker::start(Options::default());
    let clients = [broker.connect().await, broker.connect().await];
    let channel = clients[0].channel().await;
    channel.queue("q", durable()).await;
    let _deliveries = channel.consume("q").await;
    let status = broker.stop();
    assert!(status.success(), "{status}");
    for client in &clients {
        client.refusal().await.is(
            320,
            "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
        );
    }
    broker.restart();
    assert_eq!(broker.channel().await.count("q").await, 0);
}
