//! Two brokers, a script, a verdict; and the smallest script that still tells them apart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::codec::Field;
use crate::compare::{Difference, Verdict, compare};
use crate::connection::Address;
use crate::player::play;
use crate::script::{Action, Script, Step};
use crate::side::{Pace, Side};
use crate::spec::PROPERTIES;

/// How often a minimisation may play.
const TRIES: usize = 150;

/// How long one may take: a difference may lie in a broker that does not answer.
const PATIENCE: Duration = Duration::from_secs(40);

pub struct Duel {
    pub left: Side,
    pub right: Side,
    until: Option<Instant>,
}

static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// Every session has names of its own on either side, which may be one broker; all of one length.
fn prefixes() -> [String; 2] {
    let session = SESSIONS.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id() & 0xfff;
    ["l", "r"].map(|side| format!("{side}{process:03x}{session:06x}-"))
}

impl Duel {
    pub fn new(left: Address, right: Address) -> Duel {
        Duel {
            left: Side::new(left),
            right: Side::new(right),
            until: None,
        }
    }

    pub fn play(&mut self, script: &Script, pace: Pace) -> Verdict {
        let [one, two] = prefixes();
        self.left.pace = pace;
        self.right.pace = pace;
        let left = &mut self.left;
        let right = &mut self.right;
        let (left, right) = std::thread::scope(|scope| {
            let other = scope.spawn(|| play(right, script, &two));
            let left = play(left, script, &one);
            let right = other.join();
            let right = right.unwrap_or_else(|_| Err(anyhow::anyhow!("the player panicked")));
            (left, right)
        });
        compare(script, &left, &right)
    }

    fn difference(&mut self, script: &Script) -> Option<Difference> {
        match self.play(script, Pace::Slow) {
            Verdict::Different(difference) => Some(difference),
            Verdict::Same | Verdict::Parted(_) => None,
        }
    }

    /// Leaves out whatever can be left out of a script without losing its difference.
    pub fn minimise(&mut self, script: &Script, found: &Difference) -> (Script, Difference) {
        let mut best = (script.clone(), found.clone());
        if let Some(step) = found.step {
            best.0.steps.truncate(step + 1);
        }
        let mut tries = TRIES;
        self.until = Some(Instant::now() + PATIENCE);
        let mut size = (best.0.steps.len() / 2).max(1);
        while size > 0 {
            let mut at = 0;
            while at < best.0.steps.len() && tries > 0 {
                let mut smaller = best.0.clone();
                let end = (at + size).min(smaller.steps.len());
                smaller.steps.drain(at..end);
                tries -= 1;
                match self.like(&smaller, &best.1) {
                    Some(difference) => best = (smaller, difference),
                    None => at += size,
                }
            }
            size /= 2;
        }
        self.simplify(&mut best, &mut tries);
        self.until = None;
        best
    }

    fn like(&mut self, script: &Script, known: &Difference) -> Option<Difference> {
        if self.until.is_some_and(|until| Instant::now() > until) {
            return None;
        }
        let found = self.difference(script)?;
        (found.signature == known.signature).then_some(found)
    }

    /// Leaves out arguments and properties.
    fn simplify(&mut self, best: &mut (Script, Difference), tries: &mut usize) {
        for place in 0..best.0.steps.len() {
            let mut variant = 0;
            while *tries > 0 {
                let mut smaller = best.0.clone();
                let Some(step) = smaller.steps.get_mut(place) else {
                    break;
                };
                if !leave_out(step, variant) {
                    break;
                }
                *tries -= 1;
                match self.like(&smaller, &best.1) {
                    Some(difference) => *best = (smaller, difference),
                    None => variant += 1,
                }
            }
        }
    }
}

/// Takes the n-th thing out of a step that can do without; false when there is none.
fn leave_out(step: &mut Step, variant: usize) -> bool {
    let Action::Call {
        fields, content, ..
    } = &mut step.action
    else {
        return false;
    };
    let mut left = variant;
    let mut lists = vec![fields];
    if let Some(content) = content {
        lists.push(&mut content.properties);
    }
    for list in lists {
        for at in 0..list.len() {
            let is_property = PROPERTIES.iter().any(|one| one.name == list[at].0);
            let needed = !is_property && matches!(&list[at].1, Field::Text(_) | Field::Unacked(_));
            if let (_, Field::Table(table)) = &mut list[at] {
                if left < table.len() {
                    table.remove(left);
                    return true;
                }
                left -= table.len();
            }
            if needed {
                continue;
            }
            if left == 0 {
                list.remove(at);
                return true;
            }
            left -= 1;
        }
    }
    false
}
