//! The command line of `tally-log`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use client::cli::{Advice, Documentation, announce, read_limited};
use custody::Place;
use tlog::Policy;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::SystemClock;
use crate::fsck;
use crate::operate::{Freeze, Restore};
use crate::propose::propose;
use crate::repair;
use crate::roles::bootstrap_files;
use crate::server::{Reloader, read_settings, reindex};
use crate::{Config, build, init, telemetry};

/// A transparency log for what builders attest about packages
#[derive(Debug, Parser)]
#[command(name = "tally-log", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new log and print its verifier keys, one a line
    #[command(after_help = "Examples:\n  tally-log init --dir /var/lib/tally-log --origin example.com/tally\n  \
        tally-log init --dir /var/lib/tally-log --origin example.com/tally --key 'ssh-agent:/run/agent.sock?key=SHA256:…'")]
    Init {
        /// Where to make it
        #[arg(long)]
        dir: PathBuf,
        /// The log's name, for good: usually a URL without its scheme
        #[arg(long, value_name = "NAME")]
        origin: String,
        /// Let anyone add anything (POST /add), without roles: for tests and measurements
        #[arg(long)]
        open: bool,
        /// An Ed25519 key that is there already; without it one is made. The ML-DSA-44 key is always made, in a file
        #[arg(long, value_name = Place::HELP, value_parser = Place::parse)]
        key: Option<Place>,
    },
    /// Run the log
    #[command(
        after_help = "Example:\n  tally-log serve --dir /var/lib/tally-log --listen 127.0.0.1:6962 --policy witnesses.policy --roles roles-1.txt"
    )]
    Serve {
        /// The directory that `init` made
        #[arg(long)]
        dir: PathBuf,
        /// Address and port; port 0 takes any free one
        #[arg(long, value_name = "ADDR")]
        listen: String,
        /// The witness policy (C2SP tlog-policy)
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        /// The roles document of a new log; its signatures lie beside it as FILE.*.minisig
        #[arg(long, value_name = "FILE")]
        roles: Option<PathBuf>,
    },
    /// Recompute a whole log from its bytes; exit status 1 if anything is wrong, 2 if it cannot be checked
    #[command(
        after_help = "Examples:\n  tally-log fsck /var/lib/tally-log\n  tally-log fsck https://log.example.com --key 'example.com/tally+1a2b3c4d+AQ...' --state log.fsck"
    )]
    Fsck(fsck::command::Arguments),
    /// Restore damaged or missing objects from what is beside them or from mirrors; exit status 1 if any remain
    #[command(after_help = "Examples:\n  tally-log repair --dir /var/lib/tally-log --from https://mirror.example.com/log\n  \
        tally-log repair --dir /var/lib/tally-log --from /mnt/backup/log --dry-run tile/entries/x001/234")]
    Repair(repair::command::Arguments),
    /// Build the index again from the entries
    #[command(after_help = "Example:\n  tally-log reindex --dir /var/lib/tally-log")]
    Reindex {
        /// The log's directory; no server may run on it
        #[arg(long)]
        dir: PathBuf,
    },
    /// Make a log's directory anew from a backup or a mirror, checking everything
    #[command(
        after_help = "Examples:\n  tally-log restore --dir /var/lib/new --from /backup/tally-log\n  tally-log restore --dir /var/lib/new --from https://mirror.example.com/tally --keys /safe/tally-log"
    )]
    Restore(Restore),
    /// Make a log read-only for good, and print its last checkpoint
    #[command(
        after_help = "Example:\n  tally-log freeze --dir /var/lib/tally-log --reason 'rotated at the end of 2026' --successor example.com/tally-2027"
    )]
    Freeze(Freeze),
    /// Work on the roles document
    #[command(subcommand, after_help = "Example:\n  tally-log roles propose roles-1.draft > roles-1.txt")]
    Roles(RolesCommand),
    #[command(flatten)]
    Documentation(Documentation),
}

