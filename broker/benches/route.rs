//! Nanoseconds that one routing decision costs, by the ways to make it: an exchange type's own code
//! linked natively, the same code as a component in the plugin host, asked about each message by itself
//! and about as many keys at once as the kernel asks about, and the whole way to the queues: by the
//! native code's answer (`native walk`), and by the kernel's memo in front of the component. `cargo bench -p warren --bench route`; a word behind it picks rows by name
//! (`-- topic`).
//!
//! All rows take turns in every round, and what is counted is the thread's time on the processor,
//! so that a busy machine is busy for all of them alike. A ratio is the median, over the rounds, of
//! a row's time by that of its native row in the same round.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use smallvec::SmallVec;
use warren::clock::{SystemClock, SystemEntropy, Uptime};
use warren::message::MessageView;
use warren::names::{ConnectionId, Destination};
use warren::plugin::{BUILTIN, Limits, Outcome, PluginHost, PluginOptions, no_relief};
use warren::store::{Store, StoreOptions};
use warren::vhost::exchange_type::{
    Answer, BindingTable as _, Call, Decision, ExchangeInstance, ExchangeTypes as _, Moment,
    Opening, Routing,
};
use warren::vhost::{
    BindingRequest, Broker, Exchange, ExchangeRequest, Memo, Parts, QueueRequest, Route, Seed,
    Step, Target, Vhost,
};
use warren_plugin_sdk as sdk;

const ROUNDS: usize = 61;
const CALLS: usize = 4096;
const KEYS: usize = 1024;
/// The kernel asks about up to 64 keys that come together.
const TOGETHER: usize = 32;

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let wanted = wanted.unwrap_or_default();
    let folder = std::env::temp_dir().join(format!("warren-bench-{}", std::process::id()));
    let (host, vhost) = open(&folder);
    let mut rows = Vec::new();
    rows.extend(rows_of::<fanout::Fanout>(&host, &vhost, "fanout", 1));
    rows.extend(rows_of::<direct::Direct>(&host, &vhost, "direct", 100));
    rows.extend(rows_of::<direct::Direct>(&host, &vhost, "direct", 10_000));
    rows.extend(rows_of::<topic::Topic>(&host, &vhost, "topic", 100));
    rows.extend(rows_of::<topic::Topic>(&host, &vhost, "topic", 10_000));
    rows.retain(|row| row.name().contains(&wanted));
    for _ in 0..ROUNDS {
        for row in &mut rows {
            row.round();
        }
    }
    println!(
        "ns a decision                        median      25%      75%   native     walk  matches   later"
    );
    let (mut native, mut walk) = (None, None);
    for row in &rows {
        match row.kind {
            "native" => (native, walk) = (Some(row), None),
            "native walk" => walk = Some(row),
            _ => {}
        }
        row.print(native, walk);
    }
    let _ = std::fs::remove_dir_all(folder);
}

/// A virtual host with the plugins that are built in. Nothing of it is durable.
fn open(folder: &Path) -> (Arc<PluginHost>, Arc<Vhost>) {
    let options = PluginOptions {
        cache_dir: folder.join("cache"),
        trace_dir: folder.join("traces"),
        node: "test".to_owned(),
        compiler: None,
        plugins: Default::default(),
        defaults: Limits::default(),
        relief: no_relief(),
    };
    let measured = ["fanout", "direct", "topic"];
    let builtin = BUILTIN.iter().filter(|(name, _)| measured.contains(name));
    let builtin: Vec<_> = builtin.copied().collect();
    let (host, reports) = PluginHost::load(options, &builtin, None, Arc::new(SystemClock));
    for report in reports {
        assert_eq!(report.outcome, Outcome::Loaded, "{report:?}");
    }
    let clock = Arc::new(SystemClock);
    let options = StoreOptions::new(folder.join("data"));
    let (store, recovered) = Store::open(options, clock.clone()).expect("a store");
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
    let broker = Broker::recover(parts, recovered, &Seed::vhost("/")).expect("a broker");
    (host, broker.vhost("/").expect("the virtual host"))
}

struct Row {
    kind: &'static str,
    what: String,
    keys: Rc<[String]>,
    way: Box<dyn Way>,
    nanos: Vec<f64>,
    matches: usize,
    later: usize,
}

