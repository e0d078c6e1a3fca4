//! Answers by the questions that they were given to: many questions, few answers. Both are packed,
//! and bounded by what all connections may take together. Not what a question is (see `memo.rs`).

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};

use super::questions::Questions;
use super::{Remembered, Subject};
use crate::vhost::exchange::Target;

/// What everybody may hold without asking.
const OWN: usize = 256 * 1024;

/// What is taken from the room at a time.
const BLOCK: usize = 256 * 1024;

/// More than the processor has near to it.
const LARGE: usize = 1 << 20;

/// Each grows by itself: doubling a single table of a million answers would hold up its connection
/// for fifty milliseconds.
const SHARDS: usize = 32;

/// What an answer costs, a little more than measured. Questions know what they cost.
const ANSWER: usize = 128;

/// One question in so many must have been repeated, or holding more was in vain.
const REWARD: usize = 16;

/// After it was in vain, so many times what one may hold anyway is filled before the next trial.
const RESTS: u32 = 1024;

/// What all connections together may hold, in octets.
pub struct Room {
    left: AtomicUsize,
}

impl Room {
    pub fn new(octets: usize) -> Room {
        Room {
            left: AtomicUsize::new(octets),
        }
    }

    /// One more block for somebody who has `taken` so much. Nobody gets more than twice what he
    /// leaves to the others.
    fn take(&self, taken: usize) -> bool {
        let one_block_less = |left: usize| (left >= (taken / 2).max(BLOCK)).then(|| left - BLOCK);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.left.fetch_update(set, get, one_block_less).is_ok()
    }

    fn give_back(&self, taken: usize) {
        self.left.fetch_add(taken, Ordering::Relaxed);
    }
}

pub struct Answers {
    hasher: RandomState,
    room: Arc<Room>,
    taken: usize,
    held: usize,
    /// None until something is remembered.
    shards: Vec<Questions>,
    known: Vec<Known>,
    current: HashMap<Subject, Current>,
    questions: usize,
    hits: usize,
    rests: u32,
}

struct Known {
    subject: Subject,
    generation: u64,
    /// `None` when a newer generation has come: what it led to may be gone.
    remembered: Option<Remembered>,
}

/// A subject's answers as things stand now: places in `known`.
struct Current {
    generation: u64,
    answers: HashTable<u32>,
}

/// The other half of the hash is the questions' own.
fn shard(hash: u64) -> usize {
    hash as usize % SHARDS
}

impl Answers {
    pub fn within(room: Arc<Room>) -> Answers {
        Answers {
            hasher: RandomState::default(),
            room,
            taken: 0,
            held: 0,
            shards: Vec::new(),
            known: Vec::new(),
            current: HashMap::new(),
            questions: 0,
            hits: 0,
            rests: 0,
        }
    }

    pub fn hash(&self, subject: Subject, key: &[u8]) -> u64 {
        self.hasher.hash_one((subject, key))
    }

    /// What was recalled was of use.
    pub fn hit(&mut self) {
        self.hits += 1;
    }

    /// So much that a question is likely to wait for memory.
    pub fn is_large(&self) -> bool {
        self.held > LARGE
    }

    /// Something of this hash is recalled soon.
    pub fn prefetch(&self, hash: u64) {
        if let Some(shard) = self.shards.get(shard(hash)) {
            shard.prefetch(hash);
        }
    }

    pub fn recall(
        &self,
        (subject, key): (Subject, &[u8]),
        hash: u64,
        generation: u64,
    ) -> Option<&Remembered> {
        let mut found = None;
        self.shards.get(shard(hash))?.find(hash, key, |answer| {
            found = self.known.get(answer as usize);
            found.is_some_and(|known| known.subject == subject)
        })?;
        let known = found.filter(|known| known.generation == generation)?;
        known.remembered.as_ref()
    }

