//! What an author of a plugin types: new, build, test, bench, inspect; and then a message through a
//! broker. The whole way in every language whose tool chain is there:
//! `cargo test --release --test authors -- --ignored --nocapture`.

mod kinds;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use lapin::Confirmation;
use warren_tests::kit::{Broker, DEADLINE, Options, durable, eventually, fixture, persistent};

const LANGUAGES: [&str; 7] = [
    "rust",
    "c",
    "zig",
    "assemblyscript",
    "javascript",
    "python",
    "go",
];

fn warren() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this test");
    let profile = this.ancestors().nth(2).expect("target folder");
    profile.join("warren")
}

fn plugin(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(warren());
    command.arg("plugin").args(arguments).current_dir(folder);
    command.output().expect("warren starts")
}

fn said(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    texts.concat()
}

#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = plugin(folder, arguments);
    let text = said(&output);
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

#[test]
fn every_language_has_a_template_of_its_own() {
    let home = tempfile::tempdir().expect("a folder");
    for (language, source) in LANGUAGES.iter().zip([
        "src/lib.rs",
        "plugin.c",
        "plugin.zig",
        "plugin.ts",
        "plugin.js",
        "plugin.py",
        "plugin.go",
    ]) {
        let name = format!("my-{language}");
        let text = succeeds(home.path(), &["new", "--lang", language, &name]);
        assert!(text.contains("warren plugin build"), "{text}");
        let folder = home.path().join(&name);
        let source = std::fs::read_to_string(folder.join(source)).expect("a source");
        assert!(source.contains(&format!("\"x-{name}\"")), "{source}");
        assert!(folder.join("wit/exchange/exchange.wit").is_file());
        assert!(folder.join("routes.toml").is_file());
        // Nothing is overwritten.
        let again = plugin(home.path(), &["new", "--lang", language, &name]);
        assert!(said(&again).contains("is there already"));
    }
    let unknown = plugin(home.path(), &["new", "--lang", "cobol", "mine"]);
    assert!(said(&unknown).contains("known are rust, c, zig"));
    let outside = plugin(home.path(), &["new", "../mine"]);
    assert!(said(&outside).contains("is no name"));
}

#[test]
fn a_table_of_routes_passes_or_says_what_differs() {
    let home = tempfile::tempdir().expect("a folder");
    let component = fixture("exact.wasm");
    let component = component.to_str().expect("a path");
    let routes = examples().join("routes.toml");
    let routes = routes.to_str().expect("a path");
    let text = succeeds(home.path(), &["test", component, "--routes", routes]);
    assert!(text.contains("exact: 21 passed, 0 failed"), "{text}");
    let wrong = "[[exchange]]\nbindings = [{ queue = \"a\", key = \"k\" }]\n\
                 messages = [{ key = \"k\", to = [] }]\n";
    std::fs::write(home.path().join("routes.toml"), wrong).expect("writes");
    let failed = plugin(home.path(), &["test", component]);
    assert!(!failed.status.success());
    let text = said(&failed);
    let expected = "exchange 1, message \"k\": Queues([\"a\"]), expected to []";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("2 passed, 2 failed"), "{text}");
}

