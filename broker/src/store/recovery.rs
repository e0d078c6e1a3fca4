//! What an earlier run left: definitions, and per queue what waits there. Reads `entries` only,
//! never a message; drops what was paged out by earlier runs.

use std::collections::HashMap;

use crate::names::{QueueId, lane_of};

use super::batch::Batch;
use super::bodies::Bodies;
use super::disk::Disk;
use super::error::StoreError;
use super::layout::{pack_key, read_definition_key, read_pack_key, read_purge_key};
use super::row::Row;
use super::sweep::Purge;
use super::{Backlog, Backlogs};

/// Transient packs removed in one batch.
const DROP_PACKS: usize = 1024;

pub(super) struct Found {
    pub(super) definitions: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) backlogs: HashMap<QueueId, Backlogs>,
    pub(super) unfinished: Vec<(QueueId, Purge)>,
    /// Every queue that has rows, also if nothing in them is left.
    pub(super) queues: Vec<QueueId>,
}

pub(super) fn read(disk: &Disk, run: u64) -> Result<Found, StoreError> {
    let mut found = Found {
        definitions: Vec::new(),
        backlogs: HashMap::new(),
        unfinished: Vec::new(),
        queues: Vec::new(),
    };
    for guard in disk.definitions.iter() {
        let (key, value) = guard.into_inner()?;
        if let Some(own) = read_definition_key(&key) {
            found.definitions.push((own.to_vec(), value.to_vec()));
        } else if let Some(queue) = read_purge_key(&key) {
            found.unfinished.push((queue, Purge::decode(&value)?));
        }
    }
    found
        .queues
        .extend(found.unfinished.iter().map(|(queue, _)| *queue));
    read_entries(disk, run, &mut found)?;
    found.queues.sort_unstable();
    found.queues.dedup();
    Ok(found)
}

fn read_entries(disk: &Disk, run: u64, found: &mut Found) -> Result<(), StoreError> {
    let purges: HashMap<QueueId, Purge> = found.unfinished.iter().cloned().collect();
    let mut transient = Vec::new();
    for guard in disk.entries.iter() {
        let (key, value) = guard.into_inner()?;
        let (queue, first) = read_pack_key(&key).ok_or(StoreError::Corrupt("entry key"))?;
        let row = Row::decode(&value)?;
        if row.run != 0 && row.run != run {
            transient.push((queue, first, row));
            if transient.len() >= DROP_PACKS {
                drop_packs(disk, &mut transient)?;
            }
            continue;
        }
        if found.queues.last() != Some(&queue) {
            found.queues.push(queue);
        }
        count(found, queue, first, &row, purges.get(&queue));
    }
    drop_packs(disk, &mut transient)
}

fn count(found: &mut Found, queue: QueueId, first: u64, row: &Row, purge: Option<&Purge>) {
    let mut part = Backlog {
        messages: u64::from(row.count()),
        bytes: row.bytes(),
        first: first + row.live().next().unwrap_or_default(),
        last: row.last_seq(first).unwrap_or(first),
        expiring: row.expiring,
    };
    if let Some(purge) = purge {
        let live = || row.live().filter(|at| !purge.covers(first + at));
        part = Backlog {
            messages: live().count() as u64,
            bytes: live().map(|at| row.size(at)).sum(),
            first: first + live().next().unwrap_or_default(),
            last: first + live().last().unwrap_or_default(),
            expiring: row.expiring,
        };
    }
    if part.messages == 0 {
        return;
    }
    let lanes = found.backlogs.entry(queue).or_default();
    let lane = lane_of(part.first);
    // Rows come in the order of their keys, so one priority after the other.
    let Some(whole) = lanes.last_mut().filter(|last| lane_of(last.first) == lane) else {
        lanes.push(part);
        return;
    };
    whole.messages += part.messages;
    whole.bytes += part.bytes;
    whole.first = whole.first.min(part.first);
    whole.last = whole.last.max(part.last);
    whole.expiring |= part.expiring;
}

fn drop_packs(disk: &Disk, packs: &mut Vec<(QueueId, u64, Row)>) -> Result<(), StoreError> {
    let mut batch = Batch::with_capacity(packs.len() * 2);
    let mut bodies = Bodies::default();
    for (queue, first, mut row) in packs.drain(..) {
        let key = pack_key(queue, first);
        batch.remove(&disk.entries, key);
        batch.remove_weak(&disk.packs, key);
        let live: Vec<u64> = row.live().collect();
        for offset in live {
            if let Some(body) = row.settle(offset) {
                bodies.release(body, queue, first + offset);
            }
        }
    }
    bodies.finish(disk, &mut batch)?;
    disk.write(batch)
}