    pub fn remember(
        &mut self,
        (of, key): (Subject, &[u8]),
        hash: u64,
        generation: u64,
        remembered: Remembered,
    ) {
        self.make_room();
        let Some(answer) = self.answer(of, generation, remembered) else {
            return;
        };
        let Some(shard) = self.shards.get_mut(shard(hash)) else {
            return;
        };
        let known = &self.known;
        let same = |answer: u32| {
            let known = known.get(answer as usize);
            known.is_some_and(|known| known.subject == of)
        };
        let before = shard.octets();
        if shard.put(hash, key, answer, same) {
            self.held += shard.octets().saturating_sub(before);
            self.questions += 1;
        }
    }

    /// Its place in `known`.
    fn answer(&mut self, of: Subject, generation: u64, remembered: Remembered) -> Option<u32> {
        let known = &mut self.known;
        let held = &mut self.held;
        let current = self.current.entry(of).or_insert_with(|| {
            *held += ANSWER;
            Current {
                generation,
                answers: HashTable::new(),
            }
        });
        if current.generation != generation {
            for place in current.answers.drain() {
                if let Some(known) = known.get_mut(place as usize) {
                    known.remembered = None;
                }
            }
            current.generation = generation;
        }
        let hasher = &self.hasher;
        let hash_of = |known: &[Known], place: &u32| {
            let known = known.get(*place as usize);
            hasher.hash_one(known.and_then(|known| known.remembered.as_ref()))
        };
        let hash = hasher.hash_one(Some(&remembered));
        let same = |place: &u32| {
            let known = known.get(*place as usize);
            known.is_some_and(|known| known.remembered.as_ref() == Some(&remembered))
        };
        if let Some(place) = current.answers.find(hash, same) {
            return Some(*place);
        }
        let place = u32::try_from(known.len()).ok()?;
        known.push(Known {
            subject: of,
            generation,
            remembered: Some(remembered),
        });
        let answers = &mut current.answers;
        answers.insert_unique(hash, place, |place| hash_of(known, place));
        *held += ANSWER;
        Some(place)
    }

    /// For one more answer. A question may go over it by what its shard grows by.
    fn make_room(&mut self) {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, Questions::default);
        }
        if self.held + 2 * ANSWER <= OWN + self.taken {
            return;
        }
        if self.rests == 0 && self.room.take(self.taken) {
            self.taken += BLOCK;
            return;
        }
        let in_vain = self.taken > 0 && self.hits * REWARD < self.questions;
        self.rests = match in_vain {
            true => RESTS,
            false => self.rests.saturating_sub(1),
        };
        self.clear();
    }

    fn clear(&mut self) {
        self.room.give_back(std::mem::take(&mut self.taken));
        for shard in &mut self.shards {
            *shard = Questions::default();
        }
        self.known = Vec::new();
        self.current = HashMap::new();
        (self.held, self.questions, self.hits) = (0, 0, 0);
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.room.give_back(self.taken);
    }
}

impl Hash for Remembered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Remembered::To(targets) => {
                state.write_usize(targets.len());
                for target in targets {
                    match target {
                        Target::Queue(queue) => queue.id.hash(state),
                        Target::Exchange(exchange) => exchange.id.hash(state),
                    }
                }
            }
            Remembered::Delegate => {}
            Remembered::Reject(text) => text.hash(state),
        }
    }
}

impl PartialEq for Remembered {
    fn eq(&self, other: &Remembered) -> bool {
        match (self, other) {
            (Remembered::To(one), Remembered::To(other)) => {
                let mut pairs = one.iter().zip(other);
                one.len() == other.len() && pairs.all(|(one, other)| is_same(one, other))
            }
            (Remembered::Delegate, Remembered::Delegate) => true,
            (Remembered::Reject(one), Remembered::Reject(other)) => one == other,
            (Remembered::To(_) | Remembered::Delegate | Remembered::Reject(_), _) => false,
        }
    }
}

