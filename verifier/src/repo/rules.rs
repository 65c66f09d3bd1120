//! What the policy demands of repositories: the table `[repositories]` of `policy.toml` (`specs/repository.md`, section 5).

use attest::predicate::RepositoryState;
use serde::Deserialize;

use crate::time;

/// What is demanded of repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRules {
    /// How many builders must have seen an index; `None`: as many as must agree on packages.
    pub builders: Option<usize>,
    /// The largest age of an index, by its own date; `None`: as old as it says of itself.
    pub max_age: Option<u64>,
    /// For how long a registered index is the current one although builders have seen a newer one, in seconds.
    pub lag: u64,
    /// What is done about a repository of which nobody said what it is called here.
    pub unlisted: Unlisted,
    /// Repositories by name.
    pub listed: Vec<Listed>,
}

/// What is done about a repository without a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unlisted {
    /// It is a finding like any other package or index that nobody attests.
    #[default]
    Refuse,
    /// It is told.
    Warn,
}

/// One repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name in the log, such as `rpm/opensuse/tumbleweed`.
    pub name: String,
    /// What zypper, dnf or pacman calls it here.
    pub alias: Option<String>,
    /// The largest age of its index, if another than for all.
    pub max_age: Option<u64>,
}

/// `[repositories]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryFile {
    builders: Option<usize>,
    max_age: Option<String>,
    lag: Option<String>,
    #[serde(default)]
    unlisted: Unlisted,
    #[serde(default)]
    list: Vec<ListedFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedFile {
    name: String,
    alias: Option<String>,
    max_age: Option<String>,
}

impl Default for RepositoryRules {
    fn default() -> Self {
        Self { builders: None, max_age: None, lag: LAG, unlisted: Unlisted::Refuse, listed: Vec::new() }
    }
}

impl RepositoryRules {
    /// Checks what was written.
    ///
    /// # Errors
    /// Which field makes no sense.
    pub fn from_file(file: RepositoryFile) -> Result<Self, String> {
        let span = |name: &str, text: Option<String>| match text {
            None => Ok(None),
            Some(text) => time::parse_span(&text).map(Some).ok_or_else(|| format!("repositories: {name} is not a span such as \"7d\"")),
        };
        if file.builders == Some(0) {
            return Err("repositories: builders must be at least 1".to_owned());
        }
        let mut listed: Vec<Listed> = Vec::new();
        for entry in file.list {
            if !RepositoryState::is_repository(&entry.name) {
                return Err(format!("repositories: {} is not a name such as rpm/opensuse/tumbleweed", entry.name));
            }
            if listed.iter().any(|known| known.name == entry.name || (entry.alias.is_some() && known.alias == entry.alias)) {
                return Err(format!("repositories: {} is listed twice, by its name or its alias", entry.name));
            }
            listed.push(Listed { name: entry.name, alias: entry.alias, max_age: span("max_age", entry.max_age)? });
        }
        let (max_age, lag) = (span("max_age", file.max_age)?, span("lag", file.lag)?.unwrap_or(LAG));
        Ok(Self { builders: file.builders, max_age, lag, unlisted: file.unlisted, listed })
    }

    /// The repository that is called so here, of this type.
    #[must_use]
    pub fn by_alias(&self, kind: &str, alias: &str) -> Option<&str> {
        let is_meant = |entry: &&Listed| entry.alias.as_deref() == Some(alias) && entry.name.split('/').next() == Some(kind);
        self.listed.iter().find(is_meant).map(|entry| entry.name.as_str())
    }

    /// The largest age of a repository's index.
    #[must_use]
    pub fn max_age_of(&self, name: &str) -> Option<u64> {
        self.listed.iter().find(|entry| entry.name == name).and_then(|entry| entry.max_age).or(self.max_age)
    }
}

const LAG: u64 = 6 * 3600;
