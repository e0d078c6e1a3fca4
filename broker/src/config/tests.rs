//! Sources in, configuration or problems out.

use super::*;
use crate::vhost::exchange_type::{OnFailure, Unavailable};

fn file(text: &str) -> Result<Config, ConfigError> {
    Config::load(&Sources {
        file: Some(("warren.toml".to_owned(), text.to_owned())),
        ..Sources::default()
    })
}

fn set(text: &str) -> Result<Config, ConfigError> {
    Config::load(&Sources {
        set: vec![text.to_owned()],
        ..Sources::default()
    })
}

fn variable(name: &str, value: &str) -> Result<Config, ConfigError> {
    Config::load(&Sources {
        variables: vec![(name.to_owned(), value.to_owned())],
        ..Sources::default()
    })
}

fn problems(loaded: Result<Config, ConfigError>) -> String {
    loaded.expect_err("it is wrong").to_string()
}

const EVERYTHING: &str = r#"
data_dir = "/var/lib/warren"
plugins_dir = "/usr/lib/warren"
loopback_users = []
[amqp]
listen = ["0.0.0.0:5672", "[::1]:5673"]
heartbeat = "30s"
frame_max = "128KiB"
channel_max = 100
consumer_max_per_channel = 3
max_message_size = "1MB"
handshake_timeout = "500ms"
max_connections = 10
[management]
listen = []
[prometheus]
listen = ["127.0.0.1:9000"]
[limits]
memory_high_watermark = "2GiB"
disk_free_limit = 5000
[plugins.topic]
enabled = false
[plugins.geo]
memory = "16MiB"
route_timeout = "5ms"
bind_timeout = 1
result_bytes = "1KiB"
stack = "512KiB"
max_instances = 7
max_exchanges = 8
max_bindings = 9
state_keys = 10
state_bytes = "1MiB"
log_lines = 11
observe_timeout = "2s"
observe_every = "500ms"
intercepts = [{ vhost = "/" }, { vhost = "/", exchange = "x" }]
on_failure = "pass"
file_bytes = "1MiB"
file_count = 9
grants = ["http"]
unavailable = "hold:50"
config = { precision = 6, names = ["a", { b = 1.5 }], on = true }
[[vhosts]]
name = "/"
[[vhosts]]
name = "shop"
description = "orders"
tags = ["eu"]
default_queue_type = "quorum"
protected_from_deletion = true
max_connections = 5
max_queues = -1
[[users]]
name = "app"
password = "secret"
tags = ["monitoring"]
max_connections = 2
max_channels = 0
[[users]]
name = "ops"
password_hash = "c2FsdA=="
tags = "administrator"
[[permissions]]
user = "app"
vhost = "shop"
configure = ""
write = "^orders"
[[topic_permissions]]
user = "app"
vhost = "shop"
exchange = "amq.topic"
write = "^{username}-{client_id}"
[[policies]]
name = "short"
vhost = "shop"
pattern = "^tmp"
apply_to = "queues"
priority = -3
definition = { "max-length" = 10, overflow = "reject-publish" }
[[operator_policies]]
name = "bound"
pattern = ""
definition = { "max-length" = 1000000 }
"#;

#[test]
fn nothing_said_is_the_defaults() {
    let config = Config::load(&Sources::default()).expect("defaults");
    assert_eq!(config, Config::default());
    assert_eq!(config.amqp.listen, ["127.0.0.1:5672"]);
    assert_eq!(config.amqp.frame_max, 131_072);
    assert_eq!(config.users, [User::guest()]);
    assert_eq!(config.permissions, [Permission::all("guest", "/")]);
    assert_eq!(config.limits.memory_high_watermark.of(1000), 600);
}

#[test]
fn every_key_is_read() {
    let config = file(EVERYTHING).expect("all of it is known");
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/warren"));
    assert_eq!(config.plugins_dir, PathBuf::from("/usr/lib/warren"));
    assert!(config.loopback_users.is_empty());
    let amqp = Amqp {
        listen: vec!["0.0.0.0:5672".to_owned(), "[::1]:5673".to_owned()],
        heartbeat: 30,
        frame_max: 131_072,
        channel_max: 100,
        consumer_max_per_channel: 3,
        max_message_size: 1_000_000,
        handshake_timeout: Duration::from_millis(500),
        max_connections: 10,
        ..Config::default().amqp
    };
    assert_eq!(config.amqp, amqp);
    assert!(config.management.listen.is_empty());
    assert_eq!(config.prometheus.listen, ["127.0.0.1:9000"]);
    assert_eq!(
        config.limits.memory_high_watermark,
        Watermark::Bytes(2 << 30)
    );
    assert_eq!(config.limits.disk_free_limit, 5000);
    assert_eq!(config.vhosts.len(), 2);
    assert_eq!(
        config.users[0].password,
        Some(Password::Plain("secret".to_owned()))
    );
    assert_eq!(
        config.users[1].password,
        Some(Password::Hash("c2FsdA==".to_owned()))
    );
    assert_eq!(config.users[1].tags, ["administrator"]);
    let permission = Permission {
        configure: String::new(),
        write: "^orders".to_owned(),
        ..Permission::all("app", "shop")
    };
    assert_eq!(config.permissions, [permission]);
}

