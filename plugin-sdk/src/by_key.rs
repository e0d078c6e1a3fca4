//! Answers for many routing keys at once, by an exchange type's own `route`. Not when the broker wants
//! them (see WIT's interface `by-key`).

use std::cell::Cell;

use crate::{Answer, Decision, ExchangeType, Message, MessageSource};

/// As in WIT's `by-key.destinations`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Destinations {
    pub slots: Vec<u32>,
    pub ends: Vec<u32>,
    pub alone: Vec<u32>,
}

/// `ends` says where each key ends in `text`.
pub(crate) fn route_keys<T: ExchangeType>(
    exchange: &mut T,
    text: &str,
    ends: &[u32],
) -> Destinations {
    let mut found = Destinations::default();
    found.ends.reserve(ends.len());
    let mut begin = 0;
    for (key, end) in (0..).zip(ends) {
        let end = *end as usize;
        let source = KeyAlone {
            key: text.get(begin..end).unwrap_or_default(),
            strayed: Cell::new(false),
        };
        begin = end;
        let answer = exchange.route(&Message::new(&source));
        match answer {
            Answer {
                decision: Decision::To(slots),
                set_headers,
            } if set_headers.is_empty() && !source.strayed.get() => {
                found.slots.extend_from_slice(&slots);
            }
            Answer { .. } => found.alone.push(key),
        }
        let so_far = u32::try_from(found.slots.len()).unwrap_or(u32::MAX);
        found.ends.push(so_far);
    }
    found
}

/// A message of which nothing is known but its routing key.
struct KeyAlone<'a> {
    key: &'a str,
    /// Something else was looked at.
    strayed: Cell<bool>,
}

impl KeyAlone<'_> {
    fn nothing<T: Default>(&self) -> T {
        self.strayed.set(true);
        T::default()
    }
}

impl MessageSource for KeyAlone<'_> {
    fn exchange(&self) -> String {
        self.nothing()
    }

    fn routing_key(&self) -> String {
        self.key.to_owned()
    }

    fn header(&self, _: &str) -> Option<Vec<u8>> {
        self.nothing()
    }

    fn headers(&self) -> Vec<u8> {
        self.nothing()
    }

    fn properties(&self) -> Vec<u8> {
        self.nothing()
    }

    fn body_length(&self) -> u64 {
        self.nothing()
    }

    fn body(&self, _: u64, _: u32) -> Vec<u8> {
        self.nothing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Binding, Inputs, Opening};

    /// By the length of the key; looks at a header where the key is `odd`, and rejects `bad`.
    struct ByLength;

    impl ExchangeType for ByLength {
        const TYPES: &'static [&'static str] = &["x-by-length"];

        fn open(_: &Opening) -> Result<Self, String> {
            Ok(ByLength)
        }

        fn bind(&mut self, _: &Binding) -> Result<(), String> {
            Ok(())
        }

        fn unbind(&mut self, _: u32) {}

        fn inputs(&self) -> Inputs {
            Inputs::RoutingKey
        }

        fn route(&mut self, message: &Message) -> Answer {
            match message.routing_key().as_str() {
                "bad" => Answer::reject("no"),
                "odd" => match message.header("why") {
                    Some(_) => Answer::to([1]),
                    None => Answer::to([2]),
                },
                "stamped" => Answer::to([3]).with_header("by", "length"),
                key => Answer::to(0..u32::try_from(key.len()).expect("short")),
            }
        }
    }

    fn routed(keys: &[&str]) -> Destinations {
        let mut end = 0;
        let ends = keys.iter().map(|key| {
            end += u32::try_from(key.len()).expect("short");
            end
        });
        let ends: Vec<u32> = ends.collect();
        route_keys(&mut ByLength, &keys.concat(), &ends)
    }

    #[test]
    fn slots_of_each_key_stand_behind_each_other() {
        let found = routed(&["ab", "", "xyz"]);
        assert_eq!(found.slots, [0, 1, 0, 1, 2]);
        assert_eq!(found.ends, [2, 2, 5]);
        assert!(found.alone.is_empty());
    }

    #[test]
    fn what_needs_more_than_the_key_or_is_no_list_of_slots_is_asked_alone() {
        let found = routed(&["a", "odd", "bad", "b", "stamped"]);
        assert_eq!(found.alone, [1, 2, 4]);
        assert_eq!((found.slots, found.ends), (vec![0, 0], vec![1, 1, 1, 2, 2]));
    }

    #[test]
    fn ends_that_lie_outside_of_the_text_are_empty_keys() {
        let found = route_keys(&mut ByLength, "ab", &[1, 9, 2]);
        assert_eq!(found.ends, [1, 1, 1]);
    }
}
