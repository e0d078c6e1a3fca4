//! Requests that a tracer wants posted: a bounded line, and a thread that takes one after the other and
//! tries again while that may help. Nobody waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::plugin::hosts::Hosts;
use crate::web::{Answer, Reach, Request, WebClient};

/// `warren:tracer/uploads` promises all of these.
const MOST_WAITING: usize = 256;
const MOST_BYTES: usize = 32 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// Of one attempt, in milliseconds.
pub(super) const TIMEOUT: u32 = 10_000;

/// What goes wrong is told no more often.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// What became of a tracer's uploads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UploadCounts {
    /// That a server took.
    pub sent: u64,
    pub dropped: u64,
    pub waiting: u64,
}

pub(in crate::plugin) struct Uploads {
    plugin: String,
    hosts: Hosts,
    line: Mutex<UploadLine>,
    told: Notify,
}

#[derive(Default)]
struct UploadLine {
    waiting: VecDeque<Request>,
    bytes: usize,
    /// One was taken off the line, and is on its way.
    is_busy: bool,
    sent: u64,
    dropped: u64,
    phase: Phase,
    last_line: Option<Instant>,
    /// Dropped since the last line in the log.
    untold: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing was ever posted: there is no thread.
    #[default]
    Unneeded,
    Working,
    Closed,
}

impl Uploads {
    pub fn new(plugin: &str, hosts: Hosts) -> Arc<Uploads> {
        Arc::new(Uploads {
            plugin: plugin.to_owned(),
            hosts,
            line: Mutex::default(),
            told: Notify::new(),
        })
    }

    pub fn counts(&self) -> UploadCounts {
        let line = self.line.lock();
        UploadCounts {
            sent: line.sent,
            dropped: line.dropped,
            waiting: line.waiting.len() as u64 + u64::from(line.is_busy),
        }
    }

    /// Puts it at the end of the line. The first one starts the thread.
    pub fn post(self: &Arc<Self>, request: Request, reach: &Arc<dyn Reach>) {
        if let Err(why) = self.hosts.allow(&request.url.place) {
            return self.dropped(&why);
        }
        let bytes = request.size();
        let mut line = self.line.lock();
        let is_full = line.waiting.len() >= MOST_WAITING || line.bytes + bytes > MOST_BYTES;
        if is_full || line.phase == Phase::Closed {
            drop(line);
            return self.dropped("more waits to be posted than may");
        }
        line.bytes += bytes;
        line.waiting.push_back(request);
        let is_first = line.phase == Phase::Unneeded;
        line.phase = Phase::Working;
        drop(line);
        self.told.notify_one();
        if is_first {
            self.start(Arc::clone(reach));
        }
    }

    /// Ends the thread; what waits is dropped.
    pub fn close(&self) {
        let mut line = self.line.lock();
        line.phase = Phase::Closed;
        line.dropped += line.waiting.len() as u64;
        line.waiting = VecDeque::new();
        line.bytes = 0;
        drop(line);
        self.told.notify_one();
    }

    /// Counted, and told now and then.
    pub fn dropped(&self, why: &str) {
        let mut line = self.line.lock();
        line.dropped += 1;
        line.untold += 1;
        let is_due = line
            .last_line
            .is_none_or(|last| last.elapsed() > BETWEEN_LINES);
        if is_due {
            line.last_line = Some(Instant::now());
            let dropped = std::mem::take(&mut line.untold);
            drop(line);
            let plugin = &self.plugin;
            tracing::warn!(
                plugin,
                dropped,
                why,
                "what a tracer wanted posted was dropped"
            );
        }
    }

