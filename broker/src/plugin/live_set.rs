//! Which instances of one plugin are live, so that there are not too many. Not how they are
//! rebuilt (see `instance`).

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::instance::Instance;

pub(super) struct LiveSet {
    max: usize,
    members: Mutex<Vec<Weak<Instance>>>,
}

impl LiveSet {
    pub fn new(max: usize) -> LiveSet {
        LiveSet {
            max,
            members: Mutex::new(Vec::new()),
        }
    }

    /// Makes room for `newcomer`, whose seat the caller may hold: other seats are only tried,
    /// never waited for. Returns how many had to go; when all others are busy, none does.
    pub fn admit(&self, newcomer: &Arc<Instance>) -> u64 {
        // Upgraded for the comparison, and dropped only after the lock is gone: the last owner of
        // an instance frees its memory.
        let mut alive = Vec::new();
        let mut evicted = 0;
        let mut members = self.members.lock();
        members.retain(|member| match member.upgrade() {
            Some(instance) if !Arc::ptr_eq(&instance, newcomer) => {
                let live = instance.is_live();
                alive.push(instance);
                live
            }
            Some(_) | None => false,
        });
        if members.len() >= self.max {
            alive.sort_by_key(|instance| instance.last_used());
            for instance in &alive {
                if members.len() < self.max {
                    break;
                }
                if instance.is_live() && instance.give_up() {
                    evicted += 1;
                    members.retain(|member| !std::ptr::eq(member.as_ptr(), Arc::as_ptr(instance)));
                }
            }
        }
        members.push(Arc::downgrade(newcomer));
        drop(members);
        evicted
    }

    pub fn live(&self) -> usize {
        let members = self.members.lock().clone();
        members
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|instance| instance.is_live())
            .count()
    }
}
