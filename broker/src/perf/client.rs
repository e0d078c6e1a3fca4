//! A blocking AMQP client of one channel: handshake, calls, and a read buffer out of which frames
//! are cut. Not a client library: what goes wrong ends the load.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use amq_protocol::uri::{AMQPScheme, AMQPUri};
use anyhow::{Context, Result, anyhow, bail};

use crate::amqp::frame::{Cut, FRAME_END, Frame, FrameKind, PROTOCOL_HEADER, cut};
use crate::amqp::method::{self, Method};
use crate::amqp::{
    AMQPClass, AMQPValue, FieldTable, basic, channel, connection, short_string, write,
};

pub const CHANNEL: u16 = 1;

/// One read takes as much of the socket as this.
const READ_SIZE: usize = 256 << 10;

/// The largest frame we agree to.
const FRAME_MAX: u32 = 131_072;

/// How long a broker may take to answer a call.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// And how long when a million bindings stand before it.
const PIPELINE_TIMEOUT: Duration = Duration::from_secs(900);

/// How long a broker may go on sending after we said goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// How often a thread that waits for frames looks whether the load is over.
pub const POLL: Duration = Duration::from_millis(100);

/// Methods without an answer are written this many octets at a time.
const PIPELINE_OCTETS: usize = 64 << 10;

/// The frame of connection.close-ok.
const CLOSE_OK: [u8; 12] = [1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 51, FRAME_END];

pub struct Client {
    pub stream: TcpStream,
    pub inbox: Inbox,
    pub frame_max: u32,
    /// Product and version, as it says itself.
    pub broker: String,
}

/// Octets read and not yet worked off.
pub struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    frame_max: u32,
}

impl Inbox {
    fn new() -> Self {
        Inbox {
            buffer: vec![0; READ_SIZE],
            start: 0,
            end: 0,
            frame_max: FRAME_MAX,
        }
    }

    /// Reads once; false when nothing came within the stream's time-out.
    pub fn fill(&mut self, stream: &mut TcpStream) -> Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        match stream.read(free) {
            Ok(0) => bail!("the broker closed the connection"),
            Ok(length) => {
                self.end += length;
                Ok(true)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(false),
                _ => Err(error.into()),
            },
        }
    }

    pub fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// So many octets are worked off.
    pub fn take(&mut self, length: usize) {
        self.start = self.end.min(self.start + length);
    }

    /// The next whole frame.
    pub fn frame(&mut self) -> Result<Option<Frame<'_>>> {
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        match cut(rest, self.frame_max)? {
            Cut::Frame { frame, length } => {
                self.start += length;
                Ok(Some(frame))
            }
            Cut::Incomplete => Ok(None),
        }
    }
}

