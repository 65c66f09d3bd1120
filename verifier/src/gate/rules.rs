//! What the policy demands of packages before they are installed: the table `[gate]` of `policy.toml` (`specs/gate.md`, section 3).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::time;

/// What is done about a package that is not as it should be. The order is that of strictness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is not judged.
    Ignore,
    /// It is told, and installed.
    #[default]
    Warn,
    /// It is not installed.
    Enforce,
}

/// What is demanded at the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateRules {
    /// For packages of vendors that are not listed.
    pub mode: Mode,
    /// By vendor: a package URL namespace (`debian`), a repository's signed `Origin`, or [`LOCAL`].
    pub vendors: BTreeMap<String, Mode>,
    /// How long packages of security suites may lack claims, from when this machine first saw them; in seconds.
    pub unattested_grace: u64,
    /// The largest age of the newest checkpoint at the gate, if another than everywhere.
    pub max_age: Option<u64>,
    /// Whether the log is asked about packages that are not in the cache.
    pub ask_log: bool,
}

/// `[gate]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateFile {
    mode: Option<Mode>,
    #[serde(default)]
    vendors: BTreeMap<String, Mode>,
    unattested_grace: Option<String>,
    max_age: Option<String>,
    ask_log: Option<bool>,
}

impl Default for GateRules {
    fn default() -> Self {
        Self { mode: Mode::Warn, vendors: BTreeMap::new(), unattested_grace: 48 * 3600, max_age: None, ask_log: true }
    }
}

impl GateRules {
    /// From the policy's table.
    ///
    /// # Errors
    /// Which value makes no sense.
    pub fn from_file(file: GateFile) -> Result<Self, String> {
        let default = Self::default();
        let span = |name: &str, text: Option<String>| match text {
            None => Ok(None),
            Some(text) => time::parse_span(&text).map(Some).ok_or_else(|| format!("gate.{name} is not a span such as \"48h\"")),
        };
        Ok(Self {
            mode: file.mode.unwrap_or_default(),
            vendors: file.vendors,
            unattested_grace: span("unattested_grace", file.unattested_grace)?.unwrap_or(default.unattested_grace),
            max_age: span("max_age", file.max_age)?,
            ask_log: file.ask_log.unwrap_or(default.ask_log),
        })
    }

    /// The strictest mode that any package can meet.
    #[must_use]
    pub fn strictest(&self) -> Mode {
        self.vendors.values().copied().chain([self.mode]).max().unwrap_or_default()
    }

    /// The mode for one place that a package comes from, by the first of its names that is listed.
    #[must_use]
    pub fn mode_of(&self, names: &[String]) -> Mode {
        names.iter().find_map(|name| self.vendors.get(name)).copied().unwrap_or(self.mode)
    }
}

/// The vendor of package files that stand in no repository's index and that nobody attests.
pub const LOCAL: &str = "local";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<GateRules, String> {
        GateRules::from_file(toml::from_str(text).map_err(|error| error.to_string())?)
    }

    #[test]
    fn values_are_read() {
        assert_eq!(parse(""), Ok(GateRules::default()));
        let text = "mode = \"enforce\"\nunattested_grace = \"0h\"\nmax_age = \"6h\"\nask_log = false\n[vendors]\nDocker = \"ignore\"\n";
        let rules = parse(text).unwrap();
        assert_eq!((rules.unattested_grace, rules.max_age, rules.ask_log), (0, Some(21_600), false));
        assert_eq!(rules.mode_of(&["docker".to_owned(), "Docker".to_owned()]), Mode::Ignore);
        assert_eq!(rules.mode_of(&["debian".to_owned()]), Mode::Enforce);
        assert_eq!(rules.strictest(), Mode::Enforce);
    }

    #[test]
    fn nonsense_is_refused() {
        for case in ["mode = \"refuse\"", "mode = 1", "max_age = \"soon\"", "unattested_grace = 48", "x = 1", "[vendors]\ndebian = true"] {
            assert!(parse(case).is_err(), "{case}");
        }
    }
}