#[derive(Debug, Subcommand)]
enum RolesCommand {
    /// Print the document that a draft makes, for the foundation to sign with minisign
    #[command(after_help = "Example:\n  tally-log roles propose roles-2.draft --after roles-1.txt > roles-2.txt\n  \
        minisign -S -s alice.key -m roles-2.txt -x roles-2.txt.alice.minisig")]
    Propose {
        /// The draft: the document's lines in any order, with comments
        draft: PathBuf,
        /// The version before; none for version 1
        #[arg(long, value_name = "FILE")]
        after: Option<PathBuf>,
    },
}

impl Cli {
    /// Does what the command line says, and returns the exit status.
    pub fn run(self) -> anyhow::Result<u8> {
        match self.command {
            Command::Init { dir, origin, open, key } => {
                for key in init::init_with(&dir, &origin, open, key.as_ref(), &SystemClock)? {
                    println!("{}", key.encode());
                }
                Ok(0)
            }
            Command::Serve { dir, listen, policy, roles } => serve(dir, &listen, &policy, roles).map(|()| 0),
            Command::Fsck(arguments) => arguments.run(),
            Command::Repair(arguments) => arguments.run(),
            Command::Reindex { dir } => {
                println!("indexed {} entries", reindex(&dir)?);
                Ok(0)
            }
            Command::Restore(arguments) => arguments.run(),
            Command::Freeze(arguments) => arguments.run(),
            Command::Roles(RolesCommand::Propose { draft, after }) => {
                print!("{}", propose(&draft, after.as_deref())?);
                Ok(0)
            }
            Command::Documentation(documentation) => {
                documentation.run(Self::command())?;
                Ok(0)
            }
        }
    }
}

fn serve(dir: PathBuf, listen: &str, policy_file: &Path, roles: Option<PathBuf>) -> anyhow::Result<()> {
    let (policy, text) = read_policy(policy_file)?;
    let roles = roles.map(|roles| bootstrap_files(&roles)).transpose()?;
    if roles.as_ref().is_some_and(|roles| roles.policy != tlog::Hash::digest(&text)) {
        tracing::warn!("the roles name another witness policy than the one given here (SHA-256 of the file)");
    }
    telemetry::start(&read_settings(&dir)?.origin)?;
    let config = Config { roles, ..Config::new(dir, listen, policy) };
    let served = run_server(config, policy_file);
    telemetry::stop();
    served
}

fn run_server(config: Config, policy_file: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(async {
        let (server, address) = build(config).await?;
        tokio::spawn(reload(policy_file.to_owned(), server.reloader(), signal(SignalKind::hangup())?));
        let (ready, running) = (server.ready(), server.run(shutdown()?));
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => return ended,
            () = ready => announce(&address)?,
        }
        running.await
    })
}

fn read_policy(file: &Path) -> anyhow::Result<(Policy, Vec<u8>)> {
    let missing =
        Advice::new("there is no witness policy", "specs/policy.md says how to write one; for tests, a file with the line: quorum none");
    let text = read_limited(file, Policy::MAX_BYTES as u64).map_err(|error| error.context(missing))?;
    let policy = Policy::parse(&text).map_err(|error| {
        let what = format!("{}, line {}: {}", file.display(), error.line, error.reason);
        Advice::new(what, "the format is tlog-policy: log, witness, group and quorum lines (specs/policy.md)")
    })?;
    Ok((policy, text))
}

/// Reads the policy again at every SIGHUP. One that is of no use changes nothing.
async fn reload(file: PathBuf, reloader: Reloader, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        match read_policy(&file).and_then(|(policy, _)| reloader.policy(&policy)) {
            Ok(()) => tracing::info!("the witness policy {} is read again", file.display()),
            Err(error) => tracing::error!("the old witness policy stays: {error:#}"),
        }
    }
}

/// Completes at SIGTERM or SIGINT.
fn shutdown() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

const EXAMPLES: &str = "Examples:
  tally-log init --dir /var/lib/tally-log --origin example.com/tally
  tally-log serve --dir /var/lib/tally-log --listen 127.0.0.1:6962 --policy witnesses.policy --roles roles-1.txt
  tally-log fsck /var/lib/tally-log";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_shows_an_example() {
        assert_eq!(client::cli::without_example(&Cli::command()), Vec::<String>::new());
    }
}
