//! The compiler and runtime that plugins share, and the clock that ends their calls.
//! Knows nothing of exchanges.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use parking_lot::Mutex;
use wasmtime::{Config, Engine, EngineWeak};

/// Deadlines are counted in these.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// What lets others go on while a call lasts: a thread that goes from waiting for sockets straight
/// into a call has nobody who waits for them in its place, until something else wakes a thread.
/// Called by a thread of its own, must not block.
pub type Relief = Arc<dyn Fn() + Send + Sync>;

/// For calls nobody waits beside.
pub fn no_relief() -> Relief {
    Arc::new(|| ())
}

/// So many ticks lie between two times of relief, while calls are made.
const RELIEF_TICKS: u64 = 2;

/// A ticker that saw no call begin for so many ticks rests. `deadline_ticks` keeps every deadline
/// below half of it, so no call is running then.
const REST_AFTER_TICKS: u32 = 20_000;

/// One engine for each stack size in use: the stack is an engine-wide setting of wasmtime.
pub(super) fn new_engine(stack: usize) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // On, it makes an empty call four times dearer, even without the feature's own code.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(stack);
    Engine::new(&config)
}

/// Deadline in ticks: one more, because the running tick is already partly over.
pub(super) fn deadline_ticks(timeout: Duration) -> u64 {
    let ticks = timeout.as_millis().saturating_add(1);
    u64::try_from(ticks)
        .unwrap_or(u64::MAX)
        .min(u64::from(REST_AFTER_TICKS) / 2)
}

/// Advances the epoch of its engines every millisecond while calls are made.
pub(super) struct Ticker {
    shared: Arc<TickerState>,
    thread: Thread,
}

struct TickerState {
    engines: Mutex<Vec<EngineWeak>>,
    /// Set by every call, cleared by the thread. A call only reads it while it is set, so the
    /// cache line stays shared between workers.
    called: AtomicBool,
    resting: AtomicBool,
    ticks: AtomicU64,
    relief: Relief,
}

impl Ticker {
    pub fn start(relief: Relief) -> std::io::Result<Ticker> {
        let shared = Arc::new(TickerState {
            engines: Mutex::new(Vec::new()),
            called: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            ticks: AtomicU64::new(0),
            relief,
        });
        let weak = Arc::downgrade(&shared);
        let handle = thread::Builder::new()
            .name("plugin-ticks".to_owned())
            .spawn(move || tick_while_alive(&weak))?;
        Ok(Ticker {
            shared,
            thread: handle.thread().clone(),
        })
    }

    pub fn add(&self, engine: &Engine) {
        self.shared.engines.lock().push(engine.weak());
    }

    /// Ticks so far: good enough to tell which of two uses was the later one.
    pub fn ticks(&self) -> u64 {
        self.shared.ticks.load(Ordering::Relaxed)
    }

    /// To be called before every call into a plugin: without it a resting ticker would never end
    /// that call.
    pub fn wake(&self) {
        if self.shared.called.load(Ordering::SeqCst) {
            return;
        }
        self.shared.called.store(true, Ordering::SeqCst);
        // Either the thread sees `called` after it set `resting`, or we see `resting` here.
        if self.shared.resting.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

fn tick_while_alive(weak: &Weak<TickerState>) {
    let mut quiet: u32 = 0;
    let mut unrelieved = false;
    loop {
        thread::sleep(TICK);
        let Some(state) = weak.upgrade() else { return };
        let tick = state.ticks.fetch_add(1, Ordering::Relaxed);
        state.engines.lock().retain(|engine| {
            let engine = engine.upgrade();
            if let Some(engine) = &engine {
                engine.increment_epoch();
            }
            engine.is_some()
        });
        quiet = if state.called.swap(false, Ordering::SeqCst) {
            unrelieved = true;
            0
        } else {
            quiet.saturating_add(1)
        };
        // Once after a call began is enough: whoever then waits for sockets does so until it has a
        // call of its own.
        if unrelieved && tick.is_multiple_of(RELIEF_TICKS) {
            unrelieved = false;
            (state.relief)();
        }
        if quiet < REST_AFTER_TICKS {
            continue;
        }
        state.resting.store(true, Ordering::SeqCst);
        let called = state.called.load(Ordering::SeqCst);
        drop(state);
        if !called {
            // Dropping the ticker unparks too. A lost wake-up (the ticker went between the upgrade
            // and here) would only leave this thread asleep, so it looks again now and then.
            thread::park_timeout(Duration::from_secs(60));
        }
        let Some(state) = weak.upgrade() else { return };
        state.resting.store(false, Ordering::SeqCst);
        if state.called.load(Ordering::SeqCst) {
            quiet = 0;
        }
    }
}