/// One way to decide: the number of matches, or none where another thread must be asked.
trait Way {
    fn decide(&mut self, key: &str) -> Option<usize>;
    /// The way back to this thread leads over fast calls on the other one.
    fn wait(&mut self, key: &str);
    /// Matches, and how many had to wait.
    fn decide_each(&mut self, keys: &[String]) -> (usize, usize) {
        let (mut matches, mut later) = (0, 0);
        for key in keys {
            match self.decide(key) {
                Some(found) => matches += found,
                None => {
                    later += 1;
                    self.wait(key);
                }
            }
        }
        (matches, later)
    }
}

fn rows_of<T: sdk::ExchangeType + 'static>(
    host: &PluginHost,
    vhost: &Arc<Vhost>,
    type_name: &'static str,
    bindings: usize,
) -> Vec<Row> {
    let patterns = patterns(type_name, bindings);
    let keys: Rc<[String]> = match type_name {
        // Keys that are bound.
        "direct" => patterns.iter().cycle().take(KEYS).cloned().collect(),
        _ => (0..KEYS).map(|number| key(number * 7 + 3)).collect(),
    };
    let exchange = declare(vhost, type_name, &patterns);
    let component = Component::open(host, type_name, &exchange);
    let together = Together(Component::open(host, type_name, &exchange));
    let memoised = Memoised {
        vhost: Arc::clone(vhost),
        exchange,
        route: Route::default(),
        memo: Memo::default(),
    };
    let walk = NativeWalk {
        native: Native::<T>::open(type_name, &patterns),
        exchange: Arc::clone(&memoised.exchange),
        route: Route::default(),
    };
    let ways: [(_, Box<dyn Way>); 5] = [
        ("native", Box::new(Native::<T>::open(type_name, &patterns))),
        ("native walk", Box::new(walk)),
        ("component", Box::new(component)),
        ("together", Box::new(together)),
        ("memoised", Box::new(memoised)),
    ];
    let row = |(kind, way)| Row {
        kind,
        what: format!("{type_name}, {bindings} bindings"),
        keys: Rc::clone(&keys),
        way,
        nanos: Vec::new(),
        matches: 0,
        later: 0,
    };
    ways.into_iter().map(row).collect()
}

impl Row {
    fn name(&self) -> String {
        format!("{}, {}", self.what, self.kind)
    }

    fn round(&mut self) {
        let begun = processor_time();
        let keys = self.keys.chunks(TOGETHER).cycle();
        for some in keys.take(CALLS / TOGETHER) {
            let (matches, later) = self.way.decide_each(some);
            self.matches += matches;
            self.later += later;
        }
        let nanos = (processor_time() - begun).as_nanos() as f64;
        self.nanos.push(nanos / CALLS as f64);
    }

    fn ratio(&self, other: Option<&Row>) -> String {
        other.map_or_else(String::new, |other| {
            let pairs = self.nanos.iter().zip(&other.nanos);
            let [_, ratio, _] = quartiles(pairs.map(|(own, other)| own / other).collect());
            format!("{ratio:.2}")
        })
    }

    fn print(&self, native: Option<&Row>, walk: Option<&Row>) {
        let [low, median, high] = quartiles(self.nanos.clone());
        let (ratio, of_walk) = (self.ratio(native), self.ratio(walk));
        println!(
            "{:<34} {median:>8.0} {low:>8.0} {high:>8.0} {ratio:>8} {of_walk:>8} {:>8.2} {:>7}",
            self.name(),
            self.matches as f64 / (ROUNDS * CALLS) as f64,
            self.later,
        );
    }
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|part| values[(values.len() - 1) * part / 4])
}

/// The type's own code, called as a component calls it, without the component.
struct Native<T>(T);

/// Only the routing key: nothing else is asked for here.
struct Key<'a>(&'a str);

impl<T: sdk::ExchangeType> Native<T> {
    fn open(type_name: &str, patterns: &[String]) -> Native<T> {
        let arguments = sdk::TableBuf::new();
        let opened = T::open(&sdk::Opening {
            vhost: "/",
            name: "bench",
            type_name,
            arguments: arguments.as_table(),
            configuration: "{}",
            host: &sdk::Host::new(std::rc::Rc::new(Silent)),
            state: &sdk::State::default(),
            history: &sdk::History::default(),
        });
        let mut exchange = opened.expect("opens");
        for (slot, routing_key) in (0..).zip(patterns) {
            let binding = sdk::Binding {
                slot,
                routing_key,
                arguments: arguments.as_table(),
            };
            exchange.bind(&binding).expect("binds");
        }
        Native(exchange)
    }
}

