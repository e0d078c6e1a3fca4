//! A plugin's slow lane: one thread that makes the calls which no worker should wait for.
//! Decides nothing about what is slow (see `pace`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use parking_lot::Mutex;

use super::instance::Instance;
use crate::message::Message;
use crate::vhost::exchange_type::{Answer, BindingTable, Fault, Moment};

pub(super) type Done = Box<dyn FnOnce(Result<Answer, Fault>) + Send>;

/// Answers exactly once: with `Drop` when nobody else did.
pub(super) struct Reply(Option<Done>);

impl Reply {
    pub fn new(done: Done) -> Reply {
        Reply(Some(done))
    }

    fn give(mut self, result: Result<Answer, Fault>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(Fault("the plugin's thread has ended".to_owned())));
        }
    }
}

pub(super) struct Job {
    pub instance: Arc<Instance>,
    pub moment: Moment,
    pub message: Arc<Message>,
    pub table: Arc<dyn BindingTable>,
    pub reply: Reply,
}

/// The queue has no bound of its own: a connection waits for the answer to its message before it
/// sends the next one here, and so do timers, so it is as long as there are connections at most.
pub(super) struct Lane {
    thread_name: String,
    jobs: Mutex<Option<Sender<Job>>>,
}

impl Lane {
    pub fn new(plugin: &str) -> Lane {
        Lane {
            thread_name: format!("plugin-{plugin}"),
            jobs: Mutex::new(None),
        }
    }

    /// Starts the thread with the first job. A job that cannot be queued is answered by its
    /// `Reply` being dropped.
    pub fn submit(&self, job: Job) {
        let mut jobs = self.jobs.lock();
        let sender = match &*jobs {
            Some(sender) => sender.clone(),
            None => {
                let (sender, receiver) = channel();
                let started = thread::Builder::new()
                    .name(self.thread_name.clone())
                    .spawn(move || work(&receiver));
                if let Err(error) = started {
                    tracing::error!(%error, thread = self.thread_name, "cannot start a thread");
                    // Outside of the lock: `done` is somebody else's code.
                    drop(jobs);
                    drop(job);
                    return;
                }
                *jobs = Some(sender.clone());
                sender
            }
        };
        drop(jobs);
        // The receiver lives as long as its thread, which ends only after all senders are gone.
        drop(sender.send(job));
    }
}

/// Ends when the plugin is dropped and the jobs that were queued are done.
fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        let Job {
            instance,
            moment,
            message,
            table,
            reply,
        } = job;
        let call = AssertUnwindSafe(|| instance.decide_here(moment, &message, &*table));
        let result = catch_unwind(call)
            .unwrap_or_else(|_| Err(Fault("the plugin host panicked".to_owned())));
        // Before the answer: who has it may count on nobody else holding the instance.
        drop(instance);
        // One connection's panic must not end the lane of all others.
        if catch_unwind(AssertUnwindSafe(|| reply.give(result))).is_err() {
            tracing::error!("a plugin's answer could not be handed over: panic");
        }
    }
}
