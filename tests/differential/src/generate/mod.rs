//! Makes a session out of a seed. The generator keeps a light model of what it has declared, so that
//! most steps do something; it does not know what a broker answers.

mod arguments;
mod hostile;
mod model;
mod steps;

use crate::random::Random;
use crate::script::Script;
use model::Model;

/// What sessions may ask of a broker. One that lacks something is tested without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// x-message-ttl, expiration
    Ttl,
    /// x-expires
    Expires,
    DeadLetter,
    /// x-max-length, x-max-length-bytes, x-overflow
    Limits,
    Priority,
    SingleActive,
    ConsumerPriority,
    ReplyTo,
    /// CC and BCC
    Copies,
    UserId,
    /// Arguments of wrong types and values
    Validation,
    Quorum,
    Transactions,
    Alternate,
    /// Names that are not UTF-8
    Octets,
    /// Several consumers of one queue
    Rotation,
}

pub const FEATURES: [(&str, Feature); 16] = [
    ("ttl", Feature::Ttl),
    ("expires", Feature::Expires),
    ("dead-letter", Feature::DeadLetter),
    ("limits", Feature::Limits),
    ("priority", Feature::Priority),
    ("single-active", Feature::SingleActive),
    ("consumer-priority", Feature::ConsumerPriority),
    ("reply-to", Feature::ReplyTo),
    ("copies", Feature::Copies),
    ("user-id", Feature::UserId),
    ("validation", Feature::Validation),
    ("quorum", Feature::Quorum),
    ("transactions", Feature::Transactions),
    ("alternate", Feature::Alternate),
    ("octets", Feature::Octets),
    ("rotation", Feature::Rotation),
];

#[derive(Clone, Debug)]
pub struct Features(Vec<Feature>);

impl Features {
    pub fn all() -> Features {
        Features(FEATURES.iter().map(|(_, feature)| *feature).collect())
    }

    /// What Warren has.
    pub fn today() -> Features {
        Features::all()
    }

    /// `all`, `today`, `none` and names of features, with commas between; `-name` takes one away.
    pub fn parse(text: &str) -> Option<Features> {
        let mut features = Vec::new();
        for name in text.split(',') {
            let (name, take_away) = match name.strip_prefix('-') {
                Some(name) => (name, true),
                None => (name, false),
            };
            let named = match name {
                "all" => Features::all().0,
                "today" => Features::today().0,
                "none" => Vec::new(),
                name => {
                    let mut known = FEATURES.iter();
                    vec![known.find(|(known, _)| *known == name)?.1]
                }
            };
            match take_away {
                true => features.retain(|one| !named.contains(one)),
                false => features.extend(named),
            }
        }
        Some(Features(features))
    }

    pub fn has(&self, feature: Feature) -> bool {
        self.0.contains(&feature)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What programs do, and their everyday mistakes.
    Ordinary,
    /// A good part of the steps breaks a rule.
    Hostile,
}

/// The session of that number, of that seed.
pub fn script(seed: u64, session: u64, profile: Profile, features: &Features) -> Script {
    let mut random = Random::new(seed);
    let base = random.draw();
    let random = Random::new(base ^ session.wrapping_mul(0x9e6c_63d0_876a_68ee));
    let mut model = Model::new(random, features.clone());
    model.session(profile);
    Script { steps: model.steps }
}

#[test]
fn a_seed_makes_the_same_session_again_and_its_text_is_read_back() {
    for seed in 0..200 {
        for profile in [Profile::Ordinary, Profile::Hostile] {
            let first = script(seed, 1, profile, &Features::all());
            let again = script(seed, 1, profile, &Features::all());
            assert_eq!(first, again);
            let text = first.to_string();
            let read = crate::text::parse(&text).expect("a script");
            assert_eq!(read.to_string(), text);
            assert!(first.steps.len() > 10, "{text}");
        }
    }
}
