//! The task that has the stream: reads, sorts frames into the shared state, writes what is to go
//! out, keeps heartbeats. Decides nothing about messages.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::handshake::{channel_open, confirm_select, lost};
use super::{CHANNEL, Call, ClientError, Shared, State, Stream};
use crate::amqp::content;
use crate::amqp::frame::{Cut, Frame, FrameKind, cut};
use crate::amqp::method::{self, Method};
use crate::amqp::{AMQPClass, basic, channel, connection, write};

const READ_SIZE: usize = 128 << 10;

/// A peer whose frames are larger than agreed is cut off by `cut`; this is its limit then.
type Reader = ReadHalf<Box<dyn Stream>>;

pub(super) struct Driver {
    reader: Reader,
    writer: WriteHalf<Box<dyn Stream>>,
    shared: Arc<Shared>,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    heartbeat: Option<Duration>,
    last_read: Instant,
    last_write: Instant,
    /// The content that comes next belongs to a message that came back: nobody wants it.
    skipping: bool,
}

enum Event {
    Read(std::io::Result<usize>),
    Wrote(std::io::Result<usize>),
    Asked,
    Beat,
}

impl Driver {
    pub fn new(
        stream: Box<dyn Stream>,
        shared: Arc<Shared>,
        input: Vec<u8>,
        heartbeat: u16,
    ) -> Driver {
        let (reader, writer) = split(stream);
        let now = Instant::now();
        Driver {
            reader,
            writer,
            shared,
            input,
            output: Vec::new(),
            written: 0,
            heartbeat: (heartbeat > 0).then(|| Duration::from_secs(heartbeat.into())),
            last_read: now,
            last_write: now,
            skipping: false,
        }
    }

    pub async fn run(mut self) {
        let why = match self.drive().await {
            Ok(()) => "closed".to_owned(),
            Err(ClientError::Lost(text)) => text,
            Err(error) => error.to_string(),
        };
        self.shared.state.lock().fail(why);
        self.shared.to_owner.notify_one();
    }

    /// Until somebody closes the connection.
    async fn drive(&mut self) -> Result<(), ClientError> {
        let mut beats = interval(self.heartbeat.unwrap_or(Duration::from_secs(60)) / 2);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.take_in()?;
        loop {
            let reads = self.fetch_output();
            if self.is_over() {
                return Ok(());
            }
            self.input.reserve(READ_SIZE);
            let rest = self.output.get(self.written..).unwrap_or_default();
            let event = tokio::select! {
                wrote = self.writer.write(rest), if !rest.is_empty() => Event::Wrote(wrote),
                read = self.reader.read_buf(&mut self.input), if reads => Event::Read(read),
                () = self.shared.to_driver.notified() => Event::Asked,
                _ = beats.tick() => Event::Beat,
            };
            match event {
                Event::Read(Ok(0)) => {
                    return Err(ClientError::Lost("the peer closed the socket".to_owned()));
                }
                Event::Read(Ok(_)) => {
                    self.last_read = Instant::now();
                    self.take_in()?;
                }
                Event::Wrote(Ok(count)) => {
                    // A socket has nothing to flush; TLS may hold octets back.
                    if self.wrote(count) {
                        self.writer.flush().await.map_err(lost)?;
                    }
                }
                Event::Read(Err(error)) | Event::Wrote(Err(error)) => {
                    return Err(ClientError::Lost(error.to_string()));
                }
                Event::Asked => {}
                Event::Beat => self.beat(reads)?,
            }
        }
    }

    /// Whether more may be read now.
    fn fetch_output(&mut self) -> bool {
        let mut state = self.shared.state.lock();
        if self.output.is_empty() && !state.out.is_empty() {
            std::mem::swap(&mut self.output, &mut state.out);
            // Whoever waited for room has it now.
            self.shared.to_owner.notify_one();
        }
        !state.inbox.is_full()
    }

    /// Our close was answered.
    fn is_over(&self) -> bool {
        self.output.is_empty() && self.shared.state.lock().lost.is_some()
    }

    /// Whether all is written, and has to be flushed.
    fn wrote(&mut self, count: usize) -> bool {
        self.last_write = Instant::now();
        self.written += count;
        let all = self.written >= self.output.len();
        if all {
            self.output.clear();
            self.written = 0;
        }
        all
    }

    fn beat(&mut self, reads: bool) -> Result<(), ClientError> {
        let Some(heartbeat) = self.heartbeat else {
            return Ok(());
        };
        let now = Instant::now();
        if now.duration_since(self.last_write) >= heartbeat / 2 {
            write::heartbeat(&mut self.shared.state.lock().out);
        }
        // While we do not read, silence is ours.
        if reads && now.duration_since(self.last_read) > heartbeat * 2 {
            return Err(ClientError::Lost(
                "missed heartbeats from the peer".to_owned(),
            ));
        }
        Ok(())
    }

