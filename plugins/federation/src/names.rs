//! What federation calls its queues and exchanges upstream: RabbitMQ's names, so that either broker
//! takes over what the other left.

/// `federation: their-exchange -> this-cluster[:vhost:exchange]`.
pub fn queue(theirs: &str, upstream_vhost: &str, cluster: &str, vhost: &str, name: &str) -> String {
    let part = match (vhost == upstream_vhost, name == theirs) {
        (true, true) => String::new(),
        (true, false) => format!(":{name}"),
        (false, _) => format!(":{vhost}:{name}"),
    };
    format!("federation: {theirs} -> {cluster}{part}")
}

/// The exchange in front of it. Each connection makes one of the other letter, so that bindings that
/// are not wanted any more go with the old one.
pub fn exchange(queue: &str, letter: &str) -> String {
    format!("{queue} {letter}")
}

pub fn other(letter: &str) -> &'static str {
    match letter {
        "A" => "B",
        _ => "A",
    }
}

#[test]
fn names_are_rabbitmqs() {
    let name = queue("fedx", "up", "rabbit@vm", "/", "fedx");
    assert_eq!(name, "federation: fedx -> rabbit@vm:/:fedx");
    assert_eq!(queue("x", "/", "c", "/", "x"), "federation: x -> c");
    assert_eq!(queue("x", "/", "c", "/", "y"), "federation: x -> c:y");
    assert_eq!(
        exchange(&name, other("A")),
        "federation: fedx -> rabbit@vm:/:fedx B"
    );
}
