//! What `wit/` looks like from the host, generated. No behaviour of ours.

wasmtime::component::bindgen!({
    path: ["../wit/exchange", "../wit/plugin"],
    world: "warren:plugin/exchange-plugin",
});

/// What a component may export beside that: a look at its configuration.
pub mod configured {
    wasmtime::component::bindgen!({
        path: ["../wit/exchange", "../wit/plugin"],
        world: "warren:plugin/configured",
    });
}

/// And answers by routing keys.
pub mod keyed {
    wasmtime::component::bindgen!({
        path: ["../wit/exchange", "../wit/plugin"],
        world: "warren:plugin/keyed",
    });
}
