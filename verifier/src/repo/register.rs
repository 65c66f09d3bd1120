//! An admin says which index is the current one: the next number of the repository's chain, signed and submitted.

use attest::predicate::{Predicate, RepositoryState};
use attest::statement::StatementError;
use attest::{Statement, Subject};
use client::block_on;

use super::find::Local;
use crate::advise::{AdviseError, submit};
use crate::cli::RegisterArgs;
use crate::exit;
use crate::failure::Failure;
use crate::knowledge::Knowledge;
use crate::setup::{PATIENCE, Setup};
use crate::sync::Syncer;

/// Why an index was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Nobody says which repository it is of.
    #[error("{0}: which repository is this? give --name, such as rpm/opensuse/tumbleweed")]
    Unnamed(String),
    /// It has this registration already, by this very key.
    #[error("this index is the registered one already, by this key, as entry {0}")]
    Known(u64),
    /// It is older than what is registered.
    #[error("this index is of an earlier time than the registered one (sha256 {0}); to register it nevertheless, give --older")]
    Older(String),
    /// It was not said.
    #[error(transparent)]
    Advise(#[from] AdviseError),
}

/// Registers an index; the result is the exit status.
///
/// # Errors
/// If it is not published.
pub(super) fn register(setup: &Setup, args: &RegisterArgs) -> Result<u8, Failure> {
    let local = Local::open(&args.file, args.alias.clone()).map_err(|error| Failure::File(error.to_string()))?;
    let signer = client::keys::load(&args.signing.key).map_err(|error| Failure::File(error.to_string()))?;
    let lock = setup.cache.lock(PATIENCE)?;
    let log = setup.log()?;
    let syncer = setup.syncer(&log, &lock, false);
    let say = async {
        let statement = statement(&syncer, &local, args, signer.key()).await?;
        let name = statement.subject.name.clone();
        Ok::<_, RegisterError>((name, submit(&syncer, &statement, &*signer, &args.signing).await?))
    };
    let (name, proof) = block_on(say).map_err(|error| Failure::Other(error.into()))?.map_err(|error| match error {
        RegisterError::Advise(error) => setup.not_said(error),
        error => Failure::Register(error),
    })?;
    println!("registered sha256 {} as the current index of {name}: entry {}", local.digest, proof.index);
    Ok(exit::CLEAN)
}

/// What is to be said: the next registration, or, if another admin registered this index, the same word for word.
async fn statement(syncer: &Syncer<'_>, local: &Local, args: &RegisterArgs, key: &tlog::VerifierKey) -> Result<Statement, RegisterError> {
    let control = syncer.learn(&syncer.held().map_err(AdviseError::Sync)?, &[]).await.map_err(AdviseError::Sync)?;
    let roles = syncer.know(&control).map_err(AdviseError::Sync)?;
    let roles = roles.judge().roles().current().map(|current| &current.roles);
    let name = args.name.clone().or_else(|| local.name(syncer.repositories, roles));
    let name = name.ok_or_else(|| RegisterError::Unnamed(local.file.clone()))?;
    let subject = RepositoryState::subject_of(&name);
    let held = syncer.learn(&control, std::slice::from_ref(&subject)).await.map_err(AdviseError::Sync)?;
    let knowledge = syncer.know(&held).map_err(AdviseError::Sync)?;
    next(&knowledge, local, Subject::new(subject, local.digest), args.older, key)
}

fn next(knowledge: &Knowledge, local: &Local, subject: Subject, older: bool, key: &tlog::VerifierKey) -> Result<Statement, RegisterError> {
    let end = knowledge.judge().chain(attest::predicate::Kind::RepositoryState, &subject.name);
    let newest = knowledge.about(&subject.name).iter().rev().find(|leaf| Some(leaf.payload) == end.map(|end| end.payload));
    let seen = local.seen();
    if let Some(leaf) = newest
        && let Predicate::RepositoryState(state) = &leaf.statement.predicate
    {
        if leaf.statement.subject == subject {
            let said = |leaf: &&attest::judge::Leaf| Some(leaf.payload) == end.map(|end| end.payload) && leaf.key.public() == key.public();
            return match knowledge.about(&subject.name).iter().find(said) {
                Some(known) => Err(RegisterError::Known(known.index)),
                None => Ok(leaf.statement.clone()),
            };
        }
        if seen.date < state.date && !older {
            return Err(RegisterError::Older(leaf.statement.subject.digest.sha256.to_hex()));
        }
    }
    let state = seen.registered(end.map(|end| (end.sequence, end.payload)));
    let statement = Statement { subject, predicate: Predicate::RepositoryState(state) };
    statement.check().map_err(|error: StatementError| AdviseError::Statement(error))?;
    Ok(statement)
}
