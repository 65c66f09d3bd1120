//! The command line.

mod attest;
mod import;
mod rebuild;
mod service;
mod spool;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use client::cli::{Advice, Documentation};
use custody::Place;
use serde_json::json;
use tlog::{KeyName, Policy};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::home::Home;
use crate::image;
use crate::podman::Podman;
use crate::progress::{Phase, Progress};
use crate::rebuild::Named;
use crate::request::Request;
use crate::run::{RunError, podman_settings};
use crate::spool::Spool;
use crate::submit::{Outcome, Sender};

/// Attests what packages contain, from clean containers.
#[derive(Debug, Parser)]
#[command(name = "tally-builder", version, about, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a builder's directory with a new key, and print its verifier key
    #[command(after_help = "Examples:\n  tally-builder init --dir /var/lib/tally-builder --name example.org/builder-1\n  \
        tally-builder init --dir /var/lib/tally-builder --name example.org/builder-1 --key 'ssh-agent:/run/agent.sock?key=SHA256:…'")]
    Init {
        /// The directory to make
        #[arg(long)]
        dir: PathBuf,
        /// The key's name: no spaces, no `+`; a domain of yours and a path is a good one
        #[arg(long)]
        name: String,
        /// An Ed25519 key that is there already; without it one is made
        #[arg(long, value_name = Place::HELP, value_parser = Place::parse)]
        key: Option<Place>,
    },
    /// Download, verify, hash and observe packages, and submit what was found
    #[command(after_help = ATTEST_EXAMPLES)]
    Attest {
        /// The configuration file
        #[arg(long)]
        config: PathBuf,
        /// One JSON object a line on standard output, progress on standard error
        #[arg(long)]
        json: bool,
        /// Forget the pinned image and make or find it again
        #[arg(long)]
        new_image: bool,
        /// Leave everything in the spool
        #[arg(long)]
        no_send: bool,
        /// NAME, NAME=VERSION, NAME:ARCH or NAME:ARCH=VERSION
        #[arg(required = true)]
        packages: Vec<Request>,
    },
    /// Watch the repositories, and attest whatever is new in them
    #[command(after_help = RUN_EXAMPLES)]
    Run(service::RunArguments),
    /// Ask a running service for packages, also for those that it does not watch
    #[command(after_help = "Examples:\n  tally-builder request --config /etc/tallystick/builder.toml jq attr=1:2.5.1-4")]
    Request {
        /// The configuration file of the service
        #[arg(long)]
        config: PathBuf,
        /// NAME, NAME=VERSION, NAME:ARCH or NAME:ARCH=VERSION
        #[arg(required = true)]
        packages: Vec<Request>,
    },
    /// Build packages again from their sources, say whether the same files come out, and submit that
    #[command(after_help = REBUILD_EXAMPLES)]
    Rebuild {
        /// The configuration file
        #[arg(long)]
        config: PathBuf,
        /// One JSON object a package file on standard output, progress on standard error
        #[arg(long)]
        json: bool,
        /// Leave everything in the spool
        #[arg(long)]
        no_send: bool,
        /// Keep what dpkg records of each build here, as .buildinfo files
        #[arg(long, value_name = "DIR")]
        record: Option<PathBuf>,
        /// NAME, NAME=VERSION, or a file whose name ends in .buildinfo
        #[arg(required = true, value_name = "PACKAGE|FILE.buildinfo")]
        targets: Vec<Named>,
    },
    /// Take over what a running rebuilderd has built again, with its signed links checked
    #[command(after_help = IMPORT_EXAMPLES)]
    ImportRebuilderd {
        /// The configuration file
        #[arg(long)]
        config: PathBuf,
        /// PEM file with the keys whose signatures count; without it the keys that the server names are shown, and nothing is taken
        #[arg(long, value_name = "PEM")]
        key: Option<PathBuf>,
        /// One JSON object a package on standard output, progress on standard error
        #[arg(long)]
        json: bool,
        /// Leave everything in the spool
        #[arg(long)]
        no_send: bool,
        /// The rebuilderd's address
        url: String,
        /// Only packages of these names
        packages: Vec<String>,
    },
    /// Look at what waits to be sent, or send it
    #[command(
        subcommand,
        after_help = "Examples:\n  tally-builder spool list --config /etc/tallystick/builder.toml\n  tally-builder spool send --config /etc/tallystick/builder.toml"
    )]
    Spool(spool::SpoolCommand),
    /// Remove the builder's containers and its bootstrapped image; keys, spool and receipts stay
    #[command(after_help = "Example:\n  tally-builder clean --config /etc/tallystick/builder.toml")]
    Clean {
        /// The configuration file
        #[arg(long)]
        config: PathBuf,
    },
    #[command(flatten)]
    Documentation(Documentation),
}

