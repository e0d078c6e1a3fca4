//! Work that is too long for one batch: purged backlogs and deleted queues are cleared in steps
//! between batches. What a purge promised holds from its own batch on, by a row in `definitions`.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::names::{QueueId, Seq};

use super::batch::Batch;
use super::bodies::Bodies;
use super::coding::{Cursor, put_number};
use super::disk::Disk;
use super::error::StoreError;
use super::layout::{PACK_SPAN, pack_key, purge_key, read_pack_key};
use super::rows::Rows;

/// Packs of one step: with 32 KiB each this bounds what a batch waits for a sweep.
const STEP_PACKS: usize = 256;

/// Sequence numbers of a queue's first step. Tombstones are passed inside the database, where they
/// cannot be counted: the window follows the time that a step took.
const FIRST_WINDOW: u64 = 64 * 1024;
const LEAST_WINDOW: u64 = 4 * 1024;
const STEP_TIME: Duration = Duration::from_millis(2);

/// A purge that was promised and is not finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Purge {
    /// First and last sequence number of what goes, both included. Several where a backlog was
    /// purged again before the sweep was through: between them live messages may stand.
    ranges: Vec<(Seq, Seq)>,
    /// Written after the purge, though their numbers lie inside.
    keep: HashSet<Seq>,
}

impl Purge {
    fn everything() -> Purge {
        Purge {
            ranges: vec![(0, Seq::MAX)],
            keep: HashSet::new(),
        }
    }

    pub(super) fn covers(&self, seq: Seq) -> bool {
        self.in_range(seq) && !self.keep.contains(&seq)
    }

    fn in_range(&self, seq: Seq) -> bool {
        self.ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&seq))
    }

    /// What stood in the new range is gone, whatever was kept there before.
    fn add(&mut self, first: Seq, last: Seq) {
        self.keep.retain(|seq| !(first..=last).contains(seq));
        self.ranges.push((first, last));
    }

    /// Where to begin: a pack that starts before the first range may reach into it.
    fn start(&self) -> Seq {
        let firsts = self.ranges.iter().map(|(first, _)| *first);
        firsts
            .min()
            .unwrap_or(Seq::MAX)
            .saturating_sub(PACK_SPAN - 1)
    }

    fn last(&self) -> Seq {
        self.ranges.iter().map(|(_, last)| *last).max().unwrap_or(0)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20 + self.ranges.len() * 18 + self.keep.len() * 9);
        put_number(&mut out, self.ranges.len() as u64);
        for (first, last) in &self.ranges {
            put_number(&mut out, *first);
            put_number(&mut out, *last);
        }
        for seq in &self.keep {
            put_number(&mut out, *seq);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Purge, StoreError> {
        let mut cursor = Cursor::new(bytes, "purge");
        let mut purge = Purge::default();
        for _ in 0..cursor.number()? {
            purge.ranges.push((cursor.number()?, cursor.number()?));
        }
        while !cursor.is_empty() {
            purge.keep.insert(cursor.number()?);
        }
        Ok(purge)
    }
}

struct Job {
    purge: Purge,
    /// Nothing below is left to do.
    cursor: Seq,
    window: u64,
    /// A deleted queue: no row needed, the definitions say it.
    forget: bool,
}

#[derive(Default)]
pub(super) struct Sweeps {
    jobs: HashMap<QueueId, Job>,
    turn: VecDeque<QueueId>,
    /// Their rows in `definitions` must be written with the next batch.
    unwritten: Vec<QueueId>,
    /// What the reader must know once this batch is written: the purge that covers a queue, or none.
    news: Vec<(QueueId, Option<Arc<Purge>>)>,
}

impl Sweeps {
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    fn job(&mut self, queue: QueueId) -> &mut Job {
        let turn = &mut self.turn;
        self.jobs.entry(queue).or_insert_with(|| {
            turn.push_back(queue);
            Job {
                purge: Purge::default(),
                cursor: 0,
                window: FIRST_WINDOW,
                forget: false,
            }
        })
    }

