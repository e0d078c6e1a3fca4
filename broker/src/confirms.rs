//! Publisher confirms of one channel: numbers publishes and turns what is resolved into as few
//! basic.ack and basic.nack frames as possible. Pure; when a publish is safe is the store's word.
//!
//! Confirms go out in publish order: a client cannot tell that from a broker whose later writes
//! finish later, and it lets one `multiple` frame speak for a whole batch.

use std::collections::VecDeque;

use crate::amqp::write;

#[derive(Default)]
pub struct Confirms {
    /// Number of the last publish; the first is 1.
    last: u64,
    /// Every publish up to here has been resolved and is in `ready` or was sent.
    resolved: u64,
    /// What became of the publishes after `resolved`.
    open: VecDeque<Fate>,
    ready: VecDeque<Run>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Acked,
    Nacked,
}

/// Publishes up to `upto` that share one fate and can go in one frame.
struct Run {
    upto: u64,
    count: u64,
    acked: bool,
}

impl Confirms {
    pub fn number(&mut self) -> u64 {
        self.last += 1;
        self.open.push_back(Fate::Open);
        self.last
    }

    pub fn resolve(&mut self, publish: u64, ok: bool) {
        let Some(index) = publish.checked_sub(self.resolved + 1) else {
            return;
        };
        if let Some(fate) = self.open.get_mut(index as usize) {
            *fate = if ok { Fate::Acked } else { Fate::Nacked };
        }
        if index == 0 {
            self.advance();
        }
    }

    fn advance(&mut self) {
        while let Some(fate) = self.open.front() {
            let acked = match fate {
                Fate::Open => return,
                Fate::Acked => true,
                Fate::Nacked => false,
            };
            self.open.pop_front();
            self.resolved += 1;
            match self.ready.back_mut() {
                Some(run) if run.acked == acked => {
                    run.upto = self.resolved;
                    run.count += 1;
                }
                Some(_) | None => {
                    self.ready.push_back(Run {
                        upto: self.resolved,
                        count: 1,
                        acked,
                    });
                }
            }
        }
    }

    pub fn has_news(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Writes what is resolved and was not sent yet.
    pub fn write(&mut self, channel: u16, out: &mut Vec<u8>) {
        for run in self.ready.drain(..) {
            let multiple = run.count > 1;
            if run.acked {
                write::ack(out, channel, run.upto, multiple);
            } else {
                write::nack(out, channel, run.upto, multiple, false);
            }
        }
    }
}
