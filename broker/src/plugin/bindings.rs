//! What `wit/` looks like from the host, generated. No behaviour of ours.

wasmtime::component::bindgen!({
    path: ["../wit/exchange", "../wit/plugin"],
    world: "warren:plugin/exchange-plugin",
});

/// What a component may export beside that.
pub mod configured {
    wasmtime::component::bindgen!({
        path: ["../wit/exchange", "../wit/plugin"],
        world: "warren:plugin/configured",
    });
}
