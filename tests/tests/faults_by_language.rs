//! The faults that a plugin can have in `route`, `bind` and `open`, in every language whose tool chain
//! is there: each is the language's own example with faults put into it. What a publisher sees, and
//! what a neighbour does not.
//! `cargo test --release --test faults_by_language -- --ignored --nocapture`.

#[path = "faulty/mod.rs"]
#[allow(dead_code, reason = "the figures of plugin_faults")]
mod faulty;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use warren_tests::kit::{Broker, Channel, Options};

use faulty::{Faulty, Outcome, Probe, median};

struct Tongue {
    name: &'static str,
    source: &'static str,
    /// What stands in the example, and what is put in front of it.
    faults: &'static [(&'static str, &'static str)],
}

const TONGUES: [Tongue; 6] = [
    Tongue {
        name: "rust",
        source: "src/lib.rs",
        faults: &[
            (
                "        let exact = self.0",
                r#"        match key.as_str() {
            "!trap" => panic!("trap"),
            "!loop" => loop { std::hint::black_box(()); },
            "!memory" => {
                let mut hoard = Vec::new();
                loop { hoard.push(std::hint::black_box(vec![1u8; 1 << 20])); }
            }
            "!huge" => return Answer::to(0..1 << 22),
            _ => {}
        }
"#,
            ),
            (
                "        self.0.insert(binding",
                "        assert!(!binding.routing_key.starts_with('!'));\n",
            ),
            (
                "        Ok(Self::default())",
                "        assert!(!exchange.name.starts_with('!'));\n",
            ),
        ],
    },
    Tongue {
        name: "c",
        source: "plugin.c",
        faults: &[
            (
                "  uint32_t *slots = cabi_realloc",
                r#"  if (key.length > 1 && key.at[0] == '!') switch (key.at[1]) {
    case 't': __builtin_trap();
    case 'l': for (volatile int i = 0;; i++) {}
    case 'm': while (__builtin_wasm_memory_grow(0, 16) != (size_t)-1) {} __builtin_trap();
    case 'h':
      __builtin_wasm_memory_grow(0, 300);
      answer.kind = 0;
      answer.to.slots = (const uint32_t *)65536;
      answer.to.count = 1 << 22;
      call_is_over();
      return &answer;
  }
"#,
            ),
            (
                "  binding *place = place_for(slot);",
                "  if (length && key[0] == '!') __builtin_trap();\n",
            ),
            (
                "  call_is_over();\n  return &opened;",
                "  if (name_length && name[0] == '!') __builtin_trap();\n",
            ),
        ],
    },
    Tongue {
        name: "zig",
        source: "plugin.zig",
        faults: &[
            (
                "    const place: [*]align(4) u8",
                r#"    if (wanted.len > 1 and wanted[0] == '!') switch (wanted[1]) {
        't' => @trap(),
        'l' => while (true) std.mem.doNotOptimizeAway(wanted.ptr),
        'm' => while (@wasmMemoryGrow(0, 16) >= 0) {},
        'h' => {
            _ = @wasmMemoryGrow(0, 300);
            answer = .{ .kind = .to, .decision = .{ .to = .{ .slots = @ptrFromInt(65536), .count = 1 << 22 } } };
            callIsOver();
            return &answer;
        },
        else => {},
    };
"#,
            ),
            (
                "    unbind(slot);\n    const own",
                "    if (key_length > 0 and key[0] == '!') @trap();\n",
            ),
            (
                "    callIsOver();\n    return &opened;",
                "    if (name_length > 0 and name[0] == '!') @trap();\n",
            ),
        ],
    },
    Tongue {
        name: "assemblyscript",
        source: "plugin.ts",
        faults: &[
            (
                "  callIsOver();\n  const all",
                r#"  if (key.startsWith("!t")) unreachable();
  if (key.startsWith("!l")) while (true) {}
  if (key.startsWith("!m")) { while (memory.grow(16) != -1) {} unreachable(); }
  if (key.startsWith("!h")) {
    memory.grow(300);
    memory.fill(returned, 0, 24);
    pair(returned + 8, 65536, 1 << 22);
    callIsOver();
    return returned;
  }
"#,
            ),
            (
                "  bindings.set(slot",
                "  if (keyLength > 0 && load<u8>(key) == 33) unreachable();\n",
            ),
            (
                "  callIsOver();\n  memory.fill(returned, 0, 16);",
                "  if (nameLength > 0 && load<u8>(name) == 33) unreachable();\n",
            ),
        ],
    },
    Tongue {
        name: "javascript",
        source: "plugin.js",
        faults: &[
            (
                "    const slots = [];",
                r#"    if (key === "!trap") throw new Error("trap");
    if (key === "!loop") for (;;) {}
    if (key === "!memory") { const hoard = []; for (;;) hoard.push(new Uint8Array(1 << 20).fill(1)); }
    if (key === "!huge") return { decision: { tag: "to", val: new Uint32Array(1 << 22) }, setHeaders: [] };
"#,
            ),
            (
                "    bindings.set(slot",
                "    if (routingKey.startsWith(\"!\")) bindings.nothing.at.all;\n",
            ),
            (
                "    return { innerType",
                "    if (exchange.name.startsWith(\"!\")) for (;;) {}\n",
            ),
        ],
    },
    Tongue {
        name: "python",
        source: "plugin.py",
        faults: &[
            (
                "        slots = [slot for",
                r#"        if key == "!trap":
            raise RuntimeError("trap")
        if key == "!loop":
            while True:
                pass
        if key == "!memory":
            hoard = []
            while True:
                hoard.append(b"x" * (1 << 20))
        if key == "!huge":
            return wit.Answer(decision=wit.Decision_To([0] * (1 << 20)), set_headers=[])
"#,
            ),
            (
                "        bindings[slot] =",
                "        assert not routing_key.startswith(\"!\")\n",
            ),
            (
                "        return wit.Opened",
                "        assert not exchange.name.startswith(\"!\")\n",
            ),
        ],
    },
];

