//! A publishing connection: one thread that writes prepared frames as fast as window and rate
//! allow, and reads confirms when there is nothing to write. Not the messages' way back (see
//! `consumer.rs`).

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use rustix::net::sockopt::set_socket_send_buffer_size;

use super::batch::Batch;
use super::client::{CALL_TIMEOUT, CHANNEL, Client, Inbox, POLL, not_closed};
use super::load::{Load, Phase};
use super::options::Options;
use super::report::new_histogram;
use super::socket;
use super::window::Window;
use crate::amqp::frame::FrameKind;
use crate::amqp::method::{self, Method};
use crate::amqp::{AMQPClass, basic, confirm};

/// More publishers than this get a bounded send buffer. What a thousand of them would leave in theirs,
/// 2 GiB where all run on one machine, is more than its kernel keeps for all sockets together
/// (`tcp_mem`): it drops segments of whoever is just sending, and the consumer waits for seconds.
const MANY: usize = 64;

/// Octets. Larger than a piece of the loopback.
const SEND_BUFFER: usize = 256 << 10;

/// At the head of a body: when it was to be written (8 octets) and by which run (8 octets).
pub const STAMP: usize = 16;

/// How long, once the load is over, we wait for the last confirms, and for a broker that takes
/// nothing of what is half written.
const LAST_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a publisher without confirms looks whether the broker closed its channel.
const LOOK: Duration = Duration::from_millis(50);

pub struct Publisher {
    client: Client,
    batch: Batch,
}

/// When which publish is due.
struct Pace {
    start: Duration,
    /// Messages a second; 0 is at once.
    rate: u64,
}

/// What is sent and not settled.
struct Pending<'a> {
    load: &'a Load<'a>,
    sent: u64,
    settled: u64,
    window: Window,
    /// Last tag, count and time of what was written at once.
    writes: VecDeque<Written>,
    latencies: Histogram<u64>,
}

struct Written {
    last: u64,
    count: u64,
    at: Duration,
}

impl Pace {
    /// How many messages may have been sent by now.
    fn due(&self, now: Duration) -> u64 {
        match self.rate {
            0 => u64::MAX,
            rate => {
                let elapsed = now.saturating_sub(self.start);
                (elapsed.as_secs_f64() * rate as f64) as u64 + 1
            }
        }
    }

    /// The time that a message is stamped with: when it was to be sent, if there is a rate, so that
    /// a publisher that was held up counts as latency what it was held up.
    fn time(&self, number: u64, now: Duration) -> Duration {
        match self.rate {
            0 => now,
            rate => self.start + Duration::from_secs_f64(number as f64 / rate as f64),
        }
    }
}

impl Publisher {
    pub fn connect(options: &Options, place: usize, run: u64) -> Result<Publisher> {
        let mut client = Client::connect(&options.uri)?;
        if options.publishers > MANY {
            set_socket_send_buffer_size(&client.stream, SEND_BUFFER)?;
        }
        if options.confirms > 0 {
            let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
            client.call(CHANNEL, AMQPClass::Confirm(select))?;
        }
        client.stream.set_read_timeout(Some(POLL))?;
        let batch = Batch::new(options, &options.routing_key(place), client.frame_max, run);
        Ok(Publisher { client, batch })
    }

    /// Publishes until the load is over; the time to confirm, per publish.
    pub fn run(mut self, load: &Load<'_>) -> Result<Histogram<u64>> {
        let mut pending = Pending {
            load,
            sent: 0,
            settled: 0,
            window: Window::default(),
            writes: VecDeque::new(),
            latencies: new_histogram(),
        };
        let published = self.publish(&mut pending);
        // A close that the broker sent says more than the broken pipe behind it.
        if let Err(error) = published {
            pending.read_all(&mut self.client)?;
            return Err(error);
        }
        self.settle(&mut pending)?;
        load.finished.fetch_add(1, Ordering::AcqRel);
        self.client.close();
        Ok(pending.latencies)
    }

