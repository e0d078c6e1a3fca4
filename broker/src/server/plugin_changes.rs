//! What changes plugins from outside while the broker runs: files in their folder, and SIGHUP for
//! the configuration. Not how a change is made (see `plugin::Plugins`).

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::Reread;
use crate::plugin::Plugins;

/// A file must rest this long before it is taken.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn follow(plugins: Arc<Plugins>, reread: Reread) {
    let reread = Arc::new(reread);
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
                tokio::task::spawn_blocking(move || reconfigure(&plugins, &reread))
            }
        };
        if let Err(error) = changed.await {
            tracing::error!(%error, "a change of plugins was not finished");
        }
    }
}

/// Only what is said of plugins can change while the broker runs.
fn reconfigure(plugins: &Plugins, reread: &Reread) {
    match reread() {
        Ok(config) => {
            tracing::info!("SIGHUP: the configuration of plugins is read again");
            plugins.reconfigure(config.plugins);
        }
        Err(error) => tracing::error!(%error, "SIGHUP: the configuration stays as it was"),
    }
}
