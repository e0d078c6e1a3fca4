//! What is kept, counted and written.

use super::*;
use crate::message::MessageView;

fn kept(durable: bool) -> Kept {
    let owner = Owner {
        vhost: Arc::from("/"),
        exchange: Arc::from("x"),
        durable,
    };
    Kept::new(owner, Arc::default())
}

fn put(of_type: &Arc<OfType>, key: &str, value: &str, lifetime: Lifetime) {
    let change = Change::Put(value.as_bytes().to_vec(), lifetime);
    of_type.apply(BTreeMap::from([(key.as_bytes().to_vec(), change)]));
}

fn remove(of_type: &Arc<OfType>, key: &str) {
    of_type.apply(BTreeMap::from([(key.as_bytes().to_vec(), Change::Remove)]));
}

/// What the next writing hands out: keys, and their values.
fn written(of_type: &OfType) -> Vec<(String, Option<String>)> {
    let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
    let mut written = Vec::new();
    of_type.write(|rows| {
        let rows = rows.into_iter();
        written.extend(rows.map(|(key, value)| (text(key), value.map(text))));
    });
    written
}

fn message(body: &[u8]) -> Arc<Message> {
    let view = MessageView {
        exchange: &Arc::from("x"),
        routing_key: "",
        properties: &[0, 0],
        body,
        dead_lettered: false,
    };
    Arc::new(view.to_message())
}

#[test]
fn a_change_is_written_as_it_was_once_it_has_rested() {
    let of_type = kept(true).of("t");
    put(&of_type, "a", "1", Lifetime::Durable);
    put(&of_type, "run", "1", Lifetime::Run);
    assert_eq!(written(&of_type), []);
    put(&of_type, "a", "2", Lifetime::Durable);
    let row = |value: &str| vec![("a".to_owned(), Some(value.to_owned()))];
    assert_eq!(written(&of_type), row("1"));
    assert_eq!(written(&of_type), row("2"));
    assert_eq!(written(&of_type), []);
    // What becomes transient is as good as removed.
    put(&of_type, "a", "3", Lifetime::Run);
    written(&of_type);
    assert_eq!(written(&of_type), [("a".to_owned(), None)]);
}

#[test]
fn nothing_is_written_of_an_exchange_that_is_gone_or_not_durable() {
    let all = kept(true);
    let of_type = all.of("t");
    put(&of_type, "a", "1", Lifetime::Durable);
    written(&of_type);
    put(&of_type, "b", "1", Lifetime::Durable);
    remove(&of_type, "a");
    let closed = all.close();
    let keys = closed.first().map(|(_, keys)| keys.clone());
    assert_eq!(keys, Some(vec![b"a".to_vec(), b"b".to_vec()]));
    assert_eq!(written(&of_type), []);
    let of_type = kept(false).of("t");
    put(&of_type, "a", "1", Lifetime::Durable);
    written(&of_type);
    assert_eq!(written(&of_type), []);
}

#[test]
fn what_is_kept_counts_for_one_plugin_at_a_time() {
    let (one, two) = (Arc::<Usage>::default(), Arc::<Usage>::default());
    let counts = |usage: &Usage| {
        [&usage.exchanges, &usage.keys, &usage.bindings].map(|count| count.load(Ordering::Relaxed))
    };
    let all = kept(false);
    let of_type = all.of("t");
    of_type.count_for(&one);
    of_type.count_for(&one);
    put(&of_type, "a", "1", Lifetime::Run);
    put(&of_type, "a", "22", Lifetime::Run);
    put(&of_type, "b", "", Lifetime::Run);
    remove(&of_type, "c");
    of_type.count_bindings(5);
    of_type.count_bindings(4);
    assert_eq!(counts(&one), [1, 2, 4]);
    assert_eq!(one.bytes.load(Ordering::Relaxed), 4);
    of_type.count_for(&two);
    assert_eq!((counts(&one), counts(&two)), ([0, 0, 0], [1, 2, 4]));
    drop((all, of_type));
    assert_eq!(counts(&two), [0, 0, 0]);
    assert_eq!(two.bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn types_of_one_exchange_do_not_see_each_other() {
    let all = kept(true);
    put(&all.of("outer"), "a", "1", Lifetime::Run);
    assert_eq!(all.of("inner").get(b"a"), None);
    assert_eq!(all.of("outer").after(b"", 9).len(), 1);
    assert_eq!(all.of("outer").after(b"a", 9).len(), 0);
}

#[test]
fn the_last_messages_are_kept_as_far_as_there_is_room() {
    let of_type = kept(false).of("t");
    let usage = Arc::<Usage>::default();
    of_type.count_for(&usage);
    let size = message(b"0").size() as u64;
    let room = Room {
        keys: 0,
        bytes: 2 * size,
    };
    let bodies = || {
        let messages = of_type.messages().into_iter();
        messages
            .map(|message| message.body().to_vec())
            .collect::<Vec<_>>()
    };
    for body in [b"1", b"2"] {
        of_type.keep(message(body), 3, room);
    }
    assert_eq!(bodies(), [b"1", b"2"]);
    of_type.keep(message(b"3"), 3, room);
    assert_eq!(bodies(), [b"2", b"3"]);
    assert_eq!(usage.refused.load(Ordering::Relaxed), 1);
    of_type.keep(message(b"4"), 1, room);
    assert_eq!(bodies(), [b"4"]);
    of_type.keep(message(b"5"), 0, room);
    assert_eq!(bodies(), [] as [&[u8]; 0]);
    assert_eq!(usage.bytes.load(Ordering::Relaxed), 0);
}
