//! Counters, rates and metrics.

use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use warren_tests::kit::{DEADLINE, durable, eventually, persistent, soon};

use super::start;

#[tokio::test]
async fn what_a_channel_does_is_counted_where_it_happens() {
    let (broker, http) = start();
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    channel.bind("q", "amq.topic", "a").await;
    for _ in 0..3 {
        channel
            .publish_as("amq.topic", "a", b"four", persistent())
            .await;
    }
    channel.publish("amq.topic", "nowhere", b"").await;
    let mandatory = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let sent = channel.basic_publish(
        "amq.topic".into(),
        "nowhere".into(),
        mandatory,
        b"",
        persistent(),
    );
    drop(sent.await.expect("basic.publish").await);
    let get = channel
        .basic_get("q".into(), BasicGetOptions::default())
        .await;
    let got = get.expect("basic.get").expect("a message");
    let stats = |path: &str| http.json(path)["message_stats"].clone();
    eventually(DEADLINE, || stats("/queues/%2f/q")["publish"] == 3);
    let queue = http.json("/queues/%2f/q");
    assert_eq!(queue["messages_ready"], 2);
    assert_eq!(queue["messages_unacknowledged"], 1);
    assert_eq!(queue["message_bytes"], 12);
    assert_eq!(queue["message_bytes_unacknowledged"], 4);
    assert_eq!(queue["message_stats"]["get"], 1);
    got.acker
        .ack(lapin::options::BasicAckOptions::default())
        .await
        .expect("basic.ack");
    eventually(DEADLINE, || stats("/queues/%2f/q")["ack"] == 1);
    let shown = http.json("/channels")[0].clone();
    let expected = [
        ("publish", 5),
        ("confirm", 5),
        ("return_unroutable", 1),
        ("drop_unroutable", 1),
        ("get", 1),
        ("ack", 1),
        ("deliver_get", 1),
    ];
    for (name, count) in expected {
        assert_eq!(shown["message_stats"][name], count, "{name} in {shown}");
    }
    assert_eq!(shown["confirm"], true);
    assert_eq!(stats("/exchanges/%2f/amq.topic")["publish_in"], 5);
    assert_eq!(stats("/exchanges/%2f/amq.topic")["publish_out"], 3);
    let overview = http.json("/overview");
    assert_eq!(overview["message_stats"]["publish"], 5);
    assert_eq!(overview["queue_totals"]["messages"], 2);
    assert_eq!(overview["object_totals"]["queues"], 1);
    // What is gone was done all the same.
    http.delete("/queues/%2f/q").is(204);
    channel.close_it().await;
    eventually(DEADLINE, || {
        http.json("/overview")["object_totals"]["channels"] == 0
    });
    let overview = http.json("/overview");
    assert_eq!(overview["message_stats"]["publish"], 5);
    assert_eq!(overview["message_stats"]["ack"], 1);
    assert_eq!(overview["churn_rates"]["queue_deleted"], 1);
}

#[tokio::test]
async fn octets_of_a_vhost_are_those_of_its_connections_open_and_closed() {
    let (broker, http) = start();
    assert!(http.json("/vhosts/%2f").get("recv_oct").is_none());
    let channel = broker.channel().await;
    channel.queue("q", durable()).await;
    let sum = || http.json("/vhosts/%2f")["recv_oct"].as_u64().unwrap_or(0);
    let open = sum();
    let connection = http.json("/connections")[0].clone();
    assert_eq!(connection["recv_oct"], open);
    assert!(http.json("/vhosts/%2f")["send_oct_details"]["rate"].is_number());
    let name = connection["name"].as_str().expect("a name");
    let name = name.replace(' ', "%20").replace('>', "%3E");
    http.delete(&format!("/connections/{name}")).is(204);
    eventually(DEADLINE, || {
        http.json("/connections") == serde_json::json!([])
    });
    assert!(sum() >= open && open > 0, "{} after {open}", sum());
}

#[tokio::test]
async fn consumers_are_listed_with_their_arguments_and_channels() {
    let (broker, http) = start();
    let channel = broker.channel().await;
    channel.queue("q", durable()).await;
    channel
        .basic_qos(7, lapin::options::BasicQosOptions::default())
        .await
        .expect("basic.qos");
    let mut arguments = FieldTable::default();
    arguments.insert("x-priority".into(), lapin::types::AMQPValue::LongInt(4));
    let consume = BasicConsumeOptions::default();
    let consumer = channel.basic_consume("q".into(), "tag".into(), consume, arguments);
    let _consumer = consumer.await.expect("basic.consume");
    let listed = http.json("/consumers")[0].clone();
    assert_eq!(listed["consumer_tag"], "tag");
    assert_eq!(listed["prefetch_count"], 7);
    assert_eq!(listed["arguments"]["x-priority"], 4);
    assert_eq!(listed["queue"]["name"], "q");
    let channels = http.json("/channels");
    assert_eq!(listed["channel_details"]["name"], channels[0]["name"]);
    assert_eq!(channels[0]["consumer_count"], 1);
    assert_eq!(channels[0]["prefetch_count"], 7);
    let queue = http.json("/queues/%2f/q");
    assert_eq!(queue["consumer_details"][0]["consumer_tag"], "tag");
    assert_eq!(queue["consumers"], 1);
}

