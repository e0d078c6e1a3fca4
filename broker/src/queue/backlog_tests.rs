use super::*;

/// Four of these fill the head; all entries share one.
pub(super) fn large() -> Arc<Message> {
    message(HEAD_BYTES as usize / 4)
}

pub(super) fn small() -> Arc<Message> {
    message(10)
}

fn message(length: usize) -> Arc<Message> {
    Arc::new(Message::from_parts(Arc::from("x"), 0, 0, vec![0; length]).expect("lengths fit"))
}

pub(super) fn entry(seq: Seq, message: &Arc<Message>) -> Entry {
    Entry {
        seq,
        body: Body::Here(Arc::clone(message)),
        redelivered: false,
        stored: true,
        persistent: true,
        returns: 0,
        expires: Expiry::NEVER,
    }
}

fn stored(seqs: impl IntoIterator<Item = Seq>, message: &Arc<Message>) -> Vec<Stored> {
    let one = |seq| Stored {
        seq,
        message: Arc::clone(message),
        persistent: true,
        redelivered: false,
        returns: 0,
        expires: Expiry::NEVER,
    };
    seqs.into_iter().map(one).collect()
}

/// A backlog with these numbers pushed, of messages of which four fill the head.
fn pushed(seqs: impl IntoIterator<Item = Seq>) -> Backlogged {
    let mut backlog = Backlogged::default();
    let message = large();
    for seq in seqs {
        backlog.push(entry(seq, &message));
    }
    backlog
}

fn pop_all(backlog: &mut Backlogged) -> Vec<Seq> {
    let mut seqs = Vec::new();
    while let Front::Here = backlog.front() {
        seqs.extend(backlog.pop().map(|entry| entry.seq));
    }
    seqs
}

fn recovered(first: Seq, last: Seq) -> Backlogged {
    let messages = last - first + 1;
    let found = Backlog {
        messages,
        bytes: messages,
        first,
        last,
        expiring: false,
    };
    Backlogged::recovered(&found, false)
}

#[test]
fn messages_leave_in_the_order_they_came() {
    let mut backlog = pushed(1..=10);
    assert_eq!(backlog.len(), 10);
    assert_eq!(pop_all(&mut backlog), (1..=10).collect::<Vec<_>>());
    assert!(backlog.is_empty());
}

#[test]
fn what_does_not_fit_the_head_leaves_memory_once_it_is_written() {
    let mut backlog = pushed(1..=10);
    assert!(backlog.pages());
    backlog.written(7);
    assert_eq!(backlog.len(), 10);
    assert_eq!((backlog.head.len(), backlog.tail.len()), (4, 3));
    let paged = backlog.paged.as_ref().expect("a paged part");
    assert_eq!((paged.first, paged.last, paged.count), (5, 7, 3));
}

#[test]
fn a_read_goes_on_where_the_one_before_ended() {
    let mut backlog = pushed(1..=10);
    backlog.written(10);
    assert_eq!(pop_all(&mut backlog), [1, 2, 3, 4]);
    assert_eq!(backlog.wants_page(), Some(5));
    backlog.page_requested();
    backlog.paged_in(stored([5, 6], &large()));
    assert_eq!(pop_all(&mut backlog), [5, 6]);
    assert_eq!(backlog.wants_page(), Some(7));
    backlog.page_requested();
    backlog.paged_in(stored(7..=10, &large()));
    assert_eq!(pop_all(&mut backlog), [7, 8, 9, 10]);
    assert!(backlog.is_empty());
}

#[test]
fn after_an_unclean_stop_everything_recovered_is_flagged_redelivered() {
    let found = Backlog {
        messages: 2,
        bytes: 2,
        first: 1,
        last: 2,
        expiring: false,
    };
    for unclean in [true, false] {
        let mut backlog = Backlogged::recovered(&found, unclean);
        backlog.push(entry(3, &small()));
        backlog.page_requested();
        backlog.paged_in(stored([1, 2], &small()));
        let mut flags = Vec::new();
        while let Front::Here = backlog.front() {
            flags.extend(backlog.pop().map(|entry| entry.redelivered));
        }
        assert_eq!(flags, [unclean, unclean, false]);
    }
}

#[test]
fn a_purge_names_what_the_store_must_throw_away() {
    let mut backlog = pushed(1..=10);
    backlog.written(7);
    let purged = backlog.clear();
    assert_eq!(purged.messages, 10);
    assert_eq!(purged.stored, [1, 2, 3, 4, 8, 9, 10]);
    assert_eq!(purged.paged, [(5, 7)]);
    assert!(backlog.is_empty());
    backlog.written(10);
    assert!(backlog.is_empty());
}

#[test]
fn an_answer_that_a_purge_has_overtaken_is_not_taken() {
    let mut backlog = recovered(1, 10);
    backlog.page_requested();
    drop(backlog.clear());
    let message = large();
    for seq in 11..=20 {
        backlog.push(entry(seq, &message));
    }
    backlog.written(20);
    backlog.paged_in(stored(1..=10, &message));
    assert_eq!(backlog.len(), 10);
    assert_eq!(pop_all(&mut backlog), [11, 12, 13, 14]);
    assert_eq!(backlog.wants_page(), Some(15));
}

#[test]
fn an_empty_answer_leaves_what_was_paged_out_meanwhile() {
    let mut backlog = recovered(1, 10);
    backlog.page_requested();
    backlog.push(entry(11, &small()));
    backlog.written(11);
    backlog.paged_in(Vec::new());
    assert_eq!(backlog.len(), 1);
    assert_eq!(backlog.wants_page(), Some(11));
}

