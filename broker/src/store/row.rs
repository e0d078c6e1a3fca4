//! The row in `entries` that stands beside a pack: which messages of it are live. Not their
//! contents (see `pack.rs`).
//!
//! ```text
//! format u8 | flags u8 | run | span | live bitmap | [redelivered bitmap]
//!   | sizes: one for all, or one per live message | [count of bodies, then offset, message, each]
//!   | [count of returns, then offset, how often, each]
//! ```
//! Numbers are of variable length, bitmaps have (span + 7) / 8 bytes.

use smallvec::SmallVec;

use crate::names::Seq;

use super::coding::{Cursor, put_number};
use super::error::StoreError;
use super::layout::{MessageId, PACK_SPAN};

const FORMAT: u8 = 1;
const HAS_REDELIVERED: u8 = 1;
const HAS_EACH_SIZE: u8 = 2;
const HAS_BODIES: u8 = 4;
const EXPIRING: u8 = 8;
const HAS_RETURNS: u8 = 16;
const WHAT: &str = "entry";

/// Bits for the offsets of one pack.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
struct Bits(SmallVec<[u64; 4]>);

impl Bits {
    fn get(&self, at: u64) -> bool {
        let word = self.0.get((at / 64) as usize).copied().unwrap_or(0);
        word >> (at % 64) & 1 == 1
    }

