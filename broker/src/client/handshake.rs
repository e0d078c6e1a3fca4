//! From a connected stream to an open channel. Sequential: nothing else happens on a connection
//! before it is open.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{CHANNEL, ClientError, Options, Stream};
use crate::amqp::frame::{Cut, FrameKind, PROTOCOL_HEADER, cut};
use crate::amqp::method::{self, Method};
use crate::amqp::{
    AMQPClass, AMQPValue, FieldTable, channel, confirm, connection, short_string, table, write,
};

/// The largest frame we agree to: RabbitMQ's own default.
const FRAME_MAX: u32 = 131_072;

/// The client property that a task of this broker is known by.
pub const SERVICE_TASK: &str = "service_task";

/// How long the peer may take for all of it.
const TIMEOUT: Duration = Duration::from_secs(30);

const READ_SIZE: usize = 16 << 10;

pub(super) struct Opened {
    pub frame_max: u32,
    pub heartbeat: u16,
    pub server_properties: Vec<u8>,
    /// What was read behind the last answer.
    pub rest: Vec<u8>,
}

struct Opening<'a> {
    stream: &'a mut Box<dyn Stream>,
    input: Vec<u8>,
}

pub(super) async fn open(
    stream: &mut Box<dyn Stream>,
    options: &Options,
) -> Result<Opened, ClientError> {
    let opening = Opening {
        stream,
        input: Vec::new(),
    };
    match tokio::time::timeout(TIMEOUT, opening.run(options)).await {
        Ok(opened) => opened,
        Err(_) => Err(ClientError::Lost("the peer does not answer".to_owned())),
    }
}

impl Opening<'_> {
    async fn run(mut self, options: &Options) -> Result<Opened, ClientError> {
        use connection::AMQPMethod::{Start, Tune};
        self.stream
            .write_all(&PROTOCOL_HEADER)
            .await
            .map_err(lost)?;
        let AMQPClass::Connection(Start(start)) = self.answer().await? else {
            return Err(unexpected("connection.start"));
        };
        let start_ok = connection::AMQPMethod::StartOk(connection::StartOk {
            client_properties: client_properties(options),
            mechanism: short_string(if options.by_certificate {
                "EXTERNAL"
            } else {
                "PLAIN"
            }),
            response: match options.by_certificate {
                true => String::new(),
                false => format!("\0{}\0{}", options.user, options.password),
            }
            .into(),
            locale: short_string("en_US"),
        });
        let tune = match self.call(0, AMQPClass::Connection(start_ok)).await {
            Err(ClientError::Refused { text, .. }) => return Err(ClientError::Lost(text)),
            other => other?,
        };
        let AMQPClass::Connection(Tune(tune)) = tune else {
            return Err(unexpected("connection.tune"));
        };
        let frame_max = match tune.frame_max {
            0 => FRAME_MAX,
            max => max.min(FRAME_MAX),
        };
        // As RabbitMQ's own client: the lower one, and zero is off.
        let heartbeat = match (options.heartbeat, tune.heartbeat) {
            (0, theirs) => theirs.min(options.heartbeat),
            (ours, 0) => ours,
            (ours, theirs) => ours.min(theirs),
        };
        let tune_ok = connection::AMQPMethod::TuneOk(connection::TuneOk {
            channel_max: tune.channel_max,
            frame_max,
            heartbeat,
        });
        self.send(0, AMQPClass::Connection(tune_ok)).await?;
        let open = connection::AMQPMethod::Open(connection::Open {
            virtual_host: short_string(&options.vhost),
        });
        self.call(0, AMQPClass::Connection(open)).await?;
        self.call(CHANNEL, channel_open()).await?;
        if options.confirms {
            self.call(CHANNEL, confirm_select()).await?;
        }
        Ok(Opened {
            frame_max,
            heartbeat,
            server_properties: table::encode(&start.server_properties),
            rest: self.input,
        })
    }

    async fn send(&mut self, channel: u16, class: AMQPClass) -> Result<(), ClientError> {
        let mut out = Vec::new();
        write::method(&mut out, channel, class);
        self.stream.write_all(&out).await.map_err(lost)
    }

    async fn call(&mut self, channel: u16, class: AMQPClass) -> Result<AMQPClass, ClientError> {
        self.send(channel, class).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<AMQPClass, ClientError> {
        loop {
            if let Some((class, length)) = first_method(&self.input)? {
                self.input.drain(..length);
                if let Some(class) = class {
                    return not_closed(class);
                }
                continue;
            }
            self.input.reserve(READ_SIZE);
            if self.stream.read_buf(&mut self.input).await.map_err(lost)? == 0 {
                return Err(ClientError::Lost(
                    "the peer closed the socket while the connection was opened".to_owned(),
                ));
            }
        }
    }
}

/// The first frame with its length, if it is whole; none for a heartbeat.
fn first_method(input: &[u8]) -> Result<Option<(Option<AMQPClass>, usize)>, ClientError> {
    let broken = |text: String| ClientError::Lost(text);
    match cut(input, FRAME_MAX).map_err(|error| broken(error.text()))? {
        Cut::Incomplete => Ok(None),
        Cut::Frame { frame, length } if frame.kind == FrameKind::Method => {
            let method = method::parse(frame.payload).map_err(|error| broken(error.text()))?;
            match method {
                Method::Other(class) => Ok(Some((Some(*class), length))),
                _ => Err(unexpected("an answer")),
            }
        }
        Cut::Frame { length, .. } => Ok(Some((None, length))),
    }
}

fn not_closed(class: AMQPClass) -> Result<AMQPClass, ClientError> {
    match class {
        AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
            Err(ClientError::Lost(close.reply_text.to_string()))
        }
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
            Err(ClientError::Lost(close.reply_text.to_string()))
        }
        class => Ok(class),
    }
}

pub(super) fn channel_open() -> AMQPClass {
    AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}))
}

pub(super) fn confirm_select() -> AMQPClass {
    AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select {
        nowait: false,
    }))
}

pub(super) fn lost(error: io::Error) -> ClientError {
    ClientError::Lost(error.to_string())
}

fn unexpected(wanted: &str) -> ClientError {
    ClientError::Lost(format!("expected {wanted} from the peer"))
}

/// What the peer may rely on.
fn client_properties(options: &Options) -> FieldTable {
    let mut capabilities = FieldTable::default();
    for capability in [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
    ] {
        capabilities.insert(short_string(capability), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    for (key, text) in [
        ("product", "Warren"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("connection_name", options.name.as_str()),
    ] {
        properties.insert(short_string(key), AMQPValue::LongString(text.into()));
    }
    if let Some(task) = &options.task {
        let task = AMQPValue::LongString(task.as_str().into());
        properties.insert(short_string(SERVICE_TASK), task);
    }
    let capabilities = AMQPValue::FieldTable(capabilities);
    properties.insert(short_string("capabilities"), capabilities);
    properties
}
