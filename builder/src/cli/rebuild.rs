//! `rebuild` on the command line.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use attest::predicate::{Environment, RebuildResult};
use serde_json::json;

use super::{Exit, exit_of, hinted, interrupted, send, show_outcome};
use crate::config::Config;
use crate::home::Home;
use crate::podman::Podman;
use crate::progress::Progress;
use crate::rebuild::{Named, RebuildReport, Rebuilt, Target};
use crate::run::{Run, podman_settings};

/// What is asked for.
pub(super) struct Wanted {
    /// What is to be built.
    pub(super) targets: Vec<Named>,
    /// One JSON object a package file.
    pub(super) json: bool,
    /// Leave everything in the spool.
    pub(super) no_send: bool,
    /// Where the records of the builds are kept.
    pub(super) record: Option<PathBuf>,
}

/// Builds, says and sends.
pub(super) async fn run(config: &Config, wanted: Wanted) -> anyhow::Result<Exit> {
    let Wanted { targets, json, no_send, record } = wanted;
    let read = |named: Named| named.read().map_err(|error| super::advise(error, "give a .buildinfo file as dpkg-genbuildinfo writes it"));
    let targets: Vec<Target> = targets.into_iter().map(read).collect::<anyhow::Result<_>>()?;
    let home = Home::open(&config.dir).map_err(hinted)?;
    let lock = home.lock().map_err(hinted)?;
    let signer = home.signer().map_err(hinted)?;
    let progress = Progress::new(json);
    let mut podman = Podman::open(podman_settings(config, &home)).await.map_err(hinted)?;
    let halt = AtomicBool::new(false);
    let run = Run { config, home: &home, signer: signer.as_ref(), progress: &progress, record: None, halt: &halt };
    let work = run.rebuild(&mut podman, &targets, record.as_deref());
    let result = tokio::select! { result = work => Some(result), () = interrupted() => None };
    podman.close().await;
    let Some(result) = result else { return Ok(Exit::Interrupted) };
    let reports = result.map_err(hinted)?;
    reports.iter().for_each(|report| show(report, json, &progress));
    let whole = if reports.iter().all(|report| report.result.is_ok()) { Exit::Done } else { Exit::Incomplete };
    if no_send {
        return Ok(whole);
    }
    let outcome = send(config, &home, signer.as_ref(), &progress).await?;
    drop(lock);
    let Some(outcome) = outcome else { return Ok(Exit::Interrupted) };
    show_outcome(&outcome, config, json, &progress);
    Ok(if whole == Exit::Done { exit_of(&outcome) } else { whole })
}

fn show(report: &RebuildReport, json: bool, progress: &Progress) {
    match (&report.result, json) {
        (Ok(rebuilt), _) => rebuilt.iter().for_each(|one| show_one(report, one, json, progress)),
        (Err(failure), false) => progress.line(&format!("failed    {}: {}\n    hint: {}", report.target, failure.what, failure.hint)),
        (Err(failure), true) => println!("{}", json!({"target": report.target, "error": failure.what, "hint": failure.hint})),
    }
}

fn show_one(report: &RebuildReport, rebuilt: &Rebuilt, json: bool, progress: &Progress) {
    let rebuild = &rebuilt.rebuild;
    if json {
        println!(
            "{}",
            json!({"target": report.target, "seconds": report.seconds, "purl": rebuilt.purl, "sha256": rebuilt.sha256.to_hex(), "rebuild": rebuild,
                   "reason": rebuilt.reason})
        );
        return;
    }
    let environment = match rebuild.environment {
        Environment::Recorded => "the recorded environment".to_owned(),
        Environment::Differing => format!("the recorded environment but for {} packages", rebuild.differing.len()),
        Environment::Derived | Environment::Imported => "an environment derived from the source package".to_owned(),
    };
    let word = match rebuild.result {
        RebuildResult::Same => "same",
        RebuildResult::Different => "different",
        RebuildResult::Failed => "failed",
    };
    let place = rebuild.first_difference.as_ref().map_or_else(String::new, |first| {
        let path = first.path.as_ref().map_or_else(String::new, |path| format!(" {path},"));
        format!("\n    differs first in {}:{path} {}", first.member, format!("{:?}", first.what).to_lowercase())
    });
    let reason = rebuilt.reason.as_ref().map_or_else(String::new, |reason| format!("\n    {reason}"));
    progress.line(&format!("{word:<9} {} from {} in {environment}, {} s{place}{reason}", rebuilt.purl, rebuild.source, report.seconds));
}
