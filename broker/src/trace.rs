//! What happens to messages and in the broker, on its way to those who watch: a bounded line for each
//! of them, which drops and counts what is too much. Not who watches (see `vhost/taps.rs`), and not
//! what they do with it (see `plugin/tracer`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::clock::{Clock, Millis};
use crate::message::Message;

/// A watcher that is further behind loses what is new. About a second of a busy broker.
const MOST_EVENTS: usize = 32_768;

/// The same by what the events take in memory; what brings a line over it is still taken.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Exchange of the firehose. What was published there is not traced again when it is delivered.
pub const TRACE_EXCHANGE: &str = "amq.rabbitmq.trace";

/// Whose connection it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// RabbitMQ's name for it: both ends.
    pub connection: Arc<str>,
    pub user: Arc<str>,
}

#[derive(Debug)]
pub struct Traced {
    pub at: Millis,
    /// Empty where none is concerned.
    pub vhost: Arc<str>,
    pub happening: Happening,
}

#[derive(Debug)]
pub enum Happening {
    Published {
        by: Party,
        channel: u16,
        message: Message,
        /// Of CC and BCC.
        further_keys: Vec<String>,
        /// The queues it was routed to.
        routed: Vec<Arc<str>>,
    },
    Delivered {
        to: Party,
        channel: u16,
        message: Message,
        queue: Arc<str>,
        redelivered: bool,
    },
    /// Something came, went or changed. `facts` is a field table without the length in front.
    News { name: &'static str, facts: Vec<u8> },
}

impl Traced {
    fn size(&self) -> usize {
        const EACH: usize = 256;
        EACH + match &self.happening {
            Happening::Published { message, .. } | Happening::Delivered { message, .. } => {
                message.size()
            }
            Happening::News { facts, .. } => facts.len(),
        }
    }
}

/// One watcher's line of events. Whoever tells never waits for the watcher.
#[derive(Default)]
pub struct Line {
    waiting: Mutex<Waiting>,
    told: Condvar,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Arc<Traced>>,
    bytes: usize,
    taken: u64,
    dropped: u64,
    sleep: Sleep,
    /// Something that is no event has changed.
    nudged: bool,
    closed: bool,
}

/// What a watcher waits for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sleep {
    #[default]
    Awake,
    /// So many events are there, or so many bytes of them.
    Until { events: usize, bytes: usize },
}

impl Waiting {
    fn has(&self, events: usize, bytes: usize) -> bool {
        self.events.len() >= events || self.bytes >= bytes
    }

    fn is_over(&self) -> bool {
        self.closed || self.nudged
    }

    /// The sleep ends with what was just added.
    fn wakes(&mut self) -> bool {
        match self.sleep {
            Sleep::Until { events, bytes } if self.has(events, bytes) => {
                self.sleep = Sleep::Awake;
                true
            }
            Sleep::Until { .. } | Sleep::Awake => false,
        }
    }
}

/// How a watcher keeps up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Events that the watcher was given.
    pub taken: u64,
    /// That did not fit.
    pub dropped: u64,
    pub waiting: u64,
}

impl Line {
    pub fn tell(&self, event: &Arc<Traced>) {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return;
        }
        if waiting.events.len() >= MOST_EVENTS || waiting.bytes >= MOST_BYTES {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes += event.size();
        waiting.events.push_back(Arc::clone(event));
        if waiting.wakes() {
            drop(waiting);
            self.told.notify_one();
        }
    }

    /// Waits for events and takes at most `most` of them and about `bytes`; `None` when the line is
    /// closed. Empty when somebody has called `nudge`. From the first event on it waits for `gather`,
    /// unless there are as many as it takes.
    pub fn take(&self, most: usize, bytes: usize, gather: Duration) -> Option<Vec<Arc<Traced>>> {
        let mut waiting = self.waiting.lock();
        if waiting.events.is_empty() && !waiting.is_over() {
            waiting.sleep = Sleep::Until {
                events: 1,
                bytes: usize::MAX,
            };
            self.told.wait(&mut waiting);
        }
        let until = Instant::now() + gather;
        while !gather.is_zero()
            && !waiting.events.is_empty()
            && !waiting.is_over()
            && !waiting.has(most, bytes)
        {
            waiting.sleep = Sleep::Until {
                events: most,
                bytes,
            };
            if self.told.wait_until(&mut waiting, until).timed_out() {
                break;
            }
        }
        waiting.sleep = Sleep::Awake;
        waiting.nudged = false;
        if waiting.closed {
            return None;
        }
        let mut taken = Vec::new();
        let mut room = bytes;
        while taken.len() < most
            && room > 0
            && let Some(event) = waiting.events.pop_front()
        {
            let size = event.size();
            waiting.bytes = waiting.bytes.saturating_sub(size);
            room = room.saturating_sub(size);
            taken.push(event);
        }
        waiting.taken += taken.len() as u64;
        Some(taken)
    }

