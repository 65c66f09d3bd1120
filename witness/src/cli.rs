//! The command line of `tally-witness`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use client::cli::{Advice, Documentation, announce, listen, read_limited};
use custody::Place;
use tlog::{Note, SignedCheckpoint};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::bastion::backend::{self, Dial};
use crate::bastion::command::Through;
use crate::bastion::{self, KeyHash};
use crate::directory::Directory;
use crate::mirror::{self, Mirror};
use crate::server::Server;
use crate::{Clock, Logs, Role, Witness, accept, ask, feed, http, logs};

/// A witness for transparency logs: cosigns what only ever grew
#[derive(Debug, Parser)]
#[command(name = "tally-witness", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a witness: a directory with two keys; prints their verifier keys, one a line
    #[command(after_help = "Examples:\n  tally-witness init --dir /var/lib/tally-witness --name witness.example.org\n  \
                            tally-witness init --dir /var/lib/tally-mirror --name mirror.example.org --mirror\n  \
                            tally-witness init --dir /var/lib/tally-witness --name witness.example.org --key 'ssh-agent:/run/agent.sock?key=SHA256:…'")]
    Init {
        /// Where keys, state and evidence will be
        #[arg(long)]
        dir: PathBuf,
        /// The witness's name, as it will stand in signature lines
        #[arg(long)]
        name: String,
        /// Make a mirror: its keys say that all entries are held, and must never say less
        #[arg(long)]
        mirror: bool,
        /// An Ed25519 key that is there already; without it one is made. ML-DSA-44 keys are always made, in files
        #[arg(long, value_name = Place::HELP, value_parser = Place::parse)]
        key: Option<Place>,
    },
    /// Cosign the checkpoints of the logs on a list
    #[command(
        after_help = "Examples:\n  tally-witness serve --dir /var/lib/tally-witness --listen 127.0.0.1:7101 --logs /etc/tallystick/logs\n  \
                      tally-witness serve --dir /var/lib/tally-witness --bastion bastion.example.org:443 --logs /etc/tallystick/logs"
    )]
    Serve {
        /// The directory that init made
        #[arg(long)]
        dir: PathBuf,
        /// Where to listen; port 0 takes any
        #[arg(long, required_unless_present = "bastion")]
        listen: Option<String>,
        /// The list of logs, in the format logs/v0
        #[arg(long)]
        logs: PathBuf,
        #[command(flatten)]
        through: Through,
    },
    /// Keep the entries of the logs on a list, and cosign when all are held (C2SP tlog-mirror)
    #[command(
        after_help = "Example:\n  tally-witness mirror --dir /var/lib/tally-mirror --listen 127.0.0.1:7201 --logs /etc/tallystick/logs"
    )]
    Mirror {
        /// The directory that init --mirror made; the copies go there, too
        #[arg(long)]
        dir: PathBuf,
        /// Where to listen; port 0 takes any
        #[arg(long, required_unless_present = "bastion")]
        listen: Option<String>,
        /// The list of logs, in the format logs/v0; a log's manifests are taken from its url
        #[arg(long)]
        logs: PathBuf,
        #[command(flatten)]
        through: Through,
    },
    /// Cosign logs that never call a witness: fetch their checkpoints and tiles from the list's addresses
    #[command(after_help = "Examples:\n  tally-witness feed --dir /var/lib/tally-witness --logs /etc/tallystick/logs --once\n  \
                            tally-witness feed --dir /var/lib/tally-witness --logs /etc/tallystick/logs --every 600 --listen 127.0.0.1:7101")]
    Feed(Feed),
    /// Pass requests on to witnesses that have no address of their own (C2SP https-bastion)
    #[command(
        after_help = "Example:\n  tally-witness bastion --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem --backends backends"
    )]
    Bastion(bastion::command::Arguments),
    /// Declare the state current after a restore or a move; read what serve says first
    #[command(after_help = "Examples:\n  tally-witness accept-state --dir /var/lib/tally-witness --logs /etc/tallystick/logs\n  \
                            tally-witness accept-state --dir /var/lib/tally-witness --logs /etc/tallystick/logs \
                            --log log.example.org --checkpoint newest.txt")]
    AcceptState {
        /// The directory that init made
        #[arg(long)]
        dir: PathBuf,
        /// The list of logs
        #[arg(long)]
        logs: PathBuf,
        /// Only this log, by its origin; without it the directory itself and all logs are accepted
        #[arg(long, value_name = "ORIGIN")]
        log: Option<String>,
        /// The newest checkpoint of that log that this witness has cosigned, from the log, a mirror or a monitor; may be repeated
        #[arg(long, value_name = "FILE", requires = "log")]
        checkpoint: Vec<PathBuf>,
    },
    #[command(flatten)]
    Documentation(Documentation),
}

