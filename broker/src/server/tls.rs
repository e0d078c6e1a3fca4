//! The certificates of all encrypted listeners: read at the start, and again when SIGHUP asks for it.
//! What they are good for is in `crate::tls`.

use std::sync::Arc;

use anyhow::Context as _;

use crate::config::Config;
use crate::tls::{Identity, TlsOptions};

pub(super) struct Identities {
    pub amqp: Option<Arc<Identity>>,
    pub management: Option<Arc<Identity>>,
    pub prometheus: Option<Arc<Identity>>,
}

impl Identities {
    pub fn load(config: &Config) -> anyhow::Result<Identities> {
        let [amqp, management, prometheus] = described(config).map(|(section, wanted, options)| {
            let load = || Identity::new(options, &|file| std::fs::read(file)).map(Arc::new);
            let loaded = wanted.then(load).transpose();
            loaded.with_context(|| format!("no TLS for {section}"))
        });
        Ok(Identities {
            amqp: amqp?,
            management: management?,
            prometheus: prometheus?,
        })
    }

    /// What cannot be used leaves the certificate that is there in force. Connections that are open
    /// keep theirs.
    pub fn reload(&self, config: &Config) {
        let identities = [&self.amqp, &self.management, &self.prometheus];
        for (identity, (section, _, options)) in identities.into_iter().zip(described(config)) {
            let Some(identity) = identity else {
                continue;
            };
            match identity.reload(options, &|file| std::fs::read(file)) {
                Ok(()) => tracing::info!(section, "SIGHUP: certificates are read again"),
                Err(error) => {
                    tracing::error!(section, %error, "SIGHUP: the certificate stays as it was");
                }
            }
        }
    }
}

/// Each section with whether it has an encrypted listener.
fn described(config: &Config) -> [(&'static str, bool, &TlsOptions); 3] {
    let Config {
        amqp,
        management,
        prometheus,
        ..
    } = config;
    [
        ("amqp", !amqp.tls_listen.is_empty(), &amqp.tls),
        (
            "management",
            !management.tls_listen.is_empty(),
            &management.tls,
        ),
        (
            "prometheus",
            !prometheus.tls_listen.is_empty(),
            &prometheus.tls,
        ),
    ]
}
