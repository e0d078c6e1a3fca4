//! A blocking AMQP connection with one channel, over the broker's own codec. Lean enough that the
//! broker is what is busy. Not a client library: an end of the connection is an outcome here.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use warren::amqp::frame::{Cut, Frame, FrameKind, PROTOCOL_HEADER, cut};
use warren::amqp::method::{self, Method};
use warren::amqp::{
    AMQPClass, AMQPValue, FieldTable, basic, channel, confirm, connection, exchange, queue,
    short_string, write,
};

pub const CHANNEL: u16 = 1;
pub const FRAME_MAX: u32 = 131_072;

/// How long a call may take; a broker on a slow disk syncs a few times for one.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How often one who waits for frames looks up.
const POLL: Duration = Duration::from_millis(20);

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With connection.close or channel.close.
    Closed { code: u16, text: String },
    /// Without a word.
    Lost(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Closed { code, text } => write!(formatter, "closed with {code} {text}"),
            Ended::Lost(why) => write!(formatter, "lost: {why}"),
        }
    }
}

impl std::error::Error for Ended {}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Ended {
        Ended::Lost(error.to_string())
    }
}

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Connection {
    /// Logs in as guest and opens the channel.
    pub fn open(address: &str) -> Result<Connection, Ended> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(CALL_TIMEOUT))?;
        let mut this = Connection {
            stream,
            buffer: vec![0; 256 << 10],
            start: 0,
            end: 0,
        };
        this.stream.write_all(&PROTOCOL_HEADER)?;
        this.answer()?;
        this.call_on(
            0,
            AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
                client_properties: FieldTable::default(),
                mechanism: short_string("PLAIN"),
                response: "\0guest\0guest".into(),
                locale: short_string("en_US"),
            })),
        )?;
        this.send(
            0,
            AMQPClass::Connection(connection::AMQPMethod::TuneOk(connection::TuneOk {
                channel_max: 0,
                frame_max: FRAME_MAX,
                heartbeat: 0,
            })),
        )?;
        let virtual_host = short_string("/");
        let open = connection::AMQPMethod::Open(connection::Open { virtual_host });
        this.call_on(0, AMQPClass::Connection(open))?;
        let open = channel::AMQPMethod::Open(channel::Open {});
        this.call(AMQPClass::Channel(open))?;
        Ok(this)
    }

    /// The same socket for a second thread, which only writes.
    pub fn writer(&self) -> Result<TcpStream, Ended> {
        Ok(self.stream.try_clone()?)
    }

    /// From here on `wait` returns now and then without anything.
    pub fn poll(&mut self) -> Result<(), Ended> {
        Ok(self.stream.set_read_timeout(Some(POLL))?)
    }

    pub fn write(&mut self, octets: &[u8]) -> Result<(), Ended> {
        Ok(self.stream.write_all(octets)?)
    }

    /// Reads once; false when nothing came.
    pub fn wait(&mut self) -> Result<bool, Ended> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => Err(Ended::Lost("end of stream".to_owned())),
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

    /// The next whole frame of what was read.
    pub fn frame(&mut self) -> Result<Option<Frame<'_>>, Ended> {
        match cut(&self.buffer[self.start..self.end], FRAME_MAX) {
            Ok(Cut::Frame { frame, length }) => {
                self.start += length;
                Ok(Some(frame))
            }
            Ok(Cut::Incomplete) => Ok(None),
            Err(error) => Err(Ended::Lost(format!("not a frame: {error:?}"))),
        }
    }

    fn send(&mut self, channel: u16, class: AMQPClass) -> Result<(), Ended> {
        let mut out = Vec::new();
        write::method(&mut out, channel, class);
        self.write(&out)
    }

    pub fn call(&mut self, class: AMQPClass) -> Result<AMQPClass, Ended> {
        self.call_on(CHANNEL, class)
    }

    fn call_on(&mut self, channel: u16, class: AMQPClass) -> Result<AMQPClass, Ended> {
        self.send(channel, class)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<AMQPClass, Ended> {
        loop {
            if let Some(frame) = self.frame()? {
                if frame.kind != FrameKind::Method {
                    continue;
                }
                return match method::parse(frame.payload) {
                    Ok(Method::Other(class)) => not_closed(*class),
                    other => Err(Ended::Lost(format!("expected an answer, got {other:?}"))),
                };
            }
            if !self.wait()? {
                return Err(Ended::Lost("the broker does not answer".to_owned()));
            }
        }
    }

    pub fn select_confirms(&mut self) -> Result<(), Ended> {
        let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
        self.call(AMQPClass::Confirm(select)).map(drop)
    }

    pub fn declare_queue(&mut self, name: &str) -> Result<(), Ended> {
        let declare = queue::Declare {
            queue: short_string(name),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        let declare = queue::AMQPMethod::Declare(declare);
        self.call(AMQPClass::Queue(declare)).map(drop)
    }

    pub fn declare_exchange(&mut self, name: &str, kind: &str) -> Result<(), Ended> {
        let mut arguments = FieldTable::default();
        if kind == "x-delayed-message" {
            let inner = AMQPValue::LongString("direct".into());
            arguments.insert(short_string("x-delayed-type"), inner);
        }
        let declare = exchange::Declare {
            exchange: short_string(name),
            kind: short_string(kind),
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            nowait: false,
            arguments,
        };
        let declare = exchange::AMQPMethod::Declare(declare);
        self.call(AMQPClass::Exchange(declare)).map(drop)
    }

    pub fn bind(&mut self, queue: &str, exchange: &str, key: &str) -> Result<(), Ended> {
        let bind = queue::Bind {
            queue: short_string(queue),
            exchange: short_string(exchange),
            routing_key: short_string(key),
            nowait: false,
            arguments: FieldTable::default(),
        };
        self.call(AMQPClass::Queue(queue::AMQPMethod::Bind(bind)))
            .map(drop)
    }

    /// Deliveries may follow the answer at once: `answer` leaves them in the buffer.
    pub fn consume(&mut self, queue: &str, prefetch: u16) -> Result<(), Ended> {
        let qos = basic::Qos {
            prefetch_count: prefetch,
            global: false,
        };
        self.call(AMQPClass::Basic(basic::AMQPMethod::Qos(qos)))?;
        let consume = basic::Consume {
            queue: short_string(queue),
            consumer_tag: short_string("crash"),
            no_local: false,
            no_ack: false,
            exclusive: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        self.call(AMQPClass::Basic(basic::AMQPMethod::Consume(consume)))
            .map(drop)
    }
}

/// Turns a close into the end that it is.
pub fn not_closed(class: AMQPClass) -> Result<AMQPClass, Ended> {
    let (code, text) = match class {
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
            (close.reply_code, close.reply_text)
        }
        AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
            (close.reply_code, close.reply_text)
        }
        class => return Ok(class),
    };
    Err(Ended::Closed {
        code,
        text: text.to_string(),
    })
}
