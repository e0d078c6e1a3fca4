//! Drives one connection: reads, feeds the session, writes what is in its outbox, keeps heartbeats.
//! One task, so that a batch of frames costs one wake-up, one read and one write.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::Gate;
use super::rest::Resting;
use crate::amqp::write;
use crate::queue::Effects;
use crate::session::{Next, Parting, Resumed, Session, Wait, blocked, unblocked};
use crate::store::Store;
use crate::vhost::exchange_type::Fault;

/// One read takes at most this much: what does not stay in the cache is paid twice.
const READ_MAX: usize = 96 * 1024;
const READ_MIN: usize = 4 * 1024;

/// A peer that does not answer our close gets its socket closed.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(5);

/// After close-ok, what the client had already sent is still taken: closing the socket at once would
/// throw it back at a client that is busy writing.
const LINGER: Duration = Duration::from_secs(5);

/// A login that failed is answered by silence for this long, then by a closed socket.
const REFUSED_SILENCE: Duration = Duration::from_secs(3);

/// How often to look after a connection without heartbeats.
const IDLE_TICK: Duration = Duration::from_secs(60);

/// Who has worked off what came in for so long without a pause gives way. Tokio alone would let a
/// stream go on for more than a hundred reads, a tenth of a second.
const TURN: Duration = Duration::from_millis(5);

type Waiting = Pin<Box<dyn Future<Output = Resumed> + Send>>;

/// Over a socket, or what stands in for one.
pub(super) struct Driver<S> {
    stream: S,
    session: Session,
    gate: Arc<Gate>,
    store: Store,
    input: Vec<u8>,
    /// Octets of `input` that were read, and those of them that are worked off.
    filled: usize,
    used: usize,
    read_size: usize,
    output: Vec<u8>,
    written: usize,
    waiting: Option<Waiting>,
    /// The peer must take its answers first.
    full: bool,
    effects: Effects,
    /// Nothing is read before this is over.
    resting: Resting,
    /// When the first of the reads was that came without a pause.
    turn: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    handshake_until: Instant,
    last_read: Instant,
    last_write: Instant,
    told_blocked: bool,
    /// Heartbeats were agreed on.
    beats: bool,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    No,
    /// Our close is out; the peer's answer is awaited until then.
    Closing(Instant),
    /// Write what is left, then go.
    Flush(Instant, Parting),
}