/// How a command ended, as the process's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well: 0.
    Done,
    /// A package could not be attested, or the log refused something: 1.
    Incomplete,
    /// Something waits in the spool because the log could not be reached: 3.
    Waiting,
    /// Interrupted: 130, as shells say it.
    Interrupted,
}

impl Exit {
    /// The exit status.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::Waiting => 3,
            Self::Interrupted => 130,
        }
    }
}

/// Does what the command line says.
///
/// # Errors
/// If the command could not be carried out at all; [`Exit`] says what became of single packages.
pub async fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Init { dir, name, key } => init(&dir, &name, key.as_ref()),
        Command::Attest { config, json, new_image, no_send, mut packages } => {
            let config = load(&config)?;
            packages.sort();
            packages.dedup();
            attest::run(&config, &packages, json, new_image, no_send).await
        }
        Command::Run(arguments) => service::run(arguments).await,
        Command::Request { config, packages } => service::request(&config, &packages),
        Command::Rebuild { config, json, no_send, record, targets } => {
            let wanted = rebuild::Wanted { targets, json, no_send, record };
            rebuild::run(&load(&config)?, wanted).await
        }
        Command::ImportRebuilderd { config, key, json, no_send, url, packages } => {
            import::run(&load(&config)?, &url, key.as_deref(), &packages, json, no_send).await
        }
        Command::Spool(command) => spool::run(command).await,
        Command::Clean { config } => clean(&load(&config)?).await,
        Command::Documentation(documentation) => {
            documentation.run(Cli::command()).context("writing documentation")?;
            Ok(Exit::Done)
        }
    }
}

fn load(path: &Path) -> anyhow::Result<Config> {
    Config::load(path).map_err(|error| advise(error, "specs/builder.md lists every member; `tally-builder attest --help` shows an example"))
}

fn init(dir: &Path, name: &str, key: Option<&Place>) -> anyhow::Result<Exit> {
    let name = KeyName::parse(name).filter(|name| name.as_str().is_ascii());
    let name =
        name.ok_or_else(|| advise("the name cannot be a key's name", "use ASCII without spaces and `+`, such as example.org/builder-1"))?;
    let key = Home::create_with(dir, &name, key).map_err(hinted)?;
    println!("{}", key.encode());
    Ok(Exit::Done)
}

/// Sends the spool; `None` if interrupted. Without a log there is nothing to do.
async fn send(config: &Config, home: &Home, signer: &dyn tlog::Signer, progress: &Progress) -> anyhow::Result<Option<Outcome>> {
    let spool = Spool::new(home);
    let Some(target) = config.log_target() else { return Ok(Some(Outcome::default())) };
    let sender = Sender::new(&target, policy(config)?, &spool, signer).context("the log's address")?;
    let started = Instant::now();
    let work = sender.send(Duration::from_secs(config.patience), progress);
    let outcome = tokio::select! {
        result = work => Some(result.map_err(hinted)?),
        () = interrupted() => None,
    };
    progress.took(Phase::Submit, started.elapsed());
    Ok(outcome)
}

fn policy(config: &Config) -> anyhow::Result<Option<Policy>> {
    let Some(path) = &config.witness_policy else { return Ok(None) };
    let text = client::cli::read_limited(path, Policy::MAX_BYTES as u64)?;
    let policy = Policy::parse(&text)
        .map_err(|error| advise(format!("{}: {error:?}", path.display()), "it must be a tlog-policy with the log's keys"))?;
    Ok(Some(policy))
}

async fn clean(config: &Config) -> anyhow::Result<Exit> {
    let home = Home::open(&config.dir).map_err(hinted)?;
    let _lock = home.lock().map_err(hinted)?;
    let podman = Podman::open(podman_settings(config, &home)).await.map_err(hinted)?;
    let result = image::discard(&podman).await;
    podman.close().await;
    result.map_err(hinted)?;
    Ok(Exit::Done)
}

