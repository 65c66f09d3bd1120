//! A running log: opened directory, sequencer thread, HTTP. [`build`] returns it bound to its port, so that a test owns a real
//! server.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use attest::Judge;
use client::cli::Advice;
use hyper_util::server::graceful::GracefulShutdown;
use store::{Directory, Lock, Store};
use tlog::Policy;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::connections::{Limits, accept};
use crate::frozen::{self, Frozen};
use crate::gate::{Gate, OpenGate};
use crate::http::{App, Door, Intake, LOOKUPS, Uploads};
use crate::keys::LogKeys;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::quorum::Quorum;
use crate::recover::OpenError;
use crate::reload::Reload;
use crate::roles::{Bootstrap, Checked, Desk, Manifests, RolesGate, State, open_index, rebuild};
use crate::room::Room;
use crate::scrub::{self, Board, Scrub};
use crate::sequencer::{Pace, Parts, Sequencer, run};
use crate::shared::Shared;
use crate::verify::VerifyError;
use crate::witnesses::Witnesses;
use crate::{descriptors, layout};

/// What a server needs to be told.
pub struct Config {
    /// The log's directory, as `init` made it.
    pub dir: PathBuf,
    /// Where to listen; port 0 takes any free one.
    pub listen: String,
    /// The witness policy.
    pub policy: Policy,
    /// The first roles of a new log; of no effect later.
    pub roles: Option<Bootstrap>,
    /// The time; the machine's unless a test says otherwise.
    pub clock: Arc<dyn Clock>,
    /// Longest time for a request's headers, and for a connection's next request.
    pub header_time: Duration,
    /// Longest time in which a client may take in nothing of what is sent to it.
    pub unread_time: Duration,
    /// How large bodies are taken in.
    pub uploads: Uploads,
}

impl Config {
    /// With the machine's clock.
    #[must_use]
    pub fn new(dir: PathBuf, listen: &str, policy: Policy) -> Self {
        Self {
            dir,
            listen: listen.to_owned(),
            policy,
            roles: None,
            clock: Arc::new(SystemClock),
            header_time: HEADER_TIME,
            unread_time: client::socket::UNTAKEN,
            uploads: Uploads::default(),
        }
    }
}

/// A log that is bound to its port but does not answer yet.
pub struct Server {
    listener: TcpListener,
    app: Arc<App>,
    limits: Limits,
    reloader: Reloader,
    sequencer: Box<dyn FnOnce() + Send>,
    scrub: Option<Scrub>,
    /// Held until the server ends: one server on one directory.
    _lock: Lock,
}

/// Opens the log's directory, finishes what the last process committed, and binds the port.
pub async fn build(config: Config) -> anyhow::Result<(Server, SocketAddr)> {
    let settings = read_settings(&config.dir)?;
    if settings.open && config.roles.is_some() {
        return Err(Advice::new("a log made with --open takes no roles", "leave --roles away, or make another log without --open").into());
    }
    descriptors::raise(settings.connections);
    let lock = lock(&config.dir)?;
    let directory = Directory::open(&config.dir).with_context(|| format!("opening {}", config.dir.display()))?;
    directory.clean().with_context(|| format!("cleaning {}", config.dir.display()))?;
    let store: Arc<dyn Store> = Arc::new(directory);
    let keys = Arc::new(load_keys(&config.dir, &settings)?);
    let ledger = Ledger::open(store, keys).map_err(unopened)?;
    let frozen = Frozen::read(&**ledger.store())?;
    if let Some(frozen) = &frozen {
        frozen::check(frozen, &ledger.committed().tree())?;
        tracing::warn!("{}", frozen.text());
    }
    check_policy(&config.policy);
    let quorum = quorum(&config.policy, &settings)?;
    let listener = client::cli::listen(&config.listen).await?;
    let address = listener.local_addr().context("reading the bound address")?;
    let limits = Limits { connections: settings.connections, header_time: config.header_time, unread_time: config.unread_time };
    let policy = config.policy.clone();
    let scrub_of = (config.dir.clone(), ledger.keys().verifier_keys().to_vec(), config.clock.clone());
    let opened = Opened { config, settings: settings.clone(), ledger, quorum, frozen };
    let (app, reload, sequencer) = if settings.open { opened.open_door() } else { opened.roles_door()? };
    let scrub = scrub(&settings, scrub_of, &app);
    let reloader = Reloader { reload, settings, is_witnessed: !policy.is_unwitnessed() };
    Ok((Server { listener, app, limits, reloader, sequencer, scrub, _lock: lock }, address))
}