enum Event {
    Read(usize),
    Written(usize),
    Resumed(Resumed),
    Woken,
    Tick,
    Gone(Option<io::Error>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub fn new(
        stream: S,
        session: Session,
        gate: Arc<Gate>,
        store: Store,
        handshake_timeout: Duration,
    ) -> Driver<S> {
        let now = Instant::now();
        let effects = Effects::of(&session.outbox);
        let handshake_until = now + handshake_timeout;
        Driver {
            stream,
            session,
            gate,
            store,
            input: Vec::new(),
            filled: 0,
            used: 0,
            read_size: READ_MIN,
            output: Vec::new(),
            written: 0,
            waiting: None,
            full: false,
            effects,
            resting: Resting::default(),
            turn: None,
            timer: Box::pin(tokio::time::sleep_until(handshake_until)),
            handshake_until,
            last_read: now,
            last_write: now,
            told_blocked: false,
            beats: false,
            end: End::No,
        }
    }

    pub async fn run(mut self) {
        let parting = loop {
            self.look_at_gate();
            if self.output.is_empty() {
                let crowding = self.session.outbox.take(&mut self.output);
                crowding.iter().for_each(|publisher| publisher.rested());
            }
            if self.output.is_empty()
                && let End::Flush(_, parting) = self.end
            {
                break Some(parting);
            }
            let event = poll_fn(|context| self.poll(context)).await;
            match event {
                Event::Read(count) => self.read(count),
                Event::Written(count) => self.wrote(count),
                Event::Resumed(resumed) => {
                    self.waiting = None;
                    let next = self.session.resume(resumed, &mut self.effects);
                    self.take(next);
                    self.feed();
                }
                Event::Woken => self.feed(),
                Event::Tick => {
                    if self.tick() {
                        break None;
                    }
                }
                Event::Gone(error) => {
                    if let Some(error) = error {
                        tracing::debug!(%error, "connection lost");
                    }
                    break None;
                }
            }
        };
        self.session.end(&mut self.effects);
        self.effects.apply();
        self.gate.leave(self.session.id);
        if parting == Some(Parting::Unread) {
            let _ = tokio::time::timeout(LINGER, self.take_the_rest()).await;
        }
    }

    /// Until the client closes.
    async fn take_the_rest(mut self) {
        let mut ignored = [0; READ_MIN];
        while let Ok(1..) = self.stream.read(&mut ignored).await {}
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if !self.output.is_empty() {
            let rest = self.output.get(self.written..).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(count)) => return Poll::Ready(Event::Written(count)),
                Poll::Ready(Err(error)) => return Poll::Ready(Event::Gone(Some(error))),
                Poll::Pending => {}
            }
        }
        if let Some(waiting) = &mut self.waiting
            && let Poll::Ready(resumed) = waiting.as_mut().poll(context)
        {
            return Poll::Ready(Event::Resumed(resumed));
        }
        self.resting.poll(&self.session.outbox, context);
        if self.turn.is_some_and(|began| began.elapsed() >= TURN) {
            return self.give_way(context);
        }
        if self.reads()
            && let Poll::Ready(event) = self.poll_read(context)
        {
            return Poll::Ready(event);
        }
        self.turn = None;
        // With output waiting for the socket there is nothing to wake up for but the end.
        let woken = self.session.outbox.poll_woken(context).is_ready();
        if woken && (self.output.is_empty() || self.must_close()) {
            return Poll::Ready(Event::Woken);
        }
        self.timer.as_mut().poll(context).map(|()| Event::Tick)
    }

    /// Goes on when everybody else who can has had a turn and the sockets were looked at.
    fn give_way(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        self.turn = None;
        // This one lets others go first; to wake oneself would be to queue before whoever waits for
        // a socket.
        let _ = pin!(tokio::task::yield_now()).poll(context);
        Poll::Pending
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        // Grown once and kept: zeroing the room for every read would cost more than reading.
        if self.input.len() < self.filled + self.read_size {
            self.input.resize(self.filled + self.read_size, 0);
        }
        let Some(spare) = self.input.get_mut(self.filled..) else {
            return Poll::Ready(Event::Gone(None));
        };
        let mut buffer = ReadBuf::new(spare);
        let polled = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
        let count = buffer.filled().len();
        self.filled += count;
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if count == 0 => Poll::Ready(Event::Gone(None)),
            Poll::Ready(Ok(())) => Poll::Ready(Event::Read(count)),
            Poll::Ready(Err(error)) => Poll::Ready(Event::Gone(Some(error))),
        }
    }

    /// Whether more may come in now. What is not read pushes back through TCP.
    fn reads(&self) -> bool {
        let busy = self.waiting.is_some() || self.full || self.resting.is_now();
        if busy || matches!(self.end, End::Flush(..)) {
            return false;
        }
        // What a refused client sends is never worked off: it would pile up.
        !self.session.is_refused()
            && !self.is_held_back()
            && !self.session.outbox.over_reply_bound()
    }

    /// A publisher is not read while an alarm is raised; nor is it, or whoever rejects messages
    /// that are then dead-lettered, while the store's mailbox is full.
    fn is_held_back(&self) -> bool {
        if self.end != End::No {
            return false;
        }
        let alarmed = || self.session.has_published() && self.gate.blocked().is_some();
        let full = || self.session.fills_the_store() && self.store.over_bound();
        alarmed() || full()
    }

    fn read(&mut self, count: usize) {
        self.session.traffic.received.add(count as u64);
        self.session.traffic.reads.add(1);
        self.last_read = Instant::now();
        self.turn.get_or_insert(self.last_read);
        if count == self.read_size {
            self.read_size = (self.read_size * 2).min(READ_MAX);
        }
        self.feed();
    }

    fn feed(&mut self) {
        let goes_on = self.waiting.is_none() && !self.full;
        if goes_on && self.used < self.filled && !self.is_held_back() {
            let fresh = self.input.get(self.used..self.filled).unwrap_or_default();
            let (used, next) = self.session.feed(fresh, &mut self.effects);
            self.used += used;
            self.take(next);
            if self.used >= self.filled {
                (self.used, self.filled) = (0, 0);
            } else if self.used > 0 && self.waiting.is_none() {
                self.input.copy_within(self.used..self.filled, 0);
                self.filled -= self.used;
                self.used = 0;
            }
        }
        self.effects.apply();
        if let Some(rest) = self.effects.take_rest() {
            self.resting.begin(rest);
        }
    }

    fn take(&mut self, next: Next) {
        match next {
            Next::Read => {
                self.start_heartbeats();
                if self.session.is_refused() && self.end == End::No {
                    self.end = End::Closing(Instant::now() + REFUSED_SILENCE);
                    self.timer.as_mut().reset(Instant::now() + REFUSED_SILENCE);
                }
                if self.session.is_closing() && self.end == End::No {
                    self.end = End::Closing(Instant::now() + CLOSING_TIMEOUT);
                    self.timer.as_mut().reset(Instant::now() + CLOSING_TIMEOUT);
                }
            }
            Next::Wait(wait) => self.waiting = Some(Box::pin(over(wait))),
            Next::Full => self.full = true,
            Next::End(parting) => self.flush_and_end(parting),
        }
    }

    /// From the negotiation on, time is measured in heartbeats.
    fn start_heartbeats(&mut self) {
        let Some(negotiated) = self.session.negotiated().filter(|_| !self.beats) else {
            return;
        };
        self.beats = true;
        let heartbeat = Duration::from_secs(negotiated.heartbeat.into());
        if self.end == End::No && !heartbeat.is_zero() {
            let next = (Instant::now() + heartbeat / 2).min(self.handshake_until);
            self.timer.as_mut().reset(next);
        }
    }

    fn flush_and_end(&mut self, parting: Parting) {
        if !matches!(self.end, End::Flush(..)) {
            self.end = End::Flush(Instant::now() + CLOSING_TIMEOUT, parting);
            self.timer.as_mut().reset(Instant::now() + CLOSING_TIMEOUT);
        }
    }

    fn wrote(&mut self, count: usize) {
        self.last_write = Instant::now();
        self.session.traffic.sent.add(count as u64);
        self.session.traffic.writes.add(1);
        self.written += count;
        let remaining = self.output.len().saturating_sub(self.written);
        if remaining == 0 {
            self.output.clear();
            self.written = 0;
        }
        let flushed = self.session.outbox.flushed(remaining);
        if !flushed.sent.is_empty() {
            self.session.sent(&flushed.sent, &mut self.effects);
            self.effects.apply();
        }
        if flushed.refused {
            self.session.resume_consumers(&mut self.effects);
            self.effects.apply();
        }
        if remaining == 0 {
            // Whoever woke us while the socket was behind was not heard: octets that were held back
            // may go on now.
            self.full = false;
            self.feed();
        }
    }

    /// The gate wants the connection gone, and it has not been told so.
    fn must_close(&self) -> bool {
        let unwanted = self.gate.is_stopping() || self.session.dismissed().is_some();
        let unwanted = unwanted && self.waiting.is_none();
        self.end == End::No && (self.gate.has_failed() || unwanted)
    }

    fn look_at_gate(&mut self) {
        if self.end != End::No {
            return;
        }
        if self.must_close() {
            if self.gate.has_failed() {
                self.session.disk_failed(&mut self.effects);
                self.waiting = None;
            } else if let Some(reason) = self.session.dismissed() {
                self.session.dismiss(&reason, &mut self.effects);
            } else {
                self.session.force_close(&mut self.effects);
            }
            self.take(Next::Read);
        }
        self.effects.apply();
        let blocked_now = self.gate.blocked().filter(|_| self.session.has_published());
        if blocked_now.is_some() != self.told_blocked && self.session.wants_blocked() {
            self.told_blocked = blocked_now.is_some();
            let method = blocked_now.map_or_else(unblocked, blocked);
            self.session
                .outbox
                .write(|out, _| write::method(out, 0, method));
        }
    }

    /// True when the connection must end now.
    fn tick(&mut self) -> bool {
        let now = Instant::now();
        match self.end {
            End::Flush(until, _) | End::Closing(until) if now >= until => return true,
            End::Flush(until, _) | End::Closing(until) => {
                self.timer.as_mut().reset(until);
                return false;
            }
            End::No => {}
        }
        let Some(negotiated) = self.session.negotiated() else {
            self.timer.as_mut().reset(self.handshake_until);
            return now >= self.handshake_until;
        };
        if !self.session.is_running() && now >= self.handshake_until {
            return true;
        }
        self.shrink();
        if negotiated.heartbeat == 0 {
            self.timer.as_mut().reset(now + IDLE_TICK);
            return false;
        }
        let heartbeat = Duration::from_secs(negotiated.heartbeat.into());
        // While we do not read, silence is ours and not the peer's.
        if self.reads() && now.duration_since(self.last_read) > heartbeat * 2 {
            tracing::info!("missed heartbeats from client");
            return true;
        }
        if !self.reads() {
            self.last_read = now;
        }
        if now.duration_since(self.last_write) >= heartbeat / 2 && self.output.is_empty() {
            self.session.outbox.write(|out, _| write::heartbeat(out));
        }
        self.timer.as_mut().reset(now + heartbeat / 2);
        false
    }

    /// An idle connection gives its buffers back.
    fn shrink(&mut self) {
        if self.filled == 0 && self.input.len() > READ_MIN {
            self.input = Vec::new();
            self.read_size = READ_MIN;
        }
        self.session.outbox.shrink();
        if self.output.is_empty() {
            self.output = Vec::new();
        }
    }
}

/// Waits for what a session waits for.
async fn over(wait: Wait) -> Resumed {
    match wait {
        Wait::Saved { done, then } => match done.await {
            Ok(()) => Resumed::Saved(then),
            Err(_) => Resumed::StoreFailed,
        },
        Wait::Answer { answer, publish } => {
            let gone = || Err(Fault("the plugin's thread has ended".to_owned()));
            Resumed::Answer(answer.await.unwrap_or_else(|_| gone()), publish)
        }
        Wait::Loaded { done, get } => match done.await {
            Ok(()) => Resumed::Loaded(get),
            Err(_) => Resumed::StoreFailed,
        },
    }
}