#[test]
fn what_a_move_has_written_but_not_revealed_is_not_delivered_twice() {
    let mut backlog = pushed(1..=5);
    backlog.reserve(6);
    backlog.push(entry(7, &small()));
    backlog.written(7);
    assert_eq!(pop_all(&mut backlog), [1, 2, 3, 4]);
    backlog.page_requested();
    // The move's batch is on disk, and the reader was faster than the commit thread's word.
    backlog.paged_in(stored([5, 6, 7], &small()));
    assert_eq!(backlog.len(), 2);
    backlog.reveal(entry(6, &small()));
    assert_eq!(backlog.len(), 3);
    assert_eq!(pop_all(&mut backlog), [5, 6, 7]);
}

#[test]
fn what_is_revealed_while_its_part_is_read_is_delivered_once() {
    for answer in [vec![5, 7], vec![5, 6, 7]] {
        let mut backlog = pushed(1..=5);
        backlog.reserve(6);
        backlog.push(entry(7, &small()));
        backlog.written(7);
        assert_eq!(pop_all(&mut backlog), [1, 2, 3, 4]);
        backlog.page_requested();
        backlog.reveal(entry(6, &small()));
        backlog.paged_in(stored(answer, &small()));
        assert_eq!(backlog.len(), 3);
        assert_eq!(pop_all(&mut backlog), [5, 6, 7]);
    }
}

#[test]
fn a_body_that_the_store_has_lost_no_longer_counts() {
    let mut backlog = Backlogged::default();
    let size = HEAD_BYTES as u32;
    backlog.insert(Entry {
        body: Body::Disk { size },
        ..entry(1, &small())
    });
    let Front::Bodies(asked) = backlog.front() else {
        panic!("nothing to read back")
    };
    backlog.bodies_in(&asked, Vec::new());
    assert!(backlog.is_empty());
    assert!(!backlog.pages());
}

#[test]
fn bodies_are_read_back_in_parts_that_fit_memory() {
    let mut backlog = Backlogged::default();
    for seq in 1..=10 {
        let size = BODIES_BYTES as u32 / 2;
        backlog.insert(Entry {
            body: Body::Disk { size },
            ..entry(seq, &small())
        });
    }
    let Front::Bodies(asked) = backlog.front() else {
        panic!("nothing to read back")
    };
    assert_eq!(asked, [1, 2]);
    backlog.bodies_in(&asked, stored([1, 2], &small()));
    assert_eq!(pop_all(&mut backlog), [1, 2]);
}

#[test]
fn moves_alone_do_not_fill_memory() {
    let mut backlog = Backlogged::default();
    let message = large();
    for seq in 1..=100 {
        backlog.reserve(seq);
        backlog.written(seq);
        backlog.reveal(entry(seq, &message));
    }
    assert_eq!(backlog.len(), 100);
    assert_eq!(backlog.head.len() + backlog.tail.len(), 4);
}

#[test]
fn what_was_handed_out_is_never_taken_for_a_part_on_disk() {
    let mut backlog = Backlogged::default();
    let message = large();
    (1..=6).for_each(|seq| backlog.reserve(seq));
    // 7 goes straight to a consumer.
    backlog.passed(7);
    backlog.written(7);
    for seq in 1..=6 {
        backlog.reveal(entry(seq, &message));
    }
    assert!(backlog.paged.is_none());
    backlog.insert(entry(7, &message));
    assert_eq!(pop_all(&mut backlog), (1..=7).collect::<Vec<_>>());
}

#[test]
fn many_that_come_back_between_others_take_their_places() {
    let mut backlog = Backlogged::default();
    let message = small();
    let odd = |upto| (1..upto).step_by(2).map(|seq| entry(seq, &message));
    backlog.take_back(odd(100_000).collect());
    let even = (2..100_000).step_by(2).map(|seq| entry(seq, &message));
    backlog.take_back(even.collect());
    assert_eq!(backlog.len(), 99_999);
    assert_eq!(pop_all(&mut backlog), (1..100_000).collect::<Vec<_>>());
    assert_eq!(backlog.head_bytes, 0);
}

#[test]
fn an_empty_head_gives_back_what_a_burst_took() {
    let mut backlog = Backlogged::default();
    let message = small();
    (1..=8000).for_each(|seq| backlog.push(entry(seq, &message)));
    assert!(backlog.head.capacity() >= 8000);
    pop_all(&mut backlog);
    assert!(backlog.head.capacity() <= KEPT_CAPACITY);
}

#[test]
fn a_clean_stop_knows_which_messages_were_delivered_before() {
    let mut backlog = pushed(1..=3);
    let first = backlog.pop().expect("a message");
    backlog.insert(Entry {
        redelivered: true,
        ..first
    });
    assert_eq!(backlog.redelivered_in_store(), [1]);
}

#[test]
fn a_purge_leaves_what_moves_have_yet_to_reveal() {
    let mut backlog = pushed(1..=5);
    backlog.reserve(6);
    backlog.push(entry(7, &small()));
    backlog.written(7);
    assert_eq!(backlog.clear().paged, [(5, 5), (7, 7)]);
    backlog.reveal(entry(6, &small()));
    assert_eq!(pop_all(&mut backlog), [6]);
}

#[test]
fn what_was_purged_does_not_come_back_with_what_a_move_reveals() {
    let mut backlog = Backlogged::default();
    let message = large();
    (1..=5).for_each(|seq| backlog.reserve(seq));
    backlog.push(entry(6, &message));
    backlog.reserve(7);
    backlog.written(7);
    assert_eq!(backlog.clear().stored, [6]);
    for seq in [1, 2, 3, 4, 5, 7] {
        backlog.reveal(entry(seq, &message));
    }
    // The row of 6 is there until the store has come to the purge.
    assert_eq!(backlog.paged.as_ref().map(|paged| paged.first), Some(7));
    assert_eq!(pop_all(&mut backlog), [1, 2, 3, 4, 5]);
}
