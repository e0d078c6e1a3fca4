use std::task::{Context, Waker};

use super::*;

const QUEUE: QueueId = QueueId(1);

fn outbox() -> Outbox {
    let outbox = Outbox::new();
    outbox.open_channel(1, 1);
    outbox
}

fn message(length: usize) -> Message {
    Message::from_parts(Arc::from("x"), 0, 0, vec![0; length]).expect("lengths fit")
}

fn deliver_as(outbox: &Outbox, channel: u16, seq: Seq, no_ack: bool, length: usize) -> Delivered {
    let message = message(length);
    outbox.deliver(Delivery {
        channel,
        consumer_tag: "c",
        consumer: Some(ConsumerKey { slot: 0, serial: 1 }),
        no_ack,
        redelivered: false,
        message: message.view(),
        queue: QUEUE,
        seq,
        place: Some(Place::Store(Weak::new())),
        persistent: true,
        returns: 0,
        expires: Expiry::NEVER,
    })
}

fn deliver(outbox: &Outbox, seq: Seq) -> bool {
    matches!(deliver_as(outbox, 1, seq, false, 10), Delivered::Yes { .. })
}

fn get(outbox: &Outbox, seq: Seq) {
    let message = message(10);
    let got = Delivery {
        channel: 1,
        consumer_tag: "",
        consumer: None,
        no_ack: false,
        redelivered: false,
        message: message.view(),
        queue: QUEUE,
        seq,
        place: Some(Place::Store(Weak::new())),
        persistent: true,
        returns: 0,
        expires: Expiry::NEVER,
    };
    outbox.get_ok(got, 0);
}

fn take(outbox: &Outbox) -> Vec<u8> {
    let mut bytes = Vec::new();
    outbox.wake();
    drop(outbox.take(&mut bytes));
    bytes
}

fn seqs(unacked: impl IntoIterator<Item = Unacked>) -> Vec<Seq> {
    unacked.into_iter().map(|unacked| unacked.seq).collect()
}

fn acked(outbox: &Outbox, tag: u64, multiple: bool) -> Option<Vec<Seq>> {
    outbox.take_unacked(1, tag, multiple).map(seqs)
}

#[test]
fn tags_count_per_channel_and_name_what_was_delivered_under_them() {
    let outbox = outbox();
    (10..16).for_each(|seq| assert!(deliver(&outbox, seq)));
    assert_eq!(acked(&outbox, 3, false), Some(vec![12]));
    assert_eq!(acked(&outbox, 3, false), None);
    assert_eq!(acked(&outbox, 3, true), None);
    assert_eq!(acked(&outbox, 4, true), Some(vec![10, 11, 13]));
    assert_eq!(acked(&outbox, 0, false), None);
    assert_eq!(acked(&outbox, 7, true), None);
    assert_eq!(acked(&outbox, 0, true), Some(vec![14, 15]));
    assert_eq!(acked(&outbox, 0, true), Some(vec![]));
}

#[test]
fn a_rollback_puts_acknowledgements_back_under_their_tags() {
    let outbox = outbox();
    (1..=4).for_each(|seq| assert!(deliver(&outbox, seq)));
    let third = outbox.take_unacked(1, 3, false).expect("a known tag");
    let first = outbox.take_unacked(1, 1, false).expect("a known tag");
    outbox.put_back_unacked(1, third.into_iter().chain(first).collect());
    assert_eq!(acked(&outbox, 4, true), Some(vec![1, 2, 3, 4]));
}

#[test]
fn a_channels_own_prefetch_counts_all_its_consumers_but_not_basic_get() {
    let outbox = outbox();
    outbox.set_prefetch(1, 2);
    get(&outbox, 1);
    assert!(deliver(&outbox, 2) && deliver(&outbox, 3));
    let refused = deliver_as(&outbox, 1, 4, false, 10);
    assert!(matches!(refused, Delivered::NoCredit));
    // A consumer that does not acknowledge is held back too.
    let no_ack = deliver_as(&outbox, 1, 5, true, 10);
    assert!(matches!(no_ack, Delivered::NoCredit));
    acked(&outbox, 1, false);
    assert!(!deliver(&outbox, 4));
    acked(&outbox, 2, false);
    assert!(deliver(&outbox, 4));
    assert_eq!(outbox.take_all_unacked(1).len(), 2);
    assert!(deliver(&outbox, 3) && deliver(&outbox, 4) && !deliver(&outbox, 6));
}

#[test]
fn a_full_outbox_refuses_until_its_bytes_are_in_the_socket() {
    let outbox = outbox();
    assert!(matches!(
        deliver_as(&outbox, 1, 1, false, OUTBOX_BYTES),
        Delivered::Yes { wake: true, .. }
    ));
    assert!(matches!(
        deliver_as(&outbox, 1, 2, false, 1),
        Delivered::Full
    ));
    take(&outbox);
    assert!(!outbox.flushed(1).refused);
    assert!(outbox.flushed(0).refused);
    assert!(!outbox.flushed(0).refused);
    assert!(deliver(&outbox, 2));
}

#[test]
fn a_delivery_without_acknowledgement_is_settled_when_its_last_byte_is_sent() {
    let outbox = outbox();
    deliver_as(&outbox, 1, 1, true, 100);
    let first = take(&outbox).len();
    deliver_as(&outbox, 1, 2, true, 100);
    let sent = |remaining| {
        let sent = outbox.flushed(remaining).sent;
        sent.iter().map(|unsent| unsent.seq).collect::<Vec<_>>()
    };
    assert!(sent(first).is_empty());
    assert!(sent(1).is_empty());
    assert_eq!(sent(0), [1]);
    take(&outbox);
    let lost = outbox.close();
    assert_eq!(
        lost.iter().map(|unsent| unsent.seq).collect::<Vec<_>>(),
        [2]
    );
    assert!(matches!(
        deliver_as(&outbox, 1, 3, true, 1),
        Delivered::Gone
    ));
}