    fn publish(&mut self, pending: &mut Pending<'_>) -> Result<()> {
        let load = pending.load;
        let options = load.options;
        let pace = Pace {
            start: load.clock(),
            rate: options.rate,
        };
        let mut looked = pace.start;
        while load.phase() == Phase::Load {
            let left = options.messages.map_or(u64::MAX, |all| all - pending.sent);
            if left == 0 {
                break;
            }
            let room = pending.room();
            if room == 0 {
                pending.read(&mut self.client)?;
                continue;
            }
            let now = load.clock();
            let due = pace.due(now).saturating_sub(pending.sent);
            if due == 0 {
                let next = pace.time(pending.sent, now).saturating_sub(now);
                if socket::wait(&self.client.stream, false, next.min(POLL))? {
                    pending.read(&mut self.client)?;
                }
                continue;
            }
            if now > looked + LOOK {
                looked = now;
                pending.read_what_is_there(&mut self.client)?;
            }
            let count = left.min(room).min(due).min(self.batch.len());
            let first = pending.sent;
            pending.remember(count, |number| pace.time(number, now));
            let octets = match pace.rate {
                0 => self.batch.first(count, now),
                _ => self
                    .batch
                    .timed(count, |place| pace.time(first + place, now)),
            };
            write(octets, &mut self.client, pending)?;
            load.published.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Waits for the last confirms, or for an answer behind the last publish.
    fn settle(&mut self, pending: &mut Pending<'_>) -> Result<()> {
        if pending.load.options.confirms == 0 {
            self.client.stream.set_read_timeout(Some(CALL_TIMEOUT))?;
            return self.client.barrier();
        }
        let end = Instant::now() + LAST_TIMEOUT;
        while pending.settled < pending.sent
            && Instant::now() < end
            && pending.load.phase() != Phase::Failed
        {
            pending.read(&mut self.client)?;
        }
        Ok(())
    }
}

/// All of it, reading confirms whenever there is no room.
fn write(octets: &[u8], client: &mut Client, pending: &mut Pending<'_>) -> Result<()> {
    let Client { stream, inbox, .. } = client;
    let mut rest = octets;
    let mut stuck = None;
    while !rest.is_empty() {
        match socket::write_now(stream, rest) {
            Ok(length) => {
                rest = rest.get(length..).unwrap_or_default();
                stuck = None;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if socket::wait(stream, true, POLL)? {
                    pending.read_from(inbox, stream)?;
                }
                let since = stuck.get_or_insert_with(Instant::now);
                if pending.load.phase() != Phase::Load && since.elapsed() > LAST_TIMEOUT {
                    bail!("the broker does not take what is published");
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Pending<'_> {
    /// How many more may be sent. A quarter of the window at least: a write for every confirm that
    /// comes alone would measure system calls.
    fn room(&self) -> u64 {
        let confirms = self.load.options.confirms;
        if confirms == 0 {
            return u64::MAX;
        }
        let open = self.sent - self.settled;
        match confirms.saturating_sub(open) {
            room if room >= (confirms / 4).max(1) || open == 0 => room,
            _ => 0,
        }
    }

    /// Before the write. A rate is kept message by message.
    fn remember(&mut self, count: u64, time: impl Fn(u64) -> Duration) {
        let first = self.sent;
        self.sent += count;
        if self.load.options.confirms == 0 {
            return;
        }
        if self.load.options.rate == 0 {
            self.writes.push_back(Written {
                last: self.sent,
                count,
                at: time(first),
            });
        } else {
            self.writes.extend((first..self.sent).map(|number| Written {
                last: number + 1,
                count: 1,
                at: time(number),
            }));
        }
    }

    /// Waits for frames, but not for long.
    fn read(&mut self, client: &mut Client) -> Result<()> {
        self.read_from(&mut client.inbox, &mut client.stream)
    }

    fn read_what_is_there(&mut self, client: &mut Client) -> Result<()> {
        match socket::wait(&client.stream, false, Duration::ZERO)? {
            true => self.read(client),
            false => Ok(()),
        }
    }

    fn read_all(&mut self, client: &mut Client) -> Result<()> {
        while socket::wait(&client.stream, false, Duration::ZERO)? {
            self.read(client)?;
        }
        Ok(())
    }

    fn read_from(&mut self, inbox: &mut Inbox, stream: &mut TcpStream) -> Result<()> {
        inbox.fill(stream)?;
        let mut settled = 0;
        while let Some(frame) = inbox.frame()? {
            if frame.kind == FrameKind::Method {
                settled += self.confirmed(method::parse(frame.payload)?)?;
            }
        }
        if settled > 0 {
            self.settled += settled;
            self.load.confirmed.fetch_add(settled, Ordering::Relaxed);
            self.record();
        }
        Ok(())
    }

    /// How many publishes a method settled.
    fn confirmed(&mut self, method: Method<'_>) -> Result<u64> {
        match method {
            Method::Ack {
                delivery_tag,
                multiple,
            } => Ok(self.window.settle(delivery_tag, multiple, self.sent)),
            Method::Nack {
                delivery_tag,
                multiple,
                ..
            } => {
                let settled = self.window.settle(delivery_tag, multiple, self.sent);
                self.load.nacked.fetch_add(settled, Ordering::Relaxed);
                Ok(settled)
            }
            Method::Other(class) => {
                if let AMQPClass::Basic(basic::AMQPMethod::Return(_)) = *class {
                    self.load.returned.fetch_add(1, Ordering::Relaxed);
                }
                not_closed(*class).map(|_| 0)
            }
            Method::Publish(_) | Method::Reject { .. } => Ok(0),
        }
    }

    /// What was written at once counts when all of it is confirmed.
    fn record(&mut self) {
        let now = self.load.clock();
        let base = self.window.base();
        while let Some(written) = self.writes.front().filter(|written| written.last <= base) {
            let micros = now.saturating_sub(written.at).as_micros() as u64;
            self.latencies.saturating_record_n(micros, written.count);
            self.writes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_counts_from_its_start_and_stamps_what_was_meant() {
        let pace = Pace {
            start: Duration::from_secs(5),
            rate: 1000,
        };
        assert_eq!(pace.due(Duration::from_secs(5)), 1);
        assert_eq!(pace.due(Duration::from_millis(6_500)), 1501);
        let late = Duration::from_secs(60);
        assert_eq!(pace.time(250, late), Duration::from_millis(5_250));
    }

    #[test]
    fn without_a_rate_all_is_due_and_stamped_now() {
        let pace = Pace {
            start: Duration::from_secs(5),
            rate: 0,
        };
        let now = Duration::from_secs(6);
        assert_eq!((pace.due(now), pace.time(9, now)), (u64::MAX, now));
    }
}
