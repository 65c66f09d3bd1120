//! Where every attested entry stands on the root.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use attest::manifest::{Entry, Node};
use package::dpkg::Diversion;

use super::{Run, applies};
use crate::parallel;
use crate::scene::{Claimed, Need, Reason, Spots};
use crate::subject::Subject;
use crate::survey::Resolver;

impl<'a> Run<'a> {
    /// All places that are to be looked at; notes those at which a diversion has to be guarded.
    pub(super) fn places(&mut self) -> Spots<'a> {
        let numbered: Vec<(u32, &'a Subject)> = (0..).zip(self.subjects).collect();
        // Neighbours share directories: each thread takes one part and remembers those of its own.
        let mut reasons = parallel::in_parts(&numbered, self.threads, |part| {
            let mut resolver = Resolver::new(self.top.as_fd());
            part.iter().flat_map(|(number, subject)| self.places_of(*number, subject, &mut resolver)).collect()
        });
        self.guards = self.guarded();
        let guard = |place: &Vec<u8>| Reason { place: Cow::Owned(place.clone()), claim: None, need: Need::Content };
        reasons.extend(self.guards.keys().map(guard));
        Spots::new(reasons)
    }

    fn places_of(&self, number: u32, subject: &'a Subject, resolver: &mut Resolver<'_>) -> Vec<Reason<'a>> {
        let mut reasons = Vec::with_capacity(subject.variants.iter().map(|variant| variant.manifest.entries().len()).sum());
        for (variant, entries) in (0..).zip(subject.variants.iter().map(|variant| variant.manifest.entries())) {
            for (position, entry) in (0..).zip(entries).skip(1) {
                let place = self.place(&subject.name, entry, resolver);
                if self.only.as_ref().is_none_or(|only| only.contains(&*place)) {
                    let claim = Some(Claimed { subject: number, variant, entry: position });
                    reasons.push(Reason { place, claim, need: need(entry) });
                }
            }
        }
        reasons
    }

    /// The places of which a diversion moved an attested entry away.
    fn guarded(&self) -> BTreeMap<Vec<u8>, &'a Diversion> {
        let mut resolver = Resolver::new(self.top.as_fd());
        let moves = |diversion: &&&Diversion| {
            let ships = |subject: &&Subject| subject.variants.iter().any(|variant| variant.manifest.entry(&diversion.from).is_some());
            self.subjects.iter().filter(|subject| applies(diversion, &subject.name)).any(|subject| ships(&subject))
        };
        let guarded =
            self.diversions.values().filter(moves).map(|diversion| (resolver.canonical(&diversion.from).into_owned(), *diversion));
        guarded.filter(|(place, _)| self.only.as_ref().is_none_or(|only| only.contains(place))).collect()
    }

    /// Where an entry stands.
    pub(super) fn place<'e>(&self, name: &str, entry: &'e Entry, resolver: &mut Resolver<'_>) -> Cow<'e, [u8]> {
        match self.diversions.get(entry.path.as_slice()).filter(|diversion| applies(diversion, name)) {
            Some(diversion) => Cow::Owned(resolver.canonical(&diversion.to).into_owned()),
            None => resolver.canonical(&entry.path),
        }
    }
}

fn need(entry: &Entry) -> Need {
    match entry.node {
        Node::Ghost => Need::Nothing,
        Node::File { size, .. } => Need::Sized(size),
        _ => Need::Content,
    }
}
