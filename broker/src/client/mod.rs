//! An AMQP 0-9-1 client of one connection with one channel, for services that move messages between
//! brokers: batches in, batches out, confirms. Over any stream; not sockets, and not the load
//! generator's client (see `perf/`).

mod batch;
mod calls;
mod drive;
mod handshake;
mod inbox;
mod unconfirmed;
mod uri;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::amqp::AMQPClass;

pub use batch::{Batch, Changes, Delivery};
pub use calls::{QueueFacts, checked_arguments, checked_name};
pub use handshake::SERVICE_TASK;
pub use unconfirmed::Confirms;
pub use uri::{Address, Encryption, Scheme, Uri, UriError, percent_decoded};

use inbox::Inbox;
use unconfirmed::Unconfirmed;

/// A socket, an encrypted one, or one end of a pipe into a broker of the same process.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What is agreed on with the peer.
#[derive(Clone, Debug)]
pub struct Options {
    pub user: String,
    pub password: String,
    /// With the certificate of the stream (SASL EXTERNAL) instead of a password.
    pub by_certificate: bool,
    pub vhost: String,
    /// Shown by the peer.
    pub name: String,
    /// Which task it is for, told to this broker: so it finds the connections of its own links.
    pub task: Option<String>,
    /// Seconds; 0 is off.
    pub heartbeat: u16,
    pub confirms: bool,
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The peer closed the channel; there is a new one.
    Refused { code: u16, text: String },
    /// There is no connection any more.
    Lost(String),
    /// AMQP cannot say it.
    Invalid(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Refused { text, .. } => out.write_str(text),
            ClientError::Lost(text) | ClientError::Invalid(text) => out.write_str(text),
        }
    }
}

impl std::error::Error for ClientError {}

/// The one channel.
const CHANNEL: u16 = 1;

/// Over this a publisher waits until the peer has taken some.
const OUT_MAX: usize = 1 << 20;

/// A connection. Cut when it is dropped; `close` says goodbye.
pub struct Client {
    shared: Arc<Shared>,
    driver: AbortHandle,
    server_properties: Vec<u8>,
}

/// Between the driver, which has the stream, and the owner of the connection. The lock is a leaf.
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or room to read into again.
    to_driver: Notify,
    /// Something came, was written, or went wrong.
    to_owner: Notify,
}

struct State {
    out: Vec<u8>,
    inbox: Inbox,
    unconfirmed: Unconfirmed,
    frame_max: u32,
    call: Call,
    /// Answers to what reopened the channel, which nobody waits for.
    unasked_answers: u32,
    confirms: bool,
    /// The channel was closed by the peer, and nobody has been told so.
    refused: Option<ClientError>,
    lost: Option<String>,
    blocked: Option<String>,
    closing: bool,
}

/// At most one method waits for its answer.
enum Call {
    None,
    Waiting,
    Answered(AMQPClass),
    Refused(ClientError),
}

impl State {
    fn fail(&mut self, why: String) {
        if self.lost.is_none() {
            self.lost = Some(why);
        }
    }

    /// What the owner has yet to be told of.
    fn check(&mut self) -> Result<(), ClientError> {
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        match &self.lost {
            Some(why) => Err(ClientError::Lost(why.clone())),
            None => Ok(()),
        }
    }
}

impl Client {
    /// Logs in over a stream that is connected. Has to be called within a tokio runtime, which then
    /// drives the connection.
    pub async fn open(
        mut stream: Box<dyn Stream>,
        options: &Options,
    ) -> Result<Client, ClientError> {
        let opened = handshake::open(&mut stream, options).await?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                out: Vec::new(),
                inbox: Inbox::default(),
                unconfirmed: Unconfirmed::default(),
                frame_max: opened.frame_max,
                call: Call::None,
                unasked_answers: 0,
                confirms: options.confirms,
                refused: None,
                lost: None,
                blocked: None,
                closing: false,
            }),
            to_driver: Notify::new(),
            to_owner: Notify::new(),
        });
        let driver = drive::Driver::new(stream, Arc::clone(&shared), opened.rest, opened.heartbeat);
        let driver = tokio::spawn(driver.run()).abort_handle();
        Ok(Client {
            shared,
            driver,
            server_properties: opened.server_properties,
        })
    }

    /// A field table.
    pub fn server_properties(&self) -> &[u8] {
        &self.server_properties
    }

    /// At most so many of the messages that are there.
    pub fn receive(&self, most: usize) -> Result<Option<Batch>, ClientError> {
        let mut state = self.shared.state.lock();
        let was_full = state.inbox.is_full();
        let batch = state.inbox.take(most);
        if batch.is_none() {
            state.check()?;
        }
        if was_full && !state.inbox.is_full() {
            self.shared.to_driver.notify_one();
        }
        Ok(batch)
    }

    /// What has become of what was published.
    pub fn confirmed(&self) -> Result<Confirms, ClientError> {
        let mut state = self.shared.state.lock();
        let confirms = state.unconfirmed.take();
        if confirms.is_empty() {
            state.check()?;
        }
        Ok(confirms.confirms)
    }

    pub fn blocked(&self) -> Option<String> {
        self.shared.state.lock().blocked.clone()
    }

    /// More is to be sent than the peer takes.
    pub fn is_behind(&self) -> bool {
        self.shared.state.lock().out.len() > OUT_MAX
    }

    /// There is something to receive, to hear of, or to be told.
    pub fn has_news(&self) -> bool {
        let state = self.shared.state.lock();
        !state.inbox.is_empty()
            || state.unconfirmed.has_news()
            || state.refused.is_some()
            || state.lost.is_some()
    }

    /// Returns when there may be news. Only one may wait at a time.
    pub async fn changed(&self) {
        self.shared.to_owner.notified().await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
