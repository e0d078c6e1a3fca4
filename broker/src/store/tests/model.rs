//! Random work against a plain map: after every restart the store holds what the map holds.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::clock::Expiry;

use super::*;

type Model = BTreeMap<(QueueId, Seq), Vec<u8>>;

struct World {
    random: StdRng,
    model: Model,
    next: [Seq; 2],
}

impl World {
    fn queue(&mut self) -> (usize, QueueId) {
        let index = self.random.random_range(0..2);
        (index, [Q, OTHER][index])
    }

    fn body(&mut self) -> Vec<u8> {
        let length = match self.random.random_range(0..100) {
            0 => 40_000,
            1..4 => 6_000,
            _ => self.random.random_range(0..300),
        };
        vec![self.random.random(); length]
    }

    fn pick(&mut self, queue: QueueId) -> Vec<Seq> {
        let of_queue = self.model.range((queue, 0)..=(queue, Seq::MAX));
        let seqs: Vec<Seq> = of_queue.map(|((_, seq), _)| *seq).collect();
        let share = self.random.random_range(0.0..0.6);
        let head = self.random.random_range(0..=seqs.len());
        let chosen = seqs.into_iter().take(head);
        chosen.filter(|_| self.random.random_bool(share)).collect()
    }

    fn step(&mut self, run: &Run) {
        let (index, queue) = self.queue();
        match self.random.random_range(0..100) {
            0..70 => self.publish(run, index),
            70..85 => {
                let seqs = self.pick(queue);
                run.store.settle(queue, &seqs);
                seqs.iter()
                    .for_each(|seq| drop(self.model.remove(&(queue, *seq))));
            }
            85..90 => {
                let seqs = self.pick(queue);
                run.store.remove(queue, &seqs);
                seqs.iter()
                    .for_each(|seq| drop(self.model.remove(&(queue, *seq))));
            }
            90..95 => self.dead_letter(run, queue),
            95 => {
                let last = self.random.random_range(0..=self.next[index]);
                let first = self.random.random_range(0..=last);
                self.model
                    .retain(|(of, seq), _| *of != queue || !(first..=last).contains(seq));
                run.store.purge_range(queue, first, last);
            }
            96..98 => run.settle_down(),
            _ => self.compare(run),
        }
    }

    fn publish(&mut self, run: &Run, index: usize) {
        let body = self.body();
        let message = message(&body);
        let both = self.random.random_bool(0.3);
        for (at, queue) in [Q, OTHER].into_iter().enumerate() {
            if at != index && !both {
                continue;
            }
            self.next[at] += 1 + u64::from(self.random.random_bool(0.1)) * 50;
            let seq = self.next[at];
            self.model.insert((queue, seq), body.clone());
            run.store.append(Append {
                queue,
                seq,
                message: Arc::clone(&message),
                persistent: true,
                expires: Expiry::NEVER,
                confirm: None,
            });
        }
    }

    fn dead_letter(&mut self, run: &Run, from: QueueId) {
        let seqs = self.pick(from);
        let to = if from == Q { OTHER } else { Q };
        let index = usize::from(to == OTHER);
        let mut change = Move::default();
        for seq in seqs.into_iter().take(20) {
            let Some(body) = self.model.remove(&(from, seq)) else {
                continue;
            };
            self.next[index] += 1;
            change.settles.push((from, seq));
            change.appends.push(Append {
                queue: to,
                seq: self.next[index],
                message: message(&body),
                persistent: true,
                expires: Expiry::NEVER,
                confirm: None,
            });
            self.model.insert((to, self.next[index]), body);
        }
        run.store.commit(change);
    }

    fn compare(&self, run: &Run) {
        run.settle_down();
        for queue in [Q, OTHER] {
            let expected: Vec<_> = self
                .model
                .range((queue, 0)..=(queue, Seq::MAX))
                .map(|((_, seq), body)| (*seq, body.clone()))
                .collect();
            let found = run.load_all(queue);
            assert!(found == expected, "queue {queue:?} differs");
        }
    }

    fn compare_recovered(&self, run: &Run) {
        for queue in [Q, OTHER] {
            let of_queue = || self.model.range((queue, 0)..=(queue, Seq::MAX));
            let expected = of_queue().next().map(|((_, first), _)| Backlog {
                messages: of_queue().count() as u64,
                bytes: of_queue().map(|(_, body)| body.len() as u64).sum(),
                first: *first,
                last: of_queue().next_back().map_or(0, |((_, seq), _)| *seq),
                expiring: false,
            });
            assert_eq!(
                run.recovered.backlogs.get(&queue).map(|lanes| lanes[0]),
                expected
            );
        }
    }
}

fn live(seed: u64) {
    let folder = Folder::new();
    let mut world = World {
        random: StdRng::seed_from_u64(seed),
        model: Model::new(),
        next: [0; 2],
    };
    for round in 0..6 {
        let run = Run::start(&folder);
        world.compare_recovered(&run);
        for _ in 0..600 {
            world.step(&run);
        }
        world.compare(&run);
        let settled: Vec<Seq> = world.pick(Q);
        run.store.settle(Q, &settled);
        settled
            .iter()
            .for_each(|seq| drop(world.model.remove(&(Q, *seq))));
        if round % 2 == 0 {
            run.store.close().unwrap();
        } else {
            run.settle_down();
        }
    }
    let run = Run::start(&folder);
    for queue in [Q, OTHER] {
        run.store.purge_range(queue, 0, Seq::MAX - 1);
    }
    world.model.clear();
    world.compare(&run);
    let disk = run.store.disk();
    let deadline = Instant::now() + PATIENCE;
    while disk.entries.len().unwrap() > 0 {
        assert!(Instant::now() < deadline, "not swept");
        std::thread::yield_now();
    }
    assert_eq!(disk.bodies.len().unwrap() + disk.holders.len().unwrap(), 0);
    assert_eq!(disk.packs.len().unwrap(), 0);
}

#[test]
fn random_work_matches_the_model() {
    for seed in 1..=8 {
        live(seed);
    }
}
