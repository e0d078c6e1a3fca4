//! The patterns of one topic exchange as a trie that is walked as a state machine: all places a
//! key can be at after its first n words, each held once. However many `#` the patterns have, a
//! key costs at most its words times the trie's nodes. Not the exchange type (see `lib.rs`).

use std::collections::HashMap;

use foldhash::fast::FixedState;

const ROOT: usize = 0;

pub struct Trie {
    nodes: Vec<Node>,
    /// Nodes that are in no pattern any more.
    free: Vec<usize>,
    patterns: HashMap<u32, Box<str>, FixedState>,
    hash: FixedState,
    /// Where the walk stands, and where it goes with the next word: kept for their allocation.
    places: Vec<usize>,
    next: Vec<usize>,
    step: u64,
}

struct Node {
    words: HashMap<Box<str>, usize, FixedState>,
    /// The node after `*`.
    one: Option<usize>,
    /// The node after `#`.
    many: Option<usize>,
    /// This node comes after `#`: every word leads back to it.
    stays: bool,
    slots: Vec<u32>,
    /// The last step of a walk that came here.
    visited: u64,
}

impl Node {
    fn new(hash: &FixedState, stays: bool) -> Self {
        Node {
            words: HashMap::with_hasher(hash.clone()),
            one: None,
            many: None,
            stays,
            slots: Vec::new(),
            visited: 0,
        }
    }

    fn is_unused(&self) -> bool {
        self.slots.is_empty() && self.words.is_empty() && self.one.is_none() && self.many.is_none()
    }

    fn after(&self, word: &str) -> Option<usize> {
        match word {
            "*" => self.one,
            "#" => self.many,
            _ => self.words.get(word).copied(),
        }
    }
}

/// The empty key has no words, not one that is empty.
fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').filter(move |_| !key.is_empty())
}

impl Trie {
    pub fn new(seed: u64) -> Self {
        let hash = FixedState::with_seed(seed);
        Trie {
            nodes: vec![Node::new(&hash, false)],
            free: Vec::new(),
            patterns: HashMap::with_hasher(hash.clone()),
            hash,
            places: Vec::new(),
            next: Vec::new(),
            step: 0,
        }
    }

    pub fn insert(&mut self, slot: u32, pattern: &str) {
        self.remove(slot);
        let mut at = ROOT;
        for word in words(pattern) {
            at = match self.nodes[at].after(word) {
                Some(next) => next,
                None => self.grow(at, word),
            };
        }
        self.nodes[at].slots.push(slot);
        self.patterns.insert(slot, pattern.into());
    }

