//! What was found and nobody has been told yet: on the disk before the entries count as judged.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::alert::Alert;
use crate::cache::{CacheError, replace};

/// A file of alerts, one JSON object a line.
pub struct Pending {
    path: PathBuf,
}

impl Pending {
    /// The file in an auditor's directory.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { path: dir.join("pending") }
    }

    /// What is in it; each once, since a round that was cut off is judged again.
    ///
    /// # Errors
    /// If it is damaged or cannot be read.
    pub fn load(&self) -> Result<Vec<Alert>, CacheError> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(|error| CacheError::Io(self.path.clone(), error))?,
        };
        text.lines().map(|line| serde_json::from_str(line).map_err(|_| CacheError::Damaged(self.path.clone()))).collect()
    }

    /// Adds what is not there yet, up to a number that says enough of any log.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&self, alerts: &[Alert]) -> Result<(), CacheError> {
        if alerts.is_empty() {
            return Ok(());
        }
        let mut all = self.load()?;
        let known: HashSet<Alert> = all.iter().cloned().collect();
        all.extend(alerts.iter().filter(|alert| !known.contains(alert)).cloned());
        if all.len() > MAX {
            tracing::error!("more than {MAX} findings; {} of the least ones are not told", all.len() - MAX);
            // Whoever makes many small ones hides no large one.
            all.sort_by_key(|alert| alert.level);
            all.truncate(MAX);
        }
        let failed = |error: std::io::Error| CacheError::Io(self.path.clone(), error);
        let mut text = String::new();
        for alert in &all {
            text.push_str(&serde_json::to_string(alert).map_err(|error| failed(error.into()))?);
            text.push('\n');
        }
        replace(&self.path, text.as_bytes()).map_err(failed)
    }

    /// Empties it.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn clear(&self) -> Result<(), CacheError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CacheError::Io(self.path.clone(), error)),
            _ => Ok(()),
        }
    }
}

/// Findings that wait to be told.
const MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::alert::{Kind, Level};

    #[test]
    fn many_small_findings_hide_no_large_one() {
        let dir = tempfile::tempdir().unwrap();
        let pending = Pending::new(dir.path());
        let alert =
            |level, number| Alert { level, kind: Kind::Roles, entries: vec![number], subject: None, text: String::new(), evidence: None };
        let notices: Vec<Alert> = (0..MAX as u64).map(|number| alert(Level::Notice, number)).collect();
        pending.add(&notices).unwrap();
        pending.add(&[alert(Level::Alarm, 7)]).unwrap();
        let kept = pending.load().unwrap();
        assert!(kept.len() == MAX && kept[0].level == Level::Alarm);
    }
}
