//! What `wit/exchange` looks like from the host, generated. No behaviour of ours.

wasmtime::component::bindgen!({
    path: "../wit/exchange",
    world: "exchange-plugin",
});
