//! Who published, confirmed, delivered and acknowledged what, and what was wrong with it. Pure: data
//! in, counts out; no socket, no clock of its own.

use std::time::Duration;

/// One publish. Every attempt is a message of its own: nothing is published a second time.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// One bit for each queue it goes to.
    route: u8,
    confirmed: bool,
    delay: Duration,
    published: Duration,
}

/// What one queue has shown of one publisher's message.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The round of the last delivery, counted from 1; 0 is never.
    round: u16,
    acked: bool,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    seen: Vec<Seen>,
    /// One more than the highest number that was delivered, ever and in this round.
    ever: u64,
    in_round: u64,
}

/// The counts that are printed. All of the second group must be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub rounds: u64,
    pub published: u64,
    pub confirmed: u64,
    pub delivered: u64,
    pub flagged_duplicates: u64,
    pub min_confirm: Option<Duration>,

    /// Confirmed, in one of its queues, and never acknowledged there.
    pub lost: u64,
    pub unflagged_duplicates: u64,
    /// Delivered again although neither broker nor consumer had gone in between.
    pub repeated: u64,
    /// Behind a later message of the same publisher in the same queue.
    pub out_of_order: u64,
    /// Never published, published to another queue, or not with this body.
    pub unexpected: u64,
    pub early: u64,
    /// By how much, at worst.
    pub early_by: Duration,
    pub nacked: u64,
}

impl Report {
    pub fn faults(&self) -> u64 {
        self.lost
            + self.unflagged_duplicates
            + self.repeated
            + self.out_of_order
            + self.unexpected
            + self.early
            + self.nacked
    }
}

pub struct Ledger {
    attempts: Vec<Vec<Attempt>>,
    /// By queue, then by publisher.
    streams: Vec<Vec<Stream>>,
    ordered: bool,
    round: u16,
    counts: Report,
}

impl Ledger {
    /// `ordered`: messages come in the order they were published, which delayed ones do not.
    pub fn new(publishers: usize, queues: usize, ordered: bool) -> Ledger {
        Ledger {
            attempts: vec![Vec::new(); publishers],
            streams: vec![vec![Stream::default(); publishers]; queues],
            ordered,
            round: 1,
            counts: Report::default(),
        }
    }

    /// How many this publisher has published: the number of its next message.
    pub fn next(&self, publisher: usize) -> u64 {
        self.attempts[publisher].len() as u64
    }

    /// To be called before the message is written to the socket.
    pub fn publish(&mut self, publisher: usize, route: u8, delay: Duration, at: Duration) -> u64 {
        let number = self.next(publisher);
        self.attempts[publisher].push(Attempt {
            route,
            confirmed: false,
            delay,
            published: at,
        });
        self.counts.published += 1;
        number
    }

    pub fn confirm(&mut self, publisher: usize, number: u64, at: Duration) {
        let Some(attempt) = self.attempts[publisher].get_mut(number as usize) else {
            self.counts.unexpected += 1;
            return;
        };
        if std::mem::replace(&mut attempt.confirmed, true) {
            self.counts.unexpected += 1;
            return;
        }
        self.counts.confirmed += 1;
        let taken = at.saturating_sub(attempt.published);
        let fastest = self.counts.min_confirm.unwrap_or(taken);
        self.counts.min_confirm = Some(fastest.min(taken));
    }

    pub fn nack(&mut self) {
        self.counts.nacked += 1;
    }

    /// A delivery that carries no message of ours.
    pub fn garbage(&mut self) {
        self.counts.unexpected += 1;
    }

