//! The same for the other kinds that have templates: interceptors and services.

use std::path::Path;
use std::time::Duration;

use lapin::Confirmation;
use lapin::types::AMQPValue;
use warren_tests::kit::{Broker, Options, durable, eventually, fixture, persistent};

use super::{examples, installed_and_built, plugin, said, succeeds};

const LANGUAGES: [(&str, &str); 3] = [
    ("rust", "src/lib.rs"),
    ("javascript", "plugin.js"),
    ("python", "plugin.py"),
];

/// Compiling an interpreter takes half a minute, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn interceptors_and_services_have_templates_in_three_languages() {
    let home = tempfile::tempdir().expect("a folder");
    for (language, source) in LANGUAGES {
        for kind in ["interceptor", "service"] {
            let name = format!("my-{kind}-{language}");
            let arguments = ["new", "--lang", language, "--kind", kind, &name];
            let text = succeeds(home.path(), &arguments);
            assert!(
                text.contains(&format!("{name}: {kind} in {language}")),
                "{text}"
            );
            let folder = home.path().join(&name);
            assert!(folder.join(source).is_file(), "{name}");
            assert!(folder.join(format!("wit/{kind}/{kind}.wit")).is_file());
            let description = std::fs::read_to_string(folder.join("plugin.toml"));
            let description = description.expect("a description");
            // A crate in Rust says by its SDK which kind it is.
            let says = description.contains(&format!("kind = \"{kind}\""));
            assert_eq!(says, language != "rust", "{description}");
        }
    }
    let arguments = ["new", "--lang", "zig", "--kind", "interceptor", "mine"];
    let refused = said(&plugin(home.path(), &arguments));
    assert!(refused.contains("rust, javascript or python"), "{refused}");
    let unknown = plugin(home.path(), &["new", "--kind", "router", "mine"]);
    assert!(said(&unknown).contains("known are exchange, interceptor, service"));
}

