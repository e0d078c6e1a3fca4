//! The plugins that ship inside the binary. Built from `plugins/` by `warren plugin build --builtin`.

/// Name and component of each.
pub const BUILTIN: &[(&str, &[u8])] = &[
    ("direct", include_bytes!("../../builtin/direct.wasm")),
    ("fanout", include_bytes!("../../builtin/fanout.wasm")),
];
