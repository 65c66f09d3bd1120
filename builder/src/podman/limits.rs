//! Resource limits of containers. Podman's defaults exceed what small hosts allow, and then no container starts at all.

use bollard::models::ResourcesUlimits;
use rustix::process::{Resource, getrlimit};

/// Hard limits given to a container; `None` leaves Podman's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open files.
    pub files: Option<u64>,
    /// Processes of the user.
    pub processes: Option<u64>,
}

impl Limits {
    /// What the process that starts containers may hand on: its own hard limits, or ours where it is not ours to look at.
    #[must_use]
    pub fn of_process(pid: Option<u32>) -> Self {
        let text = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()).unwrap_or_default();
        let own = |resource, most: u64| Some(getrlimit(resource).maximum.unwrap_or(most).min(most));
        Self {
            files: hard_limit(&text, "Max open files").map(|limit| limit.min(MOST_FILES)).or_else(|| own(Resource::Nofile, MOST_FILES)),
            processes: hard_limit(&text, "Max processes")
                .map(|limit| limit.min(MOST_PROCESSES))
                .or_else(|| own(Resource::Nproc, MOST_PROCESSES)),
        }
    }

    /// These limits, then lower ones, then Podman's own: the first with which a container starts is used.
    #[must_use]
    pub fn candidates(self) -> Vec<Self> {
        let at_most = |most: u64| Self { files: self.files.map(|files| files.min(most)), processes: self.processes.map(|n| n.min(most)) };
        let mut all = vec![self, at_most(4096), at_most(1024), Self { files: None, processes: None }];
        all.dedup();
        all
    }

    pub(super) fn ulimits(self) -> Vec<ResourcesUlimits> {
        let limit = |name: &str, value: Option<u64>| {
            let value = i64::try_from(value?).ok()?;
            Some(ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) })
        };
        [limit("nofile", self.files), limit("nproc", self.processes)].into_iter().flatten().collect()
    }
}

/// The hard limit in a line of `/proc/PID/limits`; `unlimited` counts as the largest number.
fn hard_limit(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// More files make programs slow that close every possible descriptor at their start.
const MOST_FILES: u64 = 16_384;
const MOST_PROCESSES: u64 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                        Max processes             32768                unlimited            processes \n\
                        Max open files            1024                 20000                files     \n";

    #[test]
    fn hard_limits_are_read() {
        assert_eq!(hard_limit(TEXT, "Max open files"), Some(20_000));
        assert_eq!(hard_limit(TEXT, "Max processes"), Some(u64::MAX));
        assert_eq!(hard_limit(TEXT, "Max locked memory"), None);
        assert_eq!(hard_limit("Max open files            1024", "Max open files"), None);
    }

    #[test]
    fn candidates_only_fall_and_end_with_podmans_own() {
        let all = Limits { files: Some(2000), processes: Some(20_000) }.candidates();
        let files: Vec<_> = all.iter().map(|limits| (limits.files, limits.processes)).collect();
        let expected = [(Some(2000), Some(20_000)), (Some(2000), Some(4096)), (Some(1024), Some(1024)), (None, None)];
        assert_eq!(files, expected);
        let small = Limits { files: Some(100), processes: Some(100) };
        assert_eq!(small.candidates(), [small, Limits { files: None, processes: None }]);
    }
}