    fn grow(&mut self, from: usize, word: &str) -> usize {
        let node = Node::new(&self.hash, word == "#");
        let new = match self.free.pop() {
            Some(free) => {
                self.nodes[free] = node;
                free
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        let from = &mut self.nodes[from];
        match word {
            "*" => from.one = Some(new),
            "#" => from.many = Some(new),
            _ => {
                from.words.insert(word.into(), new);
            }
        }
        new
    }

    pub fn remove(&mut self, slot: u32) {
        let Some(pattern) = self.patterns.remove(&slot) else {
            return;
        };
        let mut path = Vec::new();
        let mut at = ROOT;
        for word in words(&pattern) {
            let Some(next) = self.nodes[at].after(word) else {
                return;
            };
            path.push((at, word));
            at = next;
        }
        self.nodes[at].slots.retain(|other| *other != slot);
        for (before, word) in path.into_iter().rev() {
            if !self.nodes[at].is_unused() {
                break;
            }
            self.free.push(at);
            let before_node = &mut self.nodes[before];
            match word {
                "*" => before_node.one = None,
                "#" => before_node.many = None,
                _ => {
                    before_node.words.remove(word);
                }
            }
            at = before;
        }
    }

    /// The slots whose pattern matches, each once: a slot has one pattern, a pattern one node.
    pub fn matches(&mut self, key: &str) -> Vec<u32> {
        self.places.clear();
        self.step += 1;
        self.enter(ROOT);
        std::mem::swap(&mut self.places, &mut self.next);
        for word in words(key) {
            self.step += 1;
            for place in 0..self.places.len() {
                let place = self.places[place];
                let node = &self.nodes[place];
                let (one, named) = (node.one, node.words.get(word).copied());
                if node.stays {
                    self.enter(place);
                }
                for after in [one, named].into_iter().flatten() {
                    self.enter(after);
                }
            }
            std::mem::swap(&mut self.places, &mut self.next);
            self.next.clear();
        }
        // Of exactly this size, so that it crosses to the broker without a second allocation.
        let found = self.places.iter().map(|place| &self.nodes[*place].slots);
        let mut slots = Vec::with_capacity(found.clone().map(Vec::len).sum());
        for matched in found {
            slots.extend_from_slice(matched);
        }
        slots
    }

    /// The walk is at this node, and with no further word also behind the `#` that follow it.
    fn enter(&mut self, node: usize) {
        let mut entered = Some(node);
        while let Some(at) = entered {
            let node = &mut self.nodes[at];
            if node.visited == self.step {
                return;
            }
            node.visited = self.step;
            self.next.push(at);
            entered = node.many;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recursive and slow, straight from the definition.
    fn naive(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            (["#", rest @ ..], _) => {
                naive(rest, key) || (!key.is_empty() && naive(pattern, &key[1..]))
            }
            (["*", rest @ ..], [_, left @ ..]) => naive(rest, left),
            ([word, rest @ ..], [same, left @ ..]) => word == same && naive(rest, left),
            ([], [_, ..]) | ([_, ..], []) => false,
        }
    }

    /// xorshift64*: the same numbers in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
        }

        fn words(&mut self, from: &[&str]) -> String {
            let length = self.below(6);
            let words: Vec<&str> = (0..length).map(|_| from[self.below(from.len())]).collect();
            words.join(".")
        }
    }

    fn sorted(mut slots: Vec<u32>) -> Vec<u32> {
        slots.sort_unstable();
        slots
    }

    #[test]
    fn agrees_with_the_definition_on_random_patterns_and_keys_while_they_come_and_go() {
        let mut random = Random(0x5eed);
        let mut trie = Trie::new(1);
        let mut bound: HashMap<u32, String> = HashMap::new();
        for _ in 0..4_000 {
            let slot = random.below(60) as u32;
            if random.below(3) == 0 {
                trie.remove(slot);
                bound.remove(&slot);
            } else {
                let pattern = random.words(&["a", "b", "", "*", "#", "#"]);
                trie.insert(slot, &pattern);
                bound.insert(slot, pattern);
            }
            let key = random.words(&["a", "b", "c", ""]);
            let key_words: Vec<&str> = words(&key).collect();
            let expected = bound.iter().filter(|(_, pattern)| {
                let pattern: Vec<&str> = words(pattern).collect();
                naive(&pattern, &key_words)
            });
            let expected = sorted(expected.map(|(slot, _)| *slot).collect());
            assert_eq!(
                sorted(trie.matches(&key)),
                expected,
                "key {key:?}, {bound:?}"
            );
        }
    }

    #[test]
    fn nothing_is_left_of_patterns_that_are_gone() {
        let mut trie = Trie::new(1);
        for slot in 0..100 {
            trie.insert(slot, &format!("a.*.#.{slot}.#"));
        }
        for slot in 0..100 {
            trie.remove(slot);
        }
        assert_eq!(trie.nodes.len(), trie.free.len() + 1);
        assert!(trie.nodes[ROOT].is_unused());
        trie.insert(5, "#");
        assert_eq!(trie.matches("x.y"), [5]);
    }

    #[test]
    fn many_hashes_cost_no_more_than_places_times_words() {
        let mut trie = Trie::new(1);
        let pattern = ["#"; 60].join(".a.") + ".z";
        trie.insert(0, &pattern);
        let key = ["a"; 127].join(".");
        for _ in 0..100 {
            assert_eq!(trie.matches(&key), []);
        }
        // A walk that held places twice would need 2^60 of them.
        assert!(trie.places.len() <= trie.nodes.len());
        assert_eq!(trie.matches(&(key + ".z")), [0]);
    }

    #[test]
    fn the_empty_key_has_no_words() {
        let mut trie = Trie::new(1);
        for (slot, pattern) in [(0, ""), (1, "#"), (2, "*"), (3, "."), (4, "*.*")] {
            trie.insert(slot, pattern);
        }
        assert_eq!(sorted(trie.matches("")), [0, 1]);
        assert_eq!(sorted(trie.matches(".")), [1, 3, 4]);
    }

    #[test]
    fn wildcards_of_a_key_are_plain_words() {
        let mut trie = Trie::new(1);
        trie.insert(0, "a.b");
        trie.insert(1, "a.*");
        assert_eq!(trie.matches("a.#"), [1]);
        assert_eq!(trie.matches("#"), []);
    }
}