/// The scrub of a directory; none where the settings switch it off.
fn scrub(settings: &Settings, (dir, keys, clock): (PathBuf, Vec<tlog::VerifierKey>, Arc<dyn Clock>), app: &App) -> Option<Scrub> {
    let (origin, bytes_per_second, board) = (settings.origin.clone(), settings.scrub_bytes_per_second, app.scrub.clone());
    (bytes_per_second > 0).then_some(Scrub { dir, origin, keys, bytes_per_second, pause: scrub::PAUSE, clock, board })
}

/// An opened log before it is decided who may add what.
struct Opened {
    config: Config,
    settings: Settings,
    ledger: Ledger,
    quorum: Quorum,
    frozen: Option<Frozen>,
}

/// Takes another witness policy to a running log.
#[derive(Clone)]
pub struct Reloader {
    reload: Reload,
    settings: Settings,
    is_witnessed: bool,
}

impl Reloader {
    /// Has the policy taken up: its witnesses are consulted, and the head is published anew under it. Call it inside a runtime.
    ///
    /// # Errors
    /// If it demands no witnesses, which a running log may not fall back to, or an address in it is none.
    pub fn policy(&self, policy: &Policy) -> anyhow::Result<()> {
        if self.is_witnessed && policy.is_unwitnessed() {
            return Err(
                Advice::new("the new policy asks for no witnesses", "a log that is witnessed stays so; the old policy is kept").into()
            );
        }
        check_policy(policy);
        self.reload.put(quorum(policy, &self.settings)?);
        Ok(())
    }
}

/// What answers, where another policy is laid down, and what sequences.
type Running = (Arc<App>, Reload, Box<dyn FnOnce() + Send>);

impl Opened {
    fn open_door(self) -> Running {
        tracing::warn!("this log is open: anyone may add anything, and nothing that it holds is vouched for");
        let pool = Arc::new(Pool::new(self.settings.queue_bytes));
        self.assemble(pool.clone(), OpenGate, Door::Open(pool))
    }

    fn roles_door(self) -> anyhow::Result<Running> {
        let committed = self.ledger.committed().tree();
        let store = self.ledger.store().clone();
        let now = self.config.clock.now();
        let State { index, judge } = open_index(&self.config.dir.join(layout::INDEX), &*store, &committed, now)?;
        let (judge, first) = match judge {
            Some(judge) => (judge, None),
            None if self.frozen.is_some() => anyhow::bail!("a log without roles cannot have been frozen"),
            None => self.bootstrap()?,
        };
        let pool = Arc::new(Pool::new(self.settings.queue_bytes));
        let manifests = Manifests::open(store.clone(), index.clone(), self.settings.manifest_quota_bytes)?;
        let desk = Arc::new(Desk::new(&self.settings.origin, pool.clone(), index, manifests, store, self.settings.rates, judge));
        if let Some(leaf) = first {
            let Ok(Ok(Checked::New(roles))) = desk.check(&leaf) else { anyhow::bail!("the roles cannot be the first leaf") };
            let queued = pool.submit(Some(roles.identity()), leaf, *roles);
            drop(queued.map_err(|_| anyhow::anyhow!("the roles do not fit into the queue"))?);
        }
        let gate = RolesGate::new(desk.clone(), self.config.clock.clone());
        Ok(self.assemble(pool, gate, Door::Roles(desk)))
    }