#[test]
fn a_table_says_what_an_interceptor_stamps_and_refuses() {
    let home = tempfile::tempdir().expect("a folder");
    let component = fixture("gate.wasm");
    let component = component.to_str().expect("a path");
    let routes = examples().join("gate/routes.toml");
    let routes = routes.to_str().expect("a path");
    let text = succeeds(home.path(), &["test", component, "--routes", routes]);
    assert!(text.contains("gate: 11 passed, 0 failed"), "{text}");
    let wrong = r#"
configuration = { most = 4 }
[[exchange]]
messages = [
    { body = "12", stamped = { x-length = 3 } },
    { body = "12", stamped = {} },
    { body = "12345", stamped = { x-length = 5 } },
    { body = "12", rejected = "no" },
]
"#;
    std::fs::write(home.path().join("routes.toml"), wrong).expect("writes");
    let failed = plugin(home.path(), &["test", component]);
    assert!(!failed.status.success());
    let text = said(&failed);
    for expected in [
        r#"message with "12": stamped with ["x-length = I64(2)"], expected"#,
        r#"Rejected("5 bytes; 4 are allowed"), expected stamped"#,
        "expected rejected with \"no\"",
        "gate: 1 passed, 8 failed",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn an_interceptor_is_inspected_and_listed_as_one() {
    let home = tempfile::tempdir().expect("a folder");
    let plugins = home.path().join("plugins");
    std::fs::create_dir(&plugins).expect("a folder");
    let component = fixture("gate.wasm");
    std::fs::copy(&component, plugins.join("gate.wasm")).expect("copies");
    let text = succeeds(
        home.path(),
        &["inspect", component.to_str().expect("a path")],
    );
    for line in [
        "interceptor plugin, warren:interceptor@0.1.0",
        "configuration most: integer, 1024 without: So many bytes a message may have",
        "imports warren:exchange/message@0.1.0",
        "exports warren:interceptor/interceptor@0.1.0",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let text = succeeds(home.path(), &["list"]);
    assert!(text.contains("gate\t0.1.0\tinterceptor\tloaded"), "{text}");
    let numbers = fixture("fault-interceptor.wasm");
    std::fs::copy(numbers, plugins.join("numbers.wasm")).expect("copies");
    let text = succeeds(home.path(), &["list"]);
    let refused = "refused: it imports warren:plugin/state@0.1.0, which was not granted";
    assert!(text.contains(refused), "{text}");
}

/// A folder with a plugin from its template, built; the error is which tool chain is missing.
fn made(kind: &str, language: &str, home: &Path) -> Result<(String, Duration), String> {
    let name = format!("my-{kind}-{language}");
    succeeds(home, &["new", "--lang", language, "--kind", kind, &name]);
    let building = installed_and_built(&home.join(&name))?;
    Ok((name, building))
}

/// With the plugin put into its folder while it runs.
fn broker_with(name: &str, settings: &str, home: &Path) -> (tempfile::TempDir, Broker) {
    let plugins = tempfile::tempdir().expect("a folder");
    let config = format!("[plugins.{name}]\n{settings}");
    let broker = Broker::start(Options {
        plugins_dir: Some(plugins.path().to_owned()),
        ..Options::default().managed().config(config)
    });
    let file = format!("{name}.wasm");
    let component = home.join(name).join(&file);
    std::fs::copy(component, plugins.path().join(file)).expect("copies");
    (plugins, broker)
}

async fn interceptor(language: &str, home: &Path) -> Result<String, String> {
    let (name, building) = made("interceptor", language, home)?;
    let tested = succeeds(&home.join(&name), &["test"]);
    assert!(tested.contains("11 passed, 0 failed"), "{tested}");
    let settings = "intercepts = [{ vhost = \"/\" }]\nconfig = { most = 4 }\n";
    let (_plugins, broker) = broker_with(&name, settings, home);
    eventually(PATIENCE, || broker.has_logged("plugin in force"));
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    let confirm = channel.confirmed("", "q", b"1234", persistent()).await;
    assert_eq!(confirm, Confirmation::Ack(None), "{language}");
    let message = channel.get("q").await.expect("the message");
    let headers = message.delivery.properties.headers().clone();
    let headers = headers.expect("headers");
    let length = headers.inner().get("x-length");
    assert_eq!(length, Some(&AMQPValue::LongLongInt(4)), "{language}");
    let refused = channel.confirmed("", "q", b"12345", persistent()).await;
    let Confirmation::Nack(Some(returned)) = refused else {
        panic!("{language}: {refused:?}");
    };
    let text = "PRECONDITION_FAILED - 5 bytes; 4 are allowed";
    assert_eq!(returned.reply_text.as_str(), text, "{language}");
    let calls = &broker.http().json(&format!("/warren/plugins/{name}"))["calls"];
    Ok(format!(
        "{language:<15} interceptor {:>5.1} s build, {calls} calls",
        building.as_secs_f64()
    ))
}

async fn service(language: &str, home: &Path) -> Result<String, String> {
    let (name, building) = made("service", language, home)?;
    let settings = "grants = [\"amqp:local\"]\nmemory = \"256MiB\"\n\
                    config = { source = \"in\", target = \"out\" }\n";
    let (_plugins, broker) = broker_with(&name, settings, home);
    let http = broker.http();
    eventually(PATIENCE, || {
        let rows = http.json("/warren/services");
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.iter().any(|row| row["state"] == "running")
    });
    let channel = broker.connect().await.confirming().await;
    let bodies = (0..500_u32).map(|number| format!("Ab{number}").into_bytes());
    channel.fill("in", bodies).await;
    let mut deliveries = channel.consume("out").await;
    let got = deliveries.texts(500).await;
    let expected = match language {
        "javascript" => "ab7",
        _ => "AB7",
    };
    assert_eq!(got[7], expected);
    eventually(PATIENCE, || {
        http.json("/warren/services")[0]["counters"]["messages"] == 500
    });
    assert!(http.json("/warren/services")[0]["reason"].is_null());
    Ok(format!(
        "{language:<15} service     {:>5.1} s build, 500 messages",
        building.as_secs_f64()
    ))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "builds components in three languages, with whatever tool chains are there"]
async fn a_stranger_gets_from_nothing_to_an_interceptor_and_a_service() {
    let home = tempfile::tempdir().expect("a folder");
    for (language, _) in LANGUAGES {
        for outcome in [
            interceptor(language, home.path()).await,
            service(language, home.path()).await,
        ] {
            match outcome {
                Ok(line) => println!("{line}"),
                Err(reason) => println!("{language:<15} left out: {}", reason.trim()),
            }
        }
    }
}
