//! One task of a service: what operators see of it, and its life from start to start. What it does
//! is the component's affair.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Surroundings;
use super::engine::Loaded;
use super::instance::{Caller, Planned};
use super::services::Plugin;
use crate::clock::Millis;

/// The first delay before a task is started again; doubled with each failure.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// A task that ran for so long has recovered from what was before.
const RECOVERED: Duration = Duration::from_secs(30);

/// So many traps within that time are a crash loop.
const TRAPS: usize = 5;
const TRAPS_WITHIN: Duration = Duration::from_secs(60);

/// How long a task may take to come to an end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// `host.count` promises so many.
const MAX_COUNTERS: usize = 16;

/// Why a task is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Removed,
    Restarted,
    Paused,
    Shutdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    Starting,
    Running,
    /// A peer takes less than there is to send.
    Flow,
    /// A peer takes nothing.
    Blocked,
    Paused,
    Terminated,
}

impl Doing {
    /// As RabbitMQ names it.
    pub fn name(self) -> &'static str {
        match self {
            Doing::Starting => "starting",
            Doing::Running => "running",
            Doing::Flow => "flow",
            Doing::Blocked => "blocked",
            Doing::Paused => "paused",
            Doing::Terminated => "terminated",
        }
    }
}

/// What operators see.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStatus {
    pub plugin: String,
    pub vhost: String,
    pub name: String,
    pub doing: Doing,
    pub since: Millis,
    pub why: Option<String>,
    /// A JSON object, once it runs.
    pub facts: Option<Value>,
    pub counters: BTreeMap<String, u64>,
    pub restarts: u64,
}

pub(super) struct Task {
    pub plugin: Arc<Plugin>,
    pub vhost: String,
    pub name: String,
    pub settings: String,
    /// Linear memory at its start, in bytes.
    pub memory: AtomicU64,
    restarts: AtomicU64,
    shown: Mutex<Shown>,
    counters: Mutex<BTreeMap<String, u64>>,
    stop: watch::Sender<Option<Reason>>,
    /// When it became able to do what it is there for, in this run.
    ran_since: Mutex<Option<Instant>>,
}

struct Shown {
    doing: Doing,
    since: Millis,
    why: Option<String>,
    facts: Option<Value>,
}

/// How one run came to its end.
enum Ended {
    Done,
    Stopped(Reason),
    Failed(String),
    Trapped(String),
}

impl Task {
    pub fn new(plugin: &Arc<Plugin>, planned: Planned, doing: Doing) -> Arc<Task> {
        Arc::new(Task {
            vhost: planned.vhost,
            name: planned.name,
            settings: planned.settings,
            memory: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            shown: Mutex::new(Shown {
                doing,
                since: plugin.clock.now(),
                why: None,
                facts: None,
            }),
            counters: Mutex::default(),
            stop: watch::Sender::new(None),
            ran_since: Mutex::default(),
            plugin: Arc::clone(plugin),
        })
    }

    /// As `plan` named it.
    pub fn planned(&self) -> Planned {
        Planned {
            vhost: self.vhost.clone(),
            name: self.name.clone(),
            settings: self.settings.clone(),
        }
    }

    pub fn status(&self) -> TaskStatus {
        let shown = self.shown.lock();
        TaskStatus {
            plugin: self.plugin.name.clone(),
            vhost: self.vhost.clone(),
            name: self.name.clone(),
            doing: shown.doing,
            since: shown.since,
            why: shown.why.clone(),
            facts: shown.facts.clone(),
            counters: self.counters.lock().clone(),
            restarts: self.restarts.load(Ordering::Relaxed),
        }
    }

    fn enter(&self, doing: Doing, why: Option<String>) {
        let mut shown = self.shown.lock();
        if shown.doing != doing {
            shown.doing = doing;
            shown.since = self.plugin.clock.now();
        }
        shown.why = why;
    }

    pub fn show(&self, facts: Option<Value>) {
        if facts.is_some() {
            self.shown.lock().facts = facts;
        }
    }

    pub fn running(&self) {
        self.ran_since.lock().get_or_insert_with(Instant::now);
        self.enter(Doing::Running, None);
    }

    pub fn waits_for(&self, what: &str) {
        *self.ran_since.lock() = None;
        self.enter(Doing::Starting, (!what.is_empty()).then(|| what.to_owned()));
    }