impl<T: sdk::ExchangeType> Way for Native<T> {
    fn decide(&mut self, key: &str) -> Option<usize> {
        let answer = self.0.route(&sdk::Message::new(&Key(key)));
        match std::hint::black_box(answer).decision {
            sdk::Decision::To(slots) => Some(slots.len()),
            other => panic!("not slots: {other:?}"),
        }
    }

    fn wait(&mut self, _: &str) {}
}

/// As a broker would route whose exchange types are its own code.
struct NativeWalk<T> {
    native: Native<T>,
    exchange: Arc<Exchange>,
    route: Route,
}

impl<T: sdk::ExchangeType> Way for NativeWalk<T> {
    fn decide(&mut self, key: &str) -> Option<usize> {
        self.route
            .start(&self.exchange, Moment::Publish, Vec::new());
        let answer = self.native.0.route(&sdk::Message::new(&Key(key)));
        let sdk::Decision::To(slots) = answer.decision else {
            panic!("not slots");
        };
        let generation = self.exchange.generation();
        let targets = self.exchange.targets(&slots, generation);
        for target in &targets.expect("nobody binds") {
            if let Target::Queue(queue) = target {
                self.route.add_queue(queue);
            }
        }
        Some(self.route.queues.len())
    }

    fn wait(&mut self, _: &str) {}
}

struct Silent;

impl sdk::HostFunctions for Silent {
    fn log(&self, _: sdk::Level, _: &str) {}

    fn now(&self) -> u64 {
        7
    }
}

impl sdk::MessageSource for Key<'_> {
    fn exchange(&self) -> String {
        String::new()
    }

    fn routing_key(&self) -> String {
        self.0.to_owned()
    }

    fn header(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn headers(&self) -> Vec<u8> {
        Vec::new()
    }

    fn properties(&self) -> Vec<u8> {
        Vec::new()
    }

    fn body_length(&self) -> u64 {
        0
    }

    fn body(&self, _: u64, _: u32) -> Vec<u8> {
        Vec::new()
    }
}

/// The plugin host's answer, every time anew.
struct Component {
    instance: Arc<dyn ExchangeInstance>,
    exchange: Arc<Exchange>,
}

impl Component {
    /// Another instance than the exchange's own, which the memoised row calls.
    fn open(host: &PluginHost, type_name: &str, exchange: &Arc<Exchange>) -> Component {
        let opening = Opening {
            vhost: "/",
            exchange: &exchange.name,
            type_name,
            arguments: &[],
            kept: exchange.kept(),
        };
        let Ok(opened) = host.open(&opening) else {
            panic!("{type_name} is built in");
        };
        exchange.for_each(&mut |binding| {
            opened.instance.bind(binding, &**exchange).expect("binds");
        });
        Component {
            instance: opened.instance,
            exchange: Arc::clone(exchange),
        }
    }
}

impl Way for Component {
    fn decide(&mut self, key: &str) -> Option<usize> {
        let call = Call {
            moment: Moment::Publish,
            message: message(&self.exchange.name, key),
        };
        match self.instance.route(call, &*self.exchange) {
            Routing::Now(answer) => Some(slots(&answer)),
            Routing::Later => None,
            Routing::Fault(fault) => panic!("{}", fault.0),
        }
    }

    fn wait(&mut self, key: &str) {
        let (sender, receiver) = channel();
        self.instance.route_later(
            Moment::Publish,
            Arc::new(message(&self.exchange.name, key).to_message()),
            Arc::clone(&self.exchange) as _,
            Box::new(move |result| {
                let _ = sender.send(result.is_ok());
            }),
        );
        assert_eq!(receiver.recv(), Ok(true));
    }
}

/// The plugin host's answers to many keys in one call, where the type has any by key.
struct Together(Component);

impl Way for Together {
    fn decide(&mut self, key: &str) -> Option<usize> {
        self.0.decide(key)
    }

    fn wait(&mut self, key: &str) {
        self.0.wait(key);
    }

