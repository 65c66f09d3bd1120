//! The roles as they are known here: the version in force, what changed, the whole chain (`specs/roles.md`).

mod facts;

use std::fmt::Write as _;
use std::path::Path;

use attest::judge::{Leaf, Refusal};
use attest::predicate::RolesLeaf;
use attest::roles::{Foundation, MAX_BYTES, Roles, RolesVersion, SignedRoles};
use client::block_on;
use serde_json::{Value, json};

use crate::cli::{RolesCommand, SubmitArgs};
use crate::exit;
use crate::failure::Failure;
use crate::finding::printable;
use crate::knowledge::Knowledge;
use crate::run::write_out;
use crate::setup::{PATIENCE, Setup};
use crate::{advise, time};

/// Runs `tally roles`; the result is the exit status.
///
/// # Errors
/// If the roles are not known, or a version is not.
pub fn run(setup: &Setup, command: &RolesCommand) -> Result<u8, Failure> {
    let known = || Ok::<_, Failure>(setup.knowledge()?.0);
    match command {
        RolesCommand::Show { version, json } => show(&known()?, *version, *json),
        RolesCommand::Diff { from, to, file, json } => diff(&known()?, *from, *to, file.as_deref(), *json),
        RolesCommand::History { json } => history(&known()?, *json),
        RolesCommand::Submit(args) => submit(setup, args),
    }
}

fn show(knowledge: &Knowledge, version: Option<u64>, json: bool) -> Result<u8, Failure> {
    let shown = find(knowledge, version)?;
    let is_current = knowledge.judge().roles().current() == Some(shown);
    if json {
        let mut object = summary(knowledge, shown);
        object["in_force"] = json!(is_current);
        object["text"] = json!(shown.roles.encode());
        write_out(&format!("{object}\n"))?;
    } else {
        let force = if is_current { "in force" } else { "replaced since" };
        let signers = printable(signers(knowledge, shown).join(", ").as_bytes());
        let head =
            format!("# version {}, {force}; entry {}, sha256 {}; signed by {signers}\n", shown.roles.version, shown.index, shown.digest);
        write_out(&(head + &shown.roles.encode()))?;
    }
    Ok(if is_current && shown.roles.is_over(time::now()) { exit::STALE } else { exit::CLEAN })
}

/// Two versions, or the one in force and a document that is to follow.
fn diff(knowledge: &Knowledge, from: Option<u64>, to: Option<u64>, file: Option<&Path>, json: bool) -> Result<u8, Failure> {
    let current = find(knowledge, None)?;
    let (before, after) = match file {
        Some(file) => (find(knowledge, from)?.roles.clone(), read(file)?),
        None => {
            let after = find(knowledge, to)?;
            let before = from.unwrap_or_else(|| after.roles.version.saturating_sub(1));
            if before == 0 {
                return Err(Failure::Usage("version 1 follows no other".to_owned()));
            }
            (find(knowledge, Some(before))?.roles.clone(), after.roles.clone())
        }
    };
    let (gone, new) = facts::changes(&before, &after);
    if json {
        let object = json!({ "schema": 1, "from": before.version, "to": after.version, "gone": gone, "new": new });
        write_out(&format!("{object}\n"))?;
        return Ok(exit::CLEAN);
    }
    let mut text = format!("roles from version {} to version {}\n", before.version, after.version);
    gone.iter().for_each(|fact| text.push_str(&format!("- {fact}\n")));
    new.iter().for_each(|fact| text.push_str(&format!("+ {fact}\n")));
    if gone.is_empty() && new.is_empty() {
        text.push_str("nothing changes\n");
    }
    if file.is_some() && (after.previous != Some(current.digest) || after.version != current.roles.version + 1) {
        let _ = writeln!(text, "it does not continue version {}, which is in force: nobody will accept it", current.roles.version);
    }
    write_out(&text)?;
    Ok(exit::CLEAN)
}

fn history(knowledge: &Knowledge, json: bool) -> Result<u8, Failure> {
    let versions = knowledge.judge().roles().versions();
    let refused: Vec<(u64, String)> = knowledge
        .refused()
        .iter()
        .filter_map(|(index, refusal)| match refusal {
            Refusal::Roles(error) => Some((*index, error.to_string())),
            _ => None,
        })
        .collect();
    if json {
        let versions: Vec<Value> = versions.iter().map(|version| summary(knowledge, version)).collect();
        let refused: Vec<Value> = refused.iter().map(|(entry, why)| json!({ "entry": entry, "why": why })).collect();
        write_out(&format!("{}\n", json!({ "schema": 1, "versions": versions, "refused": refused })))?;
        return Ok(exit::CLEAN);
    }
    let mut text = String::new();
    let mut before: Option<&Roles> = None;
    for version in versions {
        let roles = &version.roles;
        let expires = roles.expires.map_or_else(String::new, |day| format!(", expires {}", attest::day::format(day)));
        let signed = printable(signers(knowledge, version).join(", ").as_bytes());
        let _ = writeln!(
            text,
            "version {}: entry {}, sha256 {}…, signed by {signed}{expires}",
            roles.version,
            version.index,
            &version.digest.to_hex()[..16]
        );
        if let Some(before) = before {
            let (gone, new) = facts::changes(before, roles);
            gone.iter().for_each(|fact| text.push_str(&format!("  - {fact}\n")));
            new.iter().for_each(|fact| text.push_str(&format!("  + {fact}\n")));
        }
        before = Some(roles);
    }
    for (entry, why) in &refused {
        let _ = writeln!(text, "refused: entry {entry}: {why}");
    }
    write_out(&text)?;
    Ok(exit::CLEAN)
}

