//! The faults that a plugin can have, in every language whose tool chain is there: each is the
//! language's own template with faults put into it. What a publisher sees, and what a neighbour does
//! not.
//! `cargo test --release --test faults_by_language -- --ignored --nocapture`; with
//! `LANGUAGES=go,python` in front, of those alone.

#[path = "../faulty/mod.rs"]
#[allow(dead_code, reason = "the figures of plugin_faults")]
mod faulty;
mod tongues;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use warren_tests::kit::{Broker, Channel, DEADLINE, Options, eventually};

use faulty::{Faulty, Outcome, Probe, median};
use tongues::{TONGUES, Tongue};

/// Rounds of a second quiet and a second with faults.
const ROUNDS: usize = 3;

fn warren() -> std::path::PathBuf {
    let this = std::env::current_exe().expect("the path of this test");
    this.ancestors()
        .nth(2)
        .expect("target folder")
        .join("warren")
}

fn run(folder: &Path, program: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&said).into_owned()),
    }
}

/// A plugin's folder with the faults in it; the error is why there is none.
fn source(home: &Path, tongue: &Tongue) -> Result<PathBuf, String> {
    let name = format!("faulty-{}", tongue.name);
    run(
        home,
        &warren(),
        &["plugin", "new", "--lang", tongue.name, &name],
    )?;
    let folder = home.join(&name);
    for (before, fault) in tongue.faults {
        replace(&folder, tongue, before, &format!("{fault}{before}"));
    }
    if tongue.name == "rust" {
        replace(&folder, tongue, "fn open(_: ", "fn open(exchange: ");
    }
    if folder.join("package.json").is_file() {
        run(
            &folder,
            Path::new("npm"),
            &["install", "--no-audit", "--no-fund"],
        )?;
    }
    Ok(folder)
}

fn replace(folder: &Path, tongue: &Tongue, from: &str, to: &str) {
    let path = folder.join(tongue.source);
    let source = std::fs::read_to_string(&path).expect("a source");
    assert!(source.contains(from), "{}: {from}", tongue.name);
    std::fs::write(&path, source.replacen(from, to, 1)).expect("writes");
}

fn build(folder: &Path, out: &Path) -> Result<(), String> {
    let out = out.to_str().expect("a path");
    run(folder, &warren(), &["plugin", "build", "--out", out])
}

async fn declare(broker: &Broker, kind: &str, name: &str) -> (Faulty, Channel) {
    let channel = broker.connect().await.confirming().await;
    let exchange = format!("x-{name}");
    let options = ExchangeDeclareOptions::default();
    let declared = channel.try_exchange(&exchange, kind, options, FieldTable::default());
    declared.await.expect("exchange.declare");
    let queue = format!("q-{name}");
    channel.queue(&queue, Default::default()).await;
    channel.bind(&queue, &exchange, "good").await;
    (Faulty { exchange, queue }, channel)
}

/// What is published with this key meets this.
const FAULTS: [(&str, Outcome); 8] = [
    ("!trap", Outcome::Nacked),
    ("!loop", Outcome::Nacked),
    ("!memory", Outcome::Nacked),
    ("!huge", Outcome::Nacked),
    ("!deep", Outcome::Nacked),
    // A tick under the deadline.
    ("!slow", Outcome::Returned),
    ("!flood", Outcome::Returned),
    // State without end.
    ("!keep", Outcome::Returned),
];

async fn row(broker: &Broker, probe: &Probe, language: &str, key: &str, expected: Outcome) {
    let kind = format!("x-faulty-{language}");
    let mut measured = Measured::default();
    for round in 0..ROUNDS {
        // A new exchange every time: the breaker of the last one may be open.
        let name = format!("{language}-{}-{round}", key.trim_start_matches('!'));
        let (faulty, channel) = declare(broker, &kind, &name).await;
        measured
            .round(probe, &faulty, &channel, key, &expected)
            .await;
    }
    measured.print(language, key, &expected);
}

#[derive(Default)]
struct Measured {
    quiet: Vec<f64>,
    loud: Vec<f64>,
    expected: usize,
    others: usize,
}

