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

    /// Publishes that are not resolved.
    pub fn open(&self) -> usize {
        self.open.len()
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

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: u16 = 7;

    fn after(count: u64) -> Confirms {
        let mut confirms = Confirms::default();
        (1..=count).for_each(|publish| assert_eq!(confirms.number(), publish));
        confirms
    }

    fn written(confirms: &mut Confirms) -> Vec<u8> {
        let mut out = Vec::new();
        confirms.write(CHANNEL, &mut out);
        out
    }

    fn frames(expected: &[(u64, bool, bool)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (upto, multiple, acked) in expected {
            match acked {
                true => write::ack(&mut out, CHANNEL, *upto, *multiple),
                false => write::nack(&mut out, CHANNEL, *upto, *multiple, false),
            }
        }
        out
    }

    #[test]
    fn neighbours_share_one_frame_and_one_alone_is_not_multiple() {
        let mut confirms = after(4);
        assert!(!confirms.has_news());
        (1..=3).for_each(|publish| confirms.resolve(publish, true));
        assert_eq!(written(&mut confirms), frames(&[(3, true, true)]));
        confirms.resolve(4, true);
        assert_eq!(written(&mut confirms), frames(&[(4, false, true)]));
        assert!(!confirms.has_news());
    }

    #[test]
    fn a_confirm_waits_for_those_before_it() {
        let mut confirms = after(3);
        confirms.resolve(3, true);
        confirms.resolve(2, true);
        assert!(!confirms.has_news());
        confirms.resolve(1, true);
        assert_eq!(written(&mut confirms), frames(&[(3, true, true)]));
    }

    #[test]
    fn a_nack_speaks_for_no_acked_publish() {
        let mut confirms = after(5);
        for (publish, ok) in [(5, true), (4, false), (3, false), (2, true), (1, true)] {
            confirms.resolve(publish, ok);
        }
        let expected = [(2, true, true), (4, true, false), (5, false, true)];
        assert_eq!(written(&mut confirms), frames(&expected));
    }

    #[test]
    fn a_publish_is_confirmed_once_and_an_unknown_one_never() {
        let mut confirms = after(2);
        confirms.resolve(1, true);
        confirms.resolve(1, false);
        confirms.resolve(0, true);
        confirms.resolve(3, true);
        assert_eq!(written(&mut confirms), frames(&[(1, false, true)]));
        assert_eq!(confirms.number(), 3);
        confirms.resolve(2, true);
        assert_eq!(written(&mut confirms), frames(&[(2, false, true)]));
    }
}
