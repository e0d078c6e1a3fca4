//! Turns a stage into one batch: rows changed, packs cut, bodies placed, timers and definitions.
//! Not when, and not who is told (see `commit.rs`).

use std::sync::Arc;

use crate::clock::Expiry;
use crate::message::Message;
use crate::names::{QueueId, Seq};

use super::batch::Batch;
use super::bodies::Bodies;
use super::confirms::ConfirmBatch;
use super::disk::Disk;
use super::error::StoreError;
use super::layout::{
    BODY_ALONE, PACK_BYTES, PACK_SPAN, TIMERS, definition_key, pack_key, timer_key,
};
use super::pack::PackWriter;
use super::row::Row;
use super::rows::{Change, Rows};
use super::stage::{QueueStage, Stage};
use super::sweep::Sweeps;
use super::timers::{self, TimerDesk};
use super::{Hold, TimerKey};

/// Message and timer numbers of one run.
const RUN_SHIFT: u32 = 40;

pub(super) struct Writer {
    run: u64,
    next: u64,
    pub(super) rows: Rows,
    pub(super) sweeps: Sweeps,
    bodies: Bodies,
    pack: PackWriter,
    scratch: Vec<u8>,
    pub(super) written: u64,
    /// The earliest timer in the batch.
    pub(super) first_timer: Option<TimerKey>,
}

struct OpenPack {
    first: Seq,
    persistent: bool,
    row: Row,
}

impl OpenPack {
    fn takes(&self, pack: &PackWriter, seq: Seq, persistent: bool, bytes: usize) -> bool {
        self.persistent == persistent
            && seq - self.first < PACK_SPAN
            && pack.len() + bytes <= PACK_BYTES
    }
}

impl Writer {
    pub(super) fn new(run: u64) -> Writer {
        Writer {
            run,
            next: run << RUN_SHIFT,
            rows: Rows::default(),
            sweeps: Sweeps::default(),
            bodies: Bodies::default(),
            pack: PackWriter::default(),
            scratch: Vec::new(),
            written: 0,
            first_timer: None,
        }
    }

    pub(super) fn build(
        &mut self,
        disk: &Disk,
        desk: &TimerDesk,
        stage: &mut Stage,
    ) -> Result<Batch, StoreError> {
        let mut batch = Batch::with_capacity(64);
        self.bodies.clear();
        self.written = 0;
        self.first_timer = None;
        self.count_bodies(stage);
        let mut late = std::mem::take(&mut stage.late);
        for queue in stage.queues() {
            self.change_rows(disk, queue)?;
            self.write_packs(disk, &mut batch, queue, &mut late);
        }
        stage.late = late;
        stage.synced |= !stage.late.is_empty();
        self.pay_transient(stage);
        self.release_timers(disk, desk, &mut batch, stage)?;
        self.write_holds(disk, desk, &mut batch, stage);
        for (key, value) in std::mem::take(&mut stage.definitions) {
            match value {
                Some(value) => batch.insert(&disk.definitions, definition_key(&key), value),
                None => batch.remove(&disk.definitions, definition_key(&key)),
            }
        }
        self.sweeps
            .step(disk, &mut self.rows, &mut self.bodies, &mut batch)?;
        self.rows.write(disk, &mut batch);
        self.bodies.finish(disk, &mut batch)?;
        Ok(batch)
    }

    /// How many packs and bodies are gone since the last time.
    pub(super) fn take_removed(&mut self) -> u64 {
        self.rows.take_removed() + self.bodies.take_removed()
    }

    fn count_bodies(&mut self, stage: &mut Stage) {
        for queue in stage.queues() {
            for message in queue.appends.iter().filter_map(|one| one.message.as_ref()) {
                self.bodies.count(message);
            }
        }
        for hold in &stage.holds {
            self.bodies.count(&hold.message);
        }
    }

    fn change_rows(&mut self, disk: &Disk, stage: &mut QueueStage) -> Result<(), StoreError> {
        let queue = stage.queue;
        let bodies = &mut self.bodies;
        self.rows.change(
            disk,
            bodies,
            queue,
            &mut stage.redelivered,
            Change::Redelivered,
        )?;
        self.rows
            .change(disk, bodies, queue, &mut stage.gone, Change::Settle)?;
        for (seq, count) in stage.returned.drain(..) {
            self.rows.count_returns(disk, queue, seq, count)?;
        }
        Ok(())
    }

