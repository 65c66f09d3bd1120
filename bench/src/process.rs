//! What the kernel says of a process: CPU time and memory.

use std::fs;
use std::time::{Duration, Instant};

/// CPU time that a process has used so far, all threads, user and system.
#[must_use]
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
    let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Memory in use now and at the highest, in bytes.
#[must_use]
pub fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    (kib("VmRSS:").unwrap_or(0) * 1024, kib("VmHWM:").unwrap_or(0) * 1024)
}

/// CPU time of a group of processes and the time, to be compared with a later one.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// CPU time of the log.
    pub log: Duration,
    /// CPU time of this process, which is the generator.
    pub generator: Duration,
    /// CPU time of all witnesses.
    pub witnesses: Duration,
    /// The log's memory in bytes.
    pub memory: u64,
}

/// Takes a sample.
#[must_use]
pub fn sample(log: u32, witnesses: &[u32]) -> Sample {
    Sample {
        at: Instant::now(),
        log: cpu(log),
        generator: cpu(std::process::id()),
        witnesses: witnesses.iter().map(|pid| cpu(*pid)).sum(),
        memory: memory(log).0,
    }
}
