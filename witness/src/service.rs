//! The witness: verdicts of [`crate::decide`], state of [`crate::state`], and signatures, in the one safe order.
//!
//! For one log at a time: read the state, decide, make the next state durable, and only then sign. Whatever fails before the
//! signature leaves nothing in the world; whatever fails after it leaves a state that already says what was signed.

mod load;
mod mirroring;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::{Store, Swap};
use tlog::witness::{AddCheckpoint, SignSubtree};
use tlog::{KeyKind, Signer, VerifierKey, cosignature};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tracing::{error, warn};

use crate::decide::{self, Keys, Submission};
use crate::logs::{Log, Logs, id};
use crate::metrics::Metrics;
use crate::state::{States, Stored};
use crate::subtree;
use crate::{Hold, Known, Refusal, split};

/// How long a request waits for another one of the same log.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The current time in POSIX seconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Why a request has no cosignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request, or the state of this log, does not allow it.
    Refused(Refusal),
    /// The state could not be made durable, or read.
    NotSaved,
    /// A key did not sign.
    NotSigned,
    /// Too many requests for this log are waiting.
    Busy,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What the witness signs with.
pub struct Signers {
    /// Type 04, for `cosignature/v1`.
    pub cosignature: Box<dyn Signer>,
    /// Type 06, for checkpoints and subtrees.
    pub subtree: Box<dyn Signer>,
}

/// What a cosignature of this cosigner says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// That the tree extends every one that was cosigned before.
    Witness,
    /// Also that all entries are held: signed when they are, and not with the checkpoint.
    Mirror,
}

/// One witness with its keys, its list of logs and its state.
pub struct Witness {
    role: Role,
    signers: Signers,
    own: Vec<VerifierKey>,
    logs: BTreeMap<String, Arc<Watched>>,
    ids: HashMap<String, Arc<Watched>>,
    states: States,
    clock: Clock,
    metrics: Metrics,
}

/// One log and what is known of it.
struct Watched {
    log: Log,
    id: String,
    /// Held from reading the state to signing.
    slot: Arc<AsyncMutex<Slot>>,
    view: Mutex<View>,
}

#[derive(Default)]
struct Slot {
    /// `None`: to be read, at first and after a write whose result is unknown.
    stored: Option<Stored>,
    /// A reason from outside the stored state.
    hold: Option<Hold>,
    /// A mirror's: the newest checkpoints that were made durable here, oldest first.
    pending: VecDeque<Known>,
}

/// What can be shown without waiting for the slot.
#[derive(Clone, Default)]
struct View {
    cosigned: Option<Arc<str>>,
    hold: Option<Hold>,
    evidence: usize,
}

/// What is wrong, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// One line per thing that is wrong or worth knowing.
    pub lines: Vec<String>,
    /// Whether signatures are refused for some log.
    pub is_refusing: bool,
}

impl Witness {
    /// A witness over this store. `held` holds every log, as for a copied directory.
    ///
    /// # Errors
    /// If the store cannot be read, or a log's key is one of the witness's own.
    pub fn new(signers: Signers, logs: Logs, store: Arc<dyn Store>, clock: Clock, held: Option<&Hold>) -> io::Result<Arc<Self>> {
        Self::with_role(Role::Witness, signers, logs, store, clock, held)
    }

    /// A cosigner in this role.
    ///
    /// # Errors
    /// As [`Witness::new`].
    pub fn with_role(
        role: Role,
        signers: Signers,
        logs: Logs,
        store: Arc<dyn Store>,
        clock: Clock,
        held: Option<&Hold>,
    ) -> io::Result<Arc<Self>> {
        let own = vec![signers.cosignature.key().clone(), signers.subtree.key().clone()];
        if own[0].kind() != KeyKind::CosignatureV1 || own[1].kind() != KeyKind::MlDsa44 {
            return Err(io::Error::other("a witness needs one key of type 04 and one of type 06"));
        }
        let is_own = |key: &VerifierKey| own.iter().any(|own| own.public() == key.public());
        if let Some(log) = logs.0.values().find(|log| log.keys.iter().any(is_own)) {
            return Err(io::Error::other(format!("a key of log {} is the witness's own", log.origin)));
        }
        let watched: Vec<_> = logs.0.into_values().map(|log| Arc::new(Watched::new(log, held))).collect();
        let witness = Arc::new(Self {
            role,
            signers,
            own,
            logs: watched.iter().map(|watched| (watched.log.origin.clone(), Arc::clone(watched))).collect(),
            ids: watched.into_iter().map(|watched| (watched.id.clone(), watched)).collect(),
            states: States::new(store),
            clock,
            metrics: Metrics::default(),
        });
        witness.load_all()?;
        Ok(witness)
    }

