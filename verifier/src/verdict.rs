//! A verdict as an in-toto statement, to be handed to others: a Simple Verification Result or a SLSA Verification Summary, signed if a key
//! is given (`specs/vsa.md`).

pub mod read;
pub mod statement;

use std::collections::BTreeMap;
use std::path::Path;

use attest::Envelope;
use tlog::{Hash, Signer};

use statement::{
    Checkpoint, Described, Digest, Packages, Policy, Predicate, STATEMENT, SVR, Statement, Svr, SvrVerifier, VSA, Verdict, Vsa, VsaVerifier,
};

use crate::cli::{PredicateArg, StatementArgs};
use crate::config::Config;
use crate::failure::Failure;
use crate::finding::{Class, Kind};
use crate::report::{Head, Report};
use crate::subject::Subject;
use crate::time;

/// The installed packages that were judged, as one subject: its digest is that of a list of them, a line each.
#[must_use]
pub fn installed(subjects: &[Subject]) -> (String, Hash) {
    let mut lines: Vec<String> = subjects.iter().map(line).collect();
    lines.sort();
    (INSTALLED.to_owned(), Hash::digest(lines.concat().as_bytes()))
}

/// The package's URL and the digests of the package files of which it may be; `-` where nobody attests it.
fn line(subject: &Subject) -> String {
    let name = subject.purl.as_ref().map_or_else(|| subject.label.clone(), ToString::to_string);
    let files: Vec<String> = subject.variants.iter().map(|variant| variant.package.to_hex()).collect();
    format!("{name} {}\n", if files.is_empty() { "-".to_owned() } else { files.join(",") })
}

/// Makes the statement of a report.
///
/// # Errors
/// If the report says nothing that has a digest.
pub fn statement(report: &Report, form: PredicateArg, policies: &Policies) -> Result<Statement, Failure> {
    let head = report.head.as_ref().filter(|_| !report.counts.subjects.is_empty());
    let head = head.ok_or_else(|| Failure::File(format!("tally {} makes no statement of its verdict", report.command)))?;
    let (predicate, predicate_type) = match form {
        PredicateArg::Svr => (Predicate::Svr(svr(report, head, policies)), SVR),
        PredicateArg::Vsa => (Predicate::Vsa(vsa(report, head, policies)), VSA),
    };
    let (kind, predicate_type) = (STATEMENT.to_owned(), predicate_type.to_owned());
    Ok(Statement {
        kind,
        predicate,
        predicate_type,
        subject: report.counts.subjects.iter().map(|(name, digest)| Described::new(name, digest)).collect(),
    })
}

/// A statement that was asked for: opened before anything is judged, so that a key that cannot sign costs no run.
pub struct Wanted<'a> {
    file: &'a Path,
    form: PredicateArg,
    policies: Policies,
    signer: Option<Box<dyn Signer>>,
}

impl<'a> Wanted<'a> {
    /// `None` if none was asked for.
    ///
    /// # Errors
    /// If the key file or a policy cannot be read, or the key cannot sign statements.
    pub fn open(args: &'a StatementArgs, config: &Config) -> Result<Option<Self>, Failure> {
        let Some(file) = args.statement.as_deref() else { return Ok(None) };
        let signer = args.sign.as_deref().map(client::keys::load).transpose().map_err(|error| Failure::File(error.to_string()))?;
        if let Some(signer) = &signer {
            Envelope::sign(Vec::new(), &**signer).map_err(|error| Failure::File(error.to_string()))?;
        }
        Ok(Some(Self { file, form: args.predicate, policies: Policies::open(config)?, signer }))
    }

    /// Writes the statement, or its envelope where there is a key, in one line; the file is replaced at once.
    ///
    /// # Errors
    /// If there is no statement, it cannot be signed, or the file cannot be written.
    pub fn write(&self, report: &Report) -> Result<(), Failure> {
        let payload = statement(report, self.form, &self.policies)?.encode();
        let mut bytes = match self.signer.as_deref() {
            None => payload,
            Some(signer) => Envelope::sign(payload, signer).map_err(|error| Failure::File(error.to_string()))?.encode(),
        };
        bytes.push(b'\n');
        crate::cache::replace(self.file, &bytes).map_err(|error| Failure::File(format!("{}: {error}", self.file.display())))
    }
}

