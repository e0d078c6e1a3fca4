//! Federation between brokers, and between virtual hosts of one, through the API and real clients.

use serde_json::{Value, json};
use warren_tests::kit::{Broker, DEADLINE, durable, soon};

use super::{broker, until};

fn federate(down: &Broker, upstream: &Value, pattern: &str) {
    let http = down.http();
    http.put(
        "/parameters/federation-upstream/%2F/up",
        &json!({"value": upstream}),
    )
    .is(201);
    let policy = json!({"pattern": pattern, "definition": {"federation-upstream": "up"}});
    http.put("/policies/%2F/federation", &policy).is(201);
}

#[track_caller]
fn runs(down: &Broker, links: usize) -> Vec<Value> {
    until(down, "/federation-links", |rows| {
        rows.len() == links && rows.iter().all(|row| row["status"] == "running")
    })
}

async fn topic(broker: &Broker, name: &str) -> warren_tests::kit::Channel {
    let channel = broker.connect().await.confirming().await;
    let options = lapin::options::ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel.exchange(name, "topic", options).await;
    channel
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_receives_what_is_bound_here_and_published_there() {
    let (up, down) = (broker(), broker());
    let (there, here) = (topic(&up, "x").await, topic(&down, "x").await);
    federate(&down, &json!({"uri": up.url()}), "^x$");
    let row = runs(&down, 1)[0].clone();
    assert_eq!(
        (&row["type"], &row["upstream_exchange"]),
        (&json!("exchange"), &json!("x"))
    );
    here.queue("q", durable()).await;
    here.bind("q", "x", "wanted.#").await;
    let upstream = up.http();
    let bound = |key: &str| {
        let bindings = upstream.json("/exchanges/%2F/x/bindings/source");
        let bindings = bindings.as_array().cloned().unwrap_or_default();
        bindings.iter().any(|binding| binding["routing_key"] == key)
    };
    soon("the binding is there", DEADLINE, async || bound("wanted.#")).await;
    there.publish("x", "other", b"no").await;
    there.publish("x", "wanted.1", b"yes").await;
    let mut deliveries = here.consume("q").await;
    let delivery = deliveries.next().await;
    assert_eq!(delivery.data, b"yes");
    assert_eq!(delivery.routing_key.as_str(), "wanted.1");
    let headers = format!("{:?}", delivery.properties.headers());
    assert!(headers.contains("x-received-from"), "{headers}");
    let arguments = lapin::types::FieldTable::default();
    let unbound = here.queue_unbind("q".into(), "x".into(), "wanted.#".into(), arguments);
    unbound.await.expect("queue.unbind");
    soon("the binding is gone", DEADLINE, async || !bound("wanted.#")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_federation_made_upstream_goes_with_the_policy() {
    let (up, down) = (broker(), broker());
    let _here = topic(&down, "x").await;
    federate(&down, &json!({"uri": up.url()}), "^x$");
    runs(&down, 1);
    let upstream = up.http();
    let made = || {
        let queues = upstream.json("/queues");
        let exchanges = upstream.json("/exchanges");
        let all = [queues, exchanges].concat_names();
        all.iter()
            .filter(|name| name.starts_with("federation: "))
            .count()
    };
    assert_eq!(made(), 2);
    down.http().delete("/policies/%2F/federation").is(204);
    until(&down, "/federation-links", <[Value]>::is_empty);
    soon("nothing is left", DEADLINE, async || made() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_takes_all_upstreams_whose_names_fit() {
    let (up, down) = (broker(), broker());
    let _here = topic(&down, "x").await;
    let http = down.http();
    for name in ["up-a", "up-b", "other"] {
        let upstream = json!({"value": {"uri": up.url(), "exchange": name}});
        let path = format!("/parameters/federation-upstream/%2F/{name}");
        http.put(&path, &upstream).is(201);
    }
    let policy = |definition: Value| json!({"pattern": "^x$", "definition": definition});
    let fitting = policy(json!({"federation-upstream-pattern": "^up-"}));
    http.put("/policies/%2F/federation", &fitting).is(201);
    let mut names: Vec<String> = runs(&down, 2)
        .iter()
        .map(|row| row["upstream"].as_str().unwrap_or_default().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["up-a", "up-b"]);
    let refused = |definition: Value| {
        let reply = http.put("/policies/%2F/other", &policy(definition));
        reply.is(400).json()["reason"].to_string()
    };
    let both = json!({"federation-upstream-pattern": "a", "federation-upstream": "b"});
    assert!(refused(both).contains("cannot specify federation-upstream"));
    let broken = json!({"federation-upstream-pattern": "^up("});
    assert!(refused(broken).contains("could not compile pattern ^up( to a regular expression"));
}

trait Names {
    fn concat_names(&self) -> Vec<String>;
}

impl Names for [Value; 2] {
    fn concat_names(&self) -> Vec<String> {
        let rows = self.iter().filter_map(Value::as_array).flatten();
        let names = rows.filter_map(|row| row["name"].as_str());
        names.map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_brokers_that_are_each_others_upstream_do_not_send_messages_in_circles() {
    let (one, two) = (broker(), broker());
    for (broker, name) in [(&one, "one"), (&two, "two")] {
        broker
            .http()
            .put("/cluster-name", &json!({"name": name}))
            .is(204);
    }
    let (first, second) = (topic(&one, "x").await, topic(&two, "x").await);
    for channel in [&first, &second] {
        channel.queue("q", durable()).await;
        channel.bind("q", "x", "#").await;
    }
    federate(&one, &json!({"uri": two.url(), "max-hops": 5}), "^x$");
    federate(&two, &json!({"uri": one.url(), "max-hops": 5}), "^x$");
    runs(&one, 1);
    runs(&two, 1);
    first.publish("x", "from one", b"1").await;
    second.publish("x", "from two", b"2").await;
    for channel in [&first, &second] {
        soon("both messages", DEADLINE, async || {
            channel.count("q").await >= 2
        })
        .await;
    }
    // What came the other way has arrived: had anything gone round, it would be there first.
    first.publish("x", "last", b"3").await;
    soon("the last message", DEADLINE, async || {
        second.count("q").await >= 3
    })
    .await;
    assert_eq!((first.count("q").await, second.count("q").await), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_goes_as_many_hops_as_it_may_over_three_brokers() {
    for (hops, arrives) in [(1, false), (2, true)] {
        let (a, b, c) = (broker(), broker(), broker());
        for (broker, name) in [(&a, "a"), (&b, "b"), (&c, "c")] {
            broker
                .http()
                .put("/cluster-name", &json!({"name": name}))
                .is(204);
        }
        let at_a = topic(&a, "x").await;
        let (at_b, at_c) = (topic(&b, "x").await, topic(&c, "x").await);
        federate(&b, &json!({"uri": a.url(), "max-hops": hops}), "^x$");
        federate(&c, &json!({"uri": b.url(), "max-hops": hops}), "^x$");
        at_c.queue("q", durable()).await;
        at_c.bind("q", "x", "k").await;
        at_b.queue("q", durable()).await;
        at_b.bind("q", "x", "k").await;
        runs(&b, 1);
        runs(&c, 1);
        let bound = |broker: &Broker, more: usize| {
            let bindings = broker.http().json("/exchanges/%2F/x/bindings/source");
            bindings.as_array().map_or(0, Vec::len) >= more
        };
        soon("b is bound at a", DEADLINE, async || bound(&a, 1)).await;
        soon("c is bound at b", DEADLINE, async || bound(&b, 2)).await;
        at_a.publish("x", "k", b"from a").await;
        soon("it is at b", DEADLINE, async || at_b.count("q").await == 1).await;
        at_b.publish("x", "k", b"from b").await;
        soon("b's is at c", DEADLINE, async || at_c.count("q").await >= 1).await;
        if arrives {
            soon("a's is at c", DEADLINE, async || at_c.count("q").await == 2).await;
        } else {
            assert_eq!(at_c.count("q").await, 1, "only what came from b");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_fetches_messages_while_somebody_consumes_here() {
    let (up, down) = (broker(), broker());
    let there = up.connect().await.confirming().await;
    let here = down.connect().await.confirming().await;
    there.queue("q", durable()).await;
    here.queue("q", durable()).await;
    there
        .fill(
            "q",
            (0..500_u32).map(|number| number.to_string().into_bytes()),
        )
        .await;
    federate(&down, &json!({"uri": up.url()}), "^q$");
    let row = runs(&down, 1)[0].clone();
    assert_eq!(
        (&row["type"], &row["upstream_queue"]),
        (&json!("queue"), &json!("q"))
    );
    assert_eq!(there.count("q").await, 500, "nobody wants them yet");
    let mut deliveries = here.consume("q").await;
    let got = deliveries.texts(500).await;
    let expected: Vec<String> = (0..500_u32).map(|number| number.to_string()).collect();
    assert_eq!(got, expected);
    soon("they have moved", DEADLINE, async || {
        up.http().json("/queues/%2F/q")["messages"] == 0
    })
    .await;
}
