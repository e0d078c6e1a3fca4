//! The plugins that ship inside the binary, built from `plugins/` by `warren plugin build --builtin`.

/// Loaded once something is traced.
pub(super) const ON_DEMAND: &[&str] = &["tracing"];

/// Enabled only where the configuration says so: the one as RabbitMQ's plugin of that purpose, the other
/// because it posts what it is told of.
pub(super) const OFF: &[&str] = &["event-exchange", "opentelemetry"];

/// Name and component of each.
pub const BUILTIN: &[(&str, &[u8])] = &[
    (
        "consistent-hash",
        include_bytes!("../../builtin/consistent-hash.wasm"),
    ),
    (
        "delayed-message",
        include_bytes!("../../builtin/delayed-message.wasm"),
    ),
    (
        "event-exchange",
        include_bytes!("../../builtin/event-exchange.wasm"),
    ),
    ("direct", include_bytes!("../../builtin/direct.wasm")),
    ("fanout", include_bytes!("../../builtin/fanout.wasm")),
    (
        "federation",
        include_bytes!("../../builtin/federation.wasm"),
    ),
    (
        "federation-upstream",
        include_bytes!("../../builtin/federation-upstream.wasm"),
    ),
    ("headers", include_bytes!("../../builtin/headers.wasm")),
    (
        "message-deduplication",
        include_bytes!("../../builtin/message-deduplication.wasm"),
    ),
    (
        "opentelemetry",
        include_bytes!("../../builtin/opentelemetry.wasm"),
    ),
    ("random", include_bytes!("../../builtin/random.wasm")),
    (
        "recent-history",
        include_bytes!("../../builtin/recent-history.wasm"),
    ),
    ("shovel", include_bytes!("../../builtin/shovel.wasm")),
    ("topic", include_bytes!("../../builtin/topic.wasm")),
    ("tracing", include_bytes!("../../builtin/tracing.wasm")),
];