    fn write_packs(
        &mut self,
        disk: &Disk,
        batch: &mut Batch,
        stage: &mut QueueStage,
        late: &mut ConfirmBatch,
    ) {
        stage.sort();
        let queue = stage.queue;
        let live = stage.appends.iter().filter(|one| one.message.is_some());
        self.sweeps.spare(queue, live.map(|one| one.seq));
        let mut open: Option<OpenPack> = None;
        for pending in &mut stage.appends {
            let Some(message) = &pending.message else {
                continue;
            };
            let length = message.body().len();
            let inside = if length > BODY_ALONE { 0 } else { length };
            let bytes = inside + message.properties().len() + message.routing_key().len();
            let mut pack = match open.take() {
                Some(pack) if pack.takes(&self.pack, pending.seq, pending.persistent, bytes) => {
                    pack
                }
                before => {
                    self.close_pack(disk, batch, queue, before);
                    self.open_pack(pending.seq, pending.persistent)
                }
            };
            self.push(
                disk,
                batch,
                queue,
                &mut pack,
                (pending.seq, message),
                (pending.redelivered, pending.returns, pending.expires),
            );
            open = Some(pack);
            match (pending.confirm.take(), pending.persistent) {
                (Some(confirm), true) => late.owe(confirm),
                // Left for `pay_transient`: it asks for no sync.
                (confirm, false) => pending.confirm = confirm,
                (None, true) => {}
            }
        }
        self.close_pack(disk, batch, queue, open);
    }

    /// Transient messages are confirmed with their batch but never make it a synced one.
    fn pay_transient(&mut self, stage: &mut Stage) {
        let mut late = std::mem::take(&mut stage.late);
        for queue in stage.queues() {
            for pending in &mut queue.appends {
                if let Some(confirm) = pending.confirm.take() {
                    late.owe(confirm);
                }
            }
        }
        stage.late = late;
    }

    fn open_pack(&mut self, first: Seq, persistent: bool) -> OpenPack {
        self.pack.begin();
        OpenPack {
            first,
            persistent,
            row: Row::new(if persistent { 0 } else { self.run }),
        }
    }

    fn push(
        &mut self,
        disk: &Disk,
        batch: &mut Batch,
        queue: QueueId,
        open: &mut OpenPack,
        (seq, message): (Seq, &Arc<Message>),
        (redelivered, returns, expires): (bool, u32, Expiry),
    ) {
        let next = &mut self.next;
        let body = self.bodies.place(disk, batch, (queue, seq), message, || {
            *next += 1;
            *next
        });
        let offset = seq - open.first;
        self.pack.push(offset, message, expires, body);
        open.row.expiring |= expires != Expiry::NEVER;
        open.row
            .push(offset, message.body().len(), redelivered, body);
        open.row.count_returns(offset, returns);
        self.written += 1;
    }

    fn close_pack(
        &mut self,
        disk: &Disk,
        batch: &mut Batch,
        queue: QueueId,
        open: Option<OpenPack>,
    ) {
        let Some(open) = open else {
            return;
        };
        batch.insert(&disk.packs, pack_key(queue, open.first), self.pack.bytes());
        self.rows.add(disk, batch, (queue, open.first), open.row);
    }

    fn release_timers(
        &mut self,
        disk: &Disk,
        desk: &TimerDesk,
        batch: &mut Batch,
        stage: &mut Stage,
    ) -> Result<(), StoreError> {
        stage.released.sort_unstable();
        stage.released.dedup();
        for &key in &stage.released {
            let body = match desk.given_out(key) {
                Some(body) => body,
                None => match disk.timers.get(timer_key(key))? {
                    Some(row) => timers::body_of(&row)?,
                    None => continue,
                },
            };
            batch.remove_weak(&disk.timers, timer_key(key));
            if let Some(body) = body {
                self.bodies.release(body, TIMERS, timers::holder_seq(key));
            }
        }
        Ok(())
    }

    fn write_holds(&mut self, disk: &Disk, desk: &TimerDesk, batch: &mut Batch, stage: &mut Stage) {
        for hold in std::mem::take(&mut stage.holds) {
            let key = self.write_hold(disk, desk, batch, &hold);
            self.first_timer = Some(self.first_timer.map_or(key, |first| first.min(key)));
            if let Some(confirm) = hold.confirm {
                stage.synced = true;
                stage.late.owe(confirm);
            }
        }
    }

    fn write_hold(
        &mut self,
        disk: &Disk,
        desk: &TimerDesk,
        batch: &mut Batch,
        hold: &Hold,
    ) -> TimerKey {
        let next = &mut self.next;
        let mut new_id = || {
            *next += 1;
            *next
        };
        let key = TimerKey {
            due: desk.raise(hold.due),
            seq: new_id(),
        };
        let place = (TIMERS, timers::holder_seq(key));
        let body = self.bodies.place(disk, batch, place, &hold.message, new_id);
        self.pack.begin();
        self.pack.push(0, &hold.message, Expiry::NEVER, body);
        self.scratch.clear();
        timers::put_row(&mut self.scratch, &hold.vhost, self.pack.bytes());
        batch.insert(&disk.timers, timer_key(key), self.scratch.as_slice());
        key
    }
}
