//! Asking the witnesses: one thread for each, so that a slow one holds up nobody, and what their answers mean for this log.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use client::witness::{AddAnswer, EntriesAnswer, WitnessClient};
use store::Store;
use tlog::policy::WitnessLine;
use tlog::witness::AddCheckpoint;
use tlog::{ConsistencyProof, Policy, SignatureLine, SignedCheckpoint, VerifierKey, cosignature};

use crate::keys::{LogKeys, OwnCheckpoint};
use crate::recover::{consistency, is_prefix};
use crate::upload;
use crate::verify::VerifyError;

/// One witness's two requests, blocking.
pub trait Endpoint: Send + 'static {
    /// The newest checkpoint of `origin` that it has cosigned; unverified.
    fn newest(&mut self, origin: &str) -> Result<Option<SignedCheckpoint>, Fault>;
    /// C2SP tlog-witness `add-checkpoint`.
    fn add_checkpoint(&mut self, request: &AddCheckpoint) -> Result<AddAnswer, Fault>;
    /// C2SP tlog-mirror `add-entries`. Those that are no mirrors are never asked.
    fn add_entries(&mut self, _body: Vec<u8>) -> Result<EntriesAnswer, Fault> {
        Err(Fault::Silent("it takes no entries".to_owned()))
    }
}

/// Why a request to a witness gave nothing; in words, for the log's own records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No answer, or one that says nothing about the log.
    Silent(String),
    /// The witness refuses the checkpoint.
    Refused(String),
}

impl From<client::FetchError> for Fault {
    fn from(error: client::FetchError) -> Self {
        match error.status() {
            Some(403 | 409 | 422) => Self::Refused(error.to_string()),
            _ => Self::Silent(error.to_string()),
        }
    }
}

/// A witness over HTTP.
pub struct HttpEndpoint {
    client: WitnessClient,
    runtime: tokio::runtime::Handle,
}

impl HttpEndpoint {
    /// A witness at its submission prefix; requests run on `runtime`.
    pub fn new(url: &str, timeout: Duration, runtime: tokio::runtime::Handle) -> Result<Self, client::FetchError> {
        Ok(Self { client: WitnessClient::new(url, timeout)?, runtime })
    }
}

impl Endpoint for HttpEndpoint {
    fn newest(&mut self, origin: &str) -> Result<Option<SignedCheckpoint>, Fault> {
        Ok(self.runtime.block_on(self.client.newest(origin))?)
    }
    fn add_checkpoint(&mut self, request: &AddCheckpoint) -> Result<AddAnswer, Fault> {
        Ok(self.runtime.block_on(self.client.add_checkpoint(request))?)
    }
    fn add_entries(&mut self, body: Vec<u8>) -> Result<EntriesAnswer, Fault> {
        Ok(self.runtime.block_on(self.client.add_entries(body))?)
    }
}

/// What is asked of a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which newest checkpoint of this log do you have?
    Newest,
    /// Please cosign the committed checkpoint.
    Cosign,
}

/// What the question is about: the log as it is committed.
pub struct Subject {
    /// Holds the tiles of the committed tree.
    pub store: Arc<dyn Store>,
    /// The log's keys.
    pub keys: Arc<LogKeys>,
    /// The committed checkpoint with the log's own lines only; witnesses limit what they read.
    pub committed: OwnCheckpoint,
}

/// A verified cosignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The witness's name in the policy.
    pub name: String,
    /// Its line.
    pub line: SignatureLine,
    /// The witness's time, in POSIX seconds.
    pub time: u64,
}

/// What a witness's answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Its newest checkpoint of this log, if any, is a prefix of the committed tree.
    Consistent,
    /// It cosigned the committed checkpoint.
    Cosigned(Vec<Cosignature>),
    /// It has a checkpoint, signed by this very log, that is larger than the committed tree or contradicts it.
    Contradicts(Box<SignedCheckpoint>),
    /// It answered nonsense, or claims what it does not show.
    Faulty(String),
    /// No answer.
    Unreachable(String),
}

/// The witnesses of a policy, each with its thread. The threads end when this is dropped and their request is over.
pub struct Witnesses {
    workers: Vec<Worker>,
    reports: Receiver<(usize, u64, Report)>,
    round: u64,
}

struct Worker {
    url: String,
    names: Vec<String>,
    tasks: Sender<(u64, Question, Arc<Subject>)>,
    busy: bool,
}

