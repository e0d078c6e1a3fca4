//! What a plugin may use, and what its operator said about it. Not the enforcement (see `state`,
//! `live` and `engine`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::engine::Relief;
use super::interceptor::Intercepts;
use crate::vhost::exchange_type::{OnFailure, Unavailable};
use crate::vhost::kept::Room;

/// Enough for an index of hundreds of thousands of bindings in a compiled language, and for a
/// Python or JavaScript runtime with its heap.
pub const DEFAULT_MEMORY: u64 = 64 << 20;

/// What a binding may add to `Limits::memory`: a trie node or two with their keys.
pub const MEMORY_PER_BINDING: u64 = 512;

/// A publish waits for this call: long enough for an interpreter (tens of microseconds) on a busy
/// machine, short enough that a runaway is not felt by other connections of the worker.
pub const DEFAULT_ROUTE_TIMEOUT: Duration = Duration::from_millis(5);

/// Declares and binds are rare, and interpreters page in their heap at the first of them.
pub const DEFAULT_BIND_TIMEOUT: Duration = Duration::from_millis(50);

/// Nothing waits for `describe` but the start of the broker, and the machine is busiest then.
pub const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(1);

/// An answer is a list of slots and a few headers.
pub const DEFAULT_RESULT_BYTES: u64 = 64 << 10;

/// A slot is four bytes; twice that, so that a type that answers with repetitions still fits.
pub const RESULT_BYTES_PER_BINDING: u64 = 8;

/// What the host's own records of an answer count for beside the plugin's bytes.
pub const RESULT_SLACK: u64 = 4 << 10;

/// A tracer's call gets a batch of events, and nobody waits for it.
pub const DEFAULT_OBSERVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Of a tracer's file, after which it begins a new one.
pub const DEFAULT_FILE_BYTES: u64 = 64 << 20;

/// Of a name: the one that is written, and those before it.
pub const DEFAULT_FILE_COUNT: u32 = 4;

/// wasmtime's own default: recursion over a routing key or a table needs far less.
pub const DEFAULT_STACK: usize = 512 << 10;

/// A worker thread has 2 MiB, and the broker and the host functions stand on it too.
pub const MAX_STACK: usize = 1 << 20;

/// An instance reserves 4 GiB of address space and keeps 40 KiB and more resident.
pub const DEFAULT_MAX_INSTANCES: usize = 1000;

/// Each is an entry in the topology and a row on the disk: this is where a mistake in a loop is
/// stopped, and far from what one plugin is used for.
pub const DEFAULT_MAX_EXCHANGES: u64 = 100_000;

/// The same for bindings, which take some hundred bytes each.
pub const DEFAULT_MAX_BINDINGS: u64 = 10_000_000;

/// Enough for a plugin that has something to say, too few to drown the broker's own lines.
pub const DEFAULT_LOG_LINES: u32 = 100;

/// What a plugin keeps is in memory, too, and is read at start.
pub const DEFAULT_STATE_BYTES: u64 = 64 << 20;

/// A key costs some hundred bytes beside its own.
pub const DEFAULT_STATE_KEYS: u64 = 1_000_000;

/// Function tables of a CPython component hold some ten thousand entries.
pub const MAX_TABLE_ELEMENTS: usize = 200_000;

/// A component of an interpreter is several core modules with adapters between them.
pub const MAX_CORE_INSTANCES: usize = 256;

/// `unavailable = "hold"` keeps so many messages an exchange: they are looked at again every two
/// seconds, so that this is a load, too.
pub const DEFAULT_HOLD: u64 = 10_000;

/// A file in the plugin folder that is larger is no plugin: CPython with its library has 18 MB.
pub const MAX_COMPONENT_BYTES: u64 = 256 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub memory: u64,
    pub route_timeout: Duration,
    pub bind_timeout: Duration,
    pub result_bytes: u64,
    pub stack: usize,
    pub max_instances: usize,
    /// Of all virtual hosts together, as all that follow.
    pub max_exchanges: u64,
    pub max_bindings: u64,
    pub state_keys: u64,
    pub state_bytes: u64,
    /// A second.
    pub log_lines: u32,
    /// Of tracers, as what follows.
    pub observe_timeout: Duration,
    /// Events are gathered for so long, or until a call is full.
    pub observe_every: Duration,
    pub file_bytes: u64,
    pub file_count: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: DEFAULT_MEMORY,
            route_timeout: DEFAULT_ROUTE_TIMEOUT,
            bind_timeout: DEFAULT_BIND_TIMEOUT,
            result_bytes: DEFAULT_RESULT_BYTES,
            stack: DEFAULT_STACK,
            max_instances: DEFAULT_MAX_INSTANCES,
            max_exchanges: DEFAULT_MAX_EXCHANGES,
            max_bindings: DEFAULT_MAX_BINDINGS,
            state_keys: DEFAULT_STATE_KEYS,
            state_bytes: DEFAULT_STATE_BYTES,
            log_lines: DEFAULT_LOG_LINES,
            observe_timeout: DEFAULT_OBSERVE_TIMEOUT,
            observe_every: Duration::ZERO,
            file_bytes: DEFAULT_FILE_BYTES,
            file_count: DEFAULT_FILE_COUNT,
        }
    }
}

