//! What changes plugins and certificates from outside while the broker runs: files in the plugins
//! folder, and SIGHUP for the rest. Not how a change is made (see `plugin::Plugins`, `tls`).

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::Reread;
use super::tls::Identities;
use crate::plugin::Plugins;

/// A file must rest this long before it is taken.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn follow(plugins: Arc<Plugins>, identities: Arc<Identities>, reread: Reread) {
    let reread = Arc::new((identities, reread));
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!(%error, "no changes of plugins: SIGHUP cannot be heard");
            return;
        }
    };
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (plugins, reread) = (Arc::clone(&plugins), Arc::clone(&reread));
        // Both compile: no worker may wait for that.
        let changed = tokio::select! {
            _ = looks.tick() => tokio::task::spawn_blocking(move || plugins.look_into_folder()),
            _ = hangup.recv() => {
                tokio::task::spawn_blocking(move || reconfigure(&plugins, &reread.0, &reread.1))
            }
        };
        if let Err(error) = changed.await {
            tracing::error!(%error, "a change of plugins was not finished");
        }
    }
}

/// Only what is said of plugins and of certificates can change while the broker runs.
fn reconfigure(plugins: &Plugins, identities: &Identities, reread: &Reread) {
    match reread() {
        Ok(config) => {
            identities.reload(&config);
            tracing::info!("SIGHUP: the configuration of plugins is read again");
            plugins.reconfigure(config.plugins);
        }
        Err(error) => tracing::error!(%error, "SIGHUP: the configuration stays as it was"),
    }
}
