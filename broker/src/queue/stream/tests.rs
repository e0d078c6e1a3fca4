use std::sync::Arc;

use super::*;
use crate::amqp::properties::with_headers;
use crate::amqp::table::Value;
use crate::clock::Expiry;
use crate::message::MessageView;
use crate::store::Backlog;

fn message(length: usize) -> Arc<Message> {
    Arc::new(Message::from_parts(Arc::from("x"), 0, 0, vec![0; length]).expect("lengths fit"))
}

fn filtered(value: &str) -> Arc<Message> {
    let value = Value::Str(value.as_bytes()).encoded();
    let properties = with_headers(&[], &[("x-stream-filter-value".to_owned(), value)]);
    let view = MessageView {
        exchange: &Arc::from("x"),
        routing_key: "",
        properties: &properties,
        body: b"",
        dead_lettered: false,
    };
    Arc::new(view.to_message())
}

fn consumer(offset: Offset, prefetch: u32) -> Consumer {
    Consumer {
        incarnation: 1,
        timeout: None,
        tag: Arc::from("c"),
        channel: 1,
        outbox: Arc::default(),
        no_ack: false,
        exclusive: false,
        prefetch,
        cancel_notify: false,
        priority: 0,
        reading: Reading {
            offset,
            filter: Filter::All,
        },
        arguments: Arc::default(),
    }
}

/// A stream with what the store would have of it.
struct Bench {
    state: StreamState,
    kept: Vec<Stored>,
    now: Millis,
}

impl Bench {
    fn new(options: &Options) -> Bench {
        Bench {
            state: StreamState::new(&Backlogs::new(), options),
            kept: Vec::new(),
            now: 1_000,
        }
    }

    fn publish(&mut self, message: &Arc<Message>) -> Seq {
        let (seq, arrived) = self.state.append(message, self.now);
        self.keep(seq, message, arrived);
        seq
    }

    fn keep(&mut self, seq: Seq, message: &Arc<Message>, arrived: Millis) {
        self.kept.push(Stored {
            seq,
            message: Arc::clone(message),
            persistent: true,
            redelivered: false,
            returns: 0,
            expires: Expiry::at(arrived),
        });
        self.kept.sort_by_key(|stored| stored.seq);
    }

    /// Published and written.
    fn filled(count: usize) -> Bench {
        let mut bench = Bench::new(&Options::default());
        bench.fill(count);
        bench
    }

    fn fill(&mut self, count: usize) {
        let message = message(10);
        for _ in 0..count {
            let seq = self.publish(&message);
            self.state.written(seq);
        }
    }

    fn load(&self, from: Seq, limit: usize) -> Vec<Stored> {
        let found = self.kept.iter().filter(|stored| stored.seq >= from);
        let copy = |stored: &Stored| Stored {
            message: Arc::clone(&stored.message),
            ..*stored
        };
        found.map(copy).take(limit).collect()
    }

    /// Offsets that this reader gets until it wants nothing, reading three at a time.
    fn read(&mut self, key: ConsumerKey) -> Vec<u64> {
        let mut offsets = Vec::new();
        loop {
            let messages = match self.state.step(key) {
                Step::Nothing => return offsets,
                Step::Give(seq, _) => {
                    self.state.given(key, seq);
                    offsets.push(offset_of(seq));
                    continue;
                }
                Step::Read(from) => self.load(from, 3),
                Step::Probe(at) => self.load(at, 1),
            };
            self.state.asked(key);
            assert_eq!(self.state.answered(messages, self.now), Some(key));
        }
    }

    fn read_from(&mut self, offset: Offset) -> Vec<u64> {
        let key = self.state.add(consumer(offset, 1_000_000));
        let offsets = self.read(key);
        self.state.remove(key);
        offsets
    }
}

fn backlogs(first: Seq, last: Seq, bytes: u64) -> Backlogs {
    let mut backlogs = Backlogs::new();
    backlogs.push(Backlog {
        messages: last - first + 1,
        bytes,
        first,
        last,
        expiring: true,
    });
    backlogs
}