/// The status of a run whose statement may not have been written: nothing hides what is not as attested.
#[must_use]
pub fn status(verdict: u8, written: Result<(), Failure>) -> u8 {
    let Err(failure) = written else { return verdict };
    tracing::error!("no statement of the verdict: {failure}");
    if verdict == crate::exit::INTEGRITY { verdict } else { failure.status() }
}

/// By what was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// SHA-256 of the rules of judgement.
    rules: Hash,
    /// SHA-256 of the witness policy.
    witnesses: Hash,
    /// SHA-256 of the first roles document, the anchor of their chain.
    roles: Hash,
}

impl Policies {
    /// Those of a configuration.
    ///
    /// # Errors
    /// If one cannot be read any more.
    pub fn open(config: &Config) -> Result<Self, Failure> {
        let digest =
            |path: &Path| -> Result<Hash, Failure> { Ok(Hash::digest(&client::cli::read_limited(path, tlog::Policy::MAX_BYTES as u64)?)) };
        Ok(Self { rules: digest(&config.policy)?, witnesses: digest(&config.witness_policy)?, roles: config.roles_sha256 })
    }

    fn described(&self) -> Vec<Described> {
        [("policy", self.rules), ("witness-policy", self.witnesses), ("roles", self.roles)]
            .map(|(name, hash)| Described::new(name, &hash))
            .into()
    }
}

fn svr(report: &Report, head: &Head, policies: &Policies) -> Svr {
    let verifier = SvrVerifier { id: VERIFIER.to_owned(), policies: policies.described() };
    Svr { verdict: verdict(report, head, policies), properties: properties(report), time: time::format(report.time), verifier }
}

fn vsa(report: &Report, head: &Head, policies: &Policies) -> Vsa {
    let passed = report.status() == crate::exit::CLEAN;
    Vsa {
        verdict: verdict(report, head, policies),
        policy: Policy { digest: Digest { sha256: policies.rules.to_hex() }, uri: "tallystick:policy".to_owned() },
        resource: format!("tallystick:{}", report.command),
        time: time::format(report.time),
        result: if passed { "PASSED" } else { "FAILED" }.to_owned(),
        levels: if passed { properties(report) } else { vec!["FAILED".to_owned()] },
        verifier: VsaVerifier {
            id: VERIFIER.to_owned(),
            version: BTreeMap::from([("tally".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        },
    }
}

fn verdict(report: &Report, head: &Head, policies: &Policies) -> Verdict {
    let counts = &report.counts;
    Verdict {
        builders: report.builders as u64,
        checkpoint: Checkpoint {
            fresh: head.fresh.map(time::format),
            origin: head.origin.clone(),
            root: head.root.clone(),
            size: head.size,
        },
        counts: report.tally().iter().map(|(kind, count)| (kind.name().to_owned(), *count as u64)).collect(),
        exit: report.status(),
        packages: Packages { attested: counts.attested as u64, installed: counts.installed as u64, judged: counts.judged as u64 },
        policies: policies.described(),
    }
}

/// What holds, in words that stay; whatever kept the run from a verdict leaves none of them.
fn properties(report: &Report) -> Vec<String> {
    let is_found = |class: Class| report.all().any(|finding| finding.kind.class() == class);
    let is_made = |kind: Kind| report.all().any(|finding| finding.kind == kind);
    if report.all().any(|finding| matches!(finding.kind.class(), Class::Operational(_))) {
        return Vec::new();
    }
    let holds = [
        ("TALLYSTICK_AS_ATTESTED", !is_found(Class::Integrity)),
        ("TALLYSTICK_ALL_KNOWN", !is_found(Class::Unknown)),
        ("TALLYSTICK_FRESH", !is_found(Class::Stale)),
        ("TALLYSTICK_NOT_WARNED", !is_found(Class::Warned)),
        ("TALLYSTICK_NOTHING_UNOWNED", report.counts.search.is_some() && !is_made(Kind::Unowned)),
        ("TALLYSTICK_NOTHING_ACCEPTED", !is_made(Kind::Accepted)),
        ("TALLYSTICK_CLEAN", report.status() == crate::exit::CLEAN),
    ];
    holds.into_iter().filter(|(_, holds)| *holds).map(|(name, _)| name.to_owned()).collect()
}

const VERIFIER: &str = "https://tallystick.dev/tally/v1";
const INSTALLED: &str = "tallystick:installed";
