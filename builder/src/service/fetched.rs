//! Rounds for apk, which takes no container (`specs/foreign.md`, section 6): the index is fetched, and then the packages that it newly names.
//!
//! An index names packages by SHA-1 of their control members. Which files these were stands in `fetched`; what is lost of that is fetched and
//! read once more, and nothing of it said twice, since the record knows the files.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use attest::Scope;
use tlog::Hash;

use super::Worker;
use crate::distro::{Offered, newest_apk};
use crate::home::HomeError;
use crate::request::Request;
use crate::run::RunError;

impl Worker<'_> {
    /// Looks at the indexes and attests what is due.
    pub(super) async fn round_fetched(&self) -> Result<(), RunError> {
        let offered = self.run().offered().await?;
        self.metrics.looked.set(client::now().cast_signed());
        let (mut fetched, scopes) = (Fetched::open(self.home.dir())?, self.config.run.scopes());
        self.serve_requests(&offered, &mut fetched).await?;
        let due: Vec<&Offered> = offered.iter().filter(|offer| self.is_new(offer, &scopes, &fetched)).collect();
        let mut left = due.len();
        for batch in due.chunks(self.config.run.batch.max(1)) {
            self.metrics.due.set(i64::try_from(left).unwrap_or(i64::MAX));
            for offer in batch {
                if self.halts() {
                    return Ok(());
                }
                self.attest_offer(&offered, offer, &mut fetched).await?;
            }
            left -= batch.len();
            // Requests come before what is merely new.
            self.serve_requests(&offered, &mut fetched).await?;
        }
        self.metrics.due.set(0);
        Ok(())
    }

    fn is_new(&self, offer: &Offered, scopes: &[Scope], fetched: &Fetched) -> bool {
        let purl = offer.purl(&self.config.vendors);
        let is_ours = self.shard.covers(&offer.identity().name) && purl.is_some_and(|purl| scopes.iter().any(|scope| scope.covers(&purl)));
        let waits = || self.record.failure(&offer.key()).is_some_and(|failed| failed.next > client::now());
        is_ours && !self.is_said(offer, fetched) && !waits()
    }

    fn is_said(&self, offer: &Offered, fetched: &Fetched) -> bool {
        fetched.files.get(&offer.key()).is_some_and(|sha256| self.record.is_whole(sha256, false))
    }

    async fn serve_requests(&self, offered: &[Offered], fetched: &mut Fetched) -> Result<(), RunError> {
        for request in self.queue.asked()? {
            let Some(offer) = newest_apk(offered, &request) else {
                self.queue.refused(&request, "no repository of the sources offers it")?;
                continue;
            };
            let failure = if self.is_said(offer, fetched) { None } else { self.attest_offer(offered, offer, fetched).await? };
            match failure {
                None => self.queue.served(&request)?,
                Some(reason) => self.queue.refused(&request, &reason)?,
            }
        }
        Ok(())
    }

    /// Fetches a package and says what it holds; why that failed, if it did.
    async fn attest_offer(&self, offered: &[Offered], offer: &Offered, fetched: &mut Fetched) -> Result<Option<String>, RunError> {
        let Some(request) = offer.request() else {
            return Ok(Some("its name or version has characters that no request may have".to_owned()));
        };
        let reports = self.run().attest_offered(offered, std::slice::from_ref(&request)).await?;
        let result = reports.into_iter().next().map(|report| report.result);
        let failure = match result {
            Some(Ok(attested)) => {
                // The statements are in the spool before it is noted that they are.
                fetched.add(offer.key(), attested.sha256)?;
                self.flights.begin(attested.sha256, client::now());
                self.progress.line(&format!("attested  {request}"));
                None
            }
            Some(Err(failure)) => Some(failure.what),
            None => Some("nothing came of it".to_owned()),
        };
        if let Some(reason) = &failure {
            self.record.failed(&offer.key(), reason, client::now())?;
            self.progress.line(&format!("failed    {request}: {reason}"));
        }
        self.metrics.package(failure.is_none());
        self.record.sync()?;
        self.spooled.notify_one();
        Ok(failure)
    }
}

/// Which file was fetched for each package of an index: the file `fetched` in the builder's directory.
struct Fetched {
    path: PathBuf,
    file: File,
    files: HashMap<Hash, Hash>,
}

impl Fetched {
    fn open(dir: &Path) -> Result<Self, HomeError> {
        let path = dir.join("fetched");
        let failed = |source| HomeError::Io { path: path.clone(), source };
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text.map_err(failed)?,
        };
        // A line that was cut off, or damaged, costs one more download.
        let line = |line: &str| line.split_once(' ').and_then(|(key, sha256)| Some((Hash::from_hex(key)?, Hash::from_hex(sha256)?)));
        let files = text.lines().filter_map(line).collect();
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n").map_err(failed)?;
        }
        Ok(Self { path, file, files })
    }

    fn add(&mut self, key: Hash, sha256: Hash) -> Result<(), HomeError> {
        let written = self.file.write_all(format!("{key} {sha256}\n").as_bytes());
        written.map_err(|source| HomeError::Io { path: self.path.clone(), source })?;
        self.files.insert(key, sha256);
        Ok(())
    }
}

impl Offered {
    /// What to ask for to get exactly this one; `None` if its name cannot be asked for.
    fn request(&self) -> Option<Request> {
        let identity = self.identity();
        format!("{}:{}={}", identity.name, identity.architecture, identity.version).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_costs_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = [b"a", b"b", b"c"].map(|text| Hash::digest(text));
        Fetched::open(dir.path()).unwrap().add(a, b).unwrap();
        let path = dir.path().join("fetched");
        fs::write(&path, fs::read_to_string(&path).unwrap() + "0a0b").unwrap();
        let mut fetched = Fetched::open(dir.path()).unwrap();
        assert_eq!(fetched.files, HashMap::from([(a, b)]));
        fetched.add(c, b).unwrap();
        assert_eq!(Fetched::open(dir.path()).unwrap().files, HashMap::from([(a, b), (c, b)]));
    }
}
