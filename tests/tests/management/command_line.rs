//! `warren ctl` against a running broker.

use std::process::{Command, Output};

use serde_json::{Value, json};
use warren_tests::kit::{Broker, binary};

use super::start;

fn ctl(broker: &Broker, words: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.env("WARREN_CTL_ADDRESS", broker.listener("http"));
    command.arg("ctl").args(words);
    command.output().expect("warren ctl")
}

/// What it prints; it must succeed.
#[track_caller]
fn says(broker: &Broker, words: &[&str]) -> String {
    let output = ctl(broker, words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn it_does_what_rabbitmqctl_does() {
    let (broker, http) = start();
    says(&broker, &["add_vhost", "shop"]);
    says(&broker, &["add_user", "ann", "secret"]);
    says(
        &broker,
        &["set_user_tags", "ann", "management", "policymaker"],
    );
    says(
        &broker,
        &["-p", "shop", "set_permissions", "ann", "^c", ".*", ""],
    );
    says(
        &broker,
        &["-p", "shop", "set_permissions", "guest", ".*", ".*", ".*"],
    );
    let policy = [
        "-p",
        "shop",
        "set_policy",
        "ttl",
        "^q",
        r#"{"message-ttl":5}"#,
        "--priority",
        "3",
    ];
    says(&broker, &policy);
    says(
        &broker,
        &["-p", "shop", "set_vhost_limits", r#"{"max-queues":9}"#],
    );
    http.put("/queues/shop/q", &json!({"durable": true}))
        .is(201);
    let listed = says(&broker, &["-q", "list_users"]);
    assert_eq!(
        listed,
        "user\ttags\nann\t[management, policymaker]\nguest\t[administrator]\n"
    );
    let listed = says(&broker, &["-s", "-p", "shop", "list_permissions"]);
    assert_eq!(listed, "ann\t^c\t.*\t\nguest\t.*\t.*\t.*\n");
    let listed = says(
        &broker,
        &["-p", "shop", "list_queues", "name", "policy", "durable"],
    );
    let expected = "Listing queues for vhost shop ...\nname\tpolicy\tdurable\nq\tttl\ttrue\n";
    assert_eq!(listed, expected);
    let listed = says(&broker, &["--json", "-p", "shop", "list_bindings"]);
    let rows: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(rows[0]["source_kind"], "exchange");
    assert_eq!(rows[0]["destination_name"], "q");
    says(&broker, &["change_password", "ann", "other"]);
    assert_eq!(
        says(&broker, &["authenticate_user", "ann", "other"]),
        "Success\n"
    );
    assert!(says(&broker, &["status"]).contains("queues: 1"));
    says(&broker, &["-p", "shop", "delete_queue", "q"]);
    says(&broker, &["-p", "shop", "clear_vhost_limits"]);
    assert_eq!(http.json("/vhost-limits/shop"), json!([]));
    says(&broker, &["delete_vhost", "shop"]);
}

#[test]
fn what_goes_wrong_is_told_and_fails() {
    let (broker, _) = start();
    let error = |words: &[&str]| {
        let output = ctl(&broker, words);
        assert!(!output.status.success(), "{words:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(error(&["list_quues"]).contains("is it 'list_queues'?"));
    assert!(error(&["add_user", "ann"]).contains("usage: warren ctl add_user NAME PASSWORD"));
    assert!(error(&["delete_user", "nobody"]).contains("there is no such thing"));
    assert!(error(&["--password", "x", "list_users"]).contains("refused to user 'guest'"));
    assert!(error(&["--address", "127.0.0.1:1", "status"]).contains("is the broker running?"));
    let broken = error(&["set_policy", "p", "x", "{"]);
    assert!(broken.contains("is no JSON"), "{broken}");
}
