//! Which policy wins, what it may say, what comes of it.

use serde_json::json;

use super::*;

fn stated(name: &str, pattern: &str, definition: Value) -> PolicyDefinition {
    let Value::Object(definition) = definition else {
        panic!("a definition is a table")
    };
    PolicyDefinition {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
        apply_to: "all".to_owned(),
        priority: 0,
        definition,
    }
}

fn policy(name: &str, pattern: &str, definition: Value) -> Policy {
    Policy::new(Origin::User, stated(name, pattern, definition)).expect("a policy")
}

fn with_priority(name: &str, priority: i64, definition: Value) -> Policy {
    let stated = stated(name, "", definition);
    Policy::new(Origin::User, PolicyDefinition { priority, ..stated }).expect("a policy")
}

fn refused(origin: Origin, definition: Value) -> String {
    let refused = Policy::new(origin, stated("p", "", definition));
    refused.expect_err("it is wrong").to_string()
}

const CLASSIC: Object = Object::Queue(QueueType::Classic);

fn quorum() -> QueueArguments {
    QueueArguments {
        queue_type: QueueType::Quorum,
        ..QueueArguments::default()
    }
}

#[test]
fn the_highest_priority_wins_and_then_the_first_name() {
    let low = with_priority("a", -1, json!({"max-length": 1}));
    let late = with_priority("c", 5, json!({"max-length": 2}));
    let early = with_priority("b", 5, json!({"max-length": 3}));
    let all = [&low, &late, &early];
    let won = winner(all.into_iter(), CLASSIC, "q").map(Policy::name);
    assert_eq!(won, Some("b"));
}

#[test]
fn a_pattern_is_searched_for_and_not_anchored() {
    let orders = policy("p", "orders", json!({"max-length": 1}));
    assert!(winner([&orders].into_iter(), CLASSIC, "all.orders.eu").is_some());
    assert!(winner([&orders].into_iter(), CLASSIC, "invoices").is_none());
    let anchored = policy("p", "^orders$", json!({"max-length": 1}));
    assert!(winner([&anchored].into_iter(), CLASSIC, "all.orders.eu").is_none());
}

#[test]
fn a_policy_is_for_what_it_says() {
    let cases = [
        ("all", [true, true, true, true]),
        ("exchanges", [true, false, false, false]),
        ("queues", [false, true, true, true]),
        ("classic_queues", [false, true, false, false]),
        ("quorum_queues", [false, false, true, false]),
        ("streams", [false, false, false, true]),
    ];
    let objects = [
        Object::Exchange,
        CLASSIC,
        Object::Queue(QueueType::Quorum),
        Object::Queue(QueueType::Stream),
    ];
    for (apply_to, expected) in cases {
        let stated = PolicyDefinition {
            apply_to: apply_to.to_owned(),
            ..stated("p", "", json!({"max-length-bytes": 1}))
        };
        let policy = Policy::new(Origin::User, stated).expect("a policy");
        let found = objects.map(|object| winner([&policy].into_iter(), object, "x").is_some());
        assert_eq!(found, expected, "{apply_to}");
    }
}

#[test]
fn a_key_that_the_queue_type_lacks_disqualifies_the_whole_policy() {
    let high = with_priority("high", 5, json!({"max-length": 6, "delivery-limit": 3}));
    let low = with_priority("low", 0, json!({"max-length": 5}));
    let won = |queue_type| {
        let object = Object::Queue(queue_type);
        winner([&high, &low].into_iter(), object, "q").map(Policy::name)
    };
    assert_eq!(won(QueueType::Classic), Some("low"));
    assert_eq!(won(QueueType::Quorum), Some("high"));
    assert_eq!(won(QueueType::Stream), None);
    let exchange = winner([&high, &low].into_iter(), Object::Exchange, "x");
    assert_eq!(exchange.map(Policy::name), Some("high"));
}

#[test]
fn of_numbers_the_smallest_counts() {
    let arguments = QueueArguments {
        message_ttl: Some(100),
        max_length: Some(5),
        ..QueueArguments::default()
    };
    let user = policy(
        "p",
        "",
        json!({"message-ttl": 50, "max-length": 10, "expires": 7, "max-length-bytes": 30}),
    );
    let options = combine(&arguments, Some(&user), None);
    assert_eq!(options.message_ttl, Some(50));
    assert_eq!(options.max_length, Some(5));
    assert_eq!(options.expires, Some(7));
    let stated = stated("o", "", json!({"max-length": 2, "max-length-bytes": 40}));
    let operator = Policy::new(Origin::Operator, stated).expect("a policy");
    let options = combine(&arguments, Some(&user), Some(&operator));
    assert_eq!(options.max_length, Some(2));
    assert_eq!(options.max_length_bytes, Some(30));
    assert_eq!(options.message_ttl, Some(50));
    assert_eq!(combine(&arguments, None, None), arguments.options());
}

