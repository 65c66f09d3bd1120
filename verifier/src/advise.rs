//! What the security team says: warnings, their withdrawal, and control heads. Each continues the chain that the log shows.

use std::path::PathBuf;
use std::time::Duration;

use attest::envelope::EnvelopeError;
use attest::judge::{Judge, Leaf};
use attest::predicate::{Action, Advisory, Affected, ControlHead, Kind, Lifecycle, Severity, Stage};
use attest::statement::StatementError;
use attest::{Envelope, Predicate, Statement};
use client::FetchError;
use client::log::Submitted;
use tlog::{Signer, TlogProof};

use crate::cli::{AdviseCommand, AdviseText, AffectedArgs, LifecycleText, SigningArgs};
use crate::knowledge::Knowledge;
use crate::sync::{SyncError, Syncer};

/// Why nothing was said, or nobody can hear it yet.
#[derive(Debug, thiserror::Error)]
pub enum AdviseError {
    /// What is to be said is not well-formed.
    #[error("this cannot be said: {0}")]
    Statement(#[from] StatementError),
    /// The key.
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
    /// The log's own state could not be had.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The log refused it.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The signed entry could not be written.
    #[error("{0}: {1}")]
    Save(PathBuf, std::io::Error),
    /// There is no such advisory to second.
    #[error("the log has no {0}")]
    Unknown(String),
    /// The wait expired: it is not published, and may be later.
    #[error("the log has not published it within {0} seconds; run: tally sync, and look whether it is there before you repeat it")]
    Pending(u64),
    /// The log's proof proves nothing.
    #[error("the log's proof was refused: {0:?}")]
    Unproven(tlog::tlog_proof::Unproven),
}

/// Says it, waits until it is published, and verifies the proof.
///
/// # Errors
/// See [`AdviseError`].
pub async fn advise(
    syncer: &Syncer<'_>,
    command: &AdviseCommand,
    signer: &dyn Signer,
    now: u64,
    signing: &SigningArgs,
) -> Result<TlogProof, AdviseError> {
    let knowledge = syncer.know(&syncer.learn(&syncer.held()?, &[]).await?)?;
    let statement = statement(command, &knowledge, now)?;
    statement.check()?;
    submit(syncer, &statement, signer, signing).await
}

/// Signs a statement, submits it, waits until it is published, and verifies the proof.
///
/// # Errors
/// See [`AdviseError`].
pub async fn submit(
    syncer: &Syncer<'_>,
    statement: &Statement,
    signer: &dyn Signer,
    signing: &SigningArgs,
) -> Result<TlogProof, AdviseError> {
    let entry = Envelope::sign(statement.encode(), signer)?.encode();
    if let Some(file) = &signing.save {
        crate::cache::replace(file, &entry).map_err(|error| AdviseError::Save(file.clone(), error))?;
    }
    let wait = signing.wait;
    match syncer.log.submit(entry.clone(), Duration::from_secs(wait)).await? {
        Submitted::Pending => Err(AdviseError::Pending(wait)),
        Submitted::Proven(proof) => {
            proof.verify(syncer.policy, &entry).map_err(AdviseError::Unproven)?;
            Ok(*proof)
        }
    }
}

fn statement(command: &AdviseCommand, knowledge: &Knowledge, now: u64) -> Result<Statement, AdviseError> {
    let judge = knowledge.judge();
    Ok(match command {
        AdviseCommand::Warn { text, what, severity } => advisory(judge, text, Action::Warn, (*severity).into(), affected(what)),
        AdviseCommand::Withdraw { text } => advisory(judge, text, Action::Withdraw, Severity::Low, Vec::new()),
        AdviseCommand::EndOfLife { text, date, successor } => lifecycle(judge, text, Stage::EndOfLife, Some(*date), successor.clone()),
        AdviseCommand::Superseded { text, date, by } => lifecycle(judge, text, Stage::Superseded, Some(*date), Some(by.clone())),
        AdviseCommand::Supported { text } => lifecycle(judge, text, Stage::Supported, None, None),
        AdviseCommand::Second { id, lifecycle, .. } => {
            let (id, number) = (id.as_deref().unwrap_or_default(), *lifecycle);
            let unknown = || match number {
                Some(number) => AdviseError::Unknown(format!("lifecycle statement with the number {number}")),
                None => AdviseError::Unknown(format!("advisory of the name {id}")),
            };
            newest(knowledge, id, number).ok_or_else(unknown)?
        }
        AdviseCommand::Head { .. } => control_head(knowledge, now),
    })
}

/// The patterns, each with the digests; digests alone mean package files of any name.
fn affected(what: &AffectedArgs) -> Vec<Affected> {
    let mut digests = what.digest.clone();
    digests.sort_unstable();
    digests.dedup();
    let any = (what.package.is_empty() && what.source.is_empty() && what.repository.is_empty()).then_some("pkg:*");
    let packages = what.package.iter().map(String::as_str).chain(any).map(Affected::packages);
    let packages = packages.chain(what.source.iter().map(|pattern| Affected::sources(pattern)));
    let packages = packages.map(|affected| Affected { before: what.before.clone(), from: what.from.clone(), ..affected });
    let all = packages.chain(what.repository.iter().map(|pattern| Affected::repositories(pattern)));
    all.map(|affected| Affected { digests: digests.clone(), ..affected }).collect()
}

/// The newest advisory of this name, or the lifecycle statement with this number, word for word: seconding it is saying exactly the same.
fn newest(knowledge: &Knowledge, id: &str, number: Option<u64>) -> Option<Statement> {
    let said = |leaf: &&Leaf| match &leaf.statement.predicate {
        Predicate::Advisory(advisory) => advisory.id == id,
        Predicate::Lifecycle(lifecycle) => Some(lifecycle.sequence) == number,
        _ => false,
    };
    let subject = if number.is_some() { Lifecycle::SUBJECT } else { Advisory::SUBJECT };
    knowledge.about(subject).iter().rev().find(said).map(|leaf| leaf.statement.clone())
}

fn lifecycle(judge: &Judge, text: &LifecycleText, stage: Stage, date: Option<u64>, successor: Option<String>) -> Statement {
    let end = judge.chain(Kind::Lifecycle, Lifecycle::SUBJECT);
    let lifecycle = Lifecycle {
        affected: text.affected(),
        date,
        previous: end.map(|end| end.payload),
        reference: text.reference.clone(),
        sequence: end.map_or(0, |end| end.sequence) + 1,
        stage,
        successor,
        summary: text.summary.clone(),
    };
    Statement { subject: lifecycle.subject(), predicate: Predicate::Lifecycle(lifecycle) }
}

fn advisory(judge: &Judge, text: &AdviseText, action: Action, severity: Severity, affected: Vec<Affected>) -> Statement {
    let end = judge.chain(Kind::Advisory, Advisory::SUBJECT);
    let advisory = Advisory {
        action,
        advice: text.advice.clone(),
        affected,
        id: text.id.clone(),
        previous: end.map(|end| end.payload),
        reference: text.reference.clone(),
        sequence: end.map_or(0, |end| end.sequence) + 1,
        severity,
        summary: text.summary.clone(),
    };
    Statement { subject: advisory.subject(), predicate: Predicate::Advisory(advisory) }
}

fn control_head(knowledge: &Knowledge, now: u64) -> Statement {
    let judge = knowledge.judge();
    let end = judge.chain(Kind::ControlHead, ControlHead::SUBJECT);
    let head = ControlHead {
        advisory: knowledge.advisories().newest(),
        lifecycle: Some(knowledge.lifecycles().newest()).filter(|newest| *newest > 0),
        previous: end.map(|end| end.payload),
        roles: judge.roles().current().map_or(0, |current| current.roles.version),
        sequence: end.map_or(0, |end| end.sequence) + 1,
        size: knowledge.checkpoint().tree().size,
        time: now,
    };
    Statement { subject: head.subject(), predicate: Predicate::ControlHead(head) }
}