    pub fn deliver(
        &mut self,
        queue: usize,
        publisher: usize,
        number: u64,
        redelivered: bool,
        at: Duration,
    ) {
        self.counts.delivered += 1;
        let attempts = self.attempts.get(publisher);
        let attempt = attempts.and_then(|attempts| attempts.get(number as usize));
        let Some(attempt) = attempt.filter(|attempt| attempt.route & (1 << queue) != 0) else {
            self.counts.unexpected += 1;
            return;
        };
        let due = attempt.published + attempt.delay;
        if at < due {
            self.counts.early += 1;
            self.counts.early_by = self.counts.early_by.max(due - at);
        }
        let stream = &mut self.streams[queue][publisher];
        let place = number as usize;
        if stream.seen.len() <= place {
            stream.seen.resize(place + 1, Seen::default());
        }
        let before = std::mem::replace(&mut stream.seen[place].round, self.round);
        if before == 0 {
            // What comes for the first time comes in order, over all rounds.
            let late = number < stream.ever;
            stream.ever = stream.ever.max(number + 1);
            self.counts.out_of_order += u64::from(late && self.ordered);
        } else if before == self.round {
            self.counts.repeated += 1;
        } else if redelivered {
            self.counts.flagged_duplicates += 1;
        } else {
            self.counts.unflagged_duplicates += 1;
        }
        // And within a round old and new ones are in order together.
        if before != 0 && number < stream.in_round && self.ordered {
            self.counts.out_of_order += 1;
        }
        stream.in_round = stream.in_round.max(number + 1);
    }

    /// To be called before the acknowledgement is written: from here on the broker may forget it.
    pub fn ack(&mut self, queue: usize, publisher: usize, number: u64) {
        if let Some(seen) = self.streams[queue][publisher].seen.get_mut(number as usize) {
            seen.acked = true;
        }
    }

    /// The broker was killed and all connections with it.
    pub fn next_round(&mut self) {
        self.round += 1;
        self.counts.rounds += 1;
        for stream in self.streams.iter_mut().flatten() {
            stream.in_round = 0;
        }
    }

    /// Confirmed and in one of its queues not acknowledged: as long as the broker holds them, they
    /// are still to come; after the last one came, they are lost.
    pub fn missing(&self) -> u64 {
        let mut missing = 0;
        for (queue, streams) in self.streams.iter().enumerate() {
            for (attempts, stream) in self.attempts.iter().zip(streams) {
                missing += attempts
                    .iter()
                    .enumerate()
                    .filter(|(_, attempt)| attempt.confirmed && attempt.route & (1 << queue) != 0)
                    .filter(|(place, _)| !stream.seen.get(*place).is_some_and(|seen| seen.acked))
                    .count() as u64;
            }
        }
        missing
    }

