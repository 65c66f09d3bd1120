//! The command: catches up once or for ever, and tells what it finds.

use std::cell::Cell;
use std::time::{Duration, Instant};

use attest::Scope;
use client::block_on;

use super::{Alert, Auditor, Kind, Post, Request, Watch, status};
use crate::cli::AuditArgs;
use crate::exit;
use crate::failure::Failure;
use crate::follow::FollowError;
use crate::sync::SyncError;
use crate::time;

/// What the command line asks for.
pub struct Plan {
    /// Packages to tell everything of.
    pub watch: Watch,
    once: bool,
    json: bool,
    webhook: Option<String>,
    mail: Option<String>,
    interval: Duration,
}

impl Plan {
    /// Reads the arguments.
    ///
    /// # Errors
    /// If one makes no sense.
    pub fn new(args: &AuditArgs) -> Result<Self, Failure> {
        let scope = |text: &String| Scope::parse(text).map_err(|error| Failure::Usage(format!("--watch {text}: {error}")));
        let interval = time::parse_span(&args.interval).filter(|seconds| *seconds > 0);
        let interval = interval.ok_or_else(|| Failure::Usage(format!("--interval {} is no span such as 30s or 5m", args.interval)))?;
        Ok(Self {
            watch: Watch { packages: args.watch.iter().map(scope).collect::<Result<_, _>>()?, known: args.known.clone() },
            once: args.once,
            json: args.json,
            webhook: args.webhook.clone(),
            mail: args.mail.clone(),
            interval: Duration::from_secs(interval),
        })
    }
}

/// Audits; the status is that of what was found, for a run that ends.
///
/// # Errors
/// What keeps it from going on. Following for ever, it tries again after failures of the network.
pub fn run(request: Request<'_>, plan: &Plan) -> Result<u8, Failure> {
    let dir = request.syncer.cache.dir().to_owned();
    let mut auditor = Auditor::open(request)?;
    let mut post = Post { origin: String::new(), json: plan.json, webhook: plan.webhook.clone(), mail: plan.mail.clone(), dir };
    loop {
        let before = auditor.size();
        let caught_up = block_on(auditor.catch_up(&progress())).map_err(|error| Failure::Other(error.into()))?;
        post.origin = auditor.origin();
        match caught_up {
            Ok(alerts) => {
                post.tell(&alerts)?;
                auditor.told()?;
                post.send()?;
                tracing::info!("audited {} entries, {} of them new", auditor.size(), auditor.size() - before);
                if plan.once {
                    return Ok(status(&alerts));
                }
            }
            Err(SyncError::Follow(FollowError::Fork(evidence))) => {
                let path = auditor.home().keep_evidence(&evidence)?;
                let text = "the log signed two histories that exclude each other; trust nothing newer from it";
                let mut alerts = auditor.found()?;
                alerts.push(Alert { evidence: Some(path.display().to_string()), ..Alert::new(Kind::Fork, &[], None, text) });
                post.tell(&alerts)?;
                auditor.told()?;
                post.send()?;
                return Ok(exit::INTEGRITY);
            }
            Err(error) if plan.once || !may_pass(&error) => {
                // What it has found so far must not wait for a log that may never be whole again.
                post.tell(&auditor.found()?)?;
                auditor.told()?;
                post.send()?;
                return Err(Failure::Sync(error));
            }
            Err(error) => {
                tracing::warn!("{error}; trying again in {}", time::span(plan.interval.as_secs()));
                post.send()?;
            }
        }
        std::thread::sleep(plan.interval);
    }
}

/// Whether another try may succeed.
fn may_pass(error: &SyncError) -> bool {
    matches!(error, SyncError::Fetch(_) | SyncError::Behind { .. } | SyncError::Moving | SyncError::Follow(FollowError::Unproven(_)))
}

/// Says now and then how far it has come.
fn progress() -> impl Fn(u64, u64) {
    let last = Cell::new(Instant::now());
    move |done, all| {
        if last.get().elapsed() >= Duration::from_secs(5) {
            last.set(Instant::now());
            tracing::info!("{done} of {all} entries");
        }
    }
}