#[test]
fn every_offset_begins_where_it_says() {
    let mut bench = Bench::filled(10);
    for trimmed in [false, true] {
        if trimmed {
            bench.state.trim(false);
            assert!(bench.state.tail.get(10).is_none());
        }
        let all: Vec<u64> = (0..10).collect();
        assert_eq!(bench.read_from(Offset::First), all);
        assert_eq!(bench.read_from(Offset::At(0)), all);
        assert_eq!(bench.read_from(Offset::At(7)), [7, 8, 9]);
        assert_eq!(bench.read_from(Offset::Last), [9]);
        assert_eq!(bench.read_from(Offset::Next), [0; 0]);
        assert_eq!(bench.read_from(Offset::At(10)), [0; 0]);
        assert_eq!(bench.read_from(Offset::At(u64::MAX)), [0; 0]);
    }
}

#[test]
fn an_offset_that_is_not_there_yet_is_waited_for() {
    let mut bench = Bench::filled(2);
    let ahead = bench.state.add(consumer(Offset::At(4), 100));
    let next = bench.state.add(consumer(Offset::Next, 100));
    bench.fill(4);
    assert_eq!(bench.read(ahead), [4, 5]);
    assert_eq!(bench.read(next), [2, 3, 4, 5]);
}

#[test]
fn nothing_is_read_before_it_is_written() {
    let mut bench = Bench::new(&Options::default());
    let key = bench.state.add(consumer(Offset::First, 100));
    let first = bench.publish(&message(1));
    let second = bench.publish(&message(1));
    assert_eq!(bench.read(key), [0; 0]);
    bench.state.written(first);
    assert_eq!(bench.read(key), [0]);
    bench.state.written(second);
    assert_eq!(bench.read(key), [1]);
}

#[test]
fn nobody_reads_past_a_move_that_is_not_written() {
    for trimmed in [false, true] {
        let mut bench = Bench::filled(2);
        let moved = message(3);
        let (reserved, arrived) = bench.state.reserve(&moved, 1_000);
        bench.fill(2);
        if trimmed {
            bench.state.trim(false);
        }
        let key = bench.state.add(consumer(Offset::First, 100));
        // The read finds what comes after the open place, and must not pass it on.
        assert_eq!(bench.read(key), [0, 1]);
        bench.keep(reserved, &moved, arrived);
        bench.state.reveal(reserved, moved);
        assert_eq!(bench.read(key), [2, 3, 4]);
    }
}

#[test]
fn a_time_is_found_between_all_others() {
    let mut bench = Bench::new(&Options::default());
    let message = message(1);
    for number in 0..100 {
        bench.now = 1_000 + number / 3 * 10;
        let seq = bench.publish(&message);
        bench.state.written(seq);
    }
    bench.state.trim(false);
    for time in 990..1_400 {
        let first = bench
            .kept
            .iter()
            .find(|stored| stored.expires >= Expiry::at(time));
        let expected = first.map(|stored| offset_of(stored.seq));
        let found = bench.read_from(Offset::Since(time));
        assert_eq!(found.first().copied(), expected, "{time}");
    }
}

#[test]
fn a_time_is_found_where_retention_has_left_gaps() {
    let mut bench = Bench::new(&Options::default());
    for number in 0..40 {
        bench.now = 1_000 + number;
        let seq = bench.publish(&message(1));
        bench.state.written(seq);
    }
    bench.state.trim(false);
    bench
        .kept
        .retain(|stored| stored.seq > 12 && stored.seq % 7 != 0);
    for time in 990..1_050 {
        let first = bench
            .kept
            .iter()
            .find(|stored| stored.expires >= Expiry::at(time));
        let expected = first.map(|stored| offset_of(stored.seq));
        let found = bench.read_from(Offset::Since(time));
        assert_eq!(found.first().copied(), expected, "{time}");
    }
}

#[test]
fn the_clock_that_goes_back_does_not_take_arrivals_along() {
    let mut state = StreamState::new(&Backlogs::new(), &Options::default());
    assert_eq!(state.append(&message(1), 5_000).1, 5_000);
    assert_eq!(state.append(&message(1), 4_000).1, 5_000);
}

#[test]
fn credit_is_what_was_given_and_has_not_come_back() {
    let mut bench = Bench::filled(10);
    let key = bench.state.add(consumer(Offset::First, 3));
    assert_eq!(bench.read(key), [0, 1, 2]);
    assert_eq!(bench.state.counts().unacked, 3);
    bench.state.credit(key);
    assert_eq!(bench.read(key), [3]);
    for _ in 0..3 {
        bench.state.credit(key);
    }
    assert_eq!(bench.read(key), [4, 5, 6]);
}

