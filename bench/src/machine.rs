//! The machine, and what it could do at best: the limits that stand beside each figure.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use tlog::Hash;

/// What the figures were measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Processor model.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Kernel release.
    pub kernel: String,
    /// File system and device of the log's directory.
    pub file_system: String,
}

/// What can be done at best here and now, each alone on the machine.
#[derive(Clone, Debug, Serialize)]
pub struct Limits {
    /// Appends of 4 KiB to one file of the same directory, each fsynced, one after another: per second.
    pub fsync_per_second: f64,
    /// Latency of each, in milliseconds.
    pub fsync_p50_ms: f64,
    /// As above.
    pub fsync_p99_ms: f64,
    /// As above.
    pub fsync_p999_ms: f64,
    /// SHA-256 leaf hashes of 1 KiB entries, per second and core.
    pub sha256_1k_per_second: f64,
    /// Strict Ed25519 verifications, per second and core.
    pub ed25519_per_second: f64,
}

/// Reads what the system says of itself.
#[must_use]
pub fn machine(dir: &Path) -> Machine {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start_matches([' ', '\t', ':']).to_owned())).unwrap_or_default()
    };
    let memory = field(&text("/proc/meminfo"), "MemTotal");
    Machine {
        processor: field(&text("/proc/cpuinfo"), "model name"),
        processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_mib: memory.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024,
        kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        file_system: file_system(dir),
    }
}

fn file_system(dir: &Path) -> String {
    let output = Command::new("findmnt").args(["-n", "-o", "FSTYPE,SOURCE,OPTIONS", "-T"]).arg(dir).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Measures the limits in `dir`; `verify` checks one signature.
///
/// # Errors
/// If the directory cannot be written to.
pub fn limits(dir: &Path, verify: &dyn Fn()) -> io::Result<Limits> {
    let fsync = fsync(dir)?;
    let leaf = vec![0x5a; 1024];
    let ms = |quantile| fsync.value_at_quantile(quantile) as f64 / 1e6;
    Ok(Limits {
        fsync_per_second: 1e9 / fsync.mean().max(1.0),
        fsync_p50_ms: ms(0.5),
        fsync_p99_ms: ms(0.99),
        fsync_p999_ms: ms(0.999),
        sha256_1k_per_second: rate(&|| _ = std::hint::black_box(tlog::hash_leaf(&leaf))),
        ed25519_per_second: rate(verify),
    })
}

fn fsync(dir: &Path) -> io::Result<Histogram<u64>> {
    let mut nanos = Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(io::Error::other)?;
    // A file with a name: without one a file system has nothing to make durable.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    let start = Instant::now();
    while start.elapsed() < MEASURED {
        file.write_all(&[0x5a; 4096])?;
        let before = Instant::now();
        file.as_file().sync_all()?;
        nanos.saturating_record(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(nanos)
}

fn rate(work: &dyn Fn()) -> f64 {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < MEASURED {
        for _ in 0..64 {
            work();
        }
        count += 64;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// Bytes that files and folders below `dir` take on the disk.
#[must_use]
pub fn disk_use(dir: &Path) -> u64 {
    let own = fs::symlink_metadata(dir).map_or(0, |meta| meta.blocks() * 512);
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    own + entries.map(|entry| disk_use(&entry.path())).sum::<u64>()
}

/// Writes everything in the machine's caches out, so that one measurement does not pay for another.
pub fn settle(dir: &Path) {
    if let Ok(dir) = File::open(dir) {
        let _ = rustix::fs::syncfs(&dir);
    }
}

/// The SHA-256 of nothing in particular, for names that must differ.
#[must_use]
pub fn digest(number: u64) -> Hash {
    Hash::digest(&number.to_be_bytes())
}

const MEASURED: Duration = Duration::from_millis(700);
