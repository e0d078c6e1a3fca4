//! What `wit/tracer` looks like from the host, generated. No behaviour of ours.

wasmtime::component::bindgen!({
    path: ["../wit/exchange", "../wit/tracer"],
    world: "warren:tracer/tracer-plugin",
    with: {
        "warren:exchange/host": crate::plugin::bindings::warren::exchange::host,
    },
});
