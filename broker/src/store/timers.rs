//! The timer thread: held messages come back when their time has come, never before. Not what
//! happens to them then (see [`super::StoreEvents::due`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fjall::Readable;
use parking_lot::{Condvar, Mutex};

use crate::clock::Millis;
use crate::names::Seq;

use super::coding::{Cursor, put_bytes};
use super::error::StoreError;
use super::handle::Shared;
use super::layout::{MessageId, read_timer_key, timer_key};
use super::pack::{Body, LastExchange, PackReader};
use super::{Held, StoreEvents, TimerKey};

/// One answer's size: bounds memory, and how long the release of others waits.
const CHUNK_MESSAGES: usize = 512;
const CHUNK_BYTES: usize = 1024 * 1024;

/// The wall clock may be set while the thread sleeps: it looks again this often.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

const WHAT: &str = "timer";

/// What the timer thread knows of the earliest message it has not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Unknown,
    At(Millis),
    Never,
}

struct Inside {
    /// Everything before it was read or is being released.
    position: TimerKey,
    next: Next,
    /// Given to `due` and not yet named in a written move.
    outstanding: BTreeMap<TimerKey, Option<MessageId>>,
    /// The earliest timer written since the position was last looked at.
    added: Option<TimerKey>,
    stopped: bool,
}

pub(super) struct TimerDesk {
    inside: Mutex<Inside>,
    changed: Condvar,
    released_due: AtomicU64,
}

impl TimerDesk {
    pub(super) fn new() -> TimerDesk {
        TimerDesk {
            inside: Mutex::new(Inside {
                position: TimerKey { due: 0, seq: 0 },
                next: Next::Unknown,
                outstanding: BTreeMap::new(),
                added: None,
                stopped: false,
            }),
            changed: Condvar::new(),
            released_due: AtomicU64::new(0),
        }
    }

    /// No earlier than what was released last: before that there are only tombstones.
    pub(super) fn raise(&self, due: Millis) -> Millis {
        due.max(self.released_due.load(Ordering::Acquire))
    }

    /// The body a released timer holds, when it is one that was given out.
    pub(super) fn given_out(&self, key: TimerKey) -> Option<Option<MessageId>> {
        self.inside.lock().outstanding.get(&key).copied()
    }