    fn set(&mut self, at: u64) {
        let word = (at / 64) as usize;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (at % 64);
        }
    }

    fn clear(&mut self, at: u64) {
        if let Some(word) = self.0.get_mut((at / 64) as usize) {
            *word &= !(1 << (at % 64));
        }
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    fn any(&self) -> bool {
        self.0.iter().any(|word| *word != 0)
    }

    fn ones(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    index as u64 * 64 + u64::from(bit)
                })
            })
        })
    }

    fn last(&self) -> Option<u64> {
        let index = self.0.iter().rposition(|word| *word != 0)?;
        let word = self.0.get(index)?;
        Some(index as u64 * 64 + 63 - u64::from(word.leading_zeros()))
    }

    fn put(&self, out: &mut Vec<u8>, span: u64) {
        for at in 0..span.div_ceil(8) {
            let word = self.0.get((at / 8) as usize).copied().unwrap_or(0);
            out.push((word >> (at % 8 * 8)) as u8);
        }
    }

    fn read(bytes: &[u8]) -> Bits {
        let words = bytes.chunks(8).map(|chunk| {
            chunk
                .iter()
                .rev()
                .fold(0u64, |word, byte| word << 8 | u64::from(*byte))
        });
        Bits(words.collect())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sizes {
    Same(u32),
    /// By offset, ascending; may name messages that are no longer live.
    Each(Vec<(u16, u32)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// 0: persistent. Otherwise paged out by that run, and gone with it.
    pub(super) run: u64,
    live: Bits,
    redelivered: Bits,
    sizes: Sizes,
    bodies: Vec<(u16, MessageId)>,
    /// Messages that came back from consumers, and how often.
    returns: Vec<(u16, u32)>,
    count: u32,
    /// Something in the pack has, or had, a time when it expires.
    pub(super) expiring: bool,
}

impl Row {
    pub(super) fn new(run: u64) -> Row {
        Row {
            run,
            live: Bits::default(),
            redelivered: Bits::default(),
            sizes: Sizes::Same(0),
            bodies: Vec::new(),
            returns: Vec::new(),
            count: 0,
            expiring: false,
        }
    }

    /// Offsets must ascend.
    pub(super) fn push(
        &mut self,
        offset: u64,
        size: usize,
        redelivered: bool,
        body: Option<MessageId>,
    ) {
        debug_assert!(offset < PACK_SPAN);
        let size = size as u32;
        if self.count == 0 {
            self.sizes = Sizes::Same(size);
        } else if let Sizes::Same(same) = self.sizes
            && same != size
        {
            let each = self.live.ones().map(|at| (at as u16, same)).collect();
            self.sizes = Sizes::Each(each);
        }
        if let Sizes::Each(each) = &mut self.sizes {
            each.push((offset as u16, size));
        }
        self.live.set(offset);
        if redelivered {
            self.redelivered.set(offset);
        }
        if let Some(body) = body {
            self.bodies.push((offset as u16, body));
        }
        self.count += 1;
    }

    pub(super) fn is_live(&self, offset: u64) -> bool {
        self.live.get(offset)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn live(&self) -> impl Iterator<Item = u64> + '_ {
        self.live.ones()
    }

    pub(super) fn last_live(&self) -> Option<u64> {
        self.live.last()
    }

    pub(super) fn is_redelivered(&self, offset: u64) -> bool {
        self.redelivered.get(offset)
    }

    /// False when it was marked before.
    pub(super) fn mark_redelivered(&mut self, offset: u64) -> bool {
        let new = self.is_live(offset) && !self.redelivered.get(offset);
        if new {
            self.redelivered.set(offset);
        }
        new
    }

    /// The message is gone. Says which body it held.
    pub(super) fn settle(&mut self, offset: u64) -> Option<MessageId> {
        if !self.is_live(offset) {
            return None;
        }
        self.live.clear(offset);
        self.redelivered.clear(offset);
        self.count -= 1;
        self.returns.retain(|(at, _)| u64::from(*at) != offset);
        let at = self
            .bodies
            .iter()
            .position(|(held, _)| u64::from(*held) == offset)?;
        Some(self.bodies.remove(at).1)
    }

    pub(super) fn returns(&self, offset: u64) -> u32 {
        let mut returns = self.returns.iter();
        returns
            .find(|(at, _)| u64::from(*at) == offset)
            .map_or(0, |(_, count)| *count)
    }

    pub(super) fn count_returns(&mut self, offset: u64, count: u32) {
        self.returns.retain(|(at, _)| u64::from(*at) != offset);
        if count > 0 && self.is_live(offset) {
            self.returns.push((offset as u16, count));
        }
    }

    pub(super) fn size(&self, offset: u64) -> u64 {
        match &self.sizes {
            Sizes::Same(size) => u64::from(*size),
            Sizes::Each(each) => each
                .binary_search_by_key(&offset, |(at, _)| u64::from(*at))
                .ok()
                .and_then(|index| each.get(index))
                .map_or(0, |(_, size)| u64::from(*size)),
        }
    }

    /// Body bytes of the live messages.
    pub(super) fn bytes(&self) -> u64 {
        match &self.sizes {
            Sizes::Same(size) => u64::from(*size) * u64::from(self.count),
            Sizes::Each(each) => each
                .iter()
                .filter(|(at, _)| self.live.get(u64::from(*at)))
                .map(|(_, size)| u64::from(*size))
                .sum(),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let span = self.live.last().map_or(0, |last| last + 1);
        let mut flags = 0;
        if self.redelivered.any() {
            flags |= HAS_REDELIVERED;
        }
        if matches!(self.sizes, Sizes::Each(_)) {
            flags |= HAS_EACH_SIZE;
        }
        if !self.bodies.is_empty() {
            flags |= HAS_BODIES;
        }
        if self.expiring {
            flags |= EXPIRING;
        }
        if !self.returns.is_empty() {
            flags |= HAS_RETURNS;
        }
        out.extend_from_slice(&[FORMAT, flags]);
        put_number(out, self.run);
        put_number(out, span);
        self.live.put(out, span);
        if flags & HAS_REDELIVERED != 0 {
            self.redelivered.put(out, span);
        }
        match &self.sizes {
            Sizes::Same(size) => put_number(out, u64::from(*size)),
            Sizes::Each(each) => each
                .iter()
                .filter(|(at, _)| self.live.get(u64::from(*at)))
                .for_each(|(_, size)| put_number(out, u64::from(*size))),
        }
        if flags & HAS_BODIES != 0 {
            put_number(out, self.bodies.len() as u64);
            for (offset, message) in &self.bodies {
                put_number(out, u64::from(*offset));
                put_number(out, *message);
            }
        }
        if flags & HAS_RETURNS != 0 {
            put_number(out, self.returns.len() as u64);
            for (offset, count) in &self.returns {
                put_number(out, u64::from(*offset));
                put_number(out, u64::from(*count));
            }
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Row, StoreError> {
        let mut cursor = Cursor::new(bytes, WHAT);
        if cursor.byte()? != FORMAT {
            return Err(cursor.damaged());
        }
        let flags = cursor.byte()?;
        let run = cursor.number()?;
        let span = cursor.number()?;
        if span > PACK_SPAN {
            return Err(cursor.damaged());
        }
        let width = span.div_ceil(8) as usize;
        let live = Bits::read(cursor.take(width)?);
        let redelivered = if flags & HAS_REDELIVERED != 0 {
            Bits::read(cursor.take(width)?)
        } else {
            Bits::default()
        };
        let sizes = if flags & HAS_EACH_SIZE != 0 {
            let mut each = Vec::with_capacity(live.count() as usize);
            for at in live.ones() {
                each.push((at as u16, cursor.number()? as u32));
            }
            Sizes::Each(each)
        } else {
            Sizes::Same(cursor.number()? as u32)
        };
        let mut bodies = Vec::new();
        if flags & HAS_BODIES != 0 {
            for _ in 0..cursor.number()? {
                bodies.push((cursor.number()? as u16, cursor.number()?));
            }
        }
        let mut returns = Vec::new();
        if flags & HAS_RETURNS != 0 {
            for _ in 0..cursor.number()? {
                returns.push((cursor.number()? as u16, cursor.number()? as u32));
            }
        }
        let count = live.count();
        Ok(Row {
            run,
            live,
            redelivered,
            sizes,
            bodies,
            returns,
            count,
            expiring: flags & EXPIRING != 0,
        })
    }

    /// The highest live sequence number of a pack that begins at `first`.
    pub(super) fn last_seq(&self, first: Seq) -> Option<Seq> {
        self.last_live().map(|offset| first + offset)
    }
}
