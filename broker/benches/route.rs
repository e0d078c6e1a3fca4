//! Nanoseconds for one `route` through the plugin host: `cargo bench -p warren --bench route`.
//! All rows take turns in every round, so that a busy machine is busy for all of them.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use warren::clock::SystemClock;
use warren::message::MessageView;
use warren::plugin::{Limits, PluginHost, PluginOptions};
use warren::vhost::exchange_type::{
    BindingTable, BindingView, Call, ExchangeInstance, ExchangeTypes, Moment, Opening, Routing,
};

const ROUNDS: usize = 41;
const CALLS: usize = 4096;

struct Table(Vec<String>);

impl BindingTable for Table {
    fn for_each(&self, visit: &mut dyn FnMut(BindingView<'_>)) {
        for (slot, key) in (0..).zip(&self.0) {
            visit(BindingView {
                slot,
                routing_key: key,
                arguments: &[],
            });
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

struct Row {
    name: &'static str,
    instance: Arc<dyn ExchangeInstance>,
    table: Arc<Table>,
    keys: Vec<String>,
    nanos: Vec<f64>,
    matches: usize,
    later: usize,
}

impl Row {
    fn open(host: &PluginHost, name: &'static str, type_name: &str, bindings: Vec<String>) -> Row {
        let opening = Opening {
            vhost: "/",
            exchange: "bench",
            type_name,
            arguments: &[],
        };
        let Ok(opened) = host.open(&opening) else {
            panic!("{type_name} is built in");
        };
        let table = Arc::new(Table(bindings));
        table.for_each(&mut |binding| {
            opened.instance.bind(binding, &*table).expect("binds");
        });
        Row {
            name,
            instance: opened.instance,
            table,
            keys: keys(),
            nanos: Vec::new(),
            matches: 0,
            later: 0,
        }
    }

    fn round(&mut self, exchange: &Arc<str>) {
        let begun = Instant::now();
        for index in 0..CALLS {
            let key = self.keys[index % self.keys.len()].as_str();
            let message = MessageView {
                exchange,
                routing_key: key,
                properties: &[0, 0],
                body: &[],
            };
            let call = Call {
                moment: Moment::Publish,
                message,
            };
            match self.instance.route(call, &*self.table) {
                Routing::Now(answer) => self.matches += slots(&answer.decision),
                Routing::Later => {
                    self.later += 1;
                    self.wait_for_the_lane(message);
                }
                Routing::Fault(fault) => panic!("{}", fault.0),
            }
        }
        let nanos = begun.elapsed().as_nanos() as f64;
        self.nanos.push(nanos / CALLS as f64);
    }

    /// The way back to the worker leads over fast calls in the lane.
    fn wait_for_the_lane(&self, message: MessageView<'_>) {
        let (sender, receiver) = channel();
        self.instance.route_later(
            Moment::Publish,
            Arc::new(message.to_message()),
            self.table.clone(),
            Box::new(move |result| {
                let _ = sender.send(result.is_ok());
            }),
        );
        assert_eq!(receiver.recv(), Ok(true));
    }

    fn print(&mut self) {
        self.nanos.sort_by(f64::total_cmp);
        let at = |part: usize| self.nanos[(self.nanos.len() - 1) * part / 4];
        println!(
            "{:<28} {:>8.0} {:>8.0} {:>8.0} {:>9.2} {:>7}",
            self.name,
            at(2),
            at(1),
            at(3),
            self.matches as f64 / (ROUNDS * CALLS) as f64,
            self.later,
        );
    }
}

fn slots(decision: &warren::vhost::exchange_type::Decision) -> usize {
    match decision {
        warren::vhost::exchange_type::Decision::To(slots) => slots.len(),
        other => panic!("not slots: {other:?}"),
    }
}

fn keys() -> Vec<String> {
    (0..1024)
        .map(|n| format!("region{}.service{}.event{}", n % 8, n % 31, n % 17))
        .collect()
}

/// A third each: exact keys, one word open, the rest open.
fn patterns(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| match n % 3 {
            0 => format!("region{}.service{}.event{}", n % 8, n % 499, n % 17),
            1 => format!("region{}.*.event{}", n % 97, n % 701),
            _ => format!("region{}.service{}.#", n % 89, n % 499),
        })
        .collect()
}

fn main() {
    let cache = std::env::temp_dir().join(format!("warren-bench-{}", std::process::id()));
    let options = PluginOptions {
        cache_dir: cache.clone(),
        plugins: Default::default(),
        defaults: Limits::default(),
    };
    let builtin: [(&str, &[u8]); 3] = [
        ("fanout", include_bytes!("../builtin/fanout.wasm")),
        ("direct", include_bytes!("../builtin/direct.wasm")),
        ("topic", include_bytes!("../builtin/topic.wasm")),
    ];
    let (host, reports) = PluginHost::load(options, &builtin, None, Arc::new(SystemClock));
    let _ = std::fs::remove_dir_all(cache);
    for report in reports {
        assert_eq!(
            report.outcome,
            warren::plugin::Outcome::Loaded,
            "{report:?}"
        );
    }
    let mut rows: Vec<Row> = [
        ("fanout, no bindings", "fanout", 0),
        ("direct, 100 bindings", "direct", 100),
        ("topic, 100 bindings", "topic", 100),
        ("topic, 10,000 bindings", "topic", 10_000),
    ]
    .into_iter()
    .map(|(name, type_name, count)| Row::open(&host, name, type_name, patterns(count)))
    .collect();
    let exchange: Arc<str> = Arc::from("bench");
    for _ in 0..ROUNDS {
        for row in &mut rows {
            row.round(&exchange);
        }
    }
    println!("ns a call                      median      25%      75%   matches   later");
    for row in &mut rows {
        row.print();
    }
}