    /// Works off whole frames.
    fn take_in(&mut self) -> Result<(), ClientError> {
        let mut state = self.shared.state.lock();
        let mut used = 0;
        loop {
            let rest = self.input.get(used..).unwrap_or_default();
            let cut = cut(rest, state.frame_max).map_err(|error| ClientError::Lost(error.text()));
            match cut? {
                Cut::Incomplete => break,
                Cut::Frame { frame, length } => {
                    used += length;
                    self.skipping = take_frame(&mut state, &frame, self.skipping)?;
                }
            }
        }
        drop(state);
        self.input.drain(..used);
        if used > 0 {
            self.shared.to_owner.notify_one();
        }
        Ok(())
    }
}

fn out_of_order() -> ClientError {
    ClientError::Lost("content that was not announced".to_owned())
}

/// Whether content that comes next is to be skipped.
fn take_frame(state: &mut State, frame: &Frame<'_>, skipping: bool) -> Result<bool, ClientError> {
    match frame.kind {
        FrameKind::Heartbeat => Ok(skipping),
        FrameKind::Header | FrameKind::Body if skipping => Ok(true),
        FrameKind::Header => {
            let header = content::parse_header(frame.payload);
            let header = header.map_err(|error| ClientError::Lost(error.text()))?;
            let is_wanted = state.inbox.header(header.properties, header.body_size);
            is_wanted.then_some(false).ok_or_else(out_of_order)
        }
        FrameKind::Body => {
            let is_wanted = state.inbox.body(frame.payload);
            is_wanted.then_some(false).ok_or_else(out_of_order)
        }
        FrameKind::Method => {
            if let Some(deliver) = method::parse_deliver(frame.payload) {
                state.inbox.begin(&deliver);
                return Ok(false);
            }
            let method = method::parse(frame.payload);
            take_method(
                state,
                method.map_err(|error| ClientError::Lost(error.text()))?,
            )
        }
    }
}

fn take_method(state: &mut State, method: Method<'_>) -> Result<bool, ClientError> {
    match method {
        Method::Ack {
            delivery_tag,
            multiple,
        } => state.unconfirmed.settle(delivery_tag, multiple, true),
        Method::Nack {
            delivery_tag,
            multiple,
            ..
        } => state.unconfirmed.settle(delivery_tag, multiple, false),
        Method::Publish(_) | Method::Reject { .. } => return Err(out_of_order()),
        Method::Other(class) => return take_rare(state, *class),
    }
    Ok(false)
}

fn take_rare(state: &mut State, class: AMQPClass) -> Result<bool, ClientError> {
    match class {
        AMQPClass::Basic(basic::AMQPMethod::Return(_)) => return Ok(true),
        AMQPClass::Basic(basic::AMQPMethod::Cancel(_)) => {
            state.refused = Some(ClientError::Refused {
                code: 0,
                text: "the peer cancelled the consumer: its queue is gone".to_owned(),
            });
        }
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) => closed(state, &close),
        AMQPClass::Channel(channel::AMQPMethod::Flow(flow)) => {
            let ok = channel::AMQPMethod::FlowOk(channel::FlowOk {
                active: flow.active,
            });
            write::method(&mut state.out, CHANNEL, AMQPClass::Channel(ok));
        }
        AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
            let ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
            write::method(&mut state.out, 0, AMQPClass::Connection(ok));
            state.fail(close.reply_text.to_string());
        }
        AMQPClass::Connection(connection::AMQPMethod::CloseOk(_)) => {
            state.fail("closed".to_owned());
        }
        AMQPClass::Connection(connection::AMQPMethod::Blocked(blocked)) => {
            state.blocked = Some(blocked.reason.to_string());
        }
        AMQPClass::Connection(connection::AMQPMethod::Unblocked(_)) => state.blocked = None,
        _ if state.unasked_answers > 0 => state.unasked_answers -= 1,
        answer => {
            if let Call::Waiting = state.call {
                state.call = Call::Answered(answer);
            }
        }
    }
    Ok(false)
}

/// A channel that is closed is answered and opened again at once: the peer takes both in order.
fn closed(state: &mut State, close: &channel::Close) {
    let refused = ClientError::Refused {
        code: close.reply_code,
        text: close.reply_text.to_string(),
    };
    match state.call {
        Call::Waiting => state.call = Call::Refused(refused),
        Call::None | Call::Answered(_) | Call::Refused(_) => state.refused = Some(refused),
    }
    let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
    write::method(&mut state.out, CHANNEL, AMQPClass::Channel(ok));
    write::method(&mut state.out, CHANNEL, channel_open());
    state.unasked_answers = 1;
    if state.confirms {
        write::method(&mut state.out, CHANNEL, confirm_select());
        state.unasked_answers = 2;
    }
    state.inbox.clear();
    state.unconfirmed.begin_anew();
}
