//! A client that works with octets, for what a well-behaved library would never do. Blocking.

use std::io;
use std::net::TcpStream;

use super::DEADLINE;

const FRAME_END: u8 = 0xCE;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub channel: u16,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn is_method(&self, class: u16, method: u16) -> bool {
        self.kind == 1 && self.payload.get(..4) == Some(&ids(class, method))
    }
}

fn ids(class: u16, method: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (class.to_be_bytes(), method.to_be_bytes());
    [a, b, c, d]
}

/// Over a socket, or what stands in for one.
pub struct Wire<S = TcpStream> {
    pub stream: S,
}

fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

fn long(octets: &[u8]) -> Vec<u8> {
    [&(octets.len() as u32).to_be_bytes(), octets].concat()
}

impl Wire {
    /// Connected, and nothing said.
    pub fn dial(address: &str) -> io::Result<Wire> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Wire { stream })
    }

    /// An open connection as guest with channel 1, without heartbeats. `frame_max` 0 leaves it to
    /// the broker.
    pub fn open(address: &str, frame_max: u32) -> io::Result<Wire> {
        let stream = Wire::dial(address)?.stream;
        Wire::log_in(stream, ("PLAIN", b"\0guest\0guest"), frame_max)
    }
}

impl<S: io::Read + io::Write> Wire<S> {
    /// The same over any stream, with this SASL mechanism and response.
    pub fn log_in(stream: S, login: (&str, &[u8]), frame_max: u32) -> io::Result<Wire<S>> {
        let mut wire = Wire { stream };
        let tune = wire.start(login)?;
        let tuned = match (frame_max, tune.payload.get(4..10)) {
            (0, Some(theirs)) => [theirs, &[0, 0]].concat(),
            (ours, _) => [&[0, 0][..], &ours.to_be_bytes(), &[0, 0]].concat(),
        };
        wire.method(0, 10, 31, &tuned)?;
        wire.method(0, 10, 40, &[short("/"), vec![0, 0]].concat())?;
        wire.expect(10, 41)?;
        wire.method(1, 20, 10, &[0])?;
        wire.expect(20, 11)?;
        Ok(wire)
    }

    /// From the protocol header to connection.tune.
    fn start(&mut self, (mechanism, response): (&str, &[u8])) -> io::Result<Frame> {
        self.greet()?;
        let capabilities = [
            &short("connection.blocked")[..],
            b"t\x01",
            &short("basic.nack"),
            b"t\x01",
            &short("authentication_failure_close"),
            b"t\x01",
        ]
        .concat();
        let properties = [&short("capabilities")[..], b"F", &long(&capabilities)].concat();
        let start_ok = [
            long(&properties),
            short(mechanism),
            long(response),
            short("en_US"),
        ];
        self.method(0, 10, 11, &start_ok.concat())?;
        self.expect(10, 30)
    }

    /// connection.start, which says what the broker offers.
    pub fn greet(&mut self) -> io::Result<Frame> {
        self.stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        self.expect(10, 10)
    }

    pub fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) -> io::Result<()> {
        let mut octets = Vec::with_capacity(payload.len() + 8);
        octets.push(kind);
        octets.extend(channel.to_be_bytes());
        octets.extend(long(payload));
        octets.push(FRAME_END);
        self.stream.write_all(&octets)
    }

    pub fn method(
        &mut self,
        channel: u16,
        class: u16,
        method: u16,
        arguments: &[u8],
    ) -> io::Result<()> {
        self.frame(1, channel, &[&ids(class, method)[..], arguments].concat())
    }

    /// basic.publish to the default exchange on channel 1, in bodies of at most `cut` octets.
    pub fn publish(&mut self, queue: &str, body: &[u8], cut: usize) -> io::Result<()> {
        self.publish_to(("", queue), body, cut)
    }

    /// The same to this exchange, with this routing key.
    pub fn publish_to(
        &mut self,
        (exchange, key): (&str, &str),
        body: &[u8],
        cut: usize,
    ) -> io::Result<()> {
        let method = [vec![0, 0], short(exchange), short(key), vec![0]].concat();
        self.method(1, 60, 40, &method)?;
        let size = (body.len() as u64).to_be_bytes();
        let header = [&[0, 60, 0, 0][..], &size, &[0, 0]].concat();
        self.frame(2, 1, &header)?;
        for part in body.chunks(cut) {
            self.frame(3, 1, part)?;
        }
        Ok(())
    }

    /// basic.consume on channel 1; the answer is read.
    pub fn consume(&mut self, queue: &str, no_ack: bool) -> io::Result<()> {
        let flags = u8::from(no_ack) << 1;
        let arguments = [vec![0, 0], short(queue), short("wire"), vec![flags]].concat();
        self.method(1, 60, 20, &[arguments, long(&[])].concat())?;
        self.expect(60, 21).map(drop)
    }

    pub fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 7];
        self.stream.read_exact(&mut head)?;
        let [kind, high, low, a, b, c, d] = head;
        let mut payload = vec![0; u32::from_be_bytes([a, b, c, d]) as usize];
        self.stream.read_exact(&mut payload)?;
        let mut end = [0];
        self.stream.read_exact(&mut end)?;
        assert_eq!(end, [FRAME_END], "a frame ends with its octet");
        let channel = u16::from_be_bytes([high, low]);
        Ok(Frame {
            kind,
            channel,
            payload,
        })
    }

    /// The next frame, which must be this method.
    pub fn expect(&mut self, class: u16, method: u16) -> io::Result<Frame> {
        let frame = self.read()?;
        if frame.is_method(class, method) {
            return Ok(frame);
        }
        let said = String::from_utf8_lossy(&frame.payload);
        let text = format!("expected method {class}.{method}, found {frame:?}: {said}");
        Err(io::Error::other(text))
    }
}
