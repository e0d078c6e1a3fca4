//! One plugin of a broker, loaded or not: where it comes from, what its operator set, where it
//! stands. Changes nothing by itself (see `host`).

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::check::{self, Asked, OWN_GRANTS};
use super::limits::{MAX_COMPONENT_BYTES, PluginSettings};
use super::manifest::Manifest;
use super::one_plugin::{Plugin, Record};
use super::plugin_log::LogLine;
use super::status::{LoadReport, Outcome, PluginKind, PluginState, PluginStatus, RolledBack};
use super::tracer::Tracer;
use crate::clock::Millis;

pub(super) struct Entry {
    pub name: String,
    pub source: Source,
    pub settings: PluginSettings,
    pub phase: Phase,
    /// When it came into this phase.
    pub since: Millis,
    pub record: Record,
    pub rolled_back: Option<RolledBack>,
    pub replacements: u64,
    /// Imports that must be granted, as far as they are known.
    pub asked: Vec<String>,
}

/// Where its component is.
#[derive(Clone)]
pub(super) enum Source {
    Builtin(Arc<[u8]>),
    File(PathBuf),
}

#[derive(Clone)]
pub(super) enum Phase {
    Loading,
    /// Not loaded before it is needed.
    Idle,
    Loaded(InForce),
    Disabled,
    Refused {
        reason: String,
    },
}

/// A loaded plugin, as what it is.
#[derive(Clone)]
pub(super) enum InForce {
    Exchange(Arc<Plugin>),
    Interceptor(Arc<Plugin>),
    Tracer(Arc<Tracer>),
    /// Its tasks are with `service::Services`.
    Service(Arc<Manifest>),
}

impl InForce {
    /// What its component imports beyond what everybody may.
    pub fn asked(&self) -> &[String] {
        match self {
            InForce::Exchange(plugin) | InForce::Interceptor(plugin) => &plugin.loaded.asked,
            InForce::Tracer(tracer) => &tracer.loaded.asked,
            InForce::Service(_) => &[],
        }
    }

    fn status(&self, name: &str, since: Millis) -> PluginStatus {
        match self {
            InForce::Exchange(plugin) => plugin.status(),
            InForce::Interceptor(plugin) => PluginStatus {
                kind: PluginKind::Interceptor,
                ..plugin.status()
            },
            InForce::Tracer(tracer) => tracer.status(),
            InForce::Service(manifest) => {
                let mut status = PluginStatus::new(name, PluginState::Running, since);
                status.kind = PluginKind::Service;
                status.summary = manifest.description.clone();
                status.manifest = Some(Manifest::clone(manifest));
                status
            }
        }
    }
}

impl Source {
    pub fn read(&self) -> Result<Arc<[u8]>, String> {
        let path = match self {
            Source::Builtin(bytes) => return Ok(Arc::clone(bytes)),
            Source::File(path) => path,
        };
        let unreadable =
            |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
        let length = fs::metadata(path).map_err(unreadable)?.len();
        if length > MAX_COMPONENT_BYTES {
            return Err(format!(
                "{} has {length} bytes; a plugin may have {MAX_COMPONENT_BYTES}",
                path.display()
            ));
        }
        Ok(Arc::from(fs::read(path).map_err(unreadable)?))
    }

    pub fn is_builtin(&self) -> bool {
        match self {
            Source::Builtin(_) => true,
            Source::File(_) => false,
        }
    }
}

impl Entry {
    pub fn new(name: &str, source: Source, settings: PluginSettings, now: Millis) -> Entry {
        Entry {
            name: name.to_owned(),
            source,
            settings,
            phase: Phase::Loading,
            since: now,
            record: Record::new(name, now),
            rolled_back: None,
            replacements: 0,
            asked: Vec::new(),
        }
    }

    pub fn enter(&mut self, phase: Phase, now: Millis) {
        self.phase = phase;
        self.since = now;
    }

    pub fn report(&self) -> LoadReport {
        let not_loaded = |outcome| (None, None, Vec::new(), outcome);
        let (kind, version, types, outcome) = match &self.phase {
            Phase::Loaded(plugin) => {
                let PluginStatus {
                    kind,
                    version,
                    types,
                    ..
                } = plugin.status(&self.name, self.since);
                (Some(kind), version, types, Outcome::Loaded)
            }
            Phase::Idle => not_loaded(Outcome::Idle),
            Phase::Disabled => not_loaded(Outcome::Disabled),
            Phase::Loading => {
                let reason = "it is still being loaded".to_owned();
                not_loaded(Outcome::Refused(reason))
            }
            Phase::Refused { reason } => not_loaded(Outcome::Refused(reason.clone())),
        };
        LoadReport {
            name: self.name.clone(),
            kind,
            version,
            types,
            asked: self.asked(),
            outcome,
        }
    }

    fn asked(&self) -> Vec<Asked> {
        // What is part of the broker needs no word of the operator.
        match self.source.is_builtin() {
            true => check::granted(&self.asked, &OWN_GRANTS.map(str::to_owned)),
            false => check::granted(&self.asked, &self.settings.grants),
        }
    }

    pub fn log(&self) -> Vec<LogLine> {
        self.record.log.recent()
    }

    pub fn status(&self) -> PluginStatus {
        let absent = |state| PluginStatus::new(&self.name, state, self.since);
        let mut status = match &self.phase {
            Phase::Loaded(plugin) => plugin.status(&self.name, self.since),
            Phase::Loading => absent(PluginState::Loading),
            Phase::Idle => absent(PluginState::Idle),
            Phase::Disabled => absent(PluginState::Disabled),
            Phase::Refused { reason } => absent(PluginState::Refused {
                reason: reason.clone(),
            }),
        };
        status.since = status.since.max(self.since);
        status.builtin = self.source.is_builtin();
        status.grants = self.settings.grants.clone();
        status.asked = self.asked();
        status.rolled_back = self.rolled_back.clone();
        status.replacements = self.replacements;
        status
    }
}