    pub(super) fn purge(&mut self, queue: QueueId, first: Seq, last: Seq) {
        let job = self.job(queue);
        job.purge.add(first, last);
        job.cursor = job.purge.start();
        if !job.forget {
            self.unwritten.push(queue);
        }
    }

    pub(super) fn news(&mut self) -> impl Iterator<Item = (QueueId, Option<Arc<Purge>>)> + '_ {
        self.news.drain(..)
    }

    /// A purge that an earlier run did not finish: its row is there already.
    pub(super) fn resume(&mut self, queue: QueueId, purge: Purge) {
        let job = self.job(queue);
        job.cursor = purge.start();
        job.purge = purge;
    }

    pub(super) fn forget(&mut self, queue: QueueId) {
        let job = self.job(queue);
        job.purge = Purge::everything();
        job.cursor = 0;
        job.forget = true;
    }

    /// A message written after the purge although its number is inside (a move's) stays.
    pub(super) fn spare(&mut self, queue: QueueId, seqs: impl Iterator<Item = Seq>) {
        let Some(job) = self.jobs.get_mut(&queue) else {
            return;
        };
        if job.forget {
            return;
        }
        let before = job.purge.keep.len();
        let Purge { ranges, keep } = &mut job.purge;
        let inside = |seq: &Seq| {
            ranges
                .iter()
                .any(|(first, last)| (first..=last).contains(&seq))
        };
        keep.extend(seqs.filter(inside));
        if job.purge.keep.len() > before {
            self.unwritten.push(queue);
        }
    }

    /// Adds the next step to the batch: one long queue's part, or several short queues.
    pub(super) fn step(
        &mut self,
        disk: &Disk,
        rows: &mut Rows,
        bodies: &mut Bodies,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut budget = STEP_PACKS;
        while budget > 0
            && begun.elapsed() < STEP_TIME
            && let Some(queue) = self.turn.pop_front()
        {
            let Some(job) = self.jobs.get_mut(&queue) else {
                continue;
            };
            budget -= job.step(disk, rows, bodies, (queue, budget))?;
            if job.cursor > job.purge.last() || job.cursor == Seq::MAX {
                self.jobs.remove(&queue);
                self.news.push((queue, None));
                if disk.definitions.contains_key(purge_key(queue))? {
                    batch.remove(&disk.definitions, purge_key(queue));
                }
            } else {
                self.turn.push_back(queue);
            }
        }
        // After the step: a key may stand in a batch only once, and a purge that ended in this very
        // batch needs no row.
        self.unwritten.sort_unstable();
        self.unwritten.dedup();
        for queue in self.unwritten.drain(..) {
            if let Some(job) = self.jobs.get(&queue).filter(|job| !job.forget) {
                batch.insert(&disk.definitions, purge_key(queue), job.purge.encode());
                self.news.push((queue, Some(Arc::new(job.purge.clone()))));
            }
        }
        Ok(())
    }
}

impl Job {
    /// Says how many packs it looked at, `budget` at most.
    fn step(
        &mut self,
        disk: &Disk,
        rows: &mut Rows,
        bodies: &mut Bodies,
        (queue, budget): (QueueId, usize),
    ) -> Result<usize, StoreError> {
        let begun = Instant::now();
        let end = self
            .cursor
            .saturating_add(self.window)
            .min(self.purge.last());
        let range = pack_key(queue, self.cursor)..=pack_key(queue, end);
        let mut packs = 0;
        for guard in disk.entries.range(range) {
            let (key, value) = guard.into_inner()?;
            let (_, first) = read_pack_key(&key).ok_or(StoreError::Corrupt("entry key"))?;
            if packs == budget {
                self.cursor = first;
                return Ok(packs);
            }
            packs += 1;
            let purge = &self.purge;
            rows.sweep(bodies, (queue, first), &value, |seq| purge.covers(seq))?;
        }
        self.cursor = end.saturating_add(1);
        self.window = if begun.elapsed() < STEP_TIME {
            self.window.saturating_mul(2)
        } else {
            (self.window / 2).max(LEAST_WINDOW)
        };
        Ok(packs)
    }
}
