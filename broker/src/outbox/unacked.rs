//! What was delivered and not acknowledged: how it is taken out again. Not how it got in (see
//! `Outbox::deliver`).

use std::sync::Weak;

use super::{ChannelLook, NO_QUEUE, Outbox, Place, Unacked};
use crate::confirms::Confirms;
use crate::names::{QueueId, Seq};

impl Outbox {
    /// What waits for the socket.
    pub fn waiting_bytes(&self) -> usize {
        self.state.lock().bytes.len()
    }

    /// None when the channel is gone, or another one has its number.
    pub fn look_at(&self, channel: u16, incarnation: u64) -> Option<ChannelLook> {
        let state = self.state.lock();
        let slot = state.channels.get(usize::from(channel));
        let out = slot.and_then(Option::as_ref);
        let out = out.filter(|out| out.incarnation == incarnation)?;
        Some(ChannelLook {
            unacked: out.unacked.len(),
            unconfirmed: out.confirms.as_ref().map_or(0, Confirms::open),
            prefetch: out.prefetch,
            deliveries: out.deliveries,
        })
    }

    /// Takes what an acknowledgement names; `None` when the tag is unknown.
    /// Tag 0 with `multiple` means everything.
    pub fn take_unacked(&self, channel: u16, tag: u64, multiple: bool) -> Option<Vec<Unacked>> {
        let mut state = self.state.lock();
        let out = state
            .channels
            .get_mut(usize::from(channel))
            .and_then(Option::as_mut)?;
        let taken: Vec<Unacked> = if multiple && tag == 0 {
            out.unacked.drain(..).collect()
        } else {
            let index = out
                .unacked
                .binary_search_by_key(&tag, |unacked| unacked.tag)
                .ok()?;
            if multiple {
                out.unacked.drain(..=index).collect()
            } else {
                out.unacked.remove(index).into_iter().collect()
            }
        };
        let counted = taken
            .iter()
            .filter(|unacked| unacked.consumer.is_some())
            .count() as u32;
        out.prefetch_used = out.prefetch_used.saturating_sub(counted);
        Some(taken)
    }

    /// Takes deliveries out of their consumer's hands. Their tags stay: an acknowledgement that comes
    /// too late settles nothing, and is no mistake.
    pub fn take_back(
        &self,
        channel: u16,
        incarnation: u64,
        queue: QueueId,
        seqs: &[Seq],
    ) -> Vec<Unacked> {
        let mut state = self.state.lock();
        let slot = state.channels.get_mut(usize::from(channel));
        let same = slot
            .and_then(Option::as_mut)
            .filter(|out| out.incarnation == incarnation);
        let Some(out) = same else { return Vec::new() };
        let mut sorted = seqs.to_vec();
        sorted.sort_unstable();
        let mut taken = Vec::with_capacity(seqs.len());
        for unacked in &mut out.unacked {
            if unacked.queue == queue && sorted.binary_search(&unacked.seq).is_ok() {
                let nobody = Unacked {
                    queue: NO_QUEUE,
                    consumer: None,
                    place: Place::Store(Weak::new()),
                    ..unacked.clone()
                };
                taken.push(std::mem::replace(unacked, nobody));
            }
        }
        let counted = taken.iter().filter(|one| one.consumer.is_some()).count() as u32;
        out.prefetch_used = out.prefetch_used.saturating_sub(counted);
        taken
    }

    /// basic.recover: everything that is unacknowledged on the channel.
    pub fn take_all_unacked(&self, channel: u16) -> Vec<Unacked> {
        let mut state = self.state.lock();
        let slot = state.channels.get_mut(usize::from(channel));
        let Some(out) = slot.and_then(Option::as_mut) else {
            return Vec::new();
        };
        out.prefetch_used = 0;
        out.unacked.drain(..).collect()
    }

    /// Undoes `take_unacked` for a transaction that was rolled back.
    pub fn put_back_unacked(&self, channel: u16, unacked: Vec<Unacked>) {
        let mut state = self.state.lock();
        let slot = state.channels.get_mut(usize::from(channel));
        let Some(out) = slot.and_then(Option::as_mut) else {
            return;
        };
        out.prefetch_used += unacked.iter().filter(|one| one.consumer.is_some()).count() as u32;
        out.unacked.extend(unacked);
        out.unacked
            .make_contiguous()
            .sort_unstable_by_key(|unacked| unacked.tag);
    }
}
