//! Resource limits of containers. Podman's defaults exceed what small hosts allow, and then no container starts at all; and they leave a
//! package's scripts all of the host's memory.

use bollard::models::ResourcesUlimits;
use rustix::process::{Resource, getrlimit};

/// Limits given to a container; `None` leaves Podman's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open files.
    pub files: Option<u64>,
    /// Processes of the user.
    pub processes: Option<u64>,
    /// What a control group bounds, where hosts have them.
    pub group: Option<Group>,
}

/// What all processes of a container may have together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many they may be.
    pub pids: i64,
    /// Their memory in bytes, with no swap beside it.
    pub memory: i64,
}

impl Group {
    /// This much memory in MiB, and as many processes as any honest installation needs.
    #[must_use]
    pub fn of(memory: u32) -> Self {
        Self { pids: MOST_PIDS, memory: i64::from(memory) << 20 }
    }
}

impl Limits {
    /// What the process that starts containers may hand on: its own hard limits, or ours where it is not ours to look at.
    #[must_use]
    pub fn of_process(pid: Option<u32>, group: Group) -> Self {
        let text = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()).unwrap_or_default();
        let own = |resource, most: u64| Some(getrlimit(resource).maximum.unwrap_or(most).min(most));
        Self {
            files: hard_limit(&text, "Max open files").map(|limit| limit.min(MOST_FILES)).or_else(|| own(Resource::Nofile, MOST_FILES)),
            processes: hard_limit(&text, "Max processes")
                .map(|limit| limit.min(MOST_PROCESSES))
                .or_else(|| own(Resource::Nproc, MOST_PROCESSES)),
            group: Some(group),
        }
    }

    /// These limits, then lower ones, then Podman's own, then those again without a control group: the first with which a container
    /// starts is used.
    #[must_use]
    pub fn candidates(self) -> Vec<Self> {
        let at_most =
            |most: u64| Self { files: self.files.map(|files| files.min(most)), processes: self.processes.map(|n| n.min(most)), ..self };
        let bare = Self { files: None, processes: None, ..self };
        let alone = |limits: Self| Self { group: None, ..limits };
        let mut all = vec![self, at_most(4096), at_most(1024), bare, alone(at_most(1024)), alone(bare)];
        all.dedup();
        all
    }

    pub(super) fn ulimits(self) -> Vec<ResourcesUlimits> {
        let limit = |name: &str, value: Option<u64>| {
            let value = i64::try_from(value?).ok()?;
            Some(ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) })
        };
        [limit("nofile", self.files), limit("nproc", self.processes), limit("fsize", Some(MOST_BYTES))].into_iter().flatten().collect()
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
/// Of one file, holes included.
const MOST_BYTES: u64 = 16 << 30;
const MOST_PIDS: i64 = 2048;

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
        let group = Some(Group::of(100));
        let limits = |files, processes, group| Limits { files, processes, group };
        let expected = [
            limits(Some(2000), Some(20_000), group),
            limits(Some(2000), Some(4096), group),
            limits(Some(1024), Some(1024), group),
            limits(None, None, group),
            limits(Some(1024), Some(1024), None),
            limits(None, None, None),
        ];
        assert_eq!(expected[0].candidates(), expected);
        let small = limits(Some(100), Some(100), group);
        assert_eq!(small.candidates(), [small, limits(None, None, group), limits(Some(100), Some(100), None), limits(None, None, None)]);
        assert_eq!(Group::of(4096).memory, 4 << 30);
    }
}