impl Measured {
    /// A second without publishes of this key and a second with them.
    async fn round(
        &mut self,
        probe: &Probe,
        faulty: &Faulty,
        channel: &Channel,
        key: &str,
        expected: &Outcome,
    ) {
        probe.reset();
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.quiet.push(probe.sample().p99 as f64);
        probe.reset();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            match faulty.confirmed(channel, key).await {
                outcome if outcome == *expected => self.expected += 1,
                outcome => {
                    self.others += 1;
                    println!("    {outcome}");
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.loud.push(probe.sample().p99 as f64);
    }

    fn print(self, language: &str, what: &str, expected: &Outcome) {
        let (quiet, loud) = (median(self.quiet), median(self.loud));
        println!(
            "{language:<15} {what:<8} {expected} {:>4}, other {}; neighbour's p99 {quiet:>6.0} -> \
             {loud:>6.0} us, ratio {:.2}",
            self.expected,
            self.others,
            loud / quiet
        );
        assert!(self.expected > 0 && self.others == 0, "{language} {what}");
    }
}

/// In `bind` and in `open`: refused, and everything else goes on.
async fn around(broker: &Broker, language: &str) {
    let kind = format!("x-faulty-{language}");
    let (faulty, confirming) = declare(broker, &kind, &format!("{language}-around")).await;
    let channel = broker.channel().await;
    let bound = channel.try_bind(&faulty.queue, &faulty.exchange, "!", FieldTable::default());
    let bound = bound.await.expect_err("refused");
    let channel = broker.channel().await;
    let options = ExchangeDeclareOptions::default();
    let opened = channel.try_exchange("!open", &kind, options, FieldTable::default());
    let opened = opened.await.expect_err("refused");
    let after = faulty.confirmed(&confirming, "good").await;
    println!(
        "{language:<15} in bind: {}, in open: {}, a publish after that: {after}",
        bound.code, opened.code
    );
    assert_eq!((bound.code, opened.code, after), (541, 541, Outcome::Acked));
}

/// The line with this text that is about this language's plugin. Components of some languages are
/// compiled for long.
fn logged(broker: &Broker, text: &str, language: &str) -> String {
    let plugin = format!("plugin=\"faulty-{language}\"");
    let fits = |line: &String| line.contains(text) && line.contains(&plugin);
    let found = || broker.log_lines().into_iter().find(fits);
    eventually(DEADLINE * 12, || found().is_some());
    found().unwrap_or_default()
}

/// A new version that traps in `describe` is rolled back.
fn described(broker: &Broker, folder: &Path, component: &Path, tongue: &Tongue) {
    let Some((from, to)) = tongue.describe else {
        return println!(
            "{:<15} in describe: nothing of the author's runs in it",
            tongue.name
        );
    };
    replace(folder, tongue, from, to);
    let scratch = component.with_extension("new");
    build(folder, &scratch).expect("builds");
    std::fs::rename(scratch, component).expect("renames");
    let line = logged(broker, "rolled back", tongue.name);
    let (_, reason) = line.split_once("reason=").unwrap_or(("", &line));
    println!(
        "{:<15} in describe: rolled back, {reason:.120}",
        tongue.name
    );
}

/// Its file goes while messages are published to it.
async fn deleted(broker: &Broker, probe: &Probe, component: &Path, language: &str) {
    let kind = format!("x-faulty-{language}");
    let (faulty, channel) = declare(broker, &kind, &format!("{language}-deleted")).await;
    let good = faulty.confirmed(&channel, "good").await;
    assert_eq!(good, Outcome::Acked, "{language}");
    std::fs::remove_file(component).expect("removes");
    let mut acked = 0;
    let begun = Instant::now();
    while faulty.confirmed(&channel, "good").await == Outcome::Acked {
        acked += 1;
        assert!(
            begun.elapsed() < DEADLINE,
            "{language}: it is in force still"
        );
    }
    let mut measured = Measured::default();
    for _ in 0..ROUNDS {
        let nack = Outcome::Nacked;
        measured
            .round(probe, &faulty, &channel, "good", &nack)
            .await;
    }
    println!("{language:<15} deleted: {acked} acked until the broker saw it");
    measured.print(language, "deleted", &Outcome::Nacked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "builds components in seven languages; prints a table"]
async fn every_fault_in_every_language() {
    let home = tempfile::tempdir().expect("a folder");
    let plugins = home.path().join("plugins");
    std::fs::create_dir(&plugins).expect("a folder");
    let component = |tongue: &Tongue| plugins.join(format!("faulty-{}.wasm", tongue.name));
    let mut options = Options {
        plugins_dir: Some(plugins.clone()),
        ..Options::default()
    };
    for tongue in &TONGUES {
        let granted = "grants=[\"warren:plugin/state\"]";
        options = options.set(format!("plugins.faulty-{}.{granted}", tongue.name));
    }
    let broker = Broker::start(options);
    let wanted = std::env::var("LANGUAGES").unwrap_or_default();
    let wanted =
        |tongue: &&Tongue| wanted.is_empty() || wanted.split(',').any(|name| name == tongue.name);
    let mut there = Vec::new();
    for tongue in TONGUES.iter().filter(wanted) {
        let built = source(home.path(), tongue).and_then(|folder| {
            build(&folder, &component(tongue))?;
            Ok(folder)
        });
        match built {
            Ok(folder) => there.push((tongue, folder)),
            Err(reason) => println!("{:<15} left out: {}", tongue.name, reason.trim()),
        }
    }
    for (tongue, _) in &there {
        logged(&broker, "plugin in force", tongue.name);
    }
    let probe = Probe::start(&broker).await;
    for (tongue, folder) in &there {
        let language = tongue.name;
        for (key, expected) in FAULTS {
            row(&broker, &probe, language, key, expected).await;
        }
        around(&broker, language).await;
        described(&broker, folder, &component(tongue), tongue);
        deleted(&broker, &probe, &component(tongue), language).await;
    }
    probe.stop().await;
    assert!(!there.is_empty(), "no tool chain at all");
}