    /// The first roles of a log without leaves: the judge that expects them, and the leaf.
    fn bootstrap(&self) -> anyhow::Result<(Judge, Option<Vec<u8>>)> {
        let Some(roles) = &self.config.roles else {
            let hint = "give its roles with --roles FILE, or make a log for tests with: tally-log init --open";
            return Err(Advice::new("a new log needs roles that say who may add what", hint).into());
        };
        if roles.origin != self.settings.origin {
            let what = format!("the roles are of the log {}, and this is {}", roles.origin, self.settings.origin);
            return Err(Advice::new(what, "write the roles for this log's origin and sign them again").into());
        }
        let leaf = roles.envelope(self.ledger.keys().envelope_signer())?;
        Ok((roles.judge(), Some(leaf)))
    }

    fn assemble<G: Gate + 'static>(self, pool: Arc<Pool<G::Meta>>, gate: G, door: Door) -> Running {
        let Self { config, settings, ledger, quorum, frozen } = self;
        let (shared, metrics) = (Arc::new(Shared::default()), Arc::new(Metrics::default()));
        let stale_after = match settings.stale_seconds {
            _ if quorum.is_none() => 0,
            0 => settings.republish_seconds.saturating_mul(2),
            seconds => seconds,
        };
        let store = ledger.store().clone();
        let app = App {
            shared: shared.clone(),
            buffers: Arc::default(),
            intake: Intake::new(config.uploads),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            batches: Semaphore::new(thread::available_parallelism().map_or(1, NonZero::get)),
            store,
            scrub: Arc::new(Board::open(&config.dir.join(layout::DAMAGED), metrics.scrub.clone())),
            metrics: metrics.clone(),
            clock: config.clock.clone(),
            stale_after,
            frozen,
            room: Room::new(&config.dir, settings.reserve_bytes),
            door,
        };
        let parts = Parts { ledger, quorum, pool, gate, shared, clock: config.clock, metrics, pace: pace(&settings) };
        let sequencer = Sequencer::new(parts);
        (Arc::new(app), sequencer.reload(), Box::new(move || run(sequencer, DRAIN)))
    }
}

impl Server {
    /// Completes when a running server takes entries and has published its first leaf, or cannot and has said why; after half a
    /// minute in any case.
    pub fn ready(&self) -> impl Future<Output = ()> + use<> {
        let app = self.app.clone();
        let least = match app.door {
            Door::Open(_) => 0,
            Door::Roles(_) => 1,
        };
        async move {
            let wait = async {
                while app.shared.is_starting(least) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let _ = tokio::time::timeout(READY_TIME, wait).await;
        }
    }

    /// For taking up another witness policy later.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Serves until `shutdown` completes; then takes no more entries, publishes what it has, answers it, and ends.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let sequencer = thread::Builder::new().name("sequencer".to_owned()).spawn(self.sequencer).context("starting the sequencer")?;
        let scrub = self.scrub.map(Scrub::start).transpose().context("starting the scrub")?;
        let graceful = GracefulShutdown::new();
        tokio::select! {
            () = accept(&self.listener, &self.app, self.limits, &graceful) => {}
            () = shutdown => {}
        }
        tracing::info!("shutting down");
        drop(self.listener);
        self.app.door.close();
        // Requests end when the sequencer has answered them; idle connections end at once.
        let requests = tokio::time::timeout(DRAIN, graceful.shutdown());
        let _ = requests.await;
        let ended = tokio::task::spawn_blocking(move || {
            drop(scrub);
            sequencer.join()
        });
        ended.await.ok();
        Ok(())
    }
}

/// Builds the index from nothing and returns the number of indexed entries. An open log has no index.
pub fn reindex(dir: &std::path::Path) -> anyhow::Result<u64> {
    let settings = read_settings(dir)?;
    if settings.open {
        return Err(Advice::new("a log made with --open has no index", "nothing is to be done").into());
    }
    let _lock = lock(dir)?;
    let store: Arc<dyn Store> = Arc::new(Directory::open(dir).with_context(|| format!("opening {}", dir.display()))?);
    let ledger = Ledger::open(store.clone(), Arc::new(load_keys(dir, &settings)?)).map_err(unopened)?;
    let state = rebuild(&dir.join(layout::INDEX), &*store, &ledger.committed().tree(), SystemClock.now())?;
    Ok(state.index.tree()?.size)
}

