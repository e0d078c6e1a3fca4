//! The composition root: puts the rooms together into a running broker, and takes it down again.
//! Decides nothing about messages.

mod alarms;
mod dial;
mod events;
mod management;
mod node;
mod plugin_changes;
mod queue_clock;
mod seed;
mod tls;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use crate::auth::{Remembered, Users};
use crate::clock::{Clock, SystemClock, SystemEntropy, Uptime};
use crate::config::{Config, ConfigError};
use crate::http::node::{Listener, Protocol};
use crate::net::{Acceptor, Gate};
use crate::plugin::service;
use crate::plugin::{
    BUILTIN, Limits, LoadReport, Outcome, PluginHost, PluginOptions, Plugins, Relief,
};
use crate::queue::{Pressure, Schedule};
use crate::session;
use crate::store::{Store, StoreOptions};
use crate::vhost::{Broker, Parts, WRITE_BEHIND};
use crate::web::Reach;
use events::Events;
use tls::Identities;

/// Connections get this long to take their leave.
const FAREWELL: Duration = Duration::from_secs(10);

/// After the disk has failed, clients get this long to hear of it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Reads the configuration again, from where it came from.
pub type Reread = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Runs the broker until it is told to stop. What cannot be started is an error.
pub fn serve(config: &Config, reread: Reread) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(config, reread, started))
}

/// The plugins that a broker with this configuration has.
pub fn load_plugins(config: &Config, relief: Relief) -> (Arc<PluginHost>, Vec<LoadReport>) {
    let options = PluginOptions {
        cache_dir: config.data_dir.join("plugin-cache"),
        trace_dir: config.data_dir.join("traces"),
        node: node::name(),
        compiler: std::env::current_exe().ok(),
        plugins: config.plugins.clone(),
        defaults: Limits::default(),
        relief,
    };
    let directory = config.plugins_dir.as_path();
    PluginHost::load(options, BUILTIN, Some(directory), Arc::new(SystemClock))
}

/// A task that does nothing still wakes a thread for it, which then waits for sockets.
fn relief() -> Relief {
    let runtime = Handle::current();
    Arc::new(move || drop(runtime.spawn(async {})))
}

async fn run(config: &Config, reread: Reread, started: Instant) -> anyhow::Result<ExitCode> {
    let seed_users = seed::users(config)?;
    let identities = Arc::new(Identities::load(config)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (store, mut recovered) =
        Store::open(StoreOptions::new(&config.data_dir), Arc::clone(&clock))?;
    let remembered = Remembered::take(&mut recovered.definitions)?;
    let (host, reports) = load_plugins(config, relief());
    report(&reports);
    let pressure = Arc::new(Pressure::default());
    let schedule = Arc::new(Schedule::default());
    let unwritten = Arc::new(Schedule::default());
    let uptime: Arc<dyn Clock> = Arc::new(Uptime::default());
    let parts = Parts {
        store: store.clone(),
        pressure: Arc::clone(&pressure),
        schedule: Arc::clone(&schedule),
        unwritten: Arc::clone(&unwritten),
        uptime: Arc::clone(&uptime),
        types: Arc::clone(&host) as Arc<dyn crate::vhost::exchange_type::ExchangeTypes>,
        clock: Arc::clone(&clock),
        entropy: Arc::new(SystemEntropy),
    };
    let broker = Broker::recover(parts, recovered, &seed::vhosts(config))?;
    let loopback = &config.loopback_users;
    let users = Users::recover(Arc::clone(&broker), remembered, seed_users, loopback)?;
    let gate = Arc::new(Gate::default());
    store.start(Arc::new(Events {
        broker: Arc::clone(&broker),
        gate: Arc::clone(&gate),
    }))?;
    broker.begin();
    let called = Arc::clone(&broker);
    let call = move |queue| called.call_queue(queue);
    tokio::spawn(queue_clock::run(schedule, Arc::clone(&clock), call));
    let called = Arc::clone(&broker);
    let write = move |queue| called.write_late(queue);
    tokio::spawn(queue_clock::run(unwritten, uptime, write));
    tokio::spawn(write_behind(Arc::clone(&broker)));
    let web: Arc<dyn Reach> = Arc::new(dial::Web::default());
    let plugins = Arc::new(Plugins::new(
        host,
        Arc::clone(&broker),
        &config.plugins_dir,
        Arc::clone(&web),
    ));
    let follow = plugin_changes::follow(Arc::clone(&plugins), Arc::clone(&identities), reread);
    tokio::spawn(follow);
    let users = Arc::new(users);
    let acceptor = acceptor(config, &broker, &users, &gate);
    let mut listeners = serve_amqp(config, &acceptor, &identities).await?;
    tokio::spawn(alarms::watch(
        (Arc::clone(&gate), Arc::clone(&broker)),
        pressure,
        config.limits.clone(),
        config.data_dir.clone(),
    ));
    let (sockets, at) = management::listen(config, &identities)?;
    listeners.extend(at);
    let this = node::ThisNode::new(config, clock, Arc::clone(&gate), listeners.clone());
    let services = start_services(&plugins, &broker, (acceptor, web), &this);
    management::start(&broker, (&users, &plugins), this, &gate, sockets)?;
    ready(&listeners, &reports, started);
    let code = wait_for_the_end(&gate).await?;
    if !gate.has_failed() {
        services.stop().await;
    }
    stop(&gate, &broker, &store).await?;
    Ok(code)
}

fn start_services(
    plugins: &Plugins,
    broker: &Arc<Broker>,
    (acceptor, web): (Acceptor, Arc<dyn Reach>),
    this: &node::ThisNode,
) -> Arc<service::Services> {
    let services = Arc::clone(plugins.services());
    services.start(service::Surroundings {
        broker: Arc::clone(broker),
        dial: Arc::new(dial::Dialler {
            acceptor,
            runtime: Handle::current(),
        }),
        web,
        entropy: Arc::new(SystemEntropy),
        node_name: this.node_name(),
    });
    services
}

async fn write_behind(broker: Arc<Broker>) {
    let mut ticks = tokio::time::interval(WRITE_BEHIND);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        broker.write_behind();
    }
}