/// A version of the chain; without a number, the one in force.
fn find(knowledge: &Knowledge, version: Option<u64>) -> Result<&RolesVersion, Failure> {
    let chain = knowledge.judge().roles();
    let newest = chain.current().map_or(0, |current| current.roles.version);
    let wanted = version.unwrap_or(newest);
    let found = chain.versions().iter().find(|known| known.roles.version == wanted);
    found.ok_or_else(|| Failure::Usage(format!("there is no version {wanted} of the roles; the newest known is {newest}")))
}

fn summary(knowledge: &Knowledge, version: &RolesVersion) -> Value {
    json!({
        "schema": 1,
        "version": version.roles.version,
        "entry": version.index,
        "sha256": version.digest.to_hex(),
        "signed_by": signers(knowledge, version),
        "foundation": format!("{} of {}", version.roles.foundation.threshold, version.roles.foundation.members.len()),
        "expires": version.roles.expires.map(attest::day::format),
        "notes": version.roles.notes,
    })
}

/// Names of the members that signed a version: as the version before calls them, else as it does itself.
fn signers(knowledge: &Knowledge, version: &RolesVersion) -> Vec<String> {
    let leaf = knowledge.about(RolesLeaf::SUBJECT).iter().find(|leaf| leaf.index == version.index);
    let signed = leaf.and_then(|leaf: &Leaf| SignedRoles::from_statement(&leaf.statement)).and_then(Result::ok);
    let before = knowledge.judge().roles().before(version.index).map(|before| &before.roles.foundation);
    let foundations: Vec<&Foundation> = before.into_iter().chain([&version.roles.foundation]).collect();
    let name = |key: &str| foundations.iter().flat_map(|foundation| &foundation.members).find(|member| member.key.as_str() == key);
    let signatures = signed.iter().flat_map(SignedRoles::signatures);
    let mut names: Vec<String> = signatures.filter_map(|signature| name(&signature.key)).map(|member| member.name.clone()).collect();
    names.sort();
    names
}

fn read(file: &Path) -> Result<Roles, Failure> {
    Roles::parse(&text(file, MAX_BYTES as u64)?).map_err(|error| Failure::File(format!("{}: {error}", file.display())))
}

fn text(file: &Path, limit: u64) -> Result<String, Failure> {
    let bytes = client::cli::read_limited(file, limit)?;
    String::from_utf8(bytes).map_err(|_| Failure::File(format!("{} is not text", file.display())))
}

/// Puts a signed version into the log, after the same checks as everybody's.
fn submit(setup: &Setup, args: &SubmitArgs) -> Result<u8, Failure> {
    let refuse = |error: &dyn std::fmt::Display| Failure::File(format!("{}: {error}; nothing was submitted", args.file.display()));
    let document = text(&args.file, MAX_BYTES as u64)?;
    let minisigs = args.signatures.iter().map(|file| text(file, 4_096)).collect::<Result<Vec<_>, _>>()?;
    let signer = client::keys::load(&args.signing.key).map_err(|error| Failure::File(error.to_string()))?;
    let lock = setup.cache.lock(PATIENCE)?;
    let log = setup.log()?;
    let syncer = setup.syncer(&log, &lock, false);
    let learn = async { syncer.know(&syncer.learn(&syncer.held()?, &[]).await?) };
    let knowledge = block_on(learn).map_err(|error| Failure::Other(error.into()))?.map_err(|error| setup.keep_evidence(error))?;
    let chain = knowledge.judge().roles();
    let foundation = chain.current().map(|current| &current.roles.foundation);
    let signed = SignedRoles::assemble(&document, &minisigs, foundation).map_err(|error| refuse(&error))?;
    chain.check(&signed).map_err(|error| refuse(&error))?;
    let statement = signed.to_statement().map_err(|error| refuse(&error))?;
    let said = block_on(advise::submit(&syncer, &statement, &*signer, &args.signing));
    let proof = said.map_err(|error| Failure::Other(error.into()))?.map_err(|error| setup.not_said(error))?;
    println!("version {} of the roles is entry {} of {}", signed.roles().version, proof.index, proof.checkpoint.checkpoint.origin);
    Ok(exit::CLEAN)
}