fn is_same(one: &Target, other: &Target) -> bool {
    match (one, other) {
        (Target::Queue(one), Target::Queue(other)) => Arc::ptr_eq(one, other),
        (Target::Exchange(one), Target::Exchange(other)) => Arc::ptr_eq(one, other),
        (Target::Queue(_) | Target::Exchange(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vhost::live::Stage;

    const ONE: Subject = Subject {
        exchange: 1,
        stage: Stage::Outer,
    };

    fn room(octets: usize) -> Arc<Room> {
        Arc::new(Room::new(octets))
    }

    /// Asks as a connection does; whether the answer was known.
    fn ask(answers: &mut Answers, subject: Subject, key: &str, generation: u64) -> bool {
        let key = key.as_bytes();
        let hash = answers.hash(subject, key);
        let expected = Remembered::Reject(format!("{}", key.len() % 7));
        if let Some(known) = answers.recall((subject, key), hash, generation) {
            assert!(*known == expected);
            answers.hit();
            return true;
        }
        answers.remember((subject, key), hash, generation, expected);
        false
    }

    fn round(answers: &mut Answers, keys: u32) -> usize {
        let known = (0..keys).filter(|key| ask(answers, ONE, &format!("key.{key}"), 1));
        known.count()
    }

    #[test]
    fn a_hundred_thousand_questions_are_remembered_where_there_is_room() {
        let mut answers = Answers::within(room(16 << 20));
        assert_eq!(round(&mut answers, 100_000), 0);
        assert_eq!(round(&mut answers, 100_000), 100_000);
        assert_eq!(answers.known.len(), 5);
    }

    #[test]
    fn nobody_holds_more_than_his_own_where_there_is_no_room() {
        let mut answers = Answers::within(room(0));
        round(&mut answers, 100_000);
        assert!(answers.held <= OWN + OWN / 8 && answers.taken == 0);
        // Whatever was held may have been thrown away in the middle of the first of these, and no more.
        round(&mut answers, 1_000);
        round(&mut answers, 1_000);
        assert_eq!(round(&mut answers, 1_000), 1_000);
    }

    #[test]
    fn a_third_of_the_room_is_left_to_others_and_all_of_it_comes_back() {
        let room = room(4 << 20);
        let mut answers = Answers::within(Arc::clone(&room));
        answers.hits = usize::MAX / REWARD / 2;
        let mut most = 0;
        for key in 0..200_000 {
            ask(&mut answers, ONE, &format!("key.{key}"), 1);
            most = most.max(answers.taken);
        }
        assert!(most > 2 << 20 && most <= 3 << 20, "{most}");
        let left = room.left.load(Ordering::Relaxed);
        assert_eq!(left + answers.taken, 4 << 20);
        drop(answers);
        assert_eq!(room.left.load(Ordering::Relaxed), 4 << 20);
    }

    #[test]
    fn questions_that_never_come_again_do_not_keep_the_room() {
        let room = room(1 << 20);
        let mut answers = Answers::within(Arc::clone(&room));
        round(&mut answers, 200_000);
        assert_eq!((answers.taken, answers.rests > 0), (0, true));
        assert_eq!(room.left.load(Ordering::Relaxed), 1 << 20);
    }

    #[test]
    fn a_newer_generation_makes_older_answers_void_and_lets_go_of_them() {
        let mut answers = Answers::within(room(0));
        assert!(!ask(&mut answers, ONE, "a", 1));
        assert!(ask(&mut answers, ONE, "a", 1));
        assert!(!ask(&mut answers, ONE, "a", 2));
        assert!(ask(&mut answers, ONE, "a", 2));
        let held: Vec<bool> = answers
            .known
            .iter()
            .map(|k| k.remembered.is_some())
            .collect();
        assert_eq!(held, [false, true]);
    }

    #[test]
    fn exchanges_and_their_inner_types_do_not_answer_for_each_other() {
        let mut answers = Answers::within(room(0));
        let subjects = [
            ONE,
            Subject {
                stage: Stage::Inner,
                ..ONE
            },
            Subject { exchange: 2, ..ONE },
        ];
        for subject in subjects {
            assert!(!ask(&mut answers, subject, "a", 1));
        }
        for subject in subjects {
            assert!(ask(&mut answers, subject, "a", 1));
        }
    }
}
