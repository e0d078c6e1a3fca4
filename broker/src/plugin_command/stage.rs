//! A component on the real host and the real kernel, with nothing around them: exchanges can be
//! declared, bound and published to. What is published is routed and not delivered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

use anyhow::{Context as _, bail};

use crate::clock::{SystemClock, SystemEntropy, Uptime};
use crate::error::Refusal;
use crate::message::Message;
use crate::names::{ConnectionId, Destination};
use crate::plugin::{
    self, BUILTIN, Intercepts, Limits, Outcome, PluginHost, PluginKind, PluginOptions,
    PluginSettings,
};
use crate::store::{Store, StoreOptions};
use crate::vhost::exchange_type::{Fault, Moment};
use crate::vhost::{
    BindingRequest, Broker, Exchange, ExchangeRequest, Memo, Parts, QueueRequest, Route, Seed,
    Step, Vhost, Waiting,
};

pub struct Stage {
    pub host: Arc<PluginHost>,
    pub vhost: Arc<Vhost>,
    /// The component's name.
    pub name: String,
    pub types: Vec<String>,
    /// It stands in front of every exchange here.
    pub is_interceptor: bool,
    _folder: Folder,
}

/// Where one message's walk has ended, and which headers it has then beside its own.
pub struct Played {
    pub end: End,
    pub set_headers: Vec<(String, Vec<u8>)>,
}

/// Where one message's walk has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// To these queues, sorted.
    Queues(Vec<String>),
    Held,
    Rejected(String),
    Failed(String),
}

