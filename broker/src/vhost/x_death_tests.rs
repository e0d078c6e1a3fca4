use std::sync::Arc;

use super::*;

fn message(dead_lettered: bool) -> Message {
    let properties = crate::amqp::properties::with_headers(
        &[0x01, 0, 2, b'5', b'0'],
        &[(
            "CC".to_owned(),
            Value::Array(&text("copy").encoded()).encoded(),
        )],
    );
    MessageView {
        exchange: &Arc::from("ex"),
        routing_key: "key",
        properties: &properties,
        body: b"body",
        dead_lettered,
    }
    .to_message()
}

fn die(message: &Message, queue: &str, reason: Reason, routing_key: Option<&str>) -> Message {
    let to = DeadLetterTo {
        exchange: Arc::from("dlx"),
        routing_key: routing_key.map(Arc::from),
    };
    Death {
        queue,
        reason,
        to: &to,
        now: 7_000,
    }
    .write(message)
}

fn deaths(message: &Message) -> Vec<(String, String, i64)> {
    let field = |death: Table<'_>, name: &str| {
        let found = death.get(name).expect("a field of x-death");
        found.as_str().expect("text").to_owned()
    };
    history(message)
        .iter()
        .map(|death| {
            let death = Table::new(death);
            let count = death.get("count").and_then(|count| count.as_integer());
            (
                field(death, "queue"),
                field(death, "reason"),
                count.expect("a count"),
            )
        })
        .collect()
}

#[test]
fn the_newest_death_stands_first_and_the_same_one_is_counted() {
    let first = die(&message(false), "q", Reason::Expired, None);
    let second = die(&first, "p", Reason::Rejected, None);
    let third = die(&second, "q", Reason::Expired, None);
    let expected = [("q", "expired", 2), ("p", "rejected", 1)];
    let expected = expected.map(|(queue, reason, count)| (queue.into(), reason.into(), count));
    assert_eq!(deaths(&third), expected);
}

#[test]
fn first_death_stays_and_last_death_moves() {
    let second = die(
        &die(&message(false), "q", Reason::Expired, None),
        "p",
        Reason::MaxLength,
        None,
    );
    let headers = Properties::new(second.properties())
        .headers()
        .expect("headers");
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.as_str().map(str::to_owned))
    };
    assert_eq!(header("x-first-death-queue").as_deref(), Some("q"));
    assert_eq!(header("x-first-death-exchange").as_deref(), Some("ex"));
    assert_eq!(header("x-last-death-queue").as_deref(), Some("p"));
    assert_eq!(header("x-last-death-reason").as_deref(), Some("maxlen"));
    assert_eq!(header("x-last-death-exchange").as_deref(), Some("dlx"));
}

#[test]
fn the_expiration_becomes_history_and_a_key_of_its_own_takes_cc_away() {
    let kept = die(&message(false), "q", Reason::Expired, None);
    assert_eq!(carbon_copies(kept.properties()), ["copy"]);
    assert_eq!(kept.routing_key(), "key");
    let dead = die(&message(false), "q", Reason::Expired, Some("other"));
    assert_eq!(Properties::new(dead.properties()).expiration(), None);
    assert!(carbon_copies(dead.properties()).is_empty());
    assert_eq!((dead.routing_key(), &**dead.exchange()), ("other", "dlx"));
    let entry = &history(&dead)[0];
    let original = Table::new(entry).get("original-expiration");
    assert_eq!(
        original
            .and_then(|value| value.as_str().map(str::to_owned))
            .as_deref(),
        Some("50")
    );
}

#[test]
fn a_clients_own_x_death_is_no_history() {
    let died = die(&message(false), "q", Reason::Expired, None);
    let republished = died.with_history(false);
    assert!(history(&republished).is_empty());
    let again = die(&republished, "q", Reason::Expired, None);
    assert_eq!(deaths(&again), [("q".into(), "expired".into(), 1)]);
}

#[test]
fn a_way_back_is_a_cycle_unless_somebody_rejected_on_the_way() {
    let once = die(&message(false), "q", Reason::Expired, None);
    assert!(is_cycle(&once, "q"));
    assert!(!is_cycle(&once, "p"));
    let rejected = die(&once, "p", Reason::Rejected, None);
    assert!(!is_cycle(&rejected, "q"));
    let later = die(&rejected, "q", Reason::Expired, None);
    assert!(is_cycle(&later, "q"));
}
