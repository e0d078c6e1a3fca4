//! An HTTP/1.1 client over any stream, for services and tracers: a request, its answer, and connections
//! kept for the next one. `httparse` takes heads apart; bodies, keep-alive and bounds are here. Not
//! sockets (whoever starts the broker hands streams in), and not the management API's server.

mod answer;
mod exchange;
mod request;
mod url;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::time::{Instant, timeout};

use crate::client::Stream;

pub use answer::Answer;
pub use request::{Invalid, Request};
pub use url::{Place, Url};

/// What `warren:service/http` promises.
const MOST_KEPT: usize = 8;
const KEPT_FOR: Duration = Duration::from_secs(30);

/// A connected stream, encrypted where the place says so, or why there is none.
pub type Reached<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Stream>, String>> + Send + 'a>>;

/// The way out. Asked only for what was granted.
pub trait Reach: Send + Sync {
    fn reach<'a>(&'a self, place: &'a Place) -> Reached<'a>;
}

/// Sends one request after the other. A connection that is cut in the middle of one is not kept.
#[derive(Default)]
pub struct WebClient {
    idle: Vec<Idle>,
}

struct Idle {
    place: Place,
    since: Instant,
    stream: Box<dyn Stream>,
}

impl WebClient {
    /// An error is the reason in words, with the server's name and nothing secret.
    pub async fn send(&mut self, reach: &dyn Reach, request: &Request) -> Result<Answer, String> {
        let limit = request.timeout;
        let place = &request.url.place;
        match timeout(limit, self.try_to_send(reach, request)).await {
            Ok(sent) => sent.map_err(|why| format!("{place}: {why}")),
            Err(_) => Err(format!("{place}: no answer within {limit:?}")),
        }
    }

    async fn try_to_send(
        &mut self,
        reach: &dyn Reach,
        request: &Request,
    ) -> Result<Answer, String> {
        let place = &request.url.place;
        let mut stream = match self.kept(place).await {
            Some(stream) => stream,
            None => reach.reach(place).await?,
        };
        let (answer, keep) = exchange::exchange(&mut stream, request).await?;
        if keep {
            self.idle.push(Idle {
                place: place.clone(),
                since: Instant::now(),
                stream,
            });
            if self.idle.len() > MOST_KEPT {
                self.idle.remove(0);
            }
        }
        Ok(answer)
    }

    /// A connection from before that still stands.
    async fn kept(&mut self, place: &Place) -> Option<Box<dyn Stream>> {
        self.idle.retain(|idle| idle.since.elapsed() < KEPT_FOR);
        loop {
            let mut fitting = self.idle.extract_if(.., |idle| idle.place == *place);
            let mut idle = fitting.next()?;
            drop(fitting);
            if is_silent(&mut idle.stream).await {
                return Some(idle.stream);
            }
        }
    }
}

/// Nothing was asked: a stream on which something can be read has ended, or is out of step.
async fn is_silent(stream: &mut Box<dyn Stream>) -> bool {
    let mut octet = [0; 1];
    poll_fn(|context| {
        let mut buffer = ReadBuf::new(&mut octet);
        let read = Pin::new(&mut *stream).poll_read(context, &mut buffer);
        Poll::Ready(read.is_pending())
    })
    .await
}

#[cfg(test)]
mod tests;