#[derive(Debug, clap::Args)]
struct Feed {
    /// The directory that init made
    #[arg(long)]
    dir: PathBuf,
    /// The list of logs; those with url lines are fed
    #[arg(long)]
    logs: PathBuf,
    /// Seconds between two rounds; a log whose qpd asks for less is fed less often
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// One round, then end; exit status 1 if a log could not be cosigned
    #[arg(long, conflicts_with_all = ["every", "listen", "bastion"])]
    once: bool,
    /// Serve as `serve` does meanwhile
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    #[command(flatten)]
    through: Through,
}

/// What a running witness does beside waiting for requests.
struct Serving<'a> {
    listen: Option<&'a str>,
    bastions: Vec<(Dial, KeyHash)>,
    feed_every: Option<Duration>,
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// Whatever prevents it.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Init { dir, name, mirror, key } => init(&dir, &name, if mirror { Role::Mirror } else { Role::Witness }, key.as_ref()),
            Command::Serve { dir, listen, logs, through } => serve(&dir, listen.as_deref(), &logs, &through, Role::Witness, None),
            Command::Mirror { dir, listen, logs, through } => serve(&dir, listen.as_deref(), &logs, &through, Role::Mirror, None),
            Command::Feed(Feed { dir, logs, once: true, .. }) => feed_once(&dir, &logs),
            Command::Feed(Feed { dir, logs, every, listen, through, .. }) => {
                serve(&dir, listen.as_deref(), &logs, &through, Role::Witness, Some(Duration::from_secs(every)))
            }
            Command::Bastion(arguments) => arguments.run(),
            Command::AcceptState { dir, logs, log, checkpoint } => accept_state(&dir, &logs, log.as_deref(), &checkpoint),
            Command::Documentation(documentation) => Ok(documentation.run(Self::command())?),
        }
    }
}

fn init(dir: &Path, name: &str, role: Role, place: Option<&Place>) -> anyhow::Result<()> {
    for key in Directory::init(dir, name, role, place)? {
        println!("{}", key.encode());
    }
    Ok(())
}

fn serve(dir: &Path, listen: Option<&str>, logs: &Path, through: &Through, role: Role, feed_every: Option<Duration>) -> anyhow::Result<()> {
    let (directory, witness) = open(dir, logs, role)?;
    let bastions = match through.bastion.is_empty() {
        true => Vec::new(),
        false => {
            let identity = directory.bastion_identity()?;
            through.dials(&identity)?.into_iter().map(|dial| (dial, identity.hash())).collect()
        }
    };
    let router = match role {
        Role::Witness => http::router(Arc::clone(&witness)),
        Role::Mirror => mirror::http::router(Mirror::new(Arc::clone(&witness), &directory.store()).map_err(|problem| {
            let hint = "put this log's folder below DIR/mirror back from a backup, or move it away: its log uploads it again";
            Advice::new(problem.to_string(), hint)
        })?),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(witness, router, Serving { listen, bastions, feed_every }))
}

fn feed_once(dir: &Path, logs: &Path) -> anyhow::Result<()> {
    let (_directory, witness) = open(dir, logs, Role::Witness)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let failed = runtime.block_on(async {
        // Logs with addresses are held until one has answered; one that does not answer could not be fed either.
        let _ = tokio::time::timeout(FIRST_ANSWERS, ask::ask_all(Arc::clone(&witness))).await;
        feed::feed_once(&witness).await
    });
    if failed.is_empty() {
        return Ok(());
    }
    Err(Advice::new(format!("not cosigned: {}", failed.join(", ")), "the lines above say why; run it again when that is mended").into())
}

