//! The configuration's section `[run]` (`specs/builder.md`, section 2).

use attest::Scope;
use serde::Deserialize;

/// The section `[run]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// Seconds between two looks at the repositories, at most; up to a fifth less by chance.
    pub interval: u64,
    /// How many packages are downloaded together.
    pub batch: usize,
    /// Which packages, as patterns of package URLs; requests are served whatever stands here.
    pub packages: Vec<String>,
}

impl Default for Service {
    fn default() -> Self {
        Self { interval: 900, batch: 32, packages: vec!["pkg:*".to_owned()] }
    }
}

impl Service {
    /// The patterns.
    #[must_use]
    pub fn scopes(&self) -> Vec<Scope> {
        self.packages.iter().filter_map(|text| Scope::parse(text).ok()).collect()
    }

    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(1..=604_800).contains(&self.interval) {
            return Err(("run.interval", "must be 1 to 604800 seconds"));
        }
        if !(1..=500).contains(&self.batch) {
            return Err(("run.batch", "must be 1 to 500 packages"));
        }
        if self.packages.iter().any(|text| Scope::parse(text).is_err()) {
            return Err(("run.packages", "must be patterns such as pkg:deb/debian/* or pkg:deb/debian/lib*"));
        }
        Ok(())
    }
}
