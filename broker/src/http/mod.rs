//! The management API: RabbitMQ's HTTP API over the same doors that AMQP and recovery use. It has a
//! thread of its own, so that a list of ten thousand queues stands in no publisher's way. Not the
//! listeners of AMQP (see `net/`), and no state but what was counted.

mod about;
mod answer;
mod bindings;
mod call;
mod channels;
mod connections;
mod consumers;
mod definitions;
mod events;
mod exchanges;
mod explain;
mod exposition;
mod fields;
mod health;
mod import;
mod limits;
mod listing;
mod login;
mod messages;
mod metrics;
mod moving;
pub mod node;
mod nodes;
mod objects;
mod overview;
mod parameters;
mod permissions;
mod places;
mod plugins;
mod policies;
mod preview;
mod publish;
mod queues;
mod request;
mod routes;
mod samples;
mod services;
mod stats;
mod taking;
mod traces;
mod ui;
mod users;
mod vhosts;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::auth::Users;
use crate::plugin::Plugins;
use crate::tls::{Encrypted, Identity};
use crate::vhost::{Broker, Saved};
use answer::{Answer, Failure};
use call::{Call, Outcome};
use events::Heart;
use login::{Attempts, User};
use node::Node;
use places::{Place, Places};
use request::{Method, Peer, Request};
use samples::Samples;
use ui::Sessions;

/// How long to leave the listener alone when the process has no file descriptors left.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(200);

/// RabbitMQ's version that this API is like.
const VERSION: &str = "4.2.0";

/// The one path whose answer is not JSON.
const EVENTS: &str = "/api/warren/events";

/// Who the broker is: sent along with every answer but not in it.
const POLICY: &str = "default-src 'self'; object-src 'none'; frame-ancestors 'none'";

pub struct Management {
    broker: Arc<Broker>,
    users: Arc<Users>,
    plugins: Arc<Plugins>,
    node: Arc<dyn Node>,
    samples: Samples,
    heart: Heart,
    attempts: Attempts,
    places: Arc<Places>,
    sessions: Sessions,
}

/// What is served on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Api,
    Metrics,
}

/// A listener, and what is behind it.
pub struct Door {
    pub service: Service,
    /// Of an encrypted listener.
    pub identity: Option<Arc<Identity>>,
    pub socket: std::net::TcpListener,
}

impl Management {
    pub fn new(
        broker: Arc<Broker>,
        users: Arc<Users>,
        plugins: Arc<Plugins>,
        node: Arc<dyn Node>,
    ) -> Arc<Management> {
        Arc::new(Management {
            broker,
            users,
            plugins,
            node,
            samples: Samples::default(),
            heart: Heart::default(),
            attempts: Attempts::default(),
            places: Arc::default(),
            sessions: Sessions::default(),
        })
    }

