//! HTTP/1.1 on one socket: a request is read whole, answered, and the next one read. `httparse`
//! takes heads apart; bodies, keep-alive and bounds are here. Not what is asked and answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::answer::{Answer, Body};
use super::events::Listener;
use super::places::Place;
use super::request::{Method, Peer, Request};
use super::{Management, Service};

/// RabbitMQ takes definitions of 10 MB.
pub(super) const MAX_BODY: usize = 10 * 1024 * 1024;

/// Of request line and headers together; browsers send some hundred octets.
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;

/// A client that says nothing for so long loses its connection.
const IDLE: Duration = Duration::from_secs(60);

/// From the first octet of a request to its last, and for each write: slow senders hold a place.
const WHOLE: Duration = Duration::from_secs(30);

/// From the first octet of a request to the end of its head, which is one packet or two.
const HEAD: Duration = Duration::from_secs(10);

const READ: usize = 8 * 1024;

/// The connection is of no more use.
struct Gone;

impl From<std::io::Error> for Gone {
    fn from(_: std::io::Error) -> Gone {
        Gone
    }
}

enum Read {
    Request(Request),
    /// Nothing comes any more.
    End,
    /// Not a request: what to say before the connection is closed.
    Wrong(Answer),
}

struct Head {
    request: Request,
    length: usize,
    body: BodyLength,
    expects_continue: bool,
    keep_alive: bool,
}

enum BodyLength {
    Known(usize),
    Chunked,
}

/// Answers requests until one side has enough.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    peer: Peer,
    (house, service): (&Arc<Management>, Service),
    place: &Place,
) {
    let mut buffer = Vec::new();
    loop {
        let read = read_request(&mut stream, &mut buffer, peer).await;
        let (answer, method, keep_alive) = match read {
            Ok(Read::Request(request)) => {
                let (method, keep_alive) = (request.method, request.keep_alive);
                place.answering();
                (house.answer(service, request).await, method, keep_alive)
            }
            Ok(Read::Wrong(answer)) => (answer, Method::Get, false),
            Ok(Read::End) | Err(Gone) => return,
        };
        if let Body::Events(listener) = answer.body {
            let head = (answer.status, answer.headers);
            let _ = write_events(&mut stream, head, *listener, method).await;
            let _ = stream.shutdown().await;
            return;
        }
        if write_answer(&mut stream, answer, method, keep_alive)
            .await
            .is_err()
            || !keep_alive
        {
            let _ = stream.shutdown().await;
            return;
        }
        place.listening();
    }
}

async fn read_request<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    peer: Peer,
) -> Result<Read, Gone> {
    if buffer.is_empty() {
        // An idle connection keeps no buffer.
        *buffer = Vec::new();
        match timeout(IDLE, more(stream, buffer)).await {
            Ok(Ok(0)) | Err(_) => return Ok(Read::End),
            Ok(read) => read?,
        };
    }
    let whole = timeout(WHOLE, read_whole(stream, buffer, peer));
    whole.await.unwrap_or_else(|_| Ok(late()))
}

fn late() -> Read {
    let text = "the request did not come in time";
    Read::Wrong(Answer::error(408, "timeout", text))
}

/// The head, or what there is instead.
async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    peer: Peer,
) -> Result<Result<Head, Read>, Gone> {
    loop {
        match parse_head(buffer, peer) {
            Ok(Some(head)) if head.length <= MAX_HEAD => return Ok(Ok(head)),
            Ok(Some(_)) => return Ok(Err(wrong(431, "the head is too long"))),
            Ok(None) if buffer.len() > MAX_HEAD => {
                return Ok(Err(wrong(431, "the head is too long")));
            }
            Ok(None) => {}
            Err(text) => return Ok(Err(wrong(400, text))),
        }
        if more(stream, buffer).await? == 0 {
            return Ok(Err(Read::End));
        }
    }
}

async fn read_whole<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    peer: Peer,
) -> Result<Read, Gone> {
    let head = match timeout(HEAD, read_head(stream, buffer, peer)).await {
        Ok(read) => match read? {
            Ok(head) => head,
            Err(instead) => return Ok(instead),
        },
        Err(_) => return Ok(late()),
    };
    buffer.drain(..head.length);
    if head.expects_continue {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let mut request = head.request;
    request.keep_alive = head.keep_alive;
    request.body = match head.body {
        BodyLength::Known(length) if length > MAX_BODY => return Ok(too_large()),
        BodyLength::Known(length) => {
            while buffer.len() < length {
                if more(stream, buffer).await? == 0 {
                    return Ok(Read::End);
                }
            }
            buffer.drain(..length).collect()
        }
        BodyLength::Chunked => match read_chunks(stream, buffer).await? {
            Ok(body) => body,
            Err(answer) => return Ok(answer),
        },
    };
    Ok(Read::Request(request))
}

fn wrong(status: u16, text: &str) -> Read {
    Read::Wrong(Answer::error(status, "bad_request", text))
}

fn too_large() -> Read {
    let text = format!("the body is longer than {MAX_BODY} bytes");
    Read::Wrong(Answer::error(413, "bad_request", text))
}

async fn more<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Result<usize, Gone> {
    buffer.reserve(READ);
    Ok(stream.read_buf(buffer).await?)
}

/// `None`: more octets are wanted.
fn parse_head(buffer: &[u8], peer: Peer) -> Result<Option<Head>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("this is not HTTP"),
    };
    let method = Method::parse(parsed.method.unwrap_or_default());
    let target = parsed.path.unwrap_or_default();
    let headers = parsed.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value).into_owned();
        (header.name.to_ascii_lowercase(), value)
    });
    let request = Request::new(method, target, headers.collect(), peer);
    let chunked = request.header("transfer-encoding");
    let lengths: Vec<&str> = request.all("content-length").collect();
    let body = match (chunked, lengths.as_slice()) {
        (None, []) => BodyLength::Known(0),
        (None, [length]) => {
            BodyLength::Known(length.parse().map_err(|_| "content-length is none")?)
        }
        (Some(coding), []) if coding.eq_ignore_ascii_case("chunked") => BodyLength::Chunked,
        // What another server on the way may take for something else.
        (_, _) => return Err("the length of the body is not clear"),
    };
    let has = |name, word: &str| {
        let mut words = request.header(name).unwrap_or_default().split(',');
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    };
    let keep_alive = match parsed.version {
        Some(1) => !has("connection", "close"),
        Some(_) | None => has("connection", "keep-alive"),
    };
    let expects_continue = has("expect", "100-continue");
    Ok(Some(Head {
        length,
        body,
        expects_continue,
        keep_alive,
        request,
    }))
}

