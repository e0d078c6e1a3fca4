//! Bodies that stand apart from their packs, and who still needs them. Not the packs.

use std::sync::Arc;

use fjall::Readable;
use hashbrown::HashMap;

use crate::message::Message;
use crate::names::{QueueId, Seq};

use super::batch::Batch;
use super::disk::Disk;
use super::error::StoreError;
use super::layout::{BODY_ALONE, BODY_SHARED, MessageId, holder_key};

/// One batch's view: which bodies it writes and which places let go of one.
#[derive(Default)]
pub(super) struct Bodies {
    /// By the address of a message that the stage keeps alive while this map is used.
    targets: HashMap<usize, Target, foldhash::fast::RandomState>,
    released: Vec<(MessageId, QueueId, Seq)>,
    /// Bodies that are gone, not yet asked for.
    removed: u64,
}

#[derive(Default)]
struct Target {
    places: u32,
    written: Option<MessageId>,
}

fn address(message: &Arc<Message>) -> usize {
    Arc::as_ptr(message) as usize
}

impl Bodies {
    pub(super) fn clear(&mut self) {
        self.targets.clear();
        self.released.clear();
    }

    /// How many bodies are gone since the last time.
    pub(super) fn take_removed(&mut self) -> u64 {
        std::mem::take(&mut self.removed)
    }

    /// First every place of a batch is counted, then it is placed.
    pub(super) fn count(&mut self, message: &Arc<Message>) {
        if message.body().len() > BODY_SHARED {
            self.targets.entry(address(message)).or_default().places += 1;
        }
    }

    /// Whether this message's body stands apart; writes it and its holder if so.
    pub(super) fn place(
        &mut self,
        disk: &Disk,
        batch: &mut Batch,
        (queue, seq): (QueueId, Seq),
        message: &Arc<Message>,
        new_id: impl FnOnce() -> MessageId,
    ) -> Option<MessageId> {
        let length = message.body().len();
        if length <= BODY_SHARED {
            return None;
        }
        let target = self.targets.entry(address(message)).or_default();
        if length <= BODY_ALONE && target.places < 2 {
            return None;
        }
        let id = *target.written.get_or_insert_with(|| {
            let id = new_id();
            batch.insert(&disk.bodies, id.to_be_bytes(), message.body());
            id
        });
        batch.insert(&disk.holders, holder_key(id, queue, seq), b"");
        Some(id)
    }

    pub(super) fn release(&mut self, body: MessageId, queue: QueueId, seq: Seq) {
        self.released.push((body, queue, seq));
    }

    /// Removes the holders that let go, and the bodies nobody holds any more.
    pub(super) fn finish(&mut self, disk: &Disk, batch: &mut Batch) -> Result<(), StoreError> {
        self.released.sort_unstable();
        for group in self.released.chunk_by(|a, b| a.0 == b.0) {
            let Some((body, _, _)) = group.first() else {
                continue;
            };
            // A body's holders are all written with it, in an earlier batch than this.
            let holders = disk
                .snapshot()
                .prefix(&disk.holders, body.to_be_bytes())
                .take(group.len() + 1)
                .count();
            if holders <= group.len() {
                batch.remove_weak(&disk.bodies, body.to_be_bytes());
                self.removed += 1;
            }
            for (body, queue, seq) in group {
                batch.remove_weak(&disk.holders, holder_key(*body, *queue, *seq));
            }
        }
        self.released.clear();
        Ok(())
    }
}
