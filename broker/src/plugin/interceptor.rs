//! An interceptor as the host sees it: what `wit/interceptor` looks like, and where an operator has put
//! one. Everything else an interceptor has in common with an exchange type (see `guest`, `instance`).

pub mod bindings {
    //! Generated. No behaviour of ours.
    wasmtime::component::bindgen!({
        path: ["../wit/exchange", "../wit/interceptor"],
        world: "warren:interceptor/interceptor-plugin",
        with: {
            "warren:exchange/host": crate::plugin::bindings::warren::exchange::host,
            "warren:exchange/message": crate::plugin::bindings::warren::exchange::message,
        },
    });
}

/// One entry of `intercepts` in a plugin's table of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intercepts {
    pub vhost: String,
    /// None: all of them. Empty: the default exchange.
    pub exchange: Option<String>,
}

impl Intercepts {
    pub(super) fn covers(&self, vhost: &str, exchange: &str) -> bool {
        self.vhost == vhost && self.exchange.as_deref().is_none_or(|name| name == exchange)
    }
}
