//! An interceptor as the host sees it: what `wit/interceptor` looks like, where an operator has put one,
//! and whether it starts. Everything else it has in common with an exchange type (see `guest`,
//! `instance`).

use std::sync::Arc;

use super::instance::Instance;
use super::one_plugin::Plugin;
use crate::vhost::exchange_type::{OnFailure, OpenRefusal, Opening};
use crate::vhost::kept::Kept;

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
    fn covers(&self, vhost: &str, exchange: &str) -> bool {
        self.vhost == vhost && self.exchange.as_deref().is_none_or(|name| name == exchange)
    }
}

/// What the configuration says of one, whether it is loaded or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub places: Vec<Intercepts>,
    pub on_failure: OnFailure,
}

impl Standing {
    pub fn covers(&self, vhost: &str, exchange: &str) -> bool {
        let mut places = self.places.iter();
        places.any(|place| place.covers(vhost, exchange))
    }
}

/// Opens it in front of no exchange, and drops it: a version that cannot is not put into force. The
/// error is the reason.
pub(super) fn try_out(plugin: &Arc<Plugin>) -> Result<(), String> {
    let opened = Instance::open(
        plugin,
        &Opening {
            vhost: "",
            exchange: "",
            type_name: &plugin.name,
            arguments: &[],
            kept: &Kept::nowhere(),
        },
    );
    match opened {
        Ok(_) => Ok(()),
        Err(OpenRefusal::Refused(text)) => Err(format!("it does not open: {text}")),
        Err(OpenRefusal::Failed(text)) => Err(text),
        Err(OpenRefusal::UnknownType) => Err("it does not open".to_owned()),
    }
}
