//! One exchange in a plugin: who may call it when, what happens when a call fails, and how it is
//! built again. The calls themselves are in `live`.

mod asked;
mod by_key;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::breaker::{Admission, Breaker};
use super::fault::{CallFault, FaultKind};
use super::keeping::Replay;
use super::live::Live;
use super::one_plugin::Plugin;
use super::pace::Pace;
use super::status::Counts;
use crate::message::Message;
use crate::names::Slot;
use crate::vhost::Declared;
use crate::vhost::exchange_type::{
    Answer, BindingTable, BindingView, Call, Decision, Fault, Inputs, Moment, OpenRefusal, Opening,
    Routing,
};
use crate::vhost::kept::OfType;

/// A worker waits no longer than this for another one's call: about fifty calls of a fast type.
const LONGEST_SPIN: Duration = Duration::from_micros(20);

/// A call that failed is made once more, of a new instance.
const ATTEMPTS: u32 = 2;

pub(super) struct Instance {
    me: Weak<Instance>,
    plugin: Arc<Plugin>,
    opening: OwnedOpening,
    seat: Mutex<Seat>,
    /// As of the last open, bind or unbind. Reads are held against exactly this.
    inputs: Declared,
    counts: Arc<Counts>,
    /// Calls are slow: workers do not even try.
    slow: AtomicBool,
    /// Asked about many keys at once it has failed before, or cannot be.
    one_by_one: AtomicBool,
    live: AtomicBool,
    /// The ticker's count when it was last called.
    last_used: AtomicU64,
}

pub(super) struct OwnedOpening {
    pub vhost: String,
    pub exchange: Arc<str>,
    pub type_name: String,
    pub arguments: Vec<u8>,
    kept: Arc<OfType>,
}

impl OwnedOpening {
    fn of(plugin: &Plugin, opening: &Opening<'_>) -> OwnedOpening {
        let kept = opening.kept.of(opening.type_name);
        kept.count_for(&plugin.record.usage);
        OwnedOpening {
            vhost: opening.vhost.to_owned(),
            exchange: Arc::from(opening.exchange),
            type_name: opening.type_name.to_owned(),
            arguments: opening.arguments.to_vec(),
            kept,
        }
    }
}

/// What one caller at a time may touch.
struct Seat {
    live: Option<Live>,
    breaker: Breaker,
    pace: Pace,
    /// Messages whose first attempt failed on a worker and which come back through the lane.
    handed_over: u32,
    undeclared_logged: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// A worker of the broker, which other connections wait for.
    Worker,
    Lane,
}

/// The bindings whose refusal is somebody's answer. Those of the others were accepted before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    None,
    One(Slot),
    All,
}

impl Watched {
    fn is(self, slot: Slot) -> bool {
        match self {
            Watched::None => false,
            Watched::One(watched) => watched == slot,
            Watched::All => true,
        }
    }
}

enum Failure {
    /// It would take too long here.
    NotHere,
    Fault(CallFault),
}

/// Faults that take milliseconds to come to: trying again would hold up the worker as long again.
fn is_slow(kind: FaultKind) -> bool {
    match kind {
        FaultKind::Timeout | FaultKind::Memory | FaultKind::ResultTooLarge => true,
        FaultKind::Trap | FaultKind::Stack | FaultKind::BadAnswer => false,
    }
}

impl Instance {
    /// The instance and its inner type.
    pub fn open(
        plugin: &Arc<Plugin>,
        opening: &Opening<'_>,
    ) -> Result<(Arc<Instance>, Option<String>), OpenRefusal> {
        let begun = Instant::now();
        let owned = OwnedOpening::of(plugin, opening);
        let failed = |fault: CallFault| {
            plugin.tallies().faulted(fault.kind);
            OpenRefusal::Failed(plugin.fault_text(&fault))
        };
        let (mut live, opened) = start(plugin, &owned, 0).map_err(failed)?;
        let inner_type = opened.map_err(OpenRefusal::Refused)?;
        let inputs = live.inputs().map_err(failed)?;
        live.declare(inputs.clone());
        let mut pace = Pace::default();
        pace.opened(begun.elapsed());
        let instance = Instance::with(plugin, owned, Some(live), inputs, pace);
        plugin.make_room(&instance);
        Ok((instance, inner_type))
    }

    /// One that starts with its first call: an interceptor may stand in front of any number of exchanges
    /// that nobody publishes to.
    pub fn standing(plugin: &Arc<Plugin>, opening: &Opening<'_>) -> Arc<Instance> {
        let owned = OwnedOpening::of(plugin, opening);
        Instance::with(plugin, owned, None, Inputs::Anything, Pace::default())
    }

