//! A broker to measure: where it is and which processes it is.

use std::time::Duration;

use amq_protocol::uri::AMQPUri;
use anyhow::{Context, Result, anyhow};

use super::client::Client;
use super::process;

/// A broker that is not quiet by then is busy with others.
const QUIET_LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct Target {
    pub uri: String,
    /// Host and port, for people.
    pub name: String,
    /// Product and version, as it says itself.
    pub broker: String,
    /// None when the broker runs elsewhere.
    pub pids: Vec<u32>,
}

impl Target {
    /// Asks the kernel who listens there when no process is given. Fails when nobody answers.
    pub fn find(uri: &str, pids: &[u32]) -> Result<Target> {
        let parsed: AMQPUri = uri.parse().map_err(|error: String| anyhow!(error))?;
        let (host, port) = (parsed.authority.host, parsed.authority.port);
        let client = Client::connect(uri).with_context(|| uri.to_owned())?;
        let broker = client.broker.clone();
        client.close();
        let pids = match pids {
            [] => process::listening(&host, port),
            pids => pids.to_vec(),
        };
        Ok(Target {
            uri: uri.to_owned(),
            name: format!("{host}:{port}"),
            broker,
            pids,
        })
    }
}

/// Waits until what the last load left is worked off.
pub fn wait_until_quiet(targets: &[Target]) -> Result<()> {
    let pids: Vec<u32> = targets
        .iter()
        .flat_map(|target| target.pids.clone())
        .collect();
    if !pids.is_empty() && !process::wait_until_quiet(&pids, QUIET_LIMIT)? {
        eprintln!("warren perf: the brokers do not come to rest");
    }
    Ok(())
}
