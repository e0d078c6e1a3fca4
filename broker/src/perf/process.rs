//! The broker's processes as the kernel sees them, from /proc: CPU time, resident memory, who
//! listens on a port. Linux only; elsewhere there is nothing.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The kernel counts in these for user space on every Linux (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// The state of a listening socket in /proc/net/tcp.
const LISTEN: &str = "0A";

/// A broker that takes less than this share of one core is quiet.
const QUIET_SHARE: f64 = 0.06;

/// How long it must be quiet.
const QUIET_FOR: Duration = Duration::from_millis(400);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    pub user: f64,
    pub system: f64,
}

impl CpuTime {
    /// The sum over some processes, in seconds.
    pub fn of(pids: &[u32]) -> Result<CpuTime> {
        let mut sum = CpuTime::default();
        for pid in pids {
            let path = format!("/proc/{pid}/stat");
            let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
            let time = parse(&stat).with_context(|| format!("{path} is not understood"))?;
            sum.user += time.user;
            sum.system += time.system;
        }
        Ok(sum)
    }

    pub fn since(self, before: CpuTime) -> CpuTime {
        CpuTime {
            user: self.user - before.user,
            system: self.system - before.system,
        }
    }

    pub fn total(self) -> f64 {
        self.user + self.system
    }
}

/// Fields 14 and 15; the second field is a name that may hold spaces and parentheses.
fn parse(stat: &str) -> Option<CpuTime> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    Some(CpuTime {
        user: seconds()?,
        system: seconds()?,
    })
}

/// Resident octets, over some processes.
pub fn resident_memory(pids: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let path = format!("/proc/{pid}/status");
        let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        sum += resident(&status).with_context(|| format!("{path} is not understood"))?;
    }
    Ok(sum)
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Waits until the processes take next to no time; false when they did not within the limit.
pub fn wait_until_quiet(pids: &[u32], limit: Duration) -> Result<bool> {
    let end = Instant::now() + limit;
    let mut before = CpuTime::of(pids)?.total();
    while Instant::now() < end {
        thread::sleep(QUIET_FOR);
        let now = CpuTime::of(pids)?.total();
        if now - before <= QUIET_SHARE * QUIET_FOR.as_secs_f64() {
            return Ok(true);
        }
        before = now;
    }
    Ok(false)
}

/// The processes that listen on this address, if it is one of this machine and we may look.
pub fn listening(host: &str, port: u16) -> Vec<u32> {
    let local = |address: IpAddr| address.is_loopback();
    let addresses = (host, port).to_socket_addrs();
    if !addresses.is_ok_and(|mut all| all.any(|address| local(address.ip()))) {
        return Vec::new();
    }
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|table| listeners(&table, port))
        .collect();
    match inodes.is_empty() {
        true => Vec::new(),
        false => holders(&inodes),
    }
}

/// The socket inodes of a port's listeners. Columns: slot, local address, remote address, state,
/// and six more before the inode.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_ascii_whitespace().collect();
            let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
            (local.ends_with(&suffix) && *state == LISTEN).then(|| (*inode).to_owned())
        })
        .collect()
}

fn holders(inodes: &[String]) -> Vec<u32> {
    let names: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let holds = |pid: u32| {
        let folder = std::fs::read_dir(format!("/proc/{pid}/fd"));
        folder.is_ok_and(|entries| {
            entries
                .flatten()
                .filter_map(|entry| std::fs::read_link(entry.path()).ok())
                .any(|link| names.iter().any(|name| link == Path::new(name)))
        })
    };
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| holds(*pid))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_an_odd_name() {
        let stat = "77 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(
            parse(stat),
            Some(CpuTime {
                user: 2.5,
                system: 0.5
            })
        );
        assert_eq!(parse("77 (a"), None);
    }

    #[test]
    fn resident_memory_is_in_octets() {
        let status = "Name:\twarren\nVmHWM:\t 9000 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(resident(status), Some(2 << 20));
        assert_eq!(resident("Name:\twarren\n"), None);
    }

    #[test]
    fn a_listener_is_found_by_port_and_state() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1629 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1\n\
            1: 0100007F:1629 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4343 1\n\
            2: 0100007F:162A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4444 1\n";
        assert_eq!(listeners(table, 0x1629), ["4242"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_listener_is_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(listening("127.0.0.1", port), [std::process::id()]);
    }
}
