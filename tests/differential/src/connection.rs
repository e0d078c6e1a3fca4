//! A blocking connection: handshake, frames out, methods with their content in. It knows nothing of
//! scripts.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::codec::{
    self, FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_METHOD, Field, Fields, put_method,
};
use crate::spec::{self, Method};
use crate::value::{Table, Value};

/// Longer than any broker takes for an answer, short enough to live through a few that never come.
pub const PATIENCE: Duration = Duration::from_secs(5);

const READ_SIZE: usize = 64 << 10;

/// `amqp://user:password@host:port`, in the default virtual host.
#[derive(Clone, Debug)]
pub struct Address {
    pub host: String,
    pub user: String,
    pub password: String,
}

impl Address {
    pub fn parse(url: &str) -> Result<Address> {
        let rest = url.strip_prefix("amqp://").unwrap_or(url);
        let (login, host) = rest.rsplit_once('@').unwrap_or(("guest:guest", rest));
        let (user, password) = login.split_once(':').context("user:password@host:port")?;
        let host = host.split('/').next().unwrap_or(host);
        Ok(Address {
            host: host.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }
}

#[derive(Debug)]
pub struct Arrived {
    pub channel: u16,
    pub method: &'static Method,
    pub fields: Fields,
    pub content: Option<(Fields, Vec<u8>)>,
}

#[derive(Debug)]
pub enum Incoming {
    Method(Arrived),
    /// The socket has come to its end.
    Ended,
    /// Nothing came in time.
    Nothing,
}

struct Partial {
    method: &'static Method,
    fields: Fields,
    size: u64,
    properties: Fields,
    body: Vec<u8>,
}

pub struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    contents: HashMap<u16, Partial>,
    ended: bool,
    pub frame_max: usize,
}

impl Connection {
    pub fn open(address: &Address, frame_max: u32) -> Result<Connection> {
        let stream = TcpStream::connect(&address.host)
            .with_context(|| format!("cannot connect to {}", address.host))?;
        stream.set_nodelay(true)?;
        let mut connection = Connection {
            stream,
            inbox: Vec::new(),
            contents: HashMap::new(),
            ended: false,
            frame_max: frame_max as usize,
        };
        connection.stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        connection.expect("connection.start")?;
        let response = format!("\0{}\0{}", address.user, address.password);
        connection.call(
            "connection.start-ok",
            vec![
                ("client-properties", Field::Table(client_properties())),
                ("mechanism", Field::text("PLAIN")),
                ("response", Field::text(response)),
                ("locale", Field::text("en_US")),
            ],
        );
        connection.expect("connection.tune")?;
        connection.call(
            "connection.tune-ok",
            vec![
                ("channel-max", Field::Number(2047)),
                ("frame-max", Field::Number(u64::from(frame_max))),
            ],
        );
        connection.call("connection.open", vec![("virtual-host", Field::text("/"))]);
        connection.expect("connection.open-ok")?;
        Ok(connection)
    }

    fn call(&mut self, name: &str, fields: Fields) {
        self.method(0, spec::method(name), &fields);
    }

    fn expect(&mut self, name: &str) -> Result<()> {
        match self.next(PATIENCE)? {
            Incoming::Method(arrived) if arrived.method.name == name => Ok(()),
            other => bail!("expected {name}, got {other:?}"),
        }
    }

    /// A socket that the broker has closed shows when it is read.
    pub fn send(&mut self, octets: &[u8]) {
        let _ = self.stream.write_all(octets);
    }

    pub fn method(&mut self, channel: u16, method: &Method, fields: &Fields) {
        let mut out = Vec::new();
        put_method(&mut out, channel, method, fields);
        self.send(&out);
    }

    pub fn shut(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.ended = true;
    }

    pub fn next(&mut self, patience: Duration) -> Result<Incoming> {
        let until = Instant::now() + patience;
        loop {
            while let Some((kind, channel, payload)) = self.cut()? {
                if let Some(arrived) = self.frame(kind, channel, &payload)? {
                    return Ok(Incoming::Method(arrived));
                }
            }
            if self.ended {
                return Ok(Incoming::Ended);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Incoming::Nothing);
            }
            self.fill(left)?;
        }
    }

    fn fill(&mut self, patience: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        let before = self.inbox.len();
        self.inbox.resize(before + READ_SIZE, 0);
        let read = self.stream.read(&mut self.inbox[before..]);
        let length = *read.as_ref().unwrap_or(&0);
        self.inbox.truncate(before + length);
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                _ => self.ended = true,
            },
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<Option<(u8, u16, Vec<u8>)>> {
        if self.inbox.starts_with(b"AMQP") {
            self.inbox.clear();
            return Ok(None);
        }
        let [kind, high, low, a, b, c, d, rest @ ..] = &self.inbox[..] else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (Some(payload), Some(end)) = (rest.get(..length), rest.get(length)) else {
            return Ok(None);
        };
        if *end != FRAME_END {
            bail!("the broker's frame ends with {end}");
        }
        let frame = (*kind, u16::from_be_bytes([*high, *low]), payload.to_vec());
        self.inbox.drain(..length + 8);
        Ok(Some(frame))
    }

    /// A method, once its content is whole.
    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) -> Result<Option<Arrived>> {
        match kind {
            FRAME_METHOD => {
                let (method, fields) = codec::method(payload)?;
                if !method.has_content() {
                    return Ok(Some(Arrived {
                        channel,
                        method,
                        fields,
                        content: None,
                    }));
                }
                let partial = Partial {
                    method,
                    fields,
                    size: u64::MAX,
                    properties: Vec::new(),
                    body: Vec::new(),
                };
                if self.contents.insert(channel, partial).is_some() {
                    bail!("a content of the broker is broken off by {}", method.name);
                }
            }
            FRAME_HEADER => {
                let partial = self.contents.get_mut(&channel).context("a stray header")?;
                (partial.size, partial.properties) = codec::header(payload)?;
            }
            FRAME_BODY => {
                let partial = self.contents.get_mut(&channel).context("a stray body")?;
                partial.body.extend(payload);
            }
            _ => return Ok(None),
        }
        let whole = |partial: &Partial| partial.body.len() as u64 >= partial.size;
        if !self.contents.get(&channel).is_some_and(whole) {
            return Ok(None);
        }
        let whole = self.contents.remove(&channel);
        Ok(whole.map(|partial| Arrived {
            channel,
            method: partial.method,
            fields: partial.fields,
            content: Some((partial.properties, partial.body)),
        }))
    }
}

fn client_properties() -> Table {
    let capabilities = [
        "authentication_failure_close",
        "basic.nack",
        "connection.blocked",
        "consumer_cancel_notify",
        "exchange_exchange_bindings",
        "publisher_confirms",
    ];
    let capabilities = capabilities.map(|name| (name.as_bytes().to_vec(), Value::Bool(true)));
    vec![
        (b"product".to_vec(), Value::text("differential test")),
        (
            b"capabilities".to_vec(),
            Value::Table(capabilities.to_vec()),
        ),
    ]
}
