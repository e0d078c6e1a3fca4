//! Interceptors that fail: what their messages' publishers meet, and who else does not.

use lapin::BasicProperties;
use lapin::Confirmation;
use lapin::types::AMQPValue;
use serde_json::json;
use warren_tests::kit::{Channel, DEADLINE, headers, soon};

use super::{NUMBERS, broker_with, confirmed, header, number};

const FAULTS: [&str; 5] = ["trap", "loop", "memory", "many-headers", "bad-header"];

fn with(fault: &str) -> BasicProperties {
    BasicProperties::default().with_headers(headers([("fault", fault)]))
}

/// An exchange of its own for each fault: three of them in ten seconds open a breaker.
async fn exchanges(channel: &Channel) {
    channel.queue("q", Default::default()).await;
    for fault in FAULTS {
        channel.exchange(fault, "fanout", Default::default()).await;
        channel.bind("q", fault, "").await;
    }
    channel.bind("q", "amq.direct", "q").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_twice_fails_its_message_and_no_other() {
    let (_folder, broker, http) = broker_with(&["fault-interceptor"], NUMBERS);
    let client = broker.connect().await;
    let channel = client.confirming().await;
    exchanges(&channel).await;
    let text = "interceptor 'fault-interceptor' could not look at the message";
    for fault in FAULTS {
        let failed = channel.confirmed(fault, "", b"x", with(fault)).await;
        let Confirmation::Nack(Some(returned)) = failed else {
            panic!("{fault}: {failed:?}");
        };
        let expected = format!("INTERNAL_ERROR - {text}");
        assert_eq!(returned.reply_text.as_str(), expected);
        // Neighbours pass meanwhile, on this channel too.
        assert!(
            confirmed(&channel, "amq.direct", "q", b"x").await,
            "{fault}"
        );
    }
    assert_eq!(channel.count("q").await, FAULTS.len() as u32);
    for expected in 1..=FAULTS.len() {
        let expected = number(expected as i64);
        assert_eq!(header(&channel, "q", "x-number").await, expected);
    }
    let plugin = http.json("/warren/plugins/fault-interceptor");
    let faults = plugin["faults"].as_object().expect("kinds");
    let faults: u64 = faults.values().filter_map(|count| count.as_u64()).sum();
    assert_eq!(faults, 2 * FAULTS.len() as u64, "each was asked twice");
    assert_eq!(plugin["faults"]["trap"], 2, "{plugin}");
    // Without confirms the channel closes, and only that one.
    let plain = client.channel().await;
    plain.exchange("other", "fanout", Default::default()).await;
    plain.publish_as("other", "", b"x", with("trap")).await;
    client
        .refusal()
        .await
        .is(541, &format!("INTERNAL_ERROR - {text}"));
    assert!(confirmed(&channel, "amq.direct", "q", b"x").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_interceptor_keeps_outlives_its_faults_and_a_restart() {
    let (_folder, mut broker, http) = broker_with(&["fault-interceptor"], NUMBERS);
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", warren_tests::kit::durable()).await;
    channel.bind("q", "amq.direct", "q").await;
    assert!(confirmed(&channel, "amq.direct", "q", b"x").await);
    let failed = channel.confirmed("amq.direct", "q", b"x", with("trap"));
    assert!(matches!(failed.await, Confirmation::Nack(_)));
    assert!(confirmed(&channel, "amq.direct", "q", b"x").await);
    for expected in [1, 2] {
        assert_eq!(header(&channel, "q", "x-number").await, number(expected));
    }
    assert_eq!(
        http.json("/warren/plugins/fault-interceptor")["state_keys"],
        1
    );
    broker.stop();
    broker.restart();
    let channel = broker.connect().await.confirming().await;
    assert!(confirmed(&channel, "amq.direct", "q", b"x").await);
    assert_eq!(header(&channel, "q", "x-number").await, number(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_a_broken_interceptor_where_the_operator_says_so() {
    let config = format!("{NUMBERS}on_failure = \"pass\"\n");
    let (_folder, broker, http) = broker_with(&["fault-interceptor"], &config);
    let client = broker.connect().await;
    let channel = client.confirming().await;
    exchanges(&channel).await;
    for fault in FAULTS {
        let passed = channel.confirmed(fault, "", b"x", with(fault)).await;
        assert_eq!(passed, Confirmation::Ack(None), "{fault}");
        assert_eq!(header(&channel, "q", "x-number").await, None, "{fault}");
    }
    // The breaker opens, and still they pass, and are asked about again once it has closed.
    for _ in 0..20 {
        let passed = channel.confirmed("trap", "", b"x", with("trap")).await;
        assert_eq!(passed, Confirmation::Ack(None));
        header(&channel, "q", "x-number").await;
    }
    let plugin = http.json("/warren/plugins/fault-interceptor");
    assert_eq!(plugin["state"], "degraded", "{plugin}");
    assert_eq!(plugin["open_breakers"], 1, "{plugin}");
    soon("the breaker closes", DEADLINE, async || {
        assert!(confirmed(&channel, "trap", "", b"x").await);
        header(&channel, "q", "x-number").await.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_do_not_fit_into_a_frame_fail_the_message_and_not_its_consumer() {
    let (_folder, broker, _http) = broker_with(&["fault-interceptor"], NUMBERS);
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", Default::default()).await;
    let consumer = broker.connect().await.channel().await;
    let mut deliveries = consumer.consume("q").await;
    let own = "y".repeat(80_000);
    let long = |own: &str| {
        let headers = headers([("fault", "long-header"), ("own", own)]);
        BasicProperties::default().with_headers(headers)
    };
    let failed = channel.confirmed("", "q", b"x", long(&own)).await;
    let Confirmation::Nack(Some(returned)) = failed else {
        panic!("{failed:?}");
    };
    let text = returned.reply_text.as_str();
    assert!(text.contains("fit into a frame"), "{text}");
    let fits = channel.confirmed("", "q", b"fits", long("")).await;
    assert_eq!(fits, Confirmation::Ack(None));
    let delivery = deliveries.next().await;
    assert_eq!(delivery.data, b"fits");
    let headers = delivery.properties.headers().clone().expect("headers");
    let stamped = headers.inner().get("x-long");
    assert!(
        matches!(stamped, Some(AMQPValue::LongString(text)) if text.as_bytes().len() == 60_000)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_refuses_to_open_is_refused_and_nothing_passes_its_place() {
    let config = format!("{NUMBERS}config = {{ mode = \"refuse-to-open\" }}\n");
    let (_folder, broker, http) = broker_with(&["fault-interceptor"], &config);
    let plugin = http.json("/warren/plugins/fault-interceptor");
    assert_eq!(plugin["state"], "refused", "{plugin}");
    assert_eq!(plugin["reason"], json!("it does not open: not today"));
    broker.logs("nothing passes");
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", Default::default()).await;
    assert!(!confirmed(&channel, "", "q", b"x").await);
    assert_eq!(channel.count("q").await, 0);
}