#[test]
fn limits_topics_and_policies_are_read() {
    let config = file(EVERYTHING).expect("all of it is known");
    let shop = Vhost {
        name: "shop".to_owned(),
        metadata: crate::vhost::Metadata {
            description: "orders".to_owned(),
            tags: vec!["eu".to_owned()],
            default_queue_type: Some("quorum".to_owned()),
            protected_from_deletion: true,
        },
        limits: crate::vhost::VhostLimits {
            max_connections: Some(5),
            max_queues: Some(-1),
        },
    };
    assert_eq!(config.vhosts, [Vhost::root(), shop]);
    let limits = crate::auth::UserLimits {
        max_connections: Some(2),
        max_channels: Some(0),
    };
    assert_eq!(config.users[0].limits, limits);
    let topic = TopicPermission {
        user: "app".to_owned(),
        vhost: "shop".to_owned(),
        exchange: "amq.topic".to_owned(),
        write: "^{username}-{client_id}".to_owned(),
        read: ".*".to_owned(),
    };
    assert_eq!(config.topic_permissions, [topic]);
    let [short, bound] = config.policies.as_slice() else {
        panic!("two policies, found {:?}", config.policies)
    };
    assert_eq!(short.vhost, "shop");
    assert_eq!(short.origin, crate::vhost::policy::Origin::User);
    let json = serde_json::json!({
        "name": "short", "pattern": "^tmp", "apply-to": "queues", "priority": -3,
        "definition": { "max-length": 10, "overflow": "reject-publish" }
    });
    assert_eq!(serde_json::to_value(&short.stated).expect("json"), json);
    assert_eq!(bound.origin, crate::vhost::policy::Origin::Operator);
    assert_eq!(
        (bound.vhost.as_str(), bound.stated.apply_to.as_str()),
        ("/", "all")
    );
}

#[test]
fn a_policy_that_could_not_be_set_is_refused_with_its_line() {
    let policy = |rest: &str| {
        let text = format!("[[policies]]\nname = 'p'\npattern = ''\n{rest}\n");
        problems(file(&text))
    };
    assert_eq!(
        policy("definition = { max-lenght = 5 }"),
        "warren.toml:1: policies[0].definition: [{<<\"max-lenght\">>,5}] are not recognised policy \
         settings"
    );
    assert_eq!(
        policy("definition = { max-length = 5 }\nprioritty = 1"),
        "warren.toml:5: policies[0].prioritty: unknown key, did you mean 'priority'?"
    );
    assert_eq!(
        policy("definition = 5"),
        "warren.toml:4: policies[0].definition: expected a table, found an integer"
    );
    let text = policy("definition = { max-length = 5 }\nvhost = 'none'\napply_to = 'queue'");
    assert!(
        text.contains("policies[0].vhost: there is no vhost 'none'"),
        "{text}"
    );
    assert!(
        text.contains("policies[0].apply_to: apply-to 'queue' unrecognised;"),
        "{text}"
    );
    let operator = "[[operator_policies]]\nname = 'p'\npattern = ''\n\
                    definition = { dead-letter-exchange = 'x' }\n";
    assert!(problems(file(operator)).contains("are not recognised policy settings"));
}

#[test]
fn a_plugins_table_is_read_and_its_config_handed_on_as_it_is() {
    let config = file(EVERYTHING).expect("all of it is known");
    assert!(!config.plugins["topic"].enabled);
    let geo = PluginSettings {
        enabled: true,
        memory: Some(16 << 20),
        route_timeout: Some(Duration::from_millis(5)),
        bind_timeout: Some(Duration::from_secs(1)),
        result_bytes: Some(1024),
        stack: Some(512 << 10),
        max_instances: Some(7),
        max_exchanges: Some(8),
        max_bindings: Some(9),
        state_keys: Some(10),
        state_bytes: Some(1 << 20),
        log_lines: Some(11),
        observe_timeout: Some(Duration::from_secs(2)),
        observe_every: Some(Duration::from_millis(500)),
        intercepts: vec![
            Intercepts {
                vhost: "/".to_owned(),
                exchange: None,
            },
            Intercepts {
                vhost: "/".to_owned(),
                exchange: Some("x".to_owned()),
            },
        ],
        on_failure: OnFailure::Pass,
        file_bytes: Some(1 << 20),
        file_count: Some(9),
        grants: vec!["http".to_owned()],
        unavailable: Unavailable::Hold { limit: 50 },
        config: serde_json::json!({ "precision": 6, "names": ["a", { "b": 1.5 }], "on": true }),
    };
    assert_eq!(config.plugins["geo"], geo);
}

