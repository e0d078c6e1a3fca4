//! The reader thread: messages come back from disk, in order, for queues whose head is not in
//! memory. Not the order in which queues ask.

use std::collections::VecDeque;
use std::sync::Arc;

use fjall::{Readable, Slice, Snapshot};
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};

use crate::names::{QueueId, Seq, lane_end};

use super::disk::Disk;
use super::error::StoreError;
use super::handle::Shared;
use super::layout::{PACK_SPAN, pack_key, read_pack_key};
use super::pack::{Body, LastExchange, PackReader, Packed};
use super::row::Row;
use super::rows::find_row;
use super::sweep::Purge;
use super::{StoreEvents, Stored};

pub(super) enum Request {
    Load {
        queue: QueueId,
        from: Seq,
        max_messages: usize,
        max_bytes: usize,
    },
    Fetch {
        queue: QueueId,
        seqs: Vec<Seq>,
        then: Option<FetchDone>,
    },
}

/// Who is told, when it is not the queue.
pub(super) type FetchDone = Box<dyn FnOnce(Vec<Stored>) + Send>;

#[derive(Default)]
struct Inside {
    waiting: VecDeque<Request>,
    stopped: bool,
}

#[derive(Default)]
pub(super) struct ReadDesk {
    inside: Mutex<Inside>,
    filled: Condvar,
}

impl ReadDesk {
    pub(super) fn push(&self, request: Request) {
        let mut inside = self.inside.lock();
        if !inside.stopped {
            inside.waiting.push_back(request);
            self.filled.notify_one();
        }
    }

    fn take(&self) -> Option<Request> {
        let mut inside = self.inside.lock();
        loop {
            if inside.stopped {
                return None;
            }
            if let Some(request) = inside.waiting.pop_front() {
                return Some(request);
            }
            self.filled.wait(&mut inside);
        }
    }

    pub(super) fn stop(&self) {
        let mut inside = self.inside.lock();
        inside.stopped = true;
        inside.waiting.clear();
        self.filled.notify_all();
    }
}

pub(super) fn run(shared: &Shared, events: &Arc<dyn StoreEvents>) {
    while let Some(request) = shared.reads.take() {
        let queue = match &request {
            Request::Load { queue, .. } | Request::Fetch { queue, .. } => queue,
        };
        // Before the snapshot: a purge that ended in between is in the snapshot then.
        let purge = shared.purges.lock().get(queue).cloned();
        let mut read = Read {
            disk: &shared.disk,
            purge,
            snapshot: shared.disk.snapshot(),
            exchanges: LastExchange::default(),
        };
        let answer = match request {
            Request::Load {
                queue,
                from,
                max_messages,
                max_bytes,
            } => read
                .load(queue, from, max_messages, max_bytes)
                .map(|messages| events.loaded(queue, messages)),
            Request::Fetch { queue, seqs, then } => {
                read.fetch(queue, &seqs).map(|messages| match then {
                    Some(then) => then(messages),
                    None => events.fetched(queue, messages),
                })
            }
        };
        if let Err(error) = answer {
            shared.fail(&error);
            return;
        }
    }
}

struct Read<'a> {
    disk: &'a Disk,
    purge: Option<Arc<Purge>>,
    snapshot: Snapshot,
    exchanges: LastExchange,
}

