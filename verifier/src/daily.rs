//! `tally verify`, every day: what is new since the last run, numbers for monitoring, lines for the system's log (`specs/daily.md`).

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tlog::Hash;

use crate::cli::{Format, VerifyArgs};
use crate::config::Config;
use crate::expect;
use crate::failure::Failure;
use crate::finding::Finding;
use crate::hash::{Progress, Silent};
use crate::progress::Bar;
use crate::report::{Earlier, Report};
use crate::run::{Asked, print, verified};
use crate::setup::Setup;
use crate::verdict::{self, Wanted};
use crate::verify::{Selection, Verified};
use crate::{cache, metrics, syslog, time};

/// Judges, remembers, tells.
///
/// # Errors
/// If there is no verdict. That monitoring or the system's log could not be told is said on standard error, and changes no status.
pub fn run(config: &Path, args: &VerifyArgs) -> Result<u8, Failure> {
    let wanted = Config::load(config).ok().map(|config| Wanted::open(&args.statement, &config)).transpose()?.flatten();
    let mut result = Setup::load(config).and_then(|setup| judge(&setup, args));
    let memory = Config::load(config).map(|config| Memory::new(&config.state, &args.root)).ok().filter(|_| args.since_last);
    let ids = result.as_ref().map(ids).unwrap_or_default();
    if let (Ok(report), Some(memory)) = (&mut result, &memory) {
        memory.split(report);
    }
    if let Some(path) = &args.metrics {
        told("the file for monitoring", path, metrics::write(path, &result, time::now()));
    }
    let report = result?;
    if let Some(socket) = &args.syslog {
        told("the system's log", socket, syslog::send(socket, &report));
    }
    let status = print(&report, args.output)?;
    let status = wanted.map_or(status, |wanted| verdict::status(status, wanted.write(&report)));
    // What could not be told is new the next time, too.
    if let Some(memory) = memory {
        told("the memory of this run", &memory.path, memory.keep(report.time, ids));
    }
    Ok(status)
}

fn told(what: &str, path: &Path, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!("{what} could not be written: {}: {error}", path.display());
    }
}

fn judge(setup: &Setup, args: &VerifyArgs) -> Result<Report, Failure> {
    let expect = args.expect.as_deref().map_or_else(|| Ok(Vec::new()), expect::load)?;
    let selection = if args.packages.is_empty() { Selection::All } else { Selection::Packages(args.packages.clone()) };
    let bar = Bar::new();
    let watch = args.output.format() == Format::Text && !args.output.quiet && io::stderr().is_terminal();
    let progress: &dyn Progress = if watch { &bar } else { &Silent };
    let asked = Asked { selection, expect: &expect, unowned: args.unowned };
    let (Verified { report, subjects, .. }, knowledge) = verified(setup, &args.root, asked, progress)?;
    bar.finish();
    std::mem::forget((subjects, knowledge));
    Ok(report)
}

/// What is remembered: what has an explanation is never news.
fn ids(report: &Report) -> BTreeSet<String> {
    report.findings.iter().filter(|finding| !finding.is_explained()).map(Finding::id).collect()
}

/// What the last run over a root found.
struct Memory {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastRun {
    schema: u64,
    time: u64,
    findings: BTreeSet<String>,
}

impl Memory {
    fn new(state: &Path, root: &Path) -> Self {
        let name = fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
        let digest = Hash::digest(name.as_os_str().as_encoded_bytes()).to_hex();
        Self { path: state.join(format!("last-{}", &digest[..16])) }
    }

    /// Leaves in the report's findings what is new. Where the last run cannot be read, all of it is.
    fn split(&self, report: &mut Report) {
        let last = match self.read() {
            Ok(last) => last,
            Err(error) => {
                tracing::warn!("{}: {error}; everything counts as new", self.path.display());
                None
            }
        };
        let Some(last) = last else {
            report.earlier = Some(Earlier::default());
            return;
        };
        let (still, new): (Vec<_>, Vec<_>) =
            std::mem::take(&mut report.findings).into_iter().partition(|finding| last.findings.contains(&finding.id()));
        let found: BTreeSet<String> = still.iter().map(Finding::id).collect();
        let gone = last.findings.difference(&found).count();
        (report.findings, report.earlier) = (new, Some(Earlier { time: Some(last.time), still, gone }));
    }

    fn read(&self) -> io::Result<Option<LastRun>> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let last: LastRun = serde_json::from_slice(&bytes)?;
        if last.schema == SCHEMA { Ok(Some(last)) } else { Err(io::Error::other("it is of another version of tally")) }
    }

    fn keep(&self, time: u64, findings: BTreeSet<String>) -> io::Result<()> {
        let bytes = serde_json::to_vec(&LastRun { schema: SCHEMA, time, findings })?;
        self.path.parent().map_or(Ok(()), fs::create_dir_all)?;
        cache::replace(&self.path, &bytes)
    }
}

const SCHEMA: u64 = 1;