async fn read_chunks<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Result<Result<Vec<u8>, Read>, Gone> {
    let mut body = Vec::new();
    loop {
        match httparse::parse_chunk_size(buffer) {
            Ok(httparse::Status::Complete((start, size))) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                if size > MAX_BODY - body.len() {
                    return Ok(Err(too_large()));
                }
                let end = start + size;
                while buffer.len() < end + 2 {
                    if more(stream, buffer).await? == 0 {
                        return Err(Gone);
                    }
                }
                body.extend_from_slice(buffer.get(start..end).unwrap_or_default());
                if buffer.get(end..end + 2) != Some(b"\r\n") {
                    return Ok(Err(wrong(400, "a chunk or the trailer is none")));
                }
                buffer.drain(..end + 2);
                if size == 0 {
                    return Ok(Ok(body));
                }
                continue;
            }
            Ok(httparse::Status::Partial) if buffer.len() < READ => {}
            Ok(httparse::Status::Partial) | Err(_) => {
                return Ok(Err(wrong(400, "a chunk is none")));
            }
        }
        if more(stream, buffer).await? == 0 {
            return Err(Gone);
        }
    }
}

fn head_of(status: u16, headers: Vec<(&'static str, String)>) -> String {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in headers {
        // Nothing that came from outside may begin a line of its own.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}

/// Its end is the connection's. A client that does not read loses it, like any other.
async fn write_events<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    (status, headers): (u16, Vec<(&'static str, String)>),
    mut listener: Listener,
    method: Method,
) -> Result<(), Gone> {
    let mut head = head_of(status, headers);
    head.push_str("content-type: text/event-stream\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    if method == Method::Head {
        return Ok(());
    }
    let mut said = [0; 64];
    loop {
        let piece = tokio::select! {
            piece = listener.next() => piece.ok_or(Gone)?,
            read = stream.read(&mut said) => match read? {
                0 => return Ok(()),
                _ => continue,
            },
        };
        let written = async {
            stream.write_all(piece.as_bytes()).await?;
            stream.flush().await
        };
        timeout(WHOLE, written).await.map_err(|_| Gone)??;
    }
}

async fn write_answer<S: AsyncWrite + Unpin>(
    stream: &mut S,
    answer: Answer,
    method: Method,
    keep_alive: bool,
) -> Result<(), Gone> {
    let Answer {
        status,
        headers,
        body,
    } = answer;
    let mut head = head_of(status, headers);
    if !keep_alive {
        head.push_str("connection: close\r\n");
    }
    match &body {
        Body::None if status == 204 => {}
        Body::None | Body::Events(_) => head.push_str("content-length: 0\r\n"),
        Body::Some { kind, octets } => {
            head.push_str(&format!(
                "content-type: {kind}\r\ncontent-length: {}\r\n",
                octets.len()
            ));
        }
    }
    head.push_str("\r\n");
    let mut out = head.into_bytes();
    match body {
        Body::Some { octets, .. } if method != Method::Head => out.extend_from_slice(&octets),
        Body::Some { .. } | Body::None | Body::Events(_) => {}
    }
    let written = async {
        stream.write_all(&out).await?;
        stream.flush().await
    };
    timeout(WHOLE, written).await.map_err(|_| Gone)??;
    Ok(())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        303 => "See Other",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        421 => "Misdirected Request",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Option<Head>, &'static str> {
        parse_head(head.as_bytes(), Peer::nearby())
    }

    #[test]
    fn a_head_says_how_long_its_body_is() {
        let head = parse("PUT /a%2fb?x=1 HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}")
            .unwrap()
            .unwrap();
        assert!(matches!(head.body, BodyLength::Known(3)));
        assert!(head.keep_alive);
        assert_eq!(head.request.parts, ["a/b"]);
        assert_eq!(head.request.query("x"), Some("1"));
        assert!(parse("GET / HTTP/1.1\r\n").unwrap().is_none());
        assert!(!parse("GET / HTTP/1.0\r\n\r\n").unwrap().unwrap().keep_alive);
    }

    #[test]
    fn a_body_of_two_lengths_is_refused() {
        let lengths = "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n";
        assert!(parse(lengths).is_err());
        let both = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(parse(both).is_err());
        assert!(parse("POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n").is_err());
    }
}
