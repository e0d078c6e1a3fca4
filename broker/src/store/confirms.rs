//! What is owed to publishers, gathered per channel. Not when it may be paid (see `commit.rs`, and
//! `queue/unwritten.rs` for what never came to the store).

use std::sync::Arc;

use hashbrown::HashMap;

use super::{Confirm, ConfirmSink};

#[derive(Default)]
pub struct ConfirmBatch {
    open: Vec<Confirm>,
    sinks: Vec<(Arc<dyn ConfirmSink>, Vec<u64>)>,
    by_sink: HashMap<usize, usize, foldhash::fast::RandomState>,
    spare: Vec<Vec<u64>>,
}

/// More spare lists than this are not kept.
const SPARE: usize = 256;

impl ConfirmBatch {
    pub fn owe(&mut self, confirm: Confirm) {
        self.open.push(confirm);
    }

    /// Places, not publishes: one that went to two queues counts twice.
    pub(super) fn places(&self) -> u64 {
        self.open.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Tells every sink once.
    pub fn resolve(&mut self) {
        let mut last: Option<(usize, usize)> = None;
        for confirm in self.open.drain(..) {
            let Some((sink, publish)) = confirm.resolve() else {
                continue;
            };
            let name = Arc::as_ptr(&sink).cast::<()>() as usize;
            let index = match last {
                Some((known, index)) if known == name => index,
                Some(_) | None => *self.by_sink.entry(name).or_insert_with(|| {
                    let publishes = self.spare.pop().unwrap_or_default();
                    self.sinks.push((sink, publishes));
                    self.sinks.len() - 1
                }),
            };
            last = Some((name, index));
            if let Some((_, publishes)) = self.sinks.get_mut(index) {
                publishes.push(publish);
            }
        }
        self.by_sink.clear();
        for (sink, mut publishes) in self.sinks.drain(..) {
            sink.confirmed(&publishes);
            publishes.clear();
            if self.spare.len() < SPARE {
                self.spare.push(publishes);
            }
        }
    }

    pub(super) fn forget(&mut self) {
        self.open.clear();
    }
}