    fn with(
        plugin: &Arc<Plugin>,
        opening: OwnedOpening,
        live: Option<Live>,
        inputs: Inputs,
        pace: Pace,
    ) -> Arc<Instance> {
        let is_live = live.is_some();
        Arc::new_cyclic(|me| Instance {
            me: Weak::clone(me),
            plugin: Arc::clone(plugin),
            opening,
            seat: Mutex::new(Seat {
                live,
                breaker: Breaker::new(),
                pace,
                handed_over: 0,
                undeclared_logged: false,
            }),
            inputs: Declared::new(inputs),
            counts: plugin.tallies().enrol(plugin.clock.now()),
            slow: AtomicBool::new(false),
            one_by_one: AtomicBool::new(false),
            live: AtomicBool::new(is_live),
            last_used: AtomicU64::new(plugin.loaded.ticker.ticks()),
        })
    }

    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    pub fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// Drops what can be rebuilt, unless a call is running.
    pub fn give_up(&self) -> bool {
        let Some(mut seat) = self.seat.try_lock() else {
            return false;
        };
        self.unseat(&mut seat);
        true
    }

    /// On the plugin's own thread: waits for its turn and for a rebuild.
    pub fn decide_here(
        &self,
        moment: Moment,
        message: &Message,
        table: &dyn BindingTable,
    ) -> Result<Answer, Fault> {
        let call = Call {
            moment,
            message: message.view(),
        };
        let mut seat = self.seat.lock();
        match self.decide(&mut seat, call, table, Thread::Lane) {
            Routing::Now(answer) => Ok(answer),
            Routing::Fault(fault) => Err(fault),
            // Only workers are sent elsewhere.
            Routing::Later => Err(Fault("the plugin's own thread was busy".to_owned())),
        }
    }

