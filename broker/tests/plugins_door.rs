//! The door to a running broker's plugins, with a real kernel behind it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use warren::clock::{SystemClock, SystemEntropy};
use warren::message::MessageView;
use warren::names::{ConnectionId, Destination};
use warren::plugin::{
    BUILTIN, Limits, PluginError, PluginHost, PluginOptions, PluginSettings, PluginState, Plugins,
    no_relief,
};
use warren::store::{Store, StoreOptions};
use warren::vhost::exchange_type::Moment;
use warren::vhost::{
    BindingRequest, Broker, ExchangeRequest, Memo, Parts, QueueRequest, Route, Seed, Step, Vhost,
};
use warren::web::{Place, Reach, Reached};

/// No web server is there.
struct Nowhere;

impl Reach for Nowhere {
    fn reach<'a>(&'a self, _: &'a Place) -> Reached<'a> {
        Box::pin(async { Err("nobody is there".to_owned()) })
    }
}

struct House {
    plugins: Plugins,
    vhost: Arc<Vhost>,
    folder: PathBuf,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    std::fs::read(path.join(name)).expect("the fixture")
}

impl House {
    fn new(name: &str) -> House {
        let folder = std::env::temp_dir().join(format!("warren-{name}-{}", std::process::id()));
        let directory = folder.join("plugins");
        let options = PluginOptions {
            cache_dir: folder.join("cache"),
            trace_dir: folder.join("traces"),
            node: "test".to_owned(),
            compiler: None,
            plugins: Default::default(),
            defaults: Limits {
                // A busy machine must not look like a broken plugin.
                bind_timeout: std::time::Duration::from_secs(5),
                ..Limits::default()
            },
            relief: no_relief(),
        };
        let clock = Arc::new(SystemClock);
        let (host, _) = PluginHost::load(options, BUILTIN, Some(&directory), clock.clone());
        let (store, recovered) =
            Store::open(StoreOptions::new(folder.join("data")), clock.clone()).expect("a store");
        let parts = Parts {
            schedule: Arc::default(),
            unwritten: Arc::default(),
            uptime: Arc::new(warren::clock::Uptime::default()),
            store,
            pressure: Arc::default(),
            types: host.clone(),
            clock,
            entropy: Arc::new(SystemEntropy),
        };
        let broker = Broker::recover(parts, recovered, &Seed::vhost("/")).expect("a broker");
        let vhost = broker.vhost("/").expect("the virtual host");
        House {
            plugins: Plugins::new(host, broker, &directory, Arc::new(Nowhere)),
            vhost,
            folder,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("plugins/{name}.wasm"))
    }

    fn state(&self, name: &str) -> PluginState {
        self.plugins.get(name).expect("is known").state
    }

    /// An exchange of this type with one queue bound by `k`.
    fn declare(&self, name: &str, type_name: &str) -> Result<(), String> {
        let request = ExchangeRequest {
            name,
            type_name,
            durable: false,
            auto_delete: false,
            internal: false,
            arguments: Vec::new(),
        };
        let declared = self.vhost.declare_exchange(request);
        drop(declared.map_err(|refusal| refusal.into_text())?);
        let request = QueueRequest {
            name: "q",
            server_named: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: Vec::new(),
        };
        let declared = self.vhost.declare_queue(request, ConnectionId(0));
        drop(declared.map_err(|refusal| refusal.into_text())?);
        let request = BindingRequest {
            source: name.to_owned(),
            destination: Destination::Queue("q".to_owned()),
            routing_key: "k".into(),
            arguments: Vec::new(),
        };
        let bound = self.vhost.bind(&request);
        bound.map(drop).map_err(|refusal| refusal.into_text())
    }

    /// How many queues a message reaches; none where nobody can decide.
    fn route(&self, exchange: &str, routing_key: &str, memo: &mut Memo) -> Option<usize> {
        let exchange = self.vhost.exchange(exchange).expect("the exchange");
        let mut route = Route::default();
        route.start(&exchange, Moment::Publish, Vec::new());
        let message = MessageView {
            exchange: &exchange.name,
            routing_key,
            properties: &[0, 0],
            body: &[],
            dead_lettered: false,
        };
        match route.walk(&self.vhost, &message, memo) {
            Step::Done => Some(route.queues.len()),
            Step::Fault(_) | Step::Unseen { .. } => None,
            Step::Later(_) => panic!("slow"),
            Step::Rejected(text) => panic!("{text}"),
        }
    }
}

