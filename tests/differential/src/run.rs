//! Many sessions, several at a time: what was played, and every kind of difference once, minimised.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::compare::{Difference, Verdict};
use crate::connection::Address;
use crate::duel::Duel;
use crate::generate::{Features, Profile, script};
use crate::script::Script;

#[derive(Clone, Debug)]
pub struct Plan {
    pub left: Address,
    pub right: Address,
    pub seeds: Range<u64>,
    /// Of each seed.
    pub sessions: u64,
    pub profiles: Vec<Profile>,
    pub features: Features,
    pub jobs: usize,
    /// No session begins later.
    pub limit: Option<Duration>,
    /// Kinds of differences that are minimised.
    pub minimised: usize,
}

#[derive(Debug, Default)]
pub struct Report {
    pub sessions: u64,
    pub steps: u64,
    pub seeds: u64,
    /// Sessions that ended at a deliberate difference.
    pub parted: BTreeMap<&'static str, u64>,
    /// Differences that did not come again.
    pub unsteady: u64,
    pub kinds: BTreeMap<String, Kind>,
}

#[derive(Debug)]
pub struct Kind {
    pub count: u64,
    pub seed: u64,
    pub session: u64,
    pub script: Script,
    pub difference: Difference,
}

impl Report {
    pub fn differences(&self) -> u64 {
        self.kinds.values().map(|kind| kind.count).sum()
    }
}

/// Plays the plan; `tell` hears of every kind of difference when it is found.
pub fn run(plan: &Plan, tell: &(dyn Fn(&Kind) + Sync)) -> Report {
    let report = Mutex::new(Report::default());
    let next = AtomicU64::new(0);
    let count = (plan.seeds.end - plan.seeds.start) * plan.sessions;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs {
            scope.spawn(|| {
                let mut duel = Duel::new(plan.left.clone(), plan.right.clone());
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let late = plan.limit.is_some_and(|limit| begun.elapsed() > limit);
                    if number >= count || late {
                        break;
                    }
                    session(plan, number, &mut duel, &report, tell);
                }
            });
        }
    });
    let mut report = report
        .into_inner()
        .unwrap_or_else(|report| report.into_inner());
    let played = next.load(Ordering::Relaxed).min(count);
    report.seeds = played.min(plan.seeds.end - plan.seeds.start);
    report
}

/// Seeds go round, so that a run that is cut short has seen most of them.
fn session(
    plan: &Plan,
    number: u64,
    duel: &mut Duel,
    report: &Mutex<Report>,
    tell: &(dyn Fn(&Kind) + Sync),
) {
    let seeds = plan.seeds.end - plan.seeds.start;
    let seed = plan.seeds.start + number % seeds;
    let session = number / seeds;
    let profile = plan
        .profiles
        .get((session as usize) % plan.profiles.len().max(1));
    let profile = profile.copied().unwrap_or(Profile::Ordinary);
    let script = script(seed, session, profile, &plan.features);
    let verdict = duel.play(&script);
    let lock = || report.lock().unwrap_or_else(|report| report.into_inner());
    {
        let mut report = lock();
        report.sessions += 1;
        report.steps += script.steps.len() as u64;
    }
    let first = match verdict {
        Verdict::Same => return,
        Verdict::Parted(name) => {
            *lock().parted.entry(name).or_default() += 1;
            return;
        }
        Verdict::Different(difference) => difference,
    };
    // A broker may be late even then, but hardly twice.
    let again = duel.difference(&script);
    let again = again.and_then(|_| duel.difference(&script));
    let Some(again) = again else {
        lock().unsteady += 1;
        eprintln!("unsteady: seed {seed} session {session}: {first:#?}");
        return;
    };
    {
        let mut report = lock();
        let minimised = report.kinds.len();
        if let Some(kind) = report.kinds.get_mut(&again.signature) {
            kind.count += 1;
            return;
        }
        let kind = Kind {
            count: 1,
            seed,
            session,
            script: script.clone(),
            difference: again.clone(),
        };
        report.kinds.insert(again.signature.clone(), kind);
        if minimised >= plan.minimised {
            return;
        }
    }
    let (script, difference) = duel.minimise(&script, &again);
    let mut report = lock();
    if let Some(kind) = report.kinds.get_mut(&again.signature) {
        kind.script = script;
        kind.difference = difference;
        tell(kind);
    }
}