    /// Only of a task that runs.
    pub fn impeded(&self, flow: bool, blocked: Option<String>) {
        let now = match (&blocked, flow) {
            (Some(_), _) => Doing::Blocked,
            (None, true) => Doing::Flow,
            (None, false) => Doing::Running,
        };
        let was = self.shown.lock().doing;
        match was {
            Doing::Running | Doing::Flow | Doing::Blocked if was != now => self.enter(now, blocked),
            Doing::Running
            | Doing::Flow
            | Doing::Blocked
            | Doing::Starting
            | Doing::Paused
            | Doing::Terminated => {}
        }
    }

    pub fn count(&self, name: &str, by: u64) {
        let mut counters = self.counters.lock();
        if counters.len() < MAX_COUNTERS || counters.contains_key(name) {
            let count = counters.entry(name.to_owned()).or_default();
            *count = count.saturating_add(by);
        }
    }

    pub fn stop(&self, reason: Reason) {
        // The first word counts.
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(reason);
            first
        });
    }

    pub fn stopping(&self) -> Option<Reason> {
        *self.stop.borrow()
    }

    /// Returns once the task is to end.
    pub async fn stopped(&self) -> Reason {
        let mut stop = self.stop.subscribe();
        loop {
            if let Some(reason) = *stop.borrow_and_update() {
                return reason;
            }
            if stop.changed().await.is_err() {
                return Reason::Shutdown;
            }
        }
    }

    /// Runs it, again and again, until it is done or to end.
    pub async fn live(self: Arc<Self>, loaded: Arc<Loaded>, surroundings: Surroundings) {
        let mut failures = 0;
        let mut traps = VecDeque::new();
        let (vhost, task) = (&self.vhost, &self.name);
        let plugin = self.plugin.name.as_str();
        loop {
            *self.ran_since.lock() = None;
            self.enter(Doing::Starting, None);
            let why = match self.run_once(&loaded, &surroundings).await {
                Ended::Stopped(Reason::Paused) => return self.enter(Doing::Paused, None),
                Ended::Stopped(Reason::Removed | Reason::Restarted | Reason::Shutdown) => return,
                Ended::Done => {
                    tracing::info!(plugin, vhost, task, "task is done");
                    return self.enter(Doing::Terminated, Some("done".to_owned()));
                }
                Ended::Failed(why) => why,
                Ended::Trapped(why) => {
                    traps.push_back(Instant::now());
                    why
                }
            };
            let ran_since = *self.ran_since.lock();
            if ran_since.is_some_and(|since| since.elapsed() > RECOVERED) {
                failures = 0;
            }
            traps.retain(|trap: &Instant| trap.elapsed() < TRAPS_WITHIN);
            if traps.len() >= TRAPS {
                let why = format!("quarantine after {TRAPS} traps, the last one: {why}");
                tracing::error!(plugin, vhost, task, why, "task is not started again");
                self.enter(Doing::Terminated, Some(why));
                return;
            }
            let delay = FIRST_DELAY
                .saturating_mul(1 << failures.min(10))
                .min(LONGEST_DELAY);
            failures += 1;
            tracing::warn!(plugin, vhost, task, why, ?delay, "task has ended");
            self.enter(Doing::Terminated, Some(why));
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                reason = self.stopped() => match reason {
                    Reason::Paused => return self.enter(Doing::Paused, None),
                    Reason::Removed | Reason::Restarted | Reason::Shutdown => return,
                },
            }
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn run_once(
        self: &Arc<Self>,
        loaded: &Arc<Loaded>,
        surroundings: &Surroundings,
    ) -> Ended {
        let caller = Caller {
            plugin: &self.plugin,
            loaded,
            surroundings,
        };
        let mut grace = None;
        let mut run = std::pin::pin!(caller.run(self));
        let ran = loop {
            tokio::select! {
                ran = &mut run => break Some(ran),
                _ = self.stopped(), if grace.is_none() => {
                    grace = Some(Instant::now() + GRACE);
                }
                () = sleep_until(grace), if grace.is_some() => break None,
            }
        };
        if let Some(reason) = self.stopping() {
            return Ended::Stopped(reason);
        }
        match ran {
            None | Some(Ok(Ok(()))) => Ended::Done,
            Some(Ok(Err(why))) => Ended::Failed(why),
            Some(Err(fault)) => Ended::Trapped(fault.to_string()),
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