impl Client {
    /// Connects, logs in and opens the one channel.
    pub fn connect(uri: &str) -> Result<Client> {
        let uri: AMQPUri = uri.parse().map_err(|error: String| anyhow!(error))?;
        if uri.scheme == AMQPScheme::AMQPS {
            bail!("TLS is not supported here");
        }
        let authority = &uri.authority;
        let address = (authority.host.as_str(), authority.port);
        let stream = TcpStream::connect(address)
            .with_context(|| format!("cannot connect to {}:{}", address.0, address.1))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(CALL_TIMEOUT))?;
        let mut client = Client {
            stream,
            inbox: Inbox::new(),
            frame_max: FRAME_MAX,
            broker: String::new(),
        };
        client.open(&uri).context("the connection was not opened")?;
        Ok(client)
    }

    fn open(&mut self, uri: &AMQPUri) -> Result<()> {
        self.stream.write_all(&PROTOCOL_HEADER)?;
        if let AMQPClass::Connection(connection::AMQPMethod::Start(start)) = self.answer()? {
            self.broker = named(&start.server_properties);
        }
        let user = &uri.authority.userinfo;
        let response = format!("\0{}\0{}", user.username, user.password);
        let start_ok = connection::StartOk {
            client_properties: client_properties(),
            mechanism: short_string("PLAIN"),
            response: response.into(),
            locale: short_string("en_US"),
        };
        let tune = self.call(
            0,
            AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok)),
        )?;
        let AMQPClass::Connection(connection::AMQPMethod::Tune(tune)) = tune else {
            bail!("expected connection.tune, got {tune:?}");
        };
        self.frame_max = match tune.frame_max {
            0 => FRAME_MAX,
            max => max.min(FRAME_MAX),
        };
        let tune_ok = connection::TuneOk {
            channel_max: tune.channel_max,
            frame_max: self.frame_max,
            // No heartbeats: a load runs for seconds, and our threads do not wake up for them.
            heartbeat: 0,
        };
        self.send(
            0,
            AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok)),
        )?;
        let open = connection::Open {
            virtual_host: short_string(&uri.vhost),
        };
        self.call(0, AMQPClass::Connection(connection::AMQPMethod::Open(open)))?;
        let open = channel::AMQPMethod::Open(channel::Open {});
        self.call(CHANNEL, AMQPClass::Channel(open))?;
        Ok(())
    }

    pub fn send(&mut self, channel: u16, class: AMQPClass) -> Result<()> {
        let mut out = Vec::new();
        write::method(&mut out, channel, class);
        self.stream.write_all(&out)?;
        Ok(())
    }

    /// Sends a method and waits for the answer. Only before content flows.
    pub fn call(&mut self, channel: u16, class: AMQPClass) -> Result<AMQPClass> {
        self.send(channel, class)?;
        self.answer()
    }

    /// Sends methods that are not answered, and waits until the broker has worked them off.
    pub fn pipeline(&mut self, methods: impl Iterator<Item = AMQPClass>) -> Result<()> {
        let mut out = Vec::new();
        for method in methods {
            write::method(&mut out, CHANNEL, method);
            if out.len() > PIPELINE_OCTETS {
                self.stream.write_all(&out)?;
                out.clear();
            }
        }
        self.stream.write_all(&out)?;
        self.stream.set_read_timeout(Some(PIPELINE_TIMEOUT))?;
        self.barrier()?;
        self.stream.set_read_timeout(Some(CALL_TIMEOUT))?;
        Ok(())
    }

    /// An answer to something that changes nothing: all before it is done.
    pub fn barrier(&mut self) -> Result<()> {
        let qos = basic::AMQPMethod::Qos(basic::Qos {
            prefetch_count: 0,
            global: false,
        });
        self.call(CHANNEL, AMQPClass::Basic(qos)).map(|_| ())
    }

    fn answer(&mut self) -> Result<AMQPClass> {
        loop {
            if let Some(frame) = self.inbox.frame()? {
                if frame.kind != FrameKind::Method {
                    continue;
                }
                return match method::parse(frame.payload)? {
                    Method::Other(class) => not_closed(*class),
                    method => bail!("unexpected {method:?}"),
                };
            }
            if !self.inbox.fill(&mut self.stream)? {
                bail!("the broker does not answer");
            }
        }
    }

    /// Says goodbye, without insisting.
    pub fn close(mut self) {
        let close = connection::Close {
            reply_code: 200,
            reply_text: short_string("bye"),
            class_id: 0,
            method_id: 0,
        };
        let close = AMQPClass::Connection(connection::AMQPMethod::Close(close));
        if self.stream.set_read_timeout(Some(POLL)).is_ok() && self.send(0, close).is_ok() {
            // What is still on its way is of no interest; an unread socket would be reset.
            let end = Instant::now() + GOODBYE;
            while Instant::now() < end && matches!(self.inbox.fill(&mut self.stream), Ok(true)) {
                let unread = self.inbox.unread();
                if unread.ends_with(&CLOSE_OK) {
                    return;
                }
                self.inbox.take(unread.len().saturating_sub(CLOSE_OK.len()));
            }
        }
    }
}

/// With the capability that lets a broker say why a login failed.
fn named(properties: &FieldTable) -> String {
    let word = |key| match properties.inner().get(key) {
        Some(AMQPValue::LongString(word)) => word.to_string(),
        _ => "?".to_owned(),
    };
    // Warren keeps RabbitMQ's product and version for the clients that ask for
    // them, and says its own name in the platform.
    let platform = word("platform");
    if platform.starts_with("Warren ") {
        return platform;
    }
    format!("{} {}", word("product"), word("version"))
}

fn client_properties() -> FieldTable {
    let mut capabilities = FieldTable::default();
    capabilities.insert(
        short_string("authentication_failure_close"),
        AMQPValue::Boolean(true),
    );
    let mut properties = FieldTable::default();
    for (name, text) in [
        ("product", "warren perf"),
        ("connection_name", "warren perf"),
    ] {
        properties.insert(short_string(name), AMQPValue::LongString(text.into()));
    }
    properties.insert(
        short_string("capabilities"),
        AMQPValue::FieldTable(capabilities),
    );
    properties
}

/// Turns a close into the error that it is.
pub fn not_closed(class: AMQPClass) -> Result<AMQPClass> {
    match class {
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
            bail!("the broker closed the channel: {}", close.reply_text)
        }
        AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
            bail!("the broker closed the connection: {}", close.reply_text)
        }
        class => Ok(class),
    }
}
