//! A builder that lies, for demonstrations and tests: it claims that a package has one file with other content.
//!
//! `tally-liar KEYFILE LOG-URL ORIGIN PACKAGE.deb ./PATH` prints the index of the false claim.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context as _, bail};
use attest::predicate::{PackageFiles, Predicate};
use attest::{Envelope, Manifest, Purl, Statement};
use client::log::Submitted;
use client::{LogClient, block_on, keys};
use package::deb;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [key, url, origin, file, path] = arguments.as_slice() else {
        bail!("usage: tally-liar KEYFILE LOG-URL ORIGIN PACKAGE.deb ./PATH");
    };
    let signer = keys::load(key.as_ref())?;
    let read = deb::read(File::open(file)?, &deb::Limits::default())?;
    let manifest = alter(&read.manifest, path)?;
    let claim = PackageFiles::of(&manifest);
    let control = &read.control;
    let purl = Purl::deb("debian", &control.name, &control.version, &control.architecture)?;
    let log = LogClient::new(url)?;
    block_on(log.put_manifest(origin, &claim.manifest, manifest.encode(), &*signer))??;
    let statement = Statement::about_package(&purl, read.sha256, Predicate::PackageFiles(claim));
    let envelope = Envelope::sign(statement.encode(), &*signer)?;
    match block_on(log.submit(envelope.encode(), Duration::from_secs(30)))?? {
        Submitted::Proven(proof) => println!("false claim of {purl} is entry {}", proof.index),
        Submitted::Pending => bail!("the log did not publish the claim in time"),
    }
    Ok(())
}

/// The manifest with another digest for the file at `path`.
fn alter(manifest: &Manifest, path: &str) -> anyhow::Result<Manifest> {
    const DIGEST: &str = " sha256digest=";
    let text = String::from_utf8(manifest.encode())?;
    let start = text.find(&format!("\n{path} type=file ")).with_context(|| format!("{path} is not a file of the package"))?;
    let digest = start + text[start..].find(DIGEST).context("the file has no digest")? + DIGEST.len();
    let first = if text[digest..].starts_with('0') { "1" } else { "0" };
    let altered = [&text[..digest], first, &text[digest + 1..]].concat();
    Ok(Manifest::parse(altered.as_bytes())?)
}
