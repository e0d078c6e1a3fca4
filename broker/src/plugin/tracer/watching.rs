//! A tracer at work: a thread that takes events off its line, tells the instance, and does what the
//! instance then wants. A fault costs the events of that call and the instance; after three in ten
//! seconds the tracer rests.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Instant;

use super::files::{Kept, TraceFiles};
use super::live::Live;
use super::loaded::LoadedTracer;
use super::observing::Output;
use super::uploads::{TIMEOUT, Uploads};
use crate::clock::Clock;
use crate::message::MessageView;
use crate::plugin::breaker::{Admission, Breaker};
use crate::plugin::fault::CallFault;
use crate::plugin::one_plugin::Record;
use crate::plugin::status::{Counts, PluginStatus};
use crate::trace::{Line, Traced};
use crate::vhost::{Broker, Memo, Wish};
use crate::web::{Invalid, Reach, Request};

/// A call is told of so many events at most: few enough that none waits long for its call.
const MOST_EVENTS: usize = 512;

/// The same by the size of their messages.
const MOST_BYTES: usize = 4 << 20;

/// A loaded tracer.
pub(in crate::plugin) struct Tracer {
    pub name: String,
    pub loaded: LoadedTracer,
    pub record: Record,
    pub clock: Arc<dyn Clock>,
    pub line: Arc<Line>,
    pub files: Arc<TraceFiles>,
    pub uploads: Arc<Uploads>,
}

impl Tracer {
    /// It wants nothing while nothing is traced.
    pub fn is_only_for_traces(&self) -> bool {
        self.loaded.wish() == Wish::Traced && !self.loaded.description.news
    }

    /// Its thread, which ends when the line is closed.
    pub fn start(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        reach: &Arc<dyn Reach>,
    ) -> std::io::Result<()> {
        broker.watch(&self.line, self.loaded.wish(), self.loaded.description.news);
        let mut watching = Watching {
            tracer: Arc::clone(self),
            broker: Arc::downgrade(broker),
            reach: Arc::clone(reach),
            live: None,
            seen: None,
            breaker: Breaker::new(),
            counts: self.record.tallies.enrol(self.clock.now()),
            memo: Memo::default(),
        };
        thread::Builder::new()
            .name(format!("tracer-{}", self.name))
            .spawn(move || watching.run())
            .map(drop)
    }

    pub fn status(&self) -> PluginStatus {
        let (state, since) = self.record.tallies.state();
        let mut status = PluginStatus::new(&self.name, state, since);
        self.record.tallies.fill(&mut status);
        let loaded = &self.loaded;
        status.kind = crate::plugin::PluginKind::Tracer;
        status.version = Some(loaded.version.clone());
        status.manifest = loaded.manifest.clone();
        status.summary = loaded.description.summary.clone();
        status.limits = loaded.limits.clone();
        // The one that `enrol` counted stands for the instance.
        status.exchanges = 0;
        status.live_instances = usize::from(status.memory > 0);
        status.events = self.line.counts();
        status.uploads = self.uploads.counts();
        (status.log_lines, status.log_lines_dropped) = self.record.log.counts();
        status
    }
}

struct Watching {
    tracer: Arc<Tracer>,
    broker: Weak<Broker>,
    reach: Arc<dyn Reach>,
    live: Option<Live>,
    /// The traces that the instance knows, as how often they had changed.
    seen: Option<u64>,
    breaker: Breaker,
    counts: Arc<Counts>,
    memo: Memo,
}

impl Watching {
    fn run(&mut self) {
        let line = Arc::clone(&self.tracer.line);
        // What it is told of may have to be there before the first event: an exchange to bind to.
        if !self.tracer.is_only_for_traces() {
            self.tell(&[]);
        }
        let gather = self.tracer.loaded.limits.observe_every;
        while let Some(events) = line.take(MOST_EVENTS, MOST_BYTES, gather) {
            if !events.is_empty() || self.live.is_some() || self.is_tracing() {
                self.tell(&events);
            }
        }
        self.tracer.uploads.close();
        let (tallies, now) = (&self.tracer.record.tallies, self.tracer.clock.now());
        tallies.retire(&self.counts, !self.breaker.is_closed(), now);
    }

    /// A trace that is new has a file before its first message.
    fn is_tracing(&self) -> bool {
        let broker = self.broker.upgrade();
        broker.is_some_and(|broker| broker.is_tracing())
    }

