//! `spool` on the command line.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{Exit, advise, exit_of, hinted, load, send, show_outcome};
use crate::config::Config;
use crate::home::Home;
use crate::progress::Progress;
use crate::spool::Spool;

#[derive(Debug, Subcommand)]
pub(super) enum SpoolCommand {
    /// List what waits and what was refused
    #[command(after_help = "Example:\n  tally-builder spool list --config /etc/tallystick/builder.toml")]
    List {
        /// The configuration file
        #[arg(long)]
        config: PathBuf,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Send what waits
    #[command(after_help = "Example, from a timer:\n  tally-builder spool send --config /etc/tallystick/builder.toml")]
    Send {
        /// The configuration file
        #[arg(long)]
        config: PathBuf,
        /// One JSON object on standard output, progress on standard error
        #[arg(long)]
        json: bool,
    },
}

/// Does what the command says.
pub(super) async fn run(command: SpoolCommand) -> anyhow::Result<Exit> {
    match command {
        SpoolCommand::List { config, json } => list(&load(&config)?, json),
        SpoolCommand::Send { config, json } => send_spool(&load(&config)?, json).await,
    }
}

fn list(config: &Config, json: bool) -> anyhow::Result<Exit> {
    let home = Home::open(&config.dir).map_err(hinted)?;
    let _lock = home.lock().map_err(hinted)?;
    let spool = Spool::new(&home);
    let (waiting, refused) = (spool.waiting()?, spool.refused()?);
    for item in &waiting {
        let (kind, name) = (item.statement.kind().short_name(), &item.statement.subject.name);
        if json {
            println!("{}", json!({"state": "waiting", "id": item.id.to_hex(), "kind": kind, "subject": name}));
        } else {
            println!("waiting  {kind} of {name}");
        }
    }
    for item in &refused {
        if json {
            println!("{}", json!({"state": "refused", "id": item.id, "reason": item.reason}));
        } else {
            println!("refused  {}: {}", item.id, item.reason);
        }
    }
    if !json {
        println!("{} waiting, {} refused, {} in the log", waiting.len(), refused.len(), spool.receipts()?);
    }
    Ok(if waiting.is_empty() { Exit::Done } else { Exit::Waiting })
}

async fn send_spool(config: &Config, json: bool) -> anyhow::Result<Exit> {
    if config.log.is_none() {
        return Err(advise("the configuration names no log", "add `log`, `origin` and `log_keys`"));
    }
    let home = Home::open(&config.dir).map_err(hinted)?;
    let _lock = home.lock().map_err(hinted)?;
    let signer = home.signer().map_err(hinted)?;
    let progress = Progress::new(json);
    let Some(outcome) = send(config, &home, signer.as_ref(), &progress).await? else { return Ok(Exit::Interrupted) };
    show_outcome(&outcome, config, json, &progress);
    Ok(exit_of(&outcome))
}