#[test]
fn a_channel_opened_again_knows_nothing_of_the_one_before() {
    let outbox = outbox();
    outbox.start_confirms(1);
    let publish = outbox.next_publish(1);
    assert!(deliver(&outbox, 1));
    assert_eq!(seqs(outbox.close_channel(1)), [1]);
    assert!(!deliver(&outbox, 2));
    outbox.open_channel(1, 2);
    outbox.start_confirms(1);
    assert_eq!(outbox.next_publish(1), publish);
    take(&outbox);
    assert!(!outbox.resolve(1, Some(1), &[publish], true));
    assert!(outbox.is_empty());
    outbox.resolve(1, Some(2), &[publish], true);
    let mut ack = Vec::new();
    write::ack(&mut ack, 1, publish, false);
    assert_eq!(take(&outbox), ack);
    assert!(deliver(&outbox, 3));
    assert_eq!(acked(&outbox, 1, false), Some(vec![3]));
}

#[test]
fn a_return_goes_out_before_the_confirm_of_its_publish() {
    let outbox = outbox();
    outbox.start_confirms(1);
    let publish = outbox.next_publish(1);
    outbox.write(|out, _| out.extend_from_slice(b"return"));
    outbox.resolve(1, None, &[publish], true);
    let bytes = take(&outbox);
    assert!(bytes.starts_with(b"return") && bytes.len() > 6);
}

#[test]
fn the_owner_is_woken_once_for_all_that_comes_between_two_writes() {
    let outbox = outbox();
    let wake = |seq| match deliver_as(&outbox, 1, seq, false, 1) {
        Delivered::Yes { wake, .. } => wake,
        Delivered::Full | Delivered::NoCredit | Delivered::Gone => panic!("refused"),
    };
    assert!(wake(1));
    assert!(!wake(2));
    take(&outbox);
    assert!(wake(3));
}

#[test]
fn the_owner_takes_no_little_while_more_is_coming_unless_it_has_put_in_something_itself() {
    let outbox = outbox();
    let mut context = Context::from_waker(Waker::noop());
    let mut bytes = Vec::new();
    assert!(deliver(&outbox, 1));
    assert!(outbox.poll_woken(&mut context).is_pending());
    drop(outbox.take(&mut bytes));
    assert!(bytes.is_empty());
    outbox.wake();
    assert!(outbox.poll_woken(&mut context).is_ready());
    drop(outbox.take(&mut bytes));
    let length = bytes.len();
    assert!(length > 0);
    assert!(outbox.poll_woken(&mut context).is_pending());
    bytes.clear();
    assert!(deliver(&outbox, 2));
    outbox.write(|out, _| out.extend_from_slice(b"reply"));
    assert!(outbox.poll_woken(&mut context).is_ready());
    drop(outbox.take(&mut bytes));
    assert_eq!(bytes.len(), length + 5);
    // Who has put in the second one is done only now; the owner has it already.
    outbox.wake();
    assert!(outbox.poll_woken(&mut context).is_pending());
    bytes.clear();
    deliver_as(&outbox, 1, 3, false, WORTH_TAKING);
    drop(outbox.take(&mut bytes));
    assert!(bytes.len() > WORTH_TAKING);
}

#[test]
fn what_was_delivered_last_stays_in_memory_and_what_came_before_does_not() {
    let outbox = outbox();
    let messages: Vec<_> = (0..8).map(|_| Arc::new(message(16 * 1024))).collect();
    let weak: Vec<_> = messages.iter().map(Arc::downgrade).collect();
    for (seq, message) in messages.into_iter().enumerate() {
        outbox.deliver(Delivery {
            channel: 1,
            consumer_tag: "c",
            consumer: None,
            no_ack: false,
            redelivered: false,
            message: message.view(),
            queue: QUEUE,
            seq: seq as Seq,
            place: Some(Place::Store(Arc::downgrade(&message))),
            persistent: true,
            returns: 0,
            expires: Expiry::NEVER,
        });
        take(&outbox);
    }
    let here = weak.iter().map(|message| message.upgrade().is_some());
    // Three, not four: a message counts with more than its body.
    let expected = [false, false, false, false, false, true, true, true];
    assert_eq!(here.collect::<Vec<_>>(), expected);
    outbox.shrink();
    assert!(weak.iter().all(|message| message.upgrade().is_none()));
}

#[test]
fn a_publisher_rests_until_what_it_waits_for_is_taken_to_the_socket() {
    let consumer = outbox();
    let publisher = Arc::new(Outbox::new());
    let mut seq = 0;
    let behind = |seq| match deliver_as(&consumer, 1, seq, true, 4096) {
        Delivered::Yes { behind, .. } => behind,
        Delivered::Full | Delivered::NoCredit | Delivered::Gone => panic!("room for it"),
    };
    while !behind(seq) {
        seq += 1;
    }
    assert!(seq as usize * 4096 <= OUTBOX_BEHIND, "told too late");
    publisher.rest();
    assert!(consumer.tell_when_taken(&publisher));
    assert!(publisher.is_resting());
    consumer.wake();
    let crowding = consumer.take(&mut Vec::new());
    crowding.iter().for_each(|publisher| publisher.rested());
    assert!(!publisher.is_resting());
    // Somebody who comes when all of it was taken has nothing to wait for.
    assert!(!consumer.tell_when_taken(&publisher));
}