/// Compiled components are kept for the next time; all else goes with this.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Stage {
    /// `configuration` is as in the plugin's table of a broker.
    pub fn open(component: &Path, configuration: serde_json::Value) -> anyhow::Result<Stage> {
        let shown = component.display();
        let bytes = std::fs::read(component)
            .with_context(|| format!("cannot read {shown}: run `warren plugin build` first"))?;
        let name = component.file_stem().unwrap_or_default().to_string_lossy();
        let name = name.into_owned();
        let folder = std::env::temp_dir().join(format!("warren-stage-{}", std::process::id()));
        let folder = Folder(folder);
        let is_interceptor = plugin::is_interceptor(&bytes);
        let everywhere = Intercepts {
            vhost: "/".to_owned(),
            exchange: None,
        };
        let settings = PluginSettings {
            config: configuration,
            intercepts: is_interceptor.then_some(everywhere).into_iter().collect(),
            ..PluginSettings::default()
        };
        let options = PluginOptions {
            cache_dir: super::compiled().unwrap_or_else(|| folder.0.join("cache")),
            trace_dir: folder.0.join("traces"),
            node: "stage".to_owned(),
            compiler: None,
            plugins: BTreeMap::from([(name.clone(), settings)]),
            defaults: Limits::default(),
            relief: plugin::no_relief(),
        };
        let others = BUILTIN.iter().filter(|(builtin, _)| *builtin != name);
        let mut plugins: Vec<(&str, &[u8])> = vec![(&name, &bytes)];
        plugins.extend(others);
        let (host, reports) = PluginHost::load(options, &plugins, None, Arc::new(SystemClock));
        let report = reports.into_iter().next().context("no plugin")?;
        if let Outcome::Refused(reason) = report.outcome {
            bail!("{shown} is refused: {reason}");
        }
        if report.kind == Some(PluginKind::Service) {
            bail!("{shown} is a service: it is not asked about messages, but runs in a broker");
        }
        let clock = Arc::new(SystemClock);
        let options = StoreOptions::new(folder.0.join("data"));
        let (store, recovered) = Store::open(options, clock.clone())?;
        let parts = Parts {
            schedule: Arc::default(),
            unwritten: Arc::default(),
            uptime: Arc::new(Uptime::default()),
            store,
            pressure: Arc::default(),
            types: host.clone(),
            clock,
            entropy: Arc::new(SystemEntropy),
        };
        let broker = Broker::recover(parts, recovered, &Seed::vhost("/"))?;
        Ok(Stage {
            host,
            vhost: broker.vhost("/").context("no virtual host")?,
            name,
            types: report.types,
            is_interceptor,
            _folder: folder,
        })
    }

    /// The error is what a client would see.
    pub fn declare(
        &self,
        name: &str,
        type_name: &str,
        arguments: Vec<u8>,
    ) -> Result<Arc<Exchange>, String> {
        let request = ExchangeRequest {
            name,
            type_name,
            durable: false,
            auto_delete: false,
            internal: false,
            arguments,
        };
        drop(
            self.vhost
                .declare_exchange(request)
                .map_err(Refusal::into_text)?,
        );
        let exchange = self.vhost.exchange(name);
        exchange.ok_or_else(|| "it is not there".to_owned())
    }

    /// To a queue of this name, which is declared where there is none.
    pub fn bind(
        &self,
        exchange: &Exchange,
        queue: &str,
        routing_key: &str,
        arguments: Vec<u8>,
    ) -> Result<(), String> {
        let request = QueueRequest {
            name: queue,
            server_named: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: Vec::new(),
        };
        let declared = self.vhost.declare_queue(request, ConnectionId(0));
        drop(declared.map_err(Refusal::into_text)?);
        let request = BindingRequest {
            source: exchange.name.to_string(),
            destination: Destination::Queue(queue.to_owned()),
            routing_key: routing_key.into(),
            arguments,
        };
        let bound = self.vhost.bind(&request);
        bound.map(drop).map_err(Refusal::into_text)
    }

    pub fn walk(&self, exchange: &Arc<Exchange>, message: &Arc<Message>, memo: &mut Memo) -> End {
        self.play(exchange, message, memo).end
    }

    pub fn play(
        &self,
        exchange: &Arc<Exchange>,
        message: &Arc<Message>,
        memo: &mut Memo,
    ) -> Played {
        let mut route = Route::default();
        route.start(exchange, Moment::Publish, Vec::new());
        let end = self.walk_to_the_end(&mut route, exchange, message, memo);
        let set_headers = std::mem::take(&mut route.set_headers);
        Played { end, set_headers }
    }

    fn walk_to_the_end(
        &self,
        route: &mut Route,
        exchange: &Exchange,
        message: &Arc<Message>,
        memo: &mut Memo,
    ) -> End {
        let front = exchange.front();
        let mut step = route.set_off(front, &self.vhost, &message.view(), memo);
        loop {
            step = match step {
                Step::Done if !route.holds.is_empty() => return End::Held,
                Step::Done => {
                    let queues = route.queues.iter();
                    let mut names: Vec<String> =
                        queues.map(|queue| queue.name.to_string()).collect();
                    names.sort();
                    return End::Queues(names);
                }
                Step::Rejected(text) => return End::Rejected(text),
                Step::Fault(Fault(text))
                | Step::Unseen {
                    fault: Fault(text), ..
                } => return End::Failed(text),
                Step::Later(waiting) => {
                    let answer = wait(&waiting, route.asked(&waiting, message));
                    match route.resume(&self.vhost, &waiting, answer) {
                        Step::Done => route.walk(&self.vhost, &message.view(), memo),
                        other @ (Step::Later(_)
                        | Step::Rejected(_)
                        | Step::Fault(_)
                        | Step::Unseen { .. }) => other,
                    }
                }
            };
        }
    }
}

fn wait(
    waiting: &Waiting,
    message: Arc<Message>,
) -> Result<crate::vhost::exchange_type::Answer, Fault> {
    let (done, answer) = mpsc::channel();
    let table = waiting.table();
    let tell = Box::new(move |result| drop(done.send(result)));
    let instance = Arc::clone(&waiting.instance);
    instance.route_later(waiting.moment, message, table, tell);
    let ended = || Err(Fault("the plugin's thread has ended".to_owned()));
    answer.recv().unwrap_or_else(|_| ended())
}