const FAULTS: [&str; 4] = ["!trap", "!loop", "!memory", "!huge"];

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

/// The faulty component, in `plugins`; the error is why there is none.
fn build(home: &Path, plugins: &Path, tongue: &Tongue) -> Result<(), String> {
    let name = format!("faulty-{}", tongue.name);
    run(
        home,
        &warren(),
        &["plugin", "new", "--lang", tongue.name, &name],
    )?;
    let folder = home.join(&name);
    let path = folder.join(tongue.source);
    let mut source = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    for (before, fault) in tongue.faults {
        assert!(source.contains(before), "{}: {before}", tongue.name);
        source = source.replacen(before, &format!("{fault}{before}"), 1);
    }
    source = source.replace("fn open(_: &Opening)", "fn open(exchange: &Opening)");
    std::fs::write(&path, source).map_err(|error| error.to_string())?;
    if folder.join("package.json").is_file() {
        run(
            &folder,
            Path::new("npm"),
            &["install", "--no-audit", "--no-fund"],
        )?;
    }
    let out = plugins.join(format!("{name}.wasm"));
    let out = out.to_str().expect("a path");
    run(&folder, &warren(), &["plugin", "build", "--out", out])
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

async fn row(broker: &Broker, probe: &Probe, language: &str, fault: &str) {
    let kind = format!("x-faulty-{language}");
    let (mut quiet, mut loud) = (Vec::new(), Vec::new());
    let (mut nacks, mut others) = (0, 0);
    for round in 0..ROUNDS {
        // A new exchange every time: the breaker of the last one may be open.
        let name = format!("{language}-{}-{round}", fault.trim_start_matches('!'));
        let (faulty, channel) = declare(broker, &kind, &name).await;
        probe.reset();
        tokio::time::sleep(Duration::from_secs(1)).await;
        quiet.push(probe.sample().p99 as f64);
        probe.reset();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            match faulty.confirmed(&channel, fault).await {
                Outcome::Nacked => nacks += 1,
                other => {
                    others += 1;
                    println!("    {other}");
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        loud.push(probe.sample().p99 as f64);
    }
    let (quiet, loud) = (median(quiet), median(loud));
    println!(
        "{language:<15} {fault:<8} nacks {nacks:>4}, other {others}; neighbour's p99 {quiet:>6.0} -> \
         {loud:>6.0} us, ratio {:.2}",
        loud / quiet
    );
    assert_eq!(others, 0, "{language} {fault}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "builds components in six languages; prints a table"]
async fn every_fault_in_every_language() {
    let home = tempfile::tempdir().expect("a folder");
    let plugins = home.path().join("plugins");
    std::fs::create_dir(&plugins).expect("a folder");
    let mut there = Vec::new();
    for tongue in &TONGUES {
        match build(home.path(), &plugins, tongue) {
            Ok(()) => there.push(tongue.name),
            Err(reason) => println!("{:<15} left out: {}", tongue.name, reason.trim()),
        }
    }
    let broker = Broker::start(Options {
        plugins_dir: Some(plugins),
        ..Options::default()
    });
    let probe = Probe::start(&broker).await;
    for language in &there {
        for fault in FAULTS {
            row(&broker, &probe, language, fault).await;
        }
        around(&broker, language).await;
    }
    probe.stop().await;
    assert!(!there.is_empty(), "no tool chain at all");
}
