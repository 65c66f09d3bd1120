//! Packages of which the log knows a newer version than the installed one. They are judged by what is claimed about theirs; here they are
//! named.

use std::cmp::Ordering;
use std::collections::HashMap;

use attest::Purl;
use attest::version;

use crate::finding::{Finding, Kind};
use crate::knowledge::Knowledge;
use crate::subject::{Subject, attested};

/// One finding for each installed package of which enough builders attest a newer version.
#[must_use]
pub fn find(subjects: &[Subject], knowledge: &Knowledge, builders: usize) -> Vec<Finding> {
    let mut series: HashMap<String, Vec<Purl>> =
        subjects.iter().filter_map(|subject| Some((line(subject.purl.as_ref()?), Vec::new()))).collect();
    for name in knowledge.subjects() {
        if let Some(known) = name.split_once('@').and_then(|(before, _)| series.get_mut(before)) {
            known.extend(Purl::parse(name));
        }
    }
    let newer = |subject: &Subject| {
        let here = subject.purl.as_ref()?;
        let known = series.get(&line(here))?.iter().filter(|other| other.arch() == here.arch() && other.branch() == here.branch());
        let mut newer: Vec<&Purl> = known.filter(|other| version::compare(here, other) == Some(Ordering::Less)).collect();
        newer.sort_by(|a, b| version::compare(b, a).unwrap_or(Ordering::Equal));
        newer.into_iter().find_map(|other| outdated(subject, here, other, knowledge, builders))
    };
    subjects.iter().filter_map(newer).collect()
}

/// What a version counts for is what it counts for when it is installed: enough builders agree on it.
fn outdated(subject: &Subject, here: &Purl, newer: &Purl, knowledge: &Knowledge, builders: usize) -> Option<Finding> {
    let claims = knowledge.claims(newer);
    let agreed = claims.iter().find_map(|claims| claims.agreed(builders))?;
    let why = "a newer version is attested; this one is judged by what is claimed about it";
    let finding = Finding::new(Kind::Outdated, why).differs(shown(newer), shown(here));
    Some(finding.of(&subject.label).attested(&attested(&agreed.attesters)))
}

/// All versions of a package have this in common.
fn line(purl: &Purl) -> String {
    purl.to_string().split('@').next().unwrap_or_default().to_owned()
}

fn shown(purl: &Purl) -> String {
    purl.epoch().map_or_else(|| purl.version().to_owned(), |epoch| format!("{epoch}:{}", purl.version()))
}
