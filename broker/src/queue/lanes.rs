//! The ready messages of one queue, all priorities together: which order is asked, and how many
//! bytes there are. Most queues have one priority. Not the order itself (see `backlog.rs`).

use super::backlog::{Backlogged, Entry, Front, Purged};
use crate::names::{Seq, lane_of};
use crate::store::{Backlogs, Stored};

pub(super) struct Lanes {
    /// By priority.
    lanes: Vec<Backlogged>,
    /// Of the bodies.
    bytes: u64,
    /// Of the messages for which places are reserved.
    reserved_bytes: u64,
    /// An unclean stop's leftovers may expire, and nobody has looked at them yet.
    unseen_expiry: bool,
}

impl Lanes {
    pub fn recovered(max_priority: u8, recovered: &Backlogs, all_redelivered: bool) -> Lanes {
        let mut lanes = Lanes {
            lanes: Vec::new(),
            bytes: recovered.iter().map(|part| part.bytes).sum(),
            reserved_bytes: 0,
            unseen_expiry: recovered.iter().any(|part| part.expiring),
        };
        lanes
            .lanes
            .resize_with(usize::from(max_priority) + 1, Backlogged::default);
        for part in recovered {
            if let Some(lane) = lanes.lane(part.first) {
                *lane = Backlogged::recovered(part, all_redelivered);
            }
        }
        lanes
    }

    #[inline]
    fn lane(&mut self, seq: Seq) -> Option<&mut Backlogged> {
        match self.lanes.as_mut_slice() {
            [only] => Some(only),
            lanes => {
                let last = lanes.len().saturating_sub(1);
                lanes.get_mut(usize::from(lane_of(seq)).min(last))
            }
        }
    }

    /// The one that is delivered from, or the lowest when all are empty.
    #[inline]
    fn foremost(&mut self) -> Option<&mut Backlogged> {
        match self.lanes.as_mut_slice() {
            [only] => Some(only),
            lanes => {
                let index = lanes.iter().rposition(|lane| !lane.is_empty());
                lanes.get_mut(index.unwrap_or(0))
            }
        }
    }

    #[inline]
    pub fn len(&self) -> u64 {
        if let [only] = self.lanes.as_slice() {
            return only.len();
        }
        self.lanes.iter().map(Backlogged::len).sum()
    }

    /// Places that moves have taken and not yet filled.
    pub fn reserved(&self) -> u64 {
        self.lanes.iter().map(Backlogged::reserved).sum()
    }

    pub fn reserved_bytes(&self) -> u64 {
        self.reserved_bytes
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        if let [only] = self.lanes.as_slice() {
            return only.is_empty();
        }
        self.lanes.iter().all(Backlogged::is_empty)
    }

    #[inline]
    pub fn pages(&mut self, seq: Seq) -> bool {
        self.lane(seq).is_some_and(|lane| lane.pages())
    }

    pub fn pages_transient(&mut self, seq: Seq, pressed: bool) -> bool {
        self.lane(seq)
            .is_some_and(|lane| lane.pages_transient(pressed))
    }

    #[inline]
    pub fn push(&mut self, entry: Entry) {
        self.bytes += entry.body.length();
        if let Some(lane) = self.lane(entry.seq) {
            lane.push(entry);
        }
    }

    pub fn written(&mut self, upto: Seq) {
        if let Some(lane) = self.lane(upto) {
            lane.written(upto);
        }
    }

    pub fn front(&mut self) -> Front {
        self.foremost().map_or(Front::Empty, Backlogged::front)
    }

    /// After `front` has said that it is here.
    pub fn first(&mut self) -> Option<&Entry> {
        self.foremost()?.first()
    }

    /// Where to read on, should a part that is only on disk be wanted soon.
    pub fn wants_page(&self) -> Option<Seq> {
        self.lanes.iter().rev().find_map(Backlogged::wants_page)
    }

    /// Messages that nobody has looked at since the start may be due to expire.
    pub fn has_unseen_expiry(&self) -> bool {
        self.unseen_expiry
    }

    #[inline]
    pub fn pop(&mut self) -> Option<Entry> {
        let entry = self.foremost()?.pop()?;
        self.bytes = self.bytes.saturating_sub(entry.body.length());
        Some(entry)
    }

    pub fn passed(&mut self, seq: Seq) {
        if let Some(lane) = self.lane(seq) {
            lane.passed(seq);
        }
    }

    pub fn unpop(&mut self, entry: Entry) {
        self.bytes += entry.body.length();
        if let Some(lane) = self.lane(entry.seq) {
            lane.unpop(entry);
        }
    }

    pub fn page_requested(&mut self, from: Seq) {
        if let Some(lane) = self.lane(from) {
            lane.page_requested();
        }
    }

    pub fn paged_in(&mut self, from: Seq, messages: Vec<Stored>) {
        self.unseen_expiry = false;
        if let Some(lane) = self.lane(from) {
            lane.paged_in(messages);
        }
        self.settle_bytes();
    }

    pub fn bodies_in(&mut self, asked: &[Seq], messages: Vec<Stored>) {
        let Some(first) = asked.first() else { return };
        if let Some(lane) = self.lane(*first) {
            lane.bodies_in(asked, messages);
        }
        self.settle_bytes();
    }

    /// What the store no longer had was counted; when nothing is left, that is known again.
    fn settle_bytes(&mut self) {
        if self.is_empty() {
            self.bytes = 0;
        }
    }

    pub fn reserve(&mut self, seq: Seq, length: u64) {
        self.reserved_bytes += length;
        if let Some(lane) = self.lane(seq) {
            lane.reserve(seq);
        }
    }

    pub fn reveal(&mut self, entry: Entry) {
        let length = entry.body.length();
        self.reserved_bytes = self.reserved_bytes.saturating_sub(length);
        self.bytes += length;
        if let Some(lane) = self.lane(entry.seq) {
            lane.reveal(entry);
        }
    }

    /// In the order of their numbers.
    pub fn take_back(&mut self, mut entries: Vec<Entry>) {
        self.bytes += entries.iter().map(|entry| entry.body.length()).sum::<u64>();
        // From behind, so that what is split off each time is the smaller part.
        while let Some(last) = entries.last().map(|entry| entry.seq) {
            let start = entries.partition_point(|entry| lane_of(entry.seq) < lane_of(last));
            let own = entries.split_off(start);
            if let Some(lane) = self.lane(last) {
                lane.take_back(own);
            }
        }
    }

    pub fn clear(&mut self) -> Purged {
        self.bytes = 0;
        let mut all = Purged::default();
        for lane in &mut self.lanes {
            let purged = lane.clear();
            all.messages += purged.messages;
            all.stored.extend(purged.stored);
            all.paged.extend(purged.paged);
        }
        all
    }

    pub fn redelivered_in_store(&self) -> Vec<Seq> {
        let lanes = self.lanes.iter();
        lanes.flat_map(Backlogged::redelivered_in_store).collect()
    }
}