impl Read<'_> {
    fn load(
        &mut self,
        queue: QueueId,
        from: Seq,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        // A pack that begins earlier may reach beyond `from`.
        let lowest = from.saturating_sub(PACK_SPAN - 1);
        let all = pack_key(queue, lowest)..=pack_key(queue, lane_end(from));
        let mut packs = Packs::new(queue);
        let mut window = Window::new(max_messages, max_bytes);
        for guard in self.snapshot.range(&self.disk.entries, all) {
            let (key, value) = guard.into_inner()?;
            let (_, first) = read_pack_key(&key).ok_or(StoreError::Corrupt("entry key"))?;
            if first >= window.end {
                break;
            }
            let row = Row::decode(&value)?;
            if row.last_seq(first).is_none_or(|last| last < from) {
                continue;
            }
            if self.purge.is_some() && row.live().all(|at| self.is_purged(first + at)) {
                continue;
            }
            let pack = packs.get(self, first)?;
            let mut reader = PackReader::new(&pack)?;
            while let Some(packed) = reader.next()? {
                let seq = first.saturating_add(packed.offset);
                if seq >= from && row.is_live(packed.offset) && !self.is_purged(seq) {
                    if !window.wants(seq) {
                        break;
                    }
                    window.insert(self.stored(&packed, seq, &row)?);
                }
            }
        }
        Ok(window.found)
    }

    fn fetch(&mut self, queue: QueueId, seqs: &[Seq]) -> Result<Vec<Stored>, StoreError> {
        let mut sorted = seqs.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut found: HashMap<Seq, Stored> = HashMap::with_capacity(sorted.len());
        let mut rest = sorted.as_slice();
        while let Some(&seq) = rest.first() {
            rest = rest.get(1..).unwrap_or_default();
            let Some((first, row)) = find_row(&self.snapshot, self.disk, queue, seq, |_| false)?
            else {
                continue;
            };
            let own = rest
                .iter()
                .take_while(|seq| **seq - first < PACK_SPAN && row.is_live(**seq - first))
                .count();
            let (also, later) = rest.split_at(own);
            rest = later;
            let pack = read_pack(self, queue, first)?;
            let wanted = |one: Seq| one == seq || also.binary_search(&one).is_ok();
            self.unpack(&pack, first, &row, wanted, |stored| {
                found.insert(stored.seq, stored);
            })?;
        }
        Ok(seqs.iter().filter_map(|seq| found.remove(seq)).collect())
    }

    fn unpack(
        &mut self,
        pack: &[u8],
        first: Seq,
        row: &Row,
        wanted: impl Fn(Seq) -> bool,
        mut take: impl FnMut(Stored),
    ) -> Result<(), StoreError> {
        let mut reader = PackReader::new(pack)?;
        while let Some(packed) = reader.next()? {
            let seq = first
                .checked_add(packed.offset)
                .ok_or(StoreError::Corrupt("pack"))?;
            if row.is_live(packed.offset) && wanted(seq) && !self.is_purged(seq) {
                take(self.stored(&packed, seq, row)?);
            }
        }
        Ok(())
    }

    fn is_purged(&self, seq: Seq) -> bool {
        self.purge.as_ref().is_some_and(|purge| purge.covers(seq))
    }

    fn stored(&mut self, packed: &Packed, seq: Seq, row: &Row) -> Result<Stored, StoreError> {
        let message = match packed.body {
            Body::Here(body) => packed.to_message(body, &mut self.exchanges)?,
            Body::Apart { message, length } => {
                let body = self
                    .snapshot
                    .get(&self.disk.bodies, message.to_be_bytes())?
                    .filter(|body| body.len() == length)
                    .ok_or(StoreError::Corrupt("body"))?;
                packed.to_message(&body, &mut self.exchanges)?
            }
        };
        Ok(Stored {
            seq,
            message,
            persistent: row.run == 0,
            redelivered: row.is_redelivered(packed.offset),
            returns: row.returns(packed.offset),
            expires: packed.expires,
        })
    }
}

/// The lowest messages found so far, as many as were asked for. Packs may overlap: what is read
/// later may belong before what was read earlier.
struct Window {
    found: Vec<Stored>,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
    /// From here on something was left out.
    end: Seq,
}

impl Window {
    fn new(max_messages: usize, max_bytes: usize) -> Window {
        Window {
            found: Vec::new(),
            bytes: 0,
            max_messages,
            max_bytes,
            end: Seq::MAX,
        }
    }

    /// At least one message is always read, however long it is.
    fn is_full(&self) -> bool {
        !self.found.is_empty()
            && (self.found.len() >= self.max_messages || self.bytes >= self.max_bytes)
    }

    fn wants(&mut self, seq: Seq) -> bool {
        let last = self.found.last().map_or(0, |last| last.seq);
        let wanted = seq < self.end && (!self.is_full() || seq < last);
        if !wanted {
            self.end = self.end.min(seq);
        }
        wanted
    }

    fn insert(&mut self, stored: Stored) {
        if self.is_full()
            && let Some(last) = self.found.pop()
        {
            self.bytes = self.bytes.saturating_sub(last.message.size());
            self.end = self.end.min(last.seq);
        }
        self.bytes += stored.message.size();
        match self.found.last() {
            Some(last) if last.seq > stored.seq => {
                let at = self.found.partition_point(|one| one.seq < stored.seq);
                self.found.insert(at, stored);
            }
            Some(_) | None => self.found.push(stored),
        }
    }
}

fn read_pack(read: &Read, queue: QueueId, first: Seq) -> Result<Slice, StoreError> {
    read.snapshot
        .get(&read.disk.packs, pack_key(queue, first))?
        .ok_or(StoreError::Corrupt("pack"))
}

/// The packs of one load: neighbours are read by one walk, which costs less than asking for each.
struct Packs {
    queue: QueueId,
    walk: Option<fjall::Iter>,
}

impl Packs {
    fn new(queue: QueueId) -> Packs {
        Packs { queue, walk: None }
    }

    fn get(&mut self, read: &Read, first: Seq) -> Result<Slice, StoreError> {
        let range = pack_key(self.queue, first)..=pack_key(self.queue, Seq::MAX);
        let walk = self
            .walk
            .get_or_insert_with(|| read.snapshot.range(&read.disk.packs, range));
        // A pack stands exactly where its entry stands, so the walk seldom has to skip.
        for guard in walk {
            let (key, value) = guard.into_inner()?;
            let (_, at) = read_pack_key(&key).ok_or(StoreError::Corrupt("pack key"))?;
            if at == first {
                return Ok(value);
            }
            if at > first {
                break;
            }
        }
        Err(StoreError::Corrupt("pack"))
    }
}