    fn decide_each(&mut self, keys: &[String]) -> (usize, usize) {
        let mut rest: SmallVec<[&str; TOGETHER]> = keys.iter().map(String::as_str).collect();
        let (mut matches, mut later) = (0, 0);
        while let Some(first) = rest.first().copied() {
            let Component { instance, exchange } = &self.0;
            let answered = match instance.route_keys(&rest, &**exchange) {
                Some(answers) => {
                    let found = answers.iter().map(|slots| slots.expect("by key").len());
                    let counts: SmallVec<[usize; TOGETHER]> = found.collect();
                    matches += counts.iter().sum::<usize>();
                    counts.len()
                }
                None => {
                    let keys = [first.to_owned()];
                    let (found, waited) = self.0.decide_each(&keys);
                    matches += found;
                    later += waited;
                    1
                }
            };
            rest.drain(..answered);
        }
        (matches, later)
    }
}

fn slots(answer: &Answer) -> usize {
    match &answer.decision {
        Decision::To(slots) => slots.len(),
        other => panic!("not slots: {other:?}"),
    }
}

/// The kernel's whole walk from the exchange to the queues, which remembers all keys of this run.
struct Memoised {
    vhost: Arc<Vhost>,
    exchange: Arc<Exchange>,
    route: Route,
    memo: Memo,
}

impl Way for Memoised {
    fn decide(&mut self, key: &str) -> Option<usize> {
        let view = message(&self.exchange.name, key);
        self.route
            .start(&self.exchange, Moment::Publish, Vec::new());
        let front = self.exchange.front();
        match self
            .route
            .set_off(front, &self.vhost, &view, &mut self.memo)
        {
            Step::Done => Some(self.route.queues.len()),
            Step::Later(_) => None,
            Step::Rejected(text) => panic!("{text}"),
            Step::Fault(fault) | Step::Unseen { fault, .. } => panic!("{}", fault.0),
        }
    }

    fn wait(&mut self, _: &str) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn message<'a>(exchange: &'a Arc<str>, routing_key: &'a str) -> MessageView<'a> {
    MessageView {
        exchange,
        routing_key,
        properties: &[0, 0],
        body: &[],
        dead_lettered: false,
    }
}

/// An exchange of this type with a queue of its own for every binding.
fn declare(vhost: &Vhost, type_name: &str, patterns: &[String]) -> Arc<Exchange> {
    let name = format!("{type_name}-{}", patterns.len());
    let request = ExchangeRequest {
        name: &name,
        type_name,
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: Vec::new(),
    };
    drop(vhost.declare_exchange(request).expect("declared"));
    for (number, routing_key) in patterns.iter().enumerate() {
        let queue = format!("{name}-{number}");
        let request = QueueRequest {
            name: &queue,
            server_named: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: Vec::new(),
        };
        drop(
            vhost
                .declare_queue(request, ConnectionId(0))
                .expect("declared"),
        );
        let request = BindingRequest {
            source: name.clone(),
            destination: Destination::Queue(queue),
            routing_key: routing_key.into(),
            arguments: Vec::new(),
        };
        drop(vhost.bind(&request).expect("bound"));
    }
    vhost.exchange(&name).expect("the exchange")
}

/// 8 regions, 32 services, 16 events.
fn key(number: usize) -> String {
    // An odd factor: all combinations, in no order.
    let mixed = number.wrapping_mul(2_654_435_761) >> 4;
    let (region, service, event) = (mixed % 8, mixed / 8 % 32, mixed / 256 % 16);
    format!("region{region}.service{service}.event{event}")
}

/// For topics, wide patterns are rarer among ten thousand: one match a key among a hundred, about
/// thirteen among ten thousand.
fn patterns(type_name: &str, count: usize) -> Vec<String> {
    let wide = if count > 1000 { 500 } else { 16 };
    let pattern = |number: usize| {
        let whole = key(number);
        let words: Vec<&str> = whole.split('.').collect();
        let [region, service, event] = words[..] else {
            panic!("three words");
        };
        if type_name != "topic" {
            whole.clone()
        } else if number.is_multiple_of(wide) {
            format!("{region}.#")
        } else {
            match number % 20 {
                1 => format!("{region}.*.{event}"),
                2 => format!("*.{service}.{event}"),
                3 | 4 => format!("{region}.{service}.#"),
                _ => whole.clone(),
            }
        }
    };
    (0..count).map(pattern).collect()
}

/// What this thread has used of the processor so far.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one `timespec` through the pointer, which points to one that is
    // alive and not borrowed elsewhere, and keeps nothing.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "this system counts a thread's time");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