/// Reads `log.toml`.
pub fn read_settings(dir: &std::path::Path) -> anyhow::Result<Settings> {
    let path = dir.join(layout::SETTINGS);
    let text = client::cli::read_limited(&path, 1 << 20).map_err(|error| {
        error.context(Advice::new(
            "this directory holds no log",
            format!("make one with: tally-log init --dir {} --origin NAME", dir.display()),
        ))
    })?;
    let text = String::from_utf8(text).context("log.toml is not text")?;
    let hint = "specs/log.md lists its fields; only origin and keys must be there, as init wrote them";
    Settings::parse(&text).map_err(|error| Advice::new(error.to_string(), hint).into())
}

pub(crate) fn lock(dir: &std::path::Path) -> anyhow::Result<Lock> {
    let path = dir.join(layout::LOCK);
    Lock::acquire(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Advice::new(
            format!("another server runs on {}", dir.display()),
            "two servers would sign two histories; stop the other one first",
        )
        .into(),
        _ => Advice::new(
            format!("locking {}: {error}", path.display()),
            "the directory must be there, and writable for whoever runs the log",
        )
        .into(),
    })
}

pub(crate) fn load_keys(dir: &std::path::Path, settings: &Settings) -> anyhow::Result<LogKeys> {
    let hint = "restore the key files that belong to this log; it cannot go on with others";
    let keys = LogKeys::load(dir).map_err(|error| Advice::new(format!("{error:#}"), hint))?;
    let found: Vec<String> = keys.verifier_keys().iter().map(tlog::VerifierKey::encode).collect();
    if keys.origin() != settings.origin || found != settings.keys {
        return Err(
            Advice::new("the keys in keys/ are not those that log.toml names", "restore the key files that belong to this log").into()
        );
    }
    Ok(keys)
}

pub(crate) fn unopened(error: OpenError) -> anyhow::Error {
    let hint = if let OpenError::Objects(VerifyError::Storage(..)) = &error {
        "nothing was signed or changed; the file system refused this: make room on it, or see what ails it, and start again"
    } else {
        "nothing was signed or changed; `tally-log fsck DIR` names every damaged object. Restore them from a mirror or a backup of \
         the same age or younger, never the state/ folder alone"
    };
    Advice::new(error.to_string(), hint).into()
}

fn check_policy(policy: &Policy) {
    if policy.is_unwitnessed() {
        tracing::warn!("quorum none: no witness stands behind this log's checkpoints; this is for tests only");
        return;
    }
    match policy.has_disjoint_quorums() {
        Some(true) => tracing::warn!("two quorums of this policy share no witness: each could be shown another history"),
        None => tracing::warn!("the policy is too large to tell whether two of its quorums share no witness"),
        Some(false) => {}
    }
}

fn quorum(policy: &Policy, settings: &Settings) -> anyhow::Result<Quorum> {
    let timeout = Duration::from_millis(settings.witness_timeout_ms);
    let witnesses = Witnesses::of_policy(policy, timeout, &tokio::runtime::Handle::current())?;
    Ok(Quorum::new(policy.clone(), witnesses, timeout, Duration::from_millis(settings.cosign_grace_ms)))
}

fn pace(settings: &Settings) -> Pace {
    Pace {
        interval: Duration::from_millis(settings.batch_interval_ms),
        batch_bytes: settings.batch_bytes,
        batch_entries: settings.batch_entries,
        republish_seconds: settings.republish_seconds,
    }
}

/// Longest time to finish what is under way when the server is asked to end.
const DRAIN: Duration = Duration::from_secs(20);
/// Longest time until a started server says that it is ready.
const READY_TIME: Duration = Duration::from_secs(30);
/// Longest time for a request's headers, and for a connection to be idle: as long as clients are used to.
const HEADER_TIME: Duration = Duration::from_secs(60);
