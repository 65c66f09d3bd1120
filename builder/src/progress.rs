//! What a person sees of a run: bars on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where progress goes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: Option<MultiProgress>,
    lines: Lines,
    times: Arc<Mutex<BTreeMap<Phase, Duration>>>,
}

/// What a run's time goes into. Packages are installed side by side, so that the sum may be more than has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Containers that download.
    Download,
    /// Verifying signatures, hashing and reading packages.
    Hash,
    /// Signing, and writing to the spool.
    Spool,
    /// Containers that install, from being made until they end.
    Install,
    /// Reading their file systems.
    Observe,
    /// Sending to the log.
    Submit,
}

impl Phase {
    /// Its name, for people and machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Hash => "hash",
            Self::Spool => "spool",
            Self::Install => "install",
            Self::Observe => "observe",
            Self::Submit => "submit",
        }
    }
}

/// Where plain lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lines {
    Out,
    Err,
    Nowhere,
}

impl Progress {
    /// Bars if standard output is a terminal, otherwise a line per finished step; with `json`, standard output is left to machines
    /// and the lines go to standard error.
    #[must_use]
    pub fn new(json: bool) -> Self {
        let bars = (!json && std::io::stdout().is_terminal()).then(MultiProgress::new);
        Self { bars, lines: if json { Lines::Err } else { Lines::Out }, times: Arc::default() }
    }

    /// Nothing is shown.
    #[must_use]
    pub fn silent() -> Self {
        Self { bars: None, lines: Lines::Nowhere, times: Arc::default() }
    }

    /// Adds to the time that a phase has taken.
    pub fn took(&self, phase: Phase, time: Duration) {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner).entry(phase).or_default() += time;
    }

    /// The time that each phase has taken so far.
    #[must_use]
    pub fn times(&self) -> BTreeMap<Phase, Duration> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a step that takes unknown time.
    #[must_use]
    pub fn step(&self, text: &str) -> Step {
        let bar = self.bars.as_ref().map(|bars| bars.add(ProgressBar::new_spinner()));
        if let Some(bar) = &bar {
            bar.set_message(text.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Step { progress: self.clone(), bar }
    }

    /// Begins a step of `total` parts.
    #[must_use]
    pub fn bar(&self, text: &str, total: usize) -> Step {
        let bar = self.bars.as_ref().map(|bars| bars.add(ProgressBar::new(total as u64)));
        if let Some(bar) = &bar {
            // The template is a constant; a broken one falls back to the default look.
            if let Ok(style) = ProgressStyle::with_template("{msg:32!} {bar:30} {pos}/{len}  {elapsed}") {
                bar.set_style(style);
            }
            bar.set_message(text.to_owned());
        }
        Step { progress: self.clone(), bar }
    }

    /// One line that stays.
    pub fn line(&self, text: &str) {
        if let Some(bars) = &self.bars {
            // A terminal that went away needs no progress.
            let _ = bars.println(text);
            return;
        }
        let _ = match self.lines {
            Lines::Out => writeln!(std::io::stdout(), "{text}"),
            Lines::Err => writeln!(std::io::stderr(), "{text}"),
            Lines::Nowhere => Ok(()),
        };
    }
}

/// A step under way; its bar goes when it is dropped.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    bar: Option<ProgressBar>,
}

impl Step {
    /// One part more is done.
    pub fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Ends the step with a line that stays.
    pub fn done(self, text: &str) {
        let progress = self.progress.clone();
        drop(self);
        progress.line(text);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
