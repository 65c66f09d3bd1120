//! `attest` on the command line.

use std::sync::atomic::AtomicBool;

use serde_json::json;

use super::{Exit, exit_of, hinted, interrupted, send, show_outcome};
use crate::config::Config;
use crate::distro::Manager;
use crate::home::Home;
use crate::image;
use crate::podman::Podman;
use crate::progress::Progress;
use crate::request::Request;
use crate::run::{PackageReport, Run, podman_settings};

/// Attests, says and sends.
pub(super) async fn run(config: &Config, requests: &[Request], json: bool, new_image: bool, no_send: bool) -> anyhow::Result<Exit> {
    let home = Home::open(&config.dir).map_err(hinted)?;
    let lock = home.lock().map_err(hinted)?;
    let signer = home.signer().map_err(hinted)?;
    let progress = Progress::new(json);
    if new_image {
        image::forget(config, &home).map_err(hinted)?;
    }
    let halt = AtomicBool::new(false);
    let run = Run { config, home: &home, signer: signer.as_ref(), progress: &progress, record: None, halt: &halt };
    let result = if config.manager == Manager::Apk {
        tokio::select! { result = run.attest_fetched(requests) => Some(result), () = interrupted() => None }
    } else {
        let mut podman = Podman::open(podman_settings(config, &home)).await.map_err(hinted)?;
        let work = run.attest(&mut podman, requests);
        let result = tokio::select! { result = work => Some(result), () = interrupted() => None };
        podman.close().await;
        result
    };
    let Some(result) = result else { return Ok(Exit::Interrupted) };
    let reports = result.map_err(hinted)?;
    reports.iter().for_each(|report| show(report, json, &progress));
    let whole = reports.iter().all(PackageReport::is_whole);
    if no_send {
        return Ok(if whole { Exit::Done } else { Exit::Incomplete });
    }
    let outcome = send(config, &home, signer.as_ref(), &progress).await?;
    drop(lock);
    let Some(outcome) = outcome else { return Ok(Exit::Interrupted) };
    show_outcome(&outcome, config, json, &progress);
    Ok(if whole { exit_of(&outcome) } else { Exit::Incomplete })
}

fn show(report: &PackageReport, json: bool, progress: &Progress) {
    let request = report.request.to_string();
    match (&report.result, json) {
        (Ok(attested), false) => {
            let observed = match &attested.observed {
                None => String::new(),
                Some(Ok(entries)) => format!(", {entries} observed"),
                Some(Err(failure)) => format!(", not observed: {}\n    hint: {}", failure.what, failure.hint),
            };
            progress.line(&format!(
                "attested  {}  manifest {:.16} of {} lines{observed}",
                attested.purl,
                attested.manifest.to_hex(),
                attested.lines
            ));
        }
        (Ok(attested), true) => {
            let (observed, error) = match &attested.observed {
                None => (None, None),
                Some(Ok(entries)) => (Some(*entries), None),
                Some(Err(failure)) => (None, Some(failure.what.clone())),
            };
            println!(
                "{}",
                json!({"package": request, "purl": attested.purl, "sha256": attested.sha256.to_hex(), "manifest": attested.manifest.to_hex(),
                       "lines": attested.lines, "observed": observed, "error": error})
            );
        }
        (Err(failure), false) => progress.line(&format!("failed    {request}: {}\n    hint: {}", failure.what, failure.hint)),
        (Err(failure), true) => println!("{}", json!({"package": request, "error": failure.what, "hint": failure.hint})),
    }
}
