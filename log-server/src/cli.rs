//! The command line of `tally-log`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use client::cli::{Documentation, announce, read_limited};
use tlog::Policy;

use crate::clock::SystemClock;
use crate::roles::bootstrap_files;
use crate::{Config, build, init};

/// A transparency log for what builders attest about packages
#[derive(Debug, Parser)]
#[command(name = "tally-log", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new log and print its verifier keys, one a line
    #[command(after_help = "Example:\n  tally-log init --dir /var/lib/tally-log --origin example.com/tally")]
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
    #[command(flatten)]
    Documentation(Documentation),
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Init { dir, origin, open } => {
                for key in init::init(&dir, &origin, open, &SystemClock)? {
                    println!("{}", key.encode());
                }
                Ok(())
            }
            Command::Serve { dir, listen, policy, roles } => serve(dir, &listen, &policy, roles),
            Command::Documentation(documentation) => Ok(documentation.run(Self::command())?),
        }
    }
}

fn serve(dir: PathBuf, listen: &str, policy: &std::path::Path, roles: Option<PathBuf>) -> anyhow::Result<()> {
    let text = read_limited(policy, Policy::MAX_BYTES as u64)?;
    let policy = Policy::parse(&text).map_err(|error| anyhow::anyhow!("{}, line {}: {}", policy.display(), error.line, error.reason))?;
    let roles = roles.map(|roles| bootstrap_files(&roles)).transpose()?;
    if roles.as_ref().is_some_and(|roles| roles.policy != tlog::Hash::digest(&text)) {
        tracing::warn!("the roles name another witness policy than the one given here (SHA-256 of the file)");
    }
    let config = Config { roles, ..Config::new(dir, listen, policy) };
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(async {
        let (server, address) = build(config).await?;
        let shutdown = shutdown()?;
        announce(&address)?;
        server.run(shutdown).await
    })
}

/// Completes at SIGTERM or SIGINT.
fn shutdown() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