#[test]
fn where_messages_go_is_said_by_the_argument_first() {
    let user = policy(
        "p",
        "",
        json!({
            "dead-letter-exchange": "theirs", "dead-letter-routing-key": "key",
            "overflow": "reject-publish"
        }),
    );
    let arguments = QueueArguments {
        dead_letter_exchange: Some("mine".to_owned()),
        overflow: Some(Overflow::DropHead),
        ..QueueArguments::default()
    };
    let options = combine(&arguments, Some(&user), None);
    let dead_letter = options.dead_letter.expect("an exchange");
    assert_eq!(&*dead_letter.exchange, "mine");
    assert_eq!(dead_letter.routing_key.as_deref(), Some("key"));
    assert_eq!(options.overflow, Overflow::DropHead);
    let quorum = QueueArguments {
        queue_type: QueueType::Quorum,
        ..arguments
    };
    let options = combine(&quorum, Some(&user), None);
    assert_eq!(options.overflow, Overflow::RejectPublish);
    let only_key = policy("p", "", json!({"dead-letter-routing-key": "key"}));
    let options = combine(&QueueArguments::default(), Some(&only_key), None);
    assert_eq!(options.dead_letter, None);
}

#[test]
fn no_limit_of_deliveries_gives_way_to_any_limit() {
    let limited = policy("p", "", json!({"delivery-limit": 5}));
    let unlimited = policy("p", "", json!({"delivery-limit": -1}));
    let limit = |own, policy| {
        let arguments = QueueArguments {
            delivery_limit: own,
            ..quorum()
        };
        combine(&arguments, policy, None).delivery_limit
    };
    assert_eq!(limit(None, None), Some(20));
    assert_eq!(limit(None, Some(&limited)), Some(5));
    assert_eq!(limit(None, Some(&unlimited)), None);
    assert_eq!(limit(Some(-1), Some(&limited)), Some(5));
    assert_eq!(limit(Some(9), Some(&unlimited)), Some(9));
    assert_eq!(limit(Some(3), Some(&limited)), Some(3));
    let classic = combine(&QueueArguments::default(), Some(&limited), None);
    assert_eq!(classic.delivery_limit, None);
}

#[test]
fn an_alternate_exchange_is_the_argument_or_else_the_policy() {
    let user = policy("p", "", json!({"alternate-exchange": "policy"}));
    assert_eq!(alternate(Some("own"), Some(&user)).as_deref(), Some("own"));
    assert_eq!(alternate(None, Some(&user)).as_deref(), Some("policy"));
    assert_eq!(alternate(None, None), None);
}

#[test]
fn refusals_are_in_rabbitmqs_words() {
    let user = |definition| refused(Origin::User, definition);
    let says = |what: &str| format!("Validation failed\n\n{what}\n");
    assert_eq!(
        user(json!({"foo": 1, "bar": "x", "max-length": 1})),
        says(r#"[{<<"bar">>,<<"x">>},{<<"foo">>,1}] are not recognised policy settings"#)
    );
    assert_eq!(user(json!({})), says("no policy provided"));
    assert_eq!(
        user(json!({"max-length": -1, "foo": 1})),
        says("-1 is not a valid maximum length")
    );
    assert_eq!(
        user(json!({"max-length": "a"})),
        says(r#"<<"a">> is not a valid maximum length"#)
    );
    assert_eq!(
        user(json!({"expires": 0})),
        says("0 is not a valid queue expiry")
    );
    assert_eq!(
        user(json!({"message-ttl": 1.5})),
        says("1.5 is not a valid message TTL")
    );
    assert_eq!(
        user(json!({"queue-master-locator": "x"})),
        says(r#"<<"x">> invalid queue-master-locator value"#)
    );
    assert_eq!(
        refused(Origin::Operator, json!({"dead-letter-exchange": "x"})),
        says(r#"[{<<"dead-letter-exchange">>,<<"x">>}] are not recognised policy settings"#)
    );
    let bogus = PolicyDefinition {
        apply_to: "bogus".to_owned(),
        pattern: "(".to_owned(),
        ..stated("p", "", json!({"max-length": 1}))
    };
    let text = Policy::new(Origin::User, bogus)
        .expect_err("wrong")
        .to_string();
    assert!(text.contains("\npattern should be regular expression but is invalid: {\""));
    assert!(text.contains("\napply-to 'bogus' unrecognised; should be one of: 'queues', "));
}

#[test]
fn keys_of_mirrored_queues_are_taken_whatever_they_say() {
    let mirrored = policy("p", "", json!({"ha-mode": "exactly", "ha-params": "x"}));
    let keys: Vec<&str> = mirrored.mirroring().collect();
    assert_eq!(keys, ["ha-mode", "ha-params"]);
}
