//! One request and its answer on a stream.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::answer::{self, Answer, BodyEnd, Head};
use super::request::Request;

/// `warren:service/http` promises so much.
const MAX_BODY: usize = 8 << 20;

const READ: usize = 8 << 10;

/// Of a line that says how long a chunk is, and of each after the last one.
const MAX_LINE: usize = 4 << 10;

/// The answer, and whether the stream is good for another one.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &Request,
) -> Result<(Answer, bool), String> {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut writing = std::pin::pin!(async {
        to.write_all(&request.head()).await?;
        to.write_all(&request.body).await?;
        to.flush().await
    });
    let mut reading = std::pin::pin!(read(&mut from, &request.method));
    // A server may answer, and close, before it has read all of a request.
    tokio::select! {
        read = &mut reading => read.map(|(answer, _)| (answer, false)),
        written = &mut writing => match (reading.await, written) {
            (Ok((answer, keep)), written) => Ok((answer, keep && written.is_ok())),
            (Err(_), Err(error)) => Err(error.to_string()),
            (Err(why), Ok(())) => Err(why),
        },
    }
}

async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    method: &str,
) -> Result<(Answer, bool), String> {
    let mut buffer = Vec::new();
    let head = loop {
        let head = head(stream, &mut buffer, method).await?;
        buffer.drain(..head.length);
        match head.answer.status {
            101 => return Err("the server speaks something else".to_owned()),
            100..=199 => {}
            _ => break head,
        }
    };
    let mut answer = head.answer;
    answer.body = match head.body {
        BodyEnd::After(length) if length > MAX_BODY => return Err(too_long()),
        BodyEnd::After(length) => {
            fill(stream, &mut buffer, length).await?;
            buffer.drain(..length).collect()
        }
        BodyEnd::Chunked => chunks(stream, &mut buffer).await?,
        BodyEnd::Closed => {
            while more(stream, &mut buffer).await? > 0 {
                if buffer.len() > MAX_BODY {
                    return Err(too_long());
                }
            }
            std::mem::take(&mut buffer)
        }
    };
    // What comes unasked belongs to no request of ours.
    Ok((answer, head.keep_alive && buffer.is_empty()))
}

fn too_long() -> String {
    format!("the answer has more than {MAX_BODY} octets")
}

fn cut() -> String {
    "the connection ended before the answer".to_owned()
}

async fn head<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    method: &str,
) -> Result<Head, String> {
    loop {
        if let Some(head) = answer::parse(buffer, method)? {
            return Ok(head);
        }
        if more(stream, buffer).await? == 0 {
            return Err(cut());
        }
    }
}

async fn more<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Result<usize, String> {
    buffer.reserve(READ);
    let read = stream.read_buf(buffer).await;
    read.map_err(|error| error.to_string())
}

async fn fill<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    length: usize,
) -> Result<(), String> {
    while buffer.len() < length {
        if more(stream, buffer).await? == 0 {
            return Err(cut());
        }
    }
    Ok(())
}

async fn chunks<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let (start, size) = chunk_size(stream, buffer).await?;
        buffer.drain(..start);
        if size == 0 {
            trailer(stream, buffer).await?;
            return Ok(body);
        }
        if size > MAX_BODY - body.len() {
            return Err(too_long());
        }
        fill(stream, buffer, size + 2).await?;
        body.extend(buffer.drain(..size));
        if !buffer.starts_with(b"\r\n") {
            return Err("a chunk of the answer is none".to_owned());
        }
        buffer.drain(..2);
    }
}

async fn chunk_size<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Result<(usize, usize), String> {
    loop {
        match httparse::parse_chunk_size(buffer) {
            Ok(httparse::Status::Complete((start, size))) => {
                return Ok((start, usize::try_from(size).unwrap_or(usize::MAX)));
            }
            Ok(httparse::Status::Partial) if buffer.len() < MAX_LINE => {}
            Ok(httparse::Status::Partial) | Err(_) => {
                return Err("a chunk of the answer is none".to_owned());
            }
        }
        if more(stream, buffer).await? == 0 {
            return Err(cut());
        }
    }
}

/// Lines up to the empty one.
async fn trailer<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Result<(), String> {
    loop {
        let end = buffer.windows(2).position(|two| two == b"\r\n");
        match end {
            Some(end) => {
                buffer.drain(..end + 2);
                if end == 0 {
                    return Ok(());
                }
            }
            None if buffer.len() > MAX_LINE => {
                return Err("the end of the answer is too long".to_owned());
            }
            None => {
                if more(stream, buffer).await? == 0 {
                    return Err(cut());
                }
            }
        }
    }
}
