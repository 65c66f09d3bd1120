//! What is found at a place, when one or several packages claim it.

use std::os::fd::AsFd as _;

use attest::manifest::{Entry, Node};
use package::installed::Installed;

use super::unowned::LIMIT;
use super::{Run, maker, name_of};
use crate::compare::Sight;
use crate::finding::{Class, Finding, Kind, printable};
use crate::parallel;
use crate::scene::{Claimed, Scene, Spot, Spots};
use crate::subject::Subject;
use crate::survey::{Resolver, Seen, SeenNode, read_regular};

impl Run<'_> {
    /// Compares every place with all that claim it: one claim that fits is enough, as for files that several packages share or that
    /// one took over from another.
    pub(super) fn judge(&mut self, spots: &Spots<'_>, scene: &Scene<'_>) {
        let numbers: Vec<usize> = (0..spots.len()).collect();
        let is_odd = |number: &usize| self.claims(spots.spot(*number)).any(|claim| self.is_odd(claim, scene.sight(*number)));
        let odd = parallel::in_parts(&numbers, self.threads, |part| part.iter().copied().filter(is_odd).collect());
        for number in odd {
            let (spot, sight) = (spots.spot(number), scene.sight(number));
            let compare = |claim: Claimed| (claim, self.compare(self.variant(claim), self.entry(claim), spot.place(), sight));
            let results: Vec<(Claimed, Vec<Finding>)> = self.claims(spot).map(compare).collect();
            let mut found = self.settle(spot.place(), sight, results);
            found.iter_mut().filter(|finding| finding.kind == Kind::Modified).for_each(|finding| self.remark(finding, spot.place(), sight));
            self.findings.extend(found);
        }
    }

    /// Says of a changed program that it was prelinked. What it was before is the file's own word, so that excuses nothing, and no tool that
    /// undoes it is run.
    fn remark(&self, finding: &mut Finding, place: &[u8], sight: Sight<'_>) {
        let Seen::There(inode) = sight.seen else { return };
        let is_program = matches!(inode.node, SeenNode::File(size) if size <= LIMIT);
        if is_program && read_regular(self.top.as_fd(), place, inode, LIMIT).is_ok_and(|bytes| is_prelinked(&bytes)) {
            finding.why.push_str("; it was prelinked, which nobody can check: install it again, and take prelink away");
        }
    }

    /// The claims of a place by the variants that fit.
    pub(super) fn claims(&self, spot: Spot<'_>) -> impl Iterator<Item = Claimed> {
        spot.claims().filter(|claim| self.chosen[claim.subject as usize] == claim.variant as usize)
    }

    /// Whether there may be something to tell.
    fn is_odd(&self, claim: Claimed, sight: Sight<'_>) -> bool {
        self.diversion(claim).is_some() || !self.is_exact(self.entry(claim), sight)
    }

    /// The findings of a place, from what each claim says of it.
    fn settle(&mut self, place: &[u8], sight: Sight<'_>, results: Vec<(Claimed, Vec<Finding>)>) -> Vec<Finding> {
        let clean = |findings: &[Finding]| findings.iter().all(|finding| finding.kind.class() == Class::Explained);
        if results.iter().all(|(_, findings)| findings.is_empty()) {
            return self.diverted(place, results.first().map(|(claim, _)| *claim));
        }
        let fitting = results.iter().position(|(_, findings)| clean(findings));
        if let Some(position) = fitting {
            let (claim, findings) = &results[position];
            let mut found = self.decorate(*claim, place, findings.clone());
            if let Some((other, _)) = results.iter().find(|(_, findings)| !clean(findings)) {
                let why = format!("as attested for {}, which puts it here too", self.subject(*claim).label);
                found.extend(self.decorate(*other, place, vec![Finding::new(Kind::Explained, why)]));
            }
            return found;
        }
        let (claim, findings) = self.responsible(place, results);
        // Absent or unreadable things are nobody else's.
        if let (Seen::There(_), Some(owner)) = (sight.seen, self.other_owner(claim, place, sight)) {
            return self.decorate(
                claim,
                place,
                vec![Finding::new(Kind::Explained, format!("as attested for {owner}, which took it over"))],
            );
        }
        let own = self.subject(claim).label.clone();
        let others: Vec<&Installed> = self.database.owners_of(place).filter(|installed| installed.to_string() != own).collect();
        if let Some(unclear) = self.unclear(&others) {
            return self.decorate(claim, place, vec![unclear]);
        }
        self.decorate(claim, place, findings)
    }

    /// What cannot be judged, since it may be right for one of these packages, of which a manifest is not at hand.
    pub(super) fn unclear(&mut self, owners: &[&Installed]) -> Option<Finding> {
        let mut is_incomplete =
            |installed: &Installed| self.assessed(installed).findings.iter().any(|finding| finding.kind == Kind::CacheIncomplete);
        let owner = owners.iter().find(|installed| is_incomplete(installed)).map(|installed| installed.to_string())?;
        let why = format!("it may be right for {owner}, of which a manifest is not in the cache or damaged");
        Some(Finding::new(Kind::CacheIncomplete, why))
    }

    fn assessed(&mut self, installed: &Installed) -> &Subject {
        let sources = self.sources;
        self.others.entry(installed.to_string()).or_insert_with(|| Subject::assess(installed, sources))
    }

    /// The claim of the package that the database calls the owner; else the first.
    fn responsible(&self, place: &[u8], mut results: Vec<(Claimed, Vec<Finding>)>) -> (Claimed, Vec<Finding>) {
        let owners: Vec<String> = self.database.owners_of(place).map(Installed::to_string).collect();
        let position = results.iter().position(|(claim, _)| owners.contains(&self.subject(*claim).label)).unwrap_or(0);
        results.swap_remove(position)
    }

    /// Another installed package whose attested content this is.
    fn other_owner(&mut self, claim: Claimed, place: &[u8], sight: Sight<'_>) -> Option<String> {
        let own = self.subject(claim).label.clone();
        let owners: Vec<&Installed> = self.database.owners_of(place).filter(|installed| installed.to_string() != own).collect();
        owners.into_iter().find(|installed| self.fits_package(installed, place, sight)).map(Installed::to_string)
    }

    /// Whether what stands at a place is attested content of an installed package.
    pub(super) fn fits_package(&mut self, installed: &Installed, place: &[u8], sight: Sight<'_>) -> bool {
        self.assessed(installed);
        let mut resolver = Resolver::new(self.top.as_fd());
        let Some(subject) = self.others.get(&installed.to_string()) else { return false };
        subject.variants.iter().any(|variant| {
            let same = |entry: &&Entry| entry.path.ends_with(name_of(place)) && *self.place(&subject.name, entry, &mut resolver) == *place;
            let entry = variant.manifest.entries().iter().skip(1).find(same);
            entry.is_some_and(|entry| {
                self.is_clean(variant, entry, place, sight) && matches!(entry.node, Node::File { .. } | Node::Link(_) | Node::Dir)
            })
        })
    }

    fn decorate(&self, claim: Claimed, place: &[u8], findings: Vec<Finding>) -> Vec<Finding> {
        let path = [b"/", self.entry(claim).path.as_slice()].concat();
        let diverted = self.diversion(claim);
        let finish = |mut finding: Finding| {
            if diverted.is_some() {
                finding.why = format!("{} (diverted to /{})", finding.why, printable(place));
            }
            finding.of(&self.subject(claim).label).at(&path).attested(&self.variant(claim).attested)
        };
        findings.into_iter().map(finish).collect()
    }

    /// A note that an entry was found where a diversion put it.
    fn diverted(&self, place: &[u8], claim: Option<Claimed>) -> Vec<Finding> {
        let found = claim.and_then(|claim| Some((claim, self.diversion(claim)?)));
        let Some((claim, diversion)) = found else { return Vec::new() };
        let why = format!("as attested, moved away by {}", maker(diversion));
        self.decorate(claim, place, vec![Finding::new(Kind::Explained, why)])
    }
}

/// An ELF file with the section in which prelink keeps what it changed.
fn is_prelinked(bytes: &[u8]) -> bool {
    const SECTION: &[u8] = b"\0.gnu.prelink_undo\0";
    bytes.starts_with(b"\x7fELF") && bytes.windows(SECTION.len()).any(|part| part == SECTION)
}