#[test]
fn a_plugin_comes_is_disabled_enabled_reloaded_and_goes() {
    let house = House::new("comes-and-goes");
    assert_eq!(house.plugins.list().len(), BUILTIN.len());
    let exact = fixture("exact.wasm");
    house.plugins.replace("exact", &exact).expect("is new");
    assert_eq!(house.state("exact"), PluginState::Running);
    assert!(house.file("exact").is_file());
    house.declare("x", "x-exact").expect("declares");
    let mut memo = Memo::default();
    assert_eq!(house.route("x", "k", &mut memo), Some(1));
    assert_eq!(house.route("x", "k", &mut memo), Some(1));

    house.plugins.disable("exact").expect("was enabled");
    assert_eq!(house.state("exact"), PluginState::Disabled);
    // Not even what was remembered is answered.
    assert_eq!(house.route("x", "k", &mut memo), None);
    let refused = house.declare("y", "x-exact").expect_err("disabled");
    assert_eq!(refused, "unknown exchange type 'x-exact'");
    house.plugins.enable("exact").expect("was disabled");
    assert_eq!(house.route("x", "k", &mut memo), Some(1));
    house.plugins.reload("exact").expect("is there");
    assert_eq!(house.route("x", "k", &mut memo), Some(1));
    assert_eq!(house.route("x", "other", &mut memo), Some(0));
    let status = house.plugins.get("exact").expect("is known");
    assert_eq!((status.replacements, status.exchanges), (1, 1));

    // What the folder says next is nothing new.
    house.plugins.look_into_folder();
    house.plugins.look_into_folder();
    let status = house.plugins.get("exact").expect("is known");
    assert_eq!(status.replacements, 1);
    house.plugins.remove("exact").expect("is there");
    assert!(house.plugins.get("exact").is_none() && !house.file("exact").exists());
    assert_eq!(house.route("x", "k", &mut memo), None);
    house.plugins.replace("exact", &exact).expect("comes back");
    assert_eq!(house.route("x", "k", &mut memo), Some(1));
}

#[test]
fn a_version_that_fails_is_rolled_back_also_on_disk() {
    let house = House::new("rolled-back");
    let exact = fixture("exact.wasm");
    house.plugins.replace("exact", &exact).expect("is new");
    house.declare("x", "x-exact").expect("declares");
    for bad in ["fault.wasm", "truncated.wasm", "imports-sockets.wasm"] {
        let refused = house.plugins.replace("exact", &fixture(bad));
        assert!(matches!(refused, Err(PluginError::Refused { .. })), "{bad}");
        let status = house.plugins.get("exact").expect("is known");
        assert_eq!(status.state, PluginState::Running);
        let PluginError::Refused { reason, .. } = refused.expect_err("refused") else {
            panic!("refused");
        };
        assert_eq!(status.rolled_back.expect("is noted").reason, reason);
        assert_eq!(std::fs::read(house.file("exact")).expect("reads"), exact);
        assert_eq!(house.route("x", "k", &mut Memo::default()), Some(1));
    }
    // One that never ran leaves nothing behind.
    let refused = house.plugins.replace("new", &fixture("truncated.wasm"));
    assert!(refused.is_err() && house.plugins.get("new").is_none());
    assert!(!house.file("new").exists());
}

#[test]
fn what_the_door_does_not_do_is_said() {
    let house = House::new("refusals");
    let exact = fixture("exact.wasm");
    let text = |result: Result<(), PluginError>| result.expect_err("refused").to_string();
    let builtin = "plugin 'topic' is built in: disable it, and give yours another name";
    assert_eq!(text(house.plugins.replace("topic", &exact)), builtin);
    assert_eq!(text(house.plugins.remove("topic")), builtin);
    assert_eq!(
        text(house.plugins.enable("none")),
        "there is no plugin 'none'"
    );
    for name in ["", "../exact", "a b", "a/b", ".hidden"] {
        let refused = house.plugins.replace(name, &exact).expect_err(name);
        assert!(matches!(refused, PluginError::BadName { .. }), "{name}");
    }
    // A type has one plugin.
    house.plugins.replace("exact", &exact).expect("is new");
    let second = text(house.plugins.replace("second", &exact));
    assert!(
        second.contains("belongs to the plugin \"exact\" already"),
        "{second}"
    );
}

#[test]
fn an_inner_type_that_goes_takes_the_outer_one_with_it_and_brings_it_back() {
    let house = House::new("inner");
    let mut arguments = vec![14];
    arguments.extend(b"x-delayed-typeS\0\0\0\x05topic");
    let request = ExchangeRequest {
        name: "later",
        type_name: "x-delayed-message",
        durable: false,
        auto_delete: false,
        internal: false,
        arguments,
    };
    drop(
        house
            .vhost
            .declare_exchange(request)
            .map_err(|refusal| refusal.into_text())
            .expect("declares"),
    );
    let mut memo = Memo::default();
    assert_eq!(house.route("later", "k", &mut memo), Some(0));
    house.plugins.disable("topic").expect("was enabled");
    assert_eq!(house.route("later", "k", &mut memo), None);
    house.plugins.enable("topic").expect("was disabled");
    assert_eq!(house.route("later", "k", &mut memo), Some(0));
}

#[test]
fn a_new_configuration_counts_for_the_plugins_it_names_and_takes_back_the_others() {
    let house = House::new("configured");
    let off = PluginSettings {
        enabled: false,
        ..PluginSettings::default()
    };
    let configured = [("topic".to_owned(), off)];
    house.plugins.reconfigure(configured.into_iter().collect());
    assert_eq!(house.state("topic"), PluginState::Disabled);
    assert_eq!(house.state("direct"), PluginState::Running);
    house.plugins.reconfigure(Default::default());
    assert_eq!(house.state("topic"), PluginState::Running);
    assert_eq!(
        house.plugins.get("direct").expect("is known").replacements,
        0
    );
}