fn acceptor(
    config: &Config,
    broker: &Arc<Broker>,
    users: &Arc<Users>,
    gate: &Arc<Gate>,
) -> Acceptor {
    Acceptor {
        broker: Arc::clone(broker),
        users: Arc::clone(users),
        limits: session::Limits {
            frame_max: config.amqp.frame_max,
            channel_max: config.amqp.channel_max,
            heartbeat: config.amqp.heartbeat,
            max_message_size: config.amqp.max_message_size,
            consumer_max_per_channel: config.amqp.consumer_max_per_channel,
            mechanisms: config.amqp.auth_mechanisms.as_slice().into(),
            anonymous: Arc::new(config.amqp.anonymous.clone()),
        },
        handshake_timeout: config.amqp.handshake_timeout,
        max_connections: config.amqp.max_connections as usize,
        gate: Arc::clone(gate),
        identity: None,
        joined: Arc::default(),
    }
}

async fn serve_amqp(
    config: &Config,
    acceptor: &Acceptor,
    identities: &Identities,
) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    let plain = config.amqp.listen.iter().map(|address| (address, None));
    let encrypted = config.amqp.tls_listen.iter();
    let encrypted = encrypted.map(|address| (address, identities.amqp.as_ref()));
    for (address, identity) in plain.chain(encrypted) {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        let at = listener.local_addr()?;
        listeners.push(node::listener(Protocol::Amqp, at, identity));
        let mut acceptor = acceptor.clone();
        acceptor.identity = identity.cloned();
        tokio::spawn(acceptor.accept(listener));
    }
    Ok(listeners)
}

fn ready(listeners: &[Listener], reports: &[LoadReport], started: Instant) {
    let mut addresses = Vec::new();
    for listener in listeners {
        let (protocol, address) = (listener.protocol_name(), listener.address);
        tracing::info!(protocol, %address, "listening");
        if listener.protocol == Protocol::Amqp {
            addresses.push(address.to_string());
        }
    }
    let loaded = reports
        .iter()
        .filter(|report| report.outcome == Outcome::Loaded);
    let plugins: Vec<&str> = loaded.map(|report| report.name.as_str()).collect();
    let line = format!(
        "Warren {} is ready on {} with plugins {} after {} ms",
        env!("CARGO_PKG_VERSION"),
        addresses.join(", "),
        plugins.join(", "),
        started.elapsed().as_millis()
    );
    // Whoever reads it may have gone; the broker serves all the same.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn report(reports: &[LoadReport]) {
    for report in reports {
        let (plugin, types) = (&report.name, report.types.join(", "));
        match &report.outcome {
            Outcome::Loaded => tracing::debug!(plugin, types, "plugin loaded"),
            Outcome::Idle => tracing::debug!(plugin, "plugin is loaded once it is needed"),
            Outcome::Disabled => tracing::info!(plugin, "plugin is disabled"),
            // The host has said so, with the reason.
            Outcome::Refused(_) => {}
        }
    }
}

/// Returns when the broker is to end, with what it should end with.
async fn wait_for_the_end(gate: &Gate) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        () = gate.failed() => {
            // Nothing can be made durable any more: no clean end is possible.
            let _ = tokio::time::timeout(LAST_WORDS, gate.empty()).await;
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn stop(gate: &Gate, broker: &Broker, store: &Store) -> anyhow::Result<()> {
    if gate.has_failed() {
        return Ok(());
    }
    gate.stop();
    if tokio::time::timeout(FAREWELL, gate.empty()).await.is_err() {
        tracing::warn!(
            connections = gate.connections(),
            "connections did not end in time"
        );
    }
    broker.note_redelivered();
    broker.write_all();
    let stats = store.stats();
    tracing::info!(
        by_sync = stats.confirmed_by_sync,
        by_acknowledgement = stats.confirmed_by_ack,
        syncs = stats.syncs,
        "confirmed since the start"
    );
    let store = store.clone();
    tokio::task::spawn_blocking(move || store.close()).await??;
    Ok(())
}

/// Every connection is a descriptor; the usual soft limit of 1024 is for programs that select().
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