    fn tell(&mut self, events: &[Arc<Traced>]) {
        let count = events.len() as u64;
        if !self.breaker.is_closed() {
            match self.breaker.admit(self.tracer.clock.now()) {
                Admission::Call | Admission::Trial => {}
                Admission::Refused { .. } => return self.tracer.line.lost(count),
            }
        }
        match self.try_to_tell(events) {
            Ok(()) => self.succeeded(),
            Err(fault) => {
                self.tracer.line.lost(count);
                self.strike(&fault);
            }
        }
    }

    fn try_to_tell(&mut self, events: &[Arc<Traced>]) -> Result<(), CallFault> {
        let Some(broker) = self.broker.upgrade() else {
            return Ok(());
        };
        if self.live.is_none() {
            let begun = Instant::now();
            let mut live = Live::instantiate(&self.tracer.loaded)?;
            let opened = live.open(&self.tracer.loaded.opening)?;
            opened.map_err(|text| {
                CallFault::bad_answer(format!("it refused to open again: {text}"))
            })?;
            let outputs = live.outputs();
            self.live = Some(live);
            self.seen = None;
            self.carry_out(&broker, outputs);
            self.tracer.record.tallies.rebuilt(begun.elapsed());
        }
        let Some(live) = &mut self.live else {
            return Ok(());
        };
        if let Some((changes, traces)) = broker.traces_since(self.seen) {
            live.traces(&traces)?;
            let outputs = live.outputs();
            self.seen = Some(changes);
            self.carry_out(&broker, outputs);
        }
        let Some(live) = &mut self.live else {
            return Ok(());
        };
        if !events.is_empty() {
            let begun = Instant::now();
            live.observe(events)?;
            self.counts.called(begun.elapsed(), false);
            let outputs = live.outputs();
            self.counts.uses(live.memory());
            self.carry_out(&broker, outputs);
        }
        Ok(())
    }

    fn carry_out(&mut self, broker: &Broker, (outputs, refused): (Vec<Output>, u64)) {
        let name = &self.tracer.name;
        if refused > 0 {
            self.tracer.line.over(refused);
            tracing::warn!(plugin = name, refused, "a tracer wants too much at once");
        }
        for output in outputs {
            self.carry_out_one(broker, output);
        }
    }

    fn carry_out_one(&mut self, broker: &Broker, output: Output) {
        let name = &self.tracer.name;
        match output {
            Output::Declare {
                vhost,
                name: exchange,
                exchange_type,
            } => {
                let declared = broker.declare_internal(&vhost, &exchange, &exchange_type);
                if let Err(reason) = declared {
                    tracing::warn!(plugin = name, vhost, exchange, reason, "not declared");
                }
            }
            Output::Publish {
                vhost,
                exchange,
                routing_key,
                properties,
                body,
            } => {
                let message = MessageView {
                    exchange: &Arc::from(exchange),
                    routing_key: &routing_key,
                    properties: &properties,
                    body: body.octets(),
                    dead_lettered: false,
                };
                broker.publish_internal(&vhost, message, &mut self.memo);
            }
            Output::Append { name: file, octets } => {
                let limits = &self.tracer.loaded.limits;
                let kept = Kept {
                    bytes: limits.file_bytes,
                    files: limits.file_count,
                };
                if let Err(error) = self.tracer.files.append(&file, &octets, kept) {
                    self.tracer.line.over(1);
                    tracing::warn!(plugin = name, file, %error, "a trace was not written");
                }
            }
            Output::Post { url, headers, body } => {
                let uploads = &self.tracer.uploads;
                match Request::new("POST".to_owned(), &url, headers, body, TIMEOUT) {
                    Ok(request) => uploads.post(request, &self.reach),
                    Err(Invalid(why)) => uploads.dropped(&why),
                }
            }
        }
    }

    fn succeeded(&mut self) {
        if self.breaker.success() {
            let (name, now) = (&self.tracer.name, self.tracer.clock.now());
            self.tracer.record.tallies.breaker_closed(name, now);
        }
    }

    fn strike(&mut self, fault: &CallFault) {
        self.live = None;
        self.counts.uses(0);
        let (name, tallies) = (&self.tracer.name, &self.tracer.record.tallies);
        tallies.faulted(fault.kind);
        let now = self.tracer.clock.now();
        let was_closed = self.breaker.is_closed();
        self.breaker.strike(now);
        let opened = was_closed && !self.breaker.is_closed();
        tracing::warn!(plugin = name, %fault, circuit_opened = opened, "plugin fault");
        if opened {
            tallies.breaker_opened(name, &fault.to_string(), now);
        }
    }
}
