//! Random histories of one queue with a store beside it that answers late, against a simple model:
//! a set of what is ready and a set of what consumers hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::tests::{entry, large, small};
use super::*;

/// What waits for the commit thread.
enum Item {
    Append(Seq, Arc<Message>),
    Remove(Seq),
    Purge(Seq, Seq),
    Move(Vec<(Seq, Arc<Message>)>),
}

/// What the commit thread has to say about a batch that is on disk.
enum Word {
    Written(Seq),
    Reveal(Seq, Arc<Message>),
}

enum Request {
    Page(Seq),
    Bodies(Vec<Seq>),
}

/// Splitmix.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[derive(Clone)]
struct Held {
    message: Weak<Message>,
    in_memory: Option<Arc<Message>>,
    size: u32,
}

struct World {
    random: Random,
    backlog: Backlogged,
    next: Seq,
    mailbox: VecDeque<Item>,
    words: VecDeque<Word>,
    rows: BTreeMap<Seq, Arc<Message>>,
    asked: Option<Request>,
    /// Read from the disk, but not yet told.
    answer: Option<Vec<Stored>>,
    reserved: Vec<Seq>,
    ready: BTreeSet<Seq>,
    unacked: BTreeMap<Seq, Held>,
    delivered_before: BTreeSet<Seq>,
    large: Arc<Message>,
    small: Arc<Message>,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            random: Random(seed),
            backlog: Backlogged::default(),
            next: 1,
            mailbox: VecDeque::new(),
            words: VecDeque::new(),
            rows: BTreeMap::new(),
            asked: None,
            answer: None,
            reserved: Vec::new(),
            ready: BTreeSet::new(),
            unacked: BTreeMap::new(),
            delivered_before: BTreeSet::new(),
            large: large(),
            small: small(),
        }
    }

    fn take_seq(&mut self) -> Seq {
        self.next += 1;
        self.next - 1
    }

    fn message(&mut self) -> Arc<Message> {
        match self.random.below(8) {
            0 => Arc::clone(&self.small),
            _ => Arc::clone(&self.large),
        }
    }

    fn step(&mut self) {
        match self.random.below(24) {
            0..=7 => self.publish(),
            8 => self.begin_move(),
            9 => self.commit_move(),
            10..=12 => self.write(),
            13..=15 => self.tell(),
            16 => self.read(),
            17 => self.answer(),
            18..=19 => self.consume(),
            20 => self.ack(),
            21..=22 => self.requeue(),
            _ => {
                if self.random.below(20) == 0 {
                    self.purge();
                }
            }
        }
        self.backlog.check();
    }

    fn publish(&mut self) {
        let persistent = self.random.below(3) > 0;
        let stored = persistent || self.backlog.pages();
        let message = self.message();
        let seq = self.take_seq();
        if stored {
            self.mailbox
                .push_back(Item::Append(seq, Arc::clone(&message)));
        }
        if self.backlog.is_empty() && self.random.below(2) == 0 {
            self.backlog.passed(seq);
            self.hold(seq, &message, stored);
            return;
        }
        self.backlog.push(Entry {
            stored,
            persistent,
            ..entry(seq, &message)
        });
        self.ready.insert(seq);
    }

    fn hold(&mut self, seq: Seq, message: &Arc<Message>, stored: bool) {
        let held = Held {
            // The messages are shared here: what the store holds and who else does is drawn by lot.
            message: Arc::downgrade(message),
            in_memory: (!stored).then(|| Arc::clone(message)),
            size: message.body().len() as u32,
        };
        self.delivered_before.insert(seq);
        assert!(self.unacked.insert(seq, held).is_none(), "{seq} twice");
    }

    fn begin_move(&mut self) {
        for _ in 0..self.random.below(6) {
            let seq = self.take_seq();
            self.backlog.reserve(seq);
            self.reserved.push(seq);
        }
    }

    fn commit_move(&mut self) {
        let mut appends = Vec::new();
        for seq in std::mem::take(&mut self.reserved) {
            appends.push((seq, self.message()));
        }
        if !appends.is_empty() {
            self.mailbox.push_back(Item::Move(appends));
        }
    }

    /// One batch reaches the disk; what is to be said about it comes later.
    fn write(&mut self) {
        let count = self.random.below(8) as usize + 1;
        let mut upto = None;
        let mut reveals = Vec::new();
        for item in self.mailbox.drain(..count.min(self.mailbox.len())) {
            match item {
                Item::Append(seq, message) => {
                    self.rows.insert(seq, message);
                    upto = upto.max(Some(seq));
                }
                Item::Remove(seq) => drop(self.rows.remove(&seq)),
                Item::Purge(first, last) => {
                    self.rows.retain(|seq, _| *seq < first || *seq > last);
                }
                Item::Move(appends) => {
                    for (seq, message) in appends {
                        self.rows.insert(seq, Arc::clone(&message));
                        upto = upto.max(Some(seq));
                        reveals.push(Word::Reveal(seq, message));
                    }
                }
            }
        }
        self.words.extend(upto.map(Word::Written));
        self.words.extend(reveals);
    }

    fn tell(&mut self) {
        match self.words.pop_front() {
            Some(Word::Written(upto)) => self.backlog.written(upto),
            Some(Word::Reveal(seq, message)) => {
                self.backlog.reveal(entry(seq, &message));
                self.ready.insert(seq);
            }
            None => {}
        }
    }

    fn read(&mut self) {
        let stored = |seq: Seq, message: &Arc<Message>| Stored {
            seq,
            message: Arc::clone(message),
            persistent: true,
            redelivered: false,
            returns: 0,
            expires: Expiry::NEVER,
        };
        match &self.asked {
            Some(_) if self.answer.is_some() => {}
            None => {}
            Some(Request::Page(from)) => {
                let most = self.random.below(4) as usize + 1;
                let found = self.rows.range(from..).take(most);
                self.answer = Some(found.map(|(seq, message)| stored(*seq, message)).collect());
            }
            Some(Request::Bodies(seqs)) => {
                let row = |seq: &Seq| Some(stored(*seq, self.rows.get(seq)?));
                self.answer = Some(seqs.iter().filter_map(row).collect());
            }
        }
    }

    fn answer(&mut self) {
        let Some(answer) = self.answer.take() else {
            return;
        };
        match self.asked.take() {
            Some(Request::Page(_)) => self.backlog.paged_in(answer),
            Some(Request::Bodies(asked)) => self.backlog.bodies_in(&asked, answer),
            None => {}
        }
    }

    fn consume(&mut self) {
        for _ in 0..self.random.below(8) {
            match self.backlog.front() {
                Front::Empty => {
                    assert!(self.ready.is_empty(), "lost: {:?}", self.ready);
                    return;
                }
                Front::Here => self.deliver(),
                Front::Bodies(seqs) => {
                    self.asked.get_or_insert(Request::Bodies(seqs));
                    return;
                }
                Front::Page => {
                    if self.asked.is_none() {
                        let from = self.backlog.wants_page().expect("nothing would be read");
                        self.backlog.page_requested();
                        self.asked = Some(Request::Page(from));
                    }
                    return;
                }
            }
        }
    }

    fn deliver(&mut self) {
        let entry = self.backlog.pop().expect("a message");
        let seq = entry.seq;
        assert_eq!(self.ready.first(), Some(&seq), "out of order");
        self.ready.remove(&seq);
        assert_eq!(entry.redelivered, self.delivered_before.contains(&seq));
        let Body::Here(message) = &entry.body else {
            panic!("{seq} has no body")
        };
        self.hold(seq, message, entry.stored);
    }

    fn ack(&mut self) {
        if let Some(seq) = self.some_unacked() {
            let held = self.unacked.remove(&seq).expect("held");
            if held.in_memory.is_none() {
                self.mailbox.push_back(Item::Remove(seq));
            }
        }
    }

    fn some_unacked(&mut self) -> Option<Seq> {
        let count = self.unacked.len().max(1) as u64;
        let at = self.random.below(count) as usize;
        self.unacked.keys().nth(at).copied()
    }

    fn requeue(&mut self) {
        let mut entries = Vec::new();
        for _ in 0..self.random.below(40) {
            let Some(seq) = self.some_unacked() else {
                break;
            };
            let held = self.unacked.remove(&seq).expect("held");
            let is_written = self.rows.contains_key(&seq);
            let stored = held.in_memory.is_none();
            let body = match (held.in_memory, held.message.upgrade()) {
                (Some(message), _) => Body::Here(message),
                (None, Some(message)) if !is_written => Body::Here(message),
                (None, _) => Body::Disk { size: held.size },
            };
            self.ready.insert(seq);
            entries.push(Entry {
                seq,
                body,
                redelivered: true,
                stored,
                persistent: stored,
                returns: 0,
                expires: Expiry::NEVER,
            });
        }
        entries.sort_by_key(|entry| entry.seq);
        self.backlog.take_back(entries);
    }

    fn purge(&mut self) {
        let purged = self.backlog.clear();
        let removed = purged.stored.into_iter().map(Item::Remove);
        self.mailbox.extend(removed);
        for (first, last) in purged.paged {
            self.mailbox.push_back(Item::Purge(first, last));
        }
        self.ready.clear();
    }

    /// Everything that is under way arrives, and every ready message is delivered once.
    fn settle_down(&mut self) {
        self.commit_move();
        while !self.mailbox.is_empty() {
            self.write();
        }
        while !self.words.is_empty() {
            self.tell();
        }
        self.read();
        self.answer();
        assert_eq!(self.backlog.len(), self.ready.len() as u64);
        for _ in 0..100_000 {
            if self.ready.is_empty() {
                break;
            }
            self.consume();
            self.read();
            self.answer();
        }
        assert!(self.ready.is_empty(), "never delivered: {:?}", self.ready);
        assert!(self.backlog.is_empty());
        assert_eq!(self.backlog.head_bytes, 0);
        for (seq, held) in &self.unacked {
            assert!(
                held.in_memory.is_some() || self.rows.contains_key(seq),
                "{seq} has no row"
            );
        }
    }
}

impl Backlogged {
    /// What must hold after every step.
    fn check(&self) {
        let order = |entries: &VecDeque<Entry>| {
            let seqs: Vec<Seq> = entries.iter().map(|entry| entry.seq).collect();
            assert!(seqs.is_sorted_by(|one, next| one < next), "{seqs:?}");
        };
        order(&self.head);
        order(&self.tail);
        let bytes: u64 = self.head.iter().map(|entry| entry.body.size()).sum();
        assert_eq!(self.head_bytes, bytes);
        let last = self.head.back().map_or(0, |entry| entry.seq);
        let first = self.tail.front().map_or(Seq::MAX, |entry| entry.seq);
        match &self.paged {
            Some(paged) => {
                assert!(last < paged.first && paged.first <= paged.last && paged.last < first)
            }
            None => assert!(last < first),
        }
    }
}

#[test]
fn random_histories_deliver_everything_once_and_in_order() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        for _ in 0..1500 {
            world.step();
        }
        world.settle_down();
    }
}