/// The directory, whose lock is held as long as it lives, and its witness.
fn open(dir: &Path, logs: &Path, role: Role) -> anyhow::Result<(Directory, Arc<Witness>)> {
    let logs = read_logs(logs)?;
    let directory = Directory::open(dir)?;
    directory.check_role(role)?;
    let held = directory.check_marker().context("reading the marker")?;
    if let Some(hold) = &held {
        warn!("nothing will be signed: {hold}; run tally-witness accept-state if the state is the newest there is");
    }
    warn_of_unasked(&logs);
    let clock: Clock = Arc::new(client::now);
    let (signers, store) = (directory.signers()?, directory.store());
    let witness = Witness::with_role(role, signers, logs, store, clock, held.as_ref()).context("opening the state")?;
    Ok((directory, witness))
}

/// One line, however long the list is.
fn warn_of_unasked(logs: &Logs) {
    let unasked: Vec<&str> = logs.0.values().filter(|log| log.urls.is_empty()).map(|log| log.origin.as_str()).collect();
    if let Some(first) = unasked.first() {
        let others = unasked.len() - 1;
        warn!(origin = first, others, "the list has no url for these logs: a restored state may go unnoticed");
    }
}

async fn run(witness: Arc<Witness>, router: axum::Router, serving: Serving<'_>) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = match serving.listen {
        Some(address) => {
            let server = Server::start(listen(address).await?, router.clone())?;
            announce(&server.address())?;
            Some(server)
        }
        None => None,
    };
    let mut beside = tokio::task::JoinSet::new();
    for (dial, hash) in serving.bastions {
        beside.spawn(backend::serve(dial, router.clone(), hash));
    }
    beside.spawn(ask::ask_all(Arc::clone(&witness)));
    if let Some(every) = serving.feed_every {
        beside.spawn(feed::feed_for_ever(witness, every));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    beside.abort_all();
    if let Some(server) = server {
        server.stop().await;
    }
    info!("stopped");
    Ok(())
}

fn accept_state(dir: &Path, logs: &Path, only: Option<&str>, checkpoints: &[PathBuf]) -> anyhow::Result<()> {
    let logs = read_logs(logs)?;
    let directory = Directory::open(dir)?;
    let own = directory.signers().map(|signers| [signers.cosignature.key().clone(), signers.subtree.key().clone()])?;
    let shown = checkpoints.iter().map(|path| read_checkpoint(path)).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(origin) = only.filter(|origin| !logs.0.contains_key(*origin)) {
        return Err(Advice::new(format!("{origin} is not on the list"), "give the origin as it stands in the log's checkpoints").into());
    }
    for log in logs.0.values().filter(|log| only.is_none_or(|only| only == log.origin)) {
        // A clock before 1970 gives 0, which no cosignature may state.
        match accept::accept(directory.store(), log, &own, &shown, client::now())? {
            Some(known) => println!("{}: size {} at time {}", log.origin, known.tree().size, known.time),
            None => println!("{}: nothing cosigned", log.origin),
        }
    }
    if only.is_none() {
        directory.mark().context("writing the marker")?;
    }
    Ok(())
}

fn read_logs(path: &Path) -> anyhow::Result<Logs> {
    let bytes = read_limited(path, logs::MAX_BYTES as u64).map_err(|error| {
        error.context(Advice::new(
            "there is no list of logs",
            "write one in the format logs/v0 (specs/witness.md), or take that of the witness network",
        ))
    })?;
    Logs::parse(&bytes).map_err(|error| {
        Advice::new(
            format!("{}: {error}", path.display()),
            "the format is logs/v0 of the witness network: vkey, [origin], qpd, contact, [url]",
        )
        .into()
    })
}

fn read_checkpoint(path: &Path) -> anyhow::Result<SignedCheckpoint> {
    let bytes = read_limited(path, Note::MAX_BYTES as u64)?;
    let malformed =
        || Advice::new(format!("{} is not a signed checkpoint", path.display()), "give the file as the log or monitor serves it");
    SignedCheckpoint::parse(&bytes).map_err(|_| malformed().into())
}

/// How long the first answers may take before a single round of feeding goes on without them.
const FIRST_ANSWERS: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "Examples:
  tally-witness init --dir /var/lib/tally-witness --name witness.example.org
  tally-witness serve --dir /var/lib/tally-witness --listen 127.0.0.1:7101 --logs /etc/tallystick/logs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_shows_an_example() {
        assert_eq!(client::cli::without_example(&Cli::command()), Vec::<String>::new());
    }
}