    fn seat_soon(&self) -> Option<MutexGuard<'_, Seat>> {
        if let Some(seat) = self.seat.try_lock() {
            return Some(seat);
        }
        let begun = Instant::now();
        while begun.elapsed() < LONGEST_SPIN {
            std::hint::spin_loop();
            if let Some(seat) = self.seat.try_lock() {
                return Some(seat);
            }
        }
        None
    }

    fn decide(
        &self,
        seat: &mut Seat,
        call: Call<'_>,
        table: &dyn BindingTable,
        thread: Thread,
    ) -> Routing {
        if let Some(refusal) = self.refused_by_breaker(seat) {
            return Routing::Fault(refusal);
        }
        let mut attempts = ATTEMPTS;
        if thread == Thread::Lane && seat.handed_over > 0 {
            seat.handed_over -= 1;
            attempts -= 1;
        }
        loop {
            let fault = match self.attempt(seat, call, table, thread) {
                Ok(answer) => {
                    self.succeeded(seat);
                    return Routing::Now(answer);
                }
                Err(Failure::NotHere) => return Routing::Later,
                Err(Failure::Fault(fault)) => fault,
            };
            attempts -= 1;
            if self.strike(seat, &fault) || attempts == 0 {
                return Routing::Fault(Fault(self.plugin.fault_text(&fault)));
            }
            let slow = is_slow(fault.kind) || seat.pace.rebuild_is_slow(table.len());
            if thread == Thread::Worker && slow {
                seat.handed_over = seat.handed_over.saturating_add(1);
                return Routing::Later;
            }
        }
    }

    fn attempt(
        &self,
        seat: &mut Seat,
        call: Call<'_>,
        table: &dyn BindingTable,
        thread: Thread,
    ) -> Result<Answer, Failure> {
        if seat.live.is_none() {
            if thread == Thread::Worker && seat.pace.rebuild_is_slow(table.len()) {
                return Err(Failure::NotHere);
            }
            let rebuilt = self.rebuild(seat, table, Watched::None);
            rebuilt.map(drop).map_err(Failure::Fault)?;
        }
        let Seat {
            live: Some(live),
            pace,
            undeclared_logged,
            ..
        } = seat
        else {
            return Err(Failure::NotHere);
        };
        let ticker = &self.plugin.loaded.ticker;
        let timed = thread == Thread::Lane || pace.is_next_timed();
        let begun = timed.then(Instant::now);
        let before = ticker.ticks();
        let answer = live.decide(call);
        let took = match begun {
            Some(begun) => begun.elapsed(),
            None => pace.guess(ticker.ticks().saturating_sub(before)),
        };
        if let Some(field) = live.undeclared()
            && !*undeclared_logged
        {
            *undeclared_logged = true;
            self.log_undeclared(field.name());
        }
        match &answer {
            Err(fault) if fault.kind == FaultKind::Timeout => {
                pace.timed_out(took.max(self.plugin.loaded.limits.route_timeout));
            }
            Ok(_) | Err(_) if timed => pace.called(took),
            Ok(_) | Err(_) => {}
        }
        let asked_anew = call.moment == Moment::Publish;
        self.counts
            .called(took, asked_anew && self.inputs.can_be_remembered());
        if let Ok(Answer {
            decision: Decision::Reject(_),
            ..
        }) = &answer
        {
            self.counts.rejected();
        }
        self.counts.uses(live.memory());
        let slow = pace.calls_are_slow();
        if slow != self.slow.load(Ordering::Relaxed) {
            self.slow.store(slow, Ordering::Relaxed);
        }
        self.used();
        answer.map_err(Failure::Fault)
    }

    /// A new instance with everything that is in `table`, and what it said to a binding that is
    /// watched.
    fn rebuild<'s>(
        &self,
        seat: &'s mut Seat,
        table: &dyn BindingTable,
        watched: Watched,
    ) -> Result<(&'s mut Live, Result<Replay, String>), CallFault> {
        let begun = Instant::now();
        let bindings = table.len();
        let (mut live, opened) = start(&self.plugin, &self.opening, bindings)?;
        if let Err(text) = opened {
            let text = format!("it refused to open: {text}");
            return Err(CallFault::bad_answer(text));
        }
        let opened = begun.elapsed();
        let again = seat.pace.has_opened();
        seat.pace.opened(opened);
        let mut said = Ok(Replay::new());
        let mut fault = None;
        table.for_each(&mut |binding| {
            if fault.is_some() {
                return;
            }
            match live.bind(binding) {
                Ok(Ok(())) if watched == Watched::One(binding.slot) => said = Ok(live.replay()),
                Ok(Ok(())) => {}
                Ok(Err(text)) if watched.is(binding.slot) => {
                    if said.is_ok() {
                        said = Err(text);
                    }
                }
                Ok(Err(text)) => self.log_lost_binding(binding, &text),
                Err(failed) => fault = Some(failed),
            }
        });
        if let Some(fault) = fault {
            return Err(fault);
        }
        live.declare(self.inputs.get());
        let took = begun.elapsed();
        seat.pace.rebuilt(took.saturating_sub(opened), bindings);
        if again {
            self.plugin.tallies().rebuilt(took);
        }
        tracing::debug!(
            plugin = self.plugin.name,
            exchange = &*self.opening.exchange,
            bindings,
            ?took,
            "rebuilt"
        );
        if let Some(me) = self.me.upgrade() {
            self.plugin.make_room(&me);
        }
        self.live.store(true, Ordering::Relaxed);
        self.counts.uses(live.memory());
        self.opening.kept.count_bindings(bindings);
        Ok((seat.live.insert(live), said))
    }

    fn bind_once(
        &self,
        seat: &mut Seat,
        binding: BindingView<'_>,
        table: &dyn BindingTable,
    ) -> Result<Result<Replay, String>, CallFault> {
        let (live, replay) = match &mut seat.live {
            Some(live) => {
                let limits = &self.plugin.loaded.limits;
                let bindings = table.len();
                live.allow_for(
                    limits.memory_for(bindings),
                    limits.result_bytes_for(bindings),
                );
                let begun = Instant::now();
                if let Err(text) = live.bind(binding)? {
                    return Ok(Err(text));
                }
                seat.pace.bound(begun.elapsed());
                self.opening.kept.count_bindings(bindings);
                let replay = live.replay();
                (live, replay)
            }
            None => {
                let (live, said) = self.rebuild(seat, table, Watched::One(binding.slot))?;
                match said {
                    Ok(replay) => (live, replay),
                    Err(text) => return Ok(Err(text)),
                }
            }
        };
        let inputs = live.inputs()?;
        self.publish(live, inputs);
        self.counts.uses(live.memory());
        self.used();
        Ok(Ok(replay))
    }

    /// As `bind` for every one in `table`, but the inputs are asked for only once.
    fn bind_each(
        &self,
        seat: &mut Seat,
        table: &dyn BindingTable,
    ) -> Result<Result<(), String>, CallFault> {
        let begun = Instant::now();
        let bindings = table.len();
        let limits = &self.plugin.loaded.limits;
        let Some(live) = &mut seat.live else {
            return Err(CallFault::bad_answer(
                "it was gone before its bindings came",
            ));
        };
        live.allow_for(
            limits.memory_for(bindings),
            limits.result_bytes_for(bindings),
        );
        let mut outcome = Ok(Ok(()));
        table.for_each(&mut |binding| {
            if matches!(outcome, Ok(Ok(()))) {
                outcome = live.bind(binding);
            }
        });
        if let Ok(Ok(())) = outcome {
            let inputs = live.inputs()?;
            self.publish(live, inputs);
            seat.pace.rebuilt(begun.elapsed(), bindings);
            self.opening.kept.count_bindings(bindings);
            self.counts.uses(live.memory());
        }
        outcome
    }

    fn publish(&self, live: &mut Live, inputs: Inputs) {
        live.declare(inputs.clone());
        self.inputs.set(inputs);
    }

    fn used(&self) {
        let now = self.plugin.loaded.ticker.ticks();
        if self.last_used.load(Ordering::Relaxed) != now {
            self.last_used.store(now, Ordering::Relaxed);
        }
    }

    fn unseat(&self, seat: &mut Seat) {
        seat.live = None;
        self.counts.uses(0);
        self.live.store(false, Ordering::Relaxed);
    }

    fn refused_by_breaker(&self, seat: &mut Seat) -> Option<Fault> {
        if seat.breaker.is_closed() {
            return None;
        }
        match seat.breaker.admit(self.plugin.clock.now()) {
            Admission::Call | Admission::Trial => None,
            Admission::Refused { retry_in } => Some(Fault(format!(
                "plugin {}: circuit open after repeated faults, next try in {retry_in} ms",
                self.plugin.name
            ))),
        }
    }

    fn succeeded(&self, seat: &mut Seat) {
        if seat.breaker.success() {
            let plugin = &self.plugin;
            plugin
                .tallies()
                .breaker_closed(&plugin.name, plugin.clock.now());
            tracing::info!(
                plugin = self.plugin.name,
                vhost = self.opening.vhost,
                exchange = &*self.opening.exchange,
                "exchange works again"
            );
        }
    }

    /// Drops the instance and counts. True when no further call may be made now.
    fn strike(&self, seat: &mut Seat, fault: &CallFault) -> bool {
        self.unseat(seat);
        self.plugin.tallies().faulted(fault.kind);
        let was_closed = seat.breaker.is_closed();
        let stop = seat.breaker.strike(self.plugin.clock.now());
        let opened = was_closed && !seat.breaker.is_closed();
        tracing::warn!(
            plugin = self.plugin.name,
            vhost = self.opening.vhost,
            exchange = &*self.opening.exchange,
            %fault,
            circuit_opened = opened,
            "plugin fault"
        );
        if opened {
            let plugin = &self.plugin;
            let reason = format!("exchange '{}': {fault}", self.opening.exchange);
            plugin
                .tallies()
                .breaker_opened(&plugin.name, &reason, plugin.clock.now());
        }
        stop
    }

    fn log_undeclared(&self, field: &str) {
        tracing::warn!(
            plugin = self.plugin.name,
            vhost = self.opening.vhost,
            exchange = &*self.opening.exchange,
            "plugin reads {field}, which its inputs do not name: such answers are not remembered"
        );
    }

    fn log_lost_binding(&self, binding: BindingView<'_>, text: &str) {
        tracing::error!(
            plugin = self.plugin.name,
            vhost = self.opening.vhost,
            exchange = &*self.opening.exchange,
            slot = binding.slot,
            "plugin refused a binding at a rebuild that it had accepted: {text}"
        );
    }
}

/// A started instance that serves the exchange, without bindings yet; the inner result is the
/// plugin's own answer.
fn start(
    plugin: &Plugin,
    opening: &OwnedOpening,
    bindings: usize,
) -> Result<(Live, Result<Option<String>, String>), CallFault> {
    let surroundings = plugin.surroundings(&opening.exchange, &opening.kept);
    let timeout = plugin.loaded.limits.bind_timeout;
    let mut live = Live::instantiate(&plugin.loaded, surroundings, bindings, timeout)?;
    let opened = live.open(opening, &plugin.loaded.configuration)?;
    Ok((live, opened))
}

impl Drop for Instance {
    fn drop(&mut self) {
        let open = !self.seat.get_mut().breaker.is_closed();
        let now = self.plugin.clock.now();
        self.plugin.tallies().retire(&self.counts, open, now);
    }
}