    /// A batch was written that holds new timers, `first` the earliest, or releases some.
    pub(super) fn written(&self, first: Option<TimerKey>, released: &[TimerKey]) {
        if first.is_none() && released.is_empty() {
            return;
        }
        let mut inside = self.inside.lock();
        for key in released {
            inside.outstanding.remove(key);
        }
        let mut wake = !released.is_empty() && inside.outstanding.is_empty();
        if let Some(first) = first {
            inside.added = Some(inside.added.map_or(first, |added| added.min(first)));
            wake |= match inside.next {
                Next::Unknown | Next::Never => true,
                Next::At(due) => first.due < due,
            };
        }
        if wake {
            self.changed.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        self.inside.lock().stopped = true;
        self.changed.notify_one();
    }

    #[cfg(test)]
    pub(super) fn look_at_clock(&self) {
        let _inside = self.inside.lock();
        self.changed.notify_one();
    }

    /// Where to read on, and the time up to which; None when the store ends.
    fn wait_for_work(&self, shared: &Shared) -> Option<(TimerKey, Millis)> {
        let mut inside = self.inside.lock();
        loop {
            if inside.stopped {
                return None;
            }
            if let Some(added) = inside.added.take() {
                // A batch staged before the last chunk was read may have written below it.
                inside.position = inside.position.min(added);
                match inside.next {
                    Next::At(due) if due <= added.due => {}
                    Next::Never | Next::At(_) => inside.next = Next::At(added.due),
                    Next::Unknown => {}
                }
            }
            if !inside.outstanding.is_empty() {
                self.changed.wait(&mut inside);
                continue;
            }
            let now = shared.clock.now();
            match inside.next {
                Next::Unknown => return Some((inside.position, now)),
                Next::At(due) if due <= now => return Some((inside.position, now)),
                Next::At(due) => {
                    let sleep = Duration::from_millis(due - now).min(LONGEST_SLEEP);
                    self.changed.wait_for(&mut inside, sleep);
                }
                Next::Never => self.changed.wait(&mut inside),
            }
        }
    }

    fn given(&self, chunk: &Chunk) {
        let mut inside = self.inside.lock();
        inside.next = chunk.next;
        if let Some((last, _)) = chunk.keys.last() {
            inside.position = TimerKey {
                due: last.due,
                seq: last.seq.saturating_add(1),
            };
            self.released_due.store(last.due, Ordering::Release);
        }
        inside.outstanding.extend(chunk.keys.iter().copied());
    }
}

struct Chunk {
    held: Vec<Held>,
    keys: Vec<(TimerKey, Option<MessageId>)>,
    next: Next,
}

pub(super) fn run(shared: &Shared, events: &Arc<dyn StoreEvents>) {
    while let Some((position, now)) = shared.timers.wait_for_work(shared) {
        match read_due(shared, position, now) {
            Ok(chunk) => {
                shared.timers.given(&chunk);
                if !chunk.held.is_empty() {
                    events.due(chunk.held);
                }
            }
            Err(error) => {
                shared.fail(&error);
                return;
            }
        }
    }
}

fn read_due(shared: &Shared, position: TimerKey, now: Millis) -> Result<Chunk, StoreError> {
    let snapshot = shared.disk.snapshot();
    let mut chunk = Chunk {
        held: Vec::new(),
        keys: Vec::new(),
        next: Next::Never,
    };
    let mut exchanges = LastExchange::default();
    let mut bytes = 0;
    let range = timer_key(position)..;
    for guard in snapshot.range(&shared.disk.timers, range) {
        let (key, value) = guard.into_inner()?;
        let key = read_timer_key(&key).ok_or(StoreError::Corrupt(WHAT))?;
        if key.due > now {
            chunk.next = Next::At(key.due);
            break;
        }
        if chunk.held.len() >= CHUNK_MESSAGES || bytes >= CHUNK_BYTES {
            chunk.next = Next::Unknown;
            break;
        }
        let (held, body) = read_held(shared, &snapshot, key, &value, &mut exchanges)?;
        bytes += held.message.size();
        chunk.held.push(held);
        chunk.keys.push((key, body));
    }
    Ok(chunk)
}

fn read_held(
    shared: &Shared,
    snapshot: &fjall::Snapshot,
    key: TimerKey,
    row: &[u8],
    exchanges: &mut LastExchange,
) -> Result<(Held, Option<MessageId>), StoreError> {
    let (vhost, pack) = split(row)?;
    let packed = PackReader::new(pack)?
        .next()?
        .ok_or(StoreError::Corrupt(WHAT))?;
    let (message, body) = match packed.body {
        Body::Here(body) => (packed.to_message(body, exchanges)?, None),
        Body::Apart { message: id, .. } => {
            let body = snapshot
                .get(&shared.disk.bodies, id.to_be_bytes())?
                .ok_or(StoreError::Corrupt("body"))?;
            (packed.to_message(&body, exchanges)?, Some(id))
        }
    };
    let held = Held {
        key,
        due: key.due,
        vhost: Arc::from(vhost),
        message,
    };
    Ok((held, body))
}

fn split(row: &[u8]) -> Result<(&str, &[u8]), StoreError> {
    let mut cursor = Cursor::new(row, WHAT);
    let vhost = std::str::from_utf8(cursor.bytes()?).map_err(|_| StoreError::Corrupt(WHAT))?;
    Ok((vhost, cursor.rest()))
}

pub(super) fn put_row(out: &mut Vec<u8>, vhost: &str, pack: &[u8]) {
    put_bytes(out, vhost.as_bytes());
    out.extend_from_slice(pack);
}

/// The body that a timer's row holds apart.
pub(super) fn body_of(row: &[u8]) -> Result<Option<MessageId>, StoreError> {
    let (_, pack) = split(row)?;
    let packed = PackReader::new(pack)?.next()?;
    Ok(packed.and_then(|packed| match packed.body {
        Body::Here(_) => None,
        Body::Apart { message, .. } => Some(message),
    }))
}

/// A timer's place among the holders of a body.
pub(super) fn holder_seq(key: TimerKey) -> Seq {
    key.seq
}