#[test]
fn a_reader_whose_outbox_is_full_holds_up_nobody_and_goes_on_where_it_was() {
    let mut bench = Bench::filled(5);
    let slow = bench.state.add(consumer(Offset::First, 100));
    let fast = bench.state.add(consumer(Offset::First, 100));
    let Step::Give(seq, _) = bench.state.step(slow) else {
        panic!("a message");
    };
    assert_eq!(seq, 1);
    bench.state.park(slow);
    assert_eq!(bench.read(slow), [0; 0]);
    assert_eq!(bench.read(fast), [0, 1, 2, 3, 4]);
    bench.state.trim(false);
    bench.state.resume(slow);
    assert_eq!(bench.read(slow), [0, 1, 2, 3, 4]);
}

#[test]
fn an_answer_for_a_reader_that_is_gone_disturbs_nobody() {
    let mut bench = Bench::filled(5);
    bench.state.trim(false);
    let gone = bench.state.add(consumer(Offset::First, 100));
    let other = bench.state.add(consumer(Offset::At(3), 100));
    for key in [gone, other] {
        assert!(matches!(bench.state.step(key), Step::Read(_)));
        bench.state.asked(key);
    }
    bench.state.remove(gone);
    let first = bench.load(1, 3);
    assert_eq!(bench.state.answered(first, 0), None);
    let second = bench.load(4, 3);
    assert_eq!(bench.state.answered(second, 0), Some(other));
    assert_eq!(bench.read(other), [3, 4]);
}

#[test]
fn a_filter_lets_through_its_values_and_what_has_none_only_where_asked() {
    let mut bench = Bench::new(&Options::default());
    for message in [filtered("a"), filtered("b"), message(1), filtered("c")] {
        let seq = bench.publish(&message);
        bench.state.written(seq);
    }
    let cases: [(&[&str], bool, &[u64]); 5] = [
        (&["a"], false, &[0]),
        (&["a", "c"], false, &[0, 3]),
        (&["b"], true, &[1, 2]),
        (&["none"], false, &[]),
        (&[], true, &[2]),
    ];
    for (wanted, unfiltered, expected) in cases {
        let wanted = wanted.iter().map(|one| one.as_bytes().to_vec()).collect();
        let mut consumer = consumer(Offset::First, 100);
        consumer.reading.filter = Filter::Values { wanted, unfiltered };
        let key = bench.state.add(consumer);
        assert_eq!(bench.read(key), expected);
    }
}

#[test]
fn the_tail_is_bounded_and_kept_only_while_somebody_reads() {
    let mut bench = Bench::new(&Options::default());
    let key = bench.state.add(consumer(Offset::Next, 10));
    let large = message(64 * 1024);
    let mut last = 0;
    for _ in 0..100 {
        last = bench.publish(&large);
    }
    bench.state.trim(false);
    assert!(bench.state.tail.get(1).is_some(), "not written yet");
    bench.state.written(last);
    bench.state.trim(false);
    let held = (1..=last).filter(|seq| bench.state.tail.get(*seq).is_some());
    let held = held.count() * large.size();
    assert!(held > tail::BYTES / 2 && held <= tail::BYTES, "{held}");
    bench.state.trim(true);
    assert!(bench.state.tail.get(last).is_none() || large.size() <= tail::BYTES_UNDER_PRESSURE);
    bench.state.remove(key);
    bench.state.trim(false);
    assert!(bench.state.tail.get(last).is_none());
}

#[test]
fn too_many_bytes_go_from_the_oldest_on_and_no_further_than_needed() {
    let options = Options {
        max_length_bytes: Some(100_000),
        ..Options::default()
    };
    let mut bench = Bench::new(&options);
    let message = message(968);
    let mut first = 1;
    for _ in 0..1_000 {
        let seq = bench.publish(&message);
        bench.state.written(seq);
        if let Some((from, to)) = bench.state.drop_old(bench.now) {
            assert_eq!(from, first);
            first = to + 1;
        }
        let kept = seq + 1 - first;
        assert_eq!(bench.state.counts().ready, kept);
        assert!(kept <= 100, "{kept} messages of 1000 bytes");
        assert!(seq < 100 || kept > 90, "{kept} of 100 that may stay");
    }
    assert_eq!(bench.state.first(), first);
}