impl Witnesses {
    /// One worker for each group of policy lines that share an address.
    #[must_use]
    pub fn new(endpoints: Vec<(Vec<WitnessLine>, Box<dyn Endpoint>)>) -> Self {
        let (sender, reports) = mpsc::channel();
        let workers = endpoints.into_iter().enumerate().map(|(number, (lines, endpoint))| {
            let url = lines.first().and_then(|line| line.url.clone()).unwrap_or_default();
            let names = lines.iter().map(|line| line.name.clone()).collect();
            let (tasks, inbox) = mpsc::channel::<(u64, Question, Arc<Subject>)>();
            let sender = sender.clone();
            let mut thread = Thread { lines, endpoint, known: None, next: 0 };
            thread::spawn(move || {
                for (round, question, subject) in inbox {
                    let report = thread.answer(question, &subject);
                    if sender.send((number, round, report)).is_err() {
                        return;
                    }
                }
            });
            Worker { url, names, tasks, busy: false }
        });
        Self { workers: workers.collect(), reports, round: 0 }
    }

    /// The policy's witnesses over HTTP; those without an address cannot be asked.
    pub fn of_policy(policy: &Policy, timeout: Duration, runtime: &tokio::runtime::Handle) -> Result<Self, client::FetchError> {
        let mut endpoints: Vec<(Vec<WitnessLine>, Box<dyn Endpoint>)> = Vec::new();
        for line in policy.witnesses() {
            let Some(url) = &line.url else {
                tracing::warn!(witness = line.name, "the policy gives no address for this witness: it is never asked");
                continue;
            };
            match endpoints.iter_mut().find(|(lines, _)| lines.first().and_then(|line| line.url.as_ref()) == Some(url)) {
                Some((lines, _)) => lines.push(line.clone()),
                None => endpoints.push((vec![line.clone()], Box::new(HttpEndpoint::new(url, timeout, runtime.clone())?))),
            }
        }
        Ok(Self::new(endpoints))
    }

    /// Begins a round of questions: answers to earlier ones no longer count.
    pub fn begin(&mut self) {
        self.round += 1;
    }

    /// Puts the question to every witness that `wanted` names and that is not still busy with an earlier one. Returns whether
    /// any witness is busy now.
    pub fn ask(&mut self, question: Question, subject: &Arc<Subject>, wanted: &dyn Fn(&[String]) -> bool) -> bool {
        for worker in &mut self.workers {
            if !worker.busy && wanted(&worker.names) {
                worker.busy = worker.tasks.send((self.round, question, subject.clone())).is_ok();
            }
        }
        self.workers.iter().any(|worker| worker.busy)
    }

    /// The next answer to this round's questions: the witness's address, its names and what it means. `None` when the time is
    /// over, or nobody is busy any more.
    pub fn next(&mut self, timeout: Duration) -> Option<(String, Vec<String>, Report)> {
        let deadline = std::time::Instant::now() + timeout;
        while self.workers.iter().any(|worker| worker.busy) {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match self.reports.recv_timeout(left) {
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
                Ok((number, round, report)) => {
                    let worker = self.workers.get_mut(number)?;
                    worker.busy = false;
                    // A fork seen late is a fork all the same.
                    if round == self.round || matches!(report, Report::Contradicts(_)) {
                        return Some((worker.url.clone(), worker.names.clone(), report));
                    }
                }
            }
        }
        None
    }
}

/// The thread's side of a worker.
struct Thread {
    lines: Vec<WitnessLine>,
    endpoint: Box<dyn Endpoint>,
    /// The size that the witness is believed to have.
    known: Option<u64>,
    /// The first entry that a mirror is believed not to have.
    next: u64,
}

impl Thread {
    fn answer(&mut self, question: Question, subject: &Subject) -> Report {
        match question {
            Question::Newest => self.newest(subject),
            Question::Cosign => self.cosign(subject),
        }
    }

    fn newest(&mut self, subject: &Subject) -> Report {
        let shown = match self.endpoint.newest(subject.keys.origin()) {
            Err(Fault::Silent(why) | Fault::Refused(why)) => return Report::Unreachable(why),
            Ok(None) => {
                self.known = Some(0);
                return Report::Consistent;
            }
            Ok(Some(shown)) => shown,
        };
        if !subject.keys.has_signed(&shown) {
            return Report::Faulty("it shows a checkpoint that this log has not signed".to_owned());
        }
        match is_prefix(&*subject.store, &shown, &subject.committed.tree()) {
            Ok(true) => {
                self.known = Some(shown.checkpoint.tree.size);
                Report::Consistent
            }
            Ok(false) => Report::Contradicts(Box::new(shown)),
            // The store is at fault; the witness has answered nothing that could be judged.
            Err(error) => Report::Unreachable(format!("its checkpoint cannot be compared: {error}")),
        }
    }

