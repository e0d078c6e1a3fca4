//! Components made on the spot, and what a test needs around a host.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::clock::{Clock, Millis};
use crate::message::Message;
use crate::names::Slot;
use crate::plugin::{Limits, LoadReport, PluginHost, PluginOptions, no_relief};
use crate::vhost::exchange_type::{
    BindRefusal, BindingTable, BindingView, Call, Decision, ExchangeInstance, ExchangeTypes,
    Moment, OpenRefusal, Opening, Routing,
};
use crate::vhost::kept::Kept;

/// `work` is how often the routing key `w` goes round its loop.
pub fn probe_text(type_name: &str, work: u32) -> String {
    include_str!("probe.wat")
        .replace("TYPE_NAME", type_name)
        .replace("TYPE_LENGTH", &type_name.len().to_string())
        .replace("WORK", &work.to_string())
}

pub fn probe_with(type_name: &str, work: u32) -> Vec<u8> {
    encode(&probe_text(type_name, work), &wit("0.1.0"))
}

pub fn probe(type_name: &str) -> Vec<u8> {
    probe_with(type_name, 1000)
}

/// The contract as if it had another version.
pub fn wit(version: &str) -> String {
    include_str!("../../../../wit/exchange/exchange.wit").replace("0.1.0", version)
}

pub fn encode(text: &str, wit: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).expect("assembles");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("exchange.wit", wit).expect("parses");
    let world = resolve
        .select_world(&[package], Some("exchange-plugin"))
        .expect("has the world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("embeds");
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .expect("is a module")
        .encode()
        .expect("encodes")
}

/// A folder that goes when it is dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("warren-plugin-{}-{next}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("makes a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A clock that stands still until it is told.
#[derive(Default)]
pub struct StillClock(AtomicU64);

impl StillClock {
    pub fn set(&self, now: Millis) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
pub struct Table(Mutex<Vec<(Slot, String)>>);

impl Table {
    pub fn insert(&self, slot: Slot, key: &str) {
        self.0.lock().push((slot, key.to_owned()));
    }

    pub fn remove(&self, slot: Slot) {
        self.0.lock().retain(|(known, _)| *known != slot);
    }
}

impl BindingTable for Table {
    fn for_each(&self, visit: &mut dyn FnMut(BindingView<'_>)) {
        for (slot, key) in self.0.lock().iter() {
            visit(BindingView {
                slot: *slot,
                routing_key: key,
                arguments: &[],
            });
        }
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

pub struct Bench {
    pub host: Arc<PluginHost>,
    pub clock: Arc<StillClock>,
    pub reports: Vec<LoadReport>,
    _folder: Folder,
}

/// Limits under which a busy test machine does not look like a slow plugin.
pub fn patient() -> Limits {
    Limits {
        bind_timeout: std::time::Duration::from_secs(5),
        ..Limits::default()
    }
}

impl Bench {
    pub fn new(plugins: &[(&str, &[u8])]) -> Bench {
        Bench::with(plugins, patient())
    }

    pub fn with(plugins: &[(&str, &[u8])], defaults: Limits) -> Bench {
        let folder = Folder::new();
        let options = PluginOptions {
            cache_dir: folder.0.join("cache"),
            trace_dir: folder.0.join("traces"),
            node: "test".to_owned(),
            compiler: None,
            plugins: Default::default(),
            defaults,
            relief: no_relief(),
        };
        let clock = Arc::new(StillClock::default());
        let (host, reports) = PluginHost::load(options, plugins, None, clock.clone());
        Bench {
            host,
            clock,
            reports,
            _folder: folder,
        }
    }

    pub fn try_open(&self, type_name: &str, arguments: &[u8]) -> Result<Exchange, OpenRefusal> {
        let opened = self.host.open(&Opening {
            vhost: "/",
            exchange: "orders",
            type_name,
            arguments,
            kept: &Kept::nowhere(),
        })?;
        Ok(Exchange {
            instance: opened.instance,
            inner_type: opened.inner_type,
            table: Arc::new(Table::default()),
        })
    }

    pub fn open(&self, type_name: &str, mode: &str) -> Exchange {
        self.try_open(type_name, mode.as_bytes()).expect("opens")
    }
}

pub struct Exchange {
    pub instance: Arc<dyn ExchangeInstance>,
    pub inner_type: Option<String>,
    pub table: Arc<Table>,
}

pub fn message(key: &str, properties: &[u8], body: &[u8]) -> Arc<Message> {
    let data = [key.as_bytes(), properties, body].concat();
    let message = Message::from_parts("orders".into(), key.len(), properties.len(), data);
    Arc::new(message.expect("fits"))
}

impl Exchange {
    pub fn bind(&self, slot: Slot, key: &str) -> Result<Vec<Arc<Message>>, BindRefusal> {
        self.table.insert(slot, key);
        let binding = BindingView {
            slot,
            routing_key: key,
            arguments: &[],
        };
        self.instance
            .bind(binding, &*self.table)
            .inspect_err(|_| self.table.remove(slot))
    }

    pub fn unbind(&self, slot: Slot) {
        self.table.remove(slot);
        self.instance.unbind(slot, &*self.table);
    }

    pub fn route_message(&self, message: &Message, moment: Moment) -> Routing {
        let message = message.view();
        self.instance.route(Call { moment, message }, &*self.table)
    }

    pub fn route(&self, key: &str) -> Routing {
        self.route_message(&message(key, &[0, 0], b""), Moment::Publish)
    }

    /// As the kernel does it: on the plugin's thread when it must be.
    pub fn route_anyhow(&self, key: &str) -> Routing {
        self.route_message_anyhow(&message(key, &[0, 0], b""), Moment::Publish)
    }

    pub fn route_message_anyhow(&self, message: &Arc<Message>, moment: Moment) -> Routing {
        match self.route_message(message, moment) {
            Routing::Later => match self.route_message_later(message, moment) {
                Ok(answer) => Routing::Now(answer),
                Err(fault) => Routing::Fault(fault),
            },
            decided => decided,
        }
    }

    pub fn route_later(
        &self,
        key: &str,
    ) -> Result<crate::vhost::exchange_type::Answer, crate::vhost::exchange_type::Fault> {
        self.route_message_later(&message(key, &[0, 0], b""), Moment::Publish)
    }

    fn route_message_later(
        &self,
        message: &Arc<Message>,
        moment: Moment,
    ) -> Result<crate::vhost::exchange_type::Answer, crate::vhost::exchange_type::Fault> {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.instance.route_later(
            moment,
            Arc::clone(message),
            self.table.clone(),
            Box::new(move |result| drop(sender.send(result))),
        );
        let result = receiver.recv().expect("is answered");
        assert!(receiver.recv().is_err(), "answered twice");
        result
    }
}

/// The slots of a decision, sorted.
pub fn slots(routing: Routing) -> Vec<Slot> {
    match routing {
        Routing::Now(answer) => match answer.decision {
            Decision::To(slots) => {
                let mut slots = slots.to_vec();
                slots.sort_unstable();
                slots
            }
            other => panic!("not slots: {other:?}"),
        },
        other => panic!("not decided: {other:?}"),
    }
}

pub fn fault(routing: Routing) -> String {
    match routing {
        Routing::Fault(fault) => fault.0,
        other => panic!("no fault: {other:?}"),
    }
}
