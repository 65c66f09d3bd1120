//! The commands `run` and `request`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::{Exit, Signals, hinted, load, policy};
use crate::config::Config;
use crate::home::Home;
use crate::progress::Progress;
use crate::record::Record;
use crate::request::Request;
use crate::service::{Flights, Metrics, Queue, Shard, Worker, notify, serve};
use crate::spool::Spool;
use crate::submit::{Outcome, Sender};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The configuration file; its section [run] says how often and what
    #[arg(long)]
    config: PathBuf,
    /// Work on one part of the packages only, such as 3/16: several builders with directories of their own share them by name
    #[arg(long, default_value_t = Shard::WHOLE)]
    shard: Shard,
    /// Serve numbers for Prometheus at http://ADDR/metrics; port 0 chooses one and says which
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
}

/// Runs the service until it is told to end.
pub async fn run(arguments: RunArguments) -> anyhow::Result<Exit> {
    let config = load(&arguments.config)?;
    let home = Home::open(&config.dir).map_err(hinted)?;
    let _lock = home.lock().map_err(hinted)?;
    let signer = home.signer().map_err(hinted)?;
    let (record, queue) = (Record::open(&home).map_err(hinted)?, Queue::open(&home).map_err(hinted)?);
    let (metrics, progress) = (Arc::new(Metrics::default()), Progress::new(false));
    if let Some(address) = arguments.metrics {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        progress.line(&format!("metrics at http://{}/metrics", listener.local_addr()?));
        tokio::spawn(serve(listener, Arc::clone(&metrics)));
    }
    let (known, failed) = record.counts();
    progress.line(&format!("watching as shard {}: {known} package files are known, {failed} wait to be tried again", arguments.shard));
    // Who is told that the service is up may end it the next moment.
    let signals = Signals::handled();
    notify("READY=1");
    let (halt, spooled, flights) = (AtomicBool::new(false), Notify::new(), Flights::default());
    let worker = Worker {
        config: &config,
        home: &home,
        signer: signer.as_ref(),
        progress: &progress,
        record: &record,
        queue: &queue,
        metrics: &metrics,
        shard: arguments.shard,
        halt: &halt,
        spooled: &spooled,
        flights: &flights,
    };
    tokio::select! {
        outcome = work_and_send(&worker) => Ok(ended(&outcome?)),
        () = told_twice(signals, &halt, &progress) => Ok(Exit::Interrupted),
    }
}

async fn work_and_send(worker: &Worker<'_>) -> anyhow::Result<Outcome> {
    let Some(target) = worker.config.log_target() else {
        worker.progress.line("no log is configured: everything stays in the spool");
        worker.work().await;
        return Ok(Outcome::default());
    };
    let spool = Spool::new(worker.home);
    let sender = Sender::new(&target, policy(worker.config)?, &spool, worker.signer).context("the log's address")?;
    // What an earlier run left is sent before the first package is done.
    worker.spooled.notify_one();
    worker.send_while(&sender, worker.work()).await.map_err(hinted)
}

/// The first signal lets what is under way end; the second does not.
async fn told_twice(mut signals: Signals, halt: &AtomicBool, progress: &Progress) {
    signals.next().await;
    halt.store(true, Ordering::Relaxed);
    notify("STOPPING=1");
    progress.line("ending when what is being installed is done; a second signal ends at once");
    signals.next().await;
}

fn ended(outcome: &Outcome) -> Exit {
    if outcome.waiting > 0 { Exit::Waiting } else { Exit::Done }
}

/// Puts requests into the queue of a builder, running or not.
pub fn request(config: &Path, requests: &[Request]) -> anyhow::Result<Exit> {
    let config: Config = load(config)?;
    let queue = Queue::open(&Home::open(&config.dir).map_err(hinted)?).map_err(hinted)?;
    for request in requests {
        queue.ask(request).map_err(hinted)?;
        println!("requested {request}");
    }
    Ok(Exit::Done)
}
