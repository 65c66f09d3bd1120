//! Repositories: is this index the current one, who registered it, how many saw it, is it warned of (`specs/repository.md`).

pub mod find;
mod judge;
mod print;
mod register;
pub mod rules;
pub mod sigcheck;

use std::collections::BTreeSet;
use std::path::Path;

use attest::predicate::RepositoryState;
use serde_json::json;

use crate::check::currency;
use crate::cli::{RepoCheckArgs, RepoCommand, SigcheckArgs, ZypperArgs};
use crate::failure::Failure;
use crate::gate::state::State;
use crate::head;
use crate::knowledge::Knowledge;
use crate::render::Ground;
use crate::report::{Counts, Report};
use crate::setup::Setup;
use crate::sync::Syncer;
use crate::time;
use find::{Local, find};

pub use judge::{Judged, judge};
pub use register::RegisterError;

/// Runs `tally repo`; the result is the exit status.
///
/// # Errors
/// Whatever ends the run without a verdict.
pub fn run(setup: &Setup, command: &RepoCommand) -> Result<u8, Failure> {
    match command {
        RepoCommand::Check(args) => check(setup, args),
        RepoCommand::Register(args) => register::register(setup, args),
        RepoCommand::Zypper(args) => zypper(setup, args),
        RepoCommand::Sigcheck(args) => sigcheck(setup, args),
    }
}

fn check(setup: &Setup, args: &RepoCheckArgs) -> Result<u8, Failure> {
    let unreadable = |error: find::LocalError| Failure::File(error.to_string());
    let mut locals = match args.file.as_slice() {
        [] => find(&args.root).map_err(unreadable)?,
        files => files.iter().map(|file| Local::open(file, args.alias.clone())).collect::<Result<_, _>>().map_err(unreadable)?,
    };
    if let Some(suite) = &args.suite {
        let is_meant = |local: &Local| local.index.suite.as_ref() == Some(suite) || local.alias.as_ref() == Some(suite);
        locals.retain(is_meant);
    }
    if locals.is_empty() {
        let place = args.root.display();
        return Err(Failure::File(format!("{place} holds no index of a repository that was asked for; nothing was judged")));
    }
    let (judged, report) = report(setup, locals, args.name.as_deref(), args.offline)?;
    print::print(&judged, &report, args.output)
}

/// What libzypp runs before it takes new metadata in: any status but 0 discards them.
fn zypper(setup: &Setup, args: &ZypperArgs) -> Result<u8, Failure> {
    let (judged, report) = fresh(setup, &args.file, &args.ralias)?;
    print::print(&judged, &report, args.output)
}

/// The same where libzypp demands an answer.
fn sigcheck(setup: &Setup, args: &SigcheckArgs) -> Result<u8, Failure> {
    let judge = |index: &Path| match fresh(setup, index, &args.alias) {
        Ok((_, report)) if report.status() == crate::exit::CLEAN => Ok(()),
        Ok((judged, report)) => Err(print::text(&judged, &report, false)),
        Err(failure) => Err(format!("tally: {failure}\nhint: {}\n", failure.hint())),
    };
    sigcheck::converse(std::io::stdin().lock(), std::io::stdout().lock(), judge).map_err(|error| Failure::File(error.to_string()))?;
    Ok(crate::exit::CLEAN)
}

/// Judges an index that zypper has just downloaded, and records that it asked.
fn fresh(setup: &Setup, index: &Path, alias: &str) -> Result<(Vec<Judged>, Report), Failure> {
    let local = Local::open(index, Some(alias.to_owned())).map_err(|error| Failure::File(error.to_string()))?;
    let digest = local.digest.to_hex();
    let (judged, report) = report(setup, vec![local], None, false)?;
    let entry = json!({ "schema": 1, "time": time::format(report.time), "manager": ZYPPER_REFRESH, "decision": report.status(), "repository": alias, "sha256": digest });
    // The verdict holds whether or not that can be written down.
    if let Err(error) = State::new(&setup.config.state).record(&entry) {
        tracing::warn!("that zypper asked is not recorded: {error}");
    }
    Ok((judged, report))
}