    /// The witness's verifier keys: type 04, then type 06.
    #[must_use]
    pub fn keys(&self) -> &[VerifierKey] {
        &self.own
    }

    /// The logs that are watched.
    pub fn logs(&self) -> impl Iterator<Item = &Log> {
        self.logs.values().map(|watched| &watched.log)
    }

    /// Counters and gauges.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// `add-checkpoint`: the signature lines.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn add_checkpoint(self: &Arc<Self>, body: &[u8]) -> Result<String, Failure> {
        let request = AddCheckpoint::parse(body).map_err(|_| Refusal::Malformed("the body is not an add-checkpoint request"))?;
        let watched = self.logs.get(decide::origin(&request.checkpoint)).ok_or(Refusal::UnknownLog)?;
        let submission = decide::authenticate(request, Keys { log: &watched.log.keys, own: &self.own })?;
        self.with_slot(watched, move |witness, watched, slot| witness.advance(watched, slot, &submission)).await
    }

    /// `sign-subtree`: the signature line.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn sign_subtree(&self, body: &[u8]) -> Result<String, Failure> {
        let request = SignSubtree::parse(body).map_err(|_| Refusal::Malformed("the body is not a sign-subtree request"))?;
        let judged = subtree::judge(request, &self.own, |origin| self.logs.contains_key(origin))?;
        let line = cosignature::sign_subtree(&*self.signers.subtree, &judged.origin, judged.start, judged.end, &judged.hash);
        Ok(line.map_err(|_| Failure::NotSigned)?.encode())
    }

    /// The newest cosigned checkpoint of the log with this ID, with log and witness lines; `None` if there is none.
    ///
    /// # Errors
    /// If the state cannot be read, or a key does not sign.
    pub async fn newest(self: &Arc<Self>, id: &str) -> Result<Option<Arc<str>>, Failure> {
        let Some(watched) = self.ids.get(id) else { return Ok(None) };
        let shown = watched.view().cosigned.clone();
        if shown.is_some() {
            return Ok(shown);
        }
        // After a start: the same statement is signed again. It was durable before it was first signed.
        self.with_slot(watched, |witness, watched, slot| {
            let stored = witness.load(watched, slot).map_err(|_| Failure::NotSaved)?;
            let said = match witness.role {
                Role::Witness => stored.known.clone(),
                Role::Mirror => witness.vouched(watched)?,
            };
            match (&said, &stored.hold) {
                (Some(known), _) => witness.sign(watched, known).map(|_| watched.view().cosigned.clone()),
                (None, Some(Hold::Damaged)) => Err(Failure::Refused(Refusal::Held(Hold::Damaged))),
                (None, _) => Ok(None),
            }
        })
        .await
    }

    /// The names of a log's evidence files; `None` for an unknown log.
    ///
    /// # Errors
    /// The store's.
    pub fn evidence(&self, id: &str) -> io::Result<Option<Vec<String>>> {
        self.ids.contains_key(id).then(|| self.states.evidence(id)).transpose()
    }

    /// One evidence file.
    ///
    /// # Errors
    /// The store's.
    pub fn evidence_file(&self, id: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        if self.ids.contains_key(id) { self.states.evidence_file(id, name) } else { Ok(None) }
    }

    /// Judges a checkpoint that one of the log's own addresses has shown after the start: it may carry a cosignature that the state
    /// does not know. `None` is a log that has published nothing. Returns whether this was an answer.
    pub async fn shown(self: &Arc<Self>, origin: &str, checkpoint: Option<tlog::SignedCheckpoint>) -> bool {
        let Some(watched) = self.logs.get(origin) else { return false };
        let submission = match checkpoint {
            None => None,
            Some(signed) => {
                let request = AddCheckpoint { old_size: 0, proof: tlog::ConsistencyProof(Vec::new()), checkpoint: signed.note };
                let keys = Keys { log: &watched.log.keys, own: &self.own };
                let Ok(submission) = decide::authenticate(request, keys) else { return false };
                if submission.signed.checkpoint.origin != origin {
                    return false;
                }
                Some(submission)
            }
        };
        let released = self.with_slot(watched, move |witness, watched, slot| {
            if let Some(submission) = &submission {
                witness.compare(watched, slot, submission).map_err(|_| Failure::NotSaved)?;
            }
            slot.hold.take_if(|hold| *hold == Hold::Unasked);
            witness.show(watched, slot);
            Ok(())
        });
        released.await.is_ok()
    }

    /// Logs that wait for an answer of one of their addresses.
    #[must_use]
    pub fn unasked(&self) -> Vec<Log> {
        self.logs.values().filter(|watched| watched.view().hold == Some(Hold::Unasked)).map(|watched| watched.log.clone()).collect()
    }

    /// What is wrong, for `/healthz`.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut health = Health { lines: Vec::new(), is_refusing: false };
        for (origin, watched) in &self.logs {
            let view = watched.view();
            if let Some(hold) = &view.hold {
                health.is_refusing = true;
                health.lines.push(format!("refusing {origin}: {hold}"));
            }
            if view.evidence > 0 {
                health.lines.push(format!("split view of {origin}: {} evidence files", view.evidence));
            }
        }
        health
    }

    /// Runs blocking work with a log's slot. The work goes on to its end even if the client has gone.
    async fn with_slot<T, F>(self: &Arc<Self>, watched: &Arc<Watched>, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Self, &Watched, &mut Slot) -> Result<T, Failure> + Send + 'static,
    {
        let lock = Arc::clone(&watched.slot).lock_owned();
        let mut slot: OwnedMutexGuard<Slot> = tokio::time::timeout(LOCK_WAIT, lock).await.map_err(|_| Failure::Busy)?;
        let (witness, watched) = (Arc::clone(self), Arc::clone(watched));
        let worked = tokio::task::spawn_blocking(move || work(&witness, &watched, &mut slot)).await;
        worked.unwrap_or(Err(Failure::NotSaved))
    }

    fn advance(&self, watched: &Watched, slot: &mut Slot, submission: &Submission) -> Result<String, Failure> {
        let stored = self.load(watched, slot).map_err(|_| Failure::NotSaved)?.clone();
        let hold = slot.hold.as_ref().or(stored.hold.as_ref());
        match decide::decide(stored.known.as_ref(), hold, submission, (self.clock)()) {
            Ok(next) => {
                self.save(watched, slot, &stored, &next)?;
                match self.role {
                    Role::Witness => self.sign(watched, &next),
                    Role::Mirror => Ok(slot.wait_for(next)),
                }
            }
            Err(refusal) => {
                // What cannot be kept now is found again in the next request; the refusal stands either way.
                if let Err(problem) = self.compare(watched, slot, submission) {
                    error!(origin = watched.log.origin, %problem, "what this request proves could not be kept");
                }
                Err(Failure::Refused(refusal))
            }
        }
    }

    /// The stored state, read where it is not known.
    fn load<'a>(&self, watched: &Watched, slot: &'a mut Slot) -> io::Result<&'a mut Stored> {
        let stored = match slot.stored.take() {
            Some(stored) => stored,
            None => self.states.load(&watched.id, &self.own).inspect_err(|problem| {
                error!(origin = watched.log.origin, %problem, "the state could not be read");
            })?,
        };
        Ok(slot.stored.insert(stored))
    }

    /// Makes the next state durable. On any failure the result is unknown, and the state is read again before it is used.
    fn save(&self, watched: &Watched, slot: &mut Slot, stored: &Stored, next: &Known) -> Result<(), Failure> {
        if stored.known.as_ref() == Some(next) {
            return Ok(());
        }
        let raw = next.encode();
        slot.stored = None;
        let started = Instant::now();
        let swapped = self.states.save(&watched.id, stored.raw.as_deref(), &raw);
        self.metrics.saved(started.elapsed(), matches!(swapped, Ok(Swap::Done)));
        match swapped {
            Ok(Swap::Done) => {
                slot.stored = Some(Stored { known: Some(next.clone()), raw: Some(raw), hold: None });
                self.show(watched, slot);
                Ok(())
            }
            Ok(Swap::Conflict) => {
                error!(origin = watched.log.origin, "the state was changed by somebody else; nothing was signed");
                Err(Failure::NotSaved)
            }
            Err(problem) => {
                error!(origin = watched.log.origin, %problem, "the state could not be saved; nothing was signed");
                Err(Failure::NotSaved)
            }
        }
    }

    /// Cosigns what is durable, with both keys, and shows it. A re-encoding of the parsed checkpoint is signed, not the bytes received.
    fn sign(&self, watched: &Watched, known: &Known) -> Result<String, Failure> {
        let mut cosigned = known.signed.clone();
        let mut answer = String::new();
        for signer in [&self.signers.cosignature, &self.signers.subtree] {
            let line = cosignature::cosign(&**signer, &known.signed.checkpoint, known.time).map_err(|_| Failure::NotSigned)?;
            answer.push_str(&line.encode());
            cosigned.note.lines.push(line);
        }
        watched.view().cosigned = Some(cosigned.encode().into());
        Ok(answer)
    }

    /// Keeps what a submission that is not signed proves: a split view, or a state older than an own cosignature.
    fn compare(&self, watched: &Watched, slot: &mut Slot, submission: &Submission) -> io::Result<()> {
        let stored = self.load(watched, slot)?;
        let evidence = stored.known.as_ref().and_then(|known| split::proven(known, submission, &watched.log.keys));
        // A damaged record is held already, and says nothing about what is newer than it.
        let own = match &stored.hold {
            Some(Hold::Damaged) => None,
            // The largest one is the proof to keep.
            Some(Hold::OwnNewer(held)) if held.checkpoint.tree.size >= submission.signed.checkpoint.tree.size => None,
            _ => decide::own_newer(stored.known.as_ref(), submission),
        };
        if let Some(own) = &own {
            warn!(origin = watched.log.origin, size = own.checkpoint.tree.size, "the state is older than an own cosignature");
            stored.hold = Some(Hold::OwnNewer(Box::new(own.clone())));
        }
        self.show(watched, slot);
        if let Some(evidence) = evidence
            && self.states.keep_evidence(&watched.id, &evidence)?
        {
            warn!(origin = watched.log.origin, "the log has signed two histories; the evidence is kept");
            watched.view().evidence += 1;
            self.show(watched, slot);
        }
        own.map_or(Ok(()), |own| self.states.hold(&watched.id, &own))
    }

    /// Brings what can be seen from outside up to date with the slot.
    fn show(&self, watched: &Watched, slot: &Slot) {
        let mut view = watched.view();
        let stored = slot.stored.as_ref();
        view.hold = slot.hold.clone().or_else(|| stored.and_then(|stored| stored.hold.clone()));
        self.metrics.flagged(&watched.log.origin, view.hold.is_some(), view.evidence);
        if let Some(known) = stored.and_then(|stored| stored.known.as_ref()) {
            self.metrics.cosigned(&watched.log.origin, known.tree().size, known.time);
        }
    }
}

impl Watched {
    /// A log, held at first where the directory is, or where the log has addresses to be asked.
    fn new(log: Log, held: Option<&Hold>) -> Self {
        let unasked = (!log.urls.is_empty()).then_some(Hold::Unasked);
        let slot = Slot { stored: None, hold: held.cloned().or(unasked), pending: VecDeque::new() };
        Self { id: id(&log.origin), log, slot: Arc::new(AsyncMutex::new(slot)), view: Mutex::default() }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        // Every change to it is one assignment, so a panic elsewhere leaves it whole.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
