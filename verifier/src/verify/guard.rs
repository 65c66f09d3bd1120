//! Places that need a second look: where a diversion moved something away, and names of one file.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use attest::manifest::escape_path;
use attest::predicate::{Change, Observed};
use package::installed::Installed;

use super::{Run, maker};
use crate::compare::{Sight, describe_seen};
use crate::finding::{Finding, Kind, printable};
use crate::hash::Outcome;
use crate::scene::{Claimed, Scene, Spots};
use crate::survey::{Resolver, Seen, SeenNode};

impl Run<'_> {
    /// What stands where a diversion moved something away must itself be attested, for the package that diverts.
    pub(super) fn guard(&mut self, spots: &Spots<'_>, scene: &Scene<'_>) {
        for (place, diversion) in std::mem::take(&mut self.guards) {
            let Some(sight) = scene.at(&place) else { continue };
            let Seen::There(inode) = sight.seen else { continue };
            let own = |claim: &Claimed| diversion.by.as_deref() == Some(self.subject(*claim).name.as_str());
            if spots.find(&place).is_some_and(|number| spots.spot(number).claims().any(|claim| own(&claim))) {
                continue;
            }
            let makers: Vec<&Installed> = diversion.by.as_deref().map(|name| self.database.named(name).collect()).unwrap_or_default();
            let attested =
                makers.iter().any(|installed| self.fits_package(installed, &place, sight) || self.was_observed(installed, &place, sight));
            if attested {
                continue;
            }
            let path = [b"/", diversion.from.as_slice()].concat();
            if let Some(unclear) = self.unclear(&makers) {
                self.findings.push(unclear.at(&path));
                continue;
            }
            let content = match sight.read {
                Some(Outcome::Read(content)) => Some(content),
                _ => None,
            };
            let found = describe_seen(&inode.node, content);
            let why = format!(
                "{} moved the attested file to /{}, and what stands here instead is attested by nobody",
                maker(diversion),
                printable(&diversion.to)
            );
            let digest = content.map(|content| content.digest).or(Some(*tlog::Hash::digest(found.as_bytes()).as_bytes()));
            self.findings
                .push(Finding { digest, ..Finding::new(Kind::Modified, why).at(&path).differs("the file that was moved away", found) });
        }
    }

    /// Whether enough builders saw exactly this generated when they installed the diverting package.
    fn was_observed(&self, installed: &Installed, place: &[u8], sight: Sight<'_>) -> bool {
        let Some(subject) = self.others.get(&installed.to_string()) else { return false };
        let mut resolver = Resolver::new(self.top.as_fd());
        let matches = |path: &[u8], observed: &Observed| {
            *resolver.canonical(path) == *place
                && matches!(observed.change, Change::Generated | Change::Modified)
                && is_as_observed(observed, sight)
        };
        let mut matches = matches;
        subject
            .variants
            .iter()
            .flat_map(|variant| &variant.observed)
            .any(|(path, observed)| observed.iter().any(|observed| matches(path, observed)))
    }

    /// Names of one file in the package should be names of one file on the root. Bootstrapping tools and backups make copies of them, so
    /// it is told and no more: each copy has been compared by itself.
    pub(super) fn check_links(&mut self, scene: &Scene<'_>) {
        let mut resolver = Resolver::new(self.top.as_fd());
        let mut found = Vec::new();
        for (number, subject) in self.subjects.iter().enumerate() {
            let Some(variant) = subject.variants.get(self.chosen[number]) else { continue };
            let mut groups: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
            for entry in variant.manifest.entries() {
                let Some(group) = entry.hardlink else { continue };
                let place = self.place(&subject.name, entry, &mut resolver);
                let Some(sight) = scene.at(&place) else { continue };
                let Seen::There(inode) = sight.seen else { continue };
                if *groups.entry(group).or_insert(inode.id) != inode.id && self.is_clean(variant, entry, &place, sight) {
                    let why = "a file of its own instead of another name of the same file; all of it is as attested";
                    let finding = Finding::new(Kind::Explained, why);
                    let path = [b"/", entry.path.as_slice()].concat();
                    found.push(finding.of(&subject.label).at(&path).attested(&variant.attested));
                }
            }
        }
        self.findings.extend(found);
    }
}

pub(super) fn is_as_observed(observed: &Observed, sight: Sight<'_>) -> bool {
    let Seen::There(inode) = sight.seen else { return false };
    match (&inode.node, sight.read) {
        (SeenNode::Link(target), _) => {
            let escaped = escape_path(target);
            observed.link.as_deref().is_some_and(|link| link == escaped || Some(link) == escaped.strip_prefix("./"))
        }
        (_, Some(Outcome::Read(content))) => observed.sha256.is_some_and(|sha256| *sha256.as_bytes() == content.digest),
        _ => false,
    }
}