#[test]
fn an_unknown_key_names_its_path_its_line_and_the_nearest_known_key() {
    assert_eq!(
        problems(file("[amqp]\n\nheartbaet = 5\n")),
        "warren.toml:3: amqp.heartbaet: unknown key, did you mean 'heartbeat'?"
    );
    assert_eq!(
        problems(file("[amqpp]\nlisten = []\n")),
        "warren.toml:1: amqpp: unknown key, did you mean 'amqp'?"
    );
    assert_eq!(
        problems(file("[plugins.geo]\nroute_time = 5\n")),
        "warren.toml:2: plugins.geo.route_time: unknown key, did you mean 'route_timeout'?"
    );
    assert_eq!(
        problems(file(
            "[[users]]\nname = 'a'\npassword = 'b'\n[[users]]\nnam = 'c'\n"
        )),
        "warren.toml:4: users[1].name: is missing\n\
         warren.toml:5: users[1].nam: unknown key, did you mean 'name'?"
    );
    assert_eq!(
        problems(set("management.zzz=1")),
        "--set management.zzz=1: management.zzz: unknown key, known here: hosts, listen, tls_listen, tls"
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let text = "[amqp]\nheartbeat = 'soon'\nlisten = ['5672']\nframe_max = 100\n\
                [limits]\ndisk_free_limit = -1\nmemory_high_watermark = 1.5\n";
    assert_eq!(
        problems(file(text)),
        "warren.toml:3: amqp.listen: expected \"host:port\", found \"5672\"\n\
         warren.toml:2: amqp.heartbeat: expected a duration such as \"5ms\", \"60s\" or a number \
         of seconds, found \"soon\"\n\
         warren.toml:4: amqp.frame_max: expected 0 or at least 4096, found 100\n\
         warren.toml:7: limits.memory_high_watermark: expected a share above 0 and up to 1, or a \
         size, found 1.5\n\
         warren.toml:6: limits.disk_free_limit: expected a size such as \"16MiB\", \"1GB\" or a \
         number of bytes, found -1"
    );
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let text = problems(file("data_dir = \"a\"\n[amqp\n"));
    assert!(text.starts_with("warren.toml:2: "), "{text}");
}

#[test]
fn the_wrong_shape_is_told() {
    assert_eq!(
        problems(file("amqp = 5\nusers = 'me'\n")),
        "warren.toml:1: amqp: expected a table, found an integer\n\
         warren.toml:2: users: expected [[users]], found text"
    );
}

#[test]
fn byte_sizes_and_durations_have_many_spellings() {
    for (text, bytes) in [
        ("'16MiB'", 16 << 20),
        ("'1GB'", 1_000_000_000),
        ("'3 KiB'", 3072),
        ("77", 77),
        ("'77'", 77),
        ("'0B'", 0),
    ] {
        let config = file(&format!("[amqp]\nmax_message_size = {text}\n")).expect(text);
        assert_eq!(config.amqp.max_message_size, bytes, "{text}");
    }
    for (text, millis) in [
        ("5", 5000),
        ("'5'", 5000),
        ("'5ms'", 5),
        ("'1m 1s'", 61_000),
    ] {
        let config = file(&format!("[amqp]\nhandshake_timeout = {text}\n")).expect(text);
        assert_eq!(config.amqp.handshake_timeout.as_millis(), millis, "{text}");
    }
    for wrong in ["'16XB'", "'MiB'", "'99999999999TiB'", "1.5", "true"] {
        assert!(file(&format!("[amqp]\nmax_message_size = {wrong}\n")).is_err());
    }
}

#[test]
fn variables_override_the_file_and_set_overrides_both() {
    let mut sources = Sources {
        file: Some((
            "f".to_owned(),
            "data_dir = 'a'\n[amqp]\nheartbeat = 1\n".to_owned(),
        )),
        variables: vec![
            ("WARREN_DATA_DIR".to_owned(), "b".to_owned()),
            ("WARREN_AMQP_HEARTBEAT".to_owned(), "2".to_owned()),
            ("HOME".to_owned(), "/root".to_owned()),
        ],
        set: Vec::new(),
    };
    let config = Config::load(&sources).expect("good");
    assert_eq!((config.data_dir, config.amqp.heartbeat), ("b".into(), 2));
    sources.set = vec!["amqp.heartbeat=3s".to_owned(), "data_dir=c=d".to_owned()];
    let config = Config::load(&sources).expect("good");
    assert_eq!((config.data_dir, config.amqp.heartbeat), ("c=d".into(), 3));
}

#[test]
fn raw_text_stands_for_whatever_its_key_wants() {
    let listen = ["127.0.0.1:1", "127.0.0.1:2"];
    for text in [
        "amqp.listen=127.0.0.1:1,127.0.0.1:2",
        "amqp.listen=[\"127.0.0.1:1\", '127.0.0.1:2']",
    ] {
        assert_eq!(set(text).expect(text).amqp.listen, listen);
    }
    assert!(set("amqp.listen=").expect("off").amqp.listen.is_empty());
    assert!(!set("plugins.geo.enabled=false").expect("off").plugins["geo"].enabled);
    let config = set("plugins.geo.config.precision=6").expect("nested");
    assert_eq!(
        config.plugins["geo"].config,
        serde_json::json!({ "precision": 6 })
    );
    let config = set("plugins.geo.config={ name = 'x' }").expect("inline");
    assert_eq!(
        config.plugins["geo"].config,
        serde_json::json!({ "name": "x" })
    );
    let config = set("limits.memory_high_watermark=0.5").expect("share");
    assert_eq!(
        config.limits.memory_high_watermark,
        Watermark::Fraction(0.5)
    );
    assert_eq!(
        set("data_dir=123").expect("text").data_dir,
        PathBuf::from("123")
    );
}

#[test]
fn every_plugin_key_has_a_variable() {
    for (name, value) in [
        ("ENABLED", "false"),
        ("MEMORY", "1MiB"),
        ("ROUTE_TIMEOUT", "1ms"),
        ("BIND_TIMEOUT", "1ms"),
        ("RESULT_BYTES", "1"),
        ("STACK", "1"),
        ("MAX_INSTANCES", "1"),
        ("GRANTS", "http"),
        ("CONFIG", "{ a = 1 }"),
    ] {
        let name = format!("WARREN_PLUGINS_DELAYED_MESSAGE_{name}");
        let config = variable(&name, value).expect(&name);
        assert_ne!(
            config.plugins["delayed-message"],
            PluginSettings::default(),
            "{name}"
        );
        assert!(config.unknown_variables.is_empty());
    }
}

#[test]
fn a_variable_finds_the_files_spelling_of_a_plugin() {
    let config = Config::load(&Sources {
        file: Some(("f".to_owned(), "[plugins.my_own]\nmemory = 5\n".to_owned())),
        variables: vec![(
            "WARREN_PLUGINS_MY_OWN_ENABLED".to_owned(),
            "false".to_owned(),
        )],
        set: Vec::new(),
    })
    .expect("good");
    assert_eq!(config.plugins.len(), 1);
    assert!(!config.plugins["my_own"].enabled);
}

#[test]
fn variables_that_are_not_ours_are_named_and_not_fatal() {
    for name in [
        "WARREN_PORT",
        "WARREN_AMQP_SERVICE_HOST",
        "WARREN_PLUGINS_X",
    ] {
        let config = variable(name, "tcp://10.0.0.1").expect("no error");
        assert_eq!(config.unknown_variables, [name]);
    }
    let config = variable("WARREN_CONFIG", "file").expect("known");
    assert!(config.unknown_variables.is_empty());
    assert!(variable("WARREN_AMQP_HEARTBEAT", "soon").is_err());
}

#[test]
fn the_container_images_variables_name_the_first_user() {
    let sources = Sources {
        variables: [
            ("RABBITMQ_DEFAULT_USER", "me"),
            ("RABBITMQ_DEFAULT_PASS", "pw"),
            ("RABBITMQ_DEFAULT_VHOST", "v"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        ..Sources::default()
    };
    let config = Config::load(&sources).expect("good");
    assert_eq!(config.users[0].name, "me");
    assert_eq!(config.users[0].tags, ["administrator"]);
    assert_eq!(config.permissions, [Permission::all("me", "v")]);
}

#[test]
fn definitions_that_name_nothing_are_refused() {
    let text = "[[permissions]]\nuser = 'x'\nvhost = 'y'\nread = '('\n";
    assert_eq!(
        problems(file(text)),
        "warren.toml:4: permissions[0].read: \"(\" is not a regular expression\n\
         warren.toml:1: permissions[0].user: there is no user 'x'\n\
         warren.toml:1: permissions[0].vhost: there is no vhost 'y'"
    );
    let text = "[[users]]\nname = 'a'\npassword = 'b'\npassword_hash = 'c'\n";
    assert_eq!(
        problems(file(text)),
        "warren.toml:1: users[0].password: give either password or password_hash"
    );
}

#[test]
fn a_password_is_not_printed() {
    let printed = format!("{:?}", file(EVERYTHING).expect("good"));
    assert!(!printed.contains("secret"));
}
