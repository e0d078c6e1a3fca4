//! What lies where on disk: keys, format number, sizes. Not the rows' contents (`row.rs`,
//! `pack.rs`) and not the meaning of definitions (`vhost/`).
//!
//! ```text
//! <directory>/lock                      held while a broker runs here
//! <directory>/journal/                  what is not yet in the tables of the database, format 2 (see
//!                                       `journal.rs`; in format 1 this was fjall's own journal)
//! <directory>/database/                 one fjall database
//!
//! keyspace     key                                        value
//! -----------  -----------------------------------------  -------------------------------------
//! definitions  00 'f'                                     format u32 BE
//!              00 'r'                                     run u64 BE | clean u8
//!              00 'p' | queue u64 BE                      purge not finished: ranges, kept numbers
//!              01 | key of the vhost room                 value of the vhost room
//! packs        queue u64 BE | 00 | first u64 BE           the messages one batch brought to one
//!                                                         queue, in order; <= 32 KiB unless one
//!                                                         message alone is longer; spans < 4096
//!                                                         numbers; written once, removed once
//! entries      the same key                               which of them are live, their sizes and
//!                                                         bodies elsewhere; overwritten
//! bodies       message u64 BE                             a body that stands once: over 32 KiB, or
//!                                                         over 4 KiB with more than one target
//! holders      message u64 BE | queue u64 BE | seq u64 BE  empty: this place needs that body.
//!                                                         Queue 0 stands for `timers`
//! timers       due u64 BE | seq u64 BE                    vhost and message that waits
//!
//! first    a sequence number: the priority is its highest octet
//! message  run << 40 | count: unique and growing over all runs, like a timer's seq
//! queue    run << 32 | count: never given twice
//! ```
//!
//! A pack and its entry come and go in the same batch. A message is there exactly when its bit in
//! the entry is set and no unfinished purge covers it.

use crate::clock::Millis;
use crate::names::{QueueId, Seq};

use super::TimerKey;

pub(super) const FORMAT: u32 = 2;
pub(super) const FORMAT_OF_FJALLS_JOURNAL: u32 = 1;

/// A pack ends at this many bytes: long enough that one key is cheap for its messages, short enough
/// to read one message out of it.
pub(super) const PACK_BYTES: usize = 32 * 1024;

/// A pack covers fewer sequence numbers than this: bounds its bitmap (512 bytes) and the walk back
/// that finds the pack of a number.
pub(super) const PACK_SPAN: u64 = 4096;

/// Longer bodies never stand in a pack.
pub(super) const BODY_ALONE: usize = 32 * 1024;

/// Longer bodies stand once when they go to several places in one batch.
pub(super) const BODY_SHARED: usize = 4 * 1024;

/// The holder number of `timers`; queues are numbered from `1 << 32`.
pub(super) const TIMERS: QueueId = QueueId(0);

pub(super) const FORMAT_KEY: [u8; 2] = [0, b'f'];
pub(super) const RUN_KEY: [u8; 2] = [0, b'r'];
const PURGE: [u8; 2] = [0, b'p'];
const DEFINITION: u8 = 1;

pub(super) type PackKey = [u8; 17];
pub(super) type MessageId = u64;

pub(super) fn pack_key(queue: QueueId, first: Seq) -> PackKey {
    let mut key = [0; 17];
    key[..8].copy_from_slice(&queue.0.to_be_bytes());
    key[9..].copy_from_slice(&first.to_be_bytes());
    key
}

pub(super) fn read_pack_key(key: &[u8]) -> Option<(QueueId, Seq)> {
    let key: &PackKey = key.try_into().ok()?;
    Some((QueueId(number(key.get(..8)?)?), number(key.get(9..)?)?))
}

pub(super) fn timer_key(key: TimerKey) -> [u8; 16] {
    pair(key.due, key.seq)
}

pub(super) fn read_timer_key(key: &[u8]) -> Option<TimerKey> {
    (key.len() == 16).then_some(())?;
    Some(TimerKey {
        due: number(key.get(..8)?)? as Millis,
        seq: number(key.get(8..)?)?,
    })
}

pub(super) fn holder_key(message: MessageId, queue: QueueId, seq: Seq) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&pair(message, queue.0));
    key[16..].copy_from_slice(&seq.to_be_bytes());
    key
}

pub(super) fn purge_key(queue: QueueId) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&PURGE);
    key[2..].copy_from_slice(&queue.0.to_be_bytes());
    key
}

pub(super) fn read_purge_key(key: &[u8]) -> Option<QueueId> {
    number(key.strip_prefix(&PURGE)?).map(QueueId)
}

pub(super) fn definition_key(key: &[u8]) -> Vec<u8> {
    let mut own = Vec::with_capacity(key.len() + 1);
    own.push(DEFINITION);
    own.extend_from_slice(key);
    own
}

pub(super) fn read_definition_key(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&[DEFINITION])
}

pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn pair(high: u64, low: u64) -> [u8; 16] {
    ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
}
