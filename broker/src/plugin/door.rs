//! The one door to a running broker's plugins: list, enable, disable, reload, replace, remove, and
//! what follows from a new configuration and from the folder. For the composition root and the
//! management interface. A change takes as long as compiling takes: not to be called by a worker.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::entry::Source;
use super::folder::{Change, Folder};
use super::host::PluginHost;
use super::limits::PluginSettings;
use super::plugin_log::LogLine;
use super::service::Services;
use super::status::PluginStatus;
use super::tracer::TraceFiles;
use crate::vhost::{Broker, Trace};
use crate::web::Reach;

pub struct Plugins {
    host: Arc<PluginHost>,
    broker: Arc<Broker>,
    /// Held over every change, so that files and plugins change in the same order.
    folder: Mutex<Folder>,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginError {
    Unknown {
        name: String,
    },
    /// A built-in plugin has no file that could be replaced or removed.
    Builtin {
        name: String,
    },
    BadName {
        name: String,
    },
    Refused {
        name: String,
        reason: String,
    },
    /// The folder, not the plugin.
    Disk {
        text: String,
    },
}

impl fmt::Display for PluginError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PluginError::Unknown { name } => write!(out, "there is no plugin '{name}'"),
            PluginError::Builtin { name } => write!(
                out,
                "plugin '{name}' is built in: disable it, and give yours another name"
            ),
            PluginError::BadName { name } => write!(
                out,
                "'{name}' is no plugin name: letters, digits, '-' and '_' only"
            ),
            PluginError::Refused { name, reason } => write!(out, "plugin '{name}': {reason}"),
            PluginError::Disk { text } => out.write_str(text),
        }
    }
}

impl std::error::Error for PluginError {}

/// Why something is not traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracingError(String);

impl fmt::Display for TracingError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for TracingError {}

/// A plugin's name is its file's.
const MAX_NAME: usize = 200;

impl Plugins {
    /// `directory` is the one that `host` was loaded from.
    /// `web` is the way to HTTP servers.
    pub fn new(
        host: Arc<PluginHost>,
        broker: Arc<Broker>,
        directory: &Path,
        web: Arc<dyn Reach>,
    ) -> Plugins {
        host.begin(&broker, web);
        Plugins {
            host,
            broker,
            folder: Mutex::new(Folder::new(directory)),
        }
    }

    /// Switches a virtual host's firehose. Whoever is there for that is loaded now.
    pub fn set_tracing(&self, vhost: &str, on: bool) -> Result<(), TracingError> {
        let folder = self.folder.lock();
        if on {
            self.host.wake(&self.broker);
        }
        drop(folder);
        let switched = self.broker.set_traced(vhost, on);
        switched.map_err(|error| TracingError(error.to_string()))
    }

    /// Starts a trace. `false`: one of this name is running.
    pub fn add_trace(&self, trace: Trace) -> Result<bool, TracingError> {
        let folder = self.folder.lock();
        self.host.wake(&self.broker);
        drop(folder);
        let added = self.broker.add_trace(trace);
        added.map_err(|error| TracingError(error.to_string()))
    }

    /// What tracers have written.
    pub fn trace_files(&self) -> &Arc<TraceFiles> {
        self.host.trace_files()
    }

    /// What runs beside the message path.
    pub fn services(&self) -> &Arc<Services> {
        self.host.services()
    }

    /// In the order of loading: the built-in ones first.
    pub fn list(&self) -> Vec<PluginStatus> {
        self.host.plugins()
    }

    pub fn get(&self, name: &str) -> Option<PluginStatus> {
        self.host.status(name)
    }

    /// Its last lines in the log, the newest first.
    pub fn log(&self, name: &str) -> Vec<LogLine> {
        self.host.log(name)
    }

    /// The enabled exchange types, sorted, each with the name of its plugin.
    pub fn types(&self) -> Vec<(String, String)> {
        self.host.types()
    }

    /// Until the next start or SIGHUP, where the configuration says otherwise; as `disable`.
    pub fn enable(&self, name: &str) -> Result<(), PluginError> {
        self.set_enabled(name, true)
    }

    pub fn disable(&self, name: &str) -> Result<(), PluginError> {
        self.set_enabled(name, false)
    }

    fn set_enabled(&self, name: &str, enabled: bool) -> Result<(), PluginError> {
        let _folder = self.folder.lock();
        let source = self.source(name)?;
        self.host.set_enabled(name, enabled);
        self.put(name, &source)
    }

