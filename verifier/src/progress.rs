//! A progress bar for people; nothing for scripts.

use indicatif::{ProgressBar, ProgressStyle};

use crate::hash::Progress;

/// Bytes hashed, on standard error.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar that shows nothing until it knows how much there is.
    #[must_use]
    pub fn new() -> Self {
        let bar = ProgressBar::hidden();
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Removes it.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Bar {
    fn expect(&self, _files: u64, bytes: u64) {
        self.0.set_length(bytes);
        self.0.set_draw_target(indicatif::ProgressDrawTarget::stderr_with_hz(10));
    }

    fn done(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}
