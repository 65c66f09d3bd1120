//! What rebuilders say about a package file, for people, and whether it is enough (`specs/verdict.md`, section 3).

use std::fmt::Write as _;

use attest::judge::{Rebuilds, Rebuilt};
use attest::predicate::{Differs, Environment, RebuildResult};
use tlog::Hash;

use crate::config::Rules;
use crate::finding::{Attested, Finding, Kind};

/// The finding, if fewer rebuilders came to the same package file than the policy demands.
#[must_use]
pub fn lacking(rebuilds: &Rebuilds, package: &Hash, rules: &Rules) -> Option<Finding> {
    let same = rebuilds.same().len();
    if same >= rules.rebuilders {
        return None;
    }
    let said = if rebuilds.all.is_empty() { "nobody says that he built it again".to_owned() } else { words(rebuilds) };
    let short = &package.to_hex()[..12];
    let why = format!("{} rebuilders must come to the package file {short}…, and {same} did: {said}", rules.rebuilders);
    Some(Finding::new(Kind::TooFewRebuilders, why).attested(&stated(rebuilds)))
}

/// A finding that only tells, if anybody says anything.
#[must_use]
pub fn told(rebuilds: &Rebuilds) -> Option<Finding> {
    let told = || Finding::new(Kind::Rebuilt, words(rebuilds)).attested(&stated(rebuilds));
    (!rebuilds.all.is_empty()).then(told)
}

fn words(rebuilds: &Rebuilds) -> String {
    let said: Vec<String> = rebuilds.all.iter().map(describe).collect();
    said.join("; ")
}

fn stated(rebuilds: &Rebuilds) -> Attested {
    let by = |rebuilt: &Rebuilt| (rebuilt.attester.index, rebuilt.attester.key.name().as_str().to_owned());
    Attested { by: rebuilds.all.iter().map(by).collect() }
}

/// One result: what came out, in which environment, by whom.
#[must_use]
pub fn describe(rebuilt: &Rebuilt) -> String {
    let rebuild = &rebuilt.rebuild;
    let mut text = match (rebuild.result, &rebuild.first_difference) {
        (RebuildResult::Same, _) => "the same file".to_owned(),
        (RebuildResult::Failed, _) => "no file: the build failed".to_owned(),
        (RebuildResult::Different, None) => "another file".to_owned(),
        (RebuildResult::Different, Some(first)) => {
            let place = first.path.as_ref().map_or_else(|| first.member.clone(), |path| format!("{path} in {}", first.member));
            let what = match first.what {
                Differs::Content => "the content of",
                Differs::Attributes => "the attributes of",
                Differs::Presence => "the presence of",
                Differs::Encoding => "nothing but the packing of",
            };
            format!("another file, which differs first in {what} {place}")
        }
    };
    let _ = write!(text, " from {}", rebuild.source);
    let _ = match (rebuild.environment, &rebuild.imported) {
        (Environment::Recorded, _) => write!(text, ", in the recorded environment"),
        (Environment::Differing, _) => write!(text, ", in an environment that differs in {} packages", rebuild.differing.len()),
        (Environment::Derived, _) => write!(text, ", in an environment derived from the source package"),
        (Environment::Imported, Some(imported)) => write!(text, ", by the rebuilderd at {} with the key {}", imported.url, imported.key),
        (Environment::Imported, None) => Ok(()),
    };
    let _ = write!(text, ", says {} (entry {})", rebuilt.attester.key.name().as_str(), rebuilt.attester.index);
    text
}