    /// The component as it is now, with new instances everywhere.
    pub fn reload(&self, name: &str) -> Result<(), PluginError> {
        let mut folder = self.folder.lock();
        let source = self.source(name)?;
        folder.take(name);
        self.put(name, &source)
    }

    /// Puts a component into the folder, under a name that is new or not, and into force. Where
    /// another version of it runs and this one fails, that one stays, also on disk.
    pub fn replace(&self, name: &str, component: &[u8]) -> Result<(), PluginError> {
        let mut folder = self.folder.lock();
        check_name(name)?;
        if let Ok(Source::Builtin(_)) = self.source(name) {
            return Err(PluginError::Builtin {
                name: name.to_owned(),
            });
        }
        let path = folder.path_of(name);
        let disk = |error: std::io::Error| PluginError::Disk {
            text: format!("{} cannot be written: {error}", path.display()),
        };
        let old = fs::read(&path).ok();
        write(&path, component).map_err(disk)?;
        let put = self.put(name, &Source::File(path.clone()));
        if put.is_err() {
            match old {
                Some(old) => write(&path, &old).map_err(disk)?,
                None => {
                    fs::remove_file(&path).map_err(disk)?;
                    self.forget(name)?;
                }
            }
        }
        folder.take(name);
        put
    }

    /// Takes the file away; the types become unavailable.
    pub fn remove(&self, name: &str) -> Result<(), PluginError> {
        let mut folder = self.folder.lock();
        match self.source(name)? {
            Source::Builtin(_) => {
                return Err(PluginError::Builtin {
                    name: name.to_owned(),
                });
            }
            Source::File(path) => match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    let text = format!("{} cannot be removed: {error}", path.display());
                    return Err(PluginError::Disk { text });
                }
                Ok(()) | Err(_) => {}
            },
        }
        folder.take(name);
        self.forget(name)
    }

    /// A new configuration: what it changes is put into force. What fails is in the log and in the
    /// plugin's status.
    pub fn reconfigure(&self, plugins: BTreeMap<String, PluginSettings>) {
        let _folder = self.folder.lock();
        let changed = self.host.configure(plugins);
        self.host.place_interceptors(&self.broker);
        for (name, source) in changed {
            tracing::info!(plugin = name, "plugin has other settings");
            let _ = self.host.put(&name, &source, Some(&self.broker));
        }
        if let Err(reason) = self.host.look_again(&self.broker) {
            tracing::error!(reason, "plugins after a new configuration");
        }
    }

    /// Looks into the folder, and puts into force what has come, changed or gone since the last
    /// look. To be called about once a second: a file must rest from one look to the next.
    pub fn look_into_folder(&self) {
        let mut folder = self.folder.lock();
        for change in folder.look() {
            // What fails is in the log and in the plugin's status.
            let _ = match change {
                Change::Came(name, path) => {
                    let source = Source::File(path);
                    self.host.put(&name, &source, Some(&self.broker))
                }
                Change::Gone(name) => match self.source(&name) {
                    Ok(Source::File(_)) => self.host.forget(&name, Some(&self.broker)),
                    Ok(Source::Builtin(_)) => {
                        self.host.forget_namesake(&name);
                        Ok(())
                    }
                    Err(_) => Ok(()),
                },
            };
        }
    }

    fn source(&self, name: &str) -> Result<Source, PluginError> {
        let sources = self.host.sources();
        let known = sources.into_iter().find(|(known, _)| known == name);
        match known {
            Some((_, source)) => Ok(source),
            None => Err(PluginError::Unknown {
                name: name.to_owned(),
            }),
        }
    }

    fn put(&self, name: &str, source: &Source) -> Result<(), PluginError> {
        let put = self.host.put(name, source, Some(&self.broker));
        put.map_err(|reason| refused(name, reason))
    }

    fn forget(&self, name: &str) -> Result<(), PluginError> {
        let forgotten = self.host.forget(name, Some(&self.broker));
        forgotten.map_err(|reason| refused(name, reason))
    }
}

fn refused(name: &str, reason: String) -> PluginError {
    PluginError::Refused {
        name: name.to_owned(),
        reason,
    }
}

fn check_name(name: &str) -> Result<(), PluginError> {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(fits) {
        return Err(PluginError::BadName {
            name: name.to_owned(),
        });
    }
    Ok(())
}

/// Atomically: who reads meanwhile sees the old file or the new one.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let scratch = path.with_extension("wasm.new");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::File::create(&scratch)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&scratch, path)
}
