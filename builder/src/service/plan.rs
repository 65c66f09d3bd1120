//! What is to be attested next: a pure choice.

use std::collections::{BTreeMap, BTreeSet};

use attest::Scope;
use tlog::Hash;

use super::Shard;
use crate::chain::{Catalogue, Offer};
use crate::record::Record;
use crate::request::Request;

/// Which of the offered packages are this builder's, and when.
pub struct Choice<'a> {
    /// What repositories offer.
    pub catalogue: &'a Catalogue,
    /// What was said, and what failed.
    pub record: &'a Record,
    /// Namespaces of package URLs by `Origin`.
    pub vendors: &'a BTreeMap<String, String>,
    /// The packages that are watched.
    pub scopes: &'a [Scope],
    /// This builder's part.
    pub shard: Shard,
    /// Whether observations belong to it.
    pub observe: bool,
    /// POSIX seconds.
    pub now: u64,
}

/// A package file to attest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What to ask for.
    pub request: Request,
    /// The file.
    pub sha256: Hash,
    /// When its repository was published, in POSIX seconds.
    pub published: u64,
}

impl Choice<'_> {
    /// Everything that is new, by name and version; what failed comes again when its time has come.
    #[must_use]
    pub fn due(&self) -> Vec<Due> {
        let mut due: Vec<Due> =
            self.catalogue.offers.values().filter(|offer| self.is_ours(offer) && self.is_due(offer)).filter_map(due).collect();
        due.sort_by(|a, b| a.request.cmp(&b.request));
        due
    }

    /// What requests mean: for each the file to attest, `None` if that is done, or why there is none. Neither shard nor scopes nor an earlier
    /// failure keeps a request from being served.
    #[must_use]
    pub fn requested(&self, requests: &[Request]) -> Vec<(Request, Result<Option<Due>, &'static str>)> {
        let meaning = |request: &Request| {
            let offer = self.catalogue.find(request).ok_or("no repository of the sources offers it")?;
            if self.record.is_whole(&offer.sha256, self.observe) {
                return Ok(None);
            }
            due(offer).map(Some).ok_or("its name or version has characters that no request may have")
        };
        requests.iter().map(|request| (request.clone(), meaning(request))).collect()
    }

    fn is_ours(&self, offer: &Offer) -> bool {
        let purl = self.vendors.get(&offer.origin).and_then(|vendor| offer.purl(vendor).ok());
        self.shard.covers(&offer.name) && purl.is_some_and(|purl| self.scopes.iter().any(|scope| scope.covers(&purl)))
    }

    fn is_due(&self, offer: &Offer) -> bool {
        let waits = || self.record.failure(&offer.sha256).is_some_and(|failed| failed.next > self.now);
        !self.record.is_whole(&offer.sha256, self.observe) && !waits()
    }
}

/// What is done next: what is asked for, then what is due and leaves its list with that. Each file once, however many requests mean it.
pub(super) fn batch(asked: &BTreeMap<Request, Due>, due: &mut Vec<Due>, size: usize) -> Vec<Due> {
    let mut files = BTreeSet::new();
    let mut batch: Vec<Due> = asked.values().filter(|due| files.insert(due.sha256)).take(size).cloned().collect();
    due.retain(|due| !files.contains(&due.sha256));
    batch.extend(due.drain(..(size - batch.len()).min(due.len())));
    batch
}

fn due(offer: &Offer) -> Option<Due> {
    Some(Due { request: offer.request()?, sha256: offer.sha256, published: offer.published })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::Format;
    use crate::home::Home;

    fn offer(name: &str, origin: &str) -> Offer {
        Offer {
            format: Format::Deb,
            epoch: 0,
            name: name.to_owned(),
            version: "1".to_owned(),
            architecture: "all".to_owned(),
            sha256: Hash::digest(name.as_bytes()),
            origin: origin.to_owned(),
            published: 7,
        }
    }

    #[test]
    fn two_requests_that_mean_one_file_are_one() {
        let due = |name: &str| Due { request: format!("{name}=1").parse().unwrap(), sha256: Hash::digest(name.as_bytes()), published: 7 };
        let asked = [("jq", "jq"), ("jq=1", "jq"), ("attr", "attr"), ("bc", "bc")];
        let asked: BTreeMap<Request, Due> = asked.iter().map(|(request, name)| (request.parse().unwrap(), due(name))).collect();
        let names = |batch: &[Due]| batch.iter().map(|due| due.request.name.clone()).collect::<Vec<_>>();
        let mut rest = vec![due("a"), due("jq"), due("z")];
        assert_eq!(names(&batch(&asked, &mut rest, 4)), ["attr", "bc", "jq", "a"]);
        assert_eq!(names(&rest), ["z"]);
        let mut rest = vec![due("a"), due("jq")];
        assert_eq!(
            (names(&batch(&asked, &mut rest, 2)), names(&rest)),
            (vec!["attr".to_owned(), "bc".to_owned()], vec!["a".to_owned(), "jq".to_owned()])
        );
    }

    #[test]
    fn what_is_new_ours_and_not_waiting_is_due() {
        let dir = tempfile::tempdir().unwrap();
        Home::create(&dir.path().join("b"), &tlog::KeyName::parse("example.org/b").unwrap()).unwrap();
        let record = Record::open(&Home::open(&dir.path().join("b")).unwrap()).unwrap();
        let offers = [offer("liba", "Debian"), offer("libb", "Debian"), offer("jq", "Debian"), offer("libc", "Nobody")];
        let catalogue = Catalogue { offers: offers.iter().map(|offer| (offer.sha256, offer.clone())).collect(), ..Catalogue::default() };
        record.failed(&offers[1].sha256, "no", 1000).unwrap();
        let vendors = BTreeMap::from([("Debian".to_owned(), "debian".to_owned())]);
        let scopes = [Scope::parse("pkg:deb/debian/lib*").unwrap()];
        let choice = |now, shard: &str| Choice {
            catalogue: &catalogue,
            record: &record,
            vendors: &vendors,
            scopes: &scopes,
            shard: shard.parse().unwrap(),
            observe: true,
            now,
        };
        let names = |due: Vec<Due>| due.iter().map(|due| due.request.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(choice(1000, "1/1").due()), ["liba"]);
        assert_eq!(names(choice(4600, "1/1").due()), ["liba", "libb"]);
        let mut shared: Vec<String> = (1..=3).flat_map(|number| names(choice(4600, &format!("{number}/3")).due())).collect();
        shared.sort();
        assert_eq!(shared, ["liba", "libb"]);
        let requests: Vec<Request> = ["jq", "libb", "absent"].iter().map(|text| text.parse().unwrap()).collect();
        let meant: Vec<_> = choice(1000, "2/2").requested(&requests).into_iter().map(|(_, meant)| meant.map(|due| due.is_some())).collect();
        assert_eq!(meant, [Ok(true), Ok(true), Err("no repository of the sources offers it")]);
    }
}
