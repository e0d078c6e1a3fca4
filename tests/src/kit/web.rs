//! A little HTTP server of one test, on threads: remembers what it was asked, and answers as it is told.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::{ServerConnection, StreamOwned};

use super::Signed;

/// What was asked. Names of headers in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub target: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    Body(Vec<u8>),
    /// Waits until the server ends.
    Silence,
    /// Ends the connection.
    Cut,
}

type Answers = dyn Fn(&Asked) -> Answer + Send + Sync;

struct Inside {
    asked: Mutex<Vec<Asked>>,
    sockets: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
    answers: Box<Answers>,
    encryption: Option<Arc<ServerConfig>>,
}

/// Ends, with all its connections, when it is dropped.
pub struct WebServer {
    inside: Arc<Inside>,
    port: u16,
    listening: Option<thread::JoinHandle<()>>,
}

impl WebServer {
    pub fn start(answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> WebServer {
        WebServer::at(0, None, answers)
    }

    /// With this certificate.
    pub fn encrypted(
        signed: &Signed,
        answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> WebServer {
        WebServer::at(0, Some(signed.server_config()), answers)
    }

    /// On this port, as after one that ended; 0 is a free one.
    pub fn at(
        port: u16,
        encryption: Option<Arc<ServerConfig>>,
        answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> WebServer {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let inside = Arc::new(Inside {
            asked: Mutex::default(),
            sockets: Mutex::default(),
            ended: AtomicBool::new(false),
            answers: Box::new(answers),
            encryption,
        });
        let of = Arc::clone(&inside);
        let listening = thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if of.ended.load(Ordering::SeqCst) {
                    return;
                }
                let kept = socket.try_clone().expect("a descriptor");
                of.sockets
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(kept);
                let of = Arc::clone(&of);
                thread::spawn(move || of.serve(socket));
            }
        });
        WebServer {
            inside,
            port,
            listening: Some(listening),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        let scheme = match self.inside.encryption {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// In the order in which they came.
    pub fn asked(&self) -> Vec<Asked> {
        let asked = self.inside.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it, with all its connections: what it was asked, of which all but what was on its way has
    /// been answered.
    pub fn end(self) -> Vec<Asked> {
        let inside = Arc::clone(&self.inside);
        drop(self);
        let asked = inside.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        let sockets = self.inside.sockets.lock();
        sockets.unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.inside.ended.store(true, Ordering::SeqCst);
        // Wakes the listener.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
        let sockets = self.inside.sockets.lock();
        for socket in sockets.unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

trait Both: Read + Write {}
impl<S: Read + Write> Both for S {}

impl Inside {
    fn serve(&self, socket: TcpStream) {
        let cut = socket.try_clone().expect("a descriptor");
        let stream: Box<dyn Both> = match &self.encryption {
            None => Box::new(socket),
            Some(config) => {
                let session = ServerConnection::new(Arc::clone(config)).expect("a session");
                Box::new(StreamOwned::new(session, socket))
            }
        };
        let mut stream = BufReader::new(stream);
        while let Some(asked) = read(&mut stream) {
            let answer = (self.answers)(&asked);
            self.asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(asked);
            let (status, body) = match answer {
                Answer::Status(status) => (status, Vec::new()),
                Answer::Body(body) => (200, body),
                Answer::Silence => {
                    while !self.ended.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(5));
                    }
                    return;
                }
                Answer::Cut => {
                    let _ = cut.shutdown(Shutdown::Both);
                    return;
                }
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status} So\r\ncontent-length: {length}\r\n\r\n");
            let written = [head.as_bytes(), &body].concat();
            let stream = stream.get_mut();
            if stream.write_all(&written).is_err() || stream.flush().is_err() {
                return;
            }
        }
    }
}

fn read(stream: &mut BufReader<Box<dyn Both>>) -> Option<Asked> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut asked = Asked {
        method: words.next()?,
        target: words.next()?,
        ..Asked::default()
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        let name = name.to_ascii_lowercase();
        asked.headers.insert(name, value.trim().to_owned());
    }
    let length = asked.header("content-length");
    let length = length.map_or(0, |length| length.parse().expect("a length"));
    asked.body = vec![0; length];
    stream.read_exact(&mut asked.body).ok()?;
    Some(asked)
}