    pub fn report(&self) -> Report {
        Report {
            lost: self.missing(),
            ..self.counts
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(10);
    const BOTH: u8 = 0b11;

    /// One publisher, two queues, three confirmed messages to both.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(1, 2, true);
        for number in 0..3 {
            assert_eq!(ledger.publish(0, BOTH, Duration::ZERO, NOW), number);
            ledger.confirm(0, number, NOW + Duration::from_millis(7 + number));
        }
        ledger
    }

    fn take(ledger: &mut Ledger, queue: usize, numbers: &[u64], redelivered: bool) {
        for number in numbers {
            ledger.deliver(queue, 0, *number, redelivered, NOW);
            ledger.ack(queue, 0, *number);
        }
    }

    #[test]
    fn what_came_everywhere_in_order_is_without_fault() {
        let mut ledger = ledger();
        take(&mut ledger, 0, &[0, 1, 2], false);
        take(&mut ledger, 1, &[0, 1, 2], false);
        let report = ledger.report();
        assert_eq!(report.faults(), 0, "{report:?}");
        assert_eq!(
            (report.published, report.confirmed, report.delivered),
            (3, 3, 6)
        );
        assert_eq!(report.min_confirm, Some(Duration::from_millis(7)));
    }

    #[test]
    fn a_confirmed_message_that_one_queue_never_gave_is_lost() {
        let mut ledger = ledger();
        take(&mut ledger, 0, &[0, 1, 2], false);
        take(&mut ledger, 1, &[0, 2], false);
        assert_eq!(ledger.report().lost, 1);
    }

    #[test]
    fn a_delivery_without_acknowledgement_must_come_again() {
        let mut ledger = ledger();
        take(&mut ledger, 0, &[0, 1, 2], false);
        take(&mut ledger, 1, &[0, 1], false);
        ledger.deliver(1, 0, 2, false, NOW);
        ledger.next_round();
        assert_eq!(ledger.report().lost, 1);
        take(&mut ledger, 1, &[2], true);
        let report = ledger.report();
        assert_eq!((report.lost, report.flagged_duplicates), (0, 1));
        assert_eq!(report.faults(), 0);
    }

    #[test]
    fn an_unconfirmed_message_may_come_or_not() {
        let mut ledger = Ledger::new(1, 1, true);
        ledger.publish(0, 1, Duration::ZERO, NOW);
        ledger.publish(0, 1, Duration::ZERO, NOW);
        assert_eq!(ledger.report().faults(), 0);
        take(&mut ledger, 0, &[1], false);
        assert_eq!(ledger.report().faults(), 0);
    }

    #[test]
    fn a_second_delivery_needs_the_flag_and_a_restart() {
        let mut ledger = ledger();
        take(&mut ledger, 0, &[0], false);
        ledger.deliver(0, 0, 0, true, NOW);
        assert_eq!(ledger.report().repeated, 1);
        ledger.next_round();
        ledger.deliver(0, 0, 0, false, NOW);
        assert_eq!(ledger.report().unflagged_duplicates, 1);
    }

    #[test]
    fn order_is_kept_by_first_deliveries_and_within_a_round() {
        let mut swapped = ledger();
        take(&mut swapped, 0, &[1, 0], false);
        assert_eq!(swapped.report().out_of_order, 1);

        let mut after_a_restart = ledger();
        take(&mut after_a_restart, 0, &[0, 1], false);
        after_a_restart.next_round();
        take(&mut after_a_restart, 0, &[0, 1], true);
        take(&mut after_a_restart, 0, &[2], false);
        assert_eq!(after_a_restart.report().out_of_order, 0);

        let mut old_behind_new = ledger();
        take(&mut old_behind_new, 0, &[0, 1], false);
        old_behind_new.next_round();
        take(&mut old_behind_new, 0, &[2], false);
        take(&mut old_behind_new, 0, &[1], true);
        assert_eq!(old_behind_new.report().out_of_order, 1);

        let mut filled_in_later = ledger();
        take(&mut filled_in_later, 0, &[0, 2], false);
        filled_in_later.next_round();
        take(&mut filled_in_later, 0, &[1], true);
        assert_eq!(filled_in_later.report().out_of_order, 1);
    }

    #[test]
    fn a_message_of_another_queue_or_of_nobody_is_unexpected() {
        let mut ledger = Ledger::new(1, 2, true);
        ledger.publish(0, 0b01, Duration::ZERO, NOW);
        ledger.deliver(1, 0, 0, false, NOW);
        ledger.deliver(0, 0, 1, false, NOW);
        ledger.deliver(0, 7, 0, false, NOW);
        ledger.confirm(0, 9, NOW);
        assert_eq!(ledger.report().unexpected, 4);
    }

    #[test]
    fn a_delayed_message_is_early_before_its_time_and_has_no_order() {
        let mut ledger = Ledger::new(1, 1, false);
        let delay = Duration::from_millis(500);
        ledger.publish(0, 1, delay, NOW);
        ledger.publish(0, 1, Duration::ZERO, NOW);
        ledger.deliver(0, 0, 1, false, NOW);
        ledger.deliver(0, 0, 0, false, NOW + delay - Duration::from_micros(1));
        let report = ledger.report();
        assert_eq!((report.early, report.out_of_order), (1, 0));
        assert_eq!(report.early_by, Duration::from_micros(1));
    }
}