    /// Two tries: the second with the size that the witness named.
    fn cosign(&mut self, subject: &Subject) -> Report {
        for _ in 0..2 {
            let old_size = self.known.unwrap_or(0);
            let proof = match proof(subject, old_size) {
                Ok(proof) => proof,
                Err(error) => return Report::Unreachable(format!("no proof for it: {error}")),
            };
            let request = AddCheckpoint { old_size, proof, checkpoint: subject.committed.signed.note.clone() };
            match self.endpoint.add_checkpoint(&request) {
                Err(Fault::Silent(why)) => return Report::Unreachable(why),
                Err(Fault::Refused(why)) => return self.unshown(subject, why),
                // A mirror signs when it has the entries.
                Ok(AddAnswer::Cosigned(lines)) if lines.is_empty() => return self.upload(subject),
                Ok(AddAnswer::Cosigned(lines)) => return self.check(&lines, subject),
                Ok(AddAnswer::OtherSize(size)) if size <= subject.committed.tree().size => self.known = Some(size),
                Ok(AddAnswer::OtherSize(size)) => {
                    return self.unshown(subject, format!("it names size {size} but shows no checkpoint of it"));
                }
            }
        }
        Report::Faulty("it names another size each time".to_owned())
    }

    /// Sends a mirror the entries that it has not, until it signs.
    fn upload(&mut self, subject: &Subject) -> Report {
        let (size, mut ticket, mut surprises) = (subject.committed.tree().size, Vec::new(), 0);
        while surprises <= MAX_SURPRISES {
            let body = match upload::body(&*subject.store, subject.keys.origin(), &subject.committed.tree(), self.next, ticket) {
                Ok(body) => body,
                Err(error) => return Report::Unreachable(format!("no entries for it: {error}")),
            };
            match self.endpoint.add_entries(body) {
                Err(Fault::Silent(why)) => return Report::Unreachable(why),
                Err(Fault::Refused(why)) => return Report::Faulty(why),
                Ok(EntriesAnswer::Held(lines)) => {
                    self.next = size;
                    return self.check(&lines, subject);
                }
                Ok(EntriesAnswer::Wanted(info)) if info.size == size && info.next <= size => {
                    surprises += usize::from(info.next <= self.next);
                    (self.next, ticket) = (info.next, info.ticket);
                }
                Ok(EntriesAnswer::Wanted(info)) => {
                    return Report::Faulty(format!("it has {} entries and waits for those of size {}, not {size}", info.next, info.size));
                }
            }
        }
        Report::Faulty("it has no more entries than before, each time".to_owned())
    }

    /// The witness claims to know of another tree. Its word proves nothing; a checkpoint under the log's own signature does.
    fn unshown(&mut self, subject: &Subject, claim: String) -> Report {
        match self.newest(subject) {
            Report::Contradicts(shown) => Report::Contradicts(shown),
            _ => Report::Faulty(claim),
        }
    }

    fn check(&mut self, lines: &[SignatureLine], subject: &Subject) -> Report {
        let checkpoint = &subject.committed.signed.checkpoint;
        let mut cosignatures = Vec::new();
        for WitnessLine { name, key, .. } in &self.lines {
            let Some(line) = lines.iter().find(|line| line.is_by(key)) else { continue };
            match cosignature::verify(key, line, checkpoint) {
                Ok(time) if time > 0 => cosignatures.push(Cosignature { name: name.clone(), line: line.clone(), time }),
                _ => return Report::Faulty(format!("its cosignature by {} is wrong", describe(key))),
            }
        }
        if cosignatures.is_empty() {
            return Report::Faulty("it cosigned with none of the keys in the policy".to_owned());
        }
        self.known = Some(checkpoint.tree.size);
        Report::Cosigned(cosignatures)
    }
}

/// How often a mirror may have other entries than it was believed to have, for one checkpoint.
const MAX_SURPRISES: usize = 2;

fn proof(subject: &Subject, old_size: u64) -> Result<ConsistencyProof, VerifyError> {
    let tree = subject.committed.tree();
    if old_size == 0 || old_size >= tree.size {
        return Ok(ConsistencyProof(Vec::new()));
    }
    Ok(consistency(&*subject.store, &tree, old_size)?.1)
}

fn describe(key: &VerifierKey) -> String {
    format!("{}+{}", key.name(), key.id())
}