#[test]
fn the_newest_message_stays_however_small_the_bound_and_old_the_message() {
    let options = Options {
        max_length_bytes: Some(1),
        max_age: Some(1_000),
        ..Options::default()
    };
    let mut bench = Bench::new(&options);
    bench.fill(10);
    bench.state.drop_old(1_000_000);
    assert_eq!(bench.state.counts().ready, 1);
    assert_eq!(bench.state.first(), 10);
    assert_eq!(bench.state.look(), Look::Never);
    // And so the next run knows where to go on.
    let again = StreamState::new(&backlogs(10, 10, 10), &options);
    assert_eq!(again.next, 11);
}

#[test]
fn what_is_not_written_is_not_dropped() {
    let options = Options {
        max_length_bytes: Some(100),
        ..Options::default()
    };
    let mut bench = Bench::new(&options);
    let message = message(100);
    let first = bench.publish(&message);
    let last = bench.publish(&message);
    assert_eq!(bench.state.drop_old(bench.now), None);
    bench.state.written(last);
    assert_eq!(bench.state.drop_old(bench.now), Some((first, first)));
}

#[test]
fn what_is_too_old_goes_and_the_schedule_knows_when() {
    let options = Options {
        max_age: Some(16_000),
        ..Options::default()
    };
    let mut bench = Bench::new(&options);
    for second in 0..10 {
        bench.now = 100_000 + second * 1_000;
        bench.fill(5);
    }
    assert_eq!(bench.state.look(), Look::At(116_000));
    assert_eq!(bench.state.drop_old(115_999), None);
    assert_eq!(bench.state.drop_old(116_000), Some((1, 5)));
    assert_eq!(bench.state.look(), Look::At(117_000));
    assert_eq!(bench.state.drop_old(119_500), Some((6, 20)));
    assert_eq!(bench.state.counts().ready, 30);
}

#[test]
fn after_a_start_the_ages_are_read_back_one_by_one() {
    let options = Options {
        max_age: Some(16_000),
        ..Options::default()
    };
    let mut state = StreamState::new(&backlogs(101, 260, 1_600), &options);
    assert_eq!((state.first(), state.next), (101, 261));
    assert_eq!(state.counts().ready, 160);
    let Look::Ask(seq) = state.look() else {
        panic!("a question");
    };
    assert_eq!(seq, 110);
    state.asked.push_back(Asked::Segment(seq));
    assert_eq!(state.look(), Look::Never, "one at a time");
    let stored = Stored {
        seq,
        message: message(1),
        persistent: true,
        redelivered: false,
        returns: 0,
        expires: Expiry::at(5_000),
    };
    assert_eq!(state.answered(vec![stored], 6_000), None);
    assert_eq!(state.drop_old(20_000), None);
    assert_eq!(state.look(), Look::At(21_000));
    assert_eq!(state.drop_old(21_000), Some((101, 110)));
    assert_eq!(state.look(), Look::Ask(120));
    assert_eq!(state.counts().ready, 150);
}

#[test]
fn recovered_segments_add_up_whatever_their_number() {
    for (messages, bytes, max) in [(1, 10, 5), (7, 1_000, 100), (1_000, 33_333, 20_000)] {
        let options = Options {
            max_length_bytes: Some(max),
            ..Options::default()
        };
        let mut state = StreamState::new(&backlogs(1, messages, bytes), &options);
        assert_eq!(state.counts().ready, messages);
        assert_eq!(state.next, messages + 1);
        let mut gone = 0;
        if let Some((first, last)) = state.drop_old(0) {
            assert_eq!(first, 1);
            gone = last;
        }
        assert_eq!(state.first(), gone + 1);
        assert!(gone < messages, "the newest stays");
    }
}

#[test]
fn many_small_segments_become_fewer() {
    let options = Options {
        max_segment_bytes: Some(0),
        ..Options::default()
    };
    let mut bench = Bench::new(&options);
    bench.fill(20_000);
    assert_eq!(bench.state.counts().ready, 20_000);
    assert_eq!(bench.state.first(), 1);
    assert!(bench.state.segments.len() <= 4_096);
    assert_eq!(bench.read_from(Offset::Since(0)).len(), 20_000);
}