    /// Serves on a thread of its own until `stop` comes or its sender is gone.
    pub fn start(
        self: &Arc<Self>,
        doors: Vec<Door>,
        stop: oneshot::Receiver<()>,
    ) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let house = Arc::clone(self);
        let serve = move || {
            runtime.block_on(async move {
                for door in doors {
                    tokio::spawn(Arc::clone(&house).accept(door));
                }
                tokio::spawn(Arc::clone(&house).beat());
                tokio::spawn(house.sample());
                let _ = stop.await;
            });
        };
        std::thread::Builder::new()
            .name("management".to_owned())
            .spawn(serve)?;
        Ok(())
    }

    async fn accept(self: Arc<Self>, door: Door) {
        let listener = match TcpListener::from_std(door.socket) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "no management"),
        };
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match self.places.take(peer.ip().to_canonical()) {
                    None => tracing::warn!(%peer, "too many management connections"),
                    Some(place) => {
                        let house = Arc::clone(&self);
                        let identity = door.identity.clone();
                        tokio::spawn(async move {
                            let served =
                                house.serve(door.service, identity, (stream, peer), &place);
                            tokio::select! {
                                () = served => {}
                                () = place.dismissed() => {}
                            }
                        });
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a management connection");
                    tokio::time::sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
                }
            }
        }
    }

    async fn serve(
        self: &Arc<Self>,
        service: Service,
        identity: Option<Arc<Identity>>,
        (stream, address): (TcpStream, SocketAddr),
        place: &Place,
    ) {
        let peer = Peer {
            address,
            encrypted: identity.is_some(),
        };
        let Some(identity) = identity else {
            return wire::serve(stream, peer, (self, service), place).await;
        };
        match Encrypted::accept(&identity, stream).await {
            Ok((stream, _)) => wire::serve(stream, peer, (self, service), place).await,
            Err(error) => tracing::info!(%peer, %error, "TLS handshake failed (HTTP)"),
        }
    }

    async fn sample(self: Arc<Self>) {
        let mut interval = tokio::time::interval(Duration::from_millis(samples::INTERVAL));
        loop {
            interval.tick().await;
            let now = self.node.now();
            if self.samples.is_wanted(now) {
                self.take_sample(now);
            } else {
                self.samples.forget();
            }
        }
    }

    async fn answer(self: &Arc<Self>, service: Service, request: Request) -> Answer {
        match service {
            Service::Api => self.answer_api(request).await,
            Service::Metrics => self.metrics(&request),
        }
    }

    async fn answer_api(self: &Arc<Self>, request: Request) -> Answer {
        if request.parts.first().is_none_or(|first| first != "api") {
            return ui::answer(self, request).await;
        }
        self.answer_to(None, request)
            .await
            .with("content-security-policy", POLICY)
            .with("x-content-type-options", "nosniff")
            .with("vary", "accept, accept-encoding, origin")
    }

    /// What the API says to this user, or to whom the request says it is from. The pages ask here,
    /// too: there is no other way to anything.
    async fn answer_to(self: &Arc<Self>, user: Option<User>, request: Request) -> Answer {
        let (method, path, peer) = (request.method, request.path.clone(), request.peer);
        let (user, answer) = self.answer_as(user, request).await;
        if method.changes() {
            let (method, status) = (method.name(), answer.status);
            // The body is left out: it may hold a password.
            tracing::info!(target: "warren::audit", user, %peer, method, path, status, "asked for");
        }
        answer
    }

    /// The answer, and who asked.
    async fn answer_as(self: &Arc<Self>, user: Option<User>, request: Request) -> (String, Answer) {
        let parts: Vec<&str> = request.parts.iter().skip(1).map(String::as_str).collect();
        let Some((route, captured)) = routes::find(&parts) else {
            return (String::new(), Failure::NotFound.answer());
        };
        let handler = match route.handler(request.method) {
            Some(handler) => handler,
            None if request.method == Method::Options => {
                return (
                    String::new(),
                    Answer::empty(200).with("allow", route.allow()),
                );
            }
            None => {
                return (
                    String::new(),
                    Answer::empty(405).with("allow", route.allow()),
                );
            }
        };
        let now = self.node.now();
        let user = match user.or_else(|| self.sessions.looking(&request, &self.users, now)) {
            Some(user) => user,
            None => match self.attempts.log_in(&request, &self.users, now) {
                Ok(user) => user,
                Err(answer) => return (String::new(), answer),
            },
        };
        let name = user.name.clone();
        if !accepts_json(&request) {
            return (name, Answer::empty(406));
        }
        if self.samples.asked(now) {
            self.take_sample(now);
        }
        let call = Call {
            house: Arc::clone(self),
            user,
            request,
            captured,
        };
        let answer = match route.check(&call) {
            Ok(()) => answered(handler(&call)).await,
            Err(failure) => failure.answer(),
        };
        (name, answer)
    }
}

async fn answered(handled: Result<Outcome, Failure>) -> Answer {
    let answer = match handled {
        Ok(Outcome::Now(answer)) => Ok(answer),
        Ok(Outcome::After(saved, answer)) => kept(saved).await.map(|()| answer),
        Ok(Outcome::Later(later)) => later.await,
        Err(failure) => Err(failure),
    };
    answer.unwrap_or_else(Failure::answer)
}

/// Waits until everything is on disk.
async fn kept(saved: Vec<Saved>) -> Result<(), Failure> {
    for saved in saved {
        match saved {
            Saved::Nothing => {}
            Saved::Later(done) => done.await.map_err(|_| {
                let reason = "the broker's disk has failed";
                Failure::Other(
                    503,
                    serde_json::json!({"error": "unavailable", "reason": reason}),
                )
            })?,
        }
    }
    Ok(())
}

fn accepts_json(request: &Request) -> bool {
    let Some(accept) = request.header("accept") else {
        return true;
    };
    accept.split(',').any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let events = request.path == EVENTS && kind == "text/event-stream";
        events || matches!(kind, "" | "*/*" | "application/*" | "application/json")
    })
}