#[test]
fn a_component_is_inspected_and_measured() {
    let home = tempfile::tempdir().expect("a folder");
    let component = fixture("exact.wasm");
    let component = component.to_str().expect("a path");
    let text = succeeds(home.path(), &["inspect", component]);
    for line in [
        "exchange plugin, warren:exchange@0.1.0",
        "types: x-exact",
        "imports warren:exchange/message@0.1.0",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let text = succeeds(home.path(), &["bench", component, "--bindings", "10"]);
    // Each of the keys was asked for twice.
    assert!(
        text.contains("remembered           50 % of 1024 keys"),
        "{text}"
    );
    let other = fixture("imports-sockets.wasm");
    let refused = plugin(home.path(), &["inspect", other.to_str().expect("a path")]);
    assert!(!refused.status.success());
    assert!(said(&refused).contains("refused: it imports wasi:sockets/network@0.2.0"));
}

#[test]
fn a_component_tells_its_name_its_configuration_and_what_it_must_be_granted() {
    let home = tempfile::tempdir().expect("a folder");
    let component = fixture("rate-limit.wasm");
    let text = succeeds(
        home.path(),
        &["inspect", component.to_str().expect("a path")],
    );
    for line in [
        "name: rate-limit 0.1.0",
        "description: Holds messages that come faster than a rate",
        "types: x-rate-limit",
        "configuration rate: integer, 100 without: Messages a second",
        "imports warren:plugin/state@0.1.0, which must be granted",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let routes = examples().join("rate-limit/routes.toml");
    let (component, routes) = (component.to_str(), routes.to_str());
    let arguments = [
        "test",
        component.expect("a path"),
        "--routes",
        routes.expect("a path"),
    ];
    let text = succeeds(home.path(), &arguments);
    assert!(text.contains("0 failed"), "{text}");
}

#[test]
#[ignore = "builds the examples in Rust"]
fn every_example_passes_its_table() {
    let home = tempfile::tempdir().expect("a folder");
    for name in ["geo", "content", "canary", "rate-limit"] {
        let folder = examples().join(name);
        let component = home.path().join(format!("{name}.wasm"));
        let component = component.to_str().expect("a path");
        let source = folder.to_str().expect("a path");
        succeeds(home.path(), &["build", source, "--out", component]);
        let routes = folder.join("routes.toml");
        let routes = routes.to_str().expect("a path");
        let text = succeeds(home.path(), &["test", component, "--routes", routes]);
        println!("{}", text.trim());
        let measured = succeeds(home.path(), &["bench", component, "--bindings", "0"]);
        println!("{}", measured.lines().nth(2).unwrap_or_default());
    }
}

/// With what its tool chain wants in the folder itself; the error is which tool chain is missing.
fn installed_and_built(folder: &Path) -> Result<Duration, String> {
    if folder.join("package.json").is_file() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund"]);
        let installed = npm.current_dir(folder).output();
        match installed {
            Ok(output) if output.status.success() => {}
            Ok(output) => return Err(format!("npm: {}", said(&output))),
            Err(error) => return Err(format!("npm: {error}")),
        }
    }
    let building = Instant::now();
    let built = plugin(folder, &["build"]);
    if said(&built).contains("the tool chain is missing") {
        return Err(said(&built));
    }
    assert!(
        built.status.success(),
        "{}: {}",
        folder.display(),
        said(&built)
    );
    Ok(building.elapsed())
}

/// Beyond the templates: what it keeps outlives its instances, and it looks at its configuration.
#[test]
#[ignore = "builds components in JavaScript and Python, with whatever tool chains are there"]
fn javascript_and_python_may_keep_things_and_check_their_configuration() {
    let home = tempfile::tempdir().expect("a folder");
    for (language, source) in [("javascript", "plugin.js"), ("python", "plugin.py")] {
        let name = format!("turns-{language}");
        succeeds(home.path(), &["new", "--lang", language, &name]);
        let folder = home.path().join(&name);
        for file in [source, "routes.toml"] {
            let fixture = fixture(&format!("turns/{file}"));
            std::fs::copy(fixture, folder.join(file)).expect("a fixture");
        }
        if let Err(reason) = installed_and_built(&folder) {
            println!("{language:<15} left out: {}", reason.trim());
            continue;
        }
        let component = format!("{name}.wasm");
        let inspected = succeeds(&folder, &["inspect", &component]);
        let granted = "imports warren:plugin/state@0.1.0, which must be granted";
        assert!(inspected.contains(granted), "{inspected}");
        assert!(!inspected.contains("warren:plugin/history"), "{inspected}");
        let tested = succeeds(&folder, &["test"]);
        assert!(tested.contains("8 passed, 0 failed"), "{tested}");
        let routes = std::fs::read_to_string(folder.join("routes.toml")).expect("a table");
        let wrong = routes.replace("start = 1", "start = -1");
        std::fs::write(folder.join("routes.toml"), wrong).expect("writes");
        let refused = said(&plugin(&folder, &["test"]));
        println!("{language:<15} {}", refused.trim());
        assert!(refused.contains("start"), "{refused}");
        assert!(
            refused.contains("no turn comes before the first"),
            "{refused}"
        );
    }
}

#[test]
fn what_a_plugin_asks_for_and_what_it_got_is_listed() {
    let home = tempfile::tempdir().expect("a folder");
    let plugins = home.path().join("plugins");
    std::fs::create_dir(&plugins).expect("a folder");
    std::fs::copy(fixture("rate-limit.wasm"), plugins.join("rate-limit.wasm")).expect("copies");
    let listed = |arguments: &[&str]| {
        let text = succeeds(home.path(), &[&["list"], arguments].concat());
        let line = text.lines().find(|line| line.starts_with("rate-limit"));
        line.expect("it is listed").to_owned()
    };
    let refused = listed(&[]);
    assert!(refused.contains("refused: it imports warren:plugin/state@0.1.0"));
    let asked = "\tasks for warren:plugin/state@0.1.0: ";
    assert!(
        refused.ends_with(&format!("{asked}not granted")),
        "{refused}"
    );
    let grant = "plugins.rate-limit.grants=[\"warren:plugin/state\"]";
    let loaded = listed(&["--set", grant]);
    assert!(
        loaded.ends_with(&format!("\tloaded{asked}granted")),
        "{loaded}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_command_quietly() {
    let home = tempfile::tempdir().expect("a folder");
    let component = fixture("exact.wasm");
    let component = component.to_str().expect("a path");
    for arguments in [
        ["plugin", "inspect", component].as_slice(),
        &["plugin", "bench", component, "--bindings", "1"],
        &["plugin", "list"],
        &["ctl", "help"],
        &["completions", "bash"],
    ] {
        let mut command = Command::new(warren());
        command.args(arguments).current_dir(home.path());
        let (reader, writer) = std::io::pipe().expect("a pipe");
        // Before the command has said a word.
        drop(reader);
        let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
        let output = child.expect("warren starts").wait_with_output();
        let output = output.expect("it ends");
        assert_eq!(said(&output), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(141), "{arguments:?}");
    }
}

/// From nothing to a message routed by one's own component.
async fn stranger(language: &str, home: &Path) -> Result<String, String> {
    let name = format!("my-{language}");
    let begun = Instant::now();
    succeeds(home, &["new", "--lang", language, &name]);
    let folder = home.join(&name);
    let building = installed_and_built(&folder)?;
    let tested = succeeds(&folder, &["test"]);
    assert!(tested.contains("21 passed, 0 failed"), "{tested}");
    let measured = succeeds(&folder, &["bench"]);
    let component = folder.join(format!("{name}.wasm"));
    let size = std::fs::metadata(&component).expect("the component").len();
    let plugins = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(Options {
        plugins_dir: Some(plugins.path().to_owned()),
        ..Options::default()
    });
    std::fs::copy(&component, plugins.path().join(format!("{name}.wasm"))).expect("copies");
    let kind = format!("x-{name}");
    let client = broker.connect().await;
    // It is taken while the broker runs. A component of some languages is compiled for long.
    eventually(DEADLINE * 6, || broker.has_logged("plugin in force"));
    let channel = client.channel().await;
    channel.exchange("x", &kind, Default::default()).await;
    let channel = client.confirming().await;
    channel.queue("q", durable()).await;
    channel.bind("q", "x", "order").await;
    let hit = channel.confirmed("x", "order", b"mine", persistent()).await;
    assert_eq!(hit, Confirmation::Ack(None), "{language}");
    let miss = channel.confirmed("x", "other", b"none", persistent()).await;
    assert!(matches!(miss, Confirmation::Ack(Some(_))), "{language}");
    assert_eq!(channel.drain("q").await, ["mine"]);
    let figure = |what: &str| {
        let line = measured.lines().find(|line| line.starts_with(what));
        line.and_then(|line| line.split_whitespace().nth_back(1))
            .unwrap_or("?")
            .to_owned()
    };
    Ok(format!(
        "{language:<15} {:>5.1} s in all, {:>5.1} s build, {:>9} bytes; a call {} ns, 99 % {} ns",
        begun.elapsed().as_secs_f64(),
        building.as_secs_f64(),
        size,
        figure("call, median"),
        figure("call, 99 of 100"),
    ))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "builds components in seven languages, with whatever tool chains are there"]
async fn a_stranger_gets_from_nothing_to_a_routed_message() {
    let home = tempfile::tempdir().expect("a folder");
    let mut shown = 0;
    for language in LANGUAGES {
        match stranger(language, home.path()).await {
            Ok(line) => {
                shown += 1;
                println!("{line}");
            }
            Err(reason) => println!("{language:<15} left out: {}", reason.trim()),
        }
    }
    assert!(shown > 0, "no tool chain at all");
}