    /// Makes a watcher that waits look up.
    pub fn nudge(&self) {
        self.waiting.lock().nudged = true;
        self.told.notify_one();
    }

    /// The watcher had them and could do nothing with them.
    pub fn lost(&self, events: u64) {
        let mut waiting = self.waiting.lock();
        waiting.taken = waiting.taken.saturating_sub(events);
        waiting.dropped += events;
    }

    /// What came of them was more than could be done.
    pub fn over(&self, events: u64) {
        self.waiting.lock().dropped += events;
    }

    pub fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.events = VecDeque::new();
        waiting.bytes = 0;
        drop(waiting);
        self.told.notify_all();
    }

    pub fn counts(&self) -> LineCounts {
        let waiting = self.waiting.lock();
        LineCounts {
            taken: waiting.taken,
            dropped: waiting.dropped,
            waiting: waiting.events.len() as u64,
        }
    }
}

/// Where a virtual host tells of its messages. There is none while nobody watches.
pub struct Tap {
    vhost: Arc<str>,
    clock: Arc<dyn Clock>,
    lines: Vec<Arc<Line>>,
}

impl Tap {
    pub fn new(vhost: Arc<str>, clock: Arc<dyn Clock>, lines: Vec<Arc<Line>>) -> Tap {
        Tap {
            vhost,
            clock,
            lines,
        }
    }

    pub fn tell(&self, happening: Happening) {
        let event = Arc::new(Traced {
            at: self.clock.now(),
            vhost: Arc::clone(&self.vhost),
            happening,
        });
        self.lines.iter().for_each(|line| line.tell(&event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    fn news(facts: usize) -> Arc<Traced> {
        Arc::new(Traced {
            at: 1,
            vhost: Arc::from(""),
            happening: Happening::News {
                name: "queue.created",
                facts: vec![0; facts],
            },
        })
    }

    #[test]
    fn a_watcher_that_is_behind_loses_what_is_new_and_it_is_counted() {
        let line = Line::default();
        for _ in 0..MOST_EVENTS + 7 {
            line.tell(&news(0));
        }
        let counts = line.counts();
        assert_eq!((counts.waiting, counts.dropped), (MOST_EVENTS as u64, 7));
        let taken = line.take(10, usize::MAX, AT_ONCE).map(|taken| taken.len());
        assert_eq!(taken, Some(10));
        line.tell(&news(0));
        assert_eq!(line.counts().dropped, 7);
    }

    #[test]
    fn large_events_are_bounded_by_what_they_take() {
        let line = Line::default();
        for _ in 0..20 {
            line.tell(&news(1024 * 1024));
        }
        assert_eq!(line.counts().dropped, 4);
        let taken = line
            .take(100, 2 * 1024 * 1024, AT_ONCE)
            .map(|taken| taken.len());
        assert_eq!(taken, Some(2));
    }

    #[test]
    fn events_are_gathered_until_there_are_enough() {
        let line = Arc::new(Line::default());
        let waiting = Arc::clone(&line);
        // It ends with the third event, or never.
        let waiter =
            std::thread::spawn(move || waiting.take(3, usize::MAX, Duration::from_secs(3_600)));
        for _ in 0..3 {
            line.tell(&news(0));
        }
        let taken = waiter.join().expect("ends");
        assert_eq!(taken.map(|taken| taken.len()), Some(3));
        line.tell(&news(0));
        let taken = line.take(3, usize::MAX, Duration::from_millis(1));
        assert_eq!(taken.map(|taken| taken.len()), Some(1));
    }

    #[test]
    fn a_closed_line_ends_whoever_waits() {
        let line = Arc::new(Line::default());
        let waiting = Arc::clone(&line);
        let waiter = std::thread::spawn(move || waiting.take(1, 1, AT_ONCE));
        line.close();
        assert!(waiter.join().expect("ends").is_none());
    }
}