impl Limits {
    pub(super) fn memory_for(&self, bindings: usize) -> usize {
        let bytes = self
            .memory
            .saturating_add(MEMORY_PER_BINDING.saturating_mul(bindings as u64));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub(super) fn room(&self) -> Room {
        Room {
            keys: self.state_keys,
            bytes: self.state_bytes,
        }
    }

    pub(super) fn result_bytes_for(&self, bindings: usize) -> usize {
        let bytes = self
            .result_bytes
            .saturating_add(RESULT_BYTES_PER_BINDING.saturating_mul(bindings as u64))
            .saturating_add(RESULT_SLACK);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

/// One `[plugins.<name>]` table. `None` is the default of `PluginOptions::defaults`.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSettings {
    pub enabled: bool,
    pub memory: Option<u64>,
    pub route_timeout: Option<Duration>,
    pub bind_timeout: Option<Duration>,
    pub result_bytes: Option<u64>,
    pub stack: Option<usize>,
    pub max_instances: Option<usize>,
    pub max_exchanges: Option<u64>,
    pub max_bindings: Option<u64>,
    pub state_keys: Option<u64>,
    pub state_bytes: Option<u64>,
    pub log_lines: Option<u32>,
    pub observe_timeout: Option<Duration>,
    pub observe_every: Option<Duration>,
    pub file_bytes: Option<u64>,
    pub file_count: Option<u32>,
    pub grants: Vec<String>,
    /// Where it stands in front of exchanges, if it is an interceptor.
    pub intercepts: Vec<Intercepts>,
    /// What becomes of messages that it cannot look at.
    pub on_failure: OnFailure,
    /// What publishes to its exchanges meet while it is away.
    pub unavailable: Unavailable,
    pub config: serde_json::Value,
}

impl Default for PluginSettings {
    fn default() -> PluginSettings {
        PluginSettings {
            enabled: true,
            memory: None,
            route_timeout: None,
            bind_timeout: None,
            result_bytes: None,
            stack: None,
            max_instances: None,
            max_exchanges: None,
            max_bindings: None,
            state_keys: None,
            state_bytes: None,
            log_lines: None,
            observe_timeout: None,
            observe_every: None,
            file_bytes: None,
            file_count: None,
            grants: Vec::new(),
            intercepts: Vec::new(),
            on_failure: OnFailure::Refuse,
            unavailable: Unavailable::Fail,
            config: serde_json::Value::Null,
        }
    }
}

impl PluginSettings {
    pub(super) fn limits(&self, defaults: &Limits) -> Limits {
        Limits {
            memory: self.memory.unwrap_or(defaults.memory),
            route_timeout: self.route_timeout.unwrap_or(defaults.route_timeout),
            bind_timeout: self.bind_timeout.unwrap_or(defaults.bind_timeout),
            result_bytes: self.result_bytes.unwrap_or(defaults.result_bytes),
            stack: self.stack.unwrap_or(defaults.stack).min(MAX_STACK),
            max_instances: self.max_instances.unwrap_or(defaults.max_instances).max(1),
            max_exchanges: self.max_exchanges.unwrap_or(defaults.max_exchanges),
            max_bindings: self.max_bindings.unwrap_or(defaults.max_bindings),
            state_keys: self.state_keys.unwrap_or(defaults.state_keys),
            state_bytes: self.state_bytes.unwrap_or(defaults.state_bytes),
            log_lines: self.log_lines.unwrap_or(defaults.log_lines),
            observe_timeout: self.observe_timeout.unwrap_or(defaults.observe_timeout),
            observe_every: self.observe_every.unwrap_or(defaults.observe_every),
            file_bytes: self.file_bytes.unwrap_or(defaults.file_bytes).max(1),
            file_count: self.file_count.unwrap_or(defaults.file_count).max(1),
        }
    }
}

#[derive(Clone)]
pub struct PluginOptions {
    /// Compiled components. Created with mode 0700; nothing else should live there.
    pub cache_dir: PathBuf,
    /// What tracers write.
    pub trace_dir: PathBuf,
    /// The broker's name, for tracers.
    pub node: String,
    /// The `warren` that compiles, in a process of its own. None: compiled by this process.
    pub compiler: Option<PathBuf>,
    pub plugins: BTreeMap<String, PluginSettings>,
    pub defaults: Limits,
    pub relief: Relief,
}