/// What `tally gate status` calls the plugins that judge new indexes.
pub const ZYPPER_REFRESH: &str = "zypper-refresh";

/// Judges indexes under what the log says now, or under the cache where it cannot be asked.
///
/// # Errors
/// If nothing can be judged.
pub fn report(setup: &Setup, locals: Vec<Local>, name: Option<&str>, offline: bool) -> Result<(Vec<Judged>, Report), Failure> {
    let knowledge = if offline { setup.knowledge()?.0 } else { ask(setup, &locals, name)? };
    let now = time::now();
    let judged: Vec<Judged> = locals.into_iter().map(|local| judge(local, name, &knowledge, &setup.rules, now)).collect();
    let (completeness, general) = currency(setup, &knowledge, &setup.rules, now);
    let attested = judged.iter().filter(|judged| judged.is_current() && judged.seen_by().by.len() >= judged.builders).count();
    let counts = Counts {
        installed: judged.len(),
        judged: judged.len(),
        attested,
        leaves: knowledge.leaves(),
        refused: knowledge.refused().len(),
        ..Counts::default()
    };
    let mut report = Report {
        command: "repo check",
        target: if judged.len() == 1 { "1 repository".to_owned() } else { format!("{} repositories", judged.len()) },
        ground: Ground::default(),
        time: now,
        head: Some(head::describe(&knowledge, &setup.policy, &setup.rules, now)),
        completeness,
        builders: setup.rules.repositories.builders.unwrap_or(setup.rules.builders),
        counts,
        findings: judged.iter().flat_map(|judged| judged.findings.clone()).chain(general).collect(),
        earlier: None,
        gate: None,
    };
    report.sort();
    Ok((judged, report))
}

/// Asks the log about the repositories: an index that was just downloaded is newer than the cache. A log that cannot be reached leaves the
/// cache, whose age is judged in any case.
fn ask(setup: &Setup, locals: &[Local], name: Option<&str>) -> Result<Knowledge, Failure> {
    match setup.ask(&setup.log()?, |syncer, knowledge| names(syncer, knowledge, locals, name))? {
        Err(crate::sync::SyncError::Fetch(error)) if setup.cache.is_there() => {
            tracing::warn!("the log cannot be asked ({error}); what the cache holds is all that is known");
            Ok(setup.knowledge()?.0)
        }
        answer => setup.hearing(answer.map_err(|error| setup.keep_evidence(error))?),
    }
}

fn names(syncer: &Syncer<'_>, knowledge: &Knowledge, locals: &[Local], name: Option<&str>) -> Vec<String> {
    let roles = knowledge.judge().roles().current().map(|current| &current.roles);
    let called = |local: &Local| name.map(str::to_owned).or_else(|| local.name(syncer.repositories, roles));
    let names: BTreeSet<String> = locals.iter().filter_map(called).collect();
    names.iter().map(|name| RepositoryState::subject_of(name)).collect()
}

/// What a sync asks about the repositories of these roots: those whose indexes are there, and those that the policy lists. An index that
/// cannot be read is told, and leaves the others.
#[must_use]
pub fn subjects(roots: &[&Path], syncer: &Syncer<'_>, knowledge: &Knowledge) -> Vec<String> {
    let mut locals = Vec::new();
    for root in roots {
        match find(root) {
            Ok(found) => locals.extend(found),
            Err(error) => tracing::warn!("{error}; repositories of {} are not looked up", root.display()),
        }
    }
    let mut subjects = names(syncer, knowledge, &locals, None);
    subjects.extend(syncer.repositories.listed.iter().map(|listed| RepositoryState::subject_of(&listed.name)));
    subjects
}
