//! Messages from a queue to a web server: one request each, one after the other, so that their order
//! stays. Not what such a request looks like (see `request`).

use warren_service_sdk::amqp::{Batch, Connection, Delivery, Error, wait};
use warren_service_sdk::{host, http, shown};

use crate::moving::{BATCH, IDLE, consume, open, pick};
use crate::patience::Patience;
use crate::request;
use crate::settings::{AckMode, Settings};

pub fn run(settings: &Settings) -> Result<(), Error> {
    let source_uri = pick(&settings.source.uris)?;
    let url = pick(&settings.destination.uris)?;
    let source = open(settings, source_uri, false)?;
    let posting = Posting {
        remaining: consume(settings, &source)?,
        settings,
        source,
        source_uri,
        url,
    };
    posting.runs();
    posting.go()
}

struct Posting<'a> {
    settings: &'a Settings,
    source: Connection,
    source_uri: &'a str,
    url: &'a str,
    /// How many are still to be taken from the source; none is no end.
    remaining: Option<u64>,
}

/// What came of one request.
enum Posted {
    Settled,
    /// It is to be posted again: why, in words.
    Again(String),
}

impl Posting<'_> {
    fn runs(&self) {
        let facts = self.settings.facts(self.source_uri, self.url);
        host::show(&facts.to_string());
        host::running();
    }

    fn go(mut self) -> Result<(), Error> {
        let ended = self.post_all();
        // What was acknowledged is to arrive, and the rest to go back, before it is taken again.
        self.source.close();
        ended
    }

    fn post_all(&mut self) -> Result<(), Error> {
        while self.remaining != Some(0) {
            let most = self
                .remaining
                .map_or(BATCH, |left| left.min(BATCH.into()) as u32);
            match self.source.receive(most)? {
                Some(batch) => self.post_batch(&batch)?,
                None => wait(&[&self.source], IDLE)?,
            }
        }
        Ok(())
    }

    fn post_batch(&mut self, batch: &Batch) -> Result<(), Error> {
        for index in 0..batch.length() {
            let Some(delivery) = batch.delivery(index) else {
                continue;
            };
            self.post(&delivery, &batch.body(index))?;
            match self.settings.ack_mode {
                AckMode::NoAck => {}
                AckMode::OnPublish | AckMode::OnConfirm => self.source.ack(delivery.tag, false)?,
            }
            if let Some(remaining) = &mut self.remaining {
                *remaining = remaining.saturating_sub(1);
            }
            host::count("forwarded", 1);
        }
        Ok(())
    }

    /// Until the server has it. What was taken stays here meanwhile: going back to the queue with each
    /// failure, all of it would come to its delivery limit.
    fn post(&mut self, delivery: &Delivery, body: &[u8]) -> Result<(), Error> {
        let mut patience = self.settings.reconnect_delay.map(Patience::new);
        loop {
            let request = request::of(self.settings, self.url, delivery, body.to_vec());
            let why = match self.posted(&http::send(&request))? {
                Posted::Settled => break,
                Posted::Again(why) => why,
            };
            let Some(patience) = &mut patience else {
                return Err(Error::Lost(why));
            };
            let delay = patience.failed();
            host::log(host::Level::Warn, &format!("{why}; again in {delay} ms"));
            host::waiting_for(&why);
            host::count("posted again", 1);
            host::sleep(delay);
            if host::stopping().is_some() {
                return Err(Error::Stopping);
            }
            self.url = pick(&self.settings.destination.uris)?;
        }
        if patience.is_some_and(|patience| !patience.is_fresh()) {
            self.runs();
        }
        Ok(())
    }

    fn posted(&self, sent: &Result<http::Response, http::Error>) -> Result<Posted, Error> {
        match (sent, self.settings.ack_mode) {
            (Ok(response), _) if (200..300).contains(&response.status) => Ok(Posted::Settled),
            (Ok(response), AckMode::OnConfirm) => {
                let (url, status) = (shown::uri(self.url), response.status);
                Ok(Posted::Again(format!("{url} answered {status}")))
            }
            (Ok(_), AckMode::OnPublish | AckMode::NoAck) => {
                host::count("turned down", 1);
                Ok(Posted::Settled)
            }
            (Err(http::Error::Stopping), _) => Err(Error::Stopping),
            // What cannot be posted at all, such as one that is too long, is the operator's to solve.
            (
                Err(
                    http::Error::Failed(text)
                    | http::Error::Denied(text)
                    | http::Error::Invalid(text),
                ),
                _,
            ) => Ok(Posted::Again(text.clone())),
        }
    }
}
