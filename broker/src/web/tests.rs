//! The client over pipes, against servers that are written out octet by octet.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::{Answer, Place, Reach, Reached, Request, Url, WebClient};

/// Hands out one pipe after the other.
struct Pipes(Mutex<Vec<DuplexStream>>);

impl Reach for Pipes {
    fn reach<'a>(&'a self, _: &'a Place) -> Reached<'a> {
        Box::pin(async {
            let pipe = self.0.lock().expect("not poisoned").pop();
            let pipe = pipe.ok_or_else(|| "refused".to_owned())?;
            Ok(Box::new(pipe) as Box<dyn crate::client::Stream>)
        })
    }
}

/// With so many pipes; the servers' ends are in the order in which they are handed out.
fn pipes(count: usize) -> (Pipes, Vec<DuplexStream>) {
    let (mut clients, servers): (Vec<_>, Vec<_>) = (0..count).map(|_| duplex(1 << 16)).unzip();
    clients.reverse();
    (Pipes(Mutex::new(clients)), servers)
}

fn request(method: &str, body: &[u8]) -> Request {
    let headers = vec![("X-A".to_owned(), "b".to_owned())];
    let url = "http://ann:p%40ss@h:81/path?x=1";
    Request::new(method.to_owned(), url, headers, body.to_vec(), 5_000).expect("valid")
}

async fn answered(octets: &[u8]) -> Result<Answer, String> {
    let (pipes, mut servers) = pipes(1);
    let mut server = servers.remove(0);
    server.write_all(octets).await.expect("room");
    server.shutdown().await.expect("ends");
    let answer = WebClient::default()
        .send(&pipes, &request("GET", b""))
        .await;
    drop(server);
    answer
}

#[test]
fn an_address_is_read_with_its_defaults() {
    let url = Url::parse("https://Example.com?q#f").expect("valid");
    assert_eq!(url.place.to_string(), "example.com:443");
    assert_eq!((url.target.as_str(), url.authorization), ("/?q", None));
    let url = Url::parse("http://[::1]:8080/a").expect("valid");
    assert_eq!(url.place.authority(), "[::1]:8080");
    for text in [
        "ftp://h/",
        "h/",
        "http://",
        "http://h:0/",
        "http://h:x/",
        "http://a b/",
        "http://h/\r\nx: y",
        "http://[h]/",
        "http://a:b:c/",
        "http://%zz@h/",
    ] {
        assert!(Url::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_head_says_who_asks_and_how_long_the_body_is() {
    let head = String::from_utf8(request("POST", b"abc").head()).expect("text");
    let expected = format!(
        "POST /path?x=1 HTTP/1.1\r\nhost: h:81\r\nX-A: b\r\nuser-agent: Warren/{}\r\n\
         authorization: Basic YW5uOnBAc3M=\r\ncontent-length: 3\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(head, expected);
}

#[test]
fn a_request_that_could_be_read_as_two_is_refused() {
    let refused = |method: &str, name: &str, value: &str| {
        let headers = vec![(name.to_owned(), value.to_owned())];
        Request::new(method.to_owned(), "http://h/", headers, Vec::new(), 0).is_err()
    };
    assert!(!refused("GET", "x", "y"));
    assert!(refused("GET", "x", "y\r\nz: a"));
    assert!(refused("GET", "x y", ""));
    assert!(refused("GET", "Content-Length", "1"));
    assert!(refused("GET", "Transfer-Encoding", "chunked"));
    assert!(refused("GET / HTTP/1.1\r\n", "x", "y"));
    assert!(refused("CONNECT", "x", "y"));
    let body = vec![0; (16 << 20) + 1];
    assert!(Request::new("PUT".into(), "http://h/", Vec::new(), body, 0).is_err());
}

#[tokio::test]
async fn a_body_ends_as_its_head_says() {
    let body = |answer: Result<Answer, String>| answer.expect("an answer").body;
    let known = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef").await;
    assert_eq!(body(known), b"abc");
    let chunked = answered(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\
          trailer: 1\r\n\r\n",
    );
    assert_eq!(body(chunked.await), b"abcde");
    let closed = answered(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 500 Oh\r\nA: B\r\n\r\nabc").await;
    let closed = closed.expect("an answer");
    assert_eq!((closed.status, closed.body.as_slice()), (500, &b"abc"[..]));
    assert_eq!(closed.headers, [("a".to_owned(), "B".to_owned())]);
    let none = answered(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(body(none), b"");
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_failure_in_words() {
    for (octets, expected) in [
        (&b"SSH-2.0-OpenSSH\r\n\r\n"[..], "not HTTP"),
        (b"", "before the answer"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "before the answer",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "more than",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "not clear",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
            "more than",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "a chunk",
        ),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "something else"),
    ] {
        let failed = answered(octets).await.expect_err("failed");
        assert!(failed.contains(expected), "{failed}");
        assert!(failed.starts_with("h:81: "), "{failed}");
        assert!(!failed.contains("p%40ss"), "{failed}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_until_the_server_closes_it() {
    let (pipes, mut servers) = pipes(2);
    let (mut first, mut second) = (servers.remove(0), servers.remove(0));
    let mut client = WebClient::default();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for _ in 0..2 {
        let serve = async {
            let read = first.read(&mut [0; 1024]).await.expect("a request");
            assert!(read > 0);
            first.write_all(answer).await.expect("room");
        };
        let request = request("GET", b"");
        let (sent, ()) = tokio::join!(client.send(&pipes, &request), serve);
        assert_eq!(sent.expect("an answer").status, 200);
    }
    drop(first);
    second.write_all(answer).await.expect("room");
    let sent = client.send(&pipes, &request("GET", b"")).await;
    assert_eq!(sent.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for() {
    let (pipes, servers) = pipes(1);
    let mut request = request("GET", b"");
    request.timeout = Duration::from_millis(50);
    let failed = WebClient::default().send(&pipes, &request).await;
    let failed = failed.expect_err("failed");
    assert!(failed.contains("no answer within 50ms"), "{failed}");
    drop(servers);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_counts() {
    let (pipes, mut servers) = pipes(1);
    let mut server = servers.remove(0);
    let early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
    server.write_all(early).await.expect("room");
    // More than the pipe holds, and nobody reads.
    let request = request("POST", &vec![0; 1 << 20]);
    let answer = WebClient::default().send(&pipes, &request).await;
    assert_eq!(answer.expect("an answer").status, 413);
}
