//! Who may log in, and what users of the configuration may do.

use lapin::types::FieldTable;
use warren_tests::kit::{Broker, Client, Options, Refused};

const USERS: &str = r#"
[[vhosts]]
name = "/"
[[vhosts]]
name = "other"
[[users]]
name = "guest"
password = "guest"
tags = ["administrator"]
[[users]]
name = "limited"
password = "secret"
[[permissions]]
user = "guest"
[[permissions]]
user = "limited"
configure = "^mine-"
write = "^mine-|^amq\\.default$"
read = "^mine-"
"#;

async fn refused_login(url: &str) -> Refused {
    match Client::try_connect(url).await {
        Ok(_) => panic!("{url} was let in"),
        Err(error) => error.into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_needs_the_password_the_vhost_and_the_right_to_it() {
    let broker = Broker::start(Options::default().config(USERS));
    let refused = refused_login(&broker.url_of("guest", "wrong", "%2f")).await;
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For \
                details see the broker logfile.";
    refused.is(403, text);
    refused_login(&broker.url_of("nobody", "guest", "%2f"))
        .await
        .is(403, text);
    let refused = refused_login(&broker.url_of("guest", "guest", "nowhere")).await;
    refused.is(530, "NOT_ALLOWED - vhost nowhere not found");
    let refused = refused_login(&broker.url_of("limited", "secret", "other")).await;
    refused.is(
        530,
        "NOT_ALLOWED - access to vhost 'other' refused for user 'limited'",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_secret_is_taken_whatever_it_is() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    // It is for tokens that run out; RabbitMQ asks its own users for their password only once.
    let update = client.update_secret("anything".into(), "renewed".into());
    update.await.expect("update-secret-ok");
    client.channel().await.fence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_hold_for_every_method_that_touches_a_name() {
    let broker = Broker::start(Options::default().config(USERS));
    let guest = broker.channel().await;
    guest.queue("theirs", Default::default()).await;
    let client = Client::connect(&broker.url_of("limited", "secret", "%2f")).await;
    let witness = client.channel().await;
    witness.queue("mine-q", Default::default()).await;
    witness
        .exchange("mine-x", "fanout", Default::default())
        .await;
    witness.bind("mine-q", "mine-x", "").await;
    witness.publish("mine-x", "", b"one").await;
    witness.publish("", "mine-q", b"two").await;
    assert_eq!(witness.drain("mine-q").await, ["one", "two"]);

    let text = |access: &str, what: &str| {
        format!(
            "ACCESS_REFUSED - {access} access to {what} in vhost '/' refused for user 'limited'"
        )
    };
    let channel = client.channel().await;
    let refused = channel.try_queue("other", Default::default(), FieldTable::default());
    let refused = refused.await.expect_err("configure");
    refused.is(403, &text("configure", "queue 'other'"));

    let channel = client.channel().await;
    let refused = channel.try_exchange("x", "fanout", Default::default(), FieldTable::default());
    let refused = refused.await.expect_err("configure");
    refused.is(403, &text("configure", "exchange 'x'"));

    let channel = client.channel().await;
    let refused = channel.try_bind("mine-q", "amq.fanout", "", FieldTable::default());
    let refused = refused.await.expect_err("read on the source");
    refused.is(403, &text("read", "exchange 'amq.fanout'"));

    let channel = client.channel().await;
    let refused = channel.try_bind("theirs", "mine-x", "", FieldTable::default());
    let refused = refused.await.expect_err("write on the destination");
    refused.is(403, &text("write", "queue 'theirs'"));

    let channel = client.channel().await;
    let refused = channel.try_consume("theirs", "", Default::default()).await;
    let refused = refused.err().expect("read");
    refused.is(403, &text("read", "queue 'theirs'"));

    // On a connection that has heard of no other refusal.
    let client = Client::connect(&broker.url_of("limited", "secret", "%2f")).await;
    let channel = client.channel().await;
    channel.publish("amq.fanout", "", b"x").await;
    let refused = client.refusal().await;
    refused.is(403, &text("write", "exchange 'amq.fanout'"));
    witness.fence().await;
}
