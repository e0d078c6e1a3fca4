//! Many sessions, several at a time: what was played, and every kind of difference once, minimised.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::compare::{Difference, Verdict};
use crate::connection::Address;
use crate::deliberate::is_of_order;
use crate::duel::Duel;
use crate::generate::{Features, Profile, script};
use crate::script::Script;
use crate::side::Pace;

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
    /// Sessions that differed at first and did not when they were given more time.
    pub late: u64,
    /// Sessions that differed twice, by number, until they are played again with little beside them.
    pub doubtful: Vec<u64>,
    /// Sessions in which RabbitMQ differs from itself.
    pub torn: Vec<(u64, u64)>,
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

/// How often a doubtful session is played again, and how often in a row it must then be the same.
const AGAIN: usize = 6;
const IN_A_ROW: usize = 2;

/// What is doubtful is played so few at a time that time is no matter.
const ALONE: usize = 4;

const PROGRESS: Duration = Duration::from_secs(30);

/// Who hears of a run while it lasts.
pub trait Audience: Sync {
    /// A kind of difference, minimised.
    fn found(&self, kind: &Kind);
    /// Now and then.
    fn progress(&self, report: &Report);
    /// A session has differed, and is going to be played again.
    fn doubt(&self, seed: u64, session: u64, difference: &Difference);
}

struct Run<'a> {
    plan: &'a Plan,
    report: Mutex<Report>,
    audience: &'a dyn Audience,
}

/// Plays the plan. What differed is played again, and in the end once more with little beside it, and RabbitMQ
/// against itself beside that: a
/// session is the same only when it compared the same.
pub fn run(plan: &Plan, audience: &dyn Audience) -> Report {
    let run = Run {
        plan,
        report: Mutex::default(),
        audience,
    };
    let next = AtomicU64::new(0);
    let seeds = plan.seeds.end - plan.seeds.start;
    let count = seeds * plan.sessions;
    let begun = Instant::now();
    let told = Mutex::new(begun);
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
                    run.session(number, &mut duel);
                    run.progress(&told);
                }
            });
        }
    });
    let mut report = run.locked();
    let doubtful = std::mem::take(&mut report.doubtful);
    report.seeds = report.sessions.min(seeds);
    drop(report);
    let doubtful = Mutex::new(doubtful);
    std::thread::scope(|scope| {
        for _ in 0..ALONE.min(plan.jobs) {
            scope.spawn(|| {
                let mut duel = Duel::new(plan.left.clone(), plan.right.clone());
                let mut selves = Duel::new(plan.left.clone(), plan.left.clone());
                let next = || {
                    let mut doubtful = doubtful.lock().unwrap_or_else(PoisonError::into_inner);
                    doubtful.pop()
                };
                while let Some(number) = next() {
                    run.alone(number, &mut duel, &mut selves);
                }
            });
        }
    });
    run.report
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

impl Run<'_> {
    fn locked(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self, told: &Mutex<Instant>) {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() > PROGRESS {
            *told = Instant::now();
            self.audience.progress(&self.locked());
        }
    }

    /// Seeds go round, so that a run that is cut short has seen most of them.
    fn made(&self, number: u64) -> (u64, u64, Script) {
        let plan = self.plan;
        let seeds = plan.seeds.end - plan.seeds.start;
        let seed = plan.seeds.start + number % seeds;
        let session = number / seeds;
        let profile = plan
            .profiles
            .get((session as usize) % plan.profiles.len().max(1));
        let profile = profile.copied().unwrap_or(Profile::Ordinary);
        let script = script(seed, session, profile, &plan.features);
        (seed, session, script)
    }

    fn session(&self, number: u64, duel: &mut Duel) {
        let (seed, session, script) = self.made(number);
        let mut verdict = duel.play(&script, Pace::Quick);
        let again = match &verdict {
            Verdict::Same => false,
            // An order may also be the doing of a busy machine.
            Verdict::Parted(name) => is_of_order(name),
            Verdict::Different(difference) => {
                self.audience.doubt(seed, session, difference);
                true
            }
        };
        if again {
            verdict = duel.play(&script, Pace::Slow);
        }
        let mut report = self.locked();
        report.sessions += 1;
        report.steps += script.steps.len() as u64;
        match verdict {
            Verdict::Same => report.late += u64::from(again),
            Verdict::Parted(name) => *report.parted.entry(name).or_default() += 1,
            Verdict::Different(difference) => {
                report.doubtful.push(number);
                drop(report);
                self.audience.doubt(seed, session, &difference);
            }
        }
    }

    fn alone(&self, number: u64, duel: &mut Duel, selves: &mut Duel) {
        let (seed, session, script) = self.made(number);
        let mut same = 0;
        let mut found = None;
        for _ in 0..AGAIN {
            match duel.play(&script, Pace::Slow) {
                Verdict::Same => same += 1,
                Verdict::Parted(name) => {
                    *self.locked().parted.entry(name).or_default() += 1;
                    return;
                }
                Verdict::Different(difference) => {
                    same = 0;
                    let step = difference.step;
                    found = Some(difference);
                    match selves.play(&script, Pace::Slow) {
                        Verdict::Different(own) if own.step == step => {
                            self.locked().torn.push((seed, session));
                            return;
                        }
                        Verdict::Different(_) | Verdict::Same | Verdict::Parted(_) => {}
                    }
                }
            }
            if same == IN_A_ROW {
                self.locked().late += 1;
                return;
            }
        }
        if let Some(difference) = found {
            self.keep(seed, session, script, difference, duel);
        }
    }

    fn keep(
        &self,
        seed: u64,
        session: u64,
        script: Script,
        difference: Difference,
        duel: &mut Duel,
    ) {
        let signature = difference.signature.clone();
        let mut report = self.locked();
        let minimised = report.kinds.len();
        if let Some(kind) = report.kinds.get_mut(&signature) {
            kind.count += 1;
            return;
        }
        drop(report);
        let (script, difference) = match minimised < self.plan.minimised {
            true => duel.minimise(&script, &difference),
            false => (script, difference),
        };
        let kind = Kind {
            count: 1,
            seed,
            session,
            script,
            difference,
        };
        self.audience.found(&kind);
        self.locked().kinds.insert(signature, kind);
    }
}
