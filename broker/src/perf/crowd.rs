//! Many connections of few threads: idle ones, and such that each send a message to a queue of
//! their own and read it again, in turn. Not for the highest rate of one connection.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::client::{CHANNEL, Client};
use super::consumer::consume;
use super::deliveries::Deliveries;
use super::topology::declaration;
use crate::amqp::write;

/// Enough to keep a broker of a few cores busy with handshakes.
const THREADS: usize = 4;

const BODY: [u8; 16] = [0; 16];

/// Open connections, by the thread that opened them.
pub struct Crowd {
    members: Vec<Vec<Member>>,
}

struct Member {
    client: Client,
    queue: String,
    deliveries: Deliveries,
}

/// As many descriptors as this process may have.
pub fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What is missing is told by the connection that cannot be opened.
    let _ = setrlimit(Resource::Nofile, limit);
}

impl Crowd {
    pub fn connect(uri: &str, count: usize, name: &str) -> Result<Crowd> {
        let share = |thread| (thread..count).step_by(THREADS);
        let members = on_threads((0..THREADS).collect(), |thread| {
            share(thread)
                .map(|place| {
                    let client = Client::connect(uri)?;
                    let deliveries = Deliveries::new(0, client.frame_max, 0);
                    let queue = format!("{name}.{place}");
                    Ok(Member {
                        client,
                        queue,
                        deliveries,
                    })
                })
                .collect()
        })?;
        Ok(Crowd { members })
    }

    /// An exclusive queue and a consumer for each.
    pub fn prepare(&mut self) -> Result<()> {
        on_threads(self.members.iter_mut().collect(), |members| {
            for Member { client, queue, .. } in members {
                client.pipeline([declaration(queue, false, true)].into_iter())?;
                consume(client, queue, true)?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Messages that went round until the time was over.
    pub fn go_round(&mut self, duration: Duration) -> Result<u64> {
        let end = Instant::now() + duration;
        let counts = on_threads(self.members.iter_mut().collect(), |members| {
            let mut count = 0;
            while Instant::now() < end && !members.is_empty() {
                for member in members.iter_mut() {
                    member.publish()?;
                }
                for member in members.iter_mut() {
                    count += member.receive()?;
                }
            }
            Ok(count)
        })?;
        Ok(counts.into_iter().sum())
    }

    pub fn close(self) -> Result<()> {
        on_threads(self.members, |members| {
            for member in members {
                member.client.close();
            }
            Ok(())
        })?;
        Ok(())
    }
}

impl Member {
    fn publish(&mut self) -> Result<()> {
        let mut out = Vec::new();
        let frame_max = self.client.frame_max;
        write::publish(
            &mut out,
            frame_max,
            CHANNEL,
            "",
            &self.queue,
            false,
            &[],
            &BODY,
        );
        self.client.stream.write_all(&out)?;
        Ok(())
    }

    fn receive(&mut self) -> Result<u64> {
        let Client { stream, inbox, .. } = &mut self.client;
        loop {
            let taken = self.deliveries.work_off(inbox.unread(), None)?;
            inbox.take(taken);
            match std::mem::take(&mut self.deliveries.consumed) {
                0 => {}
                consumed => return Ok(consumed),
            }
            if !inbox.fill(stream)? {
                bail!("a message did not come back");
            }
        }
    }
}

/// The same on a thread for each; their results in order.
fn on_threads<T: Send, R: Send>(
    inputs: Vec<T>,
    work: impl Fn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = inputs
            .into_iter()
            .map(|input| scope.spawn(move || work(input)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
            })
            .collect()
    })
}
