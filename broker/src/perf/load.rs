//! One load: starts the connections, samples their counters, decides when
//! it is over.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;

use super::client::Client;
use super::consumer::Consumer;
use super::options::Options;
use super::process::{self, CpuTime};
use super::publisher::Publisher;
use super::report::{Report, Sample, new_histogram};
use super::topology;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Publishers publish, everything is measured.
    Load,
    /// Publishers wait for their confirms, consumers take what is left.
    Drain,
    Over,
    /// A connection failed.
    Failed,
}

impl Phase {
    pub fn is_over(self) -> bool {
        match self {
            Phase::Load | Phase::Drain => false,
            Phase::Over | Phase::Failed => true,
        }
    }
}

/// What all threads of a load share.
pub struct Load<'a> {
    pub options: &'a Options,
    /// Tells our messages from those of an earlier run.
    pub run: u64,
    started: Instant,
    phase: AtomicU8,
    pub consuming: AtomicU64,
    /// Publishers that have sent all and know that the broker has it.
    pub finished: AtomicU64,
    pub published: AtomicU64,
    pub confirmed: AtomicU64,
    pub nacked: AtomicU64,
    pub returned: AtomicU64,
    pub consumed: AtomicU64,
}

impl Load<'_> {
    fn new(options: &Options) -> Load<'_> {
        Load {
            options,
            run: rand::random(),
            started: Instant::now(),
            phase: AtomicU8::new(Phase::Load as u8),
            consuming: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            published: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            nacked: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Load,
            1 => Phase::Drain,
            2 => Phase::Over,
            _ => Phase::Failed,
        }
    }

    /// A load that failed stays failed.
    fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    pub fn fail(&self) {
        self.enter(Phase::Failed);
    }

    /// The time that is written into bodies.
    pub fn clock(&self) -> Duration {
        self.started.elapsed()
    }

    fn sample(&self) -> Sample {
        Sample {
            at: self.clock(),
            published: self.published.load(Ordering::Relaxed),
            confirmed: self.confirmed.load(Ordering::Relaxed),
            consumed: self.consumed.load(Ordering::Relaxed),
        }
    }
}

/// With nothing moving for this long, what is still missing will not come.
const STALL: Duration = Duration::from_secs(5);

const TICK: Duration = Duration::from_millis(20);

/// Declares, runs, deletes.
pub fn run(options: &Options) -> Result<Report> {
    let mut control = Client::connect(&options.uri)?;
    topology::declare(&mut control, options)?;
    let report = under_load(options)?;
    if !options.keep {
        topology::delete(&mut control, options)?;
    }
    control.close();
    Ok(report)
}

/// A load on what is declared.
pub fn under_load(options: &Options) -> Result<Report> {
    let load = Load::new(options);
    let consumers = (0..options.consumers)
        .map(|place| Consumer::connect(options, place))
        .collect::<Result<Vec<_>>>()?;
    let publishers = (0..options.publishers)
        .map(|place| Publisher::connect(options, place, load.run))
        .collect::<Result<Vec<_>>>()?;
    thread::scope(|scope| {
        let load = &load;
        // The threads end only when the load is over, and the scope with them.
        let cpu_time = || CpuTime::of(&options.pid).inspect_err(|_| load.fail());
        let mut cpu = cpu_time()?;
        let mut first = load.sample();
        let consumers: Vec<_> = consumers
            .into_iter()
            .map(|consumer| scope.spawn(|| consumer.run(load).inspect_err(|_| load.fail())))
            .collect();
        while load.consuming.load(Ordering::Acquire) < options.consumers as u64
            && load.phase() == Phase::Load
        {
            thread::sleep(TICK);
        }
        if options.publishers > 0 {
            cpu = cpu_time()?;
            first = load.sample();
        }
        let publishers: Vec<_> = publishers
            .into_iter()
            .map(|publisher| scope.spawn(|| publisher.run(load).inspect_err(|_| load.fail())))
            .collect();
        let samples = watch(load, first);
        let resident = process::resident_memory(&options.pid).ok();
        load.enter(Phase::Drain);
        let confirm_latency = join(publishers);
        drain(load);
        // With what was still on its way: a broker that falls behind would look cheap.
        let cpu = cpu_time()?.since(cpu);
        let cpu_messages = load.sample().whole_way_since(first);
        load.enter(Phase::Over);
        let latency = join(consumers)?;
        Ok(Report {
            samples,
            confirm_latency: confirm_latency?,
            latency,
            cpu: (!options.pid.is_empty()).then_some(cpu),
            cpu_messages,
            resident: resident.filter(|octets| *octets > 0),
            published: load.published.load(Ordering::Relaxed),
            confirmed: load.confirmed.load(Ordering::Relaxed),
            nacked: load.nacked.load(Ordering::Relaxed),
            returned: load.returned.load(Ordering::Relaxed),
            consumed: load.consumed.load(Ordering::Relaxed),
        })
    })
}

type Measured<'scope> = ScopedJoinHandle<'scope, Result<Histogram<u64>>>;

/// Samples once a second until the load has done what was asked; the last sample is its end.
fn watch(load: &Load<'_>, first: Sample) -> Vec<Sample> {
    let limit = load.options.time_limit();
    let publishers = load.options.publishers as u64;
    let mut samples = vec![first];
    let mut next = first.at + Duration::from_secs(1);
    let mut moved = first;
    loop {
        thread::sleep(TICK);
        let sample = load.sample();
        if !sample.counts_like(&moved) {
            moved = sample;
        }
        let published = load.finished.load(Ordering::Acquire) == publishers;
        let done = match load.options.expected() {
            Some(expected) if load.options.consumers > 0 => {
                sample.consumed >= expected || (published && sample.at > moved.at + STALL)
            }
            Some(_) => published,
            None => false,
        };
        let late = limit.is_some_and(|limit| sample.at >= first.at + limit);
        if done || late || load.phase() == Phase::Failed {
            samples.push(sample);
            return samples;
        }
        if sample.at >= next {
            next += Duration::from_secs(1);
            if let (true, Some(before)) = (load.options.progress, samples.last()) {
                eprintln!("{}", sample.progress(before, &first));
            }
            samples.push(sample);
        }
    }
}

/// Lets consumers take what is on its way, as long as something comes.
fn drain(load: &Load<'_>) {
    if load.options.consumers == 0 || load.options.publishers == 0 {
        return;
    }
    let mut before = load.sample();
    let mut since = Instant::now();
    while load.phase() == Phase::Drain && since.elapsed() < STALL {
        let now = load.sample();
        if now.consumed >= now.published * load.options.copies() {
            return;
        }
        if !now.counts_like(&before) {
            before = now;
            since = Instant::now();
        }
        thread::sleep(TICK);
    }
}

fn join(threads: Vec<Measured<'_>>) -> Result<Histogram<u64>> {
    let mut all = new_histogram();
    for thread in threads {
        let one = thread
            .join()
            .unwrap_or_else(|_| Err(anyhow!("a thread of the load panicked")))?;
        all.add(one)?;
    }
    Ok(all)
}
