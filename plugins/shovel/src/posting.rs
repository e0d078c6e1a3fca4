//! Messages from a queue to a web server: one request each, one after the other, so that their order
//! stays. Not what such a request looks like (see `request`).

use warren_service_sdk::amqp::{Batch, Connection, Error, wait};
use warren_service_sdk::{host, http};

use crate::moving::{BATCH, IDLE, consume, open, pick};
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
        url,
    };
    host::show(&settings.facts(source_uri, url).to_string());
    host::running();
    posting.go()
}

struct Posting<'a> {
    settings: &'a Settings,
    source: Connection,
    url: &'a str,
    /// How many are still to be taken from the source; none is no end.
    remaining: Option<u64>,
}

impl Posting<'_> {
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
            let request = request::of(self.settings, self.url, &delivery, batch.body(index));
            self.settled(&http::send(&request))?;
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

    /// An error: the message is to be posted again.
    fn settled(&self, sent: &Result<http::Response, http::Error>) -> Result<(), Error> {
        let confirmed = self.settings.ack_mode == AckMode::OnConfirm;
        let shown = warren_service_sdk::shown::uri(self.url);
        match sent {
            Ok(response) if (200..300).contains(&response.status) => Ok(()),
            Ok(response) if confirmed => {
                Err(Error::Lost(format!("{shown} answered {}", response.status)))
            }
            Ok(_) => {
                host::count("turned down", 1);
                Ok(())
            }
            Err(http::Error::Stopping) => Err(Error::Stopping),
            Err(http::Error::Denied(text)) => Err(Error::Denied(text.clone())),
            Err(http::Error::Invalid(text)) => Err(Error::Invalid(text.clone())),
            Err(http::Error::Failed(text)) => Err(Error::Lost(text.clone())),
        }
    }
}
