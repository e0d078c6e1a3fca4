//! A table of questions: a key, whatever its answer belongs to, and that answer's number. Four to a
//! line of the processor's cache, so that one that is in no cache costs one look into memory, where
//! a common hash table costs two or three. Nothing is taken out singly.

use crate::nearer;

/// Of four places in a bucket three are used when it grows.
const FULL_OF_FOUR: usize = 3;

const NO_ANSWER: u32 = u32::MAX;

#[derive(Default)]
pub struct Questions {
    buckets: Vec<Bucket>,
    count: usize,
    keys: Vec<u8>,
}

#[repr(align(64))]
#[derive(Clone)]
struct Bucket([Question; 4]);

#[derive(Clone, Copy)]
struct Question {
    /// Half of the key's hash: says where to look first, and keeps us from looking at other keys.
    hash: u32,
    key: u32,
    length: u8,
    answer: u32,
}

const EMPTY: Bucket = Bucket(
    [Question {
        hash: 0,
        key: 0,
        length: 0,
        answer: NO_ANSWER,
    }; 4],
);

fn half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

fn half_as_much_again(size: usize) -> usize {
    size + size / 2 + 1
}

impl Questions {
    /// The answer to this key for which `is_wanted`.
    pub fn find(&self, hash: u64, key: &[u8], is_wanted: impl FnMut(u32) -> bool) -> Option<u32> {
        self.place(hash, key, is_wanted)
            .map(|(_, _, answer)| answer)
    }

    /// Brings the place where this key's answer would be nearer to the processor.
    pub fn prefetch(&self, hash: u64) {
        if let Some(bucket) = self.buckets.get(self.first(half(hash))) {
            nearer::to_read(bucket);
        }
    }

    /// Puts the answer in the place of the one for which `is_wanted`; true when there was none.
    /// Not kept: a key of more than 255 octets, and what is over 4 GiB of keys.
    pub fn put(
        &mut self,
        hash: u64,
        key: &[u8],
        answer: u32,
        is_wanted: impl FnMut(u32) -> bool,
    ) -> bool {
        if let Some((bucket, place, _)) = self.place(hash, key, is_wanted) {
            let bucket = self.buckets.get_mut(bucket);
            if let Some(question) = bucket.and_then(|bucket| bucket.0.get_mut(place)) {
                question.answer = answer;
            }
            return false;
        }
        let (Ok(length), Ok(start)) = (u8::try_from(key.len()), u32::try_from(self.keys.len()))
        else {
            return false;
        };
        if self.count >= self.buckets.len() * FULL_OF_FOUR {
            self.grow();
        }
        if self.keys.capacity() - self.keys.len() < key.len() {
            let size = half_as_much_again(self.keys.len());
            self.keys.reserve_exact(size - self.keys.len() + key.len());
        }
        self.keys.extend_from_slice(key);
        self.insert(Question {
            hash: half(hash),
            key: start,
            length,
            answer,
        });
        self.count += 1;
        true
    }

    /// What it takes in memory.
    pub fn octets(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>() + self.keys.capacity()
    }

    fn place(
        &self,
        hash: u64,
        key: &[u8],
        mut is_wanted: impl FnMut(u32) -> bool,
    ) -> Option<(usize, usize, u32)> {
        let hash = half(hash);
        let mut at = self.first(hash);
        // Ends: a quarter of the places is empty.
        loop {
            for (place, question) in self.buckets.get(at)?.0.iter().enumerate() {
                if question.answer == NO_ANSWER {
                    return None;
                }
                if question.hash == hash && self.is(question, key) && is_wanted(question.answer) {
                    return Some((at, place, question.answer));
                }
            }
            at = self.next(at);
        }
    }

    /// Spreads over any number of buckets, so that growing need not double.
    fn first(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets.len() as u64) >> 32) as usize
    }

    fn next(&self, at: usize) -> usize {
        match at + 1 {
            end if end == self.buckets.len() => 0,
            next => next,
        }
    }

    fn is(&self, question: &Question, key: &[u8]) -> bool {
        let start = question.key as usize;
        // A memcmp of nothing is not free: where no key was kept yet it reads, masked, from an address
        // that is none, which takes the processor 70 ns.
        if key.is_empty() {
            return question.length == 0;
        }
        let own = self.keys.get(start..start + usize::from(question.length));
        own == Some(key)
    }

    /// It is not there yet, and there is room.
    fn insert(&mut self, new: Question) {
        let mut at = self.first(new.hash);
        while let Some(bucket) = self.buckets.get_mut(at) {
            let mut places = bucket.0.iter_mut();
            if let Some(place) = places.find(|place| place.answer == NO_ANSWER) {
                *place = new;
                return;
            }
            at = self.next(at);
        }
    }

    fn grow(&mut self) {
        let size = half_as_much_again(self.buckets.len());
        let old = std::mem::replace(&mut self.buckets, vec![EMPTY; size]);
        let questions = old.iter().flat_map(|bucket| bucket.0);
        for question in questions.filter(|question| question.answer != NO_ANSWER) {
            self.insert(question);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let mut questions = Questions::default();
        let any = |_| true;
        for number in 0..200_u32 {
            assert!(questions.put(7 << 32, &number.to_be_bytes(), number, any));
        }
        for number in 0..200_u32 {
            let key = number.to_be_bytes();
            assert_eq!(questions.find(7 << 32, &key, any), Some(number));
            assert!(!questions.put(7 << 32, &key, number + 1, any));
            assert_eq!(questions.find(7 << 32, &key, any), Some(number + 1));
        }
        assert_eq!(questions.find(7 << 32, b"other", any), None);
    }

    #[test]
    fn one_key_has_an_answer_for_everybody_who_asks() {
        let mut questions = Questions::default();
        assert!(questions.put(1, b"a", 1, |answer| answer == 1));
        assert!(questions.put(1, b"a", 2, |answer| answer == 2));
        assert_eq!(questions.find(1, b"a", |answer| answer == 2), Some(2));
        assert_eq!(questions.find(1, b"a", |answer| answer == 1), Some(1));
        assert_eq!(questions.find(1, b"a", |answer| answer == 3), None);
    }

    #[test]
    fn a_key_longer_than_its_length_can_say_is_not_kept() {
        let mut questions = Questions::default();
        assert!(!questions.put(1, &[0; 256], 1, |_| true));
        assert_eq!(questions.find(1, &[0; 256], |_| true), None);
        assert!(questions.put(1, &[0; 255], 1, |_| true));
    }
}