fn show_outcome(outcome: &Outcome, config: &Config, json: bool, progress: &Progress) {
    if json {
        let refused: Vec<_> = outcome.refused.iter().map(|(what, reason)| json!({"what": what, "reason": reason})).collect();
        let seconds: BTreeMap<&str, f64> = progress.times().iter().map(|(phase, time)| (phase.name(), time.as_secs_f64())).collect();
        println!(
            "{}",
            json!({"logged": outcome.logged, "refused": refused, "waiting": outcome.waiting, "reason": outcome.last, "seconds": seconds})
        );
        return;
    }
    for (what, reason) in &outcome.refused {
        progress.line(&format!("refused   {what}: {reason}"));
    }
    match (&config.log, &outcome.last) {
        (None, _) => progress.line("no log is configured: everything stays in the spool"),
        (Some(log), None) => progress.line(&format!("{} entries are in {log}, their receipts are kept", outcome.logged)),
        (Some(_), Some(reason)) => progress.line(&format!(
            "{} entries logged, {} wait in the spool: {reason}\n    hint: they are safe; `tally-builder spool send` tries again",
            outcome.logged, outcome.waiting
        )),
    }
}

fn exit_of(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome { refused, .. } if !refused.is_empty() => Exit::Incomplete,
        Outcome { waiting: 0, .. } => Exit::Done,
        _ => Exit::Waiting,
    }
}

/// Ends at the first SIGINT or SIGTERM.
async fn interrupted() {
    Signals::handled().next().await;
}

/// SIGINT and SIGTERM, handled for as long as this lives.
struct Signals(Option<(Signal, Signal)>);

impl Signals {
    /// From now on they do not end the process. Without handlers they do, at once, and the next run cleans up.
    fn handled() -> Self {
        Self(signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok()))
    }

    /// The next one, or one that has come since the last.
    async fn next(&mut self) {
        match &mut self.0 {
            Some((interrupt, terminate)) => tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} },
            None => std::future::pending().await,
        }
    }
}

/// Any of this program's errors, with its hint.
fn hinted(error: impl Into<RunError>) -> anyhow::Error {
    let error = error.into();
    let hint = error.hint();
    advise(error, hint)
}

fn advise(what: impl ToString, hint: &str) -> anyhow::Error {
    Advice::new(what.to_string(), hint).into()
}

const EXAMPLES: &str = "Examples:
  tally-builder init --dir /var/lib/tally-builder --name example.org/builder-1
  tally-builder attest --config /etc/tallystick/builder.toml coreutils jq libc6:i386
  tally-builder run --config /etc/tallystick/builder.toml --metrics 127.0.0.1:9106
  tally-builder rebuild --config /etc/tallystick/rebuilder.toml sed
  tally-builder spool send --config /etc/tallystick/builder.toml

Exit status: 0 done, 1 a package could not be attested or built again, or the log refused something, 2 wrong usage,
3 something waits in the spool, 10 nothing could be done, 130 interrupted.";
const RUN_EXAMPLES: &str = "Examples:
  tally-builder run --config /etc/tallystick/builder.toml --metrics 127.0.0.1:9106
  tally-builder run --config /etc/tallystick/builder-3.toml --shard 3/16

In the configuration:
  [run]
  interval = 900
  packages = [\"pkg:deb/debian/*\"]

SIGTERM lets packages that are being installed end; nothing is lost by kill -9 either.";
const REBUILD_EXAMPLES: &str = "Examples:
  tally-builder rebuild --config /etc/tallystick/rebuilder.toml sed
  tally-builder rebuild --config /etc/tallystick/rebuilder.toml --json hello_2.10-3_amd64.buildinfo
  tally-builder rebuild --config /etc/tallystick/rebuilder.toml --record ./records sed

Without a .buildinfo the environment is derived from the source package and the suite, and the statement says so. The key in
the directory must be a rebuilder's in the log's roles.";
const IMPORT_EXAMPLES: &str = "Examples:
  tally-builder import-rebuilderd --config /etc/tallystick/rebuilder.toml https://rebuilder.example.org
  tally-builder import-rebuilderd --config /etc/tallystick/rebuilder.toml --key rebuilder.pem https://rebuilder.example.org sed coreutils

Get the key from whoever runs the rebuilderd, and not only from the server.";
const ATTEST_EXAMPLES: &str = "Examples:
  tally-builder attest --config /etc/tallystick/builder.toml coreutils
  tally-builder attest --config /etc/tallystick/builder.toml --json jq=1.6-2.1 libc6:i386

A small configuration:
  dir = \"/var/lib/tally-builder\"
  suite = \"bookworm\"
  keyring = \"/usr/share/keyrings/debian-archive-keyring.gpg\"
  log = \"https://log.example.org/\"
  origin = \"log.example.org/debian\"
  log_keys = [\"log.example.org/debian+...\"]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_shows_an_example() {
        assert_eq!(client::cli::without_example(&Cli::command()), Vec::<String>::new());
    }
}
