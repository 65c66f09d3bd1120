//! After the claims: every package in containers of its own, and what is said of its installation.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use attest::predicate::Predicate;
use futures_util::{StreamExt as _, stream};

use super::{Failure, PackageReport, Ready, Run, RunError, Site, report};
use crate::claim;
use crate::observe::{self, Tree};
use crate::podman::Podman;
use crate::request::Request;
use crate::spool::Spool;

impl Run<'_> {
    pub(super) async fn observe_all(
        &self,
        podman: &Podman,
        site: &Site,
        ready: Vec<(Request, Ready)>,
        scratch: &Path,
    ) -> Result<Vec<PackageReport>, RunError> {
        if !self.config.observe || ready.is_empty() {
            return Ok(ready.into_iter().map(|(request, ready)| report(request, &ready.claim, None)).collect());
        }
        let baseline = site.baseline.get_or_try_init(|| self.baseline(podman, &site.image)).await?;
        let step = self.progress.bar("installing and observing", ready.len());
        // Podman 4.3 can lock itself up when it makes two containers with user namespaces at a time.
        let parallel = if self.config.ids().is_some() { 1 } else { self.config.container.parallel() };
        let step_ref = &step;
        let each = |(request, ready): (Request, Ready)| async move {
            if self.halt.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let observed = match self.record.is_some_and(|record| record.has_observed(&ready.claim.file.sha256)) {
                true => None,
                false => Some(self.observe(podman, &site.image, baseline, &ready, scratch).await?),
            };
            step_ref.advance();
            Ok(Some(report(request, &ready.claim, observed)))
        };
        let results: Vec<Result<Option<PackageReport>, RunError>> =
            stream::iter(ready).map(each).buffer_unordered(parallel).collect().await;
        let reports: Vec<PackageReport> = results.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        step.done(&format!("{} packages installed and observed", reports.iter().filter(|report| report.is_whole()).count()));
        Ok(reports)
    }

    async fn baseline(&self, podman: &Podman, image: &str) -> Result<Arc<Tree>, RunError> {
        let _step = self.progress.step("reading the image");
        Ok(Arc::new(observe::baseline(podman, image, self.config).await?))
    }

    async fn observe(
        &self,
        podman: &Podman,
        image: &str,
        baseline: &Arc<Tree>,
        ready: &Ready,
        scratch: &Path,
    ) -> Result<Result<usize, Failure>, RunError> {
        let claim = &ready.claim;
        let work = observe::Work { podman, image, config: self.config, progress: self.progress, scratch };
        let observed = observe::observe(&work, baseline, claim, &ready.installation).await;
        let (observation, full) = match observed {
            Ok(observed) => observed,
            Err(error) => return Ok(Err(Failure { what: error.to_string(), hint: error.hint() })),
        };
        let entries = observation.entries.len();
        let spool = Spool::new(self.home);
        if let (Some(full), Some(text)) = (&observation.full, full) {
            spool.keep_manifest(&full.sha256, &text)?;
        }
        match claim::statement(&claim.purl, &claim.file, Predicate::InstallObservation(observation)) {
            Ok(statement) => self.say(&spool, &statement).map(|()| Ok(entries)),
            Err(error) => Ok(Err(Failure { what: error.to_string(), hint: error.hint() })),
        }
    }
}