    fn start(self: &Arc<Self>, reach: Arc<dyn Reach>) {
        let uploads = Arc::clone(self);
        let started = thread::Builder::new()
            .name(format!("uploads-{}", self.plugin))
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                match runtime {
                    Ok(runtime) => runtime.block_on(uploads.work(&*reach)),
                    Err(error) => uploads.gives_up(&error.to_string()),
                }
            });
        if let Err(error) = started {
            self.gives_up(&error.to_string());
        }
    }

    fn gives_up(&self, why: &str) {
        tracing::error!(plugin = self.plugin, why, "nothing can be posted");
        self.close();
    }

    async fn work(&self, reach: &dyn Reach) {
        let mut client = WebClient::default();
        while let Some(request) = self.next().await {
            let delivered = tokio::select! {
                delivered = deliver(&mut client, reach, &request) => Some(delivered),
                () = self.closed() => None,
            };
            self.line.lock().is_busy = false;
            match delivered {
                Some(Ok(())) => self.line.lock().sent += 1,
                Some(Err(why)) => self.dropped(&why),
                None => return self.line.lock().dropped += 1,
            }
        }
    }

    /// `None`: it is closed.
    async fn next(&self) -> Option<Request> {
        loop {
            {
                let mut line = self.line.lock();
                if line.phase == Phase::Closed {
                    return None;
                }
                if let Some(request) = line.waiting.pop_front() {
                    line.bytes = line.bytes.saturating_sub(request.size());
                    line.is_busy = true;
                    return Some(request);
                }
            }
            self.told.notified().await;
        }
    }

    async fn closed(&self) {
        while self.line.lock().phase != Phase::Closed {
            self.told.notified().await;
        }
    }
}

/// An error: it is given up.
async fn deliver(
    client: &mut WebClient,
    reach: &dyn Reach,
    request: &Request,
) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        let why = match client.send(reach, request).await {
            Ok(answer) if answer.is_success() => return Ok(()),
            Ok(answer) if may_take_it_later(&answer) => {
                format!("{} answered {}", request.url.place, answer.status)
            }
            Ok(answer) => return Err(format!("{} answered {}", request.url.place, answer.status)),
            Err(why) => why,
        };
        if Instant::now() + pause > until {
            return Err(why);
        }
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

fn may_take_it_later(answer: &Answer) -> bool {
    matches!(answer.status, 429 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Stream;
    use crate::web::{Place, Reached};

    /// No server is there.
    struct Nowhere;

    impl Reach for Nowhere {
        fn reach<'a>(&'a self, _: &'a Place) -> Reached<'a> {
            Box::pin(async { Err::<Box<dyn Stream>, _>("refused".to_owned()) })
        }
    }

    fn request(length: usize) -> Request {
        let body = vec![0; length];
        Request::new("POST".into(), "http://h/", Vec::new(), body, TIMEOUT).expect("valid")
    }

    fn uploads(grants: &[&str]) -> Arc<Uploads> {
        let grants: Vec<String> = grants.iter().map(|grant| (*grant).to_owned()).collect();
        Uploads::new("t", Hosts::granted(&grants))
    }

    #[test]
    fn what_is_over_is_dropped_and_counted_and_nobody_waits() {
        let reach: Arc<dyn Reach> = Arc::new(Nowhere);
        let by_number = uploads(&["http"]);
        for _ in 0..MOST_WAITING + 10 {
            by_number.post(request(1), &reach);
        }
        let counts = by_number.counts();
        // The thread may have taken one.
        assert!((9..=10).contains(&counts.dropped), "{counts:?}");
        assert_eq!(counts.waiting + counts.dropped, 266);
        by_number.close();
        let by_size = uploads(&["http"]);
        for _ in 0..5 {
            by_size.post(request(10 << 20), &reach);
        }
        assert!((1..=2).contains(&by_size.counts().dropped));
        by_size.close();
        by_size.post(request(1), &reach);
        assert_eq!(by_size.counts().sent, 0);
    }

    #[test]
    fn what_was_not_granted_is_dropped_and_starts_nothing() {
        let uploads = uploads(&["http=other"]);
        let reach: Arc<dyn Reach> = Arc::new(Nowhere);
        uploads.post(request(1), &reach);
        assert_eq!(uploads.counts().dropped, 1);
        assert!(uploads.line.lock().phase == Phase::Unneeded);
    }
}
