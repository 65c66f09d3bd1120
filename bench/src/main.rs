//! `tally-bench`: see the library. `make bench` runs all of it.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use bench::modes::{self, BATCH_LINES, Scale};
use bench::report::{Report, Settings};
use bench::target::{CheckedLog, OpenLog};
use bench::{load, machine, requests};
use clap::{Parser, ValueEnum};

/// Measure the log server: entries a second, latency, memory, disk
#[derive(Debug, Parser)]
#[command(
    name = "tally-bench",
    version,
    after_help = "Examples:\n  tally-bench --json target/bench/log.json\n  tally-bench --only open --seconds 5\n  \
                  tally-bench --only growth --largest 10000000\n  tally-bench --address 127.0.0.1:6962 --rate 5000 --connections 512\n\n\
                  The logs are made in the folder for temporary files (TMPDIR), which must be on the disk to be measured."
)]
struct Cli {
    /// Measure only these
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Seconds of each measurement, after two of warm-up
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections for the greatest load
    #[arg(long, default_value_t = 3_072)]
    connections: usize,
    /// Bytes of an open entry
    #[arg(long, default_value_t = 1_024)]
    entry_bytes: usize,
    /// Largest size of the growth table
    #[arg(long, default_value_t = 1_000_000)]
    largest: u64,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only offer load to a running open log, and print what it answers
    #[arg(long, value_name = "ADDR", conflicts_with = "only")]
    address: Option<std::net::SocketAddr>,
    /// Entries a second that are offered to it; without it as many as the connections carry
    #[arg(long, requires = "address")]
    rate: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// An open log
    Open,
    /// A log with roles and witnesses
    Checked,
    /// An open log at growing sizes
    Growth,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.address {
        Some(address) => offer(&cli, address),
        None => report(&cli),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn report(cli: &Cli) -> anyhow::Result<()> {
    let is_wanted = |what| cli.only.is_empty() || cli.only.contains(&what);
    let scale = Scale { seconds: cli.seconds, entry_bytes: cli.entry_bytes, connections: cli.connections };
    let mut report = Report { machine: Some(machine::machine(&std::env::temp_dir())), ..Report::default() };
    let mut settings = Settings {
        entry_bytes: cli.entry_bytes,
        signed_entry_bytes: None,
        seconds: cli.seconds,
        batch_interval_ms: 0,
        lines_per_batch: BATCH_LINES,
    };
    if is_wanted(What::Open) {
        eprintln!("an open log …");
        let log = OpenLog::start()?;
        settings.batch_interval_ms = batch_interval(&log.dir())?;
        report.figures.extend(modes::open(&log, scale)?);
    }
    if is_wanted(What::Checked) {
        eprintln!("a log with roles and three witnesses …");
        let log = CheckedLog::start();
        settings.batch_interval_ms = batch_interval(&log.dir())?;
        let bytes = modes::signed_bytes(&log)?;
        settings.signed_entry_bytes = Some(bytes);
        report.figures.extend(modes::checked(&log, scale)?);
        report.index_ratio = Some(modes::index_ratio(&log, bytes)?);
    }
    if is_wanted(What::Growth) {
        let mut log = OpenLog::start()?;
        settings.batch_interval_ms = batch_interval(&log.dir())?;
        let sizes: Vec<u64> = (4..).map(|power| 10_u64.pow(power)).take_while(|size| *size <= cli.largest).collect();
        report.growth = modes::growth(&mut log, scale, &sizes, &mut |row| eprintln!("an open log of {} entries …", row.entries))?;
    }
    report.settings = Some(settings);
    report.summarize();
    print!("{}", report.markdown());
    match &cli.json {
        Some(path) => write(path, &report),
        None => Ok(()),
    }
}

fn write(path: &std::path::Path, report: &Report) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    fs::write(path, serde_json::to_string_pretty(report)? + "\n").with_context(|| format!("writing {}", path.display()))
}

fn batch_interval(log: &std::path::Path) -> anyhow::Result<u64> {
    let text = fs::read_to_string(log.join("log.toml")).context("reading log.toml")?;
    let line = text.lines().find_map(|line| line.strip_prefix("batch_interval_ms = "));
    line.and_then(|value| value.parse().ok()).context("log.toml names no batch_interval_ms")
}

/// Load for a log that runs already, as other generators offer it.
fn offer(cli: &Cli, address: std::net::SocketAddr) -> anyhow::Result<()> {
    let time = std::time::Duration::from_secs(cli.seconds);
    let offer = load::Offer { connections: cli.connections, rate: cli.rate, time, warm_up: time / 5 };
    let seed = std::process::id().into();
    let outcome = load::run(address, std::sync::Arc::new(requests::Raw::new(cli.entry_bytes, seed)), offer)?;
    println!("answers: {:?}", outcome.statuses);
    println!("broken: {:?}", outcome.broken);
    for quantile in [0.5, 0.99, 0.999, 1.0] {
        println!("p{}: {:.1} ms", quantile * 100.0, outcome.millis(quantile));
    }
    Ok(())
}
