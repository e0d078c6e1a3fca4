//! CPU time of the broker's processes, from /proc. Linux only; elsewhere there is none.

use anyhow::{Context, Result};

/// The kernel counts in these for user space on every Linux (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

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
}