#[tokio::test]
async fn a_queue_that_is_published_to_has_a_rate() {
    let (broker, http) = start();
    let channel = broker.channel().await;
    channel.queue("q", durable()).await;
    // Somebody has to look, or nothing is sampled.
    let rate = |path: &str, key: &str| {
        let value = http.json(path)["message_stats"][key]["rate"].as_f64();
        value.unwrap_or_default()
    };
    soon("a rate", DEADLINE, async || {
        channel.publish("", "q", b"x").await;
        rate("/queues/%2f/q", "publish_details") > 0.0 && rate("/overview", "publish_details") > 0.0
    })
    .await;
    let series = http.json("/queues/%2f/q?lengths_age=60&lengths_incr=5");
    let samples = series["messages_details"]["samples"]
        .as_array()
        .expect("samples");
    assert_eq!(samples.len(), 13);
    assert!(samples[0]["sample"].as_u64() >= samples[12]["sample"].as_u64());
}

/// What RabbitMQ's overview dashboard asks for: rabbitmq-server, deps/rabbitmq_prometheus/docker/grafana/
/// dashboards/RabbitMQ-Overview.json, as of August 2026.
const OVERVIEW_DASHBOARD: [&str; 40] = [
    "rabbitmq_build_info",
    "rabbitmq_channels",
    "rabbitmq_channels_closed_total",
    "rabbitmq_channels_opened_total",
    "rabbitmq_connections",
    "rabbitmq_connections_closed_total",
    "rabbitmq_connections_opened_total",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_disk_space_available_limit_bytes",
    "rabbitmq_erlang_uptime_seconds",
    "rabbitmq_global_consumers",
    "rabbitmq_global_messages_acknowledged_total",
    "rabbitmq_global_messages_confirmed_total",
    "rabbitmq_global_messages_delivered_consume_auto_ack_total",
    "rabbitmq_global_messages_delivered_consume_manual_ack_total",
    "rabbitmq_global_messages_delivered_get_auto_ack_total",
    "rabbitmq_global_messages_delivered_get_manual_ack_total",
    "rabbitmq_global_messages_delivered_total",
    "rabbitmq_global_messages_get_empty_total",
    "rabbitmq_global_messages_received_confirm_total",
    "rabbitmq_global_messages_received_total",
    "rabbitmq_global_messages_redelivered_total",
    "rabbitmq_global_messages_routed_total",
    "rabbitmq_global_messages_unroutable_dropped_total",
    "rabbitmq_global_messages_unroutable_returned_total",
    "rabbitmq_global_publishers",
    "rabbitmq_identity_info",
    "rabbitmq_message_size_bytes_bucket",
    "rabbitmq_message_size_bytes_count",
    "rabbitmq_message_size_bytes_sum",
    "rabbitmq_process_max_fds",
    "rabbitmq_process_open_fds",
    "rabbitmq_process_resident_memory_bytes",
    "rabbitmq_queue_messages_ready",
    "rabbitmq_queue_messages_unacked",
    "rabbitmq_queues",
    "rabbitmq_queues_created_total",
    "rabbitmq_queues_declared_total",
    "rabbitmq_queues_deleted_total",
    "rabbitmq_resident_memory_limit_bytes",
];

#[tokio::test]
async fn metrics_have_the_names_that_dashboards_ask_for() {
    let (broker, _) = start();
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    channel.publish_as("", "q", b"x", persistent()).await;
    let http = warren_tests::kit::Http {
        address: broker.listener("http/prometheus"),
        ..broker.http()
    };
    let page = |path: &str| {
        let reply = http.raw(&format!("GET {path} HTTP/1.1\r\nconnection: close\r\n\r\n"));
        reply.is(200).body.clone()
    };
    eventually(DEADLINE, || {
        page("/metrics").contains("\nrabbitmq_queue_messages_ready 1\n")
    });
    let metrics = page("/metrics");
    for line in [
        "rabbitmq_connections 1",
        "rabbitmq_channels 1",
        "rabbitmq_queues 1",
        "rabbitmq_global_messages_received_total{protocol=\"amqp091\"} 1",
        "rabbitmq_global_messages_routed_total{protocol=\"amqp091\"} 1",
        "rabbitmq_channel_messages_published_total 1",
        "rabbitmq_queues_created_total 1",
        "rabbitmq_message_size_bytes_bucket{protocol=\"amqp091\",le=\"100.0\"} 1",
        "rabbitmq_message_size_bytes_bucket{protocol=\"amqp091\",le=\"+Inf\"} 1",
        "rabbitmq_message_size_bytes_count{protocol=\"amqp091\"} 1",
        "rabbitmq_message_size_bytes_sum{protocol=\"amqp091\"} 1",
    ] {
        assert!(
            metrics.contains(&format!("\n{line}\n")),
            "{line} is not in {metrics}"
        );
    }
    assert!(metrics.contains("rabbitmq_identity_info{rabbitmq_node=\"warren@"));
    assert!(metrics.contains("rabbitmq_endpoint=\"aggregated\""));
    for name in OVERVIEW_DASHBOARD {
        let there =
            metrics.contains(&format!("\n{name}{{")) || metrics.contains(&format!("\n{name} "));
        assert!(there, "{name}");
    }
    assert!(metrics.contains("warren_plugin_calls_total{plugin=\"topic\"}"));
    let each = page("/metrics/per-object");
    assert!(
        each.contains("rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"q\"} 1"),
        "{each}"
    );
    let detailed = page("/metrics/detailed?family=queue_coarse_metrics&vhost=%2F");
    let line = "rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"q\"} 1";
    assert!(detailed.contains(line), "{detailed}");
    assert!(!detailed.contains("rabbitmq_detailed_connection"));
    let other = page("/metrics/detailed?family=queue_coarse_metrics&vhost=other");
    assert!(!other.contains("queue=\"q\""));
}
