//! The command line of `tally-log`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use client::cli::{Documentation, announce, read_limited};
use tlog::{Policy, VerifierKey};

use crate::clock::SystemClock;
use crate::fsck::{DirectorySource, HttpSource, Report, Source, check};
use crate::propose::propose;
use crate::roles::bootstrap_files;
use crate::server::{read_settings, reindex};
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
    /// Recompute a whole log from its bytes; exit status 1 if anything is wrong, 2 if it cannot be checked
    #[command(
        after_help = "Examples:\n  tally-log fsck /var/lib/tally-log\n  tally-log fsck https://log.example.com --key 'example.com/tally+1a2b3c4d+AQ...'"
    )]
    Fsck {
        /// A log's directory (a server may run on it), or the URL of a log
        #[arg(value_name = "DIR|URL")]
        target: String,
        /// A verifier key that must have signed the checkpoint; a directory's own keys are known from its log.toml
        #[arg(long, value_name = "VKEY")]
        key: Vec<String>,
    },
    /// Build the index again from the entries
    #[command(after_help = "Example:\n  tally-log reindex --dir /var/lib/tally-log")]
    Reindex {
        /// The log's directory; no server may run on it
        #[arg(long)]
        dir: PathBuf,
    },
    /// Work on the roles document
    #[command(subcommand)]
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
            Command::Init { dir, origin, open } => {
                for key in init::init(&dir, &origin, open, &SystemClock)? {
                    println!("{}", key.encode());
                }
                Ok(0)
            }
            Command::Serve { dir, listen, policy, roles } => serve(dir, &listen, &policy, roles).map(|()| 0),
            Command::Fsck { target, key } => fsck(&target, &key),
            Command::Reindex { dir } => {
                println!("indexed {} entries", reindex(&dir)?);
                Ok(0)
            }
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
        let (ready, running) = (server.ready(), server.run(shutdown()?));
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => return ended,
            () = ready => announce(&address)?,
        }
        running.await
    })
}

/// Prints what is wrong, a line each, and a summary.
fn fsck(target: &str, keys: &[String]) -> anyhow::Result<u8> {
    let parse = |text: &String| VerifierKey::parse(text).map_err(|error| anyhow::anyhow!("{text} is not a verifier key: {error}"));
    let mut keys = keys.iter().map(parse).collect::<anyhow::Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let is_url = target.starts_with("http://") || target.starts_with("https://");
    let source: Box<dyn Source> = if is_url {
        Box::new(HttpSource::new(target, runtime.handle().clone())?)
    } else {
        let dir = PathBuf::from(target);
        if keys.is_empty() {
            keys = read_settings(&dir)?.keys.iter().map(parse).collect::<anyhow::Result<_>>()?;
        }
        Box::new(DirectorySource::open(&dir).with_context(|| format!("opening {target}"))?)
    };
    let report = match check(&*source, &keys) {
        Ok(report) => report,
        Err(error) => {
            client::cli::report(&error.into());
            return Ok(2);
        }
    };
    print!("{}", render(&report));
    Ok(u8::from(!report.findings.is_empty()))
}

fn render(report: &Report) -> String {
    let mut text: String = report.findings.iter().map(|finding| format!("{}: {}\n", finding.object, finding.what)).collect();
    let signatures = match report.signatures {
        0 => "no signature checked (give the log's keys with --key)".to_owned(),
        count => format!("{count} signatures of the log"),
    };
    let verdict = if report.findings.is_empty() { "clean" } else { "DAMAGED" };
    text.push_str(&format!(
        "{verdict}: size {} root {}, {signatures}, {} objects, {} manifests, {} findings\n",
        report.tree.size,
        report.tree.root,
        report.objects,
        report.manifests,
        report.findings.len()
    ));
    text
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
