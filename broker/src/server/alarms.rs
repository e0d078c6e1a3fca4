//! Watches memory and disk, and stops publishers before either runs out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Limits;
use crate::net::{Alarm, Gate};
use crate::queue::Pressure;
use crate::vhost::{Broker, Concerns, Kind};

/// A publisher that fills memory at 2 GiB a second is stopped half a gigabyte late.
const INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn watch(
    (gate, broker): (Arc<Gate>, Arc<Broker>),
    pressure: Arc<Pressure>,
    limits: Limits,
    data_dir: PathBuf,
) {
    let watermark = limits.memory_high_watermark.of(total_memory());
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        if let Some(resident) = resident_memory() {
            pressure.set(resident > watermark / 2);
            let raised = resident > watermark;
            if gate.set_alarm(Alarm::Memory, raised) {
                tracing::warn!(resident, watermark, raised, "memory alarm");
                tell(&broker, "memory", raised);
            }
        }
        if let Some(free) = free_disk(&data_dir) {
            let raised = free < limits.disk_free_limit;
            if gate.set_alarm(Alarm::Disk, raised) {
                tracing::warn!(free, limit = limits.disk_free_limit, raised, "disk alarm");
                tell(&broker, "disk", raised);
            }
        }
    }
}

fn tell(broker: &Broker, resource: &str, raised: bool) {
    let kind = match raised {
        true => Kind::AlarmSet,
        false => Kind::AlarmCleared,
    };
    broker.tell_about(kind, Concerns::Everybody, resource, |facts| facts);
}

pub(super) fn free_disk(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

pub(super) fn resident_memory() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Of this machine, or of the container if that has less.
pub(super) fn total_memory() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
            let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kibibytes * 1024)
        });
    let container = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok());
    machine
        .unwrap_or(u64::MAX)
        .min(container.unwrap_or(u64::MAX))
}
